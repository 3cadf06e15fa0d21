//! What `status` says of a ledger: for people, and as JSON (the contract of design 2.3). Not for
//! finding anything out: that is `ledger`'s `summary`.
//!
//! Times are told as spans, or by the clock of the place where it is asked beside UTC, in which the
//! ledger has them; "today" is the day of that place, and says so. Whatever stands in the ledger as text
//! may have been written there by anybody: it is made safe before it is shown.

use std::path::Path;

use chrono::{Local, NaiveTime, Utc};
use serde_json::{Value, json};

use crate::error::{Result, shown_within};
use crate::ledger::{self, FailedRow, Ledger, Part, PutOffRow, Reasons, Route, Summary, Trouble};
use crate::message::{Time, time_text};
use crate::text::{Page, bytes_text, counted, minute, span, thousands};

mod import;
mod life;
#[cfg(test)]
mod tests;

use import::Import;

pub use life::is_running;

/// Reasons of failures that are told apart.
const REASONS: usize = 5;

/// The most characters of one text out of the ledger: anybody may have written into the file.
const TEXT_MAX: usize = 2000;
/// Of the name of an account in the first line, which is not broken into several.
const NAME_MAX: usize = 254;

/// A ledger at one moment.
pub struct Report {
    route: Option<Route>,
    state_file: String,
    summary: Summary,
    /// Whether a run holds the ledger, where that can be asked.
    held: Option<bool>,
    import: Option<Import>,
    files: String,
    reasons: Reasons,
    /// What failed, and what is put off.
    failed: Option<(Vec<FailedRow>, Vec<PutOffRow>)>,
    /// When today began.
    midnight: Time,
    now: Time,
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
        let state_file = asked.state_file;
        let midnight = midnight(now);
        let before = ledger::is_held(state_file);
        let mut summary = ledger.summary(midnight, now)?;
        // In this order: a run that has just begun is not taken for one that was killed, ...
        let held = ledger::is_held(state_file);
        if before == Some(true) && held == Some(false) {
            // ... nor one that has just ended.
            summary = ledger.summary(midnight, now)?;
        }
        let parts = &summary.parts;
        let since = running_since(parts, held, now);
        let limit = asked.upload_limit;
        Ok(Report {
            route: ledger.route()?,
            import: Import::of(ledger, &summary.backlog, since, limit, now)?,
            state_file: safe(&state_file.display().to_string()),
            summary,
            held,
            reasons: ledger.reasons(REASONS)?,
            files: safe(asked.files),
            failed: if asked.with_failed {
                Some((ledger.failed()?, ledger.put_off()?))
            } else {
                None
            },
            midnight,
            now,
        })
    }

    pub fn json(&self) -> Value {
        let s = &self.summary;
        let text = |t: &Option<String>| t.as_deref().map(safe);
        let time = |t: Option<Time>| t.map(time_text);
        let trouble = |t: &Trouble| {
            json!({
                "kind": t.kind.name(), "message": safe(&t.message), "hint": text(&t.hint), "since": time_text(t.since),
            })
        };
        let mut troubles = self.troubles();
        let mut route = json!({
            "source": self.route.as_ref().map(|r| safe(&r.source())),
            "target": self.route.as_ref().map(|r| safe(&r.target_user)),
            "state_file": self.state_file,
            "running": is_running(&self.summary.parts, None, self.now),
            "pending": s.backlog.messages,
            "in_flight": s.in_flight,
            "delivered": s.delivered,
            "failed": s.failed,
            "skipped": s.skipped,
            "gone": s.gone,
            "oldest_pending": time(s.backlog.oldest),
            "last_delivered_at": time(s.last_delivered_at),
            "last_sign_of_life": time(self.last_sign_of_life()),
            "trouble": troubles.next().map(|(_, t)| trouble(t)),
            "troubles": self.troubles().map(|(part, t)| {
                let mut one = trouble(t);
                one["part"] = safe(&part.name).into();
                one
            }).collect::<Vec<_>>(),
            "state": self.state().0.name(),
            "running_since": time(self.running_since()),
            "delivered_today": s.delivered_since,
            "today_since": time_text(self.midnight),
            "pending_bytes": s.backlog.bytes,
            "backoff": s.backlog.later,
            "next_attempt_at": time(s.backlog.next_attempt_at),
            "import": self.import.as_ref().map(|i| json!({
                "done": i.done().messages, "done_bytes": i.done().bytes,
                "all": i.all().messages, "all_bytes": i.all().bytes,
                "listing": i.listing, "seconds_left": i.seconds_left(),
            })),
            "failure_reasons": self.reasons.all,
            "failures": self.reasons.commonest.iter().map(|(reason, n)| {
                json!({ "error": safe(reason), "messages": n })
            }).collect::<Vec<_>>(),
        });
        if let Some((failed, put_off)) = &self.failed {
            route["failed_messages"] = failed
                .iter()
                .map(|f| {
                    json!({
                        "id": f.id.0, "date": time_text(f.internal_date), "size": f.size, "sender": text(&f.sender),
                        "subject": text(&f.subject), "message_id": text(&f.message_id), "error": safe(&f.last_error),
                    })
                })
                .collect();
            route["put_off_messages"] = put_off
                .iter()
                .map(|p| {
                    json!({
                        "id": p.id.0, "date": time_text(p.internal_date), "size": p.size, "message_id": text(&p.message_id),
                        "attempts": p.attempts, "next_attempt_at": time_text(p.next_attempt_at), "error": safe(&p.last_error),
                    })
                })
                .collect();
        }
        json!({ "routes": [route] })
    }

    /// In lines of so many columns, without colour.
    pub fn text(&self, width: usize) -> String {
        let mut out = Page::new(width);
        // Whole, however narrow the screen is: who reads it alone reads all of it.
        out.line(&self.first_line());
        self.life(&mut out);
        out.blank();
        self.counts(&mut out);
        if let Some(import) = &self.import {
            out.blank();
            out.add("  so far: ", "  ", &import.text());
        }
        self.failures(&mut out);
        let several = self.troubles().nth(1).is_some();
        for (part, trouble) in self.troubles() {
            let part = if several {
                format!("{}, ", safe(&part.name))
            } else {
                String::new()
            };
            out.blank();
            out.add(
                "",
                "  ",
                &format!(
                    "trouble ({part}began {}): {}",
                    self.when(trouble.since),
                    safe(&trouble.message)
                ),
            );
            if let Some(hint) = &trouble.hint {
                out.add("", "  ", &format!("hint: {}", safe(hint)));
            }
        }
        if let Some((failed, put_off)) = &self.failed {
            for f in failed {
                out.blank();
                failure(&mut out, f);
            }
            for p in put_off {
                out.blank();
                self.put_off(&mut out, p);
            }
        }
        out.text()
    }

    fn state(&self) -> (life::State, String) {
        life::state(&self.summary, self.held, self.now)
    }

    fn first_line(&self) -> String {
        let name = |name: &str| shown_within(name.as_bytes(), NAME_MAX);
        let whose = match &self.route {
            Some(r) => format!("{} into {}", name(&r.source()), name(&r.target_user)),
            None => self.state_file.clone(),
        };
        format!("{}: {whose}", self.state().1)
    }

    /// What runs, since when, and what should and does not.
    fn life(&self, out: &mut Page) {
        let parts = &self.summary.parts;
        let beat = self.last_sign_of_life().map(|at| self.when(at));
        let ended = parts.iter().filter_map(|p| p.ended_at).max();
        let goes_on = parts.iter().any(|p| p.ended_at.is_none());
        let sentence = match (self.running_since(), beat) {
            (Some(since), Some(beat)) => {
                format!("running since {}, last sign of life {beat}", minute(since))
            }
            (None, Some(beat)) if goes_on && self.held == Some(true) => format!(
                "a run holds this ledger, and the last sign of life came {beat}: it may hang, or it has only just begun; if it stays so, restart it: nothing is lost"
            ),
            _ if self.held == Some(true) => {
                "a run holds this ledger: it has only just begun, or is just ending".into()
            }
            (None, Some(beat)) if goes_on => format!(
                "the last sign of life came {beat}, and no end of the run was recorded. Was it killed? Start it again: nothing is lost"
            ),
            _ => match ended {
                Some(at) => format!("the last run ended {}", self.when(at)),
                None => "no run has used this ledger yet".into(),
            },
        };
        out.add("  ", "  ", &sentence);
        if !self.alive() {
            return;
        }
        for part in parts
            .iter()
            .filter(|p| p.ended_at.is_none() && !life::lives(p, self.now))
        {
            out.add(
                "  ",
                "  ",
                &format!(
                    "but its part \"{}\" gave the last sign of life {}: it may hang; restart it, nothing is lost",
                    safe(&part.name),
                    self.when(part.beat_at)
                ),
            );
        }
    }

    fn counts(&self, out: &mut Page) {
        let s = &self.summary;
        let put_off = s.backlog.later;
        let next = s.backlog.next_attempt_at;
        let due = match s.backlog.messages - put_off {
            0 => None,
            _ if self.alive() => Some("due now".to_string()),
            1 => Some("the next run tries it".into()),
            _ => Some("the next run tries them".into()),
        };
        let sent = s.last_delivered_at;
        let files = &self.files;
        let tell = match &self.failed {
            None => format!("`imap-to-gmail status --failed{files}` says which"),
            Some(_) => format!("`imap-to-gmail retry-failed{files}` tries them again"),
        };
        let midnight = if self.midnight.time() == NaiveTime::MIN {
            "since midnight (UTC)".to_string()
        } else {
            format!("since midnight ({} UTC)", self.midnight.format("%H:%M"))
        };
        for (name, count, always, note) in [
            (
                "delivered",
                s.delivered,
                true,
                sent.map(|t| format!("last sent {}", self.when(t))),
            ),
            (
                "  today",
                s.delivered_since,
                s.delivered > 0,
                Some(midnight),
            ),
            ("pending", s.backlog.messages, true, due),
            (
                "  put off",
                put_off,
                false,
                next.map(|t| {
                    let next = format!("next attempt {}", self.when(t));
                    match &self.failed {
                        None => {
                            format!("{next}; `imap-to-gmail status --failed{files}` says why")
                        }
                        Some(_) => next,
                    }
                }),
            ),
            ("in flight", s.in_flight, false, None),
            ("failed", s.failed, true, (s.failed > 0).then_some(tell)),
            ("skipped", s.skipped, false, None),
            ("gone", s.gone, false, None),
        ] {
            if count > 0 || always {
                let row = format!("  {name:<10}{:>10}    ", thousands(count));
                out.add(&row, &" ".repeat(row.len()), &note.unwrap_or_default());
            }
        }
    }

    /// Why messages failed, the commonest reason first.
    fn failures(&self, out: &mut Page) {
        let Reasons { commonest, all } = &self.reasons;
        if commonest.is_empty() {
            return;
        }
        out.blank();
        out.add("", "", "why messages failed:");
        let mut told = 0;
        for (reason, n) in commonest {
            told += n;
            out.add(
                &format!("{:>22}    ", thousands(*n)),
                &" ".repeat(26),
                &safe(reason),
            );
        }
        let more = all - commonest.len() as u64;
        if more > 0 {
            out.add(
                &format!(
                    "{:>22}    ",
                    thousands(self.summary.failed.saturating_sub(told))
                ),
                "",
                &match more {
                    1 => "for another reason".into(),
                    n => format!("for {} other reasons", thousands(n)),
                },
            );
        }
    }

    fn put_off(&self, out: &mut Page, p: &PutOffRow) {
        let size = p.size.map_or("size unknown".to_string(), bytes_text);
        out.add(
            "",
            "  ",
            &format!("id {}, {}, {size}", p.id, minute(p.internal_date)),
        );
        let tried = format!(
            "next attempt {}, after {}",
            self.when(p.next_attempt_at),
            counted(p.attempts, "attempt")
        );
        let fields = [
            ("put off", Some(&tried)),
            ("message-id", p.message_id.as_ref()),
            ("reason", Some(&p.last_error)),
        ];
        tell(out, &fields);
    }

    fn troubles(&self) -> impl Iterator<Item = (&Part, &Trouble)> {
        let parts = self.summary.parts.iter();
        parts.filter_map(|p| p.trouble.as_ref().map(|t| (p, t)))
    }

    fn alive(&self) -> bool {
        is_running(&self.summary.parts, self.held, self.now)
    }

    fn running_since(&self) -> Option<Time> {
        running_since(&self.summary.parts, self.held, self.now)
    }

    fn last_sign_of_life(&self) -> Option<Time> {
        self.summary.parts.iter().map(|p| p.beat_at).max()
    }

    /// `12 s ago`, `in 3 min`, or the day and time when it is further off.
    fn when(&self, at: Time) -> String {
        let seconds = (self.now - at).num_seconds();
        match seconds.unsigned_abs() {
            0 if self.now < at => "now".into(),
            0 => "just now".into(),
            86_400.. => minute(at),
            n if seconds > 0 => format!("{} ago", span(n)),
            n => format!("in {}", span(n)),
        }
    }
}

