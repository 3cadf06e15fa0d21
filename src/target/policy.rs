//! What an account that we fill is like, as data: what it does with copies, what it takes, how late it may still
//! store what it was given. Not for what follows from that: `engine` and `check` ask, and decide.

use std::time::Duration;

use super::Road;
use crate::config::Intervals;
use crate::session::{MESSAGE_MAX, Session};

/// What Gmail's API takes at most, in bytes (docs/gmail-import.md 1).
const IMPORT_MAX: u64 = 157_286_400;

/// support.google.com/a/answer/1071518, seen 2026-11.
const GMAIL_UPLOADS_PER_DAY: u64 = 500_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Of two messages with one Message-ID and Date it keeps one for both (docs/gmail.md 3.2).
    pub merges: bool,
    /// Its mailboxes are labels: All Mail, Spam and Trash hold each message once, by whatever labels, and each
    /// message has one number everywhere (X-GM-MSGID).
    pub labels: bool,
    /// Its operator may put a mailbox back to an earlier state, as from a snapshot: UIDs are given twice then.
    pub may_go_back: bool,
    /// What its operator says may be sent to it over IMAP in a day, in bytes.
    pub uploads_per_day: Option<u64>,
    /// What a person does where it is full.
    pub make_room: &'static str,
    late_commit: Duration,
    late_commit_anonymous: Duration,
    append: Takes,
}

/// Which messages are taken on a road.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Takes {
    /// Messages that hold a NUL byte.
    pub nul: bool,
    /// The largest, in bytes.
    pub largest: u64,
}

impl Policy {
    /// Of the account that this session is signed in to.
    pub fn of(session: &Session, times: &Intervals) -> Policy {
        let mut policy = if session.offers("X-GM-EXT-1") {
            Policy::of_gmail(times)
        } else {
            Policy::of_any(times)
        };
        if let Some(limit) = session.append_limit() {
            policy.append.largest = policy.append.largest.min(limit);
        }
        policy
    }

    /// Of an account of which nothing is known.
    pub fn of_any(times: &Intervals) -> Policy {
        Policy {
            merges: false,
            labels: false,
            may_go_back: true,
            uploads_per_day: None,
            make_room: "make room in the account",
            late_commit: times.late_commit,
            late_commit_anonymous: times.late_commit,
            append: Takes {
                nul: true,
                largest: MESSAGE_MAX,
            },
        }
    }

    fn of_gmail(times: &Intervals) -> Policy {
        Policy {
            merges: true,
            labels: true,
            // Google puts no mailbox back.
            may_go_back: false,
            uploads_per_day: Some(GMAIL_UPLOADS_PER_DAY),
            make_room: "make room in the Google account (mail, Drive and Photos share it: https://one.google.com/storage)",
            late_commit_anonymous: times.late_commit_anonymous,
            append: Takes {
                // It ends the connection over one (docs/gmail.md 3.6).
                nul: false,
                largest: MESSAGE_MAX,
            },
            ..Policy::of_any(times)
        }
    }

    /// Which messages it takes on this road.
    pub fn takes(&self, road: Road) -> Takes {
        match road {
            Road::Append => self.append,
            Road::Import => Takes {
                // What it does with one is not known.
                nul: false,
                largest: IMPORT_MAX.min(MESSAGE_MAX),
            },
        }
    }

    /// How long after its last byte a message may still appear. `anonymous`: it has no Message-ID or no Date. Where
    /// copies are merged, a second copy of such a message would not be, so it is waited for longer.
    pub fn late_commit(&self, anonymous: bool) -> Duration {
        if anonymous {
            self.late_commit_anonymous
        } else {
            self.late_commit
        }
    }
}
