//! Many routes in one process: each has a thread, a ledger and troubles of its own, and none keeps another from its work.
//! Configurations that come, change or go are taken up meanwhile. Not for what a route does (`engine`), nor for how it
//! begins, which whoever starts this says.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use log::{debug, error, info};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;

use super::find::Places;
use super::held::{Held, Phase};
use super::launch::{Begin, Event, RouteThread};
use super::registry::Registry;
use super::roster::Roster;
use super::{Asked, Heeded, tell_system};
use crate::config::Intervals;
use crate::engine::{Ended, changed_at};
use crate::error::{Error, Result};
use crate::text::counted;
use crate::threads;

/// A configuration that is missing in so many looks is gone: programs that write files anew may take them away for a moment.
const MISSING_MAX: u32 = 2;
/// So many signs of life of a route may fail to come until it counts as stuck.
const SIGNS_MISSED_MAX: u32 = 4;
/// How often it is looked whether what a run left behind is gone.
const BEHIND: Duration = Duration::from_millis(250);
/// What is begun at once: a thousand routes of a process that starts do not sign in to one server all together.
const BEGIN_AT_ONCE: usize = 16;

/// The routes of this process, and what becomes of each.
pub struct Routes {
    places: Places,
    /// Each runs once, to its end.
    once: bool,
    times: Intervals,
    begin: Arc<Begin>,
    registry: Arc<Registry>,
    roster: Roster,
    held: Vec<Held>,
    sender: Sender<Event>,
    inbox: Receiver<Event>,
    ending: bool,
    ready: bool,
    /// What the system was told last.
    said: String,
    /// Why a folder could not be read, as it was said.
    unreadable: Option<String>,
}

impl Routes {
    pub fn new(places: Vec<PathBuf>, once: bool, times: &Intervals, begin: Arc<Begin>) -> Routes {
        let (sender, inbox) = channel();
        Routes {
            places: Places::of(&places),
            once,
            times: times.clone(),
            begin,
            registry: Arc::default(),
            roster: Roster::default(),
            held: Vec::new(),
            sender,
            inbox,
            ending: false,
            ready: false,
            said: String::new(),
            unreadable: None,
        }
    }

    /// For whoever tells of them.
    pub fn roster(&self) -> Roster {
        self.roster.clone()
    }

    /// Runs them until a person ends it, or, each once, until all are over. `reload`: what SIGHUP asks for besides a look at
    /// the configurations; without it a hangup is the end. Returns by name how the last run of each ended, or why none began.
    ///
    /// # Errors
    /// When signals cannot be handled.
    pub fn run(mut self, reload: Option<fn()>) -> Result<Vec<(Arc<str>, Result<Ended>)>> {
        let signals = self.sender.clone();
        let _heeded = Heeded::signals(reload.is_some(), move |asked| {
            let _ = signals.send(Event::Signal(asked));
        })?;
        have_descriptors_for_many();
        let mut looked = false;
        let mut look_at = Instant::now();
        let mut deadline = None;
        loop {
            // What runs once runs what was there at its start.
            if !self.ending && Instant::now() >= look_at && !(self.once && looked) {
                looked = true;
                let missing = self.look();
                let soon = self.times.configurations.min(Duration::from_secs(1));
                look_at = Instant::now()
                    + if missing {
                        soon
                    } else {
                        self.times.configurations
                    };
            }
            self.begin_those_due();
            self.tell();
            let busy = self.held.iter().any(Held::is_busy);
            let over = self.held.iter().all(|h| matches!(h.phase, Phase::Over(_)));
            if !busy && (self.ending || self.once && over) {
                break;
            }
            if self.ending {
                // Their own farewells are shorter; what does not end by then is left behind.
                let at = *deadline.get_or_insert(Instant::now() + self.times.farewell * 3);
                if Instant::now() >= at {
                    break;
                }
            }
            let mut next = self.inbox.recv_timeout(self.until_next(look_at)).ok();
            // Of many that come at once it is told once.
            while let Some(event) = next {
                match event {
                    Event::Signal(Asked::Reload) => {
                        reload.iter().for_each(|reload| reload());
                        look_at = Instant::now();
                    }
                    Event::Signal(Asked::End) => self.end(),
                    event => self.note(event),
                }
                next = self.inbox.try_recv().ok();
            }
        }
        tell_system(NotifyState::Stopping);
        let ends = self.held.into_iter().map(|held| {
            let end = match held.phase {
                Phase::Over(end) => end,
                _ => held.trouble.map_or(Ok(Ended::Stopped), Err),
            };
            (held.name, end)
        });
        Ok(ends.collect())
    }

