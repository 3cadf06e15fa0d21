//! `run`: watching for new mail and delivering it, for months. The two do not wait for each other: a
//! source that is away holds up no delivery, a target that is away no recording.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use chrono::Utc;
use log::{debug, info};

use super::imports::IMPORT;
use super::reader::Reader;
use super::setup::Setup;
use super::{Ended, Engine, Sign, backoff};
use crate::config::{Config, LedgerPlace};
use crate::error::{Again, Error, Fault, Result, Scope};
use crate::ledger::Route;
use crate::message::{Sha256, sha256};
use crate::target::Account;
use crate::threads;

/// The parts of a run, as the ledger names them.
pub(super) const DELIVER: &str = "deliver";
pub(super) const WATCH: &str = "watch";
/// Does no work: stands for what is wrong with the configuration since it was changed.
pub(super) const CONFIG: &str = "config";
/// So much longer than the longest thing that it waits for may a part take before it counts as stuck.
pub(super) const SLACK: Duration = Duration::from_secs(60);

/// How to watch.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Where the configuration can be read again when it has changed.
    pub config_file: PathBuf,
    /// When that had been changed, before it was read.
    pub config_of: Option<SystemTime>,
    /// Between looks where the server cannot tell of new mail, or is not to.
    pub poll: Duration,
    /// Let the server tell of new mail where it can (IDLE, RFC 2177).
    pub idle: bool,
    /// The command line names the ledger, whatever the configuration says.
    pub ledger_given: bool,
    /// Whoever runs this route begins it anew when its run ends as outdated.
    pub begun_anew: bool,
}

