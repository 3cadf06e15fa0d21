//! The dry run: what a run would do, found out without writing anywhere. It asks the same functions as a run. Only
//! bytes it does not fetch; it says how many messages depend on them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::Utc;
use log::warn;

use super::Engine;
use super::budget::{days, too_big};
use super::decide::{self, Decision, Limits, decide};
use super::dedup::Copies;
use super::index::TargetIndex;
use super::road::{self, Standing};
use crate::error::{Error, Result};
use crate::ledger::{Change, Claim, Count, Overlap, Proof, Room, Row, RowId};
use crate::message::Time;
use crate::target::{Account, Policy, Road};

/// Rows that are looked at together.
const BATCH_MAX: usize = 100;

/// What a run would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// At most.
    pub send: Count,
    /// Of these, the messages that may be in the target already, or in the source twice: only the bytes tell.
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
    /// What the target's operator says may be sent to it in a day, in bytes.
    pub uploads_per_day: Option<u64>,
    /// Bytes sent in the last 24 hours, where there is a limit for them, and the limit.
    pub uploaded: Option<(u64, u64)>,
    /// Delivered messages that would be removed at the source, and from when on.
    pub remove: Count,
    pub remove_from: Option<Time>,
    /// Where nothing has been delivered with this ledger yet.
    pub overlap: Option<Overlap>,
}

/// What would be sent.
struct ToSend {
    /// Size of each message, and whether it came after the first look.
    messages: Vec<(u64, bool)>,
    /// The day's limit has room for what comes next.
    now: bool,
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
        (forecast.remove, forecast.remove_from) = self.forecast_removal(Utc::now())?;
        let a_day = self.setup().config.upload_limit_per_day;
        if let Some(limit) = a_day {
            let sent = self.ledger.step(|l| l.uploaded(Utc::now()))?;
            forecast.uploaded = Some((sent, limit));
        }
        if self.ledger.step(|l| l.has_delivered_nothing())? {
            forecast.overlap = Some(Overlap::default());
        }
        forecast.unresolved = self.release_in_flight()?;
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
        let target = account.policy();
        forecast.uploads_per_day = target.uploads_per_day;
        let mut nameless = self.ledger.step(|l| l.delivered_nameless())?;
        let mut to_send = ToSend {
            messages: Vec::new(),
            now: true,
        };
        loop {
            let rows = self.claim_to_forecast(&mut to_send.now)?;
            if rows.is_empty() {
                break;
            }
            let copies = self.find_copies(&mut account, &rows)?;
            for row in &rows {
                let copies = copies.get(&row.id);
                if let Some(overlap) = &mut forecast.overlap {
                    add_overlap(overlap, row, copies);
                }
                let known = self.ledger.view(|l| decide::known(l, row, copies))?;
                let (limits, road) = self.limits_of(row, &target, a_day)?;
                let decision = decide(row.about.size, known, limits);
                let (plan, change) = self.plan(row, decision, &mut nameless)?;
                self.add_plan(&mut forecast, &mut to_send, row, &plan, limits, road)?;
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
        if let Some((sent, limit)) = forecast.uploaded {
            // New mail first.
            to_send.messages.sort_by_key(|(_, new)| !new);
            forecast.days = days(Room { limit, sent }, &to_send.messages);
        }
        Ok(forecast)
    }

    /// How many rows an earlier run left open. A run looks for them by their marks; here they count as waiting, and
    /// the index shows their copies as well as any other.
    fn release_in_flight(&self) -> Result<u64> {
        let rows = self.ledger.step(|l| l.in_flight())?;
        for row in &rows {
            let change = Change::Released { unseen: false };
            self.ledger
                .step(|l| l.settle(row.id, &change, Utc::now()))?;
        }
        Ok(rows.len() as u64)
    }

    /// What the target holds that may be a copy of one of these rows.
    fn find_copies(&self, account: &mut Account, rows: &[Row]) -> Result<HashMap<RowId, Copies>> {
        let mut index = TargetIndex::through(self, account);
        let mut boxes = index.refresh()?;
        index.find_copies(&mut boxes, rows, Utc::now())
    }

    /// What may be sent of a row, and by which road it would go as far as its metadata tell.
    fn limits_of(&self, row: &Row, target: &Policy, a_day: Option<u64>) -> Result<(Limits, Road)> {
        let destination = self.ledger.step(|l| l.destination(row.destination))?;
        let fits = road::unfit(&row.about, b"", &destination.spot, Utc::now()).is_none();
        let open = fits && self.import_standing(target) != Standing::None;
        let append = target.takes(Road::Append).largest;
        let too_big = row.about.size.is_some_and(|size| size > append);
        let road = if open && (too_big || self.is_to_be_imported(row)?) {
            Road::Import
        } else {
            Road::Append
        };
        let takes = target.takes(road).largest;
        Ok((Limits { takes, a_day }, road))
    }

    /// Counts what would become of a row. What would be sent counts towards the day's limit, as in a run.
    fn add_plan(
        &self,
        forecast: &mut Forecast,
        to_send: &mut ToSend,
        row: &Row,
        plan: &Plan,
        limits: Limits,
        road: Road,
    ) -> Result<()> {
        let size = row.about.size.unwrap_or(0);
        match plan {
            Plan::Found => forecast.found += 1,
            Plan::Imported => forecast.imported += 1,
            Plan::Refuse(_) if too_big(size, limits.takes, None).is_some() => {
                forecast.too_big += 1;
            }
            Plan::Refuse(_) => forecast.over_limit += 1,
            Plan::Send | Plan::SendUnlessThere => {
                forecast.send.add(size);
                forecast.unsure += u64::from(matches!(plan, Plan::SendUnlessThere));
                if road == Road::Import {
                    // It has a day of its own.
                    forecast.now.add(size);
                    return Ok(());
                }
                let new = self.ledger.step(|l| l.is_new_mail(row.id))?;
                to_send.messages.push((size, new));
                if to_send.now {
                    forecast.now.add(size);
                    if limits.a_day.is_some() {
                        self.ledger.step(|l| l.book(size, Utc::now()))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Claims the rows that a run would claim next; once the day's limit is reached, those that have to wait. `now`:
    /// the day has room for them.
    fn claim_to_forecast(&self, now: &mut bool) -> Result<Vec<Row>> {
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

    /// What a run would do with a row, and the change that has it count as done here. `nameless`: size and Date of
    /// the messages without a name that came before; this one is added.
    fn plan(
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
                let twin = match &row.about.message_id {
                    Some(_) => self.ledger.step(|l| l.may_have_a_twin(row))?,
                    None => !nameless.insert((row.about.size, row.about.date.clone())),
                };
                // A message whose size is not told can be recognised only by its bytes.
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

/// Does the target hold what waits already? Each row that waits is counted.
fn add_overlap(overlap: &mut Overlap, row: &Row, copies: Option<&Copies>) {
    overlap.waiting += 1;
    overlap.held += u64::from(copies.is_some_and(|c| !c.named.is_empty()));
    overlap.nameless += u64::from(row.about.message_id.is_none() && row.about.size.is_some());
}
