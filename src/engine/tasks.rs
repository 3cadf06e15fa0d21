//! The threads of a run: tasks, the supervisor that waits for them, and what reaches it meanwhile. Not for
//! what the tasks do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Instant;

use log::error;

use super::{Engine, lock};
use crate::error::{Error, Result};
use crate::threads;

/// What is done on a thread of its own while the supervisor waits for its end.
pub(super) type Task = Box<dyn FnOnce(&Engine) -> Result<()> + Send>;

/// What reaches the supervisor.
pub(super) enum Event {
    Finished(Result<()>),
    /// There is something to deliver, or a part has something to say.
    Wake,
    Stop,
}

/// How the threads of a run speak with its supervisor.
pub(super) struct Events {
    sender: Sender<Event>,
    /// Held by the supervisor while it waits.
    inbox: Mutex<Receiver<Event>>,
    /// A person, or the system, ends the run.
    stop: AtomicBool,
    /// It ends because its configuration has changed.
    outdated: AtomicBool,
    /// What ends the run as an error, found by a thread that cannot end it.
    fatal: OnceLock<Error>,
}

impl Events {
    pub(super) fn new() -> Events {
        let (sender, inbox) = channel();
        Events {
            sender,
            inbox: Mutex::new(inbox),
            stop: AtomicBool::new(false),
            outdated: AtomicBool::new(false),
            fatal: OnceLock::new(),
        }
    }

    /// The run ends, and the next one is to begin with another configuration.
    pub(super) fn end_as_outdated(&self) {
        self.outdated.store(true, Ordering::Relaxed);
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Relaxed)
    }

    fn send(&self, event: Event) {
        // Nobody listens when the run is over.
        let _ = self.sender.send(event);
    }
}

/// Ends a run from another thread.
#[derive(Clone)]
pub struct Stopper {
    engine: Weak<Engine>,
}

impl Stopper {
    pub fn stop(&self) {
        if let Some(engine) = self.engine.upgrade() {
            engine.events.stop.store(true, Ordering::Relaxed);
            engine.events.send(Event::Stop);
            engine.pause.end();
            engine.take_up_run();
        }
    }
}

impl Engine {
    pub fn stopper(self: &Arc<Engine>) -> Stopper {
        Stopper {
            engine: Arc::downgrade(self),
        }
    }

    pub(super) fn stopping(&self) -> bool {
        self.events.stop.load(Ordering::Relaxed)
    }

    /// The supervisor looks what there is to do.
    pub(super) fn wake(&self) {
        self.events.send(Event::Wake);
    }

    /// Is there anything that nobody has heard of yet? Asked while nobody waits for it.
    pub(super) fn has_news(&self) -> bool {
        lock(&self.events.inbox).try_recv().is_ok()
    }

    /// The run ends with this error, as soon as the supervisor looks.
    pub(super) fn end_with(&self, fatal: Error) {
        let _ = self.events.fatal.set(fatal);
        self.wake();
    }

    /// An error where another thread has ended the run with one.
    pub(super) fn not_ended(&self) -> Result<()> {
        self.events.fatal.get().cloned().map_or(Ok(()), Err)
    }

    /// Runs tasks, each on a thread of its own, until all have ended; the gravest error is theirs.
    /// When a person ends the run, those under way are given a few seconds.
    pub(super) fn all(self: &Arc<Engine>, tasks: Vec<Task>) -> Result<()> {
        self.all_and_more(tasks, || None)
    }

    /// As [`all`](Self::all). `more` is asked for other tasks at first, and whenever something happens.
    pub(super) fn all_and_more(
        self: &Arc<Engine>,
        tasks: Vec<Task>,
        more: impl Fn() -> Option<Task>,
    ) -> Result<()> {
        let mut running = tasks.len();
        for task in tasks {
            self.start(task)?;
        }
        let inbox = lock(&self.events.inbox);
        let mut worst: Option<Error> = None;
        let mut deadline = None;
        loop {
            while !self.stopping()
                && let Some(task) = more()
            {
                self.start(task)?;
                running += 1;
            }
            if running == 0 {
                break;
            }
            let wait = match deadline {
                None if self.stopping() => {
                    *deadline.insert(Instant::now() + self.times.farewell) - Instant::now()
                }
                None => self.times.heartbeat,
                Some(at) => at.saturating_duration_since(Instant::now()),
            };
            // Also while there is so much news that nothing is waited for.
            self.beat()?;
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
                Err(_) => {}
            }
        }
        worst.map_or(Ok(()), Err)
    }

    fn start(self: &Arc<Engine>, task: Task) -> Result<()> {
        let (engine, sender) = (Arc::clone(self), self.events.sender.clone());
        threads::spawn(move || {
            let end = catch_unwind(AssertUnwindSafe(|| task(&engine)));
            let end = end.unwrap_or_else(|_| {
                error!("a worker panicked: this is a defect of imap-to-gmail; what it had under way is looked for");
                Err(Error::connection("a worker of ours broke down"))
            });
            // Whoever hears of it may end the process: the ledger is to be closed by then.
            drop(engine);
            let _ = sender.send(Event::Finished(end));
        })
        .map(|_| ())
            .map_err(|e| Error::fatal(format!("no thread can be started: {e}")))
    }

    /// Waits for a moment, with signs of life, or until a person ends the run. With `wakeable` also
    /// until there is something to deliver: true then.
    pub(super) fn wait(&self, until: Instant, wakeable: bool) -> Result<bool> {
        let inbox = lock(&self.events.inbox);
        while !self.stopping() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.beat()?;
            match inbox.recv_timeout(left.min(self.times.heartbeat)) {
                Ok(Event::Wake) if wakeable => return Ok(true),
                Ok(_) => {}
                Err(_) => {}
            }
        }
        Ok(false)
    }
}
