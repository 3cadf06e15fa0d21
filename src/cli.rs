//! The command line: what was typed, what that starts, what is printed, and the exit status.
//!
//! The only place that prints. An error is `error: sentence`, a blank line, `hint:
//! what to do`, on stderr; data goes to stdout.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd;
use std::path::PathBuf;

use chrono::Utc;
use clap::{CommandFactory as _, Parser};

use crate::config::{self, Accounts, Config, Intervals};
use crate::error::{Error, Fault, Note, Result};
use crate::import_state;
use crate::ledger::{self, Ledger, Route};
use crate::survey::Survey;
use crate::text::{WIDTH, counted, thousands, wrapped};

mod args;
mod audit;
mod auth;
mod check;
mod dry_run;
mod health;
mod progress;
mod run;
mod status;
mod usage;

use args::{Cli, Command, FoldersArgs, ImportArgs, LedgerArgs, RetryArgs};

const HELP_HINT: &str =
    "`imap-to-gmail --help` shows the commands, `imap-to-gmail COMMAND --help` their options";

/// Fewer columns than the first would leave nothing but indentation; lines longer than the second read badly.
const NARROWEST: usize = 40;
const WIDEST: usize = 120;

/// The commands and their options, from which completions and manual pages are made.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Does what the command line says and returns the exit status: 0 done, 1 failed, 2 wrong usage,
/// 3 rows failed or pending, 4 a person must act.
pub fn main(args: impl IntoIterator<Item = OsString>, times: Intervals) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(slip) = usage::slip(&args) {
        say_error(&slip);
        return slip.reaction().exit_status;
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => return usage::usage(&e),
    };
    let end = match (cli.command, cli.run) {
        // How the Python script was called.
        (None, Some(args)) | (Some(Command::Run(args)), _) => run::run(&args, times),
        (Some(Command::Auth(args)), _) => auth::auth(&args, &times),
        (Some(Command::Check(args)), _) => check::check(&args, &times),
        (Some(Command::Folders(args)), _) => folders(&args, &times),
        (Some(Command::Status(args)), _) => status::status(&args),
        (Some(Command::Audit(args)), _) => audit::audit(&args, &times),
        (Some(Command::Health(args)), _) => health::health(&args),
        (Some(Command::RetryFailed(args)), _) => retry_failed(&args),
        (Some(Command::ImportState(args)), _) => import_state(&args),
        (None, None) => Err(Error::usage("nothing to do").hint(HELP_HINT)),
    };
    match end {
        Ok(code) => code,
        Err(e) => {
            say_error(&e);
            e.reaction().exit_status
        }
    }
}

/// Every error comes with a hint: where it has none of its own, this one.
fn say_error(e: &Error) {
    let e = e.advised();
    let hint = e.hint.as_deref().unwrap_or(match e.fault {
        Fault::Usage => HELP_HINT,
        _ => "nothing is lost: the next run goes on from here; `run --debug` logs more",
    });
    let excerpt = e.excerpt.as_ref().map(|lines| format!("\n{lines}"));
    let excerpt = excerpt.unwrap_or_default();
    let (error, hint) = (format!("error: {e}"), format!("hint: {hint}"));
    let text = if io::stderr().is_terminal() {
        let width = columns_of(&io::stderr());
        let hint = wrapped(width, "", "", &hint);
        format!("{}{excerpt}\n{hint}", wrapped(width, "", "", &error))
    } else {
        format!("{error}\n{excerpt}\n{hint}\n")
    };
    // Nobody is left to tell when stderr is closed.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Prints data to stdout. That the reader has closed it (`| head`) is no error.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// The width of the terminal that shows the data; where stdout is no terminal, the width that all have.
fn columns() -> usize {
    columns_of(&io::stdout())
}

fn columns_of(terminal: &impl AsFd) -> usize {
    let wide = rustix::termios::tcgetwinsize(terminal);
    match wide.map(|size| usize::from(size.ws_col)) {
        Ok(0) | Err(_) => WIDTH,
        Ok(wide) => wide.clamp(NARROWEST, WIDEST),
    }
}

/// Prints to stderr, for people at the terminal: it is neither data nor log.
fn say_aside(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// The configuration in the current folder, if there is one. One that cannot be read counts, too.
fn usual_config() -> Option<PathBuf> {
    let absent = |e: &io::Error| e.kind() == io::ErrorKind::NotFound;
    let usual = PathBuf::from(args::CONFIG);
    let found = std::fs::symlink_metadata(&usual);
    (!found.is_err_and(|e| absent(&e))).then_some(usual)
}

/// Which ledger is meant.
fn ledger_path(args: &LedgerArgs) -> Result<PathBuf> {
    if let Some(path) = &args.state_file {
        return Ok(path.clone());
    }
    let Some(config) = args.config.clone().or_else(usual_config) else {
        return Ok(config::DEFAULT_LEDGER.into());
    };
    let (place, accounts) = config::ledger_place(&config)?;
    let chosen = ledger::choose(&place.path, &place.older, || {
        let Accounts { source, target } = accounts?;
        Ok(Route::new(&source.0, &source.1, &target.0, &target.1))
    })?;
    say_notes(&chosen.notes);
    Ok(chosen.path)
}

fn say_notes<'n>(notes: impl IntoIterator<Item = &'n Note>) {
    for note in notes {
        say_aside(&format!("warning: {note}\n"));
    }
}

fn folders(args: &FoldersArgs, times: &Intervals) -> Result<u8> {
    let config = Config::load(&args.config, Utc::now())?;
    let survey = Survey::of(&config, times)?;
    if args.json {
        say(&format!("{}\n", survey.json()));
    } else {
        say(&survey.text(columns()));
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
        (1, false) => format!(
            "{what} pending again; a run that is under way tries it within a minute, else the next one does\n"
        ),
        (_, false) => format!(
            "{what} pending again; a run that is under way tries them within a minute, else the next one does\n"
        ),
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
