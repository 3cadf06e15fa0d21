//! The APPENDs of a batch: intent on disk first, then effect, and what each end of it means. Not for what takes the
//! other road (`by_import`).

use std::sync::Arc;

use log::{info, warn};

use super::Engine;
use super::batch::Batch;
use super::road::Standing;
use super::settle::Outcome;
use crate::error::{Charge, Error, Result, Scope};
use crate::ledger::{IndexId, Intent, Ledger, Place, Proof, RefusedBy, Row};
use crate::message::{self, Message, Time, Uid, UidValidity, canonical_hash, has_bare_line_end};
use crate::session::Appended;
use crate::target::{Account, Road};
use crate::wire::Sent;

/// A message that is about to be sent, and how.
pub(super) struct Parcel {
    pub(super) row: Row,
    pub(super) road: Road,
    pub(super) body: Arc<Vec<u8>>,
    pub(super) intent: Intent,
}

impl Parcel {
    pub(super) fn new(mut row: Row, message: Message) -> Parcel {
        let (sha256, canonical) = (message.sha256(), canonical_hash(&message.body));
        debug_assert_eq!(
            sha256,
            message::sha256(&message.body),
            "hashed before it came"
        );
        (row.sha256, row.canonical) = (Some(sha256), Some(canonical));
        let intent = Intent {
            row: row.id,
            sha256,
            canonical,
            size: message.body.len() as u64,
            flags: message.about.flags,
            by_import: false,
        };
        Parcel {
            row,
            road: Road::Append,
            body: Arc::new(message.body),
            intent,
        }
    }
}

impl Parcel {
    pub(super) fn take(&mut self, road: Road) {
        self.road = road;
        let by_import = road == Road::Import;
        self.intent.by_import = by_import;
        self.row.by_import = by_import;
    }

    /// What it is refused with on this road, with what the other road said of it.
    pub(super) fn with_detour(&self, error: Error) -> Error {
        match &self.row.detour {
            Some(why) => Error {
                message: format!("{} ({why})", error.message),
                ..error
            },
            None => error,
        }
    }
}

/// A message that was answered OK.
pub(super) struct Delivered {
    pub(super) row: Row,
    /// Where the server says that it put it.
    pub(super) place: Option<(UidValidity, Uid)>,
    /// It was sent with other line ends.
    pub(super) altered: bool,
}

/// A message that was refused and may be sent once more.
pub(super) struct Doubtful {
    pub(super) parcel: Parcel,
    pub(super) error: Error,
    pub(super) sent: Sent,
}

/// What is booked of the day's bytes for a batch.
pub(super) struct Upload {
    pub(super) booked_at: Time,
    /// Messages of it that are to be sent, or on their way.
    pub(super) messages: usize,
    /// Booked and not handed over so far: given back at the end. Where the process ends before that, the day
    /// counts for more than was sent, never for less.
    pub(super) unsent: u64,
}

impl Upload {
    /// Takes note of what the account handed over for the message that it heard of last.
    pub(super) fn note_sent(&mut self, account: &Account) {
        self.unsent -= account.handed_over().min(self.unsent);
    }
}

impl Engine {
    pub(super) fn give_back(&self, upload: &Upload) -> Result<()> {
        if upload.unsent == 0 {
            return Ok(());
        }
        let step = |l: &mut Ledger| l.give_back(upload.unsent, upload.booked_at);
        self.ledger.step(step)
    }

    /// Settles a message by how its sending ended. `behind`: the session was lost over another one that was sent before
    /// it, which says nothing of this one.
    pub(super) fn settle_sent(
        &self,
        account: &Account,
        batch: &mut Batch<'_>,
        parcel: &Parcel,
        end: Appended,
        behind: bool,
    ) -> Result<()> {
        match end {
            Appended::Done(place) => self.settle_delivered(
                account,
                batch,
                &[Delivered {
                    row: parcel.row.clone(),
                    place,
                    altered: false,
                }],
            ),
            // RFC 3501 knows no temporary NO: a server that has the message and says "not now", or
            // "not so fast", may have stored it all the same.
            Appended::Refused(error, Sent::Whole) if error.reaction().leaves_open => {
                self.leave_unresolved(&parcel.row, error)
            }
            Appended::Refused(error, _) => self.settle_refused(batch, parcel, error),
            Appended::Lost(error, Sent::Nothing | Sent::Part) if behind => {
                batch.settle(&parcel.row, Outcome::NotBegun)?;
                Err(error)
            }
            Appended::Lost(error, sent) => self.settle_lost(batch, &parcel.row, error, sent),
        }
    }