    /// Which configurations there are now. True where one is missing that may be back in a moment.
    fn look(&mut self) -> bool {
        let files = match self.places.configurations() {
            Ok(files) => files,
            Err(e) => {
                if self.unreadable.replace(e.message.clone()).as_ref() != Some(&e.message) {
                    error!("{}", e.in_full("what was there before goes on"));
                }
                return false;
            }
        };
        self.unreadable = None;
        for file in &files {
            match self.held.iter_mut().find(|held| held.file == *file) {
                // One that was named may not be there yet; where it was, it is gone.
                Some(held) if self.places.name(file) && held.is_gone() => {}
                Some(held) => held.look_again(),
                None => self.held.push(Held::new(file)),
            }
        }
        let mut missing = false;
        for held in &mut self.held {
            let gone = self.places.name(&held.file) && held.is_gone();
            if files.contains(&held.file) && !gone {
                continue;
            }
            held.missing += 1;
            if held.missing < MISSING_MAX {
                missing = true;
            } else if held.missing == MISSING_MAX {
                let name = &held.name;
                info!("{name}: its configuration is gone: no mail is copied any more");
                held.stop();
            }
        }
        let registry = &self.registry;
        self.held.retain(|held| {
            let named = self.places.name(&held.file);
            let stays = named || held.is_busy() || !held.is_free() || held.missing < MISSING_MAX;
            if !stays {
                registry.leave(&held.file);
            } else if !held.is_busy() && held.is_free() && held.missing >= MISSING_MAX {
                registry.give_up_ledger(&held.file);
            }
            stays
        });
        missing
    }

    fn begin_those_due(&mut self) {
        let now = Instant::now();
        let beginning = self.held.iter().filter(|held| held.is_beginning()).count();
        let room = BEGIN_AT_ONCE.saturating_sub(beginning);
        let mut due: Vec<&mut Held> = Vec::new();
        // Each ledger is kept before any of them is opened, in the order in which they are listed; and before anything is
        // removed at a source it is known who else reads that.
        for held in &mut self.held {
            let is_due = matches!(held.phase, Phase::Rests { until } if until <= now);
            if !is_due || self.ending || held.missing > 0 || !held.is_free() {
                continue;
            }
            let edition = changed_at(&held.file);
            if held.ledger_kept == Some(edition) {
                due.push(held);
                continue;
            }
            let reserved = self.registry.take_note_of(&held.file);
            match reserved {
                Ok(()) => {
                    held.ledger_kept = Some(edition);
                    due.push(held);
                }
                Err(e) => {
                    held.changed_at = changed_at(&held.file);
                    held.is_refused(e, &self.times, self.once);
                }
            }
        }
        // Those that were never tried come first.
        due.sort_by_key(|held| held.failures);
        for held in due.into_iter().take(room) {
            held.changed_at = changed_at(&held.file);
            held.busy_since = now;
            let thread = RouteThread {
                file: held.file.clone(),
                registry: Arc::clone(&self.registry),
                begin: Arc::clone(&self.begin),
                events: self.sender.clone(),
                alive_at: Arc::clone(&held.alive_at),
            };
            match threads::spawn(move || thread.run()) {
                Ok(_) => held.phase = Phase::Busy { engine: None },
                Err(e) => {
                    let e = Error::connection(format!("no thread can be started: {e}"));
                    held.is_refused(e, &self.times, self.once);
                }
            }
        }
    }

