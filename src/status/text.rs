//! The report for people: what runs, the counts and why, in lines that fit.
//!
//! Times are told as spans, or by the clock of the place where it is asked beside UTC, in which the
//! ledger has them; "today" is the day of that place, and says so.

use chrono::NaiveTime;

use super::{FailedMessage, Foreign, Moment, PutOffMessage, Report, RouteReport};
use crate::text::{Page, bytes_text, counted, minute, span, thousands};

/// The most characters of the name of an account in the first line, which is not broken into several.
const NAME_MAX: usize = 254;

impl Report {
    /// In lines of so many columns, without colour.
    pub fn text(&self, width: usize) -> String {
        let mut out = Page::new(width);
        for route in &self.routes {
            route.tell(&mut out);
        }
        out.text()
    }
}

impl RouteReport {
    fn tell(&self, out: &mut Page) {
        // Whole, however narrow the screen is: who reads it alone reads all of it.
        out.line(&self.first_line());
        self.life(out);
        out.blank();
        self.counts(out);
        if let Some(import) = &self.import {
            out.blank();
            out.add("  so far: ", "  ", &import.text());
        }
        self.after_delivery(out);
        self.failures(out);
        self.troubles(out);
        for message in self.failed_messages.iter().flatten() {
            out.blank();
            failed(out, message);
        }
        for message in self.put_off_messages.iter().flatten() {
            out.blank();
            self.put_off(out, message);
        }
    }

    fn first_line(&self) -> String {
        let whose = match (&self.source, &self.target) {
            (Some(source), Some(target)) => {
                format!(
                    "{} into {}",
                    source.within(NAME_MAX),
                    target.within(NAME_MAX)
                )
            }
            _ => self.state_file.to_string(),
        };
        format!("{}: {whose}", self.life.headline)
    }

    /// What runs, since when, and what should and does not.
    fn life(&self, out: &mut Page) {
        let life = &self.life;
        let beat = self.last_sign_of_life.map(|at| self.when(at));
        let sentence = match (self.running_since, beat) {
            (Some(Moment(since)), Some(beat)) => {
                format!("running since {}, last sign of life {beat}", minute(since))
            }
            (None, Some(beat)) if life.goes_on && life.held => format!(
                "a run holds this ledger, and the last sign of life came {beat}: it may hang, or it has only just begun; if it stays so, restart it: nothing is lost"
            ),
            _ if life.held => {
                "a run holds this ledger: it has only just begun, or is just ending".into()
            }
            (None, Some(beat)) if life.goes_on => format!(
                "the last sign of life came {beat}, and no end of the run was recorded. Was it killed? Start it again: nothing is lost"
            ),
            _ => match life.ended_at {
                Some(at) => format!("the last run ended {}", self.when(at)),
                None => "no run has used this ledger yet".into(),
            },
        };
        out.add("  ", "  ", &sentence);
        for (part, beat_at) in &life.hanging {
            out.add(
                "  ",
                "  ",
                &format!(
                    "but its part \"{part}\" gave the last sign of life {}: it may hang; restart it, nothing is lost",
                    self.when(*beat_at)
                ),
            );
        }
    }

    fn counts(&self, out: &mut Page) {
        let due = match self.pending - self.backoff {
            0 => None,
            _ if self.life.alive => Some("due now".to_string()),
            1 => Some("the next run tries it".into()),
            _ => Some("the next run tries them".into()),
        };
        let (sent, next) = (self.last_delivered_at, self.next_attempt_at);
        let files = &self.files;
        let with_failed = self.failed_messages.is_some();
        let tell = if with_failed {
            format!("`imap-to-gmail retry-failed{files}` tries them again")
        } else {
            format!("`imap-to-gmail status --failed{files}` says which")
        };
        let today = self.today_since.0;
        let midnight = if today.time() == NaiveTime::MIN {
            "since midnight (UTC)".to_string()
        } else {
            format!("since midnight ({} UTC)", today.format("%H:%M"))
        };
        for (name, count, always, note) in [
            (
                "delivered",
                self.delivered,
                true,
                sent.map(|t| format!("last sent {}", self.when(t))),
            ),
            (
                "  today",
                self.delivered_today,
                self.delivered > 0,
                Some(midnight),
            ),
            (
                "  in Spam",
                self.in_spam,
                false,
                Some("imported, and spam in Gmail's eyes".into()),
            ),
            ("pending", self.pending, true, due),
            (
                "  put off",
                self.backoff,
                false,
                next.map(|t| {
                    let next = format!("next attempt {}", self.when(t));
                    if with_failed {
                        next
                    } else {
                        format!("{next}; `imap-to-gmail status --failed{files}` says why")
                    }
                }),
            ),
            ("in flight", self.in_flight, false, None),
            (
                "failed",
                self.failed,
                true,
                (self.failed > 0).then_some(tell),
            ),
            ("skipped", self.skipped, false, None),
            ("gone", self.gone, false, None),
        ] {
            if count > 0 || always {
                let row = format!("  {name:<10}{:>10}    ", thousands(count));
                out.add(&row, &" ".repeat(row.len()), &note.unwrap_or_default());
            }
        }
    }

