//! How much a worker takes at a time: one pure rule. Not for how many workers there are, nor for how fast they are
//! (`workers`).

use std::time::Duration;

/// Bytes of messages that a batch may hold; a bigger message goes alone. Beside the batch that is sent the next one is
/// held already.
const BATCH_BYTES: u64 = 2 << 20;
/// Less is hardly worth the looks that a batch costs, before and after it.
const WORTH_A_LOOK: u64 = 1 << 20;
/// Messages of a batch at most, and as long as nobody knows how fast they go: other workers may be of use, for whom enough
/// is to be left.
const BATCH_MAX: u64 = 400;
const FIRST_MAX: u64 = 64;
const LEFT_AT_FIRST: u64 = 4;
/// A batch is so much as gets through in this time: its copies are looked at when it ends, and what goes behind it waits.
pub(super) const BATCH_TIME: Duration = Duration::from_secs(20);
/// At the end the batches become smaller, so that the workers end together; but the looks have to pay, so that of few
/// messages that go fast no fewer are taken.
const BATCH_TIME_LEAST: Duration = Duration::from_millis(500);
const FEW: u64 = 64;

/// What is known of the messages that wait, and of how fast they go.
#[derive(Clone, Copy)]
pub(super) struct Backlog {
    /// Half of each worker's share when the pass began.
    pub(super) share: u64,
    /// Messages that nobody has claimed.
    pub(super) left: u64,
    /// Of one, in bytes, about.
    pub(super) size: u64,
    pub(super) workers: u64,
    /// What one message takes in one session, as far as was seen.
    pub(super) each: Option<Duration>,
}

/// How much one batch may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Portion {
    pub(super) count: usize,
    /// In bytes.
    pub(super) bytes: u64,
    /// More waits than such a portion for each worker: the next one may be claimed while this one is sent, and none is
    /// left without.
    pub(super) plenty: bool,
}

/// Half of a worker's share of so many messages.
pub(super) fn half_share(messages: u64, workers: u64) -> u64 {
    messages.div_ceil(2 * workers.max(1))
}

/// Half of each worker's share at a time.
pub(super) fn portion(backlog: Backlog) -> Portion {
    let Backlog {
        share,
        left,
        size,
        workers,
        each,
    } = backlog;
    let (least, most) = match each {
        None => (FEW, FIRST_MAX),
        Some(each) => {
            let within = |time: Duration| (time.as_micros() / each.as_micros().max(1)) as u64;
            // Two are on their way at a time.
            let most = within(BATCH_TIME).clamp(2, BATCH_MAX);
            (within(BATCH_TIME_LEAST).clamp(1, FEW.min(most)), most)
        }
    };
    let count = half_share(left, workers)
        .max(share.min(least))
        .clamp(1, most);
    let bytes = half_share(left.saturating_mul(size), workers).clamp(WORTH_A_LOOK, BATCH_BYTES);
    let held = (bytes / size.max(1)).clamp(1, count);
    Portion {
        count: count as usize,
        bytes,
        plenty: left > workers * held * each.map_or(LEFT_AT_FIRST, |_| 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_takes_as_much_as_leaves_work_for_the_others() {
        let fast = Some(Duration::from_millis(5));
        let link = Some(Duration::from_millis(26));
        let slow = Some(Duration::from_secs(1));
        let slower = Some(Duration::from_secs(60));
        // Of so many so many wait, bytes of each, workers, time of each; count, bytes, plenty.
        let table = [
            (1, 1, 2_000, 1, None, 1, WORTH_A_LOOK, false),
            (10, 10, 2_000, 4, None, 2, WORTH_A_LOOK, false),
            (10, 5, 2_000, 1, None, 5, WORTH_A_LOOK, false),
            (500, 500, 2_000, 4, None, 63, WORTH_A_LOOK, false),
            (500, 248, 2_000, 4, fast, 63, WORTH_A_LOOK, false),
            (500, 248, 2_000, 4, slow, 20, WORTH_A_LOOK, true),
            (500, 40, 2_000, 4, slow, 5, WORTH_A_LOOK, true),
            (5_000, 5_000, 2_000, 4, None, 64, 1_250_000, true),
            (5_000, 5_000, 2_000, 4, fast, 400, 1_250_000, true),
            (5_000, 5_000, 2_000, 4, slow, 20, 1_250_000, true),
            (5_000, 5_000, 2_000, 4, slower, 2, 1_250_000, true),
            (1_000, 1_000, 48_000, 4, fast, 125, BATCH_BYTES, true),
            (1_000, 100, 48_000, 4, link, 19, WORTH_A_LOOK, true),
            // Nothing is known of what came since the pass began.
            (0, 0, 0, 0, None, 1, WORTH_A_LOOK, false),
        ];
        for (total, left, size, workers, each, count, bytes, plenty) in table {
            let told = portion(Backlog {
                share: half_share(total, workers),
                left,
                size,
                workers,
                each,
            });
            let wanted = Portion {
                count,
                bytes,
                plenty,
            };
            assert_eq!(told, wanted, "{left} of {size}");
        }
    }
}
