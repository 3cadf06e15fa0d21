//! The page itself: of all routes, and of one. Whatever the templates in templates/ are given is escaped by them; there is no
//! script, and nothing is fetched from elsewhere. Not for how a route stands (`standing`).

use std::sync::LazyLock;

use askama::Template;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{NaiveDate, SecondsFormat, Utc};
use oauth2::url::form_urlencoded;

use super::chart::Chart;
use super::standing::{Standing, Verdict};
use crate::message::{Time, sha256};
use crate::status::{Failure, Moment, RouteReport};
use crate::text::{bytes_text, counted, minute, span, thousands};

/// Loads it again by itself.
pub(super) const REFRESH: &str = "Refresh: 30\r\n";
const STYLE: &str = include_str!("../../templates/page.css");
/// More routes than this are rows of a table ...
const CARDS_MAX: usize = 8;
/// ... and of those that are not healthy, so many are told of before it.
const ILL_MAX: usize = 20;

/// What a browser may do with the page: show it with its own style, and nothing else.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = BASE64_STANDARD.encode(sha256(STYLE.as_bytes()).0);
    format!(
        "Content-Security-Policy: default-src 'none'; style-src 'sha256-{style}'; img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'\r\n\
         Cross-Origin-Resource-Policy: same-origin\r\n"
    )
});

/// A page, and the status it is sent with.
pub(super) struct Html {
    pub(super) status: &'static str,
    pub(super) text: String,
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page {
    style: &'static str,
    version: &'static str,
    /// What a tab shows.
    title: String,
    /// All of it in a sentence.
    headline: String,
    /// The colour of the whole: a class of the style.
    tone: &'static str,
    /// The same for the sign of the tab.
    colour: &'static str,
    /// It is about one of several.
    back: bool,
    /// Of all routes together.
    chart: Option<Chart>,
    cards: Vec<Card>,
    /// Routes that are not healthy and have no card.
    more: Option<String>,
    rows: Vec<Row>,
    still: bool,
    /// This page with the other choice.
    other: String,
    read_at: String,
}

/// A route in full.
struct Card {
    anchor: usize,
    name: String,
    tone: &'static str,
    word: &'static str,
    /// The page of its own, where this is not it.
    address: Option<String>,
    troubles: Vec<Trouble>,
    /// The figures are so old.
    stale: Option<Ago>,
    figures: Option<Figures>,
}

/// What keeps it from being healthy, or what else troubles it, and what to do about that.
struct Trouble {
    message: Vec<Piece>,
    hint: Option<Vec<Piece>>,
    since: Option<Ago>,
}

/// A piece of a sentence; or a command or a file's name in it, to be copied.
struct Piece {
    text: String,
    is_code: bool,
}

struct Figures {
    accounts: Option<String>,
    waiting: String,
    waiting_note: Option<String>,
    failed: String,
    delivered: String,
    today: String,
    in_spam: Option<String>,
    import: Option<String>,
    last_delivery: Option<Ago>,
    last_look: Option<Ago>,
    running_since: Option<Ago>,
    signed_in: Option<Ago>,
    uploaded: String,
    reasons: Vec<Reason>,
    other_reasons: Option<String>,
    /// What tells more of those that failed.
    command: String,
    chart: Chart,
}

struct Reason {
    messages: String,
    error: String,
}

/// A route in one line.
struct Row {
    name: String,
    address: String,
    tone: &'static str,
    word: &'static str,
    waiting: String,
    failed: String,
    today: String,
    last_delivery: Option<Ago>,
    month: String,
    outline: String,
}

/// A moment, and how long ago it was.
struct Ago {
    iso: String,
    exact: String,
    words: String,
}

impl Html {
    pub(super) fn of_all(all: &[Standing], still: bool) -> Html {
        let headline = headline(all);
        let compact = all.len() > CARDS_MAX;
        let with_card = all
            .iter()
            .filter(|one| !compact || one.verdict >= Verdict::Ill);
        let more = with_card.clone().count().saturating_sub(ILL_MAX);
        let cards = with_card.take(ILL_MAX).enumerate();
        let page = Page {
            title: match all {
                [one] => title(one),
                _ => headline.clone(),
            },
            chart: (all.len() > 1).then(|| of_all(all)),
            cards: cards.map(|(n, one)| card(n, one, compact)).collect(),
            more: (more > 0).then(|| counted(more as u64, "more route")),
            rows: if compact {
                all.iter().map(row).collect()
            } else {
                Vec::new()
            },
            ..Page::new(headline, worst(all), still, "/?")
        };
        page.html("200 OK")
    }

