//! The supervisor of one route: what a run does first, how many workers it takes, what a fault of
//! an account or a connection leads to, and when a run is over.
//!
//! Threads and blocking I/O. The calling thread only coordinates, so that signs of life and signals
//! never wait for a server. Restart is recovery: nothing here needs to end well.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use chrono::Utc;
use log::{error, info, warn};

use crate::config::{Config, Intervals, TargetLogin};
use crate::error::{Error, Fault, Result};
use crate::gmail::{Account, Entry};
use crate::ledger::{Change, Claim, Ledger, Proof, Route, Shared};
use crate::message::Time;
use crate::oauth::{Access, Tokens};
use crate::session::Login;
use crate::source::MAILBOX;

mod deliver;
mod reader;
mod recognise;
mod settle;
mod watch;

use reader::Reader;

/// The name of our sign of life in the ledger.
const PART: &str = "run";
/// Messages per batch at most.
const BATCH_MAX: usize = 100;
/// A worker for so many messages, up to `connections`.
const PER_WORKER: u64 = 4;

/// How often a run begins anew with a source that gives its messages other UIDs each time.
const RENUMBERED_MAX: u32 = 5;

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

/// What a run would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    pub send: u64,
    pub send_bytes: u64,
    /// In the target already.
    pub found: u64,
    pub too_big: u64,
    /// Left open by an earlier run: whether they arrived is looked at first.
    pub unresolved: u64,
}

pub struct Engine {
    config: Config,
    times: Intervals,
    ledger: Shared,
    /// Where the target is entered with a token.
    tokens: Option<Tokens>,
    reader: Mutex<Reader>,
    /// Held while the target index is brought up to date and used.
    index: Mutex<()>,
    state: Mutex<State>,
    stop: AtomicBool,
    events: Mutex<Sender<Event>>,
    inbox: Mutex<Receiver<Event>>,
}

/// What a run knows and the ledger need not: all of it begins anew with the process.
struct State {
    /// Rows whose APPEND ended unseen and that no worker holds.
    unseen: HashMap<i64, Unseen>,
    /// Rows that were not in the source when last looked for, and since when.
    absent: HashMap<i64, Instant>,
    /// Rows that may be claimed again at a time.
    later: Vec<(Instant, i64)>,
    last_progress: Instant,
    /// The target has Gmail's extensions.
    gmail: bool,
    /// All Mail did not open: the delivery mailbox serves in its place until then.
    all_mail_out_until: Option<Instant>,
    all_mail_refusals: u32,
    /// What a person should know although the run goes on.
    notice: Option<Error>,
    throttled_in_a_row: u32,
    /// Sessions with the target that are open.
    sessions: usize,
}

struct Unseen {
    last_byte: Instant,
    /// The temporary NO that left it open.
    refused: Option<Error>,
    /// A worker of ours broke down over it, or over another of its batch.
    broke_down: bool,
    /// It has no Message-ID or no Date: Gmail would not know a second copy for the same message.
    anonymous: bool,
}

