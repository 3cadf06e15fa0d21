//! What a person is to be told of a route, and when: a pure rule over its report and what was told before. Not for telling.
//!
//! A part of a run that gets into trouble begins an *episode*, which ends when nothing troubles that part any more, whatever
//! troubled it in turn meanwhile: a server that is away is refused now by this router and now by that one. Within an episode
//! each trouble that needs a person is told of at once, and whatever else lasts is told of once; its end is told of once, if
//! anything of it was. A restart ends no episode: the end must have been seen.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;

use super::Whose;
use crate::error::{Again, Error};
use crate::ledger::{Episode, Told, TroubleKind};
use crate::message::{Time, time_text};
use crate::status::{PartTrouble, RouteReport, State};

/// The part that stands for the whole route: what no part of it tells of itself.
const ROUTE: &str = "route";
/// The part that stands for the beginning of a run, where that fails.
const START: &str = "start";
/// The parts whose trouble explains why nothing moves.
const MOVERS: [&str; 2] = ["watch", "deliver"];
/// Troubles of one episode that are told of: more of them are noise.
const TOLD_MAX: usize = 10;
/// A command that fails for so long is run no more to tell of an end.
const STALE: TimeDelta = TimeDelta::days(1);

/// What the report says that matters here.
pub(super) struct Seen {
    troubles: Vec<Present>,
    healthy: bool,
    /// The source was looked at in this run.
    looked: bool,
    shown: Vec<String>,
    running_since: Option<Time>,
}

/// What troubles a part now.
#[derive(Clone)]
struct Present {
    part: String,
    kind: TroubleKind,
    message: String,
    hint: Option<String>,
    /// None: since now.
    since: Option<Time>,
}

/// What a person is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct News {
    pub(super) part: String,
    kind: TroubleKind,
    pub(super) message: String,
    hint: Option<String>,
    since: Time,
    /// When it was over.
    over_at: Option<Time>,
    at: Time,
}

/// A change of what the ledger remembers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Keep(Episode),
    Forget(String),
}

impl Seen {
    pub(super) fn of(report: &RouteReport) -> Seen {
        let real = report.troubles.iter().filter(|t| !t.trouble.own_limit);
        let mut troubles: Vec<Present> = real.map(Present::of).collect();
        let explained = troubles
            .iter()
            .any(|t| t.kind == TroubleKind::NeedsUser || MOVERS.contains(&t.part.as_str()));
        // One that begins or ends is not to be judged.
        let goes_on = !matches!(report.state, State::Starting | State::NotRunning);
        if let Some(why) = report.unhealthy.as_ref().filter(|_| goes_on && !explained) {
            troubles.push(Present {
                part: ROUTE.into(),
                kind: TroubleKind::Transient,
                message: why.to_string(),
                hint: Some("`imap-to-gmail status` and the log say more; if it stays so, restart imap-to-gmail: nothing is lost by that".into()),
                since: None,
            });
        }
        Seen {
            troubles,
            healthy: report.unhealthy.is_none(),
            looked: report.last_look.is_some(),
            shown: report.shown.clone(),
            running_since: report.running_since.map(|m| m.0),
        }
    }

    /// No run of the route goes on.
    pub(super) fn of_refusal(e: &Error) -> Seen {
        let kind = match e.reaction().again {
            Again::WhenMended | Again::Never => TroubleKind::NeedsUser,
            Again::AfterPause => TroubleKind::Throttled,
            Again::Soon => TroubleKind::Transient,
        };
        let refusal = Present {
            part: START.into(),
            kind,
            message: e.message.clone(),
            hint: e.hint.clone(),
            since: None,
        };
        Seen {
            troubles: vec![refusal],
            healthy: false,
            looked: false,
            shown: Vec::new(),
            running_since: None,
        }
    }

    /// A run goes on where none could begin before. That is shown by its first success: it may break down again before.
    pub(super) fn of_beginning(report: &RouteReport) -> Seen {
        let seen = Seen::of(report);
        let shown = seen.is_proven().then(|| START.to_string());
        Seen {
            troubles: Vec::new(),
            shown: shown.into_iter().collect(),
            ..seen
        }
    }

    /// It is healthy, and has shown so since it was started: else one that is started again and again would look well.
    pub(super) fn is_proven(&self) -> bool {
        self.healthy && self.looked && MOVERS.iter().all(|part| self.has_shown(part))
    }