    pub(super) fn of_one(one: &Standing, still: bool) -> Html {
        let path = format!("{}&", address(&one.name));
        let page = Page {
            title: title(one),
            back: true,
            cards: vec![card(0, one, false)],
            ..Page::new(one.word().into(), one.verdict, still, &path)
        };
        page.html("200 OK")
    }

    /// There is no such route.
    pub(super) fn of_none(name: &str) -> Html {
        let page = Page {
            back: true,
            ..Page::new(
                "There is no route of this name".into(),
                Verdict::Ill,
                true,
                &format!("{}&", address(name)),
            )
        };
        page.html("404 Not Found")
    }
}

impl Page {
    fn new(headline: String, verdict: Verdict, still: bool, path: &str) -> Page {
        let other = if still { "on" } else { "off" };
        Page {
            style: STYLE,
            version: env!("CARGO_PKG_VERSION"),
            title: headline.clone(),
            headline,
            tone: tone(verdict),
            colour: colour(verdict),
            back: false,
            chart: None,
            cards: Vec::new(),
            more: None,
            rows: Vec::new(),
            still,
            other: format!("{path}refresh={other}"),
            read_at: minute(Utc::now()),
        }
    }

    fn html(&self, status: &'static str) -> Html {
        match self.render() {
            Ok(text) => Html { status, text },
            Err(e) => Html {
                status: "500 Internal Server Error",
                text: format!("the page cannot be made: {e}"),
            },
        }
    }
}

fn tone(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Healthy => "well",
        Verdict::Waits => "waits",
        Verdict::Ill | Verdict::NeedsPerson => "ill",
    }
}

/// As the style has it for a light page.
fn colour(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Healthy => "1a7f43",
        Verdict::Waits => "9a6700",
        Verdict::Ill | Verdict::NeedsPerson => "c02b20",
    }
}

fn worst(all: &[Standing]) -> Verdict {
    let verdicts = all.iter().map(|one| one.verdict);
    verdicts.max().unwrap_or(Verdict::Ill)
}

/// All of it in a sentence.
fn headline(all: &[Standing]) -> String {
    let count = |verdict| all.iter().filter(|one| one.verdict == verdict).count();
    let (person, ill, waits) = (
        count(Verdict::NeedsPerson),
        count(Verdict::Ill),
        count(Verdict::Waits),
    );
    match all {
        [] => return "There is no route".into(),
        [one] => return one.word().into(),
        _ => {}
    }
    let routes = thousands(all.len() as u64);
    let of_all = |n: usize, one: &str, several: &str| match n {
        1 => format!("1 of {routes} routes {one}"),
        n => format!("{} of {routes} routes {several}", thousands(n as u64)),
    };
    match (person, ill, waits) {
        (0, 0, 0) => format!("All {routes} routes are healthy"),
        (0, 0, n) => of_all(n, "waits for a while", "wait for a while"),
        (0, n, _) => of_all(n, "is in trouble", "are in trouble"),
        (n, 0, _) => of_all(n, "needs you", "need you"),
        (n, more, _) => format!(
            "{}, {} more in trouble",
            of_all(n, "needs you", "need you"),
            thousands(more as u64)
        ),
    }
}

fn title(one: &Standing) -> String {
    format!("{}: {}", one.name, one.word())
}

fn of_all(all: &[Standing]) -> Chart {
    let mut days: Vec<(NaiveDate, u64)> = Vec::new();
    for reading in all.iter().filter_map(|one| one.seen.reading.as_ref()) {
        for (day, n) in &reading.days {
            match days.binary_search_by_key(day, |(day, _)| *day) {
                Ok(at) => days[at].1 = days[at].1.saturating_add(*n),
                Err(at) => days.insert(at, (*day, *n)),
            }
        }
    }
    Chart::of(&days)
}

