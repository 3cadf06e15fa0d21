//! What the ledgers last said, read when somebody looks, and no oftener than every other second however many look. Each is
//! read by itself: one on a disk that hangs keeps neither the others nor the page waiting, and is shown as it last was. Not for
//! what it means (`standing`).

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{Days, Local, NaiveDate, Utc};

use super::{Route, Watched};
use crate::error::{Error, Result};
use crate::ledger::read_beside_run;
use crate::message::Time;
use crate::oauth::Tokens;
use crate::status::{Asked, RouteReport, day_begins};

/// How many days the chart has.
pub(super) const DAYS: u64 = 30;
/// Younger readings are good enough.
const FRESH: Duration = Duration::from_secs(2);
/// Who looks waits so long for readings, and longer where a route was never read.
const WAIT: Duration = Duration::from_secs(1);
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// So many ledgers are read at a time ...
const READERS: usize = 4;
/// ... not counting those that have not answered for so long ...
const STUCK: Duration = Duration::from_secs(5);
/// ... of which there may be as many as this.
const READERS_MAX: usize = 64;

/// What a ledger said, and what belongs to it.
pub(super) struct Reading {
    pub(super) at: Time,
    pub(super) report: RouteReport,
    /// Messages sent on each day, the oldest first.
    pub(super) days: Vec<(NaiveDate, u64)>,
    /// By APPEND, in the last 24 hours.
    pub(super) uploaded: u64,
    pub(super) upload_limit: Option<u64>,
    pub(super) signed_in_at: Option<Time>,
    /// What a command must be given to mean this ledger.
    pub(super) files: String,
}

/// What is known of a route at this moment.
pub(super) struct Seen {
    pub(super) name: String,
    /// The last one that there was.
    pub(super) reading: Option<Arc<Reading>>,
    /// Why there is no newer one.
    pub(super) error: Option<Error>,
    /// It is being read since then.
    pub(super) waits: Option<Duration>,
    /// The most messages that were ever seen to be delivered.
    pub(super) delivered_most: u64,
}

pub(super) struct Readings(Arc<Shared>);

struct Shared {
    routes: Box<dyn Fn() -> Vec<Route> + Send + Sync>,
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    /// When the routes were last asked about.
    begun: Option<Instant>,
    routes: Vec<Route>,
    known: HashMap<String, Known>,
    queue: VecDeque<(String, Watched)>,
    readers: usize,
    /// What they read, each under a number of its own, and since when: also of routes that are gone meanwhile.
    under_way: HashMap<u64, Instant>,
    numbers: u64,
}

#[derive(Default)]
struct Known {
    /// It is queued or being read; who does it took it up then.
    asked: bool,
    taken_up: Option<Instant>,
    reading: Option<Arc<Reading>>,
    error: Option<Error>,
    delivered_most: u64,
}

impl Known {
    fn waits(&self) -> Option<Duration> {
        self.taken_up.map(|at| at.elapsed())
    }

    fn is_stuck(&self) -> bool {
        self.waits().is_some_and(|time| time > STUCK)
    }
}

impl Readings {
    pub(super) fn new(routes: impl Fn() -> Vec<Route> + Send + Sync + 'static) -> Readings {
        Readings(Arc::new(Shared {
            routes: Box::new(routes),
            state: Mutex::default(),
            news: Condvar::new(),
        }))
    }

    /// What is known of each route, read anew where that is not of this moment.
    pub(super) fn now(&self) -> Vec<Seen> {
        let began = Instant::now();
        let mut state = self.0.lock();
        if state.begun.is_none_or(|at| at.elapsed() >= FRESH) && state.queue.is_empty() {
            state.begun = Some(began);
            state.take_up((self.0.routes)());
        }
        loop {
            self.0.start_readers(&mut state);
            let (unread, open) = state.open();
            let patience = if unread { FIRST_WAIT } else { WAIT };
            let left = patience.saturating_sub(began.elapsed());
            if !open || left.is_zero() {
                break;
            }
            let woken = self.0.news.wait_timeout(state, left);
            state = woken.map_or_else(|e| e.into_inner().0, |(state, _)| state);
        }
        state.seen()
    }
}

impl State {
    fn take_up(&mut self, routes: Vec<Route>) {
        let names: HashSet<&str> = routes.iter().map(|route| &*route.name).collect();
        self.known.retain(|name, _| names.contains(&**name));
        for route in &routes {
            let known = self.known.entry(route.name.clone()).or_default();
            match &route.ledger {
                Err(e) => known.error = Some(e.clone()),
                Ok(_) if known.asked => {}
                Ok(watched) => {
                    known.asked = true;
                    self.queue.push_back((route.name.clone(), watched.clone()));
                }
            }
        }
        self.routes = routes;
    }

