//! What a run is doing, as far as its signs of life, its lock and its troubles tell: the first line of
//! `status`, which monitors and people read alone.
//!
//! Its first word is one of `RUNNING`, `PAUSED`, `TROUBLE`, `STARTING`, `NOT RUNNING`; what follows, up to
//! the first colon, says a little more; then comes which account goes into which. These words stay. `state`
//! of `status --json` is the first word in small letters.

use chrono::TimeDelta;
use serde::Serialize;

use super::{Foreign, Moment};
use crate::ledger::{Part, Summary, TroubleKind};
use crate::message::Time;
use crate::text::counted;

/// A run gives a sign of life every 15 seconds; after this many without one it is not running.
const ALIVE: TimeDelta = TimeDelta::seconds(60);

/// Does a run go on? `held`: what its lock says, where that can be asked. A run that was killed has let go
/// of it, while its last sign of life is still young.
pub fn is_running(parts: &[Part], held: Option<bool>, now: Time) -> bool {
    held != Some(false) && parts.iter().any(|part| lives(part, now))
}

/// Has it given a sign of life? One that came with its end is none.
fn lives(part: &Part, now: Time) -> bool {
    // A sign from the future is of before the clock was set back.
    let lately = now - ALIVE..=now + ALIVE;
    part.ended_at.is_none() && lately.contains(&part.beat_at)
}

/// Of a run; as `status --json` has it, in small letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Running,
    /// By a limit, which goes by itself.
    Paused,
    Trouble,
    /// It has its lock, and the ledger tells of no run.
    Starting,
    NotRunning,
}

/// What people are told of a run beside its figures.
#[derive(Debug)]
pub(super) struct Life {
    /// The words for its state.
    pub(super) headline: String,
    pub(super) alive: bool,
    /// It certainly holds the ledger.
    pub(super) held: bool,
    /// A part of it has not said that it ended.
    pub(super) goes_on: bool,
    /// When the last part ended.
    pub(super) ended_at: Option<Moment>,
    /// While it is alive: parts of it that give no sign of life, and when they last did.
    pub(super) hanging: Vec<(Foreign, Moment)>,
}

impl Life {
    pub(super) fn of(parts: &[Part], headline: String, held: Option<bool>, now: Time) -> Life {
        let alive = is_running(parts, held, now);
        let hanging = parts.iter().filter(|p| alive && hangs(p, now));
        Life {
            headline,
            alive,
            held: held == Some(true),
            goes_on: parts.iter().any(|p| p.ended_at.is_none()),
            ended_at: parts.iter().filter_map(|p| p.ended_at).max().map(Moment),
            hanging: hanging
                .map(|p| (Foreign(p.name.clone()), Moment(p.beat_at)))
                .collect(),
        }
    }
}

/// Since when a run goes on.
pub(super) fn running_since(parts: &[Part], held: Option<bool>, now: Time) -> Option<Time> {
    let parts = is_running(parts, held, now).then_some(parts)?.iter();
    parts.filter(|p| lives(p, now)).map(|p| p.started_at).min()
}

/// The state, and the words for it.
pub(super) fn state(s: &Summary, held: Option<bool>, now: Time) -> (State, String) {
    let say = |state, words: &str| (state, words.to_string());
    if !is_running(&s.parts, held, now) {
        let goes_on = s.parts.iter().any(|p| p.ended_at.is_none());
        return match held {
            Some(true) if goes_on => say(State::Trouble, "TROUBLE, it gives no sign of life"),
            Some(true) => say(State::Starting, "STARTING"),
            _ => say(State::NotRunning, "NOT RUNNING"),
        };
    }
    let hanging = s.parts.iter().any(|part| hangs(part, now));
    // The gravest comes first.
    let trouble = s.parts.iter().find_map(|p| p.trouble.as_ref());
    match trouble.map(|t| t.kind) {
        Some(TroubleKind::NeedsUser) => return say(State::Trouble, "TROUBLE, it needs you"),
        Some(TroubleKind::Throttled) if !hanging => {
            return say(State::Paused, "PAUSED, waiting for a limit to pass");
        }
        Some(TroubleKind::Transient) => return say(State::Trouble, "TROUBLE, trying again"),
        Some(TroubleKind::Throttled) | None => {}
    }
    if hanging {
        return say(
            State::Trouble,
            "TROUBLE, a part of it gives no sign of life",
        );
    }
    match s.failed {
        0 => say(State::Running, "RUNNING, all is well"),
        n => (
            State::Running,
            format!("RUNNING, but {} failed", counted(n, "message")),
        ),
    }
}

/// Should this part give signs of life, and does not?
pub(super) fn hangs(part: &Part, now: Time) -> bool {
    part.ended_at.is_none() && !lives(part, now)
}
