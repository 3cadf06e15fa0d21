//! How much may be sent: of one message, and in a day.

use std::sync::atomic::Ordering;

use chrono::Utc;

use super::Engine;
use crate::error::{Error, Fault, Result};
use crate::ledger::{Claim, Room, Row};
use crate::text::bytes_text;

/// Why a message of so many bytes cannot be sent at all, if so. `takes`: what the target takes at most;
/// `a_day`: `upload_limit_per_day`.
pub(super) fn too_big(size: u64, takes: u64, a_day: Option<u64>) -> Option<Error> {
    let permanent = |why: String| Some(Error::new(Fault::Permanent, why));
    if size > takes {
        return permanent(format!(
            "the message has {size} bytes, the target takes at most {takes}"
        ));
    }
    // It would never fit, and what waits behind it would wait for good.
    let a_day = a_day.filter(|a_day| size > *a_day)?;
    permanent(format!(
        "the message has {size} bytes, `upload_limit_per_day` lets {a_day} through"
    ))
}

/// How many days pass until the last of these messages (bytes, new mail or not) may go, none of them
/// bigger than the limit.
pub(super) fn days(mut room: Room, messages: &[(u64, bool)]) -> u64 {
    let mut days = 0;
    for (size, new) in messages {
        if !room.takes(0, *size, *new) {
            days += 1;
            room.sent = 0;
        }
        room.sent += size;
    }
    days
}

impl Engine {
    /// Claims the rows of the next batch: no more than the day's limit has room for.
    pub(super) fn claim_batch(&self, claim: Claim) -> Result<Vec<Row>> {
        // Whoever claims next takes what has come: under a limit it goes first anyway.
        let new_mail = self.new_mail.swap(false, Ordering::Relaxed);
        let Some(limit) = self.setup().config.upload_limit_per_day else {
            if new_mail {
                let new = self.ledger.step(|l| l.claim_new(claim, Utc::now()))?;
                if !new.is_empty() {
                    return Ok(new);
                }
            }
            return self.ledger.step(|l| l.claim(claim, Utc::now()));
        };
        let claimed = self
            .ledger
            .step(|l| l.claim_within(limit, claim, Utc::now()))?;
        if claimed.rows.is_empty() && claimed.held_back {
            Err(limit_reached(limit))
        } else {
            Ok(claimed.rows)
        }
    }

    /// Does new mail wait that fits into what is left of the day?
    pub(super) fn new_mail_fits(&self) -> Result<bool> {
        match self.setup().config.upload_limit_per_day {
            Some(limit) => self.ledger.step(|l| l.new_mail_fits(limit, Utc::now())),
            None => Ok(true),
        }
    }
}

pub(super) fn limit_reached(limit: u64) -> Error {
    let mut error = Error::new(
        Fault::Throttled,
        format!(
            "the upload limit of {} in 24 hours (`upload_limit_per_day`) is reached",
            bytes_text(limit)
        ),
    )
    .hint("the rest follows as the hours pass, new mail first; nothing is lost");
    error.own_limit = true;
    error
}
