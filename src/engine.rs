//! The supervisor of one route: what a run does first, how many workers it takes, what a fault of
//! an account or a connection leads to, and when a run is over.
//!
//! Threads and blocking I/O. The calling thread only coordinates, so that signs of life and signals
//! never wait for a server. Restart is recovery: nothing here needs to end well.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use chrono::Utc;
use log::error;

use crate::config::{Config, Intervals};
use crate::credentials::Credentials;
use crate::error::{Error, Result, Scope};
use crate::folder::Folder;
use crate::gmail::{Account, Entry};
use crate::ledger::{Inherited, Ledger, Route, Shared};
use crate::message::Time;
use crate::session::Login;

mod blame;
mod budget;
mod daemon;
mod decide;
mod deliver;
mod fetch;
mod fidelity;
mod flight;
mod forecast;
mod history;
mod index;
mod life;
mod once;
mod overlap;
mod piecemeal;
mod put_back;
mod reader;
mod recognise;
mod resolve;
mod send;
mod sessions;
mod settle;
mod sign_in;
mod state;
mod tally;
mod unresolved;
mod verify;
mod watch;
mod watcher;
mod whose;

use blame::Blame;
use daemon::{DELIVER, SLACK};
pub use daemon::{Watch, changed_at};
use fidelity::Fidelity;
pub use forecast::{Forecast, Plan, Planned};
use index::Turn;
pub use life::Sign;
use life::{Listener, Said};
use reader::Reader;
use sessions::Sessions;
use sign_in::Door;
use state::Closed;
pub use tally::{Before, Progress, Tally};
use unresolved::Unresolved;

/// Longer than any run.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// Messages per batch at most.
const BATCH_MAX: usize = 100;
/// What left a row open where a worker of ours panicked.
const BROKE_DOWN: &str = "imap-to-gmail itself broke down over this message";
/// A worker for so many messages, up to `connections`.
const PER_WORKER: u64 = 4;

/// How a run ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nothing waits and nothing failed.
    Done,
    Left {
        pending: u64,
        failed: u64,
    },
    /// A person ended it.
    Stopped,
}

/// What a run is told: it may be told otherwise while it goes on.
struct Setup {
    config: Config,
    folder: Folder,
    source: Credentials,
    target: Credentials,
}

impl Setup {
    /// `before`: what held until now. Its tokens may be newer than their files.
    fn new(
        config: Config,
        folder: Folder,
        times: &Intervals,
        before: Option<&Setup>,
    ) -> Arc<Setup> {
        let (user, key) = (&config.source_user, &config.source_key);
        let others: Vec<&Credentials> =
            before.iter().flat_map(|b| [&b.source, &b.target]).collect();
        let origin = &config.source.origin;
        let source = Credentials::new(user, key, origin, times.command, &others);
        let (user, key) = (&config.target_user, &config.target_key);
        let others: Vec<&Credentials> = others.into_iter().chain([&source]).collect();
        let origin = &config.target.origin;
        let target = Credentials::new(user, key, origin, times.command, &others);
        Arc::new(Setup {
            config,
            folder,
            source,
            target,
        })
    }
}

pub struct Engine {
    setup: RwLock<Arc<Setup>>,
    times: Intervals,
    ledger: Shared,
    /// Tries each row once, whatever its backoff.
    once: AtomicBool,
    reader: Mutex<Reader>,
    /// Held by whoever enters the target first in a pass: what refused it, if so.
    first_session: Mutex<Option<Error>>,
    /// Held while the source is looked through for new mail.
    discovering: Mutex<()>,
    /// Held while the target index is brought up to date and used.
    index: Mutex<Turn>,
    sessions: Sessions,
    unresolved: Unresolved,
    state: Mutex<State>,
    stop: AtomicBool,
    listener: OnceLock<Listener>,
    events: Mutex<Sender<Event>>,
    inbox: Mutex<Receiver<Event>>,
}

