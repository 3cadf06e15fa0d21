//! The routes in figures for Prometheus and what reads its formats: OpenMetrics 1.0 where that is asked for, else the older text
//! format, which every reader knows. A metric has one label, the route, and at most one more; no address of a server, no reason,
//! nothing of a mail. Not for what the figures mean (`status`).

use std::fmt::Display;

use super::standing::{Standing, Verdict};
use crate::status::Moment;

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    OpenMetrics,
    Text,
}

impl Form {
    /// The one that an `Accept` header wants.
    pub(super) fn wanted(accept: &str) -> Form {
        if accept.contains("application/openmetrics-text") {
            Form::OpenMetrics
        } else {
            Form::Text
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Form::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Form::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gauge,
    Counter,
    Info,
}

struct Page {
    form: Form,
    text: String,
}

impl Page {
    /// Begins a family of metrics. `unit` is the end of its name, where it has one.
    fn family(&mut self, name: &str, kind: Kind, unit: Option<&str>, help: &str) {
        let (kind, ending) = match (kind, self.form) {
            (Kind::Gauge, _) => ("gauge", ""),
            (Kind::Counter, Form::OpenMetrics) => ("counter", ""),
            (Kind::Counter, Form::Text) => ("counter", "_total"),
            (Kind::Info, Form::OpenMetrics) => ("info", ""),
            // The older format knows no such kind.
            (Kind::Info, Form::Text) => ("gauge", "_info"),
        };
        self.line(&format!("# HELP {NAMES}{name}{ending} {help}"));
        self.line(&format!("# TYPE {NAMES}{name}{ending} {kind}"));
        if let (Some(unit), Form::OpenMetrics) = (unit, self.form) {
            self.line(&format!("# UNIT {NAMES}{name} {unit}"));
        }
    }

    /// One value. `name` is that of the family, with the end that its kind asks for.
    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
            .collect();
        self.line(&format!("{NAMES}{name}{{{}}} {value}", labels.join(",")));
    }

    fn line(&mut self, line: &str) {
        self.text += line;
        self.text.push('\n');
    }
}

const NAMES: &str = "imap_to_gmail_";

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// A gauge of a route; None where it is not known.
type Gauge = fn(&Standing) -> Option<i64>;

/// Name, unit, help, value.
const GAUGES: &[(&str, Option<&str>, &str, Gauge)] = &[
    (
        "route_healthy",
        None,
        "Whether the route runs, looks at its source in time and delivers what waits.",
        |one| Some(one.unhealthy().is_none().into()),
    ),
    (
        "route_needs_person",
        None,
        "Whether nothing goes on before a person does something.",
        |one| Some((one.verdict == Verdict::NeedsPerson).into()),
    ),
    (
        "pending_bytes",
        Some("bytes"),
        "Bytes of the messages that wait.",
        |one| of(one.report()?.pending_bytes),
    ),
    (
        "oldest_pending_timestamp_seconds",
        Some("seconds"),
        "When the message that waits longest was discovered.",
        |one| at(one.report()?.oldest_pending),
    ),
    (
        "last_delivery_timestamp_seconds",
        Some("seconds"),
        "When the last message was sent to the target.",
        |one| at(one.report()?.last_delivered_at),
    ),
    (
        "last_look_timestamp_seconds",
        Some("seconds"),
        "When the source was last looked at.",
        |one| at(one.report()?.last_look),
    ),
    (
        "sign_in_timestamp_seconds",
        Some("seconds"),
        "When a person last signed in to the target, where the token file says so.",
        |one| at(one.seen.reading.as_ref()?.signed_in_at.map(Moment)),
    ),
    (
        "upload_used_bytes",
        Some("bytes"),
        "Bytes sent to the target by APPEND in the last 24 hours, failed attempts included.",
        |one| of(one.seen.reading.as_ref()?.uploaded),
    ),
    (
        "upload_limit_bytes",
        Some("bytes"),
        "What may be sent in 24 hours, where the configuration says so.",
        |one| of(one.seen.reading.as_ref()?.upload_limit?),
    ),
    (
        "read_timestamp_seconds",
        Some("seconds"),
        "When the ledger was read for these figures.",
        |one| at(Some(Moment(one.seen.reading.as_ref()?.at))),
    ),
];

fn of(n: u64) -> Option<i64> {
    i64::try_from(n).ok()
}

fn at(moment: Option<Moment>) -> Option<i64> {
    moment.map(|Moment(at)| at.timestamp())
}

pub(super) fn metrics(all: &[Standing], form: Form) -> String {
    let mut page = Page {
        form,
        text: String::new(),
    };
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    page.family("build", Kind::Info, None, "The program that runs.");
    page.value("build_info", &version, 1);
    for (name, unit, help, gauge) in GAUGES {
        page.family(name, Kind::Gauge, *unit, help);
        for (one, value) in all.iter().filter_map(|one| Some((one, gauge(one)?))) {
            page.value(name, &[("route", &one.name)], value);
        }
    }
    page.family(
        "messages",
        Kind::Gauge,
        None,
        "Messages of the ledger that are not delivered, by status.",
    );
    for (one, report) in all.iter().filter_map(|one| Some((one, one.report()?))) {
        for (status, messages) in [
            ("pending", report.pending),
            ("in_flight", report.in_flight),
            ("failed", report.failed),
            ("skipped", report.skipped),
            ("gone", report.gone),
        ] {
            let labels = [("route", &*one.name), ("status", status)];
            page.value("messages", &labels, messages);
        }
    }
    page.family(
        "delivered_messages",
        Kind::Counter,
        None,
        "Messages that are in the target, with those that were found there.",
    );
    // One may be taken back after a closer look; a counter that falls would count everything once more.
    for one in all.iter().filter(|one| one.report().is_some()) {
        let name = "delivered_messages_total";
        page.value(name, &[("route", &one.name)], one.seen.delivered_most);
    }
    if form == Form::OpenMetrics {
        page.line("# EOF");
    }
    page.text
}
