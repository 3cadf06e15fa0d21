//! What the machine itself loses meanwhile, so that a slow machine is told from a slow program: the test shares it with
//! builds and other tests.

use std::fs::File;
use std::io::{Seek, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A beat sleeps this long and writes a few bytes to the disk; the rest of its time is lost.
const BEAT: Duration = Duration::from_millis(20);
/// What a beat may take besides on a machine at rest.
const USUAL: Duration = Duration::from_millis(50);

pub(crate) struct Pulse {
    stop: Arc<AtomicBool>,
    /// When time was lost, and how much.
    lost: Arc<Mutex<Vec<(Instant, Duration)>>>,
    thread: Option<JoinHandle<()>>,
}

impl Pulse {
    pub(crate) fn start() -> Pulse {
        let (stop, lost) = (Arc::default(), Arc::<Mutex<Vec<_>>>::default());
        let (stopped, losses) = (Arc::<AtomicBool>::clone(&stop), Arc::clone(&lost));
        let thread = thread::spawn(move || {
            let mut file = tempfile::tempfile().unwrap();
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                thread::sleep(BEAT);
                write(&mut file);
                let late = begun.elapsed().saturating_sub(BEAT + USUAL);
                if late > Duration::ZERO {
                    losses.lock().unwrap().push((Instant::now(), late));
                }
            }
        });
        Pulse {
            stop,
            lost,
            thread: Some(thread),
        }
    }

    /// How much time the machine lost between these two moments.
    pub(crate) fn lost(&self, from: Instant, to: Instant) -> Duration {
        let lost = self.lost.lock().unwrap();
        let within = lost
            .iter()
            .filter(|(at, _)| from <= *at && *at <= to + BEAT);
        within.map(|(_, late)| *late).sum()
    }

    /// The most that it lost at a time.
    pub(crate) fn worst(&self) -> Duration {
        let lost = self.lost.lock().unwrap();
        lost.iter().map(|(_, late)| *late).max().unwrap_or_default()
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// As the ledger does it for each message, several times.
fn write(file: &mut File) {
    file.rewind().unwrap();
    file.write_all(b"beat").unwrap();
    file.sync_data().unwrap();
}
