//! Has the target room for the mail that will come, and does it have much of that already? A few commands tell.

use std::collections::HashSet;

use chrono::TimeDelta;

use super::Finding;
use super::ledger::Before;
use super::sample::Sample;
use crate::error::{Error, Fault, Result};
use crate::ledger::Overlap;
use crate::message::uid_set;
use crate::response::Fetched;
use crate::session::{Left, METADATA_MAX, Quota, SET_MAX, Session};
use crate::text::{bytes_text, counted};

/// There is a warning where less than this fraction of the whole (one in so many) is left after all has come.
const CLOSE: u64 = 20;
/// How many messages of the target are looked at for copies, in sets of as many as one command may name.
const LOOKED_AT: usize = 5 * SET_MAX;
const NAME: &str = "(UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID DATE)])";
/// The Date of a message may be this much earlier than its arrival.
const DATE_SLACK: TimeDelta = TimeDelta::days(2);

/// About how much mail will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Coming {
    messages: u64,
    bytes: u64,
    /// It will come with the first run; otherwise it is in the ledger already and waits.
    first: bool,
}

impl Coming {
    pub(super) fn of(
        before: &Before,
        sample: Option<&Sample>,
        overlap: Option<Overlap>,
    ) -> Option<Coming> {
        if before.begun? {
            return Some(Coming {
                messages: before.waiting,
                bytes: before.waiting_bytes,
                first: false,
            });
        }
        let sample = sample?;
        // What the target has already takes no more room.
        let share = |n: u64| match overlap {
            Some(o) if o.waiting > 0 => {
                let sent = u128::from(o.waiting.saturating_sub(o.held));
                u64::try_from(u128::from(n) * sent / u128::from(o.waiting)).unwrap_or(n)
            }
            _ => n,
        };
        Some(Coming {
            messages: share(sample.messages),
            bytes: share(sample.bytes),
            first: true,
        })
    }
}

/// Compares what the target's limits leave with what will come. `make_room`: what to do where that is not enough.
pub(super) fn left(name: &str, quota: Quota, coming: Option<Coming>, make_room: &str) -> Finding {
    let messages = |n| counted(n, "message");
    let judged = [
        quota
            .bytes
            .map(|left| Judged::of(left, coming.map(|c| c.bytes), &bytes_text)),
        quota
            .messages
            .map(|left| Judged::of(left, coming.map(|c| c.messages), &messages)),
    ];
    let Some(worst) = judged.into_iter().flatten().max_by_key(|j| j.grade) else {
        return Finding::ok(name, "the server states no limit for all mail together");
    };
    let first = coming.is_some_and(|c| c.first);
    let room = format!("there is room for {} more ({})", worst.left, worst.used);
    let comes = worst.comes.map(|comes| {
        if first {
            format!("the first run brings about {comes}")
        } else {
            format!("what waits is {comes}")
        }
    });
    match (worst.grade, comes) {
        (Grade::Full, _) => Finding::problem(
            name,
            &full(format!("the account is full ({})", worst.used)),
            &format!("{make_room}; until then mail waits, and nothing is lost"),
        ),
        (Grade::TooMuch, Some(comes)) => {
            let less = if first {
                ", or take less with a later `since`"
            } else {
                ""
            };
            Finding::problem(
                name,
                &full(format!("{room}, and {comes}")),
                &format!("{make_room}{less}; what does not fit waits, and nothing is lost"),
            )
        }
        (Grade::Close, comes) => {
            let comes = comes.map_or(String::new(), |comes| format!("; {comes}"));
            Finding::warning(
                name,
                format!("{room}{comes}"),
                format!(
                    "{make_room} before it is full: from then on mail waits, and nothing is lost"
                ),
            )
        }
        (_, Some(comes)) => Finding::ok(name, format!("{room}; {comes}")),
        (_, None) => Finding::ok(name, room),
    }
}

/// The same words as in a run: mail waits until a person has made room.
fn full(message: String) -> Error {
    Error::new(Fault::NeedsUser, message)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    Enough,
    Close,
    TooMuch,
    Full,
}

/// One limit, in its unit.
struct Judged {
    grade: Grade,
    left: String,
    used: String,
    comes: Option<String>,
}

impl Judged {
    fn of(limit: Left, comes: Option<u64>, text: &dyn Fn(u64) -> String) -> Judged {
        let Left { left, all } = limit;
        let grade = match left.checked_sub(comes.unwrap_or(0)) {
            _ if left == 0 => Grade::Full,
            None => Grade::TooMuch,
            Some(then) if then < all / CLOSE => Grade::Close,
            Some(_) => Grade::Enough,
        };
        let used = u128::from(all.saturating_sub(left)) * 100;
        let used = match used.checked_div(u128::from(all)) {
            None | Some(0) => "less than 1% is used".into(),
            Some(percent) => format!("{percent}% is used"),
        };
        Judged {
            grade,
            left: text(left),
            used,
            comes: comes.map(text),
        }
    }
}

