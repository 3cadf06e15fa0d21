//! Scripted faults of the API: what goes wrong at a chosen request. Which one is chosen as for IMAP, with
//! [`On`](crate::On); what a request is called there, says [`ApiFault`].

use std::time::Duration;

use super::refusals::ApiRefusal;

/// What goes wrong with a request to the API.
///
/// Requests are called `IMPORT` and `INSERT` (with the message in them), `START`, `UPLOAD` and `STATUS` (a resumable
/// upload: its beginning, the bytes, the question how far it came), `LABELS.LIST` and `LABELS.CREATE`. With
/// [`On::message_with`](crate::On::message_with) a message is an `IMPORT` or `INSERT` however it comes, and a fault strikes
/// when all of it was heard: one that cuts before is then one that cuts before anything is stored.
#[derive(Debug, Clone)]
pub enum ApiFault {
    /// This refusal instead of doing anything.
    Refuse(ApiRefusal),
    /// The request is carried out, and then refused with this.
    RefuseAfter(ApiRefusal),
    /// This answer.
    Answer {
        /// The HTTP status.
        status: u16,
        /// JSON or not.
        body: String,
        /// Whether the request was carried out.
        stored: bool,
    },
    /// The connection is cut when the head of the request was heard.
    CutBefore,
    /// It is cut after so many bytes of the body. A resumable session keeps them.
    CutInBody(usize),
    /// It is cut instead of the answer.
    CutAfter {
        /// Whether the request was carried out.
        stored: bool,
    },
    /// The request is carried out, and the connection cut within the answer.
    CutInAnswer,
    /// The connection is cut instead of the answer, and the request carried out this much later, for real.
    CommitLate(Duration),
    /// The connection is cut instead of the answer, and the request carried out when
    /// [`Gmail::commit_held`](crate::Gmail::commit_held) says so.
    CommitOnCommand,
    /// The connection is cut within this refusal, which is said instead of doing anything.
    CutInRefusal(ApiRefusal),
    /// The request is carried out at once, and answered when [`Gmail::release_answers`](crate::Gmail::release_answers) says so.
    AnswerOnCommand,
    /// Nothing is said any more.
    Stall {
        /// Whether the request was carried out.
        stored: bool,
    },
    /// The request is carried out at once, and answered this much later, for real.
    Delay(Duration),
}

impl ApiFault {
    /// Whether the request is carried out all the same.
    pub(super) fn has_effect(&self) -> bool {
        match self {
            ApiFault::Refuse(_)
            | ApiFault::CutBefore
            | ApiFault::CutInBody(_)
            | ApiFault::CommitLate(_)
            | ApiFault::CommitOnCommand
            | ApiFault::CutInRefusal(_) => false,
            ApiFault::RefuseAfter(_)
            | ApiFault::CutInAnswer
            | ApiFault::AnswerOnCommand
            | ApiFault::Delay(_) => true,
            ApiFault::Answer { stored, .. }
            | ApiFault::CutAfter { stored }
            | ApiFault::Stall { stored } => *stored,
        }
    }
}
