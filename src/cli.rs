//! The command line: what was typed, what it sets in motion, what is printed, how it exits.
//!
//! The only place that prints (with `main`). An error is `error: sentence`, a blank line, `hint:
//! what to do`, on stderr; data goes to stdout.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;

use chrono::Utc;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser};

use crate::check::{self, Finding, Outcome};
use crate::config::{self, Intervals};
use crate::error::{Error, Fault, Result};
use crate::import_state;
use crate::ledger::Ledger;
use crate::status::Report;
use crate::text::{WIDTH, counted, shell_word, thousands};

mod args;
mod auth;
mod progress;
mod run;

use args::{CheckArgs, Cli, Command, ImportArgs, LedgerArgs, RetryArgs, StatusArgs};

const HELP_HINT: &str =
    "`imap-to-gmail --help` shows the commands, `imap-to-gmail COMMAND --help` their options";

/// Columns below which a line would be all indentation, and beyond which it reads badly.
const NARROWEST: usize = 40;
const WIDEST: usize = 120;

/// The commands and their options, for what is made from them: completions and manual pages.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Does what the command line says and returns the exit status: 0 done, 1 failed, 2 wrong usage,
/// 3 rows failed or pending, 4 a person must act.
pub fn main(args: impl IntoIterator<Item = OsString>, times: Intervals) -> u8 {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => return usage(&e),
    };
    let end = match (cli.command, cli.run) {
        // How the Python script was called.
        (None, Some(args)) | (Some(Command::Run(args)), _) => run::run(&args, times),
        (Some(Command::Auth(args)), _) => auth::auth(&args, &times),
        (Some(Command::Check(args)), _) => Ok(check(&args, &times)),
        (Some(Command::Status(args)), _) => status(&args),
        (Some(Command::RetryFailed(args)), _) => retry_failed(&args),
        (Some(Command::ImportState(args)), _) => import_state(&args),
        (None, None) => Err(Error::usage("nothing to do").hint(HELP_HINT)),
    };
    match end {
        Ok(code) => code,
        Err(e) => {
            say_error(&e);
            exit_status(e.fault)
        }
    }
}

fn exit_status(fault: Fault) -> u8 {
    match fault {
        Fault::Usage => 2,
        Fault::NeedsUser => 4,
        Fault::Throttled => 3,
        Fault::Connection | Fault::Transient | Fault::Permanent | Fault::Fatal => 1,
    }
}

/// An error always comes with a hint; where it was made there may have been no better one to give.
fn say_error(e: &Error) {
    let hint = e.hint.as_deref().unwrap_or(match e.fault {
        Fault::Usage => HELP_HINT,
        Fault::Connection => {
            "is the server up, and this machine online? Nothing is lost: the next run goes on from here"
        }
        _ => "nothing is lost: the next run goes on from here; `run --debug` logs more",
    });
    // Nobody is left to tell when stderr is closed.
    let _ = write!(std::io::stderr(), "error: {e}\n\nhint: {hint}\n");
}

/// Data for stdout; a reader that has seen enough (`| head`) is no error.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// How wide the terminal is that shows the data; beside one, what every terminal has.
fn columns() -> usize {
    let wide = rustix::termios::tcgetwinsize(std::io::stdout());
    match wide.map(|size| usize::from(size.ws_col)) {
        Ok(0) | Err(_) => WIDTH,
        Ok(wide) => wide.clamp(NARROWEST, WIDEST),
    }
}

/// Beside the data and the log, for who looks at the terminal.
fn say_aside(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// What clap found wrong, in our form; help and version as they are.
fn usage(e: &clap::Error) -> u8 {
    if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        say(&e.to_string());
        return 0;
    }
    let text = e.to_string();
    let sentence = text.split("\n\n").next().unwrap_or_default();
    let sentence: Vec<&str> = sentence.lines().map(str::trim).collect();
    let sentence = sentence.join(" ");
    let near = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand]
        .iter()
        .find_map(|kind| match e.get(*kind) {
            Some(ContextValue::String(s)) => Some(s.clone()),
            Some(ContextValue::Strings(s)) => s.first().cloned(),
            _ => None,
        });
    let mut error = Error::usage(sentence.strip_prefix("error: ").unwrap_or(&sentence));
    if matches!(
        e.kind(),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        error.message = "nothing to do".into();
    }
    error.hint = Some(match near {
        Some(near) => format!("did you mean `{near}`?"),
        None if e.kind() == ErrorKind::ArgumentConflict => {
            "options come after the command, like `imap-to-gmail status --config FILE`".into()
        }
        None => HELP_HINT.into(),
    });
    say_error(&error);
    2
}

