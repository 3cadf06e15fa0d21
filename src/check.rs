//! `check`: each setting tried for real, one finding each, and nothing changed by it.
//!
//! Not for mending and not for printing. Whatever fails, everything that does not need it is tried
//! all the same; what needs it says that it was not. The words for what a server or a file refuses
//! are those of a run: they are made where the refusal is met.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use chrono::Utc;
use serde_json::{Value, json};

use crate::config::{Draft, Intervals};
use crate::error::{Error, Fault};
use crate::ledger::Route;
use crate::text::Page;

mod files;
mod ledger;
mod servers;
mod target;
mod token;

/// What a server, a name server and the token endpoint are given for one answer: a check of what
/// does not answer at all ends within a minute.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a server that has taken the connection is given to say who it is: what is no IMAP server is told
/// within ten seconds.
const GREETING_PATIENCE: Duration = Duration::from_secs(9);
/// The finding about the clock.
const CLOCK: &str = "clock";
/// Where text stands that belongs to a finding.
const INDENT: usize = 9;

/// What was found of one thing.
#[derive(Clone, Debug)]
pub struct Finding {
    /// For programs: it stays the same.
    pub name: String,
    pub outcome: Outcome,
    pub message: String,
    pub hint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    /// A run works, and something could be better.
    Warning,
    /// A run does not work, or not for long. How far that reaches is in the fault.
    Problem(Fault),
    /// Something that it needs is out of order.
    Skipped,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Warning => "warning",
            Outcome::Problem(_) => "problem",
            Outcome::Skipped => "skipped",
        }
    }
}

impl Finding {
    fn new(name: &str, outcome: Outcome, message: impl Into<String>) -> Finding {
        Finding {
            name: name.into(),
            outcome,
            message: message.into(),
            hint: None,
        }
    }

    fn ok(name: &str, message: impl Into<String>) -> Finding {
        Finding::new(name, Outcome::Ok, message)
    }

    fn warning(name: &str, message: impl Into<String>, hint: impl Into<String>) -> Finding {
        let hint = Some(hint.into());
        Finding {
            hint,
            ..Finding::new(name, Outcome::Warning, message)
        }
    }

    /// `hint`: what to do where the error itself does not know.
    fn problem(name: &str, e: &Error, hint: &str) -> Finding {
        Finding {
            hint: Some(e.hint.clone().unwrap_or_else(|| hint.into())),
            ..Finding::new(name, Outcome::Problem(e.fault), e.message.clone())
        }
    }

    /// An error that does not keep a run from working.
    fn only_warning(name: &str, e: &Error) -> Finding {
        Finding {
            outcome: Outcome::Warning,
            ..Finding::problem(name, e, "")
        }
    }

    fn skipped(name: &str, why: &str) -> Finding {
        Finding::new(name, Outcome::Skipped, format!("not checked: {why}"))
    }

    pub fn json(&self) -> Value {
        json!({
            "name": self.name, "result": self.outcome.name(), "message": self.message, "hint": self.hint,
        })
    }

    /// In lines of so many columns, without colour.
    pub fn text(&self, width: usize) -> String {
        let result = self.outcome.name();
        let name = self.name.replace('_', " ");
        let rest = " ".repeat(INDENT);
        let mut out = Page::new(width);
        out.add(
            &format!("{result:<INDENT$}"),
            &rest,
            &format!("{name}: {}", self.message),
        );
        if let Some(hint) = &self.hint {
            out.add(&rest, &rest, &format!("hint: {hint}"));
        }
        out.text()
    }
}

/// Tries the configuration at `path` and tells each finding as soon as it is there. Both sides are
/// tried at the same time.
pub fn check(path: &Path, times: &Intervals, tell: &mut dyn FnMut(Finding)) {
    let times = Intervals {
        connect: times.connect.min(PATIENCE),
        greeting: times.greeting.min(GREETING_PATIENCE),
        command: times.command.min(PATIENCE),
        ..times.clone()
    };
    let draft = match Draft::load(path, Utc::now()) {
        Ok(draft) => draft,
        Err(e) => {
            tell(Finding::problem("configuration", &e, ""));
            tell(Finding::skipped(
                "everything_else",
                "it stands in the configuration",
            ));
            return;
        }
    };
    configuration(path, &draft).into_iter().for_each(&mut *tell);
    files::permissions(&draft).into_iter().for_each(&mut *tell);
    let (ledger, begun) = ledger::findings(&draft, route(&draft).as_ref());
    ledger.into_iter().for_each(&mut *tell);
    let mut told = false;
    let mut once = |finding: Finding| {
        // Either token endpoint may tell the time.
        if finding.name != CLOCK || !std::mem::replace(&mut told, true) {
            tell(finding);
        }
    };
    thread::scope(|scope| {
        // The target's findings wait until the source's have been told.
        let (sender, receiver) = mpsc::channel();
        let (draft, times) = (&draft, &times);
        scope.spawn(move || {
            target::findings(draft, times, &mut |finding| {
                let _ = sender.send(finding);
            });
        });
        servers::source(draft, times, begun, &mut once);
        receiver.into_iter().for_each(&mut once);
    });
    once(Finding::skipped(CLOCK, "no token endpoint told the time"));
}

fn configuration(path: &Path, draft: &Draft) -> Vec<Finding> {
    let name = "configuration";
    match (route(draft), &draft.mistakes[..]) {
        (Some(route), []) => vec![Finding::ok(
            name,
            format!(
                "{}: {} into {}",
                path.display(),
                route.source(),
                route.target_user
            ),
        )],
        (_, mistakes) => mistakes
            .iter()
            .map(|e| Finding::problem(name, e, ""))
            .collect(),
    }
}

fn route(draft: &Draft) -> Option<Route> {
    Some(Route::new(
        draft.source_user.as_ref()?,
        &draft.source.as_ref()?.host,
        draft.target_user.as_ref()?,
        &draft.target.as_ref()?.host,
    ))
}

/// The folder that a file lies in, or is to lie in.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.into(),
        _ => ".".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::WIDTH;

    #[test]
    fn text_fits_into_80_columns() {
        let words = "word ".repeat(60);
        let finding = Finding::warning("source_sign_in", words.trim_end(), words.trim_end());
        let text = finding.text(WIDTH);
        assert!(text.starts_with("warning  source sign in: word word"));
        assert!(text.contains("\n         hint: word"));
        for line in text.lines().skip(1) {
            assert!(line.starts_with("         w") || line.starts_with("         hint: w"));
        }
        let longest = text.lines().map(|l| l.chars().count()).max();
        assert!(
            longest <= Some(WIDTH) && longest > Some(WIDTH - 6),
            "{text}"
        );
        assert_eq!(text.matches("word").count(), 120);
    }
}
