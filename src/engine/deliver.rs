//! One worker: claims a batch, finds out what the target has of it, fetches the rest, and sends it.
//!
//! Every row of a batch leaves through `settle`, each by itself. What is not begun when a session
//! dies is released; what may have arrived stays in flight and is resolved by looking.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::Utc;
use log::{debug, info, warn};

use super::budget::too_big;
use super::decide::{self, Decision, Limits, decide};
use super::flight::Flight;
use super::index::TargetIndex;
use super::reader::same_message_id;
use super::recognise::Copies;
use super::send::Parcel;
use super::settle::Outcome;
use super::whose::Whose;
use super::{Engine, recognise};
use crate::error::{Again, Error, Fault, Result, Scope};
use crate::gmail::Account;
use crate::ledger::{Claim, IndexMailbox, Intent, Place, Proof, Row, Twin};
use crate::message::{Message, canonical_hash, sha256};
use crate::session::MESSAGE_MAX;

/// Bytes of messages that a batch may hold; a bigger message goes alone.
const BATCH_BYTES: u64 = 8 << 20;

impl Engine {
    /// Delivers batches until nothing is left to claim, a session is lost, or the run is to end.
    pub(super) fn work(&self, batch: usize) -> Result<()> {
        let once = self.once.load(Ordering::Relaxed);
        let (mut account, mut warm) = match self.enter() {
            // Others of ours are in: fewer will do.
            Err(e) if e.reaction().again == Again::AfterPause && self.sessions.any_at_work() => {
                warn!("{}", e.then("going on with fewer connections"));
                return Ok(());
            }
            end => end?,
        };
        let _session = self.sessions.note_at_work();
        let mut end = self.resolve_and_verify(&mut account);
        loop {
            if let Err(e) = &end
                && warm
                && e.scope() == Scope::Session
            {
                // It had waited too long for us: that is no trouble.
                debug!("{}", e.then("opening another session"));
                (account, warm) = (self.open_account()?, false);
                end = self.resolve_and_verify(&mut account);
            }
            if end.is_err() || self.stopping() {
                break;
            }
            if account.outlived(Utc::now()) {
                account.logout();
                account = self.open_account()?;
            }
            let claim = Claim {
                count: batch,
                bytes: BATCH_BYTES,
                once,
            };
            let rows = match self.claim_batch(claim) {
                Ok(rows) if rows.is_empty() => break,
                Ok(rows) => rows,
                // The session is fine, and waits for what comes next.
                Err(e) if e.own_limit => {
                    end = Err(e);
                    break;
                }
                Err(e) => return Err(e),
            };
            self.promise_transfer(0);
            end = self.deliver(&mut account, rows);
            warm &= end.is_err();
        }
        self.note_shut(&account);
        if once || !account.usable() {
            account.logout()
        } else {
            account.wait();
            self.sessions.keep(account);
        }
        end
    }

    /// A session with the target, and whether it is one that had waited.
    fn enter(&self) -> Result<(Account, bool)> {
        match self.sessions.take_idle() {
            Some((account, waited)) => {
                // What was opened beside the look at the source has hardly waited.
                let once = self.once.load(Ordering::Relaxed);
                Ok((account, !once || waited >= self.times.keep))
            }
            None => Ok((self.open_after_the_others()?, false)),
        }
    }

    fn deliver(&self, account: &mut Account, rows: Vec<Row>) -> Result<()> {
        let mut open = Flight { engine: self, rows };
        let (boxes, copies) = {
            let mut index = TargetIndex::through(self, account);
            let mut boxes = index.refresh()?;
            let copies = index.copies(&mut boxes, &open.rows, Utc::now())?;
            self.mind_overlap(&boxes)?;
            (boxes, copies)
        };
        self.settle_without_bytes(&mut open, &copies)?;
        let messages = self.fetch(&mut open)?;
        self.mind_renumbering(&messages)?;
        let ids: Vec<i64> = messages.iter().map(|(row, _)| row.id).collect();
        let end = self.send_and_verify(account, &mut open, messages, &copies, &boxes);
        self.forget_headers(&ids);
        end
    }

    fn send_and_verify(
        &self,
        account: &mut Account,
        open: &mut Flight<'_>,
        messages: Vec<(Row, Message)>,
        copies: &HashMap<i64, Copies>,
        boxes: &[IndexMailbox],
    ) -> Result<()> {
        let parcels = self.compare(account, open, messages, copies)?;
        let end = self.send(account, open, parcels, boxes);
        if end.as_ref().is_err_and(|e| !e.own_limit) {
            return end;
        }
        TargetIndex::through(self, account).verify()?;
        end
    }

    /// Rows that need no bytes: the target has them, the predecessor had copied them, or even their source
    /// says that they are more than may be carried. What is only more than the target takes is fetched all
    /// the same: sizes may lie (docs/servers.md 3.9), and its bytes decide.
    fn settle_without_bytes(
        &self,
        open: &mut Flight<'_>,
        copies: &HashMap<i64, Copies>,
    ) -> Result<()> {
        let limits = Limits {
            takes: MESSAGE_MAX,
            a_day: None,
        };
        for row in open.rows.clone() {
            let known = decide::known(&self.ledger, &row, copies.get(&row.id))?;
            let (proof, place) = match decide(row.about.size, known, limits) {
                Decision::Found(place) => {
                    info!("found {} in the target", self.named(&row));
                    (Proof::Found, Some(place))
                }
                Decision::Imported => {
                    info!(
                        "{} was copied before: its Message-ID was imported",
                        self.named(&row)
                    );
                    (Proof::Imported, None)
                }
                Decision::Refuse(error) => {
                    let header = self.reader().envelope(row.about.uid).unwrap_or_default();
                    open.refuse(&row, error, &header)?;
                    continue;
                }
                Decision::Fetch { .. } => continue,
            };
            open.settle(
                &row,
                Outcome::Delivered {
                    proof,
                    place,
                    altered: false,
                },
            )?;
        }
        Ok(())
    }

