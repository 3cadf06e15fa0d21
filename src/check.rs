//! `check`: tries each setting for real, gives one finding for each, and changes nothing.
//!
//! Not for mending and not for printing. When something fails, everything that does not depend on it is still
//! tried; what depends on it is reported as not checked. What a server or a file refuses is put into words
//! where the refusal is met, so `check` and a run say the same.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use chrono::Utc;
use serde_json::{Value, json};

use crate::config::{Draft, Intervals, Key, Secret};
use crate::error::{Error, Fault};
use crate::ledger::{Route, choose};
use crate::text::{Page, wrapped};

mod delivery;
mod files;
mod folders;
mod ledger;
mod removal;
mod room;
mod sample;
mod servers;
mod target;
mod telling;
mod token;

/// How long a server, a name server or the token endpoint may take for one answer: a check of something that
/// does not answer at all ends within a minute.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a server may take to greet once it has taken the connection: something that is no IMAP server is
/// reported within ten seconds.
const GREETING_PATIENCE: Duration = Duration::from_secs(9);
/// The finding about the clock.
const CLOCK: &str = "clock";
/// How the message begins when something was skipped.
const NOT_CHECKED: &str = "not checked: ";
/// The hint where a server refuses for no known reason.
const ASK_THE_OPERATOR: &str = "try again; if it stays so, the operator of the server knows more";
/// The column at which the text of a finding begins.
const INDENT: usize = 9;

/// What was found out about one thing.
#[derive(Clone, Debug)]
pub struct Finding {
    /// For programs that read the findings: it never changes.
    pub name: String,
    pub outcome: Outcome,
    pub message: String,
    pub hint: Option<String>,
    /// Lines of a file, shown as they are.
    pub excerpt: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    /// A run works, but something could be better.
    Warning,
    /// A run does not work, or not for long. How far that reaches is in the fault.
    Problem(Fault),
    /// It was not tried, since something that it needs is out of order.
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

