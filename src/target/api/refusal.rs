//! What a refusal of the API means (docs/gmail-import.md 4): one table, read from the top, by status, reason and words.
//! What a fault leads to is said in `error::fault`. Not for replies that are none of a refusal (`answer`).

use std::time::Duration;

use chrono::DateTime;

use super::answer::Said;
use crate::config::{Masks, Origin};
use crate::error::{Error, Fault, shown};
use crate::message::Time;

/// A longer delay is not believed: the longest that anybody told of were hours.
pub const DELAY_MAX: Duration = Duration::from_secs(3 * 24 * 3600);

/// Where `Retry after` of the text begins; the time follows.
const RETRY_AFTER: &str = "retry after";

/// What a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// This message, in this form: IMAP may take it.
    Message,
    /// A label that Gmail does not know: the list of labels is out of date.
    Label,
    /// The account, or the API as a whole: every message would hear the same.
    Account,
}

/// What an answer that is no success amounts to.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It was not done, and will not be.
    Refused(Means, Error),
    /// Nobody can tell whether it was done.
    Open(Error),
}

/// An answer of the API that is no success.
pub struct Answered<'a> {
    pub status: u16,
    pub body: &'a [u8],
    /// Its header Retry-After, in seconds. Gmail has none.
    pub retry_after: Option<u64>,
    /// What time it is, best by the clock of the API.
    pub now: Time,
    pub masks: &'a Masks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Message(Fault),
    Label,
    LabelName,
    NoMail,
    Token,
    Scope,
    NotEnabled,
    Domain,
    Forbidden,
    NoApi,
    /// With a wait of so many seconds, where it states none.
    Throttled(Option<u64>),
    Daily,
    Open,
}

struct Row {
    statuses: &'static [u16],
    /// One of these, or words of those; neither given: whatever it says.
    reasons: &'static [&'static str],
    /// In small letters.
    words: &'static [&'static str],
    kind: Kind,
}

const fn row(
    statuses: &'static [u16],
    reasons: &'static [&'static str],
    words: &'static [&'static str],
    kind: Kind,
) -> Row {
    Row {
        statuses,
        reasons,
        words,
        kind,
    }
}

const LIMITS: &[u16] = &[403, 429];

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row(&[400], &[], &["invalid label name"], Kind::LabelName),
    row(&[400], &[], &["invalid label"], Kind::Label),
    row(&[400], &["failedPrecondition"], &["mail service not enabled", "precondition check failed"], Kind::NoMail),
    row(&[400], &[], &["'from' header", "from header", "invalid attachment", "badattachment"], Kind::Message(Fault::Permanent)),
    row(&[400], &[], &["request contains an invalid argument", "invalid thread_id"], Kind::Message(Fault::Permanent)),
    row(&[400], &[], &["'raw' rfc822 payload", "payload size exceeds"], Kind::Message(Fault::Permanent)),
    row(&[413], &[], &[], Kind::Message(Fault::Permanent)),
    // "Bad Request", and what nobody has seen yet: a second try at times helps.
    row(&[400], &[], &[], Kind::Message(Fault::Transient)),
    row(&[401], &[], &[], Kind::Token),
    row(&[403], &["accessNotConfigured", "SERVICE_DISABLED"], &["been used in project"], Kind::NotEnabled),
    row(&[403], &["insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"], &["insufficient authentication scopes", "insufficient permission"], Kind::Scope),
    row(&[403], &["domainPolicy"], &["administrators have disabled"], Kind::Domain),
    row(LIMITS, &["dailyLimitExceeded"], &["daily limit exceeded"], Kind::Daily),
    row(LIMITS, &[], &["per minute"], Kind::Throttled(Some(60))),
    row(LIMITS, &[], &["too many concurrent"], Kind::Throttled(Some(30))),
    row(LIMITS, &["rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded"], &["rate limit", "rate-limit", "quota exceeded"], Kind::Throttled(None)),
    row(&[429], &[], &[], Kind::Throttled(None)),
    row(&[403], &[], &[], Kind::Forbidden),
    row(&[404], &["notFound"], &["requested entity was not found"], Kind::Label),
    row(&[404], &[], &[], Kind::NoApi),
];

/// What an answer means that is no success. `origin`: what the configuration says of the target.
pub fn verdict(answered: &Answered<'_>, origin: &Origin) -> Verdict {
    let said = Said::parse(answered.body);
    let lower = said.words.to_lowercase();
    let kind = kind(answered.status, &said.reasons, &lower);
    let words = match &*said.words {
        "" => format!("HTTP {}", answered.status),
        // Masked when they are cut to length: masks know the beginning of a secret, too.
        words => answered.masks.apply(&shown(words.as_bytes())),
    };
    // They end a sentence of ours, which has no full stop.
    let words = words.trim_end_matches(['.', ' ']);
    let stated = stated(&said.words, answered);
    let mut error = error(kind, words, &lower, origin);
    if stated.is_some() {
        // Whatever it is besides: who asks before that makes it later.
        error.delay = stated;
        error.fault = Fault::Throttled;
        error.credentials_refused = false;
    }
    match kind {
        Kind::Open => Verdict::Open(error),
        _ if stated.is_some() => Verdict::Refused(Means::Account, error),
        Kind::Message(_) => Verdict::Refused(Means::Message, error),
        Kind::Label => Verdict::Refused(Means::Label, error),
        _ => Verdict::Refused(Means::Account, error),
    }
}

