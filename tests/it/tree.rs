//! Many mailboxes of the source, as docs/configuration.md has `folders`, `exclude`, `label` and `skip_inbox`: what becomes of
//! each message and its labels, what happens to mailboxes meanwhile, and what it costs to watch them.

mod adoption;
mod backlog;
mod changes;
mod corners;
mod cost;
mod crash;
mod mapping;
mod refused;
mod since;
mod special;
mod trouble;
mod whole;

use chrono::{DateTime, TimeDelta, Utc};
use gmail_stand_in::{Gmail, Mail};

use crate::testkit::env::{self, DATE, TestEnv};
use crate::testkit::eventually;

/// A message that nobody can mistake for another one; its bytes.
fn letter(name: &str) -> Vec<u8> {
    env::mail(
        &format!("<{name}@example.org>"),
        DATE,
        &format!("text of {name}"),
    )
}

/// Puts that message into these mailboxes of the source, of one date.
fn put(source: &Gmail, name: &str, mailboxes: &[&str]) -> Vec<u8> {
    put_at(source, name, mailboxes, 0)
}

/// So many days ago.
fn put_at(source: &Gmail, name: &str, mailboxes: &[&str], days: i64) -> Vec<u8> {
    put_bytes(source, letter(name), mailboxes, days)
}

fn put_bytes(source: &Gmail, bytes: Vec<u8>, mailboxes: &[&str], days: i64) -> Vec<u8> {
    // Whole seconds: INTERNALDATE has no others.
    let now = DateTime::from_timestamp(Utc::now().timestamp() - 60, 0).unwrap();
    let date = (now - TimeDelta::days(days)).fixed_offset();
    for mailbox in mailboxes {
        source.add(Mail::new(&bytes).in_mailbox(mailbox).at(date));
    }
    bytes
}

/// How many messages were sent so far, whatever came of it.
fn appends(target: &Gmail) -> usize {
    target.transcript().commands(" APPEND ")
}

/// How often labels were changed.
fn label_stores(target: &Gmail) -> usize {
    let said = target.transcript();
    let stores = |line: &&&str| line.contains("STORE") && line.contains("X-GM-LABELS");
    said.client().iter().filter(stores).count()
}

/// The labels of the message with these bytes; None where it is not there.
fn labels_of(target: &Gmail, bytes: &[u8]) -> Option<Vec<String>> {
    let mut all = target.messages().into_iter();
    let found = all.find(|m| m.bytes == bytes)?;
    Some(found.labels.into_iter().collect())
}

/// Waits until this message has just these labels.
#[track_caller]
fn comes_with(target: &Gmail, bytes: &[u8], labels: &[&str]) {
    let name = String::from_utf8_lossy(bytes)
        .lines()
        .nth(2)
        .unwrap_or_default()
        .to_string();
    let mut last = None;
    let what = format!("{name} comes with {labels:?}");
    eventually(&what, || {
        last = labels_of(target, bytes);
        last.as_ref().is_some_and(|l| l == labels)
    });
}

/// Waits until so many rows are delivered and nothing is open.
fn quiet(env: &TestEnv, delivered: u64) {
    eventually("everything is delivered", || {
        let status = env.status_soon();
        status["delivered"] == delivered && status["pending"] == 0 && status["in_flight"] == 0
    });
}

fn run_well(env: &TestEnv) -> String {
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}\n{}", ran.err, env.dump());
    ran.err
}
