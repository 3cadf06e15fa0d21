//! Where the log goes: stdout, stderr, syslog, or a file that is rotated (`rotate`). One line per
//! event, readable alone: time, level, sentence.
//!
//! The time is UTC and says so (`Z`), as in the ledger: lines sort, even in the night in which the clocks
//! change, and can be compared with the log of a server elsewhere. `journalctl` and `docker logs -t` put a
//! time of their own in front of them. What a person reads at once (`status`, `check`) shows local time and
//! UTC.
//!
//! Not for what is logged, nor for keeping secrets out of it: a secret is masked where it is known
//! (`config::Masks`), and a server's words are made printable where they are read.

mod bottom;
mod rotate;
mod syslog;

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use chrono::Utc;
use env_logger::{Builder, Target};
use flexi_logger::writers::LogWriter;
use flexi_logger::{LogSpecification, Logger, LoggerHandle};
use log::{LevelFilter, Record};

use crate::config::bytes;
use crate::error::{Error, Fault, Result};
use crate::message::time_text;
use crate::place::{FilePlace, Want};
use crate::threads;

pub use bottom::Bottom;

/// Modules whose details `--debug` shows; of other crates only warnings are logged.
const OURS: &str = "imap_to_gmail";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Stdout,
    Stderr,
    /// The socket of the system's log.
    Syslog(PathBuf),
    File(PathBuf),
}

impl Place {
    /// What `--log` means. A file that has one of these words as its name is written `./stdout`.
    pub fn named(typed: &Path) -> Place {
        match typed.to_str() {
            Some("stdout") => Place::Stdout,
            Some("stderr") => Place::Stderr,
            Some("syslog") => Place::Syslog("/dev/log".into()),
            _ => Place::File(typed.to_path_buf()),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Options {
    pub place: Place,
    /// A file that would grow beyond this is rotated first.
    pub max_size: u64,
    /// How many rotated files are kept; 0 keeps none.
    pub max_files: u32,
    /// Our own details and the protocol, without secrets and bodies.
    pub debug: bool,
    /// The line that may be at the bottom of the terminal: it makes room for each line of the log.
    pub bottom: Option<Bottom>,
}

/// What `--log-max-size` takes.
pub fn max_size(typed: &str) -> std::result::Result<u64, &'static str> {
    match bytes(typed) {
        Some(n) if n > 0 => Ok(n),
        _ => Err("expected a size of at least one byte, like 100K, 10M or 1G"),
    }
}

/// What `--log-max-files` takes.
pub fn max_files(typed: &str) -> std::result::Result<u32, &'static str> {
    typed
        .parse()
        .map_err(|_| "expected a number of files, like 5; 0 keeps none")
}

/// The log, kept for as long as the program runs. When it is dropped, a rotation under way is finished.
#[must_use]
pub struct Log {
    place: Place,
}

impl Log {
    /// Does it go into a file, which somebody may move away ([`reopen`])?
    pub fn is_file(&self) -> bool {
        matches!(self.place, Place::File(_))
    }

    /// Does it go where a person may be looking?
    pub fn is_on_terminal(&self) -> bool {
        match self.place {
            Place::Stdout => io::stdout().is_terminal(),
            Place::Stderr => io::stderr().is_terminal(),
            Place::Syslog(_) | Place::File(_) => false,
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(handle) = HANDLE.get() {
            handle.shutdown();
        }
    }
}

static HANDLE: OnceLock<LoggerHandle> = OnceLock::new();

/// Starts the log.
///
/// # Errors
/// `Usage` for a place that cannot be written to.
pub fn start(options: &Options) -> Result<Log> {
    let level = if options.debug {
        LevelFilter::Debug
    } else {
        LevelFilter::Info
    };
    let writer: Box<dyn LogWriter> = match &options.place {
        Place::Stdout => return Ok(standard(Target::Stdout, level, options)),
        Place::Stderr => return Ok(standard(Target::Stderr, level, options)),
        Place::Syslog(socket) => {
            Box::new(syslog::Syslog::open(socket).map_err(|e| {
                Error::usage(format!(
                    "`--log syslog`: {} cannot be reached: {e}",
                    socket.display()
                ))
                .hint("no syslog daemon is listening there, as in most containers; log to stdout or to a file instead")
            })?)
        }
        Place::File(path) => Box::new(
            rotate::Rotated::open(path, options.max_size, options.max_files).map_err(|e| {
                let place = FilePlace {
                    what: "log",
                    path,
                    or: "give another PLACE with `--log`: stdout, stderr, syslog, or the path of a file",
                };
                place.refused(Want::Write, &e).with_fault(Fault::Usage)
            })?,
        ),
    };
    let mut levels = LogSpecification::builder();
    levels.default(LevelFilter::Warn).module(OURS, level);
    let (logger, handle) = Logger::with(levels.build())
        .log_to_writer(writer)
        // Otherwise the program would end when neither the log nor stderr can be written to.
        .panic_if_error_channel_is_broken(false)
        .build()
        .map_err(|e| Error::fatal(format!("the log cannot be started: {e}")))?;
    // Tests start it several times in one process: then the first logger stays.
    if log::set_boxed_logger(logger).is_ok() {
        let _ = HANDLE.set(handle);
    }
    Ok(Log {
        place: options.place.clone(),
    })
}

/// Opens the log file anew by its name, after somebody has moved the open one away.
pub fn reopen() {
    if let Some(handle) = HANDLE.get() {
        let _ = handle.reopen_output();
    }
}

fn standard(target: Target, level: LevelFilter, options: &Options) -> Log {
    let target = match &options.bottom {
        Some(bottom) => Target::Pipe(Box::new(Above {
            bottom: bottom.clone(),
            to: options.place.clone(),
        })),
        None => target,
    };
    let _ = Builder::new()
        .target(target)
        .filter_level(LevelFilter::Warn)
        .filter_module(OURS, level)
        .format(line)
        .try_init();
    Log {
        place: options.place.clone(),
    }
}

/// Writes lines of the log above the line at the bottom of the same terminal.
struct Above {
    bottom: Bottom,
    to: Place,
}

impl Write for Above {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.bottom.above(|| match self.to {
            Place::Stderr => io::stderr().write_all(line),
            _ => io::stdout()
                .write_all(line)
                .and_then(|()| io::stdout().flush()),
        })?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn line(out: &mut impl Write, record: &Record) -> io::Result<()> {
    let time = time_text(Utc::now());
    writeln!(out, "{time} {:<5} {}", record.level(), sentence(record))
}

/// What a line says, behind the name of the route that it is about where there are many.
fn sentence(record: &Record) -> String {
    match threads::route() {
        Some(route) => format!("{route}: {}", record.args()),
        None => record.args().to_string(),
    }
}

/// The time in which lines cannot be written: the program goes on without them, and says so once.
#[derive(Default)]
struct Outage {
    said: bool,
    /// Lines since the last one that could be written.
    dropped: u64,
}

impl Outage {
    /// Says it on stderr, as there is no log to say it in.
    fn say(&mut self, sentence: &str) {
        if !std::mem::replace(&mut self.said, true) {
            let _ = writeln!(io::stderr(), "imap-to-gmail: {sentence}");
        }
    }

    /// A line to be written before the next one, where lines are missing.
    fn note(&self) -> Option<String> {
        (self.dropped > 0).then(|| {
            format!(
                "the log lacks lines here that could not be written: {}",
                self.dropped
            )
        })
    }
}
