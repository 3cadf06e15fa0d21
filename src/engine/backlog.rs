//! How much waits and how fast it goes, and so how much a worker takes at a time. Not for what is taken (`ledger::claim`).

use std::sync::Mutex;
use std::time::Duration;

use super::lock;

/// Bytes of messages that a batch may hold; a bigger message goes alone. Beside the batch that is sent the next one is
/// held already.
const BATCH_BYTES: u64 = 3 << 20;
/// Less is hardly worth the looks that a batch costs, before and after it.
const WORTH_A_LOOK: u64 = 256 << 10;
/// Messages of a batch at most.
const BATCH_MAX: usize = 400;
/// As long as nobody knows how fast they go.
const FIRST_MAX: usize = 128;
/// What goes so fast is not split up further than into so many.
const FAST: Duration = Duration::from_millis(20);
const FEW: usize = 64;
/// Messages of a batch where they go slowly.
const BATCH_MIN: usize = 20;
/// So long a batch may take: then its copies are looked at.
pub(super) const BATCH_TIME: Duration = Duration::from_secs(20);

/// What waited when the pass began, less what was claimed since.
#[derive(Default)]
pub(super) struct Backlog(Mutex<Estimate>);

#[derive(Clone, Copy, Default)]
struct Estimate {
    /// When the pass began, and now.
    total: usize,
    messages: usize,
    /// Of a message, in bytes, about.
    size: u64,
    workers: usize,
    /// What one message takes in one session, as far as was seen.
    each: Option<Duration>,
}

/// How much one batch may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Portion {
    pub(super) count: usize,
    pub(super) bytes: u64,
    /// More waits than such a portion for each worker: the next one may be claimed while this one is sent, and none is
    /// left without.
    pub(super) plenty: bool,
}

impl Backlog {
    /// A pass begins.
    pub(super) fn begin(&self, messages: usize, size: u64, workers: usize) {
        let mut estimate = lock(&self.0);
        (estimate.total, estimate.messages) = (messages, messages);
        (estimate.size, estimate.workers) = (size, workers);
    }

    /// A worker has claimed so many.
    pub(super) fn note_claimed(&self, messages: usize) {
        let mut estimate = lock(&self.0);
        estimate.messages = estimate.messages.saturating_sub(messages);
    }

    /// One session took so long for so many.
    pub(super) fn note_pace(&self, took: Duration, messages: usize) {
        if let Ok(messages @ 1..) = u32::try_from(messages) {
            lock(&self.0).each = Some(took / messages);
        }
    }

    pub(super) fn portion(&self) -> Portion {
        portion(*lock(&self.0))
    }
}

/// Half of each worker's share at a time, so that all end at about the same time.
fn portion(estimate: Estimate) -> Portion {
    let Estimate {
        total,
        messages,
        size,
        workers,
        each,
    } = estimate;
    let workers = workers.max(1);
    let in_time = each.map_or(FIRST_MAX, |each| {
        let messages = BATCH_TIME.as_micros() / each.as_micros().max(1);
        messages.clamp(BATCH_MIN as u128, BATCH_MAX as u128) as usize
    });
    // Of few that go fast the looks would take longer than they do.
    let few = if each.is_none_or(|each| each <= FAST) {
        total.div_ceil(2 * workers).min(FEW)
    } else {
        1
    };
    let half = messages.div_ceil(2 * workers);
    let count = half.max(few).clamp(1, in_time);
    let share = (messages as u64).saturating_mul(size) / (2 * workers as u64);
    let bytes = share.clamp(WORTH_A_LOOK, BATCH_BYTES);
    let held = (bytes / size.max(1)).min(count as u64) as usize;
    Portion {
        count,
        bytes,
        plenty: messages > workers * held.max(1),
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
        // Of so many so many wait, bytes of each, workers, time of each; count, bytes, plenty.
        let table = [
            (1, 1, 2_000, 1, None, 1, WORTH_A_LOOK, false),
            (10, 10, 2_000, 4, None, 2, WORTH_A_LOOK, true),
            (10, 5, 2_000, 1, None, 5, WORTH_A_LOOK, false),
            (500, 500, 2_000, 4, None, 63, WORTH_A_LOOK, true),
            (500, 248, 2_000, 4, fast, 63, WORTH_A_LOOK, false),
            (500, 248, 2_000, 4, slow, BATCH_MIN, WORTH_A_LOOK, true),
            (5_000, 5_000, 2_000, 4, None, FIRST_MAX, 1_250_000, true),
            (5_000, 5_000, 2_000, 4, fast, BATCH_MAX, 1_250_000, true),
            (5_000, 5_000, 2_000, 4, slow, BATCH_MIN, 1_250_000, true),
            (1_000, 1_000, 48_000, 4, fast, 125, BATCH_BYTES, true),
            (1_000, 100, 48_000, 4, link, 13, 600_000, true),
            // Nothing is known of what came since the pass began.
            (0, 0, 0, 0, None, 1, WORTH_A_LOOK, false),
        ];
        for (total, messages, size, workers, each, count, bytes, plenty) in table {
            let told = portion(Estimate {
                total,
                messages,
                size,
                workers,
                each,
            });
            let wanted = Portion {
                count,
                bytes,
                plenty,
            };
            assert_eq!(told, wanted, "{messages} of {size}");
        }
    }
}