    /// As terminals number them (ECMA-48 8.3.117).
    fn colour(self) -> &'static str {
        match self {
            Outcome::Ok => "32",
            Outcome::Warning => "1;33",
            Outcome::Problem(_) => "1;31",
            Outcome::Skipped => "2",
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
            excerpt: None,
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

    /// `hint`: used where the error has none of its own.
    fn problem(name: &str, e: &Error, hint: &str) -> Finding {
        Finding {
            hint: Some(e.hint.clone().unwrap_or_else(|| hint.into())),
            excerpt: e.excerpt.clone(),
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
        Finding::new(name, Outcome::Skipped, format!("{NOT_CHECKED}{why}"))
    }

    pub fn json(&self) -> Value {
        json!({
            "name": self.name, "result": self.outcome.name(), "message": self.message, "hint": self.hint,
        })
    }

    /// As text for people, in lines of at most so many columns.
    pub fn text(&self, width: usize, coloured: bool) -> String {
        let result = self.outcome.name();
        let name = self.name.replace('_', " ");
        let message = match self.outcome {
            // The line begins with that word.
            Outcome::Skipped => self.message.strip_prefix(NOT_CHECKED),
            _ => None,
        };
        let message = message.unwrap_or(&self.message);
        let rest = " ".repeat(INDENT);
        let mut out = Page::new(width);
        out.add(
            &format!("{result:<INDENT$}"),
            &rest,
            &format!("{name}: {message}"),
        );
        let mut text = out.text();
        for line in self.excerpt.iter().flat_map(|lines| lines.lines()) {
            text += &format!("{rest}{line}\n");
        }
        if let Some(hint) = &self.hint {
            text += &wrapped(width, &rest, &rest, &format!("hint: {hint}"));
        }
        match text.strip_prefix(result) {
            Some(behind) if coloured => {
                format!("\x1b[{}m{result}\x1b[0m{behind}", self.outcome.colour())
            }
            _ => text,
        }
    }
}

/// Tries the configuration at `path` and tells each finding as soon as it is known. Both sides are tried at the
/// same time. The finding about the clock comes first, since certificates and tokens are judged by the clock.
pub fn check(path: &Path, times: &Intervals, tell: &mut dyn FnMut(Finding)) {
    let times = Intervals {
        connect: times.connect.min(PATIENCE),
        greeting: times.greeting.min(GREETING_PATIENCE),
        command: times.command.min(PATIENCE),
        ..times.clone()
    };
    let mut draft = match Draft::load(path, Utc::now()) {
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
    places(&mut draft).into_iter().for_each(&mut *tell);
    files::permissions(&draft).into_iter().for_each(&mut *tell);
    telling::findings(&draft).into_iter().for_each(&mut *tell);
    let (ledger, before) = ledger::findings(&draft, route(&draft).as_ref());
    ledger.into_iter().for_each(&mut *tell);
    thread::scope(|scope| {
        let (draft, times, before) = (&draft, &times, &before);
        let (source, source_told) = mpsc::channel();
        let (target, target_told) = mpsc::channel();
        let (source_access, at_source) = mpsc::channel();
        let (target_access, at_target) = mpsc::channel();
        let (coming, to_come) = mpsc::channel();
        scope.spawn(move || {
            let mut tell = |finding| {
                let _ = source.send(finding);
            };
            if let Some(sample) = servers::source(draft, times, before, &at_source, &mut tell) {
                let _ = coming.send(sample);
            }
        });
        scope.spawn(move || {
            let mut tell = |finding| {
                let _ = target.send(finding);
            };
            target::findings(draft, times, before, &at_target, &to_come, &mut tell);
        });
        let sides = [("source", source_access), ("target", target_access)];
        tokens(draft, sides, times, tell);
        source_told.into_iter().for_each(&mut *tell);
        target_told.into_iter().for_each(&mut *tell);
    });
}

/// The access token that a side signs in with, if it uses one.
type Access = Result<Secret<String>, String>;

/// Tries the token files, hands over the access tokens, and reports how this machine's clock compares with
/// that of the token endpoints: certificates are judged by the clock, too.
fn tokens(
    draft: &Draft,
    sides: [(&str, Sender<Access>); 2],
    times: &Intervals,
    tell: &mut dyn FnMut(Finding),
) {
    let (mut asked, mut told) = (false, false);
    for (side, access) in sides {
        let (key, endpoint) = if side == "source" {
            (&draft.source_key, &draft.source)
        } else {
            (&draft.target_key, &draft.target)
        };
        let Some(Key::TokenFile(path)) = key else {
            continue;
        };
        asked = true;
        let origin = endpoint.as_ref().map(|e| &e.origin);
        let tried = token::tried(side, path, origin, times, &mut |finding| {
            // One endpoint that tells the time is enough.
            if finding.name != CLOCK || !std::mem::replace(&mut told, true) {
                tell(finding);
            }
        });
        // The sign-in takes the first, Gmail's API the second.
        let _ = access.send(tried.clone());
        let _ = access.send(tried);
    }
    if asked && !told {
        tell(Finding::skipped(CLOCK, "no token endpoint told the time"));
    }
}

/// Reports files that were found only where earlier versions looked. The ledger is looked for there, too.
fn places(draft: &mut Draft) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut notes = draft.moved.clone();
    if let (Some(route), Some(ledger)) = (route(draft), &mut draft.ledger) {
        match choose(&ledger.path, &ledger.older, || Ok(route)) {
            Ok(chosen) => {
                ledger.path = chosen.path;
                notes.extend(chosen.notes);
            }
            Err(e) => found.push(Finding::problem("places", &e, "")),
        }
    }
    found.extend(
        notes
            .into_iter()
            .map(|note| Finding::warning("places", note.message, note.hint)),
    );
    found
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
        let text = finding.text(WIDTH, false);
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
        let coloured = finding.text(WIDTH, true);
        let begin = "\x1b[1;33mwarning\x1b[0m  source sign in: word word";
        assert!(coloured.starts_with(begin), "{coloured:?}");
        assert_eq!(coloured.len(), text.len() + "\x1b[1;33m\x1b[0m".len());
    }
}
