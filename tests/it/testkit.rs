//! What the tests that speak to real servers share: a private Dovecot, a proxy that breaks connections on demand,
//! a minimal IMAP client to look at the result with, and mail to copy.
//!
//! Nothing here judges the program by its own code: only `world` knows it, and only to start it.

// Every test binary uses another part of this; a fixture that cannot go on has nothing better to do than panic.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::print_stderr)]

pub mod answering;
pub mod corpus;
pub mod dovecot;
pub mod imap;
mod introspection;
pub mod maildir;
pub mod mounts;
pub mod proxy;
mod rawlog;
pub mod terminal;
pub mod world;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Whether this is the project's own check (`.ci/run`), where a test that did not run is a failure.
pub fn in_ci() -> bool {
    std::env::var("CI").as_deref() == Ok("true")
}

/// Waits until `check` holds, for things that announce themselves by no event. Panics after 20 s, naming `what`.
pub fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !check() {
        assert!(Instant::now() < deadline, "waited 20 s in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A port below those that the kernel gives to clients: while a server is stopped, a client that knocks there could else
/// be given the very port as its own, and be connected to itself.
pub fn free_port() -> u16 {
    std::iter::repeat_with(|| fastrand::u16(10_000..32_000))
        .find(|&port| free(port))
        .unwrap()
}

/// Whether nothing listens on this port.
pub fn free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// Whoever connects hears this, and then nothing more.
pub fn says(greeting: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut tcp in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = tcp.write_all(greeting);
                while tcp.read(&mut [0; 1024]).is_ok_and(|n| n > 0) {}
                let _ = tcp.shutdown(Shutdown::Both);
            });
        }
    });
    port
}

/// Runs a program to its end with these bytes as its input.
pub fn feed(command: &mut Command, input: &[u8]) -> Output {
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

pub fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}
