//! Where the log goes. One line per event, readable alone: time, level, sentence.

use std::io::Write as _;

use chrono::Utc;
use env_logger::{Builder, Target};
use log::LevelFilter;

use crate::error::{Error, Result, shown};
use crate::message::time_text;

/// Starts the log. `debug` adds our own details and the protocol, without secrets and bodies; other
/// crates are heard only when they warn.
///
/// # Errors
/// `Usage` for a place that we do not know.
pub fn start(place: &str, debug: bool) -> Result<()> {
    let target = match place {
        "stdout" => Target::Stdout,
        "stderr" => Target::Stderr,
        other => {
            return Err(Error::usage(format!(
                "`--log`: got `{}`, expected stdout or stderr",
                shown(other.as_bytes())
            ))
            .hint("redirect stdout or stderr to write the log to a file"));
        }
    };
    let ours = if debug {
        LevelFilter::Debug
    } else {
        LevelFilter::Info
    };
    // A second start, as tests within one process make, keeps the first logger.
    let _ = Builder::new()
        .target(target)
        .filter_level(LevelFilter::Warn)
        .filter_module("imap_to_gmail", ours)
        .format(|out, record| {
            writeln!(
                out,
                "{} {:<5} {}",
                time_text(Utc::now()),
                record.level(),
                record.args()
            )
        })
        .try_init();
    Ok(())
}
