//! What `status` says of a ledger: one report, whose fields are those of `status --json` (the contract of
//! design 2.3), and which is rendered as JSON here and for people in `text`. Not for finding anything out: that
//! is `ledger`'s `summary`.
//!
//! Whatever stands in the ledger as text may have been written there by anybody: it is [`Foreign`], which is
//! made safe wherever it is shown.

use std::fmt;
use std::path::Path;

use chrono::{Local, NaiveDate, Utc};
use serde::{Serialize, Serializer};

use crate::error::{Error, Result, shown_within};
use crate::ledger::{self, Ledger, Part, Removals, Summary, TroubleKind};
use crate::message::{Time, time_text};

mod health;
mod import;
mod life;
#[cfg(test)]
mod tests;
mod text;

pub use import::Import;
pub use life::{State, is_running};

use life::Life;

/// Reasons of failures that are told apart.
const REASONS: usize = 5;

/// The most characters of one text out of the ledger: anybody may have written into the file.
const TEXT_MAX: usize = 2000;

/// Ledgers at one moment.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub routes: Vec<RouteReport>,
}

/// One ledger. Keys may be added, never renamed; what is not known is null.
#[derive(Debug, Serialize)]
pub struct RouteReport {
    pub source: Option<Foreign>,
    pub target: Option<Foreign>,
    pub state_file: Foreign,
    /// By its signs of life alone.
    pub running: bool,
    /// With what is put off.
    pub pending: u64,
    pub in_flight: u64,
    pub delivered: u64,
    pub failed: u64,
    pub skipped: u64,
    pub gone: u64,
    /// When the longest-waiting message was discovered.
    pub oldest_pending: Option<Moment>,
    /// When the last message was sent.
    pub last_delivered_at: Option<Moment>,
    pub last_sign_of_life: Option<Moment>,
    /// When the source was last looked at.
    pub last_look: Option<Moment>,
    /// What keeps it from being healthy, in one sentence.
    pub unhealthy: Option<Foreign>,
    /// The gravest.
    pub trouble: Option<Trouble>,
    pub troubles: Vec<PartTrouble>,
    pub state: State,
    pub running_since: Option<Moment>,
    pub delivered_today: u64,
    /// When today began, by the clock of the place where it is asked.
    pub today_since: Moment,
    /// Of what was delivered, what was imported and lay in Gmail's Spam when that was last looked at.
    pub in_spam: u64,
    pub pending_bytes: u64,
    /// What is put off.
    pub backoff: u64,
    pub next_attempt_at: Option<Moment>,
    pub import: Option<Import>,
    /// What is removed at the source. None: nothing is, nor was.
    pub after_delivery: Option<AfterDelivery>,
    /// How many there are in all.
    pub failure_reasons: u64,
    /// The commonest first.
    pub failures: Vec<Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_messages: Option<Vec<FailedMessage>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub put_off_messages: Option<Vec<PutOffMessage>>,
    /// The parts that have shown in this run whether anything troubles them.
    #[serde(skip)]
    pub shown: Vec<String>,
    #[serde(skip)]
    life: Life,
    #[serde(skip)]
    asked: Moment,
    /// What a command must be given to mean this ledger.
    #[serde(skip)]
    files: Foreign,
}

/// What `after_delivery` says, as the last run knew it, and what came of it.
#[derive(Debug, Serialize)]
pub struct AfterDelivery {
    /// None: nothing is to be removed any more.
    pub wanted: Option<Foreign>,
    /// Before that nothing is removed. None: it has begun.
    pub begins_at: Option<Moment>,
    pub removed: u64,
}

/// What troubles a run.
#[derive(Clone, Debug, Serialize)]
pub struct Trouble {
    #[serde(serialize_with = "by_name")]
    pub kind: TroubleKind,
    pub message: Foreign,
    pub hint: Option<Foreign>,
    pub since: Moment,
    /// It is nothing but a limit that the configuration itself sets.
    #[serde(skip)]
    pub own_limit: bool,
}

#[derive(Debug, Serialize)]
pub struct PartTrouble {
    #[serde(flatten)]
    pub trouble: Trouble,
    pub part: Foreign,
}

