//! `run`: the engine set in motion, told of signals, and how it ended; and its rehearsal, the dry run.

use std::path::Path;
use std::thread;
use std::time::Duration;

use chrono::Utc;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::args::RunArgs;
use super::{messages, say};
use crate::config::{Config, Intervals};
use crate::engine::{Ended, Engine, Forecast, Watch};
use crate::error::{Error, Result};
use crate::import_state;
use crate::ledger::{self, Ledger};
use crate::logging;
use crate::status::bytes_text;

pub(super) fn run(args: &RunArgs, times: Intervals) -> Result<u8> {
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
