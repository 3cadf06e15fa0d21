//! The watching thread of a run: it looks, records what is new, and waits for more, by IDLE where the
//! server keeps to that and in intervals where it does not. Not for delivering (`daemon`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use log::{debug, error, info, warn};

use super::Engine;
use super::bisect::may_be_a_messages;
use super::parts::{SLACK, WATCH, Watch, route};
use super::reader::Reader;
use super::rest::apart;
use super::setup::Setup;
use super::watch::Looked;
use crate::error::{Error, Result, Scope};
use crate::source::{Meanwhile, Source};

/// IDLEs in a row that end too early, before the server is polled instead.
const SHORT_IDLES_MAX: u32 = 3;
/// What ends an IDLE sooner than this, without news, is no wait.
const SHORT_IDLE: Duration = Duration::from_millis(100);
/// A session that ends sooner after IDLE was said may have ended because of it.
const SHORT_SESSION: Duration = Duration::from_millis(500);
/// A server that disappointed is given another try with IDLE after this time.
const IDLE_AGAIN: Duration = Duration::from_secs(6 * 3600);
/// How often mail may come in a row without a word of it, before the server is polled instead. Once says nothing: it may
/// have come between an IDLE and the look after it.
const UNTOLD_MAX: u32 = 2;

impl Engine {
    pub(super) fn watch_for_good(self: &Arc<Engine>, how: &Watch) {
        let mut watcher = Watcher {
            setup: self.setup(),
            reader: Reader::that_waits(self.setup(), self.times.clone()),
            idle: how.idle,
            shares_until: None,
            idle_again_at: None,
            short_idles: 0,
            untold: 0,
            looked: false,
            told: true,
            announced: false,
        };
        let mut troubles = 0u32;
        let mut last_cut = None;
        while !self.stopping() {
            self.promise(WATCH, self.times.batch + SLACK);
            let now = self.setup();
            if !Arc::ptr_eq(&now, &watcher.setup) {
                watcher.reader = Reader::that_waits(Arc::clone(&now), self.times.clone());
                watcher.setup = now;
            }
            let edition = watcher.setup.source.edition();
            let end = catch_unwind(AssertUnwindSafe(|| self.look_and_wait(&mut watcher, how)));
            let end = end.unwrap_or_else(|_| {
                error!("the watcher panicked: this is a defect of imap-to-gmail; it begins anew");
                watcher.reader = Reader::that_waits(Arc::clone(&watcher.setup), self.times.clone());
                Err(Error::connection("the watcher of ours broke down"))
            });
            let Err(e) = end else {
                troubles = 0;
                continue;
            };
            if e.scope() == Scope::Process {
                return self.end_with(e);
            }
            let rested = last_cut.is_none_or(|at: Instant| at.elapsed() >= self.times.reconnect.0);
            if e.scope() == Scope::Session && std::mem::take(&mut watcher.looked) && rested {
                // Servers end quiet sessions as they like: only not getting in again is trouble.
                debug!("{}", e.then("connecting again"));
                troubles = 0;
                self.wait_unchanged(spread(how), &watcher.setup, None);
                last_cut = Some(Instant::now());
                continue;
            }
            let wait = self.wait_after(&e, troubles) + spread(how);
            troubles += 1;
            if let Err(fatal) = self.record_trouble(WATCH, Some(&e), Some(wait)) {
                return self.end_with(fatal);
            }
            let person = e.reaction().needs_person;
            self.wait_unchanged(wait, &watcher.setup, person.then_some(edition));
        }
    }

    /// One look, what is new recorded, and one wait for more.
    fn look_and_wait(self: &Arc<Engine>, watcher: &mut Watcher, how: &Watch) -> Result<()> {
        if apart(|| self.look_and_tell(watcher, how))? {
            self.wait_unchanged(how.poll, &watcher.setup, None);
            Ok(())
        } else {
            self.idle(watcher, how)
        }
    }

    /// One look, what is new recorded, and whoever has to do with it told. True where the next one is after a time, and not
    /// when the server tells of more.
    fn look_and_tell(&self, watcher: &mut Watcher, how: &Watch) -> Result<bool> {
        let shares = self.shares_a_session(watcher, how);
        let looked = self.look(watcher, shares)?;
        watcher.looked = true;
        if looked.matching {
            self.wake();
        } else if looked.new > 0 || looked.first {
            watcher.short_idles = 0;
            self.wake();
            // Of other mailboxes than the open one nothing is told.
            if looked.new_there > 0 && !looked.first {
                watcher.untold = if watcher.told { 0 } else { watcher.untold + 1 };
            }
            if watcher.idles() && watcher.untold >= UNTOLD_MAX {
                watcher.poll_instead("did not tell of new mail", how);
            }
        }
        watcher.told = true;
        self.record_trouble(WATCH, looked.trouble.as_ref(), None)?;
        let polls =
            shares || looked.nothing || !watcher.idles() || !watcher.reader.source()?.can_idle();
        if !std::mem::replace(&mut watcher.announced, true) {
            self.announce(&watcher.reader.name(), polls.then_some(how.poll));
        }
        let wait = if polls {
            how.poll
        } else {
            self.longest_idle(watcher.reader.source()?, how)
        };
        self.heartbeat.note_look(wait);
        Ok(polls)
    }

