//! What becomes of a message after an attempt: one total function from outcome to ledger change. What a fault
//! costs the message is read from the table of reactions ([`Charge`]). Not for finding out how the attempt ended
//! (`send`, `fetch`, `resolve`), nor whose fault it was (`blame`).

use chrono::TimeDelta;

use crate::config::Intervals;
use crate::error::{Charge, Error, Fault, Scope};
use crate::ledger::{Change, Place, Proof, Row, RowId};
use crate::message::Time;

/// How an attempt at one message ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The target has it.
    Delivered {
        proof: Proof,
        place: Option<Place>,
        altered: bool,
    },
    /// Gmail's API took it, and gave this number.
    Imported { gm_msgid: u64 },
    /// Its road is not to be taken before this moment.
    Held { until: Time, why: String },
    /// The target does not have it: it answered NO or BAD, but not a "temporary" NO after it had the literal. Or it was
    /// not even asked.
    Refused {
        error: Error,
        sender: Option<String>,
        subject: Option<String>,
    },
    /// The source cannot hand it over: its FETCH, alone, ended a healthy connection again and again.
    Unreadable(Error),
    /// The connection died while its literal was under way: the target cannot have the whole of it.
    Died(Error),
    /// The connection died over its APPEND before a byte of it was sent. Sessions end at any moment, so that this
    /// points to the message less than if its bytes had been under way.
    NotTaken(Error),
    /// Nobody saw how its APPEND ended, and the target has been found not to have it. `why`: what
    /// left it open, a temporary NO or the end of the connection, as far as this run saw it.
    FoundAbsent { why: Option<Error> },
    /// Nobody saw how its APPEND ended, and for a day nobody could tell whether the target has it.
    NeverSeen,
    /// Nothing was sent of it.
    NotBegun,
    /// The source does not open its mailbox now.
    Shut,
    /// The source no longer has it; with `second` that was seen twice, in views a minute apart.
    Absent { second: bool },
    /// A row of an older incarnation of the mailbox has the same bytes: this one takes its place.
    KnownBefore { row: RowId },
}

/// What is known beside how a row's attempt ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Evidence {
    /// Another message got through since a connection first died over this one.
    pub(super) another_got_through: bool,
    /// The target refuses whatever it is offered.
    pub(super) all_refused: bool,
}

/// What the ledger is to write. A message is charged for a lost connection only when another one got
/// through since it first happened to this one, and for a refusal only when not every message gets it.
pub(super) fn settle(
    outcome: Outcome,
    row: &Row,
    evidence: Evidence,
    now: Time,
    times: &Intervals,
) -> Change {
    let refused = |error| {
        if evidence.all_refused {
            put_off(now, false, row, now)
        } else {
            charge(error, row, now, times)
        }
    };
    let lost = |error: Error| {
        if evidence.another_got_through {
            charge(error.with_fault(Fault::Transient), row, now, times)
        } else {
            let at = now + delta(doubled(times.backoff, row.unseen));
            put_off(at, true, row, now)
        }
    };
    match outcome {
        Outcome::Delivered {
            proof,
            place,
            altered,
        } => Change::Delivered {
            proof,
            place,
            altered,
        },
        Outcome::Imported { gm_msgid } => Change::Imported { gm_msgid },
        Outcome::Held { until, why } => Change::Held { at: until, why },
        Outcome::Refused {
            error,
            sender,
            subject,
        } => match error.reaction().charge {
            Charge::Failure => Change::Failed {
                error,
                sender,
                subject,
            },
            Charge::Attempt => refused(error),
            Charge::Nothing => Change::Released { unseen: false },
        },
        Outcome::Unreadable(error) => charge(error.with_fault(Fault::Transient), row, now, times),
        // This second time it was sent alone: it is to blame, unless the connection ends over any message.
        Outcome::Died(error) if row.unseen > 0 => lost(error),
        // It has happened once when it was sent among others, and twice when it was sent alone.
        Outcome::NotTaken(error) if row.unseen > 1 => lost(error),
        Outcome::Died(_) | Outcome::NotTaken(_) => Change::Released { unseen: true },
        Outcome::FoundAbsent { why } => match why {
            Some(error) if error.reaction().charge == Charge::Attempt => refused(error),
            Some(error) if error.scope() != Scope::Session => Change::Released { unseen: false },
            _ if row.unseen == 0 => Change::Released { unseen: true },
            Some(why) => lost(Error::connection(format!(
                "{why} (twice, and the target does not have the message)"
            ))),
            // Two processes ended over it: no connection's fault.
            None => charge(lost_twice(), row, now, times),
        },
        Outcome::NeverSeen => failed(never_seen()),
        Outcome::NotBegun => Change::Released { unseen: false },
        Outcome::Shut => Change::Later {
            at: now + delta(times.needs_user),
        },
        Outcome::Absent { second: false } => Change::Later {
            at: now + delta(times.second_look),
        },
        Outcome::Absent { second: true } => Change::Gone,
        Outcome::KnownBefore { row } => Change::AsBefore { row },
    }
}

fn failed(error: Error) -> Change {
    Change::Failed {
        error,
        sender: None,
        subject: None,
    }
}

fn lost_twice() -> Error {
    Error::new(
        Fault::Transient,
        "the connection was lost twice while this message was sent, and the target does not have it",
    )
}

