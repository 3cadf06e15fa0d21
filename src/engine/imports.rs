//! The road through Gmail's API: is it open now, and which labels does the account have there? Not for sending
//! (`by_import`).

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DurationRound as _, TimeDelta, Utc};

use super::road::Standing;
use super::settle::Outcome;
use super::setup::Setup;
use super::{Engine, lock};
use crate::config::{Address, Secret};
use crate::error::{Again, Error, Fault, Result, Scope};
use crate::message::Time;
use crate::target::Policy;
use crate::target::api::{Api, Label};
use crate::threads;

/// The part of a run that stands for this road: it does no work of its own.
pub(super) const IMPORT: &str = "import";

/// What a run knows of the road.
#[derive(Default)]
pub(super) struct Imports(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// The client, and the setup that it is made of.
    api: Option<(Arc<Setup>, Arc<Api>)>,
    /// As they were listed last.
    labels: Option<Vec<Label>>,
    closed: Option<Closed>,
    /// Tries in a row that failed, and when the first of them did.
    failures: u32,
    failing_since: Option<Instant>,
    /// Whether it is open was asked at the start of this run, without mail.
    tried: bool,
    /// Somebody asks.
    trying: bool,
}

struct Closed {
    /// In whole seconds, as the ledger has times: what waits for it is not due before.
    until: Time,
    /// When that was learned.
    at: Instant,
    why: String,
    again: Again,
}

impl Closed {
    fn needs_person(&self) -> bool {
        self.again == Again::WhenMended
    }
}

impl Imports {
    /// The labels may be others than was known: they are listed anew.
    pub(super) fn forget_labels(&self) {
        lock(&self.0).labels = None;
    }
}

impl Engine {
    /// What an earlier run was told to wait for holds for this one too. At the start of a run.
    pub(super) fn take_up_import_pause(&self) -> Result<()> {
        let now = Utc::now();
        let Some((until, why)) = self.ledger.step(|l| l.import_pause(now))? else {
            return Ok(());
        };
        lock(&self.imports.0).closed = Some(Closed {
            until,
            at: Instant::now(),
            why: why.clone(),
            again: Again::AfterPause,
        });
        if !self.setup().config.rules.any_by_import() {
            return Ok(());
        }
        let trouble = Error::new(Fault::Throttled, why);
        let wait = (until - now).to_std().unwrap_or_default();
        self.record_trouble(IMPORT, Some(&trouble), Some(wait))
    }

    /// Is the road open? `policy`: of the target.
    pub(super) fn import_standing(&self, policy: &Policy) -> Standing {
        if !policy.labels || !self.setup().target.has_token() {
            return Standing::None;
        }
        let known = lock(&self.imports.0);
        let Some(closed) = known.closed.as_ref().filter(|c| c.until > Utc::now()) else {
            return Standing::Open;
        };
        // What has been out of reach for so long may stay so.
        let lasts = closed.again == Again::Soon
            && known
                .failing_since
                .is_some_and(|at| at.elapsed() >= self.times.api_patience);
        if closed.needs_person() || lasts {
            Standing::Refused(closed.until, closed.why.clone())
        } else {
            Standing::Rests(closed.until)
        }
    }

    /// May the API be asked what became of a message? Not while it has asked to be left alone.
    pub(super) fn may_ask_for_imports(&self) -> bool {
        let known = lock(&self.imports.0);
        let closed = known.closed.as_ref();
        !closed.is_some_and(|c| c.again == Again::AfterPause && c.until > Utc::now())
    }

    /// What becomes of a message whose road rests until then.
    pub(super) fn held(&self, until: Time) -> Outcome {
        let known = lock(&self.imports.0);
        let why = known.closed.as_ref().map(|closed| closed.why.clone());
        let why = why.unwrap_or_else(|| "Gmail's API is left alone for a while".into());
        Outcome::Held { until, why }
    }

    /// It was refused for the whole account, or out of reach: it is left alone for as long as it asked for, also by runs
    /// that are still to begin, or for a while. Returns until when.
    pub(super) fn close_imports(&self, e: &Error) -> Result<Time> {
        let reaction = e.reaction();
        let mut known = lock(&self.imports.0);
        let wait = self.wait_after(e, known.failures);
        known.failures += 1;
        known.failing_since.get_or_insert_with(Instant::now);
        let until = Utc::now() + TimeDelta::from_std(wait).unwrap_or_default();
        let until =
            until.duration_trunc(TimeDelta::seconds(1)).unwrap_or(until) + TimeDelta::seconds(1);
        // A longer pause that was asked for holds.
        let before = known.closed.as_ref();
        let longer = before.filter(|c| c.again == Again::AfterPause && c.until > until);
        if let Some(longer) = longer {
            return Ok(longer.until);
        }
        known.closed = Some(Closed {
            until,
            at: Instant::now(),
            why: e.message.clone(),
            again: reaction.again,
        });
        drop(known);
        if reaction.again == Again::AfterPause {
            self.ledger.step(|l| l.pause_import(until, &e.message))?;
        }
        // Where no folder wants it, it is no trouble that it is closed.
        if self.setup().config.rules.any_by_import() {
            let again = self.is_tried_again(until).then_some(wait);
            let trouble = match reaction.again {
                Again::WhenMended => Error {
                    message: e.then("meanwhile new mail goes by APPEND, and Gmail's spam filter does not run over it"),
                    ..e.clone()
                },
                _ => e.clone(),
            };
            self.record_trouble(IMPORT, Some(&trouble), again)?;
        }
        Ok(until)
    }

