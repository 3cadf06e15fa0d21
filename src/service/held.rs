//! One configuration among those of this process, and what has become of its route. Not for how it is made to run (`launch`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant, SystemTime};

use log::{debug, error};

use super::roster::Entry;
use crate::config::Intervals;
use crate::engine::{Ended, Engine, changed_at};
use crate::error::{Error, Result, shown};
use crate::text::span;
use crate::threads;

/// A beginning that takes longer is not waited for.
const BEGINNING_MAX: Duration = Duration::from_secs(60);

/// A configuration, and its route.
pub(super) struct Held {
    pub(super) file: PathBuf,
    pub(super) name: Arc<str>,
    /// Its ledger, once it is known.
    pub(super) state_file: Option<PathBuf>,
    pub(super) phase: Phase,
    /// When the file had been changed, before it was read.
    pub(super) changed_at: Option<SystemTime>,
    /// Nobody else gets its ledger, as the file of this moment names it, before it begins.
    pub(super) ledger_kept: Option<Option<SystemTime>>,
    /// In so many looks in a row it was not there.
    pub(super) missing: u32,
    /// So often in a row it did not begin, or ended as it should not.
    pub(super) failures: u32,
    /// Why, the last time.
    pub(super) trouble: Option<Error>,
    /// What its last run may have left behind, such as a watcher that waits for the server: only when that is gone is
    /// the ledger free.
    pub(super) behind: Weak<()>,
    /// When its thread was last given something to do.
    pub(super) busy_since: Instant,
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
            ledger_kept: None,
            missing: 0,
            failures: 0,
            trouble: None,
            behind: Weak::new(),
            busy_since: Instant::now(),
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

    /// Its beginning is under way. What takes long keeps nobody else from beginning.
    pub(super) fn is_beginning(&self) -> bool {
        let young = self.busy_since.elapsed() < BEGINNING_MAX;
        matches!(self.phase, Phase::Busy { engine: None }) && young
    }

    /// It was never tried.
    pub(super) fn is_new(&self) -> bool {
        matches!(self.phase, Phase::Rests { .. }) && self.failures == 0
    }

    /// Its file is there. What has changed in it may help.
    pub(super) fn look_again(&mut self) {
        self.missing = 0;
        self.ledger_kept = None;
        if let Phase::Rests { until } = &mut self.phase
            && changed_at(&self.file) != self.changed_at
        {
            *until = Instant::now();
        }
    }

    /// Its file was there, and is not any more.
    pub(super) fn is_gone(&self) -> bool {
        let absent = |e: &io::Error| e.kind() == io::ErrorKind::NotFound;
        self.changed_at.is_some() && fs::metadata(&self.file).is_err_and(|e| absent(&e))
    }

    /// It cannot begin, or what ran once has failed.
    pub(super) fn is_refused(&mut self, e: Error, times: &Intervals, once: bool) {
        if !once {
            return self.end(Err(e), times, false);
        }
        say(self, &e, "");
        self.trouble = Some(e.clone());
        self.phase = Phase::Over(Err(e));
    }

    /// Lets go of its run.
    pub(super) fn take_engine(&mut self) -> Option<Arc<Engine>> {
        match &mut self.phase {
            Phase::Busy { engine } => engine.take(),
            _ => None,
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
        self.ledger_kept = None;
        self.phase = Phase::Rests { until: now };
        let e = match end {
            Ok(_) => {
                self.failures = 0;
                return;
            }
            Err(e) => e,
        };
        // What went well for long failed for a reason of its own.
        if self.busy_since.elapsed() > times.route_rest.1 {
            self.failures = 0;
        }
        let (first, most) = times.route_rest;
        let wait = first.saturating_mul(1 << self.failures.min(16)).min(most);
        self.failures += 1;
        self.phase = Phase::Rests { until: now + wait };
        if !ending && self.missing == 0 {
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

    pub(super) fn in_trouble(&self, patience: Duration) -> Option<String> {
        let why = match &self.trouble {
            Some(e) => &e.message,
            None if !self.is_alive(patience) => "it gives no sign of life",
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
fn say(held: &Held, e: &Error, then: &str) {
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
