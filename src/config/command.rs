//! A command that prints a password: it is run, and given up after a while.

use std::io::{self, Read as _};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Secret;

/// A password manager may have to ask a person for its own password.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// The pause between two looks at whether it has ended.
const GLANCE: Duration = Duration::from_millis(20);
/// The most that it may print; the password is on the first line.
const PRINTED_MAX: usize = 64 << 10;
/// How long to wait for the rest of its output once it has ended.
const GRACE: Duration = Duration::from_secs(1);

/// Why there is no password.
#[derive(Debug)]
pub(super) enum Failure {
    NotRun(io::Error),
    Ended(ExitStatus),
    /// It took too long, and we ended it.
    TooSlow,
}

/// What the command printed, once it has ended with 0.
pub(super) fn printed(argv: &[String], patience: Duration) -> Result<Secret<Vec<u8>>, Failure> {
    let until = Instant::now() + patience;
    let mut child = Command::new(&argv[0])
        .args(&argv[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(Failure::NotRun)?;
    let heard = child.stdout.take().map(Heard::begin);
    let status = ended(&mut child, until).inspect_err(|_| {
        let _ = child.kill();
        let _ = child.wait();
    })?;
    if !status.success() {
        return Err(Failure::Ended(status));
    }
    Ok(heard.map_or_else(|| Secret::new(Vec::new()), Heard::end))
}

/// What a command prints, read while it runs: a full pipe would stop it.
struct Heard {
    text: Arc<Mutex<Secret<Vec<u8>>>>,
    over: Receiver<()>,
}

impl Heard {
    fn begin(mut output: ChildStdout) -> Heard {
        let text = Arc::new(Mutex::new(Secret::new(Vec::with_capacity(PRINTED_MAX))));
        let (sender, over) = channel();
        let heard = Arc::clone(&text);
        thread::spawn(move || {
            let mut part = Secret::new(vec![0; 4096]);
            // What is over the limit is read too: a program that prints without end must not block.
            while let Ok(n @ 1..) = output.read(part.reveal_mut()) {
                let mut text = heard.lock().unwrap_or_else(PoisonError::into_inner);
                let room = PRINTED_MAX - text.reveal().len();
                let part = &part.reveal()[..n.min(room)];
                text.reveal_mut().extend_from_slice(part);
            }
            let _ = sender.send(());
        });
        Heard { text, over }
    }

    /// All of it. Where the command left a program behind that holds its output open: what has come so far.
    fn end(self) -> Secret<Vec<u8>> {
        let _ = self.over.recv_timeout(GRACE);
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        text.clone()
    }
}

fn ended(child: &mut Child, until: Instant) -> Result<ExitStatus, Failure> {
    loop {
        match child.try_wait().map_err(Failure::NotRun)? {
            Some(status) => return Ok(status),
            None if Instant::now() < until => thread::sleep(GLANCE),
            None => return Err(Failure::TooSlow),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(argv: &[&str], patience: Duration) -> Result<String, Failure> {
        let argv: Vec<String> = argv.iter().map(ToString::to_string).collect();
        let text = printed(&argv, patience)?;
        Ok(String::from_utf8_lossy(text.reveal()).into_owned())
    }

    #[test]
    fn a_command_is_not_waited_for_without_end() {
        let short = Duration::from_millis(300);
        for argv in [
            &["sleep", "600"][..],
            &["yes"],
            &["sh", "-c", "echo pw; exec sleep 600"],
        ] {
            let end = run(argv, short);
            assert!(matches!(end, Err(Failure::TooSlow)), "{argv:?}: {end:?}");
        }
    }

    #[test]
    fn a_command_that_ends_is_heard_to_its_end() {
        let long = Duration::from_secs(60);
        assert_eq!(run(&["echo", "pw"], long).ok().as_deref(), Some("pw\n"));
        let much = run(&["sh", "-c", "yes | head -c 1000000"], long);
        assert_eq!(much.map_or(0, |text| text.len()), PRINTED_MAX);
        // The program that it left behind holds its output open.
        let left = run(&["sh", "-c", "sleep 20 & echo pw"], long);
        assert_eq!(left.ok().as_deref(), Some("pw\n"));
        assert!(matches!(run(&["false"], long), Err(Failure::Ended(_))));
        assert!(matches!(
            run(&["no-such-program"], long),
            Err(Failure::NotRun(_))
        ));
    }
}
