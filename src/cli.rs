//! The command line: what was typed, what it sets in motion, what is printed, how it exits.
//!
//! The only place that prints (with `main`). An error is `error: sentence`, a blank line, `hint:
//! what to do`, on stderr; data goes to stdout.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use chrono::Utc;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::check::{self, Finding, Outcome};
use crate::config::{self, Config, Intervals};
use crate::engine::{Ended, Engine, Forecast, Watch};
use crate::error::{Error, Fault, Result};
use crate::import_state;
use crate::ledger::{self, Ledger};
use crate::logging;
use crate::status::{Report, bytes_text, thousands};

const HELP_HINT: &str =
    "`imap-to-gmail --help` shows the commands, `imap-to-gmail COMMAND --help` their options";

/// Copies the mail of another account into Gmail: complete, once each.
#[derive(Parser, Debug)]
#[command(
    name = "imap-to-gmail",
    version,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    subcommand_negates_reqs = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Option<RunArgs>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Watch for mail and copy it
    ///
    /// Records every message of the source's INBOX in the ledger, copies each pending one into the
    /// target's INBOX, and goes on doing so as mail comes, until it is ended (Ctrl-C, SIGTERM).
    /// With --once it ends when everything has been tried. Running it again copies nothing twice.
    Run(RunArgs),
    /// Try every setting for real, change nothing, and say what is wrong
    ///
    /// The configuration, the files it names, both servers, the sign-in at either, the ledger and
    /// the disk, one line each: ok, warning, problem with what to do about it, or skipped because
    /// something else is out of order. No mail is sent. May be used while `run` is running.
    Check(CheckArgs),
    /// Say what has been delivered, what waits, and what is wrong
    Status(StatusArgs),
    /// Give failed messages another try, or give them up for good
    RetryFailed(RetryArgs),
    /// Take over what the Python script had copied
    ///
    /// Its state file says which messages it had copied; none of them is sent again. What it
    /// missed is delivered. Doing this again adds only what is new in the file.
    ImportState(ImportArgs),
}

#[derive(Args, Debug)]
struct RunArgs {
    /// The configuration (JSON)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The ledger [default: the configuration's `state_file`, else sync_state.db]
    #[arg(long, value_name = "FILE")]
    state_file: Option<PathBuf>,
    /// Try everything that waits once, then end
    #[arg(long)]
    once: bool,
    /// Seconds between looks where the source does not tell of new mail by itself
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    poll_interval: u64,
    /// Look every --poll-interval seconds, even where the source could tell (IDLE)
    #[arg(long)]
    no_idle: bool,
    /// Only say what would be done; nothing is written
    #[arg(long)]
    dry_run: bool,
    /// Where the log goes: stdout, stderr, syslog, or the path of a file (opened anew on SIGHUP)
    #[arg(long, value_name = "PLACE", default_value = "stdout")]
    log: PathBuf,
    /// A log file is rotated, to FILE.1.zst and so on, before it exceeds this: 100K, 10M, 1G, or
    /// bytes
    #[arg(long, value_name = "SIZE", default_value = "10M", value_parser = logging::max_size, allow_negative_numbers = true)]
    log_max_size: u64,
    /// How many rotated log files are kept; 0 keeps none: a full log is emptied
    #[arg(long, value_name = "N", default_value = "5", value_parser = logging::max_files, allow_negative_numbers = true)]
    log_max_files: u32,
    /// Log details and the protocol, without passwords and message bodies
    #[arg(long)]
    debug: bool,
}

impl RunArgs {
    fn log_options(&self) -> logging::Options {
        logging::Options {
            // A dry run writes nothing, and its result goes to stdout.
            place: match self.dry_run {
                true => logging::Place::Stderr,
                false => logging::Place::named(&self.log),
            },
            max_size: self.log_max_size,
            max_files: self.log_max_files,
            debug: self.debug,
        }
    }
}

