//! Tells how far a run has come while it runs, in one line at the bottom of a terminal or one line a minute
//! in the log, and gives the summary at its end. Not for counting: the figures come from the engine.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::info;

use crate::config::{Config, Since};
use crate::engine::{Before, Engine, Progress};
use crate::error::shown;
use crate::ledger::{Count, Room, TroubleKind};
use crate::logging::Bottom;
use crate::service::Roster;
use crate::text::{bytes_text, counted, span, thousands};
use crate::threads;

/// How often the figures are looked at for a terminal.
const GLANCE: Duration = Duration::from_millis(500);
/// Counting a large ledger takes time: at most one part in so many of the time is spent on it.
const SHARE: u32 = 50;
/// A rate is measured over this time.
const WINDOW: Duration = Duration::from_secs(60);
/// Before this time a rate would be a guess.
const RATE_AFTER: Duration = Duration::from_secs(3);
/// So many reasons for failures a summary lists.
const REASONS: usize = 3;

/// Tells how far an engine has come, until this is dropped.
pub(super) struct Reporter {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    bottom: Option<Bottom>,
}

impl Reporter {
    /// At the bottom of the terminal, else in the log, `every` so often and only when something has moved.
    /// `idle`: what it does when nothing waits.
    pub(super) fn start(
        engine: &Arc<Engine>,
        bottom: Option<Bottom>,
        every: Duration,
        idle: &'static str,
    ) -> Reporter {
        let (stop, stopped) = channel();
        let engine = Arc::clone(engine);
        let shown = bottom.clone();
        let thread = thread::spawn(move || {
            let mut glances = Glances::default();
            let mut pace = Pace::default();
            let mut wait = shown.as_ref().map_or(every, |_| Duration::ZERO);
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(wait) {
                let Some(bottom) = &shown else {
                    glances.take(&engine, idle);
                    continue;
                };
                let begun = Instant::now();
                // If the ledger fails, the run ends, and reports it.
                let Ok(progress) = engine.progress() else {
                    continue;
                };
                wait = GLANCE.max(begun.elapsed() * SHARE);
                pace.note(progress.counts.done(), begun);
                bottom.show(&line(&progress, &pace, idle));
            }
        });
        Reporter {
            stop: Some(stop),
            thread: Some(thread),
            bottom,
        }
    }
}

impl Reporter {
    /// Of each of several routes in the log, as [`start`](Reporter::start) does it of one.
    pub(super) fn of_all(roster: Roster, every: Duration, idle: &'static str) -> Reporter {
        let (stop, stopped) = channel();
        let thread = thread::spawn(move || {
            let mut known: HashMap<PathBuf, Arc<Mutex<Glances>>> = HashMap::new();
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(every) {
                let entries = roster.entries();
                known.retain(|file, _| entries.iter().any(|entry| entry.file == *file));
                for entry in entries {
                    let Some(engine) = entry.engine else {
                        continue;
                    };
                    let glances = Arc::clone(known.entry(entry.file).or_default());
                    // One whose ledger does not answer keeps nobody else waiting.
                    let _ = thread::Builder::new().spawn(move || {
                        if let Ok(mut glances) = glances.try_lock() {
                            threads::work_for(Some(entry.name));
                            glances.take(&engine, idle);
                        }
                    });
                }
            }
        });
        Reporter {
            stop: Some(stop),
            thread: Some(thread),
            bottom: None,
        }
    }
}

/// Looks at one route now and then, at a cost that is a small part of the time.
#[derive(Default)]
struct Glances {
    pace: Pace,
    said: String,
    /// Not before this.
    next: Option<Instant>,
}

impl Glances {
    /// Puts a line into the log where something has moved.
    fn take(&mut self, engine: &Engine, idle: &str) {
        let begun = Instant::now();
        if self.next.is_some_and(|next| begun < next) {
            return;
        }
        // If the ledger fails, the run ends, and reports it.
        let Ok(progress) = engine.progress() else {
            return;
        };
        self.next = Some(begun + begun.elapsed() * SHARE);
        self.pace.note(progress.counts.done(), begun);
        let moved = standing(&progress);
        if progress.due().messages > 0 && moved != self.said {
            info!("{}", line(&progress, &self.pace, idle));
            self.said = moved;
        }
    }
}

/// Leaves the terminal as it was for whatever is printed next.
impl Drop for Reporter {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let Some(bottom) = self.bottom.take() {
            bottom.show("");
        }
    }
}

/// What was done recently, for the rate.
#[derive(Default)]
struct Pace(VecDeque<(Instant, Count)>);

impl Pace {
    fn note(&mut self, done: Count, now: Instant) {
        self.0.push_back((now, done));
        while self.0.len() > 2 && now - self.0[1].0 >= WINDOW {
            self.0.pop_front();
        }
    }

    /// Messages and bytes per second; None while nothing moves.
    fn rates(&self) -> Option<(f64, f64)> {
        let ((from, before), (to, now)) = (self.0.front()?, self.0.back()?);
        let time = *to - *from;
        let done = now.messages.saturating_sub(before.messages);
        (time >= RATE_AFTER && done > 0).then(|| {
            let seconds = time.as_secs_f64();
            let bytes = now.bytes.saturating_sub(before.bytes);
            (done as f64 / seconds, bytes as f64 / seconds)
        })
    }
}

/// The figures in which a line of the log must differ from the line before: nothing is said twice.
fn standing(p: &Progress) -> String {
    let done = p.counts.done();
    let why = p.troubles.first().map_or("", |t| &t.message);
    format!("{} {why}", done.messages)
}

