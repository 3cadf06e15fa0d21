//! The parts of a run for good, and what it is told when it begins. Not for what the parts do.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::config::Config;
use crate::ledger::Route;

/// The parts of a run, as the ledger names them.
pub(super) const DELIVER: &str = "deliver";
pub(super) const WATCH: &str = "watch";
/// Does no work: stands for what is wrong with the configuration since it was changed.
pub(super) const CONFIG: &str = "config";
/// So much longer than the longest thing that it waits for may a part take before it counts as stuck.
pub(super) const SLACK: Duration = Duration::from_secs(60);

/// How to watch.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Where the configuration can be read again when it has changed.
    pub config_file: PathBuf,
    /// When that had been changed, before it was read.
    pub config_of: Option<SystemTime>,
    /// Between looks where the server cannot tell of new mail, or is not to.
    pub poll: Duration,
    /// Let the server tell of new mail where it can (IDLE, RFC 2177).
    pub idle: bool,
    /// The command line names the ledger, whatever the configuration says.
    pub ledger_given: bool,
    /// Whoever runs this route begins it anew when its run ends as outdated.
    pub begun_anew: bool,
    /// Where many routes lose their connections together, each waits for a random part of this before it comes again.
    pub spread: Duration,
}

/// Whose mail goes where.
pub(super) fn route(config: &Config) -> Route {
    Route::new(
        &config.source_user,
        &config.source.host,
        &config.target_user,
        &config.target.host,
    )
}
