//! How a route stands, and what it is to a person who looks: well, or in need of somebody. One rule for the page, `/healthz`,
//! `/status.json` and the metrics. Not for how it looks (`html`, `metrics`).

use std::cmp::Reverse;
use std::time::Duration;

use serde_json::{Value, json};

use super::readings::{Readings, Seen};
use crate::error::shown_within;
use crate::ledger::TroubleKind;
use crate::status::{RouteReport, State};
use crate::text::span;

/// A ledger that has not answered for so long is not healthy.
const LATE: Duration = Duration::from_secs(15);
/// The most characters of an error.
const WORDS_MAX: usize = 2000;

/// A route as it stands now.
pub(super) struct Standing {
    pub(super) name: String,
    pub(super) verdict: Verdict,
    pub(super) seen: Seen,
    unhealthy: Option<String>,
    /// What to do about that, where its ledger could not be read.
    pub(super) hint: Option<String>,
}

/// What a route is to a person, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    Healthy,
    /// It goes on by itself.
    Waits,
    Ill,
    NeedsPerson,
}

/// How each route stands: those that need a person first, then by name.
pub(super) fn standings(readings: &Readings) -> Vec<Standing> {
    let mut all: Vec<Standing> = readings.now().into_iter().map(Standing::of).collect();
    all.sort_by(|a, b| (Reverse(a.verdict), &a.name).cmp(&(Reverse(b.verdict), &b.name)));
    all
}

impl Standing {
    fn of(seen: Seen) -> Standing {
        let report = seen.reading.as_ref().map(|reading| &reading.report);
        let unhealthy = match (&seen.error, seen.waits, report) {
            (Some(e), _, _) => Some(safe(&e.message)),
            (None, waits, Some(_)) if waits.is_some_and(|time| time > LATE) => Some(format!(
                "its ledger does not answer for {}",
                span(waits.unwrap_or_default().as_secs())
            )),
            (None, _, None) => Some("its ledger has not answered yet".into()),
            (None, _, Some(report)) => report.unhealthy.as_ref().map(ToString::to_string),
        };
        let verdict = match (&seen.error, report) {
            (Some(_), _) => Verdict::NeedsPerson,
            (None, Some(report)) => verdict(report, unhealthy.is_some()),
            (None, None) => Verdict::Ill,
        };
        Standing {
            name: seen.name.clone(),
            verdict,
            unhealthy,
            hint: seen
                .error
                .as_ref()
                .and_then(|e| e.hint.as_deref().map(safe)),
            seen,
        }
    }

    /// Why it is not healthy.
    pub(super) fn unhealthy(&self) -> Option<&str> {
        self.unhealthy.as_deref()
    }

    /// Its ledger does not answer, so that what is known of it is old.
    pub(super) fn is_late(&self) -> bool {
        self.seen.waits.is_some_and(|time| time > LATE)
    }

    pub(super) fn report(&self) -> Option<&RouteReport> {
        self.seen.reading.as_ref().map(|reading| &reading.report)
    }

    /// In a word or two.
    pub(super) fn word(&self) -> &'static str {
        let state = self.report().map(|report| report.state);
        match (self.verdict, state) {
            (Verdict::NeedsPerson, Some(State::NotRunning)) if self.seen.error.is_none() => {
                "Not running"
            }
            (Verdict::NeedsPerson, _) => "Needs you",
            (Verdict::Ill, Some(State::Starting)) => "Starting",
            (Verdict::Ill, None) => "Not known yet",
            (Verdict::Ill, _) => "Trouble",
            (Verdict::Waits, Some(State::Paused)) => "Paused",
            (Verdict::Waits, _) => "Trying again",
            (Verdict::Healthy, _) => "Healthy",
        }
    }

    fn json(&self) -> Value {
        let Some(mut report) = self
            .report()
            .and_then(|report| serde_json::to_value(report).ok())
        else {
            let trouble = self.seen.error.is_some().then(
                || json!({"kind": "needs_user", "message": self.unhealthy, "hint": self.hint, "since": null}),
            );
            return json!({"name": self.name, "running": false, "unhealthy": self.unhealthy, "trouble": trouble});
        };
        // Older than it looks.
        if self.seen.error.is_some() || self.seen.waits.is_some() {
            report["unhealthy"] = json!(self.unhealthy);
        }
        report
    }
}

/// A configuration may say anything, and errors repeat it.
fn safe(words: &str) -> String {
    shown_within(words.as_bytes(), WORDS_MAX)
}

fn verdict(report: &RouteReport, unhealthy: bool) -> Verdict {
    let needs_person = |kind| matches!(kind, TroubleKind::NeedsUser);
    if report.state == State::NotRunning
        || report.troubles.iter().any(|t| needs_person(t.trouble.kind))
    {
        return Verdict::NeedsPerson;
    }
    match report.state {
        _ if unhealthy => Verdict::Ill,
        State::Paused | State::Trouble => Verdict::Waits,
        _ => Verdict::Healthy,
    }
}

/// What `status --json` says, of all routes. One that has no report has a name, and what keeps it from being read.
pub(super) fn json(all: &[Standing]) -> String {
    let routes: Vec<Value> = all.iter().map(Standing::json).collect();
    format!("{}\n", json!({"routes": routes}))
}