/// Why so many messages failed.
#[derive(Debug, Serialize)]
pub struct Failure {
    pub error: Foreign,
    pub messages: u64,
}

/// A message that was given up.
#[derive(Debug, Serialize)]
pub struct FailedMessage {
    pub id: i64,
    pub date: Moment,
    pub size: Option<u64>,
    pub sender: Option<Foreign>,
    pub subject: Option<Foreign>,
    pub message_id: Option<Foreign>,
    pub error: Foreign,
}

/// A message that was refused and waits for its next try.
#[derive(Debug, Serialize)]
pub struct PutOffMessage {
    pub id: i64,
    pub date: Moment,
    pub size: Option<u64>,
    pub message_id: Option<Foreign>,
    pub attempts: u64,
    pub next_attempt_at: Moment,
    pub error: Foreign,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub state_file: &'a Path,
    /// Each failed message too, and each that is put off.
    pub with_failed: bool,
    /// What a command must be given to mean this ledger: ` --config elsewhere.json`.
    pub files: &'a str,
    /// The daily limit of the configuration, where it has one: an import may take days because of it.
    pub upload_limit: Option<u64>,
}

impl Report {
    pub fn new(ledger: &Ledger, asked: &Asked<'_>, now: Time) -> Result<Report> {
        Ok(Report {
            routes: vec![RouteReport::new(ledger, asked, now)?],
        })
    }

    /// In one line.
    pub fn json(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|e| Error::fatal(format!("the report cannot be written as JSON: {e}")))
    }
}

impl RouteReport {
    /// Which account goes into which.
    pub fn name(&self) -> String {
        match (&self.source, &self.target) {
            (Some(source), Some(target)) => format!("{source} into {target}"),
            _ => self.state_file.to_string(),
        }
    }

    pub fn new(ledger: &Ledger, asked: &Asked<'_>, now: Time) -> Result<RouteReport> {
        let today_since = midnight(now);
        let (s, held) = seen(ledger, asked.state_file, today_since, now)?;
        let running_since = life::running_since(&s.parts, held, now);
        let route = ledger.route()?;
        let reasons = ledger.reasons(REASONS)?;
        let (failed, put_off) = if asked.with_failed {
            (Some(ledger.failed()?), Some(ledger.put_off()?))
        } else {
            (None, None)
        };
        let troubles: Vec<PartTrouble> = s.parts.iter().filter_map(PartTrouble::of).collect();
        let (state, headline) = life::state(&s, held, now);
        Ok(RouteReport {
            source: route.as_ref().map(|r| Foreign(r.source())),
            target: route.map(|r| Foreign(r.target_user)),
            state_file: Foreign(asked.state_file.display().to_string()),
            running: is_running(&s.parts, None, now),
            pending: s.backlog.messages,
            in_flight: s.in_flight,
            delivered: s.delivered,
            failed: s.failed,
            skipped: s.skipped,
            gone: s.gone,
            oldest_pending: s.backlog.oldest.map(Moment),
            last_delivered_at: s.last_delivered_at.map(Moment),
            last_sign_of_life: s.parts.iter().map(|p| Moment(p.beat_at)).max(),
            last_look: s
                .parts
                .iter()
                .filter_map(|p| Some(Moment(p.look?.at)))
                .max(),
            unhealthy: health::unhealthy(&s, held, now).map(Foreign),
            trouble: troubles.first().map(|t| t.trouble.clone()),
            troubles,
            state,
            running_since: running_since.map(Moment),
            delivered_today: s.delivered_since,
            today_since: Moment(today_since),
            in_spam: s.in_spam,
            pending_bytes: s.backlog.bytes,
            backoff: s.backlog.later,
            next_attempt_at: s.backlog.next_attempt_at.map(Moment),
            import: Import::of(ledger, &s.backlog, running_since, asked.upload_limit, now)?,
            after_delivery: AfterDelivery::of(ledger.removals()?, now),
            failure_reasons: reasons.all,
            failures: reasons.commonest.into_iter().map(Failure::of).collect(),
            failed_messages: failed.map(|rows| rows.into_iter().map(FailedMessage::of).collect()),
            put_off_messages: put_off.map(|rows| rows.into_iter().map(PutOffMessage::of).collect()),
            shown: health::shown(&s),
            life: Life::of(&s.parts, headline, held, now),
            asked: Moment(now),
            files: Foreign(asked.files.into()),
        })
    }
}