/// Which ledger is meant.
fn ledger_path(args: &LedgerArgs) -> Result<PathBuf> {
    if let Some(path) = &args.state_file {
        return Ok(path.clone());
    }
    match &args.config {
        Some(config) => config::state_file(config),
        None => Ok(config::DEFAULT_LEDGER.into()),
    }
}

fn check(args: &CheckArgs, times: &Intervals) -> u8 {
    let mut findings: Vec<Finding> = Vec::new();
    check::check(&args.config, times, &mut |finding| {
        if !args.json {
            say(&finding.text(columns()));
        }
        findings.push(finding);
    });
    if args.json {
        let all: Vec<_> = findings.iter().map(Finding::json).collect();
        say(&format!("{}\n", serde_json::json!({ "checks": all })));
    } else {
        say(&format!("\n{}\n", verdict(&findings)));
    }
    let is = |status: u8| {
        findings.iter().any(|f| match f.outcome {
            // What comes right by itself (3) did not do so within a check.
            Outcome::Problem(Fault::Throttled) => status == 1,
            Outcome::Problem(fault) => status == exit_status(fault),
            Outcome::Ok | Outcome::Warning | Outcome::Skipped => false,
        })
    };
    // The first that applies, as everywhere.
    [2, 1, 4].into_iter().find(|s| is(*s)).unwrap_or(0)
}

fn verdict(findings: &[Finding]) -> String {
    let count = |wanted: fn(&Outcome) -> bool, one: &str| match findings
        .iter()
        .filter(|f| wanted(&f.outcome))
        .count()
    {
        0 => format!("no {one}s"),
        n => counted(n, one),
    };
    let problems = count(|o| matches!(o, Outcome::Problem(_)), "problem");
    let warnings = count(|o| *o == Outcome::Warning, "warning");
    format!("{problems}, {warnings}")
}

/// The options with which the ledger was named, for the next command.
fn files(args: &LedgerArgs) -> String {
    let files = [
        ("--config", &args.config),
        ("--state-file", &args.state_file),
    ];
    files
        .into_iter()
        .filter_map(|(option, file)| Some((option, file.as_ref()?)))
        .map(|(option, file)| format!(" {option} {}", shell_word(&file.display().to_string())))
        .collect()
}

fn status(args: &StatusArgs) -> Result<u8> {
    let path = ledger_path(&args.ledger)?;
    let ledger = Ledger::open_existing(&path)?;
    let report =
        Report::new(&ledger, &path, args.failed, Utc::now())?.named_by(&files(&args.ledger));
    match args.json {
        true => say(&format!("{}\n", report.json())),
        false => say(&report.text(columns())),
    }
    Ok(0)
}

fn retry_failed(args: &RetryArgs) -> Result<u8> {
    let path = ledger_path(&args.ledger)?;
    let mut ledger = Ledger::open_existing(&path)?;
    let changed = ledger.retry_failed(&args.ids, args.skip, Utc::now())? as u64;
    let what = counted(changed, "message");
    say(&match (changed, args.skip) {
        (0, _) => "no message has failed: nothing was changed\n".into(),
        (_, true) => format!("{what} skipped for good\n"),
        (1, false) => format!("{what} pending again; the next run tries it\n"),
        (_, false) => format!("{what} pending again; the next run tries them\n"),
    });
    Ok(0)
}

fn import_state(args: &ImportArgs) -> Result<u8> {
    // A file that cannot be used leaves no ledger behind.
    let state = import_state::read(&args.file)?;
    let mut ledger = Ledger::open_or_create(&ledger_path(&args.ledger)?, false)?;
    let done = ledger.import(&state.ids, Utc::now())?;
    let ids = counted(done.new, "Message-ID");
    let unusable = match state.unusable {
        0 => String::new(),
        n => format!(", {} unusable (empty)", thousands(n)),
    };
    say(&format!(
        "{ids} taken over from {}, {} known already{unusable}\n",
        args.file.display(),
        thousands(done.known)
    ));
    Ok(0)
}
