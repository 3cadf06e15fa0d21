//! How a route stands, and what it is to a person who looks: well, or in need of somebody. One rule for the page, `/healthz`,
//! `/status.json` and the metrics. Not for how it looks (`html`, `metrics`).

use std::cmp::Reverse;
use std::time::Duration;

use serde_json::{Value, json};

use super::readings::{Readings, Seen};
use crate::ledger::TroubleKind;
use crate::status::{RouteReport, State};
use crate::text::span;

/// A ledger that has not answered for so long is not healthy.
const LATE: Duration = Duration::from_secs(15);

/// A route as it stands now.
pub(super) struct Standing {
    pub(super) name: String,
    pub(super) verdict: Verdict,
    pub(super) seen: Seen,
    unhealthy: Option<String>,
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
            (Some(e), _, _) => Some(e.to_string()),
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
            seen,
        }
    }

    /// Why it is not healthy.
    pub(super) fn unhealthy(&self) -> Option<&str> {
        self.unhealthy.as_deref()
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
            let error = self.seen.error.as_ref();
            let trouble = error.map(
                |e| json!({"kind": "needs_user", "message": e.to_string(), "hint": e.hint, "since": null}),
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
