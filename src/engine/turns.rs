//! A run that has nothing to deliver gives its thread back: the watcher, which waits for the source anyway, looks after it
//! between the pieces of its wait, and sets it going on a thread of its own when there is something to do. So an idle
//! route costs one thread. Only for whoever names somebody to hear of its end; not for what a run does (`daemon`, `rest`).
//!
//! ```text
//!           rests, and the watcher waits
//!   at work ----------------------------> looked after
//!           <----------------------------
//!           something to do, the end, or the watcher waits no longer
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use log::error;

use super::parts::Watch;
use super::rest::Deliverer;
use super::{Ended, Engine, lock};
use crate::error::{Error, Result};
use crate::threads;

/// Who hears how a run ended, on whatever thread that is.
type OnEnd = Box<dyn FnOnce(&Arc<Engine>, Result<Ended>) + Send>;

/// How a run stands when it leaves its thread.
pub(super) enum Turn {
    Over,
    GivenBack,
}

/// Whose turn it is to look after a run.
#[derive(Default)]
pub(super) struct Turns(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    on_end: Option<OnEnd>,
    /// The watcher waits, and looks after what is given to it.
    watched: bool,
    given: Option<Given>,
}

struct Given {
    deliverer: Box<Deliverer>,
    route: Option<Arc<str>>,
}

impl Turns {
    /// Can a run be given to the watcher now?
    pub(super) fn is_watched(&self) -> bool {
        let inner = lock(&self.0);
        inner.watched && inner.on_end.is_some()
    }
}

impl Engine {
    /// As [`run_for_good`](Self::run_for_good), but may return while the run still goes on: it has a thread only while
    /// there is something to do. `ended` hears how it ended; where it breaks down, as an error.
    pub fn run_in_turns(
        self: &Arc<Engine>,
        watch: &Watch,
        ended: impl FnOnce(&Arc<Engine>, Result<Ended>) + Send + 'static,
    ) {
        lock(&self.turns.0).on_end = Some(Box::new(ended));
        let begin = || {
            self.begin_for_good(watch)?;
            Ok(Box::new(Deliverer::new(watch, self.setup())))
        };
        match unless_it_panics(begin) {
            Ok(deliverer) => self.take_turn(deliverer),
            Err(e) => self.end_turns(Err(e)),
        }
    }

    fn take_turn(self: &Arc<Engine>, deliverer: Box<Deliverer>) {
        let turn = || {
            self.ledger.step(|l| l.take_memory())?;
            self.deliver_on(deliverer)
        };
        match unless_it_panics(turn) {
            Ok(Turn::GivenBack) => {}
            Ok(Turn::Over) => self.end_turns(Ok(())),
            Err(e) => self.end_turns(Err(e)),
        }
    }

    fn end_turns(self: &Arc<Engine>, end: Result<()>) {
        let Some(on_end) = lock(&self.turns.0).on_end.take() else {
            return;
        };
        let end = unless_it_panics(|| self.end_for_good(end));
        on_end(self, end);
    }

    /// Gives a run that rests to the watcher. Some: the watcher does not wait any more, so it is kept.
    pub(super) fn give_back_the_thread(
        &self,
        deliverer: Box<Deliverer>,
    ) -> Result<Option<Box<Deliverer>>> {
        self.ledger.step(|l| l.let_go_of_memory())?;
        let mut inner = lock(&self.turns.0);
        if inner.watched && !self.stopping() {
            inner.given = Some(Given {
                deliverer,
                route: threads::route(),
            });
            return Ok(None);
        }
        drop(inner);
        self.ledger.step(|l| l.take_memory())?;
        Ok(Some(deliverer))
    }

    /// From now on, until what is returned is dropped, the watcher waits.
    pub(super) fn watch_over_turns(self: &Arc<Engine>) -> Watched {
        lock(&self.turns.0).watched = true;
        Watched(Arc::clone(self))
    }

    /// The watcher looks after the run that was given to it, if one was.
    pub(super) fn look_after_run(self: &Arc<Engine>) {
        let Some(mut given) = lock(&self.turns.0).given.take() else {
            return;
        };
        let goes_on = unless_it_panics(|| self.look_at_rest(&mut given.deliverer));
        let mut inner = lock(&self.turns.0);
        match goes_on {
            Ok(false) if inner.watched && !self.stopping() => inner.given = Some(given),
            Ok(_) => {
                drop(inner);
                self.set_going(given);
            }
            Err(e) => {
                drop(inner);
                self.end_turns(Err(e));
            }
        }
    }

    /// Sets a run going that was given to the watcher.
    pub(super) fn take_up_run(self: &Arc<Engine>) {
        let given = lock(&self.turns.0).given.take();
        if let Some(given) = given {
            self.set_going(given);
        }
    }

    fn set_going(self: &Arc<Engine>, given: Given) {
        let route = given.route.clone();
        let handed = Arc::new(Mutex::new(Some(given)));
        let (engine, taken) = (Arc::clone(self), Arc::clone(&handed));
        let begun = threads::on_behalf_of(route, || {
            threads::spawn(move || {
                let given = lock(&taken).take();
                if let Some(given) = given {
                    engine.take_turn(given.deliverer);
                }
            })
        });
        let Err(e) = begun else { return };
        let mut inner = lock(&self.turns.0);
        if inner.watched && !self.stopping() {
            // The next tick tries again.
            inner.given = lock(&handed).take();
            return;
        }
        drop(inner);
        let e = Error::fatal(format!("no thread can be started: {e}"));
        self.end_turns(Err(e));
    }
}

/// The watcher waits for as long as this lives.
pub(super) struct Watched(Arc<Engine>);

impl Drop for Watched {
    fn drop(&mut self) {
        lock(&self.0.turns.0).watched = false;
        self.0.take_up_run();
    }
}

fn unless_it_panics<T>(step: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|_| {
        error!("the run panicked: this is a defect of imap-to-gmail; it begins anew, and what it had under way is looked for");
        Err(Error::connection("the run of ours broke down"))
    })
}
