//! `run`: watching for new mail and delivering it, for months. The two do not wait for each other: a
//! source that is away holds up no delivery, a target that is away no recording.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use log::{debug, info};

use super::imports::IMPORT;
use super::parts::{CONFIG, DELIVER, WATCH, Watch, route};
use super::reader::Reader;
use super::removal::REMOVAL;
use super::rest::{Deliverer, Rest};
use super::setup::Setup;
use super::turns::Turn;
use super::{Ended, Engine, Sign, backoff};
use crate::config::{Config, LedgerPlace};
use crate::error::{Again, Error, Fault, Result, Scope};
use crate::threads;

impl Engine {
    /// Watches and delivers until a person ends it, or until its configuration asks for another run.
    ///
    /// # Errors
    /// Only what no waiting cures: a ledger that cannot be written.
    pub fn run_for_good(self: &Arc<Engine>, watch: &Watch) -> Result<Ended> {
        self.begin_for_good(watch)?;
        let deliverer = Box::new(Deliverer::new(watch, self.setup()));
        // Nobody was named who hears how it ended, so it keeps its thread.
        let end = self.deliver_on(deliverer).map(drop);
        self.end_for_good(end)
    }

    /// What a run for good begins with; the watcher goes on from here on a thread of its own.
    pub(super) fn begin_for_good(self: &Arc<Engine>, watch: &Watch) -> Result<()> {
        self.begin_run(&[WATCH, DELIVER, CONFIG, IMPORT, REMOVAL], false)?;
        self.adopt_in_flight(false)?;
        let watcher = Arc::clone(self);
        let how = watch.clone();
        threads::spawn(move || watcher.watch_for_good(&how))
            .map_err(|e| Error::fatal(format!("no thread can be started: {e}")))?;
        self.give(Sign::Ready);
        Ok(())
    }

    pub(super) fn end_for_good(&self, end: Result<()>) -> Result<Ended> {
        self.give(Sign::Ending);
        self.ledger.step(|l| l.run_ends(Utc::now()))?;
        let outdated = self.events.is_outdated();
        end.map(|()| {
            if outdated {
                Ended::Outdated
            } else {
                Ended::Stopped
            }
        })
    }

    /// Delivers and rests until the run is to end, or until there is nothing to do for a while and somebody else looks
    /// after that (`turns`).
    pub(super) fn deliver_on(self: &Arc<Engine>, mut deliverer: Box<Deliverer>) -> Result<Turn> {
        while !self.stopping() {
            if deliverer.rest.is_none() {
                deliverer.rest = Some(self.deliver_once(&mut deliverer)?);
            }
            if self.rest(&mut deliverer)? {
                deliverer = match self.give_back_the_thread(deliverer)? {
                    None => return Ok(Turn::GivenBack),
                    Some(kept) => kept,
                };
            }
        }
        Ok(Turn::Over)
    }

    /// One pass, and how to rest after it.
    fn deliver_once(self: &Arc<Engine>, deliverer: &mut Deliverer) -> Result<Rest> {
        self.promise_step();
        let before = self.counter.progress_at();
        let mut discovered = self.at_reader(Reader::renumbered) != Some(true);
        self.pause.set(None);
        let mail_might_try = self.entrance.take_mail_may_try();
        self.try_imports_beside();
        let pass = self.pass(&mut discovered);
        self.adopt_in_flight(true)?;
        self.not_ended()?;
        if self.counter.progress_at() > before {
            (deliverer.troubles, deliverer.last_work) = (0, Instant::now());
        }
        self.remove_beside();
        let (until, trouble) = self.after_pass(deliverer, pass, mail_might_try)?;
        Ok(Rest { until, trouble })
    }

    /// Until when to rest after a pass, and what troubles it.
    fn after_pass(
        &self,
        deliverer: &mut Deliverer,
        pass: Result<()>,
        mail_might_try: bool,
    ) -> Result<(Instant, Option<Error>)> {
        let e = match pass {
            Ok(()) => {
                (deliverer.troubles, deliverer.renumbered) = (0, false);
                let ends = self.sign_in_ends_soon().is_some();
                if std::mem::replace(&mut deliverer.warned, ends) && !ends {
                    // There is a new one, or the end has come: the next pass shows whether we are let in.
                    self.entrance.note_other_credentials();
                    return Ok((Instant::now(), None));
                }
                self.record_trouble(DELIVER, None, None)?;
                return Ok((self.next_work()?, None));
            }
            Err(e) if e.scope() == Scope::Process => return Err(e),
            Err(e) => e,
        };
        if self.at_reader(Reader::renumbered) == Some(true)
            && !std::mem::replace(&mut deliverer.renumbered, true)
        {
            // The next look begins with the new UIDs. Only where that does not help is it trouble.
            debug!("{}", e.then("looking again"));
            return Ok((Instant::now(), None));
        }
        // How often it was tried without mail is no reason to let the mail wait longer.
        if mail_might_try && !self.entrance.mail_may_try() {
            deliverer.troubles = 0;
        }
        deliverer.troubles += 1;
        // A source that lets us in once at a time: the watcher gives its session up with its next look.
        let paused = e.reaction().again == Again::AfterPause && e.delay.is_none();
        let one_too_many = deliverer.troubles == 1
            && paused
            && self.at_reader(Reader::is_one_too_many) == Some(true);
        let wait = if one_too_many {
            self.times.look
        } else {
            self.wait_after(&e, deliverer.troubles - 1)
        };
        self.record_trouble(DELIVER, Some(&e), Some(wait))?;
        Ok((Instant::now() + wait, Some(e)))
    }

