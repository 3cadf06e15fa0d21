//! The supervisor of one route: what a run does first, how many workers it takes, and when a run is over.
//!
//! Threads and blocking I/O. The calling thread only coordinates, so that signs of life and the request to
//! stop never wait for a server. Restart is recovery: nothing here needs to end well.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, TryLockError, Weak};
use std::time::{Duration, Instant};

use chrono::Utc;
use log::info;

use crate::config::{Config, Intervals};
use crate::error::{Charge, Error, Result};
use crate::folder::{Folder, FolderId};
use crate::ledger::{Inherited, Ledger, Route, Shared};
use crate::target::Policy;

mod absent;
mod ahead;
mod asked;
mod batch;
mod bisect;
mod blame;
mod budget;
mod by_import;
mod cover;
mod crowd;
mod daemon;
mod decide;
mod dedup;
mod deliver;
mod fetch;
mod fidelity;
mod folders;
mod forecast;
mod gate;
mod glance;
mod heartbeat;
mod history;
mod imports;
mod index;
mod known_target;
mod labels;
mod look;
mod mark;
mod notice_mail;
mod notices;
mod once;
mod overlap;
mod parts;
mod pause;
mod pipeline;
mod portion;
mod progress;
mod put_back;
mod reader;
mod readers;
mod recognise;
mod record;
mod removal;
mod resolve;
mod rest;
mod road;
mod second_try;
mod seen;
mod send;
mod sessions;
mod settle;
mod setup;
mod sign_in;
mod tasks;
mod turns;
mod unresolved;
mod verify;
mod watch;
mod watcher;
mod whose;
mod workers;

use absent::Absent;
use blame::Blame;
pub use crowd::Crowd;
use fidelity::Fidelity;
use folders::Folders;
pub use forecast::{Forecast, Plan, Planned};
pub use heartbeat::Sign;
use heartbeat::{Heartbeat, Listener};
use imports::Imports;
use index::Turn;
use known_target::KnownTarget;
use notices::Notices;
pub use parts::Watch;
use pause::Pause;
use progress::Counter;
pub use progress::{Before, Counts, Progress};
use reader::Reader;
pub use readers::Readers;
use removal::Removal;
pub use rest::changed_at;
use sessions::Sessions;
use setup::Setup;
use sign_in::Entrance;
pub use tasks::Stopper;
use tasks::{Events, Task};
use turns::Turns;
use unresolved::Unresolved;
use watch::Discovery;
use workers::Workers;

/// Longer than any run.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// What left a row open where a worker of ours panicked.
const BROKE_DOWN: &str = "imap-to-gmail itself broke down over this message";

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
    /// Its configuration has changed in what a run keeps to until its end: the next run begins with it.
    Outdated,
}

