//! Messages that break whoever touches them: each fails in the end with its reason, everything else is delivered long
//! before, and nobody else is charged.
//!
//! Elsewhere: the same against a Dovecot whose sizes are wrong and whose files cannot be read, and metadata that are
//! refused for all messages (`copy`); a message that Gmail refuses, in all its words (`gmail::faults`).

mod append;
mod panic;
mod size;
mod source;
mod target;
mod unresolved;

use std::time::{Duration, Instant};

use crate::testkit::env::TestEnv;

/// Messages but this one that were charged with anything, or tried more than once.
fn others_charged(env: &TestEnv, poison: &str) -> i64 {
    env.one(&format!(
        "SELECT count(*) FROM message WHERE coalesce(message_id, '') <> '{poison}'
            AND (first_failed_at IS NOT NULL OR last_error IS NOT NULL OR next_attempt_at <> discovered_at)"
    ))
}

/// Runs until so many messages are given up. A quick machine runs often in the time for which a message is
/// tried, a busy one takes long for a few runs: in vain are many runs that took long. Many, because times are kept
/// in whole seconds: of waits of 10 ms, as there are here, about one in a hundred counts.
fn until_given_up(env: &TestEnv, count: u64) {
    let begun = Instant::now();
    for n in 1.. {
        assert_eq!(env.run().status, 3, "{}", env.dump());
        if env.status()["failed"] == count {
            return;
        }
        let in_vain = n > 1_000 && begun.elapsed() > Duration::from_secs(20);
        assert!(!in_vain, "not given up in {n} runs\n{}", env.dump());
    }
}

/// Runs until the one message is given up, and gives its reason.
fn until_failed(env: &TestEnv) -> String {
    until_given_up(env, 1);
    env.one("SELECT last_error FROM message WHERE status = 'failed'")
}
