//! The thread of one route, from reading its configuration to the end of its run: whatever happens on it, the other routes
//! learn no more of it than that it has ended. Not for when it is started (`routes`).

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};

use log::debug;

use super::Asked;
use super::held::note_alive;
use super::registry::Registry;
use crate::engine::{Ended, Engine, Sign};
use crate::error::{Error, Result, shown};
use crate::threads;

/// A route that can run.
pub struct Begun {
    pub engine: Arc<Engine>,
    /// Its ledger.
    pub state_file: PathBuf,
    /// Runs it until its end.
    pub go: Box<dyn FnOnce() -> Result<Ended> + Send>,
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

/// The thread of one route, from reading its configuration to the end of its run.
pub(super) struct RouteThread {
    pub(super) file: PathBuf,
    pub(super) registry: Arc<Registry>,
    pub(super) begin: Arc<Begin>,
    pub(super) events: Sender<Event>,
    pub(super) alive_at: Arc<AtomicU64>,
}

impl RouteThread {
    pub(super) fn run(self) {
        let name: Arc<str> = shown(self.file.display().to_string().as_bytes()).into();
        threads::work_for(Some(name));
        let end = catch_unwind(AssertUnwindSafe(|| self.begin_and_go()));
        let end = end.unwrap_or_else(|why| Err(panicked(&*why)));
        let _ = self.events.send(Event::Ended {
            file: self.file,
            end,
        });
    }

    fn begin_and_go(&self) -> Result<Ended> {
        let begun = (self.begin)(&self.file, &self.registry)?;
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
            state_file: begun.state_file,
            open: begun.engine.when_closed(),
            engine: Arc::clone(&begun.engine),
        });
        let stopper = begun.engine.stopper();
        drop(begun.engine);
        let end = catch_unwind(AssertUnwindSafe(begun.go));
        // What it left behind of itself, such as its watcher, is to end too.
        stopper.stop();
        end.unwrap_or_else(|why| Err(panicked(&*why)))
    }
}

fn panicked(why: &(dyn Any + Send)) -> Error {
    let why = why.downcast_ref::<String>().map(String::as_str);
    debug!("panicked: {}", why.unwrap_or("no words"));
    Error::connection(
        "its thread panicked: this is a defect of imap-to-gmail; what it had under way is looked for",
    )
}