/// Counts and signs of life, and whether a run holds the ledger, where that can be asked.
fn seen(
    ledger: &Ledger,
    state_file: &Path,
    since: Time,
    now: Time,
) -> Result<(Summary, Option<bool>)> {
    let before = ledger::is_held(state_file);
    let mut summary = ledger.summary(since, now)?;
    // In this order: a run that has just begun is not taken for one that was killed, ...
    let held = ledger::is_held(state_file);
    if before == Some(true) && held == Some(false) {
        // ... nor one that has just ended.
        summary = ledger.summary(since, now)?;
    }
    Ok((summary, held))
}

impl AfterDelivery {
    fn of(removals: Removals, now: Time) -> Option<AfterDelivery> {
        let begins = removals.wish.as_ref().map(|wish| wish.begins_at);
        (removals.wish.is_some() || removals.removed > 0).then(|| AfterDelivery {
            wanted: removals.wish.map(|wish| Foreign(wish.wanted)),
            begins_at: begins.filter(|begins| *begins > now).map(Moment),
            removed: removals.removed,
        })
    }
}

impl PartTrouble {
    fn of(part: &Part) -> Option<PartTrouble> {
        let trouble = part.trouble.clone()?;
        Some(PartTrouble {
            trouble: Trouble {
                kind: trouble.kind,
                message: Foreign(trouble.message),
                hint: trouble.hint.map(Foreign),
                since: Moment(trouble.since),
                own_limit: trouble.own_limit,
            },
            part: Foreign(part.name.clone()),
        })
    }
}

impl Failure {
    fn of((error, messages): (String, u64)) -> Failure {
        Failure {
            error: Foreign(error),
            messages,
        }
    }
}

impl FailedMessage {
    fn of(row: ledger::FailedRow) -> FailedMessage {
        FailedMessage {
            id: row.id.0,
            date: Moment(row.internal_date),
            size: row.size,
            sender: row.sender.map(Foreign),
            subject: row.subject.map(Foreign),
            message_id: row.message_id.map(Foreign),
            error: Foreign(row.last_error),
        }
    }
}

impl PutOffMessage {
    fn of(row: ledger::PutOffRow) -> PutOffMessage {
        PutOffMessage {
            id: row.id.0,
            date: Moment(row.internal_date),
            size: row.size,
            message_id: row.message_id.map(Foreign),
            attempts: row.attempts,
            next_attempt_at: Moment(row.next_attempt_at),
            error: Foreign(row.last_error),
        }
    }
}

/// When the day began here.
fn midnight(now: Time) -> Time {
    day_begins(now.with_timezone(&Local).date_naive()).unwrap_or(now)
}

/// When a day begins here; where the clocks are changed at midnight, when it begins by them.
pub fn day_begins(day: NaiveDate) -> Option<Time> {
    (0..24)
        .filter_map(|hour| day.and_hms_opt(hour, 0, 0))
        .find_map(|t| t.and_local_timezone(Local).earliest())
        .map(|t| t.with_timezone(&Utc))
}

/// A moment, which programs are told in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Time);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, json: S) -> std::result::Result<S::Ok, S::Error> {
        json.serialize_str(&time_text(self.0))
    }
}

/// A text that anybody may have written: as it stands there, and shown so that it cannot move the cursor.
#[derive(Clone, Debug)]
pub struct Foreign(String);

impl Foreign {
    /// At most so many characters of it.
    fn within(&self, max: usize) -> String {
        shown_within(self.0.as_bytes(), max)
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.within(TEXT_MAX))
    }
}

impl Serialize for Foreign {
    fn serialize<S: Serializer>(&self, json: S) -> std::result::Result<S::Ok, S::Error> {
        json.collect_str(self)
    }
}

fn by_name<S: Serializer>(kind: &TroubleKind, json: S) -> std::result::Result<S::Ok, S::Error> {
    json.serialize_str(kind.name())
}