    /// Is it tried again in this run? With `--once` a pause that is short enough is waited for.
    pub(super) fn is_tried_again(&self, until: Time) -> bool {
        if !self.once.load(Ordering::Relaxed) {
            return true;
        }
        let patience = self.times.once_patience;
        let failing = lock(&self.imports.0).failing_since;
        let failing = failing.map_or(Duration::ZERO, |at| at.elapsed());
        let wait = (until - Utc::now()).to_std().unwrap_or_default();
        failing < patience && wait < patience
    }

    /// A request that was begun then was answered as one is that reaches the account: what closed the road before is over.
    pub(super) fn note_imports_open(&self, begun: Instant) -> Result<()> {
        let mut known = lock(&self.imports.0);
        if known.closed.as_ref().is_some_and(|c| c.at >= begun) {
            return Ok(());
        }
        let closed = known.closed.take().is_some() || known.failures > 0;
        (known.failures, known.failing_since) = (0, None);
        drop(known);
        if closed {
            self.record_trouble(IMPORT, None, None)?;
        }
        Ok(())
    }

    /// The configuration or a token has changed: what a person was needed for may be mended. A pause that was asked for is
    /// kept.
    pub(super) fn try_imports_again(&self) -> Result<()> {
        let mut known = lock(&self.imports.0);
        known.tried = false;
        let mended = known.closed.take_if(|c| c.again != Again::AfterPause);
        drop(known);
        if mended.is_some() || !self.setup().config.rules.any_by_import() {
            self.record_trouble(IMPORT, None, None)?;
        }
        Ok(())
    }

    /// When it is to be asked again whether it is open: at the start of a run that goes on, and when a pause is over.
    pub(super) fn import_try_due(&self) -> Option<Time> {
        let once = self.once.load(Ordering::Relaxed);
        if once || !self.setup().config.rules.any_by_import() {
            return None;
        }
        let known = lock(&self.imports.0);
        match &known.closed {
            _ if known.trying => None,
            Some(closed) => Some(closed.until),
            None => (!known.tried).then(Utc::now),
        }
    }

    /// Asks without mail whether it is open, on a thread of its own: no delivery waits for that. So a trouble that is over is
    /// no longer told of, and one that has come is, also while no mail comes.
    pub(super) fn try_imports_beside(self: &Arc<Engine>) {
        if self.import_try_due().is_none_or(|at| at > Utc::now()) {
            return;
        }
        lock(&self.imports.0).trying = true;
        let engine = Arc::clone(self);
        let asking = threads::spawn(move || {
            let begun = Instant::now();
            let end = engine.ask_api(|api, token| api.prove(token).map(|_| ()));
            let end = match end {
                Ok(()) => engine.note_imports_open(begun),
                Err(e) => engine.close_imports(&e).map(|_| ()),
            };
            let mut known = lock(&engine.imports.0);
            (known.tried, known.trying) = (true, false);
            drop(known);
            match end {
                Err(e) if e.scope() == Scope::Process => engine.end_with(e),
                _ => engine.wake(),
            }
        });
        if asking.is_err() {
            lock(&self.imports.0).trying = false;
        }
    }

    /// Asks the API with a token that is good now.
    pub(super) fn ask_api<T>(&self, ask: impl Fn(&Api, &Secret<String>) -> Result<T>) -> Result<T> {
        let api = self.api()?;
        self.setup().target.ask(|token| ask(&api, token))
    }

    fn api(&self) -> Result<Arc<Api>> {
        let setup = self.setup();
        let mut known = lock(&self.imports.0);
        if let Some((of, api)) = &known.api
            && Arc::ptr_eq(of, &setup)
        {
            return Ok(Arc::clone(api));
        }
        let config = &setup.config;
        let address = config.gmail_api.clone().unwrap_or_else(Address::google);
        let api = Arc::new(Api::new(address, &config.target, &self.times)?);
        known.labels = None;
        known.api = Some((setup, Arc::clone(&api)));
        Ok(api)
    }

    /// The ids of labels by their names, each made where it is missing.
    pub(super) fn label_ids(&self, names: &[String]) -> Result<Vec<String>> {
        names.iter().map(|name| self.label_id(name)).collect()
    }

    fn label_id(&self, name: &str) -> Result<String> {
        let listed = |known: &Known| Some(Label::find(known.labels.as_ref()?, name)?.id.clone());
        if let Some(id) = listed(&lock(&self.imports.0)) {
            return Ok(id);
        }
        let all = self.ask_api(|api, token| api.labels(token))?;
        let mut known = lock(&self.imports.0);
        known.labels = Some(all);
        if let Some(id) = listed(&known) {
            return Ok(id);
        }
        drop(known);
        let made = self.ask_api(|api, token| api.make_label(token, name))?;
        let id = made.id.clone();
        let mut known = lock(&self.imports.0);
        known.labels.get_or_insert_default().push(made);
        Ok(id)
    }
}