    /// Equal bytes are delivered once; messages that share a name with others are told apart by
    /// their bytes. What is left is to be sent.
    fn compare(
        &self,
        account: &mut Account,
        open: &mut Flight<'_>,
        messages: Vec<(Row, Message)>,
        copies: &HashMap<i64, Copies>,
    ) -> Result<Vec<Parcel>> {
        let mut parcels = Vec::with_capacity(messages.len());
        for (mut row, message) in messages {
            let body = Arc::new(message.body);
            let (sha256, canonical) = (sha256(&body), canonical_hash(&body));
            (row.sha256, row.canonical) = (Some(sha256), Some(canonical));
            self.hash_rivals(account, &row)?;
            let twin = match self.ledger.step(|l| l.twin(row.id, &sha256))? {
                Some(Twin::Unverified) => {
                    // An OK vouches for nobody before it is known what became of it.
                    TargetIndex::through(self, account).verify()?;
                    self.ledger.step(|l| l.twin(row.id, &sha256))?
                }
                twin => twin,
            };
            match twin {
                Some(Twin::Delivered) => {
                    info!(
                        "{} has the same bytes as a message that was delivered",
                        self.named(&row)
                    );
                    self.ledger
                        .step(|l| l.set_hashes(row.id, &sha256, &canonical))?;
                    open.settle(
                        &row,
                        Outcome::Delivered {
                            proof: Proof::Same,
                            place: None,
                            altered: false,
                        },
                    )?;
                    continue;
                }
                Some(Twin::Before(before)) => {
                    info!(
                        "{} is known from before its mailbox had new UIDs",
                        self.named(&row)
                    );
                    open.settle(&row, Outcome::KnownBefore { row: before })?;
                    continue;
                }
                // Another worker has just sent it.
                Some(Twin::Unverified) => {
                    open.settle(&row, Outcome::NotBegun)?;
                    continue;
                }
                None => {}
            }
            if let Some((place, altered)) =
                self.copy_with_bytes(account, &row, copies.get(&row.id))?
            {
                info!("found {} in the target", self.named(&row));
                self.ledger
                    .step(|l| l.set_hashes(row.id, &sha256, &canonical))?;
                let proof = Proof::Found;
                open.settle(
                    &row,
                    Outcome::Delivered {
                        proof,
                        place: Some(place),
                        altered,
                    },
                )?;
                continue;
            }
            if account.is_gmail() && body.contains(&0) {
                // It would end the connection (docs/gmail.md 3.6).
                let error = Error::new(
                    Fault::Permanent,
                    "the message holds a NUL byte, which Gmail does not take",
                );
                open.refuse(&row, error, &body)?;
                continue;
            }
            let size = body.len() as u64;
            let a_day = self.setup().config.upload_limit_per_day;
            if let Some(error) = too_big(size, account.size_limit(), a_day) {
                open.refuse(&row, error, &body)?;
                continue;
            }
            self.remember_header(row.id, &body);
            let intent = Intent {
                row: row.id,
                sha256,
                canonical,
                size,
                flags: message.about.flags,
            };
            parcels.push(Parcel {
                flags: message.about.flags,
                row,
                body,
                intent,
            });
        }
        Ok(parcels)
    }

    /// Rows with this row's Message-ID and Date that were recognised by those alone: now it matters
    /// what they are. Their message is hashed, or where it is gone from the source, its copy.
    fn hash_rivals(&self, account: &mut Account, row: &Row) -> Result<()> {
        let rivals = self.ledger.step(|l| l.unhashed_rivals(row))?;
        let others = || self.ledger.step(|l| l.others_to_fetch(row.mailbox_id));
        for (rival, place) in rivals {
            let mut body = None;
            if rival.mailbox_id == row.mailbox_id {
                let got = self.reader().messages(
                    &[rival.about.uid],
                    rival.about.size.unwrap_or(0),
                    false,
                    &others,
                )?;
                // Under another name it is not the rival: its hash would make that one vouch for
                // bytes which nobody delivered.
                let rivals_own = |m: &Message| same_message_id(&m.about, &rival.about);
                body = got.found.into_iter().find(rivals_own).map(|m| m.body);
            }
            if body.is_none()
                && let Some(place) = place
            {
                body = TargetIndex::through(self, account).copy(place)?;
            }
            if let Some(body) = body {
                self.ledger
                    .step(|l| l.set_hashes(rival.id, &sha256(&body), &canonical_hash(&body)))?;
            }
        }
        Ok(())
    }

    /// The copy among these that has these bytes, and whether the target altered it.
    fn copy_with_bytes(
        &self,
        account: &mut Account,
        row: &Row,
        copies: Option<&Copies>,
    ) -> Result<Option<(Place, bool)>> {
        for place in copies.iter().flat_map(|c| c.named.iter().chain(&c.alike)) {
            // Another row of this batch may have it by now.
            if self
                .ledger
                .step(|l| l.vouches_for_another(row.id, *place))?
            {
                continue;
            }
            let named = false; // Where a name decides, it has.
            if let Some(body) = TargetIndex::through(self, account).copy(*place)?
                && let Whose::Ours { altered } = recognise::seen(&self.ledger, row, &body, named)?
            {
                return Ok(Some((*place, altered)));
            }
        }
        Ok(None)
    }
}
