//! The system's log, over the datagram socket of its daemon: the sentence, with level and time where
//! syslog has them.
//!
//! The header has no host name: so libc writes it, and so journald and rsyslog expect it from their own
//! machine. (If there is one, as flexi_logger writes it, they take the host's name for the program's.) Not
//! for a syslog server elsewhere.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::Local;
use flexi_logger::DeferredNow;
use flexi_logger::writers::LogWriter;
use log::{Level, Record};

use super::{Outage, sentence};

/// LOG_DAEMON of RFC 3164 4.1.1.
const FACILITY: u8 = 3 << 3;
/// How long one line may wait for a daemon that does not read.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long no line is sent after that: a daemon that hangs must not slow down the copying.
const REST: Duration = Duration::from_secs(10);

pub(super) struct Syslog {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    socket: UnixDatagram,
    outage: Outage,
    rests_until: Option<Instant>,
}

impl Syslog {
    pub(super) fn open(path: &Path) -> io::Result<Syslog> {
        Ok(Syslog {
            path: path.to_path_buf(),
            state: Mutex::new(State {
                socket: connect(path)?,
                outage: Outage::default(),
                rests_until: None,
            }),
        })
    }

    fn send(&self, state: &mut State, text: &[u8]) -> io::Result<()> {
        match state.socket.send(text) {
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => {
                // The daemon has been restarted, so the old socket is dead.
                state.socket = connect(&self.path)?;
                state.socket.send(text).map(drop)
            }
            other => other.map(drop),
        }
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn text(level: Level, sentence: &str) -> String {
    let severity = match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    format!(
        "<{}>{} imap-to-gmail[{}]: {sentence}",
        FACILITY | severity,
        Local::now().format("%b %e %H:%M:%S"),
        process::id()
    )
}

impl LogWriter for Syslog {
    fn write(&self, _: &mut DeferredNow, record: &Record) -> io::Result<()> {
        let line = text(record.level(), &sentence(record));
        let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.rests_until.is_some_and(|t| Instant::now() < t) {
            state.outage.dropped += 1;
            return Ok(());
        }
        let note = state.outage.note().map(|n| text(Level::Warn, &n));
        let sent = note
            .map_or(Ok(()), |n| self.send(state, n.as_bytes()))
            .and_then(|()| {
                state.outage.dropped = 0;
                self.send(state, line.as_bytes())
            });
        state.rests_until = None;
        if let Err(e) = sent {
            state.outage.dropped += 1;
            state.rests_until = Some(Instant::now() + REST);
            state.outage.say(&format!(
                "the system's log at {} takes no lines: {e}; they are dropped until it does",
                self.path.display()
            ));
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