/// May a refusal to list the labels be about labels alone? A token may be for messages and nothing else
/// (docs/gmail-import.md 1.1).
pub(super) fn may_be_of_labels_alone(status: u16, body: &[u8]) -> bool {
    let said = Said::parse(body);
    let kind = kind(status, &said.reasons, &said.words.to_lowercase());
    matches!(kind, Kind::Scope | Kind::Forbidden)
}

fn kind(status: u16, reasons: &[String], words: &str) -> Kind {
    let fits = |row: &&Row| {
        let any = row.reasons.is_empty() && row.words.is_empty();
        let reason = |reason: &&str| reasons.iter().any(|said| said == reason);
        let said_so =
            row.reasons.iter().any(reason) || row.words.iter().any(|part| words.contains(part));
        row.statuses.contains(&status) && (any || said_so)
    };
    ROWS.iter().find(fits).map_or(Kind::Open, |row| row.kind)
}

/// How long to wait, where it says so: in its words, whatever the status, or as HTTP has it.
fn stated(words: &str, answered: &Answered<'_>) -> Option<Duration> {
    // In these letters each byte stays where it is.
    let lower = words.to_ascii_lowercase();
    let told = lower.find(RETRY_AFTER).and_then(|at| {
        let time = words[at + RETRY_AFTER.len()..].split_whitespace().next()?;
        let time = time.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let until = DateTime::parse_from_rfc3339(time).ok()?.to_utc();
        let left = until.signed_duration_since(answered.now);
        // Whole seconds, and never too early.
        let seconds = (left.num_milliseconds().max(0) as u64).div_ceil(1000);
        Some(Duration::from_secs(seconds))
    });
    let header = answered.retry_after.map(Duration::from_secs);
    let most = told.into_iter().chain(header).max()?;
    Some(most.clamp(Duration::from_secs(1), DELAY_MAX))
}

fn error(kind: Kind, words: &str, lower: &str, origin: &Origin) -> Error {
    let error = |fault, what: &str| Error::new(fault, format!("Gmail's API {what}: {words}"));
    let person = |what: &str, hint: String| error(Fault::NeedsUser, what).hint(hint);
    let throttled = |seconds: Option<u64>| {
        let mut error = error(Fault::Throttled, "asks us to slow down");
        error.delay = seconds.map(Duration::from_secs);
        error
    };
    match kind {
        Kind::Message(fault @ Fault::Permanent) => error(fault, "refuses this message"),
        Kind::Message(fault) => error(fault, "refused the message"),
        // No message is to blame, and with a new list the next try is another one.
        Kind::Label => error(Fault::Connection, "does not know a label"),
        Kind::LabelName => error(Fault::Permanent, "does not take the name of a label")
            .hint("Gmail keeps some names for itself, in every language: choose another one"),
        Kind::NoMail => person(
            "says that the account has no Gmail",
            "Gmail must be switched on for this account. In a Google Workspace its administrator does that at https://admin.google.com: Apps, Google Workspace, Gmail, \"Service status\", ON".into(),
        ),
        Kind::Token => {
            let mut error = person("refused the token", origin.sign_in(Some("google")));
            error.credentials_refused = true;
            error
        }
        Kind::Scope => person(
            "says that the sign-in does not allow this",
            format!(
                "sign in again, and leave the box for Gmail ticked: {}",
                origin.sign_in(Some("google"))
            ),
        ),
        Kind::NotEnabled => {
            let place = match project(lower) {
                Some(number) => format!("?project={number}"),
                None => String::new(),
            };
            person(
                "is not enabled",
                format!(
                    "open https://console.cloud.google.com/apis/library/gmail.googleapis.com{place}, choose the project of your OAuth client, and click \"Enable\"; it takes some minutes until Google knows"
                ),
            )
        }
        Kind::Domain => person(
            "is closed to us by the account's administrator",
            "the administrator of the Google Workspace must allow the client: at https://admin.google.com, Security, Access and data control, API controls, \"Manage app access\"".into(),
        ),
        Kind::Forbidden => person(
            "does not let us in",
            "what it says is all that is known; the account's owner or administrator may know more".into(),
        ),
        Kind::NoApi => person(
            "is not there",
            format!("leave `gmail_api` out of {}: it is then Google's own", origin.file()),
        ),
        Kind::Throttled(seconds) => throttled(seconds),
        // When its day ends is not said: whoever looks each hour finds out.
        Kind::Daily => throttled(Some(3600)).hint(
            "the limit is that of your own Google Cloud project: https://console.cloud.google.com/apis/api/gmail.googleapis.com/quotas shows it and lets you raise it",
        ),
        Kind::Open => error(Fault::Connection, "failed"),
    }
}

/// The number of a Cloud project that is named.
fn project(lower: &str) -> Option<&str> {
    let (_, rest) = lower.split_once("in project ")?;
    let end = rest.find(|c: char| !c.is_ascii_digit());
    let number = &rest[..end.unwrap_or(rest.len())];
    (1..=20).contains(&number.len()).then_some(number)
}

#[cfg(test)]
mod tests;
