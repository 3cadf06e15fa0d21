//! What `after_delivery` would remove at the source, and whether the source can do that. Nothing is removed here.

use chrono::{TimeDelta, Utc};

use super::Finding;
use crate::config::{Disposal, Draft};
use crate::ledger;
use crate::session::Session;
use crate::source::{Manner, Means};
use crate::text::{bytes_text, counted, minute};

const NAME: &str = "after_delivery";

/// None: nothing is to be removed. `session`: with the source, where there is one.
pub(super) fn finding(draft: &Draft, session: Option<&Session>) -> Option<Finding> {
    let wish = draft.after_delivery.as_ref()?;
    if wish.disposal == Disposal::Keep {
        return None;
    }
    let Some(session) = session else {
        return Some(Finding::skipped(NAME, "there is no sign-in"));
    };
    let how = match Means::of(session).manner(&wish.disposal) {
        Ok(Some(Manner::Delete)) => "by UID EXPUNGE",
        Ok(Some(Manner::Move)) => "by MOVE",
        Ok(Some(Manner::Copy)) => "by COPY and UID EXPUNGE",
        Ok(None) => return None,
        Err(e) => return Some(Finding::only_warning(NAME, &e)),
    };
    let now = Utc::now();
    let until = now - TimeDelta::days(i64::from(wish.after_days));
    let path = draft.ledger.as_ref().map(|ledger| &ledger.path);
    let known = path.and_then(|path| {
        let read = |l: &ledger::Ledger| Ok((l.would_be_removed(until, now)?, l.removals()?));
        ledger::read(path, read).ok()
    });
    let (would, begins) = match known {
        Some((would, removals)) => {
            let same = removals
                .wish
                .filter(|w| Some(&w.wanted) == wish.wanted().as_ref());
            (would, same.map(|w| w.begins_at))
        }
        None => (ledger::Count::default(), None),
    };
    let when = match begins {
        Some(begins) if begins <= now => "now".to_string(),
        Some(begins) => format!("from {} on", minute(begins)),
        None => "from a day after the next run begins".to_string(),
    };
    Some(Finding::ok(
        NAME,
        format!(
            "delivered messages are {} at the source ({how}), {when}: {} ({}) as of now, each after another look at its copy",
            wish.done(),
            counted(would.messages, "message"),
            bytes_text(would.bytes)
        ),
    ))
}
