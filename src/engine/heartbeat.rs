//! What a run tells of itself while it goes on: signs of life, and what troubles it, to the ledger, to the
//! log and to whoever runs it.

use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use log::{debug, error, info, warn};

use super::imports::IMPORT;
use super::parts::{CONFIG, DELIVER, SLACK, WATCH};
use super::removal::REMOVAL;
use super::unresolved::Hidden;
use super::{Engine, FOR_EVER, lock};
use crate::error::{Error, Fault, Result};
use crate::ledger::Look;
use crate::text::{minute, span};

/// In bytes per second; `wire` gives up what is slower.
const SLOWEST: u64 = 8 << 10;
/// A wait that is longer is told by its end.
const LONG: Duration = Duration::from_secs(600);

/// What a route tells whoever runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign<'a> {
    /// It watches and delivers from now on.
    Ready,
    /// Its parts have been heard of as they promised. Given again and again.
    Alive,
    /// How it is, in one line: given when that changes.
    Status(&'a str),
    /// Its run is over.
    Ending,
}

/// Who hears a route's signs.
pub(super) type Listener = Box<dyn Fn(Sign<'_>) + Send + Sync>;

/// The parts of a run that give signs of life, and what troubles them.
#[derive(Default)]
pub(super) struct Heartbeat(Mutex<Parts>);

#[derive(Default)]
struct Parts {
    /// Those that work, and until when each has promised to be heard of again.
    promises: Vec<(&'static str, Instant)>,
    /// The next signs of life are due then.
    next: Option<Instant>,
    /// Those that wait for a person.
    need_person: Vec<&'static str>,
    /// The troubles that were said.
    said: Vec<Said>,
    /// A look at the source that the ledger does not know of yet.
    look: Option<Look>,
}

/// A trouble of a part, as it was last said.
struct Said {
    part: &'static str,
    since: Instant,
    at: Instant,
}

impl Heartbeat {
    fn begin(&self, parts: impl Iterator<Item = &'static str>) {
        let until = Instant::now() + FOR_EVER;
        lock(&self.0).promises = parts.map(|part| (part, until)).collect();
    }

    fn promise(&self, part: &'static str, until: Instant) {
        let mut parts = lock(&self.0);
        if let Some(promise) = parts.promises.iter_mut().find(|(p, _)| *p == part) {
            promise.1 = until;
        }
    }

    /// Are signs of life due?
    pub(super) fn is_due(&self) -> bool {
        let next = lock(&self.0).next;
        next.is_none_or(|next| Instant::now() >= next)
    }

    /// When signs of life are due, `every` so often: the parts that keep their word, and whether all do.
    fn take_due(&self, every: Duration) -> Option<(Vec<&'static str>, bool)> {
        let now = Instant::now();
        let mut parts = lock(&self.0);
        if parts.next.is_some_and(|next| now < next) {
            return None;
        }
        parts.next = Some(now + every);
        let well = parts.promises.iter().filter(|(_, until)| *until >= now);
        let well: Vec<&'static str> = well.map(|(part, _)| *part).collect();
        let all = well.len() == parts.promises.len();
        Some((well, all))
    }

    /// The source was looked at, and is looked at again within this time.
    pub(super) fn note_look(&self, within: Duration) {
        let at = Utc::now();
        let next_by = at + TimeDelta::from_std(within).unwrap_or_default();
        lock(&self.0).look = Some(Look { at, next_by });
    }

    fn note_person(&self, part: &'static str, needed: bool) {
        let mut parts = lock(&self.0);
        parts.need_person.retain(|p| *p != part);
        if needed {
            parts.need_person.push(part);
        }
    }

    /// Does any part wait for a person?
    pub(super) fn needs_person(&self) -> bool {
        !lock(&self.0).need_person.is_empty()
    }

    /// Does this one?
    pub(super) fn part_needs_person(&self, part: &'static str) -> bool {
        lock(&self.0).need_person.contains(&part)
    }

    /// How long the trouble has lasted, where that is to be said now; or had lasted, where it is over.
    /// `remind`: what lasts is said again after as long a time, within these bounds.
    fn note_trouble(
        &self,
        part: &'static str,
        trouble: bool,
        news: bool,
        remind: (Duration, Duration),
    ) -> Option<Duration> {
        let now = Instant::now();
        let mut parts = lock(&self.0);
        let known = parts.said.iter().position(|s| s.part == part);
        match known {
            None if trouble => {
                parts.said.push(Said {
                    part,
                    since: now,
                    at: now,
                });
                Some(Duration::ZERO)
            }
            None => None,
            Some(i) if !trouble => Some(now - parts.said.swap_remove(i).since),
            Some(i) => {
                let (first, most) = remind;
                let said = &mut parts.said[i];
                if news {
                    said.since = now;
                } else if now - said.at < (said.at - said.since).clamp(first, most) {
                    return None;
                }
                said.at = now;
                Some(now - said.since)
            }
        }
    }
}

impl Engine {
    /// Who is to hear the signs of this route: the first one that is named. Without one nobody does.
    pub fn give_signs_to(&self, listener: impl Fn(Sign<'_>) + Send + Sync + 'static) {
        let _ = self.listener.set(Box::new(listener));
    }

    pub(super) fn give(&self, sign: Sign<'_>) {
        if let Some(listener) = self.listener.get() {
            listener(sign);
        }
    }

    /// A run of these parts begins. The configuration does no work, so it gives no sign of life.
    pub(super) fn begin_run(&self, parts: &[&'static str], once: bool) -> Result<()> {
        self.once.store(once, Ordering::Relaxed);
        let work = parts
            .iter()
            .copied()
            .filter(|p| ![CONFIG, IMPORT, REMOVAL].contains(p));
        self.heartbeat.begin(work);
        self.ledger.step(|l| {
            l.run_begins(parts, Utc::now())?;
            // It was read a moment ago, without a mistake.
            l.trouble(CONFIG, None, Utc::now()).map(drop)
        })?;
        self.take_up_import_pause()
    }

    /// Signs of life of the parts that keep their word, to the ledger and to whoever runs this route. True when they were
    /// due.
    pub(super) fn beat(&self) -> Result<bool> {
        let Some((mut well, all)) = self.heartbeat.take_due(self.times.heartbeat) else {
            return Ok(false);
        };
        if all {
            // A part that is stuck loses the watchdog for all of us.
            self.give(Sign::Alive);
        }
        if !well.is_empty() {
            // These promise nothing of their own: they live for as long as anything does.
            well.extend([CONFIG, IMPORT, REMOVAL]);
        }
        let look = lock(&self.heartbeat.0).look.take();
        self.ledger.step(|l| {
            look.map_or(Ok(()), |look| l.note_look(WATCH, look))?;
            l.beat(&well, Utc::now())
        })?;
        // Somebody may have given failed messages another try, beside this run.
        if !self.once.load(Ordering::Relaxed) && self.work_is_due()? {
            self.wake();
        }
        Ok(true)
    }

    /// This part gives its word to be heard of again within this time.
    pub(super) fn promise(&self, part: &'static str, within: Duration) {
        self.heartbeat.promise(part, Instant::now() + within);
    }

    /// The deliverer is heard of again when its next step is done.
    pub(super) fn promise_step(&self) {
        self.promise(DELIVER, self.times.batch + SLACK);
    }

    /// The deliverer is heard of again when so many bytes have gone over the slowest link that is
    /// waited for.
    pub(super) fn promise_transfer(&self, bytes: u64) {
        let transfer = Duration::from_secs(bytes / SLOWEST);
        self.promise(DELIVER, self.times.batch + transfer);
    }

    /// Puts what troubles a part, or that nothing does, into the ledger, and into the log when it is new, and
    /// now and then while it lasts. `again`: when it is tried again.
    pub(super) fn record_trouble(
        &self,
        part: &'static str,
        trouble: Option<&Error>,
        again: Option<Duration>,
    ) -> Result<()> {
        let notice = if part == DELIVER { self.notice() } else { None };
        let needs_person = trouble.is_some_and(|e| e.reaction().needs_person);
        self.heartbeat.note_person(part, needs_person);
        let held_up = trouble.is_some();
        let trouble = trouble.or(notice.as_ref()).map(Error::advised);
        let (news, worst) = self.ledger.step(|l| {
            let news = l.trouble(part, trouble.as_ref(), Utc::now())?;
            let worst = if news {
                l.parts()?.into_iter().find_map(|p| p.trouble)
            } else {
                None
            };
            Ok((news, worst))
        })?;
        let remind = self.times.remind;
        let lasted = self
            .heartbeat
            .note_trouble(part, trouble.is_some(), news, remind);
        match (&trouble, lasted) {
            // What a person should know although all goes on is said once.
            (Some(e), Some(lasted)) if news || held_up => {
                let still = if news {
                    String::new()
                } else {
                    format!("still, after {}: ", span(lasted.as_secs()))
                };
                let line = format!("{still}{}", e.in_full(&next_try(e, again)));
                if e.reaction().needs_person {
                    error!("{line}");
                } else {
                    warn!("{line}");
                }
            }
            (Some(e), _) => debug!("{}", e.then(&next_try(e, again))),
            (None, Some(lasted)) if news => info!(
                "{}: all is well again after {}",
                named(part),
                span(lasted.as_secs())
            ),
            (None, _) => {}
        }
        if news {
            let status = worst.map_or("watching".to_string(), |t| t.message);
            self.give(Sign::Status(&status));
        }
        Ok(())
    }

    /// What a person should know although the run goes on, the gravest first.
    pub(super) fn notice(&self) -> Option<Error> {
        self.held_up()
            .or_else(|| self.blame(false).trouble())
            .or_else(|| self.blame(true).trouble())
            .or_else(|| self.known_target.notice())
            .or_else(|| self.entrance.ends())
            .or_else(|| self.sign_in_ends_soon())
    }

    pub(super) fn sign_in_ends_soon(&self) -> Option<Error> {
        let (setup, now) = (self.setup(), Utc::now());
        let target = setup.target.ends_soon(now);
        target.or_else(|| setup.source.ends_soon(now))
    }

    /// What holds up a message, and perhaps more, and is no fault of a server or an account.
    fn held_up(&self) -> Option<Error> {
        let (id, by) = self.unresolved.a_hidden_one()?;
        let (why, hint) = match by {
            Hidden::Unreadable => (
                "the target holds a message that it may be and that cannot be read",
                "it is looked for until a day has passed, and listed as failed then; where the source has given its messages new UIDs, they wait as long",
            ),
            Hidden::PlaceShut => (
                "the mailbox of the target that it was sent to does not open",
                "it is looked for again and again, and not sent before the mailbox opens; the log says how the target refuses it",
            ),
        };
        let message = format!("nobody saw how the delivery of message {id} ended, and {why}");
        Some(Error::new(Fault::Transient, message).hint(hint))
    }
}

fn named(part: &str) -> &str {
    match part {
        WATCH => "watching",
        DELIVER => "delivering",
        CONFIG => "the configuration",
        IMPORT => "importing",
        REMOVAL => "removing at the source",
        other => other,
    }
}

/// `next try in 5 s`; nothing where nothing is tried again.
fn next_try(e: &Error, again: Option<Duration>) -> String {
    let Some(again) = again else {
        return String::new();
    };
    let when = if again >= LONG {
        let again = TimeDelta::from_std(again).unwrap_or_default();
        format!("at {}", minute(Utc::now() + again))
    } else {
        format!("in {}", span(again.as_secs()))
    };
    if e.reaction().needs_person {
        format!("next try {when}, or when the configuration or a token file changes")
    } else {
        format!("next try {when}")
    }
}

#[cfg(test)]
mod tests;
