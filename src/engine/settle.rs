//! What becomes of a message after an attempt: one total function from outcome to ledger change,
//! and the only place where a [`Fault`] decides anything about a message.

use chrono::TimeDelta;

use crate::config::Intervals;
use crate::error::{Error, Fault};
use crate::ledger::{Change, Place, Proof, Row};
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
    /// A tagged NO or BAD that is no "temporary" one after the literal, or we did not even ask: the
    /// target does not have it.
    Refused {
        error: Error,
        sender: Option<String>,
        subject: Option<String>,
    },
    /// The source cannot hand it over: its FETCH, alone, ended a healthy connection again and again.
    Unreadable(Error),
    /// The connection died while its literal was under way: the target cannot have the whole of it.
    Died(Error),
    /// The connection died over its APPEND before a byte of it was sent. Sessions end at any moment, so
    /// this says less than if it had died over its bytes.
    NotTaken(Error),
    /// Nobody saw how its APPEND ended, and the target has been found not to have it. `why`: what
    /// left it open, a temporary NO or the end of the connection, as far as this run saw it.
    FoundAbsent { why: Option<Error> },
    /// Nobody saw how its APPEND ended, and for a day nobody could tell whether the target has it.
    NeverSeen,
    /// Nothing was sent of it.
    NotBegun,
    /// The source no longer has it; with `second` that was seen twice, in views a minute apart.
    Absent { second: bool },
    /// A row of an older incarnation of the mailbox has the same bytes: this one takes its place.
    KnownBefore { row: i64 },
}

/// What the ledger is to write.
pub(super) fn settle(outcome: Outcome, row: &Row, now: Time, times: &Intervals) -> Change {
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
        Outcome::Refused {
            error,
            sender,
            subject,
        } => match error.fault {
            Fault::Permanent => Change::Failed {
                error,
                sender,
                subject,
            },
            Fault::Transient => charge(error, row, now, times),
            Fault::Connection
            | Fault::Throttled
            | Fault::NeedsUser
            | Fault::Fatal
            | Fault::Usage => Change::Released { unseen: false },
        },
        Outcome::Unreadable(error) => charge(error.with_fault(Fault::Transient), row, now, times),
        Outcome::FoundAbsent { why: Some(error) } if error.fault == Fault::Transient => {
            charge(error, row, now, times)
        }
        // The second time it was alone: then it is the message.
        Outcome::Died(error) if row.unseen > 0 => {
            charge(error.with_fault(Fault::Transient), row, now, times)
        }
        Outcome::FoundAbsent { why: Some(error) } if error.fault != Fault::Connection => {
            Change::Released { unseen: false }
        }
        Outcome::FoundAbsent { why } if row.unseen > 0 => {
            let error = match why {
                Some(why) => format!("{why} (twice, and the target does not have the message)"),
                None => "the connection was lost twice while this message was sent, and the target does not have it".into(),
            };
            charge(Error::new(Fault::Transient, error), row, now, times)
        }
        // Once among others and twice alone.
        Outcome::NotTaken(error) if row.unseen > 1 => {
            charge(error.with_fault(Fault::Transient), row, now, times)
        }
        Outcome::Died(_) | Outcome::NotTaken(_) | Outcome::FoundAbsent { .. } => {
            Change::Released { unseen: true }
        }
        Outcome::NeverSeen => Change::Failed {
            error: Error::new(
                Fault::Transient,
                "it may be there: nobody saw how its delivery ended, and the target holds a message that it may be and that cannot be read; another try may deliver it twice",
            ),
            sender: None,
            subject: None,
        },
        Outcome::NotBegun => Change::Released { unseen: false },
        Outcome::Absent { second: false } => Change::Later {
            at: now + delta(times.second_look),
        },
        Outcome::Absent { second: true } => Change::Gone,
        Outcome::KnownBefore { row } => Change::AsBefore { row },
    }
}

/// The wait grows with the time since the first charge, so it about doubles from try to try.
fn charge(error: Error, row: &Row, now: Time, times: &Intervals) -> Change {
    let first = row.first_failed_at.unwrap_or(now);
    let since = (now - first).to_std().unwrap_or_default();
    if row.first_failed_at.is_some() && since >= times.give_up {
        return Change::Failed {
            error,
            sender: None,
            subject: None,
        };
    }
    let first_wait = if error.withheld {
        times.reconnect.0
    } else {
        times.backoff.0
    };
    let wait = error
        .delay
        .unwrap_or_default()
        .max(since.clamp(first_wait, times.backoff.1));
    Change::Retry {
        error,
        at: now + delta(wait),
    }
}

fn delta(d: std::time::Duration) -> TimeDelta {
    TimeDelta::from_std(d).unwrap_or(TimeDelta::MAX)
}