enum Event {
    Finished(Result<()>),
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
            let _ = engine
                .events
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .send(Event::Stop);
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
        let tokens = match &config.target_login {
            TargetLogin::TokenFile(path) => Some(Tokens::new(path, times.command)),
            TargetLogin::Password(_) => None,
        };
        Ok(Arc::new(Engine {
            tokens,
            reader: Mutex::new(Reader::new(config.clone(), times.clone())),
            times,
            ledger: Shared::new(ledger),
            index: Mutex::new(()),
            state: Mutex::new(State {
                unseen: HashMap::new(),
                absent: HashMap::new(),
                later: Vec::new(),
                last_progress: Instant::now(),
                gmail: false,
                all_mail_out_until: None,
                all_mail_refusals: 0,
                notice: None,
                throttled_in_a_row: 0,
                sessions: 0,
            }),
            stop: AtomicBool::new(false),
            events: Mutex::new(events),
            inbox: Mutex::new(inbox),
            config,
        }))
    }

    pub fn stopper(self: &Arc<Engine>) -> Stopper {
        Stopper {
            engine: Arc::downgrade(self),
        }
    }

    /// One pass over everything: what an earlier process left in flight is resolved, new mail is
    /// recorded, and every pending row is tried once.
    ///
    /// # Errors
    /// The fault of an account, or of a connection that stayed out of reach for `once_patience`.
    pub fn run_once(self: &Arc<Engine>) -> Result<Ended> {
        self.ledger.step(|l| l.run_begins(PART, Utc::now()))?;
        let end = self.until_done();
        let notice = self.state().notice.take();
        let trouble = end.as_ref().err().or(notice.as_ref());
        self.ledger.step(|l| {
            l.trouble(PART, trouble, Utc::now())?;
            l.run_ends(PART, Utc::now())
        })?;
        end
    }

    fn until_done(self: &Arc<Engine>) -> Result<Ended> {
        self.adopt_in_flight(false)?;
        let mut waits = 0;
        let mut failing_since = None;
        let mut discovered = false;
        let mut renumbered = 0;
        loop {
            let pass = self.pass(&mut discovered);
            if self.stopping() {
                return Ok(Ended::Stopped);
            }
            // A worker that panicked could not say what it held.
            self.adopt_in_flight(true)?;
            if self.reader().renumbered {
                // The next look begins with the new UIDs.
                discovered = false;
                renumbered += 1;
                if renumbered > RENUMBERED_MAX {
                    return Err(Error::connection(format!(
                        "{MAILBOX} of the source gives its messages other UIDs again and again"
                    ))
                    .hint(
                        "its operator should look into it; what was delivered is not sent twice",
                    ));
                }
            }
            let pass = match pass {
                Err(e) if e.fault == Fault::Throttled && discovered && !self.anything_open()? => {
                    warn!("{e}; all was delivered through fewer connections");
                    Ok(())
                }
                pass => pass,
            };
            match pass {
                // A refusal that is no message's own passes as a lost connection does.
                Err(e)
                    if matches!(
                        e.fault,
                        Fault::Connection | Fault::Transient | Fault::Permanent
                    ) =>
                {
                    let patience = self.times.once_patience;
                    let progress = self.state().last_progress;
                    let since = failing_since
                        .filter(|t| *t >= progress)
                        .unwrap_or_else(Instant::now);
                    failing_since = Some(since);
                    if since.elapsed() >= patience {
                        return Err(e);
                    }
                    warn!("{e}; trying again");
                    self.ledger
                        .step(|l| l.trouble(PART, Some(&e), Utc::now()))?;
                    let wait = backoff(waits, self.times.reconnect).min(patience);
                    waits += 1;
                    self.wait(Instant::now() + wait)?;
                    continue;
                }
                Err(e) => return Err(e),
                Ok(()) => (waits, failing_since) = (0, None),
            }
            match self.next_step(discovered)? {
                Next::Now => {}
                Next::At(at) => self.wait(at)?,
                Next::Over => break,
            }
        }
        self.reader().logout();
        let (pending, failed) = self.ledger.step(|l| l.left())?;
        Ok(match (pending, failed) {
            (0, 0) => Ended::Done,
            _ => Ended::Left { pending, failed },
        })
    }

    /// Resolve, discover, deliver. What the first two cannot do does not keep the others from it,
    /// but nothing is delivered before what is in flight has been looked for.
    fn pass(self: &Arc<Engine>, discovered: &mut bool) -> Result<()> {
        let unseen = !self.state().unseen.is_empty();
        let resolved = match unseen {
            false => Ok(()),
            true => self.all(vec![Box::new(|e: &Engine| {
                let mut account = e.open_account()?;
                let end = e.resolve_and_verify(&mut account);
                account.logout();
                end
            })]),
        };
        if !*discovered {
            self.all(vec![Box::new(|e: &Engine| {
                let new = watch::discover(&mut e.reader(), &e.ledger, e.config.since, Utc::now())?;
                info!("{new} new messages in {MAILBOX}");
                Ok(())
            })])?;
            *discovered = true;
        }
        resolved?;
        if !self.inherited()? || self.stopping() {
            return Ok(());
        }
        let unverified = self.ledger.step(|l| l.unverified())?.len() as u64;
        if !self.ledger.step(|l| l.untried())? && unverified == 0 {
            return Ok(());
        }
        let (pending, _) = self.ledger.step(|l| l.left())?;
        let workers = pending
            .div_ceil(PER_WORKER)
            .clamp(1, self.config.connections as u64);
        let batch = (pending.div_ceil(workers * 2) as usize).clamp(1, BATCH_MAX);
        let work = |_| -> Task { Box::new(move |e: &Engine| e.work(batch)) };
        self.all((0..workers).map(work).collect())
    }

    /// Is there a row whose message waits, is under way, or was sent and not looked at?
    fn anything_open(&self) -> Result<bool> {
        self.ledger
            .step(|l| Ok(l.left()?.0 > 0 || !l.unverified()?.is_empty()))
    }

    fn inherited(&self) -> Result<bool> {
        self.ledger.step(|l| {
            let mailbox = l.present_mailbox(MAILBOX)?;
            l.inherit(&mailbox)
        })
    }

    fn next_step(&self, discovered: bool) -> Result<Next> {
        if !discovered {
            return Ok(Next::Now);
        }
        let now = Instant::now();
        let due: Vec<i64> = {
            let mut state = self.state();
            let (due, later) = state.later.drain(..).partition(|(at, _)| *at <= now);
            state.later = later;
            due.into_iter().map(|(_, id): (Instant, i64)| id).collect()
        };
        self.ledger
            .step(|l| due.iter().try_for_each(|id| l.wake(*id)))?;
        if self.ledger.step(|l| l.untried())? && self.state().unseen.is_empty() {
            return Ok(Next::Now);
        }
        let state = self.state();
        let unseen = state
            .unseen
            .values()
            .map(|u| u.last_byte + self.patience(u, state.gmail));
        let later = state.later.iter().map(|(at, _)| *at);
        Ok(unseen.chain(later).min().map_or(Next::Over, Next::At))
    }

    /// What a run would do, found out without writing anywhere. The ledger must be a scratch one.
    pub fn forecast(self: &Arc<Engine>) -> Result<Forecast> {
        let mut forecast = Forecast {
            unresolved: self.ledger.step(|l| l.in_flight())?.len() as u64,
            ..Forecast::default()
        };
        watch::discover(
            &mut self.reader(),
            &self.ledger,
            self.config.since,
            Utc::now(),
        )?;
        self.reader().logout();
        if !self.inherited()? {
            return Ok(forecast);
        }
        let mut account = self.open_account()?;
        let limit = account.size_limit();
        let claim = Claim {
            count: BATCH_MAX,
            bytes: u64::MAX,
            once: true,
        };
        loop {
            let now = Utc::now();
            let rows = self.ledger.step(|l| l.claim(claim, now))?;
            if rows.is_empty() {
                break;
            }
            let mut boxes = recognise::refresh(&mut account, &self.ledger)?;
            let copies = recognise::copies(&mut account, &self.ledger, &mut boxes, &rows, now)?;
            for row in &rows {
                let place = copies.get(&row.id).and_then(|c| c.first().copied());
                let size = row.about.size.unwrap_or(0);
                let change = match place {
                    Some(_) if self.ledger.step(|l| l.rivals(row))?.is_empty() => {
                        forecast.found += 1;
                        Change::Delivered {
                            proof: Proof::Found,
                            place,
                            altered: false,
                        }
                    }
                    _ => {
                        if size > limit {
                            forecast.too_big += 1;
                        } else {
                            forecast.send += 1;
                            forecast.send_bytes += size;
                        }
                        Change::Later { at: now }
                    }
                };
                self.ledger.step(|l| l.settle(row.id, &change, now))?;
            }
        }
        account.logout();
        Ok(forecast)
    }

    /// Rows in flight that no worker holds: their end was not seen, and time counts from now.
    fn adopt_in_flight(&self, broke_down: bool) -> Result<()> {
        let rows = self.ledger.step(|l| l.in_flight())?;
        let mut state = self.state();
        for row in rows {
            state.unseen.entry(row.id).or_insert(Unseen {
                last_byte: Instant::now(),
                refused: None,
                broke_down,
                anonymous: row.is_anonymous(),
            });
        }
        Ok(())
    }

    /// Signs in to the target. A token that is refused is renewed once: only a fresh one that is
    /// refused too is a person's affair.
    fn open_account(&self) -> Result<Account> {
        let user = self.config.target_user.clone();
        let Some(tokens) = &self.tokens else {
            let TargetLogin::Password(password) = &self.config.target_login else {
                return Err(Error::fatal(
                    "there is nothing to sign in to the target with",
                ));
            };
            let password = password.clone();
            return self.entered(&Login::Password { user, password }, None);
        };
        let open = |access: &Access| {
            let login = Login::Token {
                user: user.clone(),
                token: access.token.clone(),
            };
            self.entered(&login, access.renew_at)
        };
        let access = tokens.access(Utc::now())?;
        match open(&access) {
            Err(e) if e.credentials_refused && !access.fresh => {
                open(&tokens.instead_of(&access, Utc::now())?)
            }
            end => end,
        }
    }

    fn entered(&self, login: &Login, renew_at: Option<Time>) -> Result<Account> {
        let use_all_mail = self
            .state()
            .all_mail_out_until
            .is_none_or(|at| Instant::now() >= at);
        let account = Account::open(&Entry {
            config: &self.config,
            login,
            renew_at,
            use_all_mail,
            times: &self.times,
        })?;
        let mut state = self.state();
        state.gmail = account.is_gmail();
        state.notice = match (account.lacks_all_mail(), use_all_mail) {
            (false, _) => None,
            (true, true) => Some(
                Error::new(
                    Fault::NeedsUser,
                    "Gmail's All Mail is hidden from IMAP, so copies that are archived there are not recognised",
                )
                .hint("in Gmail's settings, under Labels, tick \"Show in IMAP\" for All Mail"),
            ),
            (true, false) => Some(Error::new(
                Fault::Transient,
                "Gmail's All Mail does not open now, so copies that are archived there are not recognised",
            )),
        };
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
                    if worst
                        .as_ref()
                        .is_none_or(|w| gravity(e.fault) > gravity(w.fault))
                    {
                        worst = Some(e);
                    }
                }
                Ok(Event::Stop) => {}
                Err(RecvTimeoutError::Timeout) if deadline.is_some() => break,
                Err(_) => self.ledger.step(|l| l.beat(PART, Utc::now()))?,
            }
        }
        worst.map_or(Ok(()), Err)
    }

    /// Waits for a moment, with signs of life, or until a person ends the run.
    fn wait(&self, until: Instant) -> Result<()> {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.stopping() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            if inbox.recv_timeout(left.min(self.times.heartbeat)).is_err() {
                self.ledger.step(|l| l.beat(PART, Utc::now()))?;
            }
        }
        Ok(())
    }

    /// How long after its last byte the absence of a message is believed.
    fn patience(&self, unseen: &Unseen, gmail: bool) -> Duration {
        match gmail && unseen.anonymous {
            true => self.times.late_commit_anonymous,
            false => self.times.late_commit,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reader(&self) -> MutexGuard<'_, Reader> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Next {
    Now,
    At(Instant),
    Over,
}

fn gravity(fault: Fault) -> u8 {
    match fault {
        Fault::Usage | Fault::Fatal => 5,
        Fault::NeedsUser => 4,
        Fault::Throttled => 3,
        Fault::Connection => 2,
        Fault::Transient | Fault::Permanent => 1,
    }
}

/// Doubling from the first figure up to the second, with up to a quarter of jitter, so that a
/// thousand clients of a server that comes back do not all come at once.
fn backoff(tries: u32, (first, most): (Duration, Duration)) -> Duration {
    let wait = first.saturating_mul(1 << tries.min(16)).min(most);
    wait.mul_f64(0.75 + fastrand::f64() * 0.25)
}
