//! `run`: the engine set in motion, told of signals, and how it ended; and its rehearsal, the dry run.

use std::path::Path;
use std::thread;
use std::time::Duration;

use chrono::Utc;
use log::Level;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::args::RunArgs;
use super::progress::{self, Reporter};
use super::{say, say_aside};
use crate::config::{Config, Intervals};
use crate::engine::{Ended, Engine, Forecast, Watch};
use crate::error::{Error, Result};
use crate::import_state;
use crate::ledger::{self, Ledger};
use crate::logging::{self, Bottom};
use crate::text::{WIDTH, bytes_text, counted, shell_word, wrapped};

/// support.google.com/a/answer/1071518, seen 2026-11.
const GMAIL_PER_DAY: u64 = 500_000_000;

pub(super) fn run(args: &RunArgs, times: Intervals) -> Result<u8> {
    let config = Config::load(&args.config, Utc::now())?;
    let path = args
        .state_file
        .clone()
        .unwrap_or_else(|| config.state_file.clone());
    let bottom = match args.dry_run {
        true => None,
        false => Bottom::new(),
    };
    let log = logging::start(&args.log_options(bottom.clone()))?;
    if args.dry_run {
        return dry_run(config, times, &path, args);
    }
    let lock = ledger::lock(&path)?;
    let ledger = Ledger::open_or_create(&path, true)?.locked_by(lock);
    mention_script(&ledger, args)?;
    let target = config.target_user.clone();
    let every = times.report;
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
    let idle = match args.once {
        true => "looking for messages",
        false => "watching",
    };
    let reporter = Reporter::start(&engine, bottom.clone(), every, idle);
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
    drop(reporter);
    // Who looks at a terminal and not at the log is told there too.
    let aside = bottom.is_some() && !log.is_on_terminal();
    let last = |level: Level, sentence: &str| {
        log::log!(level, "{sentence}");
        if aside {
            say_aside(&wrapped(WIDTH, "", "  ", sentence));
        }
    };
    if let Ok(mut progress) = engine.progress()
        && (ended.is_ok() || progress.tally.done().messages > 0)
    {
        if ended.is_err() {
            // That is said in full at the very end.
            progress.troubles.clear();
        }
        for sentence in progress::summary(&progress) {
            last(Level::Info, &sentence);
        }
    }
    Ok(match ended? {
        Ended::Done => {
            last(Level::Info, &format!("done: everything is in {target}"));
            0
        }
        Ended::Stopped => {
            last(Level::Info, "stopped; the next run goes on from here");
            0
        }
        Ended::Left { pending, failed } => {
            last(
                Level::Warn,
                &format!(
                    "ended with {} waiting and {failed} failed; `imap-to-gmail status --failed {}` says why",
                    counted(pending, "message"),
                    ledger_option(args)
                ),
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
        log::warn!(
            "{} is not taken over yet: `imap-to-gmail import-state {} {}` makes known what the Python script had copied",
            file.display(),
            shell_word(&file.display().to_string()),
            ledger_option(args)
        );
    }
    Ok(())
}

/// The option that names the ledger of this run, for the next command.
fn ledger_option(args: &RunArgs) -> String {
    let (option, file) = match &args.state_file {
        Some(path) => ("--state-file", path),
        None => ("--config", &args.config),
    };
    format!("{option} {}", shell_word(&file.display().to_string()))
}

fn forecast_text(f: &Forecast, target: &str) -> String {
    let mut out = format!(
        "would send {} to {target}: {}\n",
        bytes_text(f.send_bytes),
        counted(f.send, "message")
    );
    if let Some(time) = time_text(f) {
        out += &wrapped(WIDTH, "", "", &time);
    }
    for (count, what) in [
        (f.found, "in the target already"),
        (f.too_big, "bigger than the target takes"),
        (
            f.over_limit,
            "bigger than `upload_limit_per_day` lets through",
        ),
        (
            f.unresolved,
            "left open by an earlier run: looked for in the target first",
        ),
    ] {
        if count > 0 {
            out.push_str(&format!("{}: {what}\n", counted(count, "message")));
        }
    }
    out
}

/// How long the target's patience makes it take.
fn time_text(f: &Forecast) -> Option<String> {
    let takes = |days| match days {
        0 => "all of it may go at once".to_string(),
        1 => "the last of it goes after about a day".into(),
        n => format!("the last of it goes after about {}", counted(n, "day")),
    };
    match f.uploaded {
        _ if f.send == 0 => None,
        Some((sent, limit)) => {
            let used = match sent {
                0 => String::new(),
                n => format!(", {} of which are used", bytes_text(n)),
            };
            Some(format!(
                "upload limit: {} in 24 hours{used}: {}",
                bytes_text(limit),
                takes(f.days)
            ))
        }
        // gmail.md 6: of other accounts Google says nothing.
        None if f.gmail => Some(format!(
            "Google names a limit of 500 MB a day for uploads over IMAP to a Workspace account; under it {}",
            takes(progress::days(f.send_bytes, 0, GMAIL_PER_DAY))
        )),
        None => None,
    }
}