/// How many of the newest messages that a first run would send are in this mailbox already.
pub(super) fn overlap(session: &mut Session, mailbox: &str, sample: &Sample) -> Result<Overlap> {
    let mut overlap = Overlap {
        waiting: sample.newest.len() as u64,
        part: sample.messages > sample.newest.len() as u64,
        ..Overlap::default()
    };
    let Some(oldest) = sample.newest.iter().filter_map(|d| d.internal_date).min() else {
        return Ok(overlap);
    };
    session.examine(mailbox)?;
    let uids = session.searched(oldest - DATE_SLACK)?;
    let newest = uids.get(uids.len().saturating_sub(LOOKED_AT)..);
    let mut held = HashSet::new();
    for set in newest.unwrap_or_default().chunks(SET_MAX) {
        let literals = METADATA_MAX * set.len() as u64;
        let (found, end) = session.uid_fetch(&uid_set(set), NAME, literals);
        end?;
        let named = found.iter().filter_map(Fetched::discovered);
        held.extend(named.filter_map(|d| Some((d.message_id?.hash, d.date))));
    }
    for message in &sample.newest {
        match &message.message_id {
            Some(id) => {
                let there = held.contains(&(id.hash, message.date.clone()));
                overlap.held += u64::from(there);
            }
            None => overlap.nameless += 1,
        }
    }
    Ok(overlap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Outcome;

    const MAKE_ROOM: &str = "make room in the account";

    const MB: u64 = 1_000_000;

    fn said(left_mb: u64, all_mb: u64, coming_mb: Option<u64>) -> (&'static str, String) {
        let bytes = Some(Left {
            left: left_mb * MB,
            all: all_mb * MB,
        });
        let quota = Quota {
            bytes,
            messages: None,
        };
        let coming = coming_mb.map(|mb| Coming {
            messages: 7,
            bytes: mb * MB,
            first: true,
        });
        let finding = left("target_quota", quota, coming, MAKE_ROOM);
        let grade = match finding.outcome {
            Outcome::Ok => "ok",
            Outcome::Warning => "warning",
            Outcome::Problem(_) => "problem",
            Outcome::Skipped => "skipped",
        };
        (grade, finding.message)
    }

    #[test]
    fn what_is_left_is_judged_beside_what_comes() {
        for (left, all, coming, grade, message) in [
            (
                900,
                1000,
                Some(100),
                "ok",
                "there is room for 900.0 MB more (10% is used); the first run brings about 100.0 MB",
            ),
            (
                900,
                1000,
                None,
                "ok",
                "there is room for 900.0 MB more (10% is used)",
            ),
            (
                1000,
                1000,
                Some(0),
                "ok",
                "there is room for 1.0 GB more (less than 1% is used); the first run brings about 0 bytes",
            ),
            (
                900,
                1000,
                Some(850),
                "ok",
                "there is room for 900.0 MB more (10% is used); the first run brings about 850.0 MB",
            ),
            (
                900,
                1000,
                Some(851),
                "warning",
                "there is room for 900.0 MB more (10% is used); the first run brings about 851.0 MB",
            ),
            (
                49,
                1000,
                None,
                "warning",
                "there is room for 49.0 MB more (95% is used)",
            ),
            (
                900,
                1000,
                Some(900),
                "warning",
                "there is room for 900.0 MB more (10% is used); the first run brings about 900.0 MB",
            ),
            (
                900,
                1000,
                Some(901),
                "problem",
                "there is room for 900.0 MB more (10% is used), and the first run brings about 901.0 MB",
            ),
            (
                0,
                1000,
                Some(0),
                "problem",
                "the account is full (100% is used)",
            ),
        ] {
            assert_eq!(said(left, all, coming), (grade, message.to_string()));
        }
    }

    #[test]
    fn the_tighter_of_two_limits_is_told() {
        let quota = Quota {
            bytes: Some(Left {
                left: 900 * MB,
                all: 1000 * MB,
            }),
            messages: Some(Left { left: 5, all: 100 }),
        };
        let coming = Coming {
            messages: 6,
            bytes: MB,
            first: false,
        };
        let finding = left("target_quota", quota, Some(coming), MAKE_ROOM);
        let text = "there is room for 5 messages more (95% is used), and what waits is 6 messages";
        assert_eq!(finding.message, text);
        assert_eq!(finding.outcome, Outcome::Problem(Fault::NeedsUser));
        let hint = "make room in the account; what does not fit waits, and nothing is lost";
        assert_eq!(finding.hint.as_deref(), Some(hint));
        let none = left("target_quota", Quota::default(), Some(coming), MAKE_ROOM);
        assert_eq!(none.outcome, Outcome::Ok);
    }

    #[test]
    fn what_is_there_already_takes_no_room() {
        let sample = Sample {
            messages: 1_000,
            bytes: 70_000,
            newest: Vec::new(),
        };
        let before = Before {
            begun: Some(false),
            ..Before::default()
        };
        let overlap = Overlap {
            waiting: 70,
            held: 68,
            ..Overlap::default()
        };
        let coming = |overlap| {
            let coming = Coming::of(&before, Some(&sample), overlap);
            coming.map(|c| (c.messages, c.bytes))
        };
        assert_eq!(coming(Some(overlap)), Some((28, 2_000)));
        assert_eq!(coming(Some(Overlap::default())), Some((1_000, 70_000)));
        assert_eq!(coming(None), Some((1_000, 70_000)));
        assert_eq!(Coming::of(&Before::default(), Some(&sample), None), None);
    }
}
