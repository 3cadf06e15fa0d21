//! The clock of the stand-in: it runs with real time and can be moved ahead by a test.
//!
//! Everything that takes hours at Gmail (sessions, tokens, throttling, index lag) goes by it. What a client must wait
//! out for real, such as a slow reply, does not.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

/// The time of one stand-in. Clones show the same time.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    zero: DateTime<Utc>,
    started: Instant,
    ahead: Mutex<Duration>,
}

impl Clock {
    pub(crate) fn starting_at(zero: DateTime<Utc>) -> Clock {
        Clock(Arc::new(Inner {
            zero,
            started: Instant::now(),
            ahead: Mutex::new(Duration::ZERO),
        }))
    }

    /// What time the stand-in believes it is.
    pub fn now(&self) -> DateTime<Utc> {
        let ahead = *self.0.ahead.lock().unwrap();
        self.0.zero + delta(self.0.started.elapsed() + ahead)
    }

    /// Lets this much time pass at once.
    pub fn advance(&self, by: Duration) {
        *self.0.ahead.lock().unwrap() += by;
    }
}

/// As chrono counts time; far more than any test needs when it does not fit.
pub(crate) fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX / 4)
}
