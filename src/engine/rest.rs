//! Between two passes of a run: how long it rests, what ends that earlier, and which files may mend what troubles it. Not for
//! who looks after it meanwhile (`turns`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Engine;
use super::parts::{DELIVER, SLACK, Watch};
use super::reader::Reader;
use super::setup::Setup;
use crate::error::{Error, Result};
use crate::message::{Sha256, sha256};
use crate::target::Account;
use crate::threads;

impl Engine {
    /// Waits until there may be something to do. After a pass that went well that is as soon as there is
    /// work. After trouble it is when its time has passed, or a file has changed that may mend it; earlier
    /// for new mail alone, where our own limit for a day has room for it, or where only a sign-in without
    /// any mail has failed. True where it is not over, and needs no thread of its own.
    pub(super) fn rest(&self, deliverer: &mut Deliverer) -> Result<bool> {
        let Some(Rest { until, trouble }) = deliverer.rest.take() else {
            return Ok(false);
        };
        let own_limit = trouble.as_ref().is_some_and(|e| e.own_limit);
        let mail_may_try = trouble.is_some() && self.entrance.mail_may_try();
        let wakeable = trouble.is_none();
        let tick = self.tick();
        self.pause.set((!wakeable).then_some(until));
        while !self.stopping() && Instant::now() < until {
            if wakeable && until - Instant::now() > 2 * tick && self.turns.is_watched() {
                deliverer.rest = Some(Rest { until, trouble });
                return Ok(true);
            }
            self.promise(DELIVER, SLACK);
            let step = Instant::now() + tick;
            let woken = self.wait(step.min(until), wakeable || own_limit || mail_may_try)?;
            // What fits and is not taken waits for another one: it is looked at with each tick alone.
            if own_limit && self.new_mail_fits()? {
                break;
            }
            if mail_may_try && self.work_is_due()? && self.inherit()? {
                break;
            }
            if self.look_while_at_rest(deliverer, trouble.as_ref())? {
                break;
            }
            if wakeable && woken {
                break;
            }
        }
        Ok(false)
    }

    /// How often it is looked whether a rest is over.
    pub(super) fn tick(&self) -> Duration {
        self.times.heartbeat.min(Duration::from_secs(1))
    }

    /// One look at a rest that needs no thread of its own. True when there is something to do.
    pub(super) fn look_at_rest(&self, deliverer: &mut Deliverer) -> Result<bool> {
        self.not_ended()?;
        self.promise(DELIVER, SLACK);
        if self.heartbeat.is_due() {
            apart(|| {
                self.beat()?;
                self.ledger.step(|l| l.let_go_of_memory())
            })?;
        }
        let is_over = |rest: &Rest| Instant::now() >= rest.until;
        if deliverer.rest.as_ref().is_none_or(is_over)
            || self.has_news()
            || self.look_while_at_rest(deliverer, None)?
        {
            deliverer.rest = None;
        }
        Ok(deliverer.rest.is_none())
    }

    /// What is done with each tick of a rest. True when that ends it.
    fn look_while_at_rest(
        &self,
        deliverer: &mut Deliverer,
        trouble: Option<&Error>,
    ) -> Result<bool> {
        self.let_go_of_idle(deliverer.last_work);
        self.not_ended()?;
        self.files_changed(deliverer, trouble)
    }

    /// Takes over what has changed in the configuration and the token files. True when that is a reason to
    /// try again.
    fn files_changed(&self, deliverer: &mut Deliverer, trouble: Option<&Error>) -> Result<bool> {
        let files = &mut deliverer.files;
        let asked_again =
            self.heartbeat.needs_person() && files.read_at.elapsed() >= self.times.needs_user;
        let token = files.token_changed();
        if files.config_changed() || asked_again {
            // What is changed while it is read is read once more.
            let config = ConfigFile::now(&deliverer.watch);
            let news = self.take_over(&deliverer.watch, config != files.config)?;
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
}

/// What the delivering part has to itself.
pub(super) struct Deliverer {
    watch: Watch,
    files: Files,
    /// None: a pass is due.
    pub(super) rest: Option<Rest>,
    /// Passes in a row that ended in trouble.
    pub(super) troubles: u32,
    /// The source had new UIDs at the last pass, and was looked at again.
    pub(super) renumbered: bool,
    /// A person is told that the sign-in will end.
    pub(super) warned: bool,
    /// When a message last got anywhere.
    pub(super) last_work: Instant,
}

/// How it waits for the next pass.
pub(super) struct Rest {
    pub(super) until: Instant,
    pub(super) trouble: Option<Error>,
}

impl Deliverer {
    pub(super) fn new(watch: &Watch, setup: Arc<Setup>) -> Deliverer {
        let mut config = ConfigFile::now(watch);
        config.changed_at = watch.config_of;
        Deliverer {
            watch: watch.clone(),
            rest: None,
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

/// Does this on a thread that ends with it: the one that waits is to hold little.
pub(super) fn apart<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let no_thread = |e: io::Error| Error::connection(format!("no thread can be started: {e}"));
    threads::apart(work).map_err(no_thread)?
}
