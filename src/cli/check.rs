//! `check`: prints its findings, the problems where nobody overlooks them, or prints all as JSON.

use std::io::{IsTerminal as _, stdout};
use std::path::Path;

use serde_json::Value;

use super::args::CheckArgs;
use super::{columns, say};
use crate::check::{self, Finding, Outcome};
use crate::config::Intervals;
use crate::error::{Again, Result, shown};
use crate::service;
use crate::text::{counted, wrapped};

/// Lines that every terminal has.
const HEIGHT: usize = 24;

pub(super) fn check(args: &CheckArgs, times: &Intervals) -> Result<u8> {
    let several = !matches!(&args.config[..], [one] if !one.is_dir());
    let files = if several {
        service::some_configurations(&args.config)?
    } else {
        args.config.clone()
    };
    let mut all: Vec<Value> = Vec::new();
    let mut statuses = Vec::new();
    for file in &files {
        let name = shown(file.display().to_string().as_bytes());
        if several && !args.json {
            let gap = if statuses.is_empty() { "" } else { "\n" };
            say(&format!("{gap}{name}:\n"));
        }
        let findings = check_one(file, args.json, times);
        statuses.push(status(&findings));
        for finding in &findings {
            let mut json = finding.json();
            if several {
                json["configuration"] = name.clone().into();
            }
            all.push(json);
        }
    }
    if args.json {
        say(&format!("{}\n", serde_json::json!({ "checks": all })));
    }
    // The first status that applies, as for every command.
    let first = [2, 1, 4].into_iter().find(|s| statuses.contains(s));
    Ok(first.unwrap_or(0))
}

fn check_one(file: &Path, json: bool, times: &Intervals) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let mut screen = Screen::new();
    check::check(file, times, &mut |finding| {
        if !json {
            screen.add(&finding);
        }
        findings.push(finding);
    });
    if !json {
        screen.end(&findings);
    }
    findings
}

fn status(findings: &[Finding]) -> u8 {
    let is = |status: u8| {
        findings.iter().any(|f| match f.outcome {
            // A trouble that ends by itself did not end within the check.
            Outcome::Problem(fault) if fault.reaction().again == Again::AfterPause => status == 1,
            Outcome::Problem(fault) => status == fault.reaction().exit_status,
            Outcome::Ok | Outcome::Warning | Outcome::Skipped => false,
        })
    };
    [2, 1, 4].into_iter().find(|s| is(*s)).unwrap_or(0)
}

/// Prints the findings as they come.
struct Screen {
    coloured: bool,
    lines: usize,
    /// Things skipped one after the other for the same reason: they are printed together.
    skipped: Vec<Finding>,
}

impl Screen {
    fn new() -> Screen {
        Screen {
            coloured: coloured(),
            lines: 0,
            skipped: Vec::new(),
        }
    }

    fn add(&mut self, finding: &Finding) {
        let joins = self
            .skipped
            .last()
            .is_none_or(|s| s.message == finding.message);
        if finding.outcome == Outcome::Skipped && joins {
            self.skipped.push(finding.clone());
            return;
        }
        self.tell_skipped();
        if finding.outcome == Outcome::Skipped {
            self.skipped.push(finding.clone());
        } else {
            self.say(finding);
        }
    }

    fn tell_skipped(&mut self) {
        let skipped = std::mem::take(&mut self.skipped);
        let names: Vec<&str> = skipped.iter().map(|f| &*f.name).collect();
        if let Some(first) = skipped.first() {
            self.say(&Finding {
                name: names.join(", "),
                ..first.clone()
            });
        }
    }

    fn say(&mut self, finding: &Finding) {
        let text = finding.text(columns(), self.coloured);
        self.lines += text.lines().count();
        say(&text);
    }

    /// Prints the verdict; and the problems once more where the first of them may have scrolled off the screen.
    fn end(mut self, findings: &[Finding]) {
        self.tell_skipped();
        let problems: Vec<&Finding> = findings.iter().filter(|f| is_problem(f)).collect();
        let verdict = verdict(findings, problems.len());
        // Lines for the verdict, the blank line above it, and the prompt.
        if problems.is_empty() || self.lines + 3 <= height() {
            say(&format!("\n{}", wrapped(columns(), "", "", &verdict)));
            return;
        }
        let verdict = format!("{verdict}; to fix (same as above):");
        say(&format!("\n{}\n", wrapped(columns(), "", "", &verdict)));
        for problem in problems {
            self.say(problem);
        }
    }
}

fn is_problem(finding: &Finding) -> bool {
    matches!(finding.outcome, Outcome::Problem(_))
}

fn verdict(findings: &[Finding], problems: usize) -> String {
    let warnings = findings.iter().filter(|f| f.outcome == Outcome::Warning);
    let count = |n, one| match n {
        0 => format!("no {one}s"),
        n => counted(n, one),
    };
    format!(
        "{}, {}",
        count(problems, "problem"),
        count(warnings.count(), "warning")
    )
}

/// Colours are used on a terminal that knows them, unless the user wants none (https://no-color.org).
fn coloured() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    !set("NO_COLOR") && !dumb && stdout().is_terminal()
}

/// How many lines the terminal has; where stdout is no terminal, as many as all have.
fn height() -> usize {
    match rustix::termios::tcgetwinsize(stdout()).map(|size| usize::from(size.ws_row)) {
        Ok(0) | Err(_) => HEIGHT,
        Ok(rows) => rows,
    }
}
