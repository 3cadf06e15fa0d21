//! How one route is set going, from reading its configuration to the end of its run: whatever happens on its threads, the
//! other routes learn no more of it than that it has ended. Not for when it is started (`routes`).

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};

use super::Asked;
use super::held::note_alive;
use super::registry::Registry;
use crate::engine::{Ended, Engine, Sign, Stopper};
use crate::error::{Error, Result, shown};
use crate::threads;

/// A route that can run.
pub struct Begun {
    pub engine: Arc<Engine>,
    /// Its ledger.
    pub state_file: PathBuf,
    /// Begins its run, and tells how it ended, at once or later.
    pub go: Box<dyn FnOnce(OnEnd) + Send>,
}

/// How the configuration in a file becomes a route; it enters itself into the registry.
pub type Begin = dyn Fn(&Path, &Registry) -> Result<Begun> + Send + Sync;

/// What reaches whoever holds the routes.
pub(super) enum Event {
    Signal(Asked),
    Begun {
        file: PathBuf,
        name: Arc<str>,
        state_file: PathBuf,
        /// Until its ledger is closed.
        open: Weak<()>,
        engine: Arc<Engine>,
    },
    Status {
        file: PathBuf,
        line: String,
    },
    Ended {
        file: PathBuf,
        end: Result<Ended>,
    },
}

/// The thread on which a route begins.
pub(super) struct RouteThread {
    pub(super) file: PathBuf,
    pub(super) registry: Arc<Registry>,
    pub(super) begin: Arc<Begin>,
    pub(super) events: Sender<Event>,
    pub(super) alive_at: Arc<AtomicU64>,
}

/// Hears how a run ended. One that is dropped before it does has panicked.
pub struct OnEnd {
    file: PathBuf,
    events: Sender<Event>,
    /// What the run left behind of itself, such as its watcher, is to end too.
    stopper: Option<Stopper>,
    end: Option<Result<Ended>>,
}

impl OnEnd {
    pub fn ended(mut self, end: Result<Ended>) {
        self.end = Some(end);
    }
}

impl Drop for OnEnd {
    fn drop(&mut self) {
        if let Some(stopper) = &self.stopper {
            stopper.stop();
        }
        let panicked = || {
            Err(Error::connection(
                "its thread panicked: this is a defect of imap-to-gmail; what it had under way is looked for",
            ))
        };
        let _ = self.events.send(Event::Ended {
            file: self.file.clone(),
            end: self.end.take().unwrap_or_else(panicked),
        });
    }
}

impl RouteThread {
    pub(super) fn run(self) {
        let name: Arc<str> = shown(self.file.display().to_string().as_bytes()).into();
        threads::work_for(Some(name));
        let mut on_end = OnEnd {
            file: self.file.clone(),
            events: self.events.clone(),
            stopper: None,
            end: None,
        };
        match (self.begin)(&self.file, &self.registry) {
            Ok(begun) => {
                on_end.stopper = Some(begun.engine.stopper());
                self.tell_of(&begun);
                drop(begun.engine);
                (begun.go)(on_end);
            }
            Err(e) => on_end.ended(Err(e)),
        }
    }

    /// Its signs are heard from now on.
    fn tell_of(&self, begun: &Begun) {
        let (file, events) = (self.file.clone(), self.events.clone());
        let alive_at = Arc::clone(&self.alive_at);
        begun.engine.give_signs_to(move |sign| match sign {
            Sign::Alive => note_alive(&alive_at),
            Sign::Status(line) => {
                let _ = events.send(Event::Status {
                    file: file.clone(),
                    line: line.into(),
                });
            }
            Sign::Ready | Sign::Ending => {}
        });
        let name = threads::route().unwrap_or_else(|| "".into());
        let _ = self.events.send(Event::Begun {
            file: self.file.clone(),
            name,
            state_file: begun.state_file.clone(),
            open: begun.engine.when_closed(),
            engine: Arc::clone(&begun.engine),
        });
    }
}