    fn has_shown(&self, part: &str) -> bool {
        self.shown.iter().any(|shown| shown == part)
    }

    /// Is this episode certainly over?
    fn rid_of(&self, episode: &Episode, lasting: TimeDelta, now: Time) -> bool {
        let Some(since) = self.running_since else {
            return false;
        };
        let part = episode.part.as_str();
        if self.troubles.iter().any(|t| t.part == part) {
            return false;
        }
        let long = now - since >= lasting;
        if part == ROUTE {
            return self.healthy && self.looked && (episode.since >= since || long);
        }
        self.has_shown(part) || long
    }
}

impl Present {
    fn of(t: &PartTrouble) -> Present {
        Present {
            part: t.part.to_string(),
            kind: t.trouble.kind,
            message: t.trouble.message.to_string(),
            hint: t.trouble.hint.as_ref().map(ToString::to_string),
            since: Some(t.trouble.since.0),
        }
    }

    fn was_told(&self, episode: &Episode) -> bool {
        let told = episode.told.iter().filter(|told| told.told_at.is_some());
        if told.clone().count() >= TOLD_MAX {
            return true;
        }
        // One that needs nobody says nothing new after any other.
        let mut told = told.filter(|told| self.kind != TroubleKind::NeedsUser || self.is(told));
        told.next().is_some()
    }

    /// Is it the same trouble? Words with digits in them do not count: servers give each refusal a number.
    fn is(&self, told: &Told) -> bool {
        let words = |text: &str| -> Vec<String> {
            let words = text.split_whitespace();
            let words = words.filter(|word| !word.contains(|c: char| c.is_ascii_digit()));
            words.map(str::to_string).collect()
        };
        self.kind == told.kind && words(&self.message) == words(&told.message)
    }
}

impl News {
    pub(super) fn is_over(&self) -> bool {
        self.over_at.is_some()
    }

    /// What the command reads: an object, each key on a line of its own, so that a person can read it as it is.
    pub(super) fn document(&self, whose: &Whose) -> String {
        let event = if self.is_over() { "over" } else { "trouble" };
        let document = json!({
            "event": event,
            "message": self.message,
            "hint": self.hint,
            "source": whose.source,
            "target": whose.target,
            "part": self.part,
            "kind": self.kind.name(),
            "since": time_text(self.since),
            "at": time_text(self.over_at.unwrap_or(self.at)),
            "host": host(),
            "state_file": whose.state_file,
        });
        format!("{document:#}\n")
    }
}

fn host() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

/// What is remembered of each part of a route.
pub(super) struct Desk {
    episodes: Vec<Episode>,
}

impl Desk {
    pub(super) fn new(episodes: Vec<Episode>) -> Desk {
        Desk { episodes }
    }

    /// Nobody is to be told of anything.
    pub(super) fn clear(&mut self) -> Vec<Change> {
        let gone = self.episodes.drain(..);
        gone.map(|episode| Change::Forget(episode.part)).collect()
    }

    /// The command is another one: it may do what the one before failed to do.
    pub(super) fn try_at_once(&mut self) {
        for episode in &mut self.episodes {
            episode.next_try_at = None;
        }
    }

    /// Takes in what is seen. `busy`: the part of which a person is being told just now, which has to wait.
    pub(super) fn take_in(
        &mut self,
        seen: &Seen,
        busy: Option<&str>,
        lasting: Duration,
        now: Time,
    ) -> Vec<Change> {
        let lasting = delta(lasting);
        let mut changes = Vec::new();
        for trouble in seen
            .troubles
            .iter()
            .filter(|t| Some(t.part.as_str()) != busy)
        {
            let since = trouble.since.unwrap_or(now);
            let known = self.episodes.iter_mut().find(|e| e.part == trouble.part);
            let Some(known) = known else {
                let episode = Episode::new(&trouble.part, since);
                self.episodes.push(episode.clone());
                changes.push(Change::Keep(episode));
                continue;
            };
            let Some(over_at) = known.over_at else {
                continue;
            };
            if known.over_told {
                *known = Episode::new(&trouble.part, since);
                known.before = Some(over_at);
            } else {
                // Nobody heard of its end, so it has none.
                (known.over_at, known.tries, known.next_try_at) = (None, 0, None);
            }
            changes.push(Change::Keep(known.clone()));
        }
        self.episodes.retain_mut(|episode| {
            if busy == Some(&episode.part) {
                return true;
            }
            let past = match episode.over_at {
                None if !seen.rid_of(episode, lasting, now) => return true,
                None if episode.told.is_empty() => {
                    let before = episode.before.filter(|before| now - *before < lasting);
                    if let Some(before) = before {
                        // The one that was told of is what the next one comes soon after.
                        (episode.over_at, episode.over_told) = (Some(before), true);
                        changes.push(Change::Keep(episode.clone()));
                    }
                    before.is_none()
                }
                None => {
                    episode.over_at = Some(now);
                    (episode.tries, episode.next_try_at) = (0, None);
                    changes.push(Change::Keep(episode.clone()));
                    false
                }
                Some(at) if episode.over_told => now - at >= lasting,
                Some(at) => now - at >= STALE,
            };
            if past {
                changes.push(Change::Forget(episode.part.clone()));
            }
            !past
        });
        changes
    }

