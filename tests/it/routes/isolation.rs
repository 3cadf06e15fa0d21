//! What happens to one route does not keep another's new mail waiting: one test for each thing that may happen.

use std::fs;

use gmail_stand_in::{Fault, Mail, On};
use imap_to_gmail::cli;
use serde_json::json;

use crate::testkit::env::{DATE, mail};
use crate::testkit::family::Family;
use crate::testkit::{self, eventually, route};

/// The first is in trouble, which shows in the log by these words; the second gets its mail all the same, now and later.
#[track_caller]
fn goes_on_beside(family: &Family, words: &str) {
    let running = family.start();
    family.gets_mail(1, "<1@ben>");
    eventually("the trouble is told", || running.log().contains(words));
    family.gets_mail(1, "<2@ben>");
}

#[test]
fn a_configuration_that_cannot_be_understood() {
    let family = Family::of(&["anna", "ben"]);
    let good = family.config(0);
    fs::write(family.file(0), "{\"source_server\": ").unwrap();
    let running = family.start();
    family.gets_mail(1, "<1@ben>");
    eventually("the trouble is told", || {
        running.log().contains("0.json") && running.log().contains("ERROR")
    });
    family.gets_mail(1, "<2@ben>");
    // Mended, it is taken up.
    testkit::family::replace(&family.file(0), &good);
    family.gets_mail(0, "<1@anna>");
}

#[test]
fn a_token_that_was_revoked() {
    let family = Family::of(&["anna", "ben"]);
    let no = Fault::Answer("NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)".into());
    family.members[0].target.fault(On::each("AUTHENTICATE"), no);
    goes_on_beside(&family, "ERROR anna@old.example: ");
}

#[test]
fn a_server_that_says_nothing() {
    let family = Family::of(&["anna", "ben"]);
    family.members[0]
        .source
        .fault(On::each("EXAMINE"), Fault::Stall);
    goes_on_beside(&family, "WARN  anna@old.example: ");
}

#[test]
fn a_server_that_talks_without_end() {
    let mut family = Family::of(&["anna", "ben"]);
    let port = testkit::says(b"* OK [CAPABILITY IMAP4rev1] hello");
    family.members[0].set("source_tls", "none");
    family.members[0].set("source_ca_file", json!(null));
    family.members[0].set("source_port", port);
    family.publish(0);
    goes_on_beside(&family, "anna@old.example: ");
}

#[test]
fn a_ledger_that_cannot_be_written() {
    let family = Family::of(&["anna", "ben"]);
    let env = &family.members[0];
    env.old_mails(2);
    assert_eq!(env.run().status, 0);
    // As on a disk that is full: nothing can be recorded any more.
    env.sql()
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON message BEGIN SELECT RAISE(ABORT, 'no room'); END",
        )
        .unwrap();
    env.mail("<waits@anna>", "text");
    goes_on_beside(&family, "ERROR anna@old.example: ");
    // When there is room again, it goes on by itself.
    env.sql().execute_batch("DROP TRIGGER full").unwrap();
    let _running = family.start();
    eventually("it is there", || env.target.messages().len() == 3);
}

#[test]
fn a_long_backlog() {
    let family = Family::of(&["anna", "ben"]);
    let text = "x".repeat(1 << 20);
    for n in 0..60 {
        let bytes = mail(&format!("<{n}@backlog>"), DATE, &text);
        family.members[0].source.add(Mail::new(bytes));
    }
    let running = family.start();
    let delivered = || family.members[0].target.messages().len();
    eventually("it is under way", || delivered() > 0);
    for n in 0..3 {
        family.gets_mail(1, &format!("<{n}@ben>"));
    }
    assert!(delivered() < 60, "the mail waited for the backlog");
    eventually("it is over", || delivered() == 60);
    drop(running);
}

/// Panics on a thread of the first route, whenever that looks for mail.
struct Panics;

impl log::Log for Panics {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = record.args().to_string();
        let first = imap_to_gmail::threads::route().is_some_and(|name| name.starts_with("anna@"));
        if first && line.contains(" into anna@gmail.com, ledger") {
            std::panic::resume_unwind(Box::new("as the test wants it"));
        }
    }

    fn flush(&self) {}
}

/// A process of its own: there is but one logger in each.
#[test]
fn a_panic() {
    testkit::alone("routes::isolation::a_panic", || {
        log::set_logger(&Panics).unwrap();
        log::set_max_level(log::LevelFilter::Debug);
        let family = Family::of(&["anna", "ben"]);
        let folder = family.folder.path().to_str().unwrap().to_string();
        let args = ["imap-to-gmail", "run", "--config", &folder].map(Into::into);
        std::thread::spawn(move || cli::main(args, route::quick()));
        for n in 0..3 {
            family.gets_mail(1, &format!("<{n}@ben>"));
        }
        assert_eq!(family.members[0].target.messages().len(), 0);
    });
}