/// `brief`: without figures, which a page of its own has.
fn card(anchor: usize, one: &Standing, brief: bool) -> Card {
    let now = Utc::now();
    let trouble = |message: &str, hint: Option<&str>, since: Option<Time>| Trouble {
        message: pieces(message),
        hint: hint.map(pieces),
        since: since.map(|at| Ago::of(at, now)),
    };
    let told = one.report().into_iter().flat_map(|r| &r.troubles);
    let told: Vec<(String, Option<String>, Time)> = told
        .map(|part| &part.trouble)
        .map(|t| {
            let hint = t.hint.as_ref().map(ToString::to_string);
            (t.message.to_string(), hint, t.since.0)
        })
        .collect();
    // One of them may be all that keeps it from being healthy.
    let why = one.unhealthy();
    let why = why.filter(|why| !told.iter().any(|(message, ..)| message == why));
    let first = why.map(|why| trouble(why, one.hint.as_deref(), None));
    let others = told
        .iter()
        .map(|(message, hint, since)| trouble(message, hint.as_deref(), Some(*since)));
    let troubles = first.into_iter().chain(others).collect();
    let reading = one.seen.reading.as_ref().filter(|_| !brief);
    let old = one.seen.error.is_some() || one.is_late();
    Card {
        anchor,
        name: one.name.clone(),
        tone: tone(one.verdict),
        word: one.word(),
        address: brief.then(|| address(&one.name)),
        troubles,
        stale: reading.filter(|_| old).map(|r| Ago::of(r.at, now)),
        figures: reading.map(|r| Figures {
            signed_in: r.signed_in_at.map(|at| Ago::of(at, now)),
            uploaded: match r.upload_limit {
                Some(limit) => format!("{} of {}", bytes_text(r.uploaded), bytes_text(limit)),
                None => bytes_text(r.uploaded),
            },
            command: format!("imap-to-gmail status --failed{}", r.files),
            chart: Chart::of(&r.days),
            ..Figures::of(&r.report, &one.name, now)
        }),
    }
}

/// Commands and names stand in backticks.
fn pieces(sentence: &str) -> Vec<Piece> {
    // One that is not closed is none.
    let closed = sentence.matches('`').count() / 2 * 2;
    let split = sentence.splitn(closed + 1, '`').enumerate();
    split
        .map(|(n, text)| Piece {
            text: text.into(),
            is_code: n % 2 == 1,
        })
        .collect()
}

impl Figures {
    fn of(report: &RouteReport, name: &str, now: Time) -> Figures {
        let ago = |at: Option<Moment>| at.map(|Moment(at)| Ago::of(at, now));
        let accounts = report.source.as_ref().zip(report.target.as_ref());
        let accounts = accounts.map(|(source, target)| [source.to_string(), target.to_string()]);
        // The name may say it already.
        let accounts = accounts.filter(|two| !two.iter().all(|one| name.contains(&**one)));
        let later = report.backoff;
        let others = report
            .failure_reasons
            .saturating_sub(report.failures.len() as u64);
        Figures {
            accounts: accounts.map(|[source, target]| format!("{source} into {target}")),
            waiting: thousands(report.pending),
            waiting_note: (report.pending > 0).then(|| match later {
                0 => bytes_text(report.pending_bytes),
                n => format!(
                    "{}, {} put off",
                    bytes_text(report.pending_bytes),
                    thousands(n)
                ),
            }),
            failed: thousands(report.failed),
            delivered: thousands(report.delivered),
            today: thousands(report.delivered_today),
            in_spam: (report.in_spam > 0).then(|| thousands(report.in_spam)),
            import: report.import.as_ref().map(|import| import.text()),
            last_delivery: ago(report.last_delivered_at),
            last_look: ago(report.last_look),
            running_since: ago(report.running_since),
            signed_in: None,
            uploaded: String::new(),
            reasons: report.failures.iter().map(Reason::of).collect(),
            other_reasons: (others > 0).then(|| counted(others, "other reason")),
            command: String::new(),
            chart: Chart::of(&[]),
        }
    }
}

impl Reason {
    fn of(failure: &Failure) -> Reason {
        Reason {
            messages: thousands(failure.messages),
            error: failure.error.to_string(),
        }
    }
}

fn row(one: &Standing) -> Row {
    let figure = |of: fn(&RouteReport) -> u64| {
        one.report()
            .map_or_else(|| "-".to_string(), |report| thousands(of(report)))
    };
    let days = one.seen.reading.as_ref().map(|reading| &*reading.days);
    let days = days.unwrap_or_default();
    let month = days.iter().fold(0u64, |all, (_, n)| all.saturating_add(*n));
    let last = one.report().and_then(|report| report.last_delivered_at);
    Row {
        name: one.name.clone(),
        address: address(&one.name),
        tone: tone(one.verdict),
        word: one.word(),
        waiting: figure(|report| report.pending),
        failed: figure(|report| report.failed),
        today: figure(|report| report.delivered_today),
        last_delivery: last.map(|Moment(at)| Ago::of(at, Utc::now())),
        month: thousands(month),
        outline: Chart::of(days).outline,
    }
}

/// The page of one route.
fn address(name: &str) -> String {
    let name: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    format!("/route?name={name}")
}

impl Ago {
    fn of(at: Time, now: Time) -> Ago {
        let seconds = (now - at).num_seconds();
        Ago {
            iso: at.to_rfc3339_opts(SecondsFormat::Secs, true),
            exact: minute(at),
            words: match seconds {
                ..0 => minute(at),
                0 => "just now".into(),
                n => format!("{} ago", span(n.unsigned_abs())),
            },
        }
    }
}