    /// What is removed at the source, and from when on.
    fn after_delivery(&self, out: &mut Page) {
        let Some(after) = &self.after_delivery else {
            return;
        };
        let removed = format!(
            "{} removed at the source so far",
            counted(after.removed, "message")
        );
        let sentence = match (&after.wanted, after.begins_at) {
            (Some(wanted), Some(Moment(begins))) => format!(
                "{wanted}; nothing is removed at the source before {}",
                minute(begins)
            ),
            (Some(wanted), None) => format!("{wanted}; {removed}"),
            (None, _) => format!("keep; {removed}"),
        };
        out.blank();
        out.add("  after delivery: ", "  ", &sentence);
    }

    /// Why messages failed, the commonest reason first.
    fn failures(&self, out: &mut Page) {
        if self.failures.is_empty() {
            return;
        }
        out.blank();
        out.add("", "", "why messages failed:");
        let mut told = 0;
        for failure in &self.failures {
            told += failure.messages;
            out.add(
                &format!("{:>22}    ", thousands(failure.messages)),
                &" ".repeat(26),
                &failure.error.to_string(),
            );
        }
        let more = self.failure_reasons - self.failures.len() as u64;
        if more > 0 {
            out.add(
                // Read one after the other, the figures need not agree.
                &format!("{:>22}    ", thousands(self.failed.saturating_sub(told))),
                "",
                &match more {
                    1 => "for another reason".into(),
                    n => format!("for {} other reasons", thousands(n)),
                },
            );
        }
    }

    fn troubles(&self, out: &mut Page) {
        for one in &self.troubles {
            let part = if self.troubles.len() > 1 {
                format!("{}, ", one.part)
            } else {
                String::new()
            };
            let trouble = &one.trouble;
            let began = self.when(trouble.since);
            out.blank();
            out.add(
                "",
                "  ",
                &format!("trouble ({part}began {began}): {}", trouble.message),
            );
            if let Some(hint) = &trouble.hint {
                out.add("", "  ", &format!("hint: {hint}"));
            }
        }
    }

    fn put_off(&self, out: &mut Page, message: &PutOffMessage) {
        heading(out, message.id, message.date, message.size);
        let tried = format!(
            "next attempt {}, after {}",
            self.when(message.next_attempt_at),
            counted(message.attempts, "attempt")
        );
        field(out, "put off", &tried);
        fields(
            out,
            &[
                ("message-id", message.message_id.as_ref()),
                ("reason", Some(&message.error)),
            ],
        );
    }

    /// `12 s ago`, `in 3 min`, or the day and time when it is further off.
    fn when(&self, Moment(at): Moment) -> String {
        let now = self.asked.0;
        let seconds = (now - at).num_seconds();
        match seconds.unsigned_abs() {
            0 if now < at => "now".into(),
            0 => "just now".into(),
            86_400.. => minute(at),
            n if seconds > 0 => format!("{} ago", span(n)),
            n => format!("in {}", span(n)),
        }
    }
}

/// A failed message, so that a person recognises it.
fn failed(out: &mut Page, message: &FailedMessage) {
    heading(out, message.id, message.date, message.size);
    fields(
        out,
        &[
            ("from", message.sender.as_ref()),
            ("subject", message.subject.as_ref()),
            ("message-id", message.message_id.as_ref()),
            ("reason", Some(&message.error)),
        ],
    );
}

fn heading(out: &mut Page, id: i64, Moment(date): Moment, size: Option<u64>) {
    let size = size.map_or("size unknown".to_string(), bytes_text);
    out.add("", "  ", &format!("id {id}, {}, {size}", minute(date)));
}

/// What is known of a message, a line each.
fn fields(out: &mut Page, fields: &[(&str, Option<&Foreign>)]) {
    for (name, value) in fields {
        if let Some(value) = value {
            field(out, name, &value.to_string());
        }
    }
}

fn field(out: &mut Page, name: &str, value: &str) {
    out.add(&format!("  {name:<11}"), &" ".repeat(13), value);
}