/// What a run knows and the ledger need not: all of it begins anew with the process.
struct State {
    /// Rows that were not in the source when last looked for, and since when.
    absent: HashMap<i64, Instant>,
    /// Rows that may be claimed again at a time.
    later: Vec<(Instant, i64)>,
    last_progress: Instant,
    tally: Tally,
    /// After trouble: when it is tried again.
    goes_on_at: Option<Instant>,
    /// The target has Gmail's extensions.
    gmail: bool,
    /// Mailboxes of copies that did not open.
    closed: HashMap<String, Closed>,
    fidelity: Fidelity,
    /// What a person should know although the run goes on.
    notice: Option<Error>,
    /// What the target holds already was compared with what waits.
    compared: bool,
    throttled_in_a_row: u32,
    blame: Blame,
    /// The parts of this run, and until when each has given its word to be heard of again.
    parts: Vec<(&'static str, Instant)>,
    next_beat: Instant,
    /// The parts that wait for a person.
    needs_user: Vec<&'static str>,
    /// The troubles that were said.
    said: Vec<Said>,
    /// The way into the target.
    entrance: Door,
    /// What ends the process, found by a part that cannot end it.
    fatal: Option<Error>,
}

enum Event {
    Finished(Result<()>),
    /// There is something to deliver, or a part has something to say.
    Wake,
    Stop,
}

/// Ends a run from another thread.
#[derive(Clone)]
pub struct Stopper {
    engine: std::sync::Weak<Engine>,
}

impl Stopper {
    pub fn stop(&self) {
        if let Some(engine) = self.engine.upgrade() {
            engine.stop.store(true, Ordering::Relaxed);
            engine.tell(Event::Stop);
        }
    }
}

type Task = Box<dyn FnOnce(&Engine) -> Result<()> + Send>;

impl Engine {
    /// For this route and its ledger, which must be locked by the caller.
    ///
    /// # Errors
    /// `Fatal` when the ledger is another route's.
    pub fn new(config: Config, times: Intervals, mut ledger: Ledger) -> Result<Arc<Engine>> {
        let route = Route::new(
            &config.source_user,
            &config.source.host,
            &config.target_user,
            &config.target.host,
        );
        ledger.belong_to(&route, Utc::now())?;
        let (events, inbox) = channel();
        let setup = Setup::new(config, ledger.folder()?, &times, None);
        Ok(Arc::new(Engine {
            setup: RwLock::new(Arc::clone(&setup)),
            once: AtomicBool::new(true),
            reader: Mutex::new(Reader::new(setup, times.clone())),
            unresolved: Unresolved::new(&times),
            sessions: Sessions::default(),
            times,
            ledger: Shared::new(ledger),
            first_session: Mutex::new(None),
            discovering: Mutex::new(()),
            index: Mutex::new(Turn::default()),
            state: Mutex::new(State {
                absent: HashMap::new(),
                later: Vec::new(),
                last_progress: Instant::now(),
                tally: Tally::new(),
                goes_on_at: None,
                gmail: false,
                closed: HashMap::new(),
                fidelity: Fidelity::default(),
                notice: None,
                compared: false,
                throttled_in_a_row: 0,
                blame: Blame::default(),
                parts: Vec::new(),
                next_beat: Instant::now(),
                needs_user: Vec::new(),
                said: Vec::new(),
                entrance: Door::default(),
                fatal: None,
            }),
            stop: AtomicBool::new(false),
            listener: OnceLock::new(),
            events: Mutex::new(events),
            inbox: Mutex::new(inbox),
        }))
    }

