//! The process around a route: the signals that reach it, and what the system's service manager is told of it
//! (sd_notify). A route knows nothing of the process; it gives signs of itself, and they end here. Not for
//! what a run does (`engine`), nor for what a person reads (`cli`).

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use chrono::Utc;
use sd_notify::NotifyState;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::alarm::{Alarm, Hands};
use crate::config::Intervals;
use crate::engine::{Engine, Sign, Stopper};
use crate::error::{Error, Result};
use crate::status::{Asked, Report};

/// Holds a route: for as long as this lives, signals reach it, and its signs reach the system.
pub struct Service {
    signals: Handle,
    listener: Option<JoinHandle<()>>,
}

impl Service {
    /// For a route that is about to run. `reload`: what is done when SIGHUP asks for it; without it a hangup
    /// ends the run as SIGTERM does.
    ///
    /// # Errors
    /// When signals cannot be handled.
    pub fn hold(route: &Arc<Engine>, reload: Option<fn()>) -> Result<Service> {
        let hangup = (reload.is_some() || hangup_would_end_us()).then_some(SIGHUP);
        let signals = Signals::new([SIGTERM, SIGINT].into_iter().chain(hangup))
            .map_err(|e| Error::fatal(format!("signals cannot be handled: {e}")))?;
        route.give_signs_to(tell_system);
        let stopper = route.stopper();
        Ok(Service {
            signals: signals.handle(),
            listener: Some(thread::spawn(move || obey(signals, &stopper, reload))),
        })
    }
}

/// Has somebody told how a route is, for as long as this lives.
pub struct Watchman {
    over: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    hands: Arc<Hands>,
    patience: Duration,
}

impl Watchman {
    /// `state_file`: the route's ledger.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(route: &Arc<Engine>, state_file: &Path, times: &Intervals) -> Result<Watchman> {
        let hands = Hands::new(times.ping_limit);
        let alarm = Alarm::new(&hands, route.ledger(), times, "");
        let (over, ended) = channel();
        let (route, state_file, every) = (Arc::clone(route), state_file.to_path_buf(), times.alarm);
        let watch = move || {
            while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                look(&alarm, &route, &state_file);
            }
        };
        let thread = thread::Builder::new()
            .spawn(watch)
            .map_err(|e| Error::fatal(format!("no thread can be started: {e}")))?;
        Ok(Watchman {
            over: Some(over),
            thread: Some(thread),
            hands,
            patience: times.farewell,
        })
    }
}

fn look(alarm: &Arc<Alarm>, route: &Arc<Engine>, state_file: &Path) {
    let asked = Asked {
        state_file,
        with_failed: false,
        files: "",
        upload_limit: None,
    };
    let now = Utc::now();
    let report = route.ledger().step(|l| Report::new(l, &asked, now));
    for report in report.into_iter().flat_map(|report| report.routes) {
        alarm.look(&report, &route.telling(), now);
    }
}

impl Drop for Watchman {
    fn drop(&mut self) {
        self.over.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.hands.rest(self.patience);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.signals.close();
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn obey(mut signals: Signals, stopper: &Stopper, reload: Option<fn()>) {
    for signal in signals.forever() {
        match reload {
            Some(reload) if signal == SIGHUP => reload(),
            _ => stopper.stop(),
        }
    }
}

/// Nobody listens where the system has not started us as a service.
fn tell_system(sign: Sign<'_>) {
    let state = match sign {
        Sign::Ready => NotifyState::Ready,
        Sign::Alive => NotifyState::Watchdog,
        Sign::Status(line) => NotifyState::Status(line),
        Sign::Ending => NotifyState::Stopping,
    };
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
