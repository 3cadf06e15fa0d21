//! What a run tells of itself while it goes on: signs of life, and what troubles it, to the ledger, to the
//! log and to whoever runs it.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use log::{debug, error, info, warn};

use super::daemon::{CONFIG, DELIVER, WATCH};
use super::{Engine, Event, FOR_EVER};
use crate::error::{Error, Result};
use crate::text::{minute, span};

/// A wait that is longer is told by its end.
const LONG: Duration = Duration::from_secs(600);

/// A trouble of a part, as it was last said.
pub(super) struct Said {
    part: &'static str,
    since: Instant,
    at: Instant,
}

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
    pub(super) fn begins(&self, parts: &[&'static str], once: bool) -> Result<()> {
        self.once.store(once, Ordering::Relaxed);
        let works = parts.iter().filter(|p| **p != CONFIG);
        self.state().parts = works.map(|p| (*p, Instant::now() + FOR_EVER)).collect();
        self.ledger.step(|l| l.run_begins(parts, Utc::now()))
    }

    /// Signs of life of the parts that keep their word, to the ledger and to whoever runs this route.
    pub(super) fn beat(&self) -> Result<()> {
        let now = Instant::now();
        let (mut well, all): (Vec<&'static str>, usize) = {
            let mut state = self.state();
            if now < state.next_beat {
                return Ok(());
            }
            state.next_beat = now + self.times.heartbeat;
            let well = state.parts.iter().filter(|(_, until)| *until >= now);
            (well.map(|(part, _)| *part).collect(), state.parts.len())
        };
        if well.len() == all {
            // A part that is stuck loses the watchdog for all of us.
            self.give(Sign::Alive);
        }
        if !well.is_empty() {
            // It gives no word of its own: it is in order for as long as anything is.
            well.push(CONFIG);
        }
        self.ledger.step(|l| l.beat(&well, Utc::now()))?;
        // Somebody may have given failed messages another try, beside this run.
        if !self.once.load(Ordering::Relaxed) && self.work_is_due()? {
            self.tell(Event::Wake);
        }
        Ok(())
    }

    /// This part gives its word to be heard of again within this time.
    pub(super) fn promise(&self, part: &'static str, within: Duration) {
        let until = Instant::now() + within;
        if let Some(entry) = self.state().parts.iter_mut().find(|(p, _)| *p == part) {
            entry.1 = until;
        }
    }

    /// Puts what troubles a part into the ledger, and into the log when it is new, and now and then while it
    /// lasts. `again`: when it is tried again.
    pub(super) fn say(
        &self,
        part: &'static str,
        trouble: Option<&Error>,
        again: Option<Duration>,
    ) -> Result<()> {
        let notice = match part {
            DELIVER => self.notice(),
            _ => None,
        };
        self.waits_for_a_person(part, trouble);
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
        let said = self.said(part, trouble.is_some(), news);
        match (&trouble, said) {
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

    /// How long the trouble has lasted, where that is to be said now.
    fn said(&self, part: &'static str, trouble: bool, news: bool) -> Option<Duration> {
        let now = Instant::now();
        let mut state = self.state();
        let known = state.said.iter().position(|s| s.part == part);
        match known {
            None if trouble => {
                state.said.push(Said {
                    part,
                    since: now,
                    at: now,
                });
                Some(Duration::ZERO)
            }
            None => None,
            Some(i) if !trouble => Some(now - state.said.swap_remove(i).since),
            Some(i) => {
                let (first, most) = self.times.remind;
                let said = &mut state.said[i];
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

    fn waits_for_a_person(&self, part: &'static str, trouble: Option<&Error>) {
        let mut state = self.state();
        state.needs_user.retain(|p| *p != part);
        if trouble.is_some_and(|e| e.reaction().needs_person) {
            state.needs_user.push(part);
        }
    }
}

fn named(part: &str) -> &str {
    match part {
        WATCH => "watching",
        DELIVER => "delivering",
        CONFIG => "the configuration",
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