    /// Is there room for the deliverer's session with the source alone? Some servers let us in once at a time.
    fn shares_a_session(&self, watcher: &mut Watcher, how: &Watch) -> bool {
        if watcher.shares_until.is_some_and(|at| Instant::now() < at) {
            return true;
        }
        if self.at_reader(Reader::is_one_too_many) != Some(true) {
            return false;
        }
        warn!(
            "the source lets us in once at a time; looking every {} s through the one session",
            how.poll.as_secs()
        );
        watcher.shares_until = Some(Instant::now() + IDLE_AGAIN);
        true
    }

    fn look(&self, watcher: &mut Watcher, shares: bool) -> Result<Looked> {
        if shares {
            watcher.reader.logout();
            let mut reader = self.reader();
            self.discover(&mut reader)
        } else if watcher.reader.here.unstable {
            // Of what comes from now on this session is told in IDLE.
            watcher.reader.look()?;
            // UIDs hold within one view alone here, so those of the deliverer's view are recorded.
            let mut reader = self.reader();
            let looked = self.discover(&mut reader)?;
            watcher.reader.here.unstable = reader.here.unstable;
            Ok(looked)
        } else {
            self.discover(&mut watcher.reader)
        }
    }

    /// One IDLE. A server that is of no use for it is polled from then on.
    fn idle(self: &Arc<Engine>, watcher: &mut Watcher, how: &Watch) -> Result<()> {
        let begun = Instant::now();
        let source = watcher.reader.source()?;
        let limit = self.longest_idle(source, how);
        self.promise(WATCH, limit + self.times.command * 2 + SLACK);
        let engine = Arc::clone(self);
        let meanwhile = Meanwhile::new(self.tick(), move || engine.look_after_run());
        let watched = self.watch_over_turns();
        let end = source.idle(limit, Some(meanwhile));
        drop(watched);
        let usable = source.usable();
        let told = end.as_ref().is_ok_and(|told| *told);
        if let Err(e) = &end
            && usable
            && may_be_a_messages(e)
        {
            // Announced and refused: the same would be said each time.
            watcher.poll_instead("announces IDLE and refuses it", how);
            return Ok(());
        }
        // A server that ends each IDLE, or the session with it, is as good as one without.
        let short = match &end {
            Ok(_) => begun.elapsed() < SHORT_IDLE && !told,
            Err(e) => e.scope() == Scope::Session && begun.elapsed() < SHORT_SESSION,
        };
        watcher.short_idles = if short { watcher.short_idles + 1 } else { 0 };
        if watcher.short_idles >= SHORT_IDLES_MAX {
            watcher.poll_instead("does not wait with IDLE", how);
        }
        watcher.told = end?;
        watcher.reader.note_told(watcher.told);
        Ok(())
    }

    /// How long an IDLE lasts at most. Where nothing is told of other mailboxes than the open one they are asked about.
    fn longest_idle(&self, source: &Source, how: &Watch) -> Duration {
        if self.folders.are_several() && !source.notifies() {
            self.times.look.min(how.poll)
        } else {
            self.times.look
        }
    }

    /// Says that it watches, and how.
    fn announce(&self, name: &str, polls: Option<Duration>) {
        let source = route(&self.setup().config).source();
        let how = match polls {
            Some(poll) => format!("looked for every {} s", poll.as_secs()),
            None => "new mail is told by the server".into(),
        };
        let others = if self.folders.are_several() {
            " and others"
        } else {
            ""
        };
        info!("watching {name}{others} of {source} ({how})");
    }

    /// Waits on this thread, but not past the end of the run or a change of the configuration. With `edition`
    /// also not past a change of the source's token file: that is what a person was to mend.
    fn wait_unchanged(
        self: &Arc<Engine>,
        wait: Duration,
        setup: &Arc<Setup>,
        edition: Option<u64>,
    ) {
        let _watched = self.watch_over_turns();
        let until = Instant::now() + wait;
        let mut look_at = Instant::now() + self.tick();
        while !self.stopping()
            && Arc::ptr_eq(&self.setup(), setup)
            && edition.is_none_or(|edition| setup.source.edition() == edition)
        {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.promise(WATCH, left.min(SLACK) + SLACK);
            if Instant::now() >= look_at {
                self.look_after_run();
                look_at = Instant::now() + self.tick();
            }
            thread::sleep(left.min(Duration::from_millis(200)));
        }
    }
}

/// So that the routes of a process do not come to a server all at once.
fn spread(how: &Watch) -> Duration {
    how.spread.mul_f64(fastrand::f64())
}

/// What the watching thread has to itself.
struct Watcher {
    setup: Arc<Setup>,
    reader: Reader,
    /// The server may tell of new mail by itself.
    idle: bool,
    /// Until then it has no session of its own: the source lets in but one.
    shares_until: Option<Instant>,
    /// IDLE has disappointed: until then the mailbox is looked at in intervals.
    idle_again_at: Option<Instant>,
    short_idles: u32,
    untold: u32,
    /// There was a look since the last connection was lost.
    looked: bool,
    /// The last wait ended because the server told of something.
    told: bool,
    /// It was said that it watches.
    announced: bool,
}

impl Watcher {
    fn idles(&self) -> bool {
        self.idle && self.idle_again_at.is_none_or(|at| Instant::now() >= at)
    }

    /// From now on the mailbox is looked at in intervals, for some hours. Only the first time is it a warning.
    fn poll_instead(&mut self, why: &str, how: &Watch) {
        let every = how.poll.as_secs();
        if self.idle_again_at.is_none() {
            warn!("the source {why}; looking every {every} s instead");
        } else {
            debug!("the source {why}; looking every {every} s instead");
        }
        self.idle_again_at = Some(Instant::now() + IDLE_AGAIN);
        self.short_idles = 0;
    }
}