    /// What is to be told next, if it is time.
    pub(super) fn next(&self, seen: &Seen, lasting: Duration, now: Time) -> Option<News> {
        let lasting = delta(lasting);
        self.episodes
            .iter()
            .filter(|episode| is_due(episode.next_try_at, now))
            .find_map(|episode| match episode.over_at {
                Some(_) if episode.over_told => None,
                Some(over_at) => {
                    let last = episode.told.last()?;
                    Some(News {
                        part: episode.part.clone(),
                        kind: last.kind,
                        message: last.message.clone(),
                        hint: None,
                        since: episode.since,
                        over_at: Some(over_at),
                        at: now,
                    })
                }
                None => {
                    let trouble = seen.troubles.iter().find(|t| t.part == episode.part)?;
                    let lasts = now - episode.since >= lasting;
                    // What comes and goes is told of when it stays.
                    let is_back = |before: Time| episode.since - before < lasting;
                    let at_once = trouble.kind == TroubleKind::NeedsUser
                        && !episode.before.is_some_and(is_back);
                    let is_time = (lasts || at_once) && !trouble.was_told(episode);
                    is_time.then(|| News {
                        part: episode.part.clone(),
                        kind: trouble.kind,
                        message: trouble.message.clone(),
                        hint: trouble.hint.clone(),
                        since: episode.since,
                        over_at: None,
                        at: now,
                    })
                }
            })
    }

    /// A person is about to be told. If nobody hears how that went, it is tried again.
    pub(super) fn begin(
        &mut self,
        news: &News,
        again: (Duration, Duration),
        now: Time,
    ) -> Vec<Change> {
        self.change(&news.part, |episode| {
            let (first, most) = again;
            let wait = first.saturating_mul(1 << episode.tries.min(16)).min(most);
            episode.tries += 1;
            episode.next_try_at = Some(now + delta(wait));
            if news.is_over() {
                return;
            }
            // What nobody heard of and is another trouble now is of no interest.
            episode
                .told
                .retain(|told| told.told_at.is_some() || news.is(told));
            if !episode.told.iter().any(|told| news.is(told)) {
                episode.told.push(Told {
                    kind: news.kind,
                    message: news.message.clone(),
                    hint: news.hint.clone(),
                    told_at: None,
                });
            }
        })
    }

    /// A person was told.
    pub(super) fn done(&mut self, news: &News, now: Time) -> Vec<Change> {
        self.change(&news.part, |episode| {
            (episode.tries, episode.next_try_at) = (0, None);
            if news.is_over() {
                episode.over_told = true;
            }
            for told in episode.told.iter_mut().filter(|told| news.is(told)) {
                told.told_at = told.told_at.or(Some(now));
            }
        })
    }

    fn change(&mut self, part: &str, change: impl FnOnce(&mut Episode)) -> Vec<Change> {
        let episode = self.episodes.iter_mut().find(|e| e.part == part);
        let changed = episode.map(|episode| {
            change(episode);
            Change::Keep(episode.clone())
        });
        changed.into_iter().collect()
    }
}

impl News {
    fn is(&self, told: &Told) -> bool {
        self.kind == told.kind && self.message == told.message
    }
}

/// A clock that was set back far makes nobody wait for it to come round again.
fn is_due(at: Option<Time>, now: Time) -> bool {
    at.is_none_or(|at| at <= now || at - now > STALE)
}

fn delta(time: Duration) -> TimeDelta {
    TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests;
