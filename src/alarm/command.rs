//! The command that tells a person: run in the configuration's folder, with what it is to tell on its stdin, bounded in time
//! and in what it prints. Not for whether it is to be run.

use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process_group};

use super::hands::Hands;
use crate::config::NotifyCommand;
use crate::error::{Error, Fault, Result, shown_within};

/// The pause between two looks at how far it is.
const GLANCE: Duration = Duration::from_millis(20);
/// Bytes that are kept of what it prints.
const PRINTED_MAX: usize = 4 << 10;
/// Characters of that which the log shows.
const SHOWN: usize = 400;
/// Reads at a time: one that prints without end must not keep us from looking at the clock.
const READS: usize = 64;
/// How long to wait for one that was killed: it may hang in the system, and belong to somebody else.
const BURIAL: Duration = Duration::from_secs(1);

const HINT: &str =
    "run it by hand with the JSON that docs/service.md shows on its stdin: it must end with 0";

/// Runs it to its end.
///
/// # Errors
/// It cannot be run, ends with another status than 0, or not in time.
pub(super) fn run(
    command: &NotifyCommand,
    input: &[u8],
    patience: Duration,
    hands: &Hands,
) -> Result<()> {
    let name = format!("`notify_command`: `{command}`");
    let failed = |what: String| Error::new(Fault::Transient, format!("{name} {what}"));
    let not_run = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => failed("is not found".into()).hint(
            "is it installed where this program runs? A whole path, like /usr/bin/curl, is surest",
        ),
        _ => failed(format!("cannot be run: {e}")),
    };
    let (mut child, printed) = start(command).map_err(not_run)?;
    let mut running = Running {
        input: child.stdin.take().map(|stdin| (stdin, input)),
        printed: Some(printed),
        heard: Vec::new(),
    };
    let status = running.until(&mut child, Instant::now() + patience, hands);
    let masks = command.masks();
    let heard = masks.apply(&shown_within(running.heard.trim_ascii(), SHOWN));
    let heard = if heard.is_empty() {
        String::new()
    } else {
        format!("; it printed: {heard}")
    };
    match status.map_err(|e| failed(format!("cannot be waited for: {e}")))? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(failed(format!("ended with {status}{heard}")).hint(HINT)),
        None if hands.are_to_rest() => Err(failed("was ended together with this program".into())),
        None => Err(failed(format!(
            "was ended: it had not done its work after {} s{heard}",
            patience.as_secs()
        ))
        .hint(HINT)),
    }
}

/// In a process group of its own, with all that it prints in one pipe.
fn start(command: &NotifyCommand) -> io::Result<(Child, PipeReader)> {
    let (printed, out) = io::pipe()?;
    let argv = command.reveal();
    let [program, arguments @ ..] = argv else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let child = Command::new(program)
        .args(arguments)
        .current_dir(command.folder())
        .stdin(Stdio::piped())
        .stderr(out.try_clone()?)
        .stdout(out)
        .process_group(0)
        .spawn()?;
    unblocked(&printed)?;
    if let Some(stdin) = &child.stdin {
        unblocked(stdin)?;
    }
    Ok((child, printed))
}

/// Neither a command that does not read nor one that prints nothing keeps us waiting.
fn unblocked(pipe: &impl AsFd) -> io::Result<()> {
    let flags = fcntl_getfl(pipe)?;
    Ok(fcntl_setfl(pipe, flags | OFlags::NONBLOCK)?)
}

/// What goes into a command and comes out of it.
struct Running<'a> {
    input: Option<(ChildStdin, &'a [u8])>,
    printed: Option<PipeReader>,
    heard: Vec<u8>,
}

impl Running<'_> {
    /// How it ended; nothing where it was killed, with what it had started.
    fn until(
        &mut self,
        child: &mut Child,
        deadline: Instant,
        hands: &Hands,
    ) -> io::Result<Option<ExitStatus>> {
        loop {
            self.write();
            self.read();
            if let Some(status) = child.try_wait()? {
                self.read();
                return Ok(Some(status));
            }
            if Instant::now() >= deadline || hands.are_to_rest() {
                break;
            }
            thread::sleep(GLANCE);
        }
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let buried = Instant::now() + BURIAL;
        while child.try_wait()?.is_none() && Instant::now() < buried {
            thread::sleep(GLANCE);
        }
        self.read();
        Ok(None)
    }

    fn write(&mut self) {
        while let Some((pipe, left)) = &mut self.input {
            match pipe.write(left) {
                Ok(n) if n > 0 && n < left.len() => *left = &left[n..],
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                // All of it is in there, or nobody wants it. The end of it is told by closing.
                _ => self.input = None,
            }
        }
    }

    fn read(&mut self) {
        let mut part = [0; 4096];
        for _ in 0..READS {
            let Some(pipe) = &mut self.printed else {
                return;
            };
            match pipe.read(&mut part) {
                Ok(n) if n > 0 => {
                    let room = PRINTED_MAX - self.heard.len();
                    self.heard.extend_from_slice(&part[..n.min(room)]);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                _ => self.printed = None,
            }
        }
    }
}