#[derive(Args, Debug)]
struct CheckArgs {
    /// The configuration (JSON)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct LedgerArgs {
    /// The configuration, for its `state_file`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The ledger [default: the configuration's `state_file`, else sync_state.db]
    #[arg(long, value_name = "FILE")]
    state_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct StatusArgs {
    #[command(flatten)]
    ledger: LedgerArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Each failed message too, with its id and the server's words
    #[arg(long)]
    failed: bool,
}

#[derive(Args, Debug)]
struct RetryArgs {
    #[command(flatten)]
    ledger: LedgerArgs,
    /// Give them up for good instead
    #[arg(long)]
    skip: bool,
    /// Ids as `status --failed` shows them; none means all
    #[arg(value_name = "ID", value_parser = message_id)]
    ids: Vec<i64>,
}

#[derive(Args, Debug)]
struct ImportArgs {
    /// The script's state file, usually sync_state.json
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    ledger: LedgerArgs,
}

fn message_id(typed: &str) -> std::result::Result<i64, &'static str> {
    typed
        .parse()
        .map_err(|_| "expected a number, as `imap-to-gmail status --failed` shows it")
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
        (None, Some(args)) | (Some(Command::Run(args)), _) => run(&args, times),
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

fn run(args: &RunArgs, times: Intervals) -> Result<u8> {
    let config = Config::load(&args.config, Utc::now())?;
    let path = args
        .state_file
        .clone()
        .unwrap_or_else(|| config.state_file.clone());
    let log = logging::start(&args.log_options())?;
    if args.dry_run {
        return dry_run(config, times, &path, args);
    }
    let _lock = ledger::lock(&path)?;
    let ledger = Ledger::open_or_create(&path, true)?;
    mention_script(&ledger, args)?;
    let target = config.target_user.clone();
    let engine = Engine::new(config, times, ledger)?;
    let stopper = engine.stopper();
    // Without a log file a hangup keeps its meaning: a terminal that closes ends what runs in it.
    let hangup = log.is_file().then_some(SIGHUP);
    let mut signals = Signals::new([SIGTERM, SIGINT].into_iter().chain(hangup))
        .map_err(|e| Error::fatal(format!("signals cannot be handled: {e}")))?;
    let handle = signals.handle();
    let listener = thread::spawn(move || {
        signals.forever().for_each(|signal| match signal {
            SIGHUP => logging::reopen(),
            _ => stopper.stop(),
        })
    });
    let ended = match args.once {
        true => engine.run_once(),
        false => engine.run_for_good(&Watch {
            config_file: args.config.clone(),
            poll: Duration::from_secs(args.poll_interval),
            idle: !args.no_idle,
        }),
    };
    handle.close();
    let _ = listener.join();
    Ok(match ended? {
        Ended::Done => {
            log::info!("done: everything is in {target}");
            0
        }
        Ended::Stopped => {
            log::info!("stopped; the next run goes on from here");
            0
        }
        Ended::Left { pending, failed } => {
            log::warn!(
                "ended with {pending} messages waiting and {failed} failed; `imap-to-gmail status --failed` says why"
            );
            3
        }
    })
}

fn dry_run(config: Config, times: Intervals, path: &Path, args: &RunArgs) -> Result<u8> {
    let scratch = tempfile::tempdir()
        .map_err(|e| Error::fatal(format!("no temporary directory can be made: {e}")))?;
    let ledger = Ledger::open_scratch(path, scratch.path())?;
    mention_script(&ledger, args)?;
    let target = config.target_user.clone();
    let forecast = Engine::new(config, times, ledger)?.forecast()?;
    say(&forecast_text(&forecast, &target));
    Ok(0)
}

/// Who comes from the Python script learns of `import-state` before anything is sent twice.
fn mention_script(ledger: &Ledger, args: &RunArgs) -> Result<()> {
    if let Some(file) = import_state::left_beside(ledger)? {
        let (option, value) = match &args.state_file {
            Some(path) => ("--state-file", path),
            None => ("--config", &args.config),
        };
        log::warn!(
            "{0} is not taken over yet: `imap-to-gmail import-state {0} {option} {1}` makes known what the Python script had copied",
            file.display(),
            value.display()
        );
    }
    Ok(())
}

fn forecast_text(f: &Forecast, target: &str) -> String {
    let mut out = format!(
        "would send {} to {target}: {}\n",
        bytes_text(f.send_bytes),
        messages(f.send)
    );
    for (count, what) in [
        (f.found, "in the target already"),
        (f.too_big, "bigger than the target takes"),
        (
            f.unresolved,
            "left open by an earlier run: looked for in the target first",
        ),
    ] {
        if count > 0 {
            out.push_str(&format!("{}: {what}\n", messages(count)));
        }
    }
    out
}

fn messages(n: u64) -> String {
    match n {
        1 => "1 message".into(),
        n => format!("{} messages", thousands(n)),
    }
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
            say(&finding.text());
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
        1 => format!("1 {one}"),
        n => format!("{n} {one}s"),
    };
    let problems = count(|o| matches!(o, Outcome::Problem(_)), "problem");
    let warnings = count(|o| *o == Outcome::Warning, "warning");
    format!("{problems}, {warnings}")
}

fn status(args: &StatusArgs) -> Result<u8> {
    let path = ledger_path(&args.ledger)?;
    let ledger = Ledger::open_existing(&path)?;
    let report = Report::new(&ledger, &path, args.failed, Utc::now())?;
    match args.json {
        true => say(&format!("{}\n", report.json())),
        false => say(&report.text()),
    }
    Ok(0)
}

fn retry_failed(args: &RetryArgs) -> Result<u8> {
    let path = ledger_path(&args.ledger)?;
    let mut ledger = Ledger::open_existing(&path)?;
    let changed = ledger.retry_failed(&args.ids, args.skip, Utc::now())? as u64;
    let what = messages(changed);
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
    let ids = match done.new {
        1 => "1 Message-ID".into(),
        n => format!("{} Message-IDs", thousands(n)),
    };
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
