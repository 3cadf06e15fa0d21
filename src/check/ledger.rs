//! The ledger: does it exist, whose is it, is it undamaged, and is a run using it?

use std::path::Path;

use chrono::Utc;

use super::{Finding, files};
use crate::config::Draft;
use crate::error::Result;
use crate::ledger::{self, Inspection, Route};
use crate::status::is_running;
use crate::text::thousands;

/// What the ledger says about earlier runs.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// A run has looked at the source, so it is decided already what the first run takes. None: not known.
    pub(super) begun: Option<bool>,
    /// Nothing has been delivered, and nothing imported.
    pub(super) new: bool,
    pub(super) waiting: u64,
    pub(super) waiting_bytes: u64,
}

impl Before {
    fn of(inspection: Option<&Inspection>) -> Before {
        let Some(i) = inspection else {
            return Before {
                begun: Some(false),
                new: true,
                ..Before::default()
            };
        };
        Before {
            // An older ledger cannot be asked for more.
            begun: (!i.outdated).then_some(i.begun),
            new: i.new,
            waiting: i.summary.backlog.messages,
            waiting_bytes: i.summary.backlog.bytes,
        }
    }
}

pub(super) fn findings(draft: &Draft, route: Option<&Route>) -> (Vec<Finding>, Before) {
    let name = "ledger";
    let Some(path) = draft.ledger.as_ref().map(|ledger| &ledger.path) else {
        let why = "the configuration does not say where it is";
        let skipped = [name, "disk"].map(|n| Finding::skipped(n, why));
        return (skipped.into(), Before::default());
    };
    let seen = ledger::inspect(path, Utc::now());
    let before = match &seen {
        Ok(inspection) => Before::of(inspection.as_ref()),
        Err(_) => Before::default(),
    };
    let checked = seen.and_then(|inspection| {
        belongs(inspection.as_ref(), route, draft)?;
        // Checked last: that it is another route's, or damaged, is more important.
        ledger::may_write(path)?;
        Ok(inspection)
    });
    let shown = path.display();
    let mut found = vec![match checked {
        Err(e) => Finding::problem(name, &e, "give another path with `state_file`"),
        Ok(None) => Finding::ok(
            name,
            format!("{shown} is not there yet: the first run makes it"),
        ),
        Ok(Some(i)) if i.outdated => Finding::ok(
            name,
            format!(
                "{shown} is whole; it is of version {}, and the next run brings it up to date",
                i.version
            ),
        ),
        Ok(Some(i)) => Finding::ok(name, format!("{shown} is whole: {}", counts(&i, path))),
    }];
    found.extend(files::disk(path));
    (found, before)
}

fn belongs(inspection: Option<&Inspection>, route: Option<&Route>, draft: &Draft) -> Result<()> {
    match (
        inspection.and_then(|i| i.route.as_ref()),
        route,
        &draft.ledger,
    ) {
        (Some(found), Some(route), Some(ledger)) => found.must_be(route, &ledger.path),
        _ => Ok(()),
    }
}

fn counts(i: &Inspection, path: &Path) -> String {
    let s = &i.summary;
    let mut parts = vec![
        format!("{} delivered", thousands(s.delivered)),
        format!("{} pending", thousands(s.backlog.messages)),
    ];
    for (count, what) in [(s.in_flight, "in flight"), (s.failed, "failed")] {
        if count > 0 {
            parts.push(format!("{} {what}", thousands(count)));
        }
    }
    let life = if is_running(&s.parts, ledger::is_held(path), Utc::now()) {
        "a run is using it now"
    } else {
        "no run is using it now"
    };
    format!("{}; {life}", parts.join(", "))
}
