//! Messages that break whoever touches them: each fails in the end with its reason, everything else is delivered long
//! before, and nobody else is charged.
//!
//! Elsewhere: the same against a Dovecot whose sizes are wrong and whose files cannot be read, and metadata that are
//! refused for all messages (`copy.rs`); a message that Gmail refuses, in all its words (`gmail/faults.rs`).
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../gmail/stage.rs"]
mod stage;

mod append;
mod panic;
mod size;
mod source;
mod target;
mod unresolved;

use stage::Stage;

#[test]
fn program() {
    common::world::program();
}

/// Messages but this one that were charged with anything, or tried more than once.
fn others_charged(stage: &Stage, poison: &str) -> i64 {
    stage.one(&format!(
        "SELECT count(*) FROM message WHERE coalesce(message_id, '') <> '{poison}'
            AND (first_failed_at IS NOT NULL OR last_error IS NOT NULL OR next_attempt_at <> discovered_at)"
    ))
}

/// Runs until the one message is given up, and gives its reason.
fn until_failed(stage: &Stage) -> String {
    common::eventually("the poison is given up", || {
        assert_eq!(stage.run().status, 3);
        stage.status()["failed"] == 1
    });
    stage.one("SELECT last_error FROM message WHERE status = 'failed'")
}
