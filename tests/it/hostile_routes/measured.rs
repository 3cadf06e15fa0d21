//! A run with what it took: time and memory stay bounded whatever a server says.

use std::time::{Duration, Instant};

use crate::testkit::env::TestEnv;
use crate::testkit::route::Ran;

/// What a run takes with servers that mean well (26 MB), what one hostile answer may add (`hostile_servers::bounds`), and what
/// the allocator keeps of it when the next one comes: up to 173 MB were seen where each answer was hostile.
const MEMORY_MAX: u64 = (26 + 128 + 64) << 10;

/// A run, and what it took.
pub(crate) struct Took {
    pub(crate) ran: Ran,
    pub(crate) time: Duration,
    pub(crate) peak_kb: u64,
}

pub(crate) fn run_and_measure(env: &TestEnv, name: &str) -> Took {
    let start = Instant::now();
    let ran = env.run();
    let time = start.elapsed();
    let peak = std::fs::read_to_string(env.dir.path().join("peak"));
    let took = Took {
        ran,
        time,
        peak_kb: peak.ok().and_then(|p| p.trim().parse().ok()).unwrap_or(0),
    };
    println!(
        "{name}: status {}, {:.1} s, peak {} MB",
        took.ran.status,
        took.time.as_secs_f64(),
        took.peak_kb >> 10
    );
    took
}

impl Took {
    #[track_caller]
    pub(crate) fn assert_bounded(&self, name: &str) {
        assert!(self.peak_kb > 0, "{name}: {}", self.ran.err);
        assert!(self.peak_kb < MEMORY_MAX, "{name}: {} kB", self.peak_kb);
        assert!(
            self.time < Duration::from_secs(120),
            "{name}: {:?}",
            self.time
        );
        assert!(
            !self.ran.err.contains("panicked"),
            "{name}: {}",
            self.ran.err
        );
    }
}