    fn setup(&self) -> Arc<Setup> {
        Arc::clone(&self.setup.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn tell(&self, event: Event) {
        let _ = self
            .events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send(event);
    }

    pub fn stopper(self: &Arc<Engine>) -> Stopper {
        Stopper {
            engine: Arc::downgrade(self),
        }
    }

    /// Resolve, discover, deliver. What the first two cannot do does not keep the others from it,
    /// but nothing is delivered before what is in flight has been looked for.
    fn pass(self: &Arc<Engine>, discovered: &mut bool) -> Result<()> {
        let unseen = !self.unresolved.worth_a_look(self.state().gmail).is_empty();
        let resolved = match self.refused_for_good() {
            _ if !unseen => Ok(()),
            Some(e) => Err(e),
            None => self.all(vec![Box::new(|e: &Engine| {
                let mut account = e.open_account().inspect_err(|error| e.was_refused(error))?;
                let end = e.resolve_and_verify(&mut account);
                e.mind_shut(&account);
                account.logout();
                end
            })]),
        };
        if self.stopping() {
            return Ok(());
        }
        let mut looked = Ok(());
        if !*discovered {
            let look: Task = Box::new(|e: &Engine| {
                let looked = e.discover(&mut e.reader())?;
                looked.say(&e.setup().folder);
                looked.trouble.map_or(Ok(()), Err)
            });
            let beside = if resolved.is_ok() {
                self.sign_in_beside()
            } else {
                None
            };
            looked = self.all([look].into_iter().chain(beside).collect());
            *discovered = looked.is_ok();
        }
        // What the source told of is delivered, also where that was not all.
        if looked.as_ref().is_err_and(|e| e.scope() != Scope::Message) {
            return looked;
        }
        resolved?;
        let inherited = self.inherited()?;
        if self.stopping() {
            return looked;
        }
        let unverified = !self.ledger.step(|l| l.unverified())?.is_empty();
        if !inherited || !(unverified || self.work_is_due()?) {
            return self.signed_in().and(looked);
        }
        self.not_refused()?;
        let (pending, _) = self.ledger.step(|l| l.left())?;
        let workers = pending
            .div_ceil(PER_WORKER)
            .clamp(1, self.setup().config.connections as u64);
        let batch = (pending.div_ceil(workers * 2) as usize).clamp(1, BATCH_MAX);
        *self
            .first_session
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
        let work = |_| -> Task { Box::new(move |e: &Engine| e.work(batch)) };
        let begun = Instant::now();
        let end = self.all((0..workers).map(work).collect());
        self.state().tally.at_work += begun.elapsed();
        end.and(looked)
    }

    /// Is there a row that a claim could take now?
    fn work_is_due(&self) -> Result<bool> {
        if self.once.load(Ordering::Relaxed) {
            self.ledger.step(|l| l.untried())
        } else {
            let now = Utc::now();
            let next = self.ledger.step(|l| l.next_due(now))?;
            Ok(next.is_some_and(|at| at <= now))
        }
    }

    /// Takes over, step by step, what older incarnations know. False where that has to wait, also
    /// before the first look: there is nothing to deliver then.
    fn inherited(&self) -> Result<bool> {
        let folder = self.setup().folder.id;
        loop {
            match self.ledger.step(|l| l.inherit(folder))? {
                Inherited::NotYet => return Ok(false),
                Inherited::Wholly => return Ok(true),
                Inherited::InPart => {}
            }
            if self.stopping() {
                return Ok(false);
            }
            self.promise(DELIVER, self.times.batch + SLACK);
            self.beat()?;
        }
    }

    /// Rows in flight that no worker holds: their end was not seen, and time counts from now.
    fn adopt_in_flight(&self, broke_down: bool) -> Result<()> {
        let rows = self.ledger.step(|l| l.in_flight())?;
        let why = broke_down.then(|| Error::connection(BROKE_DOWN));
        self.unresolved.adopt(&rows, why.as_ref());
        Ok(())
    }

    fn open_account(&self) -> Result<Account> {
        let setup = self.setup();
        setup
            .target
            .enter(|login, renew_at| self.entered(&setup, login, renew_at))
    }

    fn entered(&self, setup: &Setup, login: &Login, renew_at: Option<Time>) -> Result<Account> {
        let without = self.closed_now();
        let account = Account::open(&Entry {
            config: &setup.config,
            delivery: &setup.folder.target,
            login,
            renew_at,
            without: &without,
            times: &self.times,
        })?;
        self.note_target(&account, &without);
        Ok(account)
    }

    /// Runs tasks, each on a thread of its own, until all have ended; the gravest error is theirs.
    /// When a person ends the run, those under way are given a few seconds.
    fn all(self: &Arc<Engine>, tasks: Vec<Task>) -> Result<()> {
        let mut running = tasks.len();
        for task in tasks {
            let engine = Arc::clone(self);
            let sender = self
                .events
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            thread::Builder::new()
                .spawn(move || {
                    let end = catch_unwind(AssertUnwindSafe(|| task(&engine)));
                    let end = end.unwrap_or_else(|_| {
                        error!("a worker panicked: this is a defect of imap-to-gmail; what it had under way is looked for");
                        Err(Error::connection("a worker of ours broke down"))
                    });
                    let _ = sender.send(Event::Finished(end));
                })
                .map_err(|e| Error::fatal(format!("no thread can be started: {e}")))?;
        }
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let mut worst: Option<Error> = None;
        let mut deadline = None;
        while running > 0 {
            let wait = match deadline {
                None if self.stopping() => {
                    *deadline.insert(Instant::now() + self.times.farewell) - Instant::now()
                }
                None => self.times.heartbeat,
                Some(at) => at.saturating_duration_since(Instant::now()),
            };
            match inbox.recv_timeout(wait) {
                Ok(Event::Finished(Ok(()))) => running -= 1,
                Ok(Event::Finished(Err(e))) => {
                    running -= 1;
                    if worst.as_ref().is_none_or(|w| e.gravity() > w.gravity()) {
                        worst = Some(e);
                    }
                }
                Ok(Event::Stop | Event::Wake) => {}
                Err(RecvTimeoutError::Timeout) if deadline.is_some() => break,
                Err(_) => self.beat()?,
            }
        }
        worst.map_or(Ok(()), Err)
    }

    /// Waits for a moment, with signs of life, or until a person ends the run. With `wakeable` also
    /// until there is something to deliver.
    fn wait(&self, until: Instant, wakeable: bool) -> Result<()> {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.stopping() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match inbox.recv_timeout(left.min(self.times.heartbeat)) {
                Ok(Event::Wake) if wakeable => break,
                Ok(_) => {}
                Err(_) => self.beat()?,
            }
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be known of the reader, unless it is at work.
    fn at_reader<T>(&self, ask: impl FnOnce(&Reader) -> T) -> Option<T> {
        self.idle_reader().map(|reader| ask(&reader))
    }

    /// The reader, unless it is at work: that may take long, and signals are to be heard.
    fn idle_reader(&self) -> Option<MutexGuard<'_, Reader>> {
        match self.reader.try_lock() {
            Ok(reader) => Some(reader),
            // A worker broke down at it.
            Err(TryLockError::Poisoned(reader)) => Some(reader.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn reader(&self) -> MutexGuard<'_, Reader> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Doubling from the first figure up to the second, with up to a quarter of jitter, so that a
/// thousand clients of a server that comes back do not all come at once.
fn backoff(tries: u32, (first, most): (Duration, Duration)) -> Duration {
    let wait = first.saturating_mul(1 << tries.min(16)).min(most);
    wait.mul_f64(0.75 + fastrand::f64() * 0.25)
}
