//! What the tests share: the program between two servers, a private Dovecot, proxies that break connections or lie, a
//! minimal IMAP client to look at the result with, and mail to copy.
//!
//! Nothing here judges the program by its own code: only `env` knows it, and only to start it.

pub(crate) mod answering;
pub(crate) mod corpus;
pub(crate) mod dovecot;
pub(crate) mod dovecot_env;
pub(crate) mod env;
pub(crate) mod family;

pub(crate) mod imap;
mod introspection;
pub(crate) mod labels;
pub(crate) mod maildir;
pub(crate) mod monitor;
pub(crate) mod mounts;
pub(crate) mod proxy;
mod rawlog;
pub(crate) mod route;
pub(crate) mod scripted_proxy;
pub(crate) mod terminal;
pub(crate) mod tree;
pub(crate) mod tree_env;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Whether this is the project's own check (`.ci/run`), where a test that did not run is a failure.
pub(crate) fn in_ci() -> bool {
    std::env::var("CI").as_deref() == Ok("true")
}

/// Where every point of a run is to be tried, one of so many is in `.ci/run`, from another one on each time, so that all have
/// their turn within a few of its runs. Whoever touches what is tried there has all of them tried: `just test-long`.
pub(crate) fn one_in() -> usize {
    if in_ci() { 10 } else { 1 }
}

/// This test program once more, for a single test (`logs::child`).
pub(crate) fn again(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let only = [
        "--exact",
        test,
        "--nocapture",
        "--test-threads=1",
        "--quiet",
    ];
    command.args(only);
    command
}

/// The body of `test`, in a process of its own: for what there is but once in each, as a logger.
pub(crate) fn alone(test: &str, body: impl FnOnce()) {
    const ALONE: &str = "IMAP_TO_GMAIL_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let ran = again(test).env(ALONE, "1").output().unwrap();
    let out = String::from_utf8_lossy(&ran.stdout);
    let err = String::from_utf8_lossy(&ran.stderr);
    assert!(
        ran.status.success() && out.contains("1 passed"),
        "{out}{err}"
    );
}

/// Does this for each of them, several at a time: most of the time of a run of the program is waiting (six at a time left two
/// cores idle for half of it).
pub(crate) fn at_a_time<T: Send>(all: Vec<T>, work: impl Fn(T) + Sync) {
    let at_a_time = 6 * thread::available_parallelism().map_or(1, usize::from);
    let left = Mutex::new(all.into_iter());
    thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                loop {
                    let Some(one) = left.lock().unwrap().next() else {
                        return;
                    };
                    work(one);
                }
            });
        }
    });
}

/// Waits until `check` holds, for things that announce themselves by no event. Panics after 60 s, naming `what`.
pub(crate) fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !check() {
        assert!(Instant::now() < deadline, "waited 60 s in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A port below those that the kernel gives to clients: while a server is stopped, a client that knocks there could else
/// be given the very port as its own, and be connected to itself.
pub(crate) fn free_port() -> u16 {
    std::iter::repeat_with(|| fastrand::u16(10_000..32_000))
        .find(|&port| free(port))
        .unwrap()
}

/// Whether nothing listens on this port.
pub(crate) fn free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// Whoever connects hears this, and then nothing more.
pub(crate) fn says(greeting: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut tcp in listener.incoming().flatten() {
            thread::spawn(move || {
                let _ = tcp.write_all(greeting);
                while tcp.read(&mut [0; 1024]).is_ok_and(|n| n > 0) {}
                let _ = tcp.shutdown(Shutdown::Both);
            });
        }
    });
    port
}

/// Runs a program to its end with these bytes as its input.
pub(crate) fn feed(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not want it all says so by how it ends.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

pub(crate) fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}
