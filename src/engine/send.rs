//! The APPENDs of a batch: intent on disk first, then effect, and what each end of it means.

use std::sync::Arc;

use chrono::Utc;
use log::{debug, info, warn};

use super::budget::limit_reached;
use super::flight::Flight;
use super::settle::Outcome;
use super::{Engine, index};
use crate::error::{Charge, Error, Result, Scope};
use crate::gmail::Account;
use crate::ledger::{IndexMailbox, Intent, Place, Proof, Row};
use crate::message::{Flags, Time, canonical_hash, has_bare_line_end, with_crlf};
use crate::session::Appended;
use crate::wire::Sent;

/// A message that is about to be sent.
pub(super) struct Parcel {
    pub(super) row: Row,
    pub(super) flags: Flags,
    pub(super) body: Arc<Vec<u8>>,
    pub(super) intent: Intent,
}

/// What is booked of the day's bytes for a batch.
struct Upload {
    booked_at: Time,
    /// Booked and not handed over so far: given back at the end. A process that ends before has sent
    /// less than it booked.
    unsent: u64,
}

impl Engine {
    /// Intent first, then effect, message by message.
    pub(super) fn send(
        &self,
        account: &mut Account,
        open: &mut Flight<'_>,
        parcels: Vec<Parcel>,
        boxes: &[IndexMailbox],
    ) -> Result<()> {
        let intents: Vec<Intent> = parcels.iter().map(|p| p.intent).collect();
        if intents.is_empty() {
            return Ok(());
        }
        let limit = self.setup().config.upload_limit_per_day;
        let now = Utc::now();
        let marked = self
            .ledger
            .step(|l| l.mark(&intents, &index::marks(boxes), limit, now))?;
        let mut upload = Upload {
            booked_at: now,
            unsent: intents.iter().take(marked).map(|i| i.size).sum(),
        };
        let end = self.send_marked(account, open, &parcels[..marked], &mut upload);
        if upload.unsent > 0 {
            self.ledger
                .step(|l| l.give_back(upload.unsent, upload.booked_at))?;
        }
        end?;
        match limit {
            Some(limit) if marked < parcels.len() && !self.stopping() => Err(limit_reached(limit)),
            _ => Ok(()),
        }
    }

    fn send_marked(
        &self,
        account: &mut Account,
        open: &mut Flight<'_>,
        parcels: &[Parcel],
        upload: &mut Upload,
    ) -> Result<()> {
        for parcel in parcels {
            // A session that ends under a message costs a look for it: better a new one in time.
            if self.stopping() || account.outlived(Utc::now()) {
                break;
            }
            self.send_one(account, open, parcel, upload)?;
            self.wait_if_throttled(account.throttled());
        }
        Ok(())
    }

    fn send_one(
        &self,
        account: &mut Account,
        open: &mut Flight<'_>,
        parcel: &Parcel,
        upload: &mut Upload,
    ) -> Result<()> {
        let Parcel {
            row, flags, body, ..
        } = parcel;
        self.promise_transfer(body.len() as u64);
        let mut altered = false;
        let mut end = account.append(*flags, row.internal_date, Arc::clone(body));
        upload.unsent -= account.handed_over().min(upload.unsent);
        if let Appended::Refused(error, _) = &end
            && error.reaction().charge == Charge::Failure
            && is_about_form(error)
            && has_bare_line_end(body)
        {
            debug!(
                "{}: tried again with CRLF line ends: {error}",
                self.named(row)
            );
            altered = true;
            let mended = with_crlf(body);
            // Resolution has to know what it looks for: a lone CR has become a line end.
            self.ledger
                .step(|l| l.set_hashes(row.id, &parcel.intent.sha256, &canonical_hash(&mended)))?;
            let again = mended.len() as u64;
            self.ledger.step(|l| l.book(again, upload.booked_at))?;
            upload.unsent += again;
            end = account.append(*flags, row.internal_date, Arc::new(mended));
            upload.unsent -= account.handed_over().min(upload.unsent);
        }
        match end {
            Appended::Done(place) => {
                // It is there. Whatever cannot be written down from here on, it is not released.
                open.leave_in_flight(row);
                let place = match place {
                    Some((uid_validity, uid)) => Some(Place {
                        mailbox: self
                            .ledger
                            .step(|l| l.index_mailbox(account.delivery(), uid_validity, uid.0))?
                            .id,
                        uid_validity,
                        uid,
                        gm_msgid: None,
                    }),
                    None => None,
                };
                open.settle(
                    row,
                    Outcome::Delivered {
                        proof: Proof::Appended,
                        place,
                        altered,
                    },
                )?;
                info!("delivered {}", self.named(row));
                self.note_got_through()
            }
            // RFC 3501 knows no temporary NO: a server that has the message and says "not now", or
            // "not so fast", may have stored it all the same.
            Appended::Refused(error, Sent::Whole) if error.reaction().leaves_open => {
                warn!(
                    "{}: {}",
                    self.named(row),
                    error.then("looking whether it arrived")
                );
                self.unresolved.add(row, error.clone());
                open.leave_in_flight(row);
                if error.reaction().charge == Charge::Attempt {
                    self.note_refused(row, &error)
                } else {
                    Err(error)
                }
            }
            Appended::Refused(error, _) => {
                let of_all = match error.reaction().charge {
                    Charge::Attempt => self.note_refused(row, &error),
                    Charge::Failure => Ok(()),
                    Charge::Nothing => Err(error.clone()),
                };
                open.refuse(row, error, body)?;
                of_all
            }
            Appended::Lost(error, Sent::Whole) => {
                self.unresolved.add(row, error.clone());
                open.leave_in_flight(row);
                Err(error)
            }
            Appended::Lost(error, sent) => {
                // What is the account's is no message's: its row is released with the others.
                if error.scope() == Scope::Session {
                    let outcome = match sent {
                        Sent::Nothing => Outcome::NotTaken(error.clone()),
                        _ => Outcome::Died(error.clone()),
                    };
                    open.settle(row, outcome)?;
                }
                Err(error)
            }
        }
    }
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