    /// Settles messages that were answered OK, in one step of the ledger.
    pub(super) fn settle_delivered(
        &self,
        account: &Account,
        batch: &mut Batch<'_>,
        delivered: &[Delivered],
    ) -> Result<()> {
        let mut mailbox: Option<(UidValidity, IndexId)> = None;
        let mut ended = Vec::with_capacity(delivered.len());
        for one in delivered {
            let place = match one.place {
                Some((uid_validity, uid)) => {
                    let known = mailbox.filter(|(validity, _)| *validity == uid_validity);
                    let id = match known {
                        Some((_, id)) => id,
                        None => {
                            let name = account.delivery();
                            let step = |l: &mut Ledger| l.index_mailbox(name, uid_validity, uid.0);
                            self.ledger.step(step)?.id
                        }
                    };
                    mailbox = Some((uid_validity, id));
                    Some(Place {
                        mailbox: id,
                        uid_validity,
                        uid,
                        gm_msgid: None,
                    })
                }
                None => None,
            };
            ended.push((
                &one.row,
                Outcome::Delivered {
                    proof: Proof::Appended,
                    place,
                    altered: one.altered,
                },
            ));
        }
        batch.settle_all(ended)?;
        for one in delivered {
            info!("delivered {}", self.named(&one.row));
            self.note_got_through(false)?;
        }
        Ok(())
    }

    /// The server has the whole message, and says that it does not take it now.
    fn leave_unresolved(&self, row: &Row, error: Error) -> Result<()> {
        warn!(
            "{}: {}",
            self.named(row),
            error.then("looking whether it arrived")
        );
        self.unresolved.add(row, error.clone());
        if error.reaction().charge == Charge::Attempt {
            self.note_refused(row, &error)
        } else {
            Err(error)
        }
    }

    fn settle_refused(&self, batch: &mut Batch<'_>, parcel: &Parcel, error: Error) -> Result<()> {
        let policy = self.known_target.policy();
        if is_about_size(&error)
            && parcel.row.refused_by.is_none()
            && self.import_standing(&policy) != Standing::None
        {
            // Gmail's API takes bigger ones.
            let why = format!("refused by APPEND: {}", error.message);
            warn!("{}: {why}", self.named(&parcel.row));
            let (row, refused_by) = (parcel.row.id, Some(RefusedBy::Append));
            self.ledger
                .step(|l| l.note_detour(row, refused_by, Some(&why)))?;
            return batch.settle(&parcel.row, Outcome::NotBegun);
        }
        let of_all = match error.reaction().charge {
            Charge::Attempt => self.note_refused(&parcel.row, &error),
            Charge::Failure => Ok(()),
            Charge::Nothing => Err(error.clone()),
        };
        batch.refuse(&parcel.row, parcel.with_detour(error), &parcel.body)?;
        of_all
    }

    /// No answer came. Only a message that the server may have as a whole has to be looked for.
    fn settle_lost(
        &self,
        batch: &mut Batch<'_>,
        row: &Row,
        error: Error,
        sent: Sent,
    ) -> Result<()> {
        match sent {
            Sent::Whole => self.unresolved.add(row, error.clone()),
            // What is the account's fault is no message's.
            _ if error.scope() != Scope::Session => batch.settle(row, Outcome::NotBegun)?,
            Sent::Nothing => batch.settle(row, Outcome::NotTaken(error.clone()))?,
            Sent::Part => batch.settle(row, Outcome::Died(error.clone()))?,
        }
        Err(error)
    }
}

/// A refusal that names the size of the message (RFC 7889).
fn is_about_size(error: &Error) -> bool {
    error.message.to_lowercase().contains("[toobig]")
}

/// May the message be taken with other line ends?
pub(super) fn may_be_cured(refused: &Error, parcel: &Parcel) -> bool {
    refused.reaction().charge == Charge::Failure
        && is_about_form(refused)
        && has_bare_line_end(&parcel.body)
}

/// Refusals that CRLF line ends may cure.
fn is_about_form(error: &Error) -> bool {
    let lower = error.message.to_lowercase();
    [
        "bare newline",
        "unable to parse",
        "invalid arguments",
        "invalid header",
    ]
    .iter()
    .any(|n| lower.contains(n))
}