    /// Was a route that is waited for never read; and is any waited for? One that is stuck is not.
    fn open(&self) -> (bool, bool) {
        let mut open = self.known.values().filter(|k| k.asked && !k.is_stuck());
        let all = open.clone().next().is_some();
        let unread = open.any(|k| k.reading.is_none() && k.error.is_none());
        (unread, all)
    }

    fn seen(&self) -> Vec<Seen> {
        let of = |route: &Route| {
            let known = self.known.get(&route.name)?;
            Some(Seen {
                name: route.name.clone(),
                reading: known.reading.clone(),
                error: known.error.clone(),
                waits: known.waits(),
                delivered_most: known.delivered_most,
            })
        };
        self.routes.iter().filter_map(of).collect()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_readers(self: &Arc<Shared>, state: &mut State) {
        let stuck = state
            .under_way
            .values()
            .filter(|since| since.elapsed() > STUCK);
        let stuck = stuck.count();
        let most = READERS_MAX.min(stuck + READERS.min(state.queue.len()));
        while state.readers < most {
            let shared = Arc::clone(self);
            let started = thread::Builder::new().spawn(move || shared.read_all());
            if started.is_err() {
                return;
            }
            state.readers += 1;
        }
    }

    /// Reads until nothing is left to be read.
    fn read_all(&self) {
        let mut state = self.lock();
        while let Some((name, watched)) = state.queue.pop_front() {
            if let Some(known) = state.known.get_mut(&name) {
                known.taken_up = Some(Instant::now());
            }
            state.numbers += 1;
            let number = state.numbers;
            state.under_way.insert(number, Instant::now());
            drop(state);
            let read = catch_unwind(AssertUnwindSafe(|| read(&watched, Utc::now())));
            let read = read.unwrap_or_else(|_| {
                Err(
                    Error::fatal("its ledger cannot be shown: a mistake of the program")
                        .hint("the log says more; `imap-to-gmail status` may be able to show it"),
                )
            });
            state = self.lock();
            state.under_way.remove(&number);
            // A route may be gone meanwhile.
            if let Some(known) = state.known.get_mut(&name) {
                known.note(read);
            }
            self.news.notify_all();
        }
        state.readers -= 1;
    }
}

impl Known {
    fn note(&mut self, read: Result<Reading>) {
        (self.asked, self.taken_up) = (false, None);
        match read {
            Err(e) => self.error = Some(e),
            Ok(reading) => {
                self.error = None;
                self.delivered_most = self.delivered_most.max(reading.report.delivered);
                self.reading = Some(Arc::new(reading));
            }
        }
    }
}

fn read(watched: &Watched, now: Time) -> Result<Reading> {
    // As long as this is held no other run begins with the ledger: opening it, that would take away the locks that SQLite has
    // in this process, and with them those of our connection.
    let open = watched.open.as_ref().map(Weak::upgrade);
    if open == Some(None) {
        return Err(Error::connection("its run has ended"));
    }
    let asked = Asked {
        state_file: &watched.state_file,
        with_failed: false,
        files: &watched.files,
        upload_limit: watched.upload_limit,
    };
    let days = days(now);
    let spans: Vec<(Time, Time)> = days.iter().map(|(_, span)| *span).collect();
    let (report, sent, uploaded) = read_beside_run(&watched.state_file, |ledger| {
        let report = RouteReport::new(ledger, &asked, now)?;
        Ok((report, ledger.sent_within(&spans)?, ledger.uploaded(now)?))
    })?;
    let token = watched.token_file.as_ref();
    Ok(Reading {
        at: now,
        report,
        days: days.into_iter().map(|(day, _)| day).zip(sent).collect(),
        uploaded,
        upload_limit: watched.upload_limit,
        files: watched.files.clone(),
        signed_in_at: token.and_then(|file| Tokens::new(file, WAIT).signed_in_at()),
    })
}

/// The last days by the clock of this place, each with when it began and when it ends.
fn days(now: Time) -> Vec<(NaiveDate, (Time, Time))> {
    let today = now.with_timezone(&Local).date_naive();
    let of = |back: u64| {
        let day = today.checked_sub_days(Days::new(back))?;
        let next = day.checked_add_days(Days::new(1))?;
        Some((day, (day_begins(day)?, day_begins(next)?)))
    };
    (0..DAYS).rev().filter_map(of).collect()
}
