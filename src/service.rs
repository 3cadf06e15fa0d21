//! The process around its routes: which there are, the signals that reach it, and what the system's service manager is told
//! of it (sd_notify). A route knows nothing of the process; it gives signs of itself, and they end here. Not for
//! what a run does (`engine`), nor for what a person reads (`cli`).

use std::fs;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use sd_notify::NotifyState;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::engine::{Engine, Sign};
use crate::error::{Error, Result};

mod find;
mod held;
mod launch;
mod registry;
mod roster;
mod routes;
mod watchman;

pub use find::{configurations, some_configurations};
pub use launch::{Begin, Begun, OnEnd};
pub use registry::{Pair, Registry};
pub use roster::{Entry, Roster};
pub use routes::Routes;
pub use watchman::Watchman;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    End,
    Reload,
}

/// Holds a route: for as long as this lives, signals reach it, and its signs reach the system.
pub struct Service {
    _heeded: Heeded,
}

impl Service {
    /// For a route that is about to run. `reload`: what is done when SIGHUP asks for it; without it a hangup
    /// ends the run as SIGTERM does.
    ///
    /// # Errors
    /// When signals cannot be handled.
    pub fn hold(route: &Arc<Engine>, reload: Option<fn()>) -> Result<Service> {
        let stopper = route.stopper();
        let heeded = Heeded::signals(reload.is_some(), move |asked| match (asked, reload) {
            (Asked::Reload, Some(reload)) => reload(),
            _ => stopper.stop(),
        })?;
        route.give_signs_to(|sign| {
            tell_system(match sign {
                Sign::Ready => NotifyState::Ready,
                Sign::Alive => NotifyState::Watchdog,
                Sign::Status(line) => NotifyState::Status(line),
                Sign::Ending => NotifyState::Stopping,
            });
        });
        Ok(Service { _heeded: heeded })
    }
}

/// Signals are heeded until this is dropped.
struct Heeded {
    signals: Handle,
    listener: Option<JoinHandle<()>>,
}

impl Heeded {
    /// Does `act` on a thread of its own for each signal. `reloads`: SIGHUP asks for that; else a hangup asks for the end.
    fn signals(reloads: bool, act: impl Fn(Asked) + Send + 'static) -> Result<Heeded> {
        let hangup = (reloads || hangup_would_end_us()).then_some(SIGHUP);
        let mut signals = Signals::new([SIGTERM, SIGINT].into_iter().chain(hangup))
            .map_err(|e| Error::fatal(format!("signals cannot be handled: {e}")))?;
        let handle = signals.handle();
        let listener = thread::spawn(move || {
            for signal in signals.forever() {
                act(if reloads && signal == SIGHUP {
                    Asked::Reload
                } else {
                    Asked::End
                });
            }
        });
        Ok(Heeded {
            signals: handle,
            listener: Some(listener),
        })
    }
}

impl Drop for Heeded {
    fn drop(&mut self) {
        self.signals.close();
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

/// Nobody listens where the system has not started us as a service.
fn tell_system(state: NotifyState<'_>) {
    let _ = sd_notify::notify(&[state]);
}

/// A terminal that closes ends what runs in it: not where somebody has seen to it that a hangup is ignored
/// (`nohup`), nor where nobody can tell.
fn hangup_would_end_us() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & (1 << (SIGHUP - 1)) == 0)
}
