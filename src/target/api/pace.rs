//! How fast the API may be asked: units in a minute, and requests at a time (docs/gmail-import.md 5). Not for bytes, nor
//! for what the API itself says of its limits.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What requests cost.
pub(super) const IMPORT: u32 = 25;
pub(super) const LIST: u32 = 1;
pub(super) const CREATE: u32 = 5;
pub(super) const NOTHING: u32 = 0;

/// Units that may be used at once after a rest.
const BURST: f64 = 500.0;
/// Units that come again in a second. With a burst in it, a minute has less than Gmail's 6,000.
const PER_SECOND: f64 = 90.0;
/// More at a time help little: Gmail does one import after the other.
const AT_A_TIME: usize = 4;

/// The pace of one account.
pub(super) struct Pace {
    state: Mutex<State>,
    left: Condvar,
}

struct State {
    bucket: Bucket,
    under_way: usize,
}

/// Its place among the requests under way; given back when it is dropped.
pub(super) struct Turn<'a>(&'a Pace);

impl Pace {
    pub(super) fn new() -> Pace {
        Pace {
            state: Mutex::new(State {
                bucket: Bucket::full(Instant::now()),
                under_way: 0,
            }),
            left: Condvar::new(),
        }
    }

    /// Waits until a request of so many units may begin.
    pub(super) fn enter(&self, units: u32) -> Turn<'_> {
        let mut state = self.state();
        while state.under_way >= AT_A_TIME {
            let woken = self.left.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        state.under_way += 1;
        let turn = Turn(self);
        let wait = state.bucket.take(Instant::now(), units);
        drop(state);
        std::thread::sleep(wait);
        turn
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state().under_way -= 1;
        self.0.left.notify_one();
    }
}

struct Bucket {
    /// Below nothing where somebody waits.
    units: f64,
    at: Instant,
}

impl Bucket {
    fn full(at: Instant) -> Bucket {
        Bucket { units: BURST, at }
    }

    /// Takes units, and says how long to wait until they are there.
    fn take(&mut self, now: Instant, units: u32) -> Duration {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.units = (self.units + passed * PER_SECOND).min(BURST) - f64::from(units);
        self.at = now;
        Duration::from_secs_f64((-self.units / PER_SECOND).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn no_minute_has_more_units_than_gmail_gives() {
        let begun = Instant::now();
        let mut bucket = Bucket::full(begun);
        let mut now = begun;
        let mut used: Vec<Duration> = Vec::new();
        // As fast as it lets us, for five minutes, after it has rested.
        while now - begun < Duration::from_secs(300) {
            now += bucket.take(now, IMPORT);
            used.push(now - begun);
        }
        let minute = Duration::from_secs(60);
        for start in &used {
            let within = used
                .iter()
                .filter(|at| *at >= start && **at < *start + minute);
            let units = within.count() as u32 * IMPORT;
            assert!(units < 6_000, "{units} in the minute from {start:?}");
        }
        let each = used.len() as f64 / 300.0;
        assert!((3.0..4.0).contains(&each), "{each} a second");
        // A long rest saves up no more than the burst.
        let later = now + Duration::from_secs(3600);
        assert!(bucket.take(later, BURST as u32).is_zero());
        assert!(!bucket.take(later, IMPORT).is_zero());
    }

    #[test]
    fn so_many_at_a_time_and_no_more() {
        let (pace, busy, most) = (Pace::new(), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    let _turn = pace.enter(NOTHING);
                    most.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    // Until as many as may have been here together.
                    let start = Instant::now();
                    while most.load(Ordering::SeqCst) < AT_A_TIME
                        && start.elapsed() < Duration::from_secs(60)
                    {
                        std::thread::yield_now();
                    }
                    busy.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), AT_A_TIME);
    }
}
