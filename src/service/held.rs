//! One configuration among those of this process, and what has become of its route. Not for how it is made to run (`launch`).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant, SystemTime};

use log::{debug, error};

use super::roster::Entry;
use crate::config::Intervals;
use crate::engine::{Ended, Engine};
use crate::error::{Error, Result, shown};
use crate::text::span;
use crate::threads;

/// A configuration, and its route.
pub(super) struct Held {
    pub(super) file: PathBuf,
    pub(super) name: Arc<str>,
    /// Its ledger, once it is known.
    pub(super) state_file: Option<PathBuf>,
    pub(super) phase: Phase,
    /// When the file had been changed, before it was read.
    pub(super) changed_at: Option<SystemTime>,
    /// In so many looks in a row it was not there.
    pub(super) missing: u32,
    /// So often in a row it did not begin, or ended as it should not.
    pub(super) failures: u32,
    /// Why, the last time.
    pub(super) trouble: Option<Error>,
    /// What its last run may have left behind, such as a watcher that waits for the server: only when that is gone is
    /// the ledger free.
    pub(super) behind: Weak<()>,
    /// How its run is, in one line.
    pub(super) status: String,
    /// When it gave its last sign of life, in milliseconds since the process began.
    pub(super) alive_at: Arc<AtomicU64>,
}

pub(super) enum Phase {
    /// It waits for its turn, or for another try.
    Rests { until: Instant },
    /// Its thread is at work.
    Busy { engine: Option<Arc<Engine>> },
    /// With `once`: its run is over.
    Over(Result<Ended>),
}

impl Held {
    pub(super) fn new(file: &Path) -> Held {
        Held {
            file: file.to_path_buf(),
            name: shown(file.display().to_string().as_bytes()).into(),
            state_file: None,
            phase: Phase::Rests {
                until: Instant::now(),
            },
            changed_at: None,
            missing: 0,
            failures: 0,
            trouble: None,
            behind: Weak::new(),
            status: String::new(),
            alive_at: Arc::default(),
        }
    }

    /// Nothing of an earlier run is left.
    pub(super) fn is_free(&self) -> bool {
        self.behind.strong_count() == 0
    }

    pub(super) fn is_busy(&self) -> bool {
        matches!(self.phase, Phase::Busy { .. })
    }

    pub(super) fn is_beginning(&self) -> bool {
        matches!(self.phase, Phase::Busy { engine: None })
    }

    /// It was never tried.
    pub(super) fn is_new(&self) -> bool {
        matches!(self.phase, Phase::Rests { .. }) && self.failures == 0
    }

    /// Its file is there. What has changed in it may help.
    pub(super) fn look_again(&mut self) {
        self.missing = 0;
        if let Phase::Rests { until } = &mut self.phase
            && changed_at(&self.file) != self.changed_at
        {
            *until = Instant::now();
        }
    }

    pub(super) fn stop(&mut self) {
        if let Phase::Busy {
            engine: Some(engine),
        } = &self.phase
        {
            engine.stopper().stop();
        }
    }

    /// Its run, which was to go on, is over.
    pub(super) fn end(&mut self, end: Result<Ended>, times: &Intervals, ending: bool) {
        let now = Instant::now();
        self.phase = Phase::Rests { until: now };
        let e = match end {
            Ok(_) => {
                self.failures = 0;
                return;
            }
            Err(e) => e,
        };
        let (first, most) = times.route_rest;
        let wait = first.saturating_mul(1 << self.failures.min(16)).min(most);
        self.failures += 1;
        self.phase = Phase::Rests { until: now + wait };
        if !ending {
            let again = format!(
                "trying again in {}, or when {} changes",
                span(wait.as_secs()),
                self.file.display()
            );
            say(self, &e, &again);
        }
        self.trouble = Some(e);
    }

    pub(super) fn note_alive(&self) {
        note_alive(&self.alive_at);
    }

    /// Has it given signs of life lately, where it runs?
    pub(super) fn is_alive(&self, within: Duration) -> bool {
        let since = now_in_ms().saturating_sub(self.alive_at.load(Ordering::Relaxed));
        !matches!(self.phase, Phase::Busy { engine: Some(_) })
            || u128::from(since) <= within.as_millis()
    }

    pub(super) fn in_trouble(&self) -> Option<String> {
        let why = match &self.trouble {
            Some(e) => &e.message,
            None if ["", "watching"].contains(&&*self.status) => return None,
            None => &self.status,
        };
        Some(format!("{}: {why}", self.name))
    }

    pub(super) fn entry(&self) -> Entry {
        let engine = match &self.phase {
            Phase::Busy { engine } => engine.clone(),
            _ => None,
        };
        Entry {
            file: self.file.clone(),
            name: Arc::clone(&self.name),
            state_file: self.state_file.clone(),
            engine,
            refused: self.trouble.clone(),
        }
    }
}

/// Says why a route does not run: once in full, and again when the reason is another one.
pub(super) fn say(held: &Held, e: &Error, then: &str) {
    let known = held
        .trouble
        .as_ref()
        .is_some_and(|t| t.message == e.message);
    threads::on_behalf_of(Some(Arc::clone(&held.name)), || {
        if known {
            debug!("{}", e.then(then));
        } else {
            error!("{}", e.advised().in_full(then));
        }
    });
}

pub(super) fn note_alive(alive_at: &AtomicU64) {
    alive_at.store(now_in_ms(), Ordering::Relaxed);
}

/// Since some moment of this process.
fn now_in_ms() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed().as_millis() as u64
}

pub(super) fn changed_at(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|m| m.modified()).ok()
}
