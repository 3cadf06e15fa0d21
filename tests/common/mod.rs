//! What the tests that speak to real servers share: a private Dovecot, a proxy that breaks connections on demand,
//! a minimal IMAP client to look at the result with, and mail to copy.
//!
//! Nothing here uses the crate under test, so that a test never judges the program by the program's own code.

// Every test binary uses another part of this; a fixture that cannot go on has nothing better to do than panic.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::print_stderr)]

pub mod corpus;
pub mod dovecot;
pub mod imap;
mod introspection;
pub mod proxy;

use std::time::{Duration, Instant};

/// Waits until `check` holds, for things that announce themselves by no event. Panics after 20 s, naming `what`.
pub fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !check() {
        assert!(Instant::now() < deadline, "waited 20 s in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