impl Engine {
    /// Watches and delivers until a person ends it, or until its configuration asks for another run.
    ///
    /// # Errors
    /// Only what no waiting cures: a ledger that cannot be written.
    pub fn run_for_good(self: &Arc<Engine>, watch: &Watch) -> Result<Ended> {
        self.begin_run(&[WATCH, DELIVER, CONFIG, IMPORT], false)?;
        self.adopt_in_flight(false)?;
        let watcher = Arc::clone(self);
        let how = watch.clone();
        threads::spawn(move || watcher.watch_for_good(&how))
            .map_err(|e| Error::fatal(format!("no thread can be started: {e}")))?;
        self.give(Sign::Ready);
        let end = self.deliver_for_good(watch);
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

    fn deliver_for_good(self: &Arc<Engine>, watch: &Watch) -> Result<()> {
        let mut deliverer = Deliverer::new(watch, self.setup());
        while !self.stopping() {
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
            let (until, trouble) = self.after_pass(&mut deliverer, pass, mail_might_try)?;
            self.rest(&mut deliverer, until, trouble.as_ref())?;
        }
        Ok(())
    }

    /// Until when to rest after a pass, and what troubles it.
    fn after_pass(
        &self,
        deliverer: &mut Deliverer<'_>,
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

    /// Waits until there may be something to do. After a pass that went well that is as soon as there is
    /// work. After trouble it is when its time has passed, or a file has changed that may mend it; earlier
    /// for new mail alone, where our own limit for a day has room for it, or where only a sign-in without
    /// any mail has failed.
    fn rest(
        &self,
        deliverer: &mut Deliverer<'_>,
        until: Instant,
        trouble: Option<&Error>,
    ) -> Result<()> {
        let own_limit = trouble.is_some_and(|e| e.own_limit);
        let mail_may_try = trouble.is_some() && self.entrance.mail_may_try();
        let wakeable = trouble.is_none();
        let tick = self.times.heartbeat.min(Duration::from_secs(1));
        self.pause.set((!wakeable).then_some(until));
        while !self.stopping() && Instant::now() < until {
            self.promise(DELIVER, SLACK);
            let step = Instant::now() + tick;
            self.wait(step.min(until), wakeable || own_limit || mail_may_try)?;
            // What fits and is not taken waits for another one: it is looked at with each tick alone.
            if own_limit && self.new_mail_fits()? {
                break;
            }
            if mail_may_try && self.work_is_due()? && self.inherit()? {
                break;
            }
            self.let_go_of_idle(deliverer.last_work);
            self.not_ended()?;
            if self.files_changed(deliverer, trouble)? {
                break;
            }
            if wakeable && Instant::now() < step.min(until) {
                break;
            }
        }
        Ok(())
    }

    /// Takes over what has changed in the configuration and the token files. True when that is a reason to
    /// try again.
    fn files_changed(
        &self,
        deliverer: &mut Deliverer<'_>,
        trouble: Option<&Error>,
    ) -> Result<bool> {
        let files = &mut deliverer.files;
        let asked_again =
            self.heartbeat.needs_person() && files.read_at.elapsed() >= self.times.needs_user;
        let token = files.token_changed();
        if files.config_changed() || asked_again {
            // What is changed while it is read is read once more.
            let config = ConfigFile::now(deliverer.watch);
            let news = self.take_over(deliverer.watch, config != files.config)?;
            *files = Files::new(config, self.setup());
            // Else what holds us up does so still.
            if news {
                return Ok(true);
            }
        }
        if token {
            self.try_imports_again()?;
        }
        let person = trouble.is_some_and(|e| e.reaction().needs_person);
        if token && (person || deliverer.warned || self.entrance.ends().is_some()) {
            self.entrance.note_other_credentials();
            // Another route that shares it renews it too: a pause that was asked for is kept.
            return Ok(person || trouble.is_none());
        }
        Ok(false)
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
        Ok([unresolved, due, asked, self.next_notice()?]
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

    /// Ends the sessions that have waited too long for work.
    fn let_go_of_idle(&self, last_work: Instant) {
        let old = self.sessions.take_idle_for(self.times.keep);
        let idle_reader =
            last_work.elapsed() >= self.times.keep && self.at_reader(Reader::is_open) == Some(true);
        if old.is_empty() && !idle_reader {
            return;
        }
        let reader = if idle_reader {
            self.idle_reader().and_then(|mut r| r.take())
        } else {
            None
        };
        // Saying goodbye may take a while, and nobody waits for it.
        let _ = threads::spawn(move || {
            old.into_iter().for_each(Account::logout);
            if let Some(source) = reader {
                source.logout();
            }
        });
    }

    /// Reads the configuration again, and the passwords that it names. One that cannot be used is told of,
    /// and the one before still holds. True when another one holds now. `changed`: its file has.
    fn take_over(&self, watch: &Watch, changed: bool) -> Result<bool> {
        let config = Config::load(&watch.config_file, Utc::now());
        let config = match self.usable(config, watch.ledger_given) {
            Ok(Usable::Now(config)) => *config,
            Ok(Usable::ByAnotherRun(_)) if watch.begun_anew => {
                info!("the configuration has changed: beginning anew with it");
                self.events.end_as_outdated();
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

/// What the delivering thread has to itself.
struct Deliverer<'a> {
    watch: &'a Watch,
    files: Files,
    /// Passes in a row that ended in trouble.
    troubles: u32,
    /// The source had new UIDs at the last pass, and was looked at again.
    renumbered: bool,
    /// A person is told that the sign-in will end.
    warned: bool,
    /// When a message last got anywhere.
    last_work: Instant,
}

impl Deliverer<'_> {
    fn new(watch: &Watch, setup: Arc<Setup>) -> Deliverer<'_> {
        let mut config = ConfigFile::now(watch);
        config.changed_at = watch.config_of;
        Deliverer {
            watch,
            files: Files::new(config, setup),
            troubles: 0,
            renumbered: false,
            warned: false,
            last_work: Instant::now(),
        }
    }
}

/// The files whose change may mend a trouble, as they were when they were last read.
struct Files {
    config: ConfigFile,
    setup: Arc<Setup>,
    /// Of the token files of source and target.
    editions: [u64; 2],
    read_at: Instant,
}

impl Files {
    fn new(config: ConfigFile, setup: Arc<Setup>) -> Files {
        Files {
            config,
            editions: editions(&setup),
            setup,
            read_at: Instant::now(),
        }
    }

    fn config_changed(&self) -> bool {
        changed_at(&self.config.path) != self.config.changed_at
    }

    fn token_changed(&mut self) -> bool {
        let now = editions(&self.setup);
        std::mem::replace(&mut self.editions, now) != now
    }
}

/// The file of the configuration, as it was once.
#[derive(PartialEq)]
struct ConfigFile {
    path: PathBuf,
    changed_at: Option<SystemTime>,
    /// Hash of its text.
    text: Option<Sha256>,
}

impl ConfigFile {
    fn now(watch: &Watch) -> ConfigFile {
        let path = watch.config_file.clone();
        ConfigFile {
            changed_at: changed_at(&path),
            text: fs::read(&path).ok().map(|text| sha256(&text)),
            path,
        }
    }
}

fn editions(setup: &Setup) -> [u64; 2] {
    [setup.source.edition(), setup.target.edition()]
}

/// When a file was last changed.
pub fn changed_at(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|m| m.modified()).ok()
}

pub(super) fn route(config: &Config) -> Route {
    Route::new(
        &config.source_user,
        &config.source.host,
        &config.target_user,
        &config.target.host,
    )
}