fn running_since(parts: &[Part], held: Option<bool>, now: Time) -> Option<Time> {
    let parts = is_running(parts, held, now).then_some(parts)?.iter();
    parts
        .filter(|p| life::lives(p, now))
        .map(|p| p.started_at)
        .min()
}

/// A failed message, so that a person recognises it.
fn failure(out: &mut Page, f: &FailedRow) {
    let size = f.size.map_or("size unknown".to_string(), bytes_text);
    out.add(
        "",
        "  ",
        &format!("id {}, {}, {size}", f.id, minute(f.internal_date)),
    );
    let fields = [
        ("from", f.sender.as_ref()),
        ("subject", f.subject.as_ref()),
        ("message-id", f.message_id.as_ref()),
        ("reason", Some(&f.last_error)),
    ];
    tell(out, &fields);
}

/// What is known of a message, a line each.
fn tell(out: &mut Page, fields: &[(&str, Option<&String>)]) {
    for (name, value) in fields {
        if let Some(value) = value {
            out.add(&format!("  {name:<11}"), &" ".repeat(13), &safe(value));
        }
    }
}

/// When the day began here; where the clocks are changed at midnight, when it began by them.
fn midnight(now: Time) -> Time {
    let today = now.with_timezone(&Local).date_naive();
    (0..24)
        .filter_map(|hour| today.and_hms_opt(hour, 0, 0))
        .find_map(|t| t.and_local_timezone(Local).earliest())
        .map_or(now, |t| t.with_timezone(&Utc))
}

/// A text out of the ledger, which cannot move the cursor.
fn safe(text: &str) -> String {
    shown_within(text.as_bytes(), TEXT_MAX)
}
