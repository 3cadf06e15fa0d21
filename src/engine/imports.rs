//! The road through Gmail's API: is it open now, and which labels does the account have there? Not for sending
//! (`by_import`).

use std::sync::{Arc, Mutex};

use chrono::{TimeDelta, Utc};

use super::road::Standing;
use super::settle::Outcome;
use super::setup::Setup;
use super::{Engine, lock};
use crate::config::{Address, Secret};
use crate::error::{Again, Error, Fault, Result};
use crate::message::Time;
use crate::target::Policy;
use crate::target::api::{Api, Label};

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
    /// The ledger was asked whether an earlier run was told to wait.
    asked: bool,
    /// Tries in a row that failed.
    failures: u32,
}

struct Closed {
    until: Time,
    why: String,
    needs_person: bool,
}

impl Imports {
    /// A person may have mended what closed it. A pause that was asked for is kept.
    pub(super) fn try_again(&self) {
        let mut known = lock(&self.0);
        known.closed = known.closed.take().filter(|closed| !closed.needs_person);
    }
}

impl Engine {
    /// Is the road open? `policy`: of the target.
    pub(super) fn import_standing(&self, policy: &Policy) -> Result<Standing> {
        if !policy.labels || !self.setup().target.has_token() {
            return Ok(Standing::None);
        }
        let now = Utc::now();
        if !std::mem::replace(&mut lock(&self.imports.0).asked, true) {
            self.take_up_pause(now)?;
        }
        let known = lock(&self.imports.0);
        Ok(match &known.closed {
            Some(closed) if closed.until > now && closed.needs_person => {
                Standing::Refused(closed.until, closed.why.clone())
            }
            Some(closed) if closed.until > now => Standing::Rests(closed.until),
            _ => Standing::Open,
        })
    }

    /// What an earlier run was told to wait for holds for this one too.
    fn take_up_pause(&self, now: Time) -> Result<()> {
        let Some((until, why)) = self.ledger.step(|l| l.import_pause(now))? else {
            return Ok(());
        };
        lock(&self.imports.0).closed = Some(Closed {
            until,
            why: why.clone(),
            needs_person: false,
        });
        let trouble = Error::new(Fault::Throttled, why);
        let wait = (until - now).to_std().unwrap_or_default();
        self.record_trouble(IMPORT, Some(&trouble), Some(wait))
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
        let mut known = lock(&self.imports.0);
        let wait = self.wait_after(e, known.failures);
        known.failures += 1;
        let until = Utc::now() + TimeDelta::from_std(wait).unwrap_or_default();
        known.closed = Some(Closed {
            until,
            why: e.message.clone(),
            needs_person: e.reaction().needs_person,
        });
        drop(known);
        if e.reaction().again == Again::AfterPause {
            self.ledger.step(|l| l.pause_import(until, &e.message))?;
        }
        self.record_trouble(IMPORT, Some(e), Some(wait))?;
        Ok(until)
    }

    /// It took a message, or refused one for what it is.
    pub(super) fn note_imports_open(&self) -> Result<()> {
        let mut known = lock(&self.imports.0);
        let closed = known.closed.take().is_some() || known.failures > 0;
        known.failures = 0;
        drop(known);
        if closed {
            self.record_trouble(IMPORT, None, None)?;
        }
        Ok(())
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
        lock(&self.imports.0)
            .labels
            .get_or_insert_default()
            .push(made);
        Ok(id)
    }

    /// The labels are others than was known: they are listed anew.
    pub(super) fn forget_labels(&self) {
        lock(&self.imports.0).labels = None;
    }
}