    /// When there will be something to deliver, as far as is known.
    fn next_work(&self) -> Result<Instant> {
        let now = Instant::now();
        let unresolved = self.unresolved.next_look(&self.known_target.policy(), true);
        let due = self.ledger.step(|l| l.next_due(Utc::now()))?.map(|at| {
            let wait = (at - Utc::now()).to_std().unwrap_or_default();
            // A row that is due and was not taken waits for another one to be resolved.
            now + wait.max(self.times.heartbeat.min(Duration::from_secs(1)))
        });
        let asked = self.import_try_due().map(|at| {
            let wait = (at - Utc::now()).to_std().unwrap_or_default();
            now + wait
        });
        let removal = self.removal_due();
        Ok([unresolved, due, asked, removal, self.next_notice()?]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(now + self.times.keep))
    }

    /// What a fault of an account or a connection leads to.
    pub(super) fn wait_after(&self, e: &Error, tries: u32) -> Duration {
        match e.reaction().again {
            Again::WhenMended => self.times.needs_user,
            Again::AfterPause => match e.delay {
                // A server may ask for none at all, each time.
                Some(delay) => delay.max(backoff(tries, self.times.reconnect)),
                None => backoff(tries, self.times.pause),
            },
            // What is never tried again ends the run, and nobody waits.
            Again::Soon | Again::Never => backoff(tries, self.times.reconnect),
        }
    }

    /// Reads the configuration again, and the passwords that it names. One that cannot be used is told of,
    /// and the one before still holds. True when another one holds now. `changed`: its file has.
    pub(super) fn take_over(&self, watch: &Watch, changed: bool) -> Result<bool> {
        let config = Config::load(&watch.config_file, Utc::now());
        let config = match self.usable(config, watch.ledger_given) {
            Ok(Usable::Now(config)) => *config,
            Ok(Usable::ByAnotherRun(_)) if watch.begun_anew => {
                info!("the configuration has changed: beginning anew with it");
                self.events.end_as_outdated();
                self.pause.end();
                return Ok(true);
            }
            Ok(Usable::ByAnotherRun(e)) | Err(e) => {
                let told = self.heartbeat.part_needs_person(CONFIG);
                if !(changed || told) {
                    // What it names could not be had for a moment, and its passwords are known.
                    debug!("{}", e.then("going on with what was read before"));
                    return Ok(false);
                }
                self.record_trouble(CONFIG, Some(&e), None)?;
                return Ok(false);
            }
        };
        self.record_trouble(CONFIG, None, None)?;
        if config == self.setup().config && !changed {
            return Ok(false);
        }
        info!("the configuration has changed: going on with it");
        let before = self.setup();
        let setup = Setup::new(config, before.first.clone(), &self.times, Some(&before));
        *self.reader() = Reader::new(Arc::clone(&setup), self.times.clone());
        self.replace_setup(setup);
        self.sessions.drop_idle();
        self.entrance.note_other_credentials();
        self.try_imports_again()?;
        Ok(true)
    }

    /// Can this run go on with this configuration? `ledger_given`: the ledger is not its affair.
    ///
    /// # Errors
    /// Why no run could.
    fn usable(&self, config: Result<Config>, ledger_given: bool) -> Result<Usable> {
        let unused = |why: &str| {
            Error::new(
                Fault::NeedsUser,
                format!("the changed configuration is not used, the one before still holds: {why}"),
            )
        };
        let config = config.map_err(|e| {
            let mut error = unused(&e.message);
            error.hint = e.hint;
            error
        })?;
        let restart = "restart imap-to-gmail for it, or change it back";
        let of_its_own = if ledger_given {
            "other accounts need a ledger of their own: restart imap-to-gmail with another `--state-file`, or change the configuration back"
        } else {
            "other accounts need a ledger of their own: name one with `state_file`, and restart imap-to-gmail; or change the configuration back"
        };
        let now = self.setup();
        let elsewhere = !ledger_given
            && config.ledger.path != now.config.ledger.path
            && !self.has_open(&config.ledger)?;
        if route(&config) != route(&now.config) {
            let begun = !self.ledger.step(|l| l.is_untouched())?;
            let why = unused("it names other accounts or servers");
            return if begun && !elsewhere {
                Err(why.hint(of_its_own))
            } else {
                Ok(Usable::ByAnotherRun(why.hint(restart)))
            };
        }
        if elsewhere {
            let why = unused("its `state_file` is another ledger");
            return Ok(Usable::ByAnotherRun(why.hint(restart)));
        }
        Ok(Usable::Now(Box::new(config)))
    }

    /// Is this the ledger that is open, by whatever name? A second look into its file is not for us: with
    /// the end of that, SQLite's locks would go.
    fn has_open(&self, place: &LedgerPlace) -> Result<bool> {
        let open = self.ledger.step(|l| Ok(file_at(l.path())))?;
        let found = match file_at(&place.path) {
            // As at the start: what earlier versions left elsewhere serves where there is none.
            None => place.older.iter().find_map(|older| file_at(older)),
            found => found,
        };
        Ok(open.is_some() && found == open)
    }
}

/// Who can go on with a changed configuration.
enum Usable {
    Now(Box<Config>),
    /// The next run, and why not this one.
    ByAnotherRun(Error),
}

/// Which file with anything in it lies there, whatever links lead to it.
fn file_at(path: &Path) -> Option<(u64, u64)> {
    let file = fs::metadata(path).ok().filter(|m| m.len() > 0)?;
    Some((file.dev(), file.ino()))
}
