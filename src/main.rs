//! imap-to-gmail: see the library.

use std::process::ExitCode;

use imap_to_gmail::cli;
use imap_to_gmail::config::Intervals;

fn main() -> ExitCode {
    ExitCode::from(cli::main(std::env::args_os(), Intervals::default()))
}