/// One route, and all that a run of it knows. What the ledger need not know begins anew with each process,
/// in parts of their own.
///
/// Locks that are held while others are taken, outermost first: the supervisor's inbox, the first session of
/// a pass, the turn at the notices, the turn at the index, the reader, discovery. Every other lock, the ledger's and those of the
/// parts, is the last one: while it is held no other lock of this struct is taken.
pub struct Engine {
    setup: RwLock<Arc<Setup>>,
    times: Intervals,
    ledger: Arc<Shared>,
    /// When it is closed this is gone.
    closed: Weak<()>,
    /// Tries each row once, whatever its backoff.
    once: AtomicBool,
    events: Events,
    turns: Turns,
    /// Who hears the signs that this route gives.
    listener: OnceLock<Listener>,
    /// The session with the source that fetches.
    reader: Mutex<Reader>,
    /// Held while the source is looked through for new mail.
    discovery: Mutex<Discovery>,
    /// Held while the target index is brought up to date and used.
    index: Mutex<Turn>,
    folders: Folders,
    /// Mail has come that is not to wait for what has been there longer.
    new_mail: AtomicBool,
    /// Why labels that are owed were not given in this pass.
    refused_labels: Mutex<Option<Error>>,
    sessions: Sessions,
    workers: Workers,
    /// Other routes go into the same account.
    crowd: OnceLock<Arc<Crowd>>,
    /// Others may read the same account; and which configuration this is.
    readers: OnceLock<(Arc<Readers>, PathBuf)>,
    entrance: Entrance,
    known_target: KnownTarget,
    /// What the target holds already was compared with what waits.
    compared: AtomicBool,
    fidelity: Mutex<Fidelity>,
    unresolved: Unresolved,
    notices: Notices,
    imports: Imports,
    removal: Removal,
    absent: Absent,
    blame: Mutex<Blame>,
    blame_of_imports: Mutex<Blame>,
    pause: Pause,
    counter: Counter,
    heartbeat: Heartbeat,
}

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
        let setup = Setup::new(config, ledger.first_folder()?, &times, None);
        Ok(Arc::new(Engine {
            setup: RwLock::new(Arc::clone(&setup)),
            once: AtomicBool::new(true),
            reader: Mutex::new(Reader::new(setup, times.clone())),
            known_target: KnownTarget::new(Policy::of_any(&times)),
            unresolved: Unresolved::default(),
            notices: Notices::default(),
            workers: Workers::new(times.fewer),
            times,
            closed: ledger.when_closed(),
            ledger: Arc::new(Shared::new(ledger)),
            events: Events::new(),
            turns: Turns::default(),
            listener: OnceLock::new(),
            discovery: Mutex::default(),
            index: Mutex::default(),
            folders: Folders::default(),
            new_mail: AtomicBool::new(false),
            refused_labels: Mutex::default(),
            sessions: Sessions::default(),
            crowd: OnceLock::new(),
            readers: OnceLock::new(),
            entrance: Entrance::default(),
            compared: AtomicBool::new(false),
            fidelity: Mutex::default(),
            imports: Imports::default(),
            removal: Removal::default(),
            absent: Absent::default(),
            blame: Mutex::default(),
            blame_of_imports: Mutex::default(),
            pause: Pause::default(),
            counter: Counter::new(),
            heartbeat: Heartbeat::default(),
        }))
    }

    /// Resolve, discover, deliver. What the first two cannot do does not keep the others from it,
    /// but nothing is delivered before what is in flight has been looked for.
    fn pass(self: &Arc<Engine>, discovered: &mut bool) -> Result<()> {
        let resolved = self.resolve_in_flight();
        if self.stopping() {
            return Ok(());
        }
        let mut looked = Ok(());
        if !*discovered {
            let look: Task = Box::new(|e: &Engine| {
                let mut reader = e.reader();
                let looked = e.discover(&mut reader)?;
                if looked.is_nothing_new() {
                    let others = if e.folders.are_several() {
                        " and others"
                    } else {
                        ""
                    };
                    info!("no new messages in {}{others}", reader.name());
                }
                looked.trouble.map_or(Ok(()), Err)
            });
            let beside = if resolved.is_ok() {
                self.sign_in_beside()
            } else {
                None
            };
            let tasks = [look].into_iter().chain(beside).collect();
            looked = self.all(tasks);
            self.decide_about_others();
            *discovered = looked.is_ok();
        }
        // What the source told of is delivered, also where that was not all.
        let in_part = |e: &Error| e.reaction().charge == Charge::Attempt;
        if looked.as_ref().is_err_and(|e| !in_part(e)) {
            return looked;
        }
        resolved?;
        let inherited = self.inherit()?;
        if self.stopping() {
            return looked;
        }
        let unverified = !self.ledger.step(|l| l.unverified())?.is_empty();
        let owes = self.ledger.step(|l| l.owes_labels())?;
        if !inherited || !(unverified || owes || self.work_is_due()?) {
            self.tell_of_failures_now()?;
            return self.sign_in().and(looked);
        }
        self.take_refusal()?;
        let (pending, _) = self.ledger.step(|l| l.left())?;
        let size = self.ledger.step(|l| l.usual_size())?;
        self.workers.begin(pending, size, self.connections());
        self.entrance.forget_first_session();
        let begun = Instant::now();
        let end = self.all_and_more(Vec::new(), || self.another_worker());
        self.counter.add_time_at_work(begun.elapsed());
        if end.as_ref().err().is_none_or(|e| e.own_limit) {
            self.tell_of_failures_now()?;
        }
        self.leave_room();
        end.and(looked)
    }

    /// Another worker, where one more is wanted and may have a session: the first always may.
    fn another_worker(&self) -> Option<Task> {
        let first = !self.workers.any();
        if !self.workers.take() {
            return None;
        }
        let extra = if first { None } else { self.take_session() };
        if !first && extra.is_none() {
            self.workers.give_back();
            return None;
        }
        Some(Box::new(move |e: &Engine| {
            let mut seat = e.workers.seat();
            let end = e.work(&mut seat);
            seat.well = end.is_ok();
            drop((seat, extra));
            end
        }))
    }

    /// Sessions that workers may have with the target. One that looks at copies before messages are removed is not theirs.
    fn connections(&self) -> usize {
        let most = self.setup().config.connections;
        if self.removal.is_running() {
            (most - 1).max(1)
        } else {
            most
        }
    }

    /// What failed is told of where that has to wait for nothing. A run that ends by itself does so at its end.
    fn tell_of_failures_now(self: &Arc<Engine>) -> Result<()> {
        if self.once.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.tell_of_failures_beside()
    }

    /// Looks for what earlier attempts left in flight, where a look may tell something new.
    fn resolve_in_flight(self: &Arc<Engine>) -> Result<()> {
        let target = self.known_target.policy();
        if self.unresolved.worth_a_look(&target).is_empty() {
            return Ok(());
        }
        if let Some(refused) = self.refused_for_good() {
            return Err(refused);
        }
        self.all(vec![Box::new(|e: &Engine| {
            let opened = e.open_account();
            let mut account = opened.inspect_err(|error| e.note_refused_entry(error))?;
            let end = e.resolve_and_verify(&mut account);
            e.note_shut(&account);
            account.logout();
            end
        })])
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

    /// Takes over, step by step, what older incarnations of each folder know. False where that has to wait for
    /// all of them, also before the first look: there is nothing to deliver then.
    fn inherit(&self) -> Result<bool> {
        let mut any = false;
        for folder in self.ledger.step(|l| l.all_folders())? {
            any |= self.inherit_in(folder.id)?;
        }
        Ok(any && !self.stopping())
    }

    /// The same for one folder.
    fn inherit_in(&self, folder: FolderId) -> Result<bool> {
        loop {
            match self.ledger.step(|l| l.inherit(folder))? {
                Inherited::NotYet => return Ok(false),
                Inherited::Wholly => return Ok(true),
                Inherited::InPart => {}
            }
            if self.stopping() {
                return Ok(false);
            }
            self.promise_step();
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
        lock(&self.reader)
    }

    /// The reader, which is asked about this folder from now on.
    fn reader_at(&self, folder: &Folder) -> MutexGuard<'_, Reader> {
        let mut reader = self.reader();
        reader.turn_to(folder);
        reader
    }

    /// It goes before what has been there longer, also before what is claimed already. A run that ends by itself
    /// has no time for that.
    fn note_new_mail(&self) {
        let once = self.once.load(Ordering::Relaxed);
        self.new_mail.store(!once, Ordering::Relaxed);
    }
}

/// A thread that broke down while it held a lock left nothing half done behind it: what it guards is noted
/// at once, or is found out anew.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Doubling from the first figure up to the second, with up to a quarter of jitter, so that a
/// thousand clients of a server that comes back do not all come at once.
fn backoff(tries: u32, (first, most): (Duration, Duration)) -> Duration {
    let wait = first.saturating_mul(1 << tries.min(16)).min(most);
    wait.mul_f64(0.75 + fastrand::f64() * 0.25)
}