fn never_seen() -> Error {
    Error::new(
        Fault::Transient,
        "it may be there: nobody saw how its delivery ended, and the target holds a message that it may be and that cannot be read; another try may deliver it twice",
    )
}

/// The message waits and is not charged: the wait does not count towards the time for which it was tried.
fn put_off(at: Time, unseen: bool, row: &Row, now: Time) -> Change {
    let first = row.first_failed_at.map(|_| at - delta(tried(row, now)));
    Change::PutOff { at, first, unseen }
}

/// For how long this row has been tried since it was first charged. Where it was put off, that wait does not
/// count, also when the row is tried before the wait is over.
fn tried(row: &Row, now: Time) -> std::time::Duration {
    let until = if row.unseen > 0 {
        row.due_at
    } else {
        row.due_at.min(now)
    };
    row.first_failed_at
        .and_then(|first| (until - first).to_std().ok())
        .unwrap_or_default()
}

/// Counts this try against the message: it waits for the next one, or has failed when it was tried for long enough.
///
/// The wait grows with the time for which the message has been tried, so that it about doubles from try to
/// try. That time is the sum of the waits between its tries: by how much a try came late does not
/// count, since then nothing ran, or the machine slept. So two days are many tries, however rarely
/// there is one. What does not count is taken out by moving the first charge forward.
fn charge(error: Error, row: &Row, now: Time, times: &Intervals) -> Change {
    let tried = tried(row, now);
    if row.first_failed_at.is_some() && tried >= times.give_up {
        return failed(error);
    }
    let first_wait = if error.withheld {
        times.reconnect.0
    } else {
        times.backoff.0
    };
    let wait = error
        .delay
        .unwrap_or_default()
        .max(tried.clamp(first_wait, times.backoff.1));
    Change::Retry {
        error,
        first: now - delta(tried),
        at: now + delta(wait),
    }
}

/// `first`, doubled `times - 1` times, but no more than `most`.
fn doubled(
    (first, most): (std::time::Duration, std::time::Duration),
    times: u32,
) -> std::time::Duration {
    first
        .saturating_mul(1 << times.saturating_sub(1).min(16))
        .min(most)
}

fn delta(d: std::time::Duration) -> TimeDelta {
    TimeDelta::from_std(d).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ledger::MailboxId;
    use crate::message::{Discovered, Flags, Uid};

    const HOUR: Duration = Duration::from_secs(3600);

    fn row(now: Time) -> Row {
        Row {
            id: RowId(1),
            mailbox_id: MailboxId(1),
            about: Discovered {
                uid: Uid(1),
                message_id: None,
                date: None,
                internal_date: Some(now),
                size: Some(1),
                flags: Flags::default(),
                gm_msgid: None,
            },
            internal_date: now,
            attempt: 1,
            unseen: 0,
            first_failed_at: None,
            due_at: now,
            sha256: None,
            canonical: None,
            destination: crate::folder::DestinationId(1),
            mark: None,
            by_import: false,
            refused_by: None,
            detour: None,
        }
    }

    /// How many tries a message gets, each so much later than it is due, and how long that takes.
    fn tries(late: impl Fn(u32) -> Duration) -> (u32, Duration) {
        let times = Intervals::default();
        let begun = Time::UNIX_EPOCH;
        let mut row = row(begun);
        let mut now = begun;
        for tries in 1..=1000 {
            match charge(Error::new(Fault::Transient, "no"), &row, now, &times) {
                Change::Retry { first, at, .. } => {
                    (row.first_failed_at, row.due_at) = (Some(first), at);
                    now = at + delta(late(tries));
                }
                _ => return (tries, (now - begun).to_std().unwrap_or_default()),
            }
        }
        (u32::MAX, Duration::MAX)
    }

    #[test]
    fn a_message_is_tried_for_two_days_in_which_there_were_tries() {
        let (always, took) = tries(|_| Duration::ZERO);
        assert!((16..24).contains(&always), "{always}");
        assert!((48 * HOUR..60 * HOUR).contains(&took), "{took:?}");
        // Asleep at every third, away for a month after the third, run once a day.
        let night = |n: u32| {
            if n.is_multiple_of(3) {
                14 * HOUR
            } else {
                Duration::ZERO
            }
        };
        let away = |n: u32| if n == 3 { 720 * HOUR } else { Duration::ZERO };
        for (n, took) in [tries(night), tries(away), tries(|_| 24 * HOUR)] {
            assert_eq!(n, always);
            assert!(took >= 48 * HOUR, "{took:?}");
        }
    }

    #[test]
    fn tries_that_come_early_count_for_the_time_that_passed() {
        let times = Intervals::default();
        let now = Time::UNIX_EPOCH + TimeDelta::days(9);
        let mut row = row(now);
        row.first_failed_at = Some(now - TimeDelta::hours(1));
        row.due_at = now + TimeDelta::hours(5);
        let error = || Error::new(Fault::Transient, "no");
        let change = charge(error(), &row, now, &times);
        let Change::Retry { first, at, .. } = change else {
            panic!("{change:?}")
        };
        assert_eq!(
            (now - first, at - now),
            (TimeDelta::hours(1), TimeDelta::hours(1))
        );
        // A clock that was set back gives no time at all.
        row.first_failed_at = Some(now + TimeDelta::days(3));
        let change = charge(error(), &row, now, &times);
        assert!(matches!(change, Change::Retry { first, .. } if first == now));
    }
}
