//! `upload_limit_per_day`: new mail goes first, and only what was sent counts.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use chrono::Utc;
use gmail_stand_in::{Fault, Mail, On};
use imap_to_gmail::config::Config;
use imap_to_gmail::engine::{Engine, Stopper, Watch, changed_at};
use imap_to_gmail::ledger::Ledger;

use crate::testkit::env::{DATE, TestEnv, mail};
use crate::testkit::proxy::{Proxy, Side};
use crate::testkit::{eventually, route};

/// `run` in this process, whose pause lasts longer than any test.
struct Running {
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(env: &TestEnv) -> Running {
        let mut times = route::quick();
        times.pause = (Duration::from_secs(3600), Duration::from_secs(3600));
        let config = Config::load(&env.config_file(), Utc::now()).unwrap();
        let ledger = Ledger::open_or_create(&env.ledger_file(), true).unwrap();
        let engine = Engine::new(config, times, ledger).unwrap();
        let stopper = engine.stopper();
        let watch = Watch {
            config_file: env.config_file(),
            config_of: changed_at(&env.config_file()),
            poll: Duration::from_secs(1),
            idle: true,
            ledger_given: false,
            begun_anew: false,
            spread: Duration::ZERO,
        };
        let engine = Arc::clone(&engine);
        let thread = thread::spawn(move || {
            engine.run_for_good(&watch).unwrap();
        });
        Running {
            stopper,
            thread: Some(thread),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
        let _ = self.thread.take().unwrap().join();
    }
}

/// A source with more than a day's bytes in it: thirty messages of 10 kB, and 100 kB may go.
fn backlog() -> TestEnv {
    let mut env = TestEnv::new();
    env.set("upload_limit_per_day", "100K");
    for i in 0..30 {
        env.mail(&format!("<{i}@example.org>"), &"x".repeat(10_000));
    }
    env
}

fn limit_is_reached(env: &TestEnv) -> bool {
    let trouble = env.status_soon()["trouble"]["message"].to_string();
    trouble.contains("upload_limit_per_day")
}

fn holds(env: &TestEnv, id: &str) -> bool {
    let held = env.held();
    held.iter()
        .any(|m| String::from_utf8_lossy(&m.bytes).contains(id))
}

fn sent(env: &TestEnv) -> i64 {
    env.one("SELECT coalesce(sum(bytes), 0) FROM upload")
}

#[test]
fn new_mail_goes_first_and_ends_the_pause() {
    let env = backlog();
    let running = Running::start(&env);
    eventually("the limit is reached", || limit_is_reached(&env));
    let before = env.held().len();
    assert!((5..=10).contains(&before), "{before}");
    // The first is dated before all the rest, as what is moved into a mailbox is.
    for (id, date) in [
        ("<moved@new>", "2019-01-01T00:00:00Z"),
        ("<now@new>", "2030-01-01T00:00:00Z"),
    ] {
        let date = chrono::DateTime::parse_from_rfc3339(date).unwrap();
        env.source.add(Mail::new(mail(id, DATE, "small")).at(date));
        eventually("new mail is there", || holds(&env, id));
    }
    // One that does not fit holds up none that does.
    env.mail("<big@new>", &"x".repeat(50_000));
    eventually("it has a row", || {
        env.one::<i64>("SELECT count(*) FROM message") == 33
    });
    env.mail("<small@new>", "small");
    eventually("new mail is there", || holds(&env, "<small@new>"));
    assert!(!holds(&env, "<big@new>"));
    assert_eq!(env.held().len(), before + 3, "{}", env.dump());
    // Hours pass: first what is new, then what was there.
    let freed = env.source.lines();
    env.sql()
        .execute("UPDATE upload SET hour = '2020' || substr(hour, 5)", [])
        .unwrap();
    env.sql()
        .execute(
            "UPDATE message SET in_flight_since = '2020-01-01T00:00:00Z' WHERE status = 'pending'",
            [],
        )
        .unwrap();
    eventually("the big one is there", || holds(&env, "<big@new>"));
    eventually("the limit is reached again", || {
        env.held().len() > before + 4
    });
    drop(running);
    assert!(env.source.lines() > freed);
    let charged: i64 = env.one("SELECT count(*) FROM message WHERE first_failed_at IS NOT NULL");
    assert_eq!(charged, 0, "{}", env.dump());
}

#[test]
fn a_limit_that_is_reached_costs_the_source_nothing() {
    let env = backlog();
    assert_eq!(env.run().status, 3);
    let before = env.source.lines();
    assert_eq!(env.run().status, 3);
    let said = env.source.transcript().after(before);
    assert_eq!(said.commands("BODY.PEEK[])"), 0, "{said}");
}

#[test]
fn what_was_not_sent_does_not_count() {
    for (fault, most) in [
        (Fault::CutBefore, 0),
        (Fault::Answer("NO System Error (Failure)".into()), 0),
        // The system may have taken more than the server did.
        (Fault::CutInLiteral(1000), 2 * 300_000),
    ] {
        let mut env = TestEnv::new();
        env.set("upload_limit_per_day", "100M")
            .set("connections", 1);
        for i in 0..6 {
            env.mail(&format!("<{i}@example.org>"), &"x".repeat(300_000));
        }
        env.target.fault(On::nth(1, "APPEND"), fault.clone());
        // The run ends at once after that.
        let no = "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)";
        env.target.fault(
            On::nth(2, "AUTHENTICATE").times(99),
            Fault::Answer(no.into()),
        );
        env.target.fault(
            On::nth(2, "APPEND").times(99),
            Fault::Answer("NO [OVERQUOTA] Account is out of storage (Failure)".into()),
        );
        assert_eq!(env.run().status, 4);
        let booked = sent(&env);
        assert!((0..=most).contains(&booked), "{fault:?}: {booked}");
        env.target.clear_faults();
        env.run_until_done(2);
        let all: i64 = env.one("SELECT sum(size) FROM message");
        assert_eq!(sent(&env), booked + all, "{fault:?}");
    }
}

#[test]
fn a_message_that_is_sent_twice_counts_twice() {
    let env = TestEnv::new();
    env.source.add(Mail::new(
        b"Message-ID: <bare@x>\nDate: Tue, 14 Nov 2023 22:13:20 +0000\n\nbare\n",
    ));
    env.target.fault(
        On::nth(1, "APPEND"),
        Fault::AnswerAfterLiteral {
            text: "BAD Invalid Arguments: Unable to parse message".into(),
            stored: false,
        },
    );
    env.run_until_done(1);
    let taken = env.target.uploaded() as i64;
    assert_eq!(sent(&env), taken, "{}", env.dump());
}

#[test]
fn a_run_that_is_killed_has_booked_at_least_what_it_sent() {
    let mut env = TestEnv::build().without_tls().start();
    let proxy = Proxy::start(env.target.port());
    env.through("target", proxy.port());
    env.set("upload_limit_per_day", "100M");
    env.mail("<big@example.org>", &"x".repeat(3_000_000));
    proxy.stall_after(Side::ToServer, 1_000_000);
    let mut child = env.spawn(&[]);
    eventually("much of it is under way", || {
        proxy.bytes(Side::ToServer) >= 1_000_000
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let booked = sent(&env);
    assert!(booked >= 999_000, "{booked}");
}

#[test]
fn a_dry_run_knows_the_limit_as_a_run_does() {
    let mut env = TestEnv::new();
    env.set("upload_limit_per_day", "100K");
    env.mail("<big@x>", &"x".repeat(200_000));
    env.mail("<small@x>", "small");
    let dry = env.run_with(&["--dry-run"]);
    let failed = "1 message is bigger than `upload_limit_per_day` lets through";
    assert!(dry.out.contains(failed), "{}", dry.out);
    assert!(
        dry.out
            .contains("would send 1 message (117 bytes) to user@gmail.com\n"),
        "{}",
        dry.out
    );
    assert!(dry.out.contains("all of it may go at once"), "{}", dry.out);
    assert_eq!(env.run().status, 3);
    assert_eq!(env.held().len(), 1);
    assert_eq!(env.status()["failed"], 1);
}
