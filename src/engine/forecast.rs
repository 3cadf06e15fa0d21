//! The dry run: what a run would do, found out without writing anywhere. It asks what a run asks, of the same
//! functions; only bytes it does not fetch, and says how many messages hang on those.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::Utc;
use log::warn;

use super::budget::{days, too_big};
use super::decide::{self, Decision, Limits, decide};
use super::index::TargetIndex;
use super::{BATCH_MAX, Engine};
use crate::error::{Error, Result};
use crate::ledger::{Change, Claim, Count, Overlap, Proof, Room, Row};
use crate::message::Time;

/// What a run would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// At most.
    pub send: Count,
    /// Of these, the messages of which the target, or the source itself, may have a copy: only the bytes tell.
    pub unsure: u64,
    /// Of these, what may go at once where there is a limit for a day.
    pub now: Count,
    /// In the target already.
    pub found: u64,
    /// Copied there by the predecessor.
    pub imported: u64,
    /// Bigger than the target takes.
    pub too_big: u64,
    /// Bigger than `upload_limit_per_day`.
    pub over_limit: u64,
    /// Failed in an earlier run: a run does not try them.
    pub failed: u64,
    /// How many days pass until the last may go, where there is such a limit.
    pub days: u64,
    /// Left open by an earlier run: whether they arrived is looked at first.
    pub unresolved: u64,
    /// The target is a Gmail.
    pub gmail: bool,
    /// Bytes sent in the last 24 hours, where there is a limit for them, and the limit.
    pub uploaded: Option<(u64, u64)>,
    /// Where nothing has been delivered with this ledger yet.
    pub overlap: Option<Overlap>,
}

/// What would become of one message.
#[derive(Debug)]
pub struct Planned {
    pub plan: Plan,
    pub date: Time,
    pub size: Option<u64>,
    pub message_id: Option<String>,
}

#[derive(Debug)]
pub enum Plan {
    Send,
    /// Sent, unless its bytes are there already.
    SendUnlessThere,
    Found,
    Imported,
    Refuse(Error),
}

impl Engine {
    /// What a run would do, and with each message. The ledger must be a scratch one.
    pub fn forecast(self: &Arc<Engine>, tell: &mut dyn FnMut(Planned)) -> Result<Forecast> {
        let mut forecast = Forecast::default();
        let a_day = self.setup().config.upload_limit_per_day;
        if let Some(limit) = a_day {
            let sent = self.ledger.step(|l| l.uploaded(Utc::now()))?;
            forecast.uploaded = Some((sent, limit));
        }
        if self.ledger.step(|l| l.has_delivered_nothing())? {
            forecast.overlap = Some(Overlap::default());
        }
        // A run looks for these by their marks; the index shows them as well as any other.
        for row in self.ledger.step(|l| l.in_flight())? {
            forecast.unresolved += 1;
            let change = Change::Released { unseen: false };
            self.ledger
                .step(|l| l.settle(row.id, &change, Utc::now()))?;
        }
        let looked = self.discover(&mut self.reader())?;
        if let Some(trouble) = looked.trouble {
            warn!("{trouble}");
        }
        self.reader().logout();
        if !self.inherit()? {
            return Ok(forecast);
        }
        (_, forecast.failed) = self.ledger.step(|l| l.left())?;
        let mut account = self.open_account()?;
        forecast.gmail = account.is_gmail();
        let limits = Limits {
            takes: account.size_limit(),
            a_day,
        };
        let folder = self.setup().folder.id;
        let history_below = self
            .ledger
            .step(|l| l.present_mailbox(folder))?
            .history_below;
        let mut nameless = self.ledger.step(|l| l.delivered_nameless())?;
        let mut to_send = Vec::new();
        let mut now = true;
        loop {
            let rows = self.next_to_forecast(&mut now)?;
            if rows.is_empty() {
                break;
            }
            let mut index = TargetIndex::through(self, &mut account);
            let mut boxes = index.refresh()?;
            let copies = index.copies(&mut boxes, &rows, Utc::now())?;
            drop(index);
            for row in &rows {
                let known = decide::known(&self.ledger, row, copies.get(&row.id))?;
                if let Some(overlap) = &mut forecast.overlap {
                    let held = copies.get(&row.id).is_some_and(|c| !c.named.is_empty());
                    overlap.waiting += 1;
                    overlap.held += u64::from(held);
                    overlap.nameless +=
                        u64::from(row.about.message_id.is_none() && row.about.size.is_some());
                }
                let decision = decide(row.about.size, known, limits);
                let (plan, change) = self.planned(row, decision, &mut nameless)?;
                let size = row.about.size.unwrap_or(0);
                match &plan {
                    Plan::Found => forecast.found += 1,
                    Plan::Imported => forecast.imported += 1,
                    Plan::Refuse(_) if too_big(size, limits.takes, None).is_some() => {
                        forecast.too_big += 1;
                    }
                    Plan::Refuse(_) => forecast.over_limit += 1,
                    Plan::Send | Plan::SendUnlessThere => {
                        to_send.push((size, row.about.uid.0 >= history_below));
                        forecast.send.add(size);
                        forecast.unsure += u64::from(matches!(plan, Plan::SendUnlessThere));
                        if now && a_day.is_some() {
                            self.ledger.step(|l| l.book(size, Utc::now()))?;
                        }
                        if now {
                            forecast.now.add(size);
                        }
                    }
                }
                self.ledger
                    .step(|l| l.settle(row.id, &change, Utc::now()))?;
                tell(Planned {
                    plan,
                    date: row.internal_date,
                    size: row.about.size,
                    message_id: row.about.message_id.as_ref().map(|id| id.text.clone()),
                });
            }
        }
        account.logout();
        // New mail first.
        to_send.sort_by_key(|(_, new)| !new);
        if let Some((sent, limit)) = forecast.uploaded {
            forecast.days = days(Room { limit, sent }, &to_send);
        }
        Ok(forecast)
    }

    /// The rows that a run would claim next; once the day's limit is reached, those that have to wait. `now`:
    /// it has room for them.
    fn next_to_forecast(&self, now: &mut bool) -> Result<Vec<Row>> {
        let claim = Claim {
            count: BATCH_MAX,
            bytes: u64::MAX,
            once: true,
        };
        if *now {
            match self.claim_batch(claim) {
                Err(e) if e.own_limit => *now = false,
                end => return end,
            }
        }
        self.ledger.step(|l| l.claim(claim, Utc::now()))
    }

    /// `nameless`: size and Date of messages without a name that came before.
    fn planned(
        &self,
        row: &Row,
        decision: Decision,
        nameless: &mut HashSet<(Option<u64>, Option<String>)>,
    ) -> Result<(Plan, Change)> {
        let delivered = |proof, place| Change::Delivered {
            proof,
            place,
            altered: false,
        };
        let later = Change::Later { at: Utc::now() };
        Ok(match decision {
            Decision::Found(place) => (Plan::Found, delivered(Proof::Found, Some(place))),
            Decision::Imported => (Plan::Imported, delivered(Proof::Imported, None)),
            Decision::Refuse(error) => (Plan::Refuse(error), later),
            Decision::Fetch { copies } => {
                // Of what is not told nothing can be recognised before its bytes are there.
                let twin = match &row.about.message_id {
                    Some(_) => self.ledger.step(|l| l.may_have_a_twin(row))?,
                    None => !nameless.insert((row.about.size, row.about.date.clone())),
                };
                let unsure = copies || twin || row.about.size.is_none();
                let plan = if unsure {
                    Plan::SendUnlessThere
                } else {
                    Plan::Send
                };
                (plan, later)
            }
        })
    }
}