/// `1,234 of 5,000 messages, 120.3 of 850.1 MB, 12.3/s, 1.4 MB/s, 8 min left`, or why it does not move.
fn line(p: &Progress, pace: &Pace, idle: &str) -> String {
    let (done, all, due) = (p.counts.done(), p.all(), p.due());
    let trouble = p.troubles.first();
    let mut out = match due.messages {
        0 => {
            let begin = trouble.map_or(format!("{idle}; "), |_| String::new());
            format!(
                "{begin}{} delivered",
                thousands(p.counts.delivered.messages)
            )
        }
        _ => format!(
            "{} of {}, {:.1} of {:.1} MB",
            thousands(done.messages),
            counted(all.messages, "message"),
            done.bytes as f64 / 1e6,
            all.bytes as f64 / 1e6
        ),
    };
    let days = p
        .uploaded
        .map_or(0, |(sent, limit)| Room { limit, sent }.days(due.bytes));
    let mut left = 0.0_f64;
    if due.messages > 0
        && p.goes_on_in.is_none()
        && let Some((each, bytes)) = pace.rates()
    {
        out += &format!(", {each:.1}/s, {}/s", bytes_text(bytes as u64));
        left = (due.messages as f64 / each).max(if bytes > 0.0 {
            due.bytes as f64 / bytes
        } else {
            0.0
        });
    }
    let limited = days * 86_400;
    if limited > left as u64 {
        out += &format!(
            ", about {} left (`upload_limit_per_day`)",
            counted(days, "day")
        );
    } else if left > 0.0 {
        out += &format!(", {} left", span(left as u64));
    }
    let again = p.goes_on_in.map_or(String::new(), |t| {
        format!(", again in {}", span(t.as_secs()))
    });
    if let Some(t) = trouble {
        let what = match t.kind {
            TroubleKind::NeedsUser => "waits for you",
            TroubleKind::Throttled => "throttled",
            TroubleKind::Transient => "trouble",
        };
        out += &format!("; {what}{again}: {}", shown(t.message.as_bytes()));
    }
    if p.waiting.later > 0 {
        out += &format!("; {} put off", thousands(p.waiting.later));
    }
    out
}

/// What a run begins with: what it is about to do, and what was done before, in two sentences.
pub(super) fn beginning(config: &Config, ledger: &Path, b: &Before) -> [String; 2] {
    let what = format!(
        "imap-to-gmail {}: {} into {}, ledger {}",
        env!("CARGO_PKG_VERSION"),
        b.source,
        config.target_user,
        ledger.display()
    );
    let waits = match b.waiting {
        0 => "nothing waits".to_string(),
        1 => "1 message waits".into(),
        n => format!("{} wait", counted(n, "message")),
    };
    let delivered = match b.delivered {
        0 => "no messages".to_string(),
        n => counted(n, "message"),
    };
    let failed = match b.failed {
        0 => String::new(),
        n => format!(", {} failed", thousands(n)),
    };
    let then = if b.first {
        first_run(config.since)
    } else {
        format!("{waits}, {delivered} delivered before{failed}")
    };
    [what, then]
}

fn first_run(since: Since) -> String {
    let what = match since {
        Since::All => "all mail is copied".into(),
        Since::Days(0) => {
            return "first run: only what comes from now on is copied (`since` says how far back)"
                .into();
        }
        Since::Days(1) => "what came in the last day is copied".into(),
        Since::Days(n) => format!("what came in the last {} is copied", counted(n, "day")),
        Since::Date(day) => format!("what came since {day} is copied"),
    };
    format!("first run: {what}, and what comes from now on (`since` says how far back)")
}

/// What a run did and what it left, in sentences that can be read alone.
pub(super) fn summary(p: &Progress) -> Vec<String> {
    let t = &p.counts;
    let at_work = t.at_work.as_secs_f64();
    let rate = if t.delivered.messages > 0 && at_work >= 1.0 {
        format!(
            "; {:.1} messages and {} per second while at work",
            t.delivered.messages as f64 / at_work,
            bytes_text((t.delivered.bytes as f64 / at_work) as u64)
        )
    } else {
        String::new()
    };
    let time = match t.at_work.as_secs() {
        0 => "less than a second".to_string(),
        n => span(n),
    };
    let mut out = vec![match t.delivered.messages {
        0 => "delivered no messages".into(),
        n => format!(
            "delivered {} ({}) in {time}{rate}",
            counted(n, "message"),
            bytes_text(t.delivered.bytes)
        ),
    }];
    if t.found.messages > 0 {
        out.push(format!(
            "already there: {}",
            counted(t.found.messages, "message")
        ));
    }
    if t.gone.messages > 0 {
        out.push(format!(
            "no longer in the source: {}",
            counted(t.gone.messages, "message")
        ));
    }
    let mut reasons = t.reasons.clone();
    reasons.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let mut others = t.failed.messages;
    for (reason, n) in reasons.into_iter().take(REASONS) {
        others -= n.min(others);
        out.push(format!("failed: {}: {reason}", counted(n, "message")));
    }
    if others > 0 {
        out.push(format!(
            "failed: {} for other reasons",
            counted(others, "message")
        ));
    }
    let left = p.waiting.messages + p.in_flight.messages;
    if left > 0 {
        let mut why = Vec::new();
        if p.waiting.later > 0 {
            why.push(format!(
                "{} put off after an attempt",
                thousands(p.waiting.later)
            ));
        }
        if p.in_flight.messages > 0 {
            why.push(format!(
                "{} whose arrival is still to be looked for",
                thousands(p.in_flight.messages)
            ));
        }
        if let Some(t) = p.troubles.first() {
            why.push(shown(t.message.as_bytes()));
        }
        let why = if why.is_empty() {
            String::new()
        } else {
            format!(": {}", why.join("; "))
        };
        out.push(format!("waiting: {}{why}", counted(left, "message")));
    }
    out
}
