//! What `status` says of a ledger: for people, and as JSON (the contract of design 2.3). Not for
//! finding anything out: that is `ledger`'s `summary`.

use std::fmt::Write as _;
use std::path::Path;

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::error::Result;
use crate::ledger::{FailedRow, Ledger, Route, Summary};
use crate::message::{Time, parse_time};

/// A run gives a sign of life every 15 seconds; after this many without one it is not running.
pub const ALIVE: TimeDelta = TimeDelta::seconds(60);

/// A ledger at one moment.
pub struct Report {
    route: Option<Route>,
    state_file: String,
    summary: Summary,
    failed: Option<Vec<FailedRow>>,
    now: Time,
}

impl Report {
    /// `with_failed`: each failed message too.
    pub fn new(ledger: &Ledger, state_file: &Path, with_failed: bool, now: Time) -> Result<Report> {
        Ok(Report {
            route: ledger.route()?,
            state_file: state_file.display().to_string(),
            summary: ledger.summary(now - ALIVE)?,
            failed: match with_failed {
                true => Some(ledger.failed()?),
                false => None,
            },
            now,
        })
    }

    pub fn json(&self) -> Value {
        let s = &self.summary;
        let mut route = json!({
            "source": self.route.as_ref().map(Route::source),
            "target": self.route.as_ref().map(|r| r.target_user.clone()),
            "state_file": self.state_file,
            "running": s.alive,
            "pending": s.pending,
            "in_flight": s.in_flight,
            "delivered": s.delivered,
            "failed": s.failed,
            "skipped": s.skipped,
            "gone": s.gone,
            "oldest_pending": s.oldest_pending,
            "last_delivered_at": s.last_delivered_at,
            "last_sign_of_life": s.last_sign_of_life,
            "trouble": s.trouble.as_ref().map(|t| json!({
                "kind": t.kind, "message": t.message, "hint": t.hint, "since": t.since,
            })),
        });
        if let Some(failed) = &self.failed {
            route["failed_messages"] = failed
                .iter()
                .map(|f| {
                    json!({
                        "id": f.id, "date": f.internal_date, "size": f.size, "sender": f.sender,
                        "subject": f.subject, "message_id": f.message_id, "error": f.last_error,
                    })
                })
                .collect();
        }
        json!({ "routes": [route] })
    }

    /// Readable at 80 columns, without colour.
    pub fn text(&self) -> String {
        let s = &self.summary;
        let mut out = String::new();
        match &self.route {
            Some(route) => line(
                &mut out,
                format_args!("{} into {}", route.source(), route.target_user),
            ),
            None => line(
                &mut out,
                format_args!("{}: no run has used this ledger yet", self.state_file),
            ),
        }
        line(&mut out, format_args!("  {}", self.life()));
        let due = s.next_attempt_at.as_deref().map(|t| match parse_time(t) {
            Some(at) if at <= self.now && s.alive => "due now".to_string(),
            Some(at) if at <= self.now => "the next run tries them".to_string(),
            _ => format!("next attempt {}", self.when(t)),
        });
        let sent = s
            .last_delivered_at
            .as_deref()
            .map(|t| format!("last sent {}", self.when(t)));
        let failures = (s.failed > 0).then(|| match &self.failed {
            None => "`imap-to-gmail status --failed` says why".to_string(),
            Some(_) => "`imap-to-gmail retry-failed` tries them again".to_string(),
        });
        for (name, count, note) in [
            ("delivered", s.delivered, sent),
            ("pending", s.pending, due),
            ("in flight", s.in_flight, None),
            ("failed", s.failed, failures),
            ("skipped", s.skipped, None),
            ("gone", s.gone, None),
        ] {
            let always = matches!(name, "delivered" | "pending" | "failed");
            if count > 0 || always {
                let row = format!(
                    "  {name:<10}{:>10}    {}",
                    thousands(count),
                    note.unwrap_or_default()
                );
                line(&mut out, format_args!("{}", row.trim_end()));
            }
        }
        if let Some(trouble) = &s.trouble {
            line(
                &mut out,
                format_args!(
                    "\ntrouble (began {}): {}",
                    self.when(&trouble.since),
                    trouble.message
                ),
            );
            if let Some(hint) = &trouble.hint {
                line(&mut out, format_args!("\nhint: {hint}"));
            }
        }
        for f in self.failed.iter().flatten() {
            self.failure(&mut out, f);
        }
        out
    }

    fn failure(&self, out: &mut String, f: &FailedRow) {
        let size = f.size.map_or("size unknown".to_string(), bytes_text);
        line(
            out,
            format_args!("\nid {}, {}, {size}", f.id, day(&f.internal_date)),
        );
        for (name, value) in [
            ("from", &f.sender),
            ("subject", &f.subject),
            ("message-id", &f.message_id),
        ] {
            if let Some(value) = value {
                line(out, format_args!("  {name:<11}{value}"));
            }
        }
        line(out, format_args!("  {:<11}{}", "reason", f.last_error));
    }

    fn life(&self) -> String {
        match (&self.summary.last_sign_of_life, self.summary.alive) {
            (Some(at), true) => format!("running, last sign of life {}", self.when(at)),
            (Some(at), false) => format!("not running, last sign of life {}", self.when(at)),
            (None, _) => "not running".into(),
        }
    }

    /// `12 s ago`, `in 3 min`, or the day and time when it is further off.
    fn when(&self, text: &str) -> String {
        let Some(at) = parse_time(text) else {
            return text.to_string();
        };
        let seconds = (self.now - at).num_seconds();
        let span = match seconds.abs() {
            0 => return "now".into(),
            n @ 1..60 => format!("{n} s"),
            n @ 60..3600 => format!("{} min", n / 60),
            n @ 3600..86_400 => format!("{} h", n / 3600),
            _ => return format!("{} UTC", at.format("%Y-%m-%d %H:%M")),
        };
        if seconds > 0 {
            format!("{span} ago")
        } else {
            format!("in {span}")
        }
    }
}

fn line(out: &mut String, args: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(args);
    out.push('\n');
}

fn day(text: &str) -> String {
    parse_time(text).map_or(text.to_string(), |t| {
        format!("{} UTC", t.format("%Y-%m-%d %H:%M"))
    })
}

/// `12,481`
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(d);
    }
    out
}

/// `34.0 MB`: decimal units.
pub fn bytes_text(n: u64) -> String {
    match n {
        0..1000 => format!("{n} bytes"),
        1000..1_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        _ => format!("{:.1} GB", n as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(bytes_text(999), "999 bytes");
        assert_eq!(bytes_text(35_651_584), "35.7 MB");
    }
}
