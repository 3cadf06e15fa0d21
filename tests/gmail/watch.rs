//! Watching a source that tells of new mail badly, or not at all, and what new mail costs.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use gmail_stand_in::{Fault, On};

use super::stage::Stage;
use crate::common::eventually;

/// The program running; ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

fn arrives(stage: &Stage, count: usize) -> Duration {
    let begun = Instant::now();
    eventually("the mail arrives", || stage.held().len() >= count);
    begun.elapsed()
}

#[test]
fn new_mail_costs_four_round_trips_at_either_side() {
    let stage = Stage::new();
    stage.mail("<0@x>", "opens the sessions");
    let _running = Running(stage.spawn_for_good(&[]));
    arrives(&stage, 1);
    stage.mail("<1@x>", "and the reader");
    arrives(&stage, 2);
    for n in 2..5 {
        eventually("it is quiet again", || {
            let said = stage
                .source
                .transcript()
                .client()
                .last()
                .is_some_and(|l| l.ends_with("IDLE"));
            said && stage.status()["in_flight"] == 0
                && stage.one::<i64>("SELECT count(*) FROM message WHERE verified_at IS NULL") == 0
        });
        let (source, gmail) = (stage.source.lines(), stage.gmail.lines());
        stage.mail(&format!("<{n}@x>"), "the one that counts");
        arrives(&stage, n + 1);
        eventually("it is verified", || {
            stage.one::<i64>("SELECT count(*) FROM message WHERE verified_at IS NULL") == 0
        });
        let source = stage.source.transcript().after(source);
        let gmail = stage.gmail.transcript().after(gmail);
        // The IDLE that follows waits for the next mail.
        let trips = source.flights() - source.commands("IDLE");
        assert!(trips <= 4, "{trips} at the source\n{source}");
        assert!(
            gmail.flights() <= 4,
            "{} at Gmail\n{gmail}",
            gmail.flights()
        );
    }
}

#[test]
fn an_idle_that_never_says_a_word_is_seen_through() {
    let stage = Stage::new();
    stage.source.knobs(|k| k.idle_pushes = false);
    let _running = Running(stage.spawn_for_good(&["--poll-interval", "1"]));
    eventually("it idles", || {
        stage.source.transcript().commands("IDLE") > 0
    });
    stage.mail("<0@x>", "found by the look beside IDLE");
    arrives(&stage, 1);
    stage.mail("<1@x>", "found by polling");
    let took = arrives(&stage, 2);
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn an_idle_that_goes_wrong_loses_no_mail() {
    for fault in [
        Fault::Stall,
        Fault::CutBefore,
        Fault::Answer("OK IDLE terminated (Success)".into()),
        Fault::Answer("BAD Could not parse command".into()),
        Fault::Answer("* 1 EXISTS\r\nNO [UNAVAILABLE] not now".into()),
        Fault::Bye("Session expired, please login again.".into()),
    ] {
        let stage = Stage::new();
        stage.source.fault(On::each("IDLE"), fault.clone());
        let _running = Running(stage.spawn_for_good(&["--poll-interval", "1"]));
        for n in 0..2 {
            stage.mail(&format!("<{n}@x>"), "text");
            arrives(&stage, n + 1);
        }
        eventually("the ledger knows", || stage.status()["delivered"] == 2);
        stage.assert_complete();
    }
}

#[test]
fn a_server_without_idle_is_polled() {
    let mut options =
        gmail_stand_in::Options::plain("IMAP4rev1 LITERAL+ UIDPLUS SASL-IR AUTH=PLAIN");
    options.knobs.visible_at_once = false;
    let mut stage = Stage::new();
    let source = gmail_stand_in::Gmail::start(options);
    stage.set("source_port", source.port());
    stage.set("source_ca_file", source.ca_file().to_str().unwrap());
    stage.source = source;
    let _running = Running(stage.spawn_for_good(&["--poll-interval", "1"]));
    for n in 0..2 {
        stage.mail(&format!("<{n}@x>"), "text");
        arrives(&stage, n + 1);
    }
    assert_eq!(stage.source.transcript().commands("IDLE"), 0);
}

#[test]
fn throttles_pass_by_themselves() {
    let stage = Stage::new();
    stage.gmail.fault(
        On::nth(1, "APPEND").times(2),
        Fault::Bye(gmail_stand_in::OVERQUOTA.into()),
    );
    let _running = Running(stage.spawn_for_good(&[]));
    stage.mails(5);
    eventually("it is said", || {
        stage.status_soon()["trouble"]["kind"] == "throttled"
    });
    arrives(&stage, 5);
    eventually("it has passed", || stage.status()["trouble"].is_null());
    let charged: i64 = stage.one("SELECT count(*) FROM message WHERE first_failed_at IS NOT NULL");
    assert_eq!(charged, 0);
}