    fn note(&mut self, event: Event) {
        let ending = self.ending;
        match event {
            Event::Signal(Asked::Reload | Asked::End) => {}
            Event::Begun {
                file,
                name,
                state_file,
                open,
                engine,
            } => {
                let Some(held) = self.held(&file) else { return };
                held.name = name;
                held.state_file = Some(state_file);
                held.behind = open;
                // It may have been told to end before it could hear it.
                if ending || held.missing >= MISSING_MAX {
                    engine.stopper().stop();
                }
                (held.trouble, held.status) = (None, "watching".into());
                held.note_alive();
                held.phase = Phase::Busy {
                    engine: Some(engine),
                };
            }
            Event::Status { file, line } => {
                if let Some(held) = self.held(&file) {
                    held.status = line;
                }
            }
            Event::Ended { file, end } => {
                let (once, times) = (self.once, self.times.clone());
                let Some(held) = self.held(&file) else { return };
                let engine = held.take_engine();
                match end {
                    end if !once => held.end(end, &times, ending),
                    Err(e) => held.is_refused(e, &times, once),
                    Ok(end) => held.phase = Phase::Over(Ok(end)),
                }
                // The roster lets go of it too, and the last to do so closes the ledger, which may take long.
                self.tell();
                let _ = threads::spawn(move || drop(engine));
            }
        }
    }

    fn held(&mut self, file: &Path) -> Option<&mut Held> {
        self.held.iter_mut().find(|held| held.file == file)
    }

    fn end(&mut self) {
        self.ending = true;
        self.held.iter_mut().for_each(Held::stop);
    }

    /// Tells the system, and whoever looks at the roster, how they are.
    fn tell(&mut self) {
        let entries = self.held.iter().map(Held::entry).collect();
        self.roster.replace(entries);
        // Before that nobody can tell how many there will be.
        let begun = self.held.iter().all(|h| !h.is_beginning() && !h.is_new());
        if begun && !std::mem::replace(&mut self.ready, true) {
            tell_system(NotifyState::Ready);
        }
        let line = self.line();
        if line != self.said {
            tell_system(NotifyState::Status(&line));
            self.said = line;
        }
        // A route that is stuck is told of in this line, and in its ledger: ending all of them would not help it.
        let patience = self.patience();
        if self.held.is_empty() || self.held.iter().any(|held| held.is_alive(patience)) {
            tell_system(NotifyState::Watchdog);
        }
    }

    /// For how long a route may give no sign of life.
    fn patience(&self) -> Duration {
        self.times.heartbeat * SIGNS_MISSED_MAX
    }

    /// `3 routes, all is well`.
    fn line(&self) -> String {
        let routes = counted(self.held.len() as u64, "route");
        let troubles: Vec<String> = {
            let patience = self.patience();
            let held = self.held.iter();
            held.filter_map(|held| held.in_trouble(patience)).collect()
        };
        match &troubles[..] {
            [] => format!("{routes}, all is well"),
            [first, ..] => format!("{routes}, {} in trouble: {first}", troubles.len()),
        }
    }

    fn until_next(&self, look_at: Instant) -> Duration {
        let rests = self.held.iter().filter_map(|held| match held.phase {
            Phase::Rests { until } if held.missing == 0 => Some(until),
            _ => None,
        });
        let now = Instant::now();
        if self.ending {
            return BEHIND;
        }
        let next = rests.filter(|at| *at > now).chain([look_at]).min();
        let until = next.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        // Whose last run leaves something behind nobody tells when that is gone.
        let held_up = self
            .held
            .iter()
            .any(|held| !held.is_busy() && !held.is_free());
        until.min(if held_up {
            BEHIND
        } else {
            self.times.heartbeat
        })
    }
}

/// A route needs some six descriptors, for its ledger and its connections, and many systems begin a process with 1,024 and
/// let it have more when it asks.
fn have_descriptors_for_many() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current < maximum {
        let all = Rlimit {
            current: maximum,
            maximum,
        };
        if let Err(e) = setrlimit(Resource::Nofile, all) {
            debug!("the limit on descriptors stays as it is: {e}");
        }
    }
}
