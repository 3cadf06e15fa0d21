//! Watching a source that tells of new mail badly, or not at all, and what new mail costs.

use std::io::Read as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use gmail_stand_in::{Fault, On};

use crate::testkit::env::TestEnv;
use crate::testkit::eventually;

/// The program running; ended when dropped.
struct Running(Child);

impl Running {
    /// SIGTERM, and what it had said.
    fn end(&mut self) -> String {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let mut log = String::new();
        if let Some(mut stderr) = self.0.stderr.take() {
            let _ = stderr.read_to_string(&mut log);
        }
        let _ = self.0.wait();
        log
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let log = self.end();
        if std::thread::panicking() {
            println!("{log}");
        }
    }
}

fn arrives(env: &TestEnv, count: usize) -> Duration {
    let begun = Instant::now();
    eventually("the mail arrives", || env.held().len() >= count);
    begun.elapsed()
}

#[test]
fn new_mail_costs_three_round_trips_at_the_source_and_three_at_gmail() {
    let env = TestEnv::new();
    env.mail("<0@x>", "opens the sessions");
    let _running = Running(env.spawn_for_good(&[]));
    arrives(&env, 1);
    env.mail("<1@x>", "and the reader");
    arrives(&env, 2);
    for n in 2..5 {
        eventually("it is quiet again", || {
            let said = env
                .source
                .transcript()
                .client()
                .last()
                .is_some_and(|l| l.ends_with("IDLE"));
            said && env.status()["in_flight"] == 0
                && env.one::<i64>("SELECT count(*) FROM message WHERE verified_at IS NULL") == 0
        });
        let (source, gmail) = (env.source.lines(), env.target.lines());
        env.mail(&format!("<{n}@x>"), "the one that counts");
        arrives(&env, n + 1);
        eventually("it is verified", || {
            env.one::<i64>("SELECT count(*) FROM message WHERE verified_at IS NULL") == 0
        });
        let source = env.source.transcript().after(source);
        let gmail = env.target.transcript().after(gmail);
        // The IDLE that follows waits for the next mail.
        let trips = source.flights() - source.commands("IDLE");
        assert!(trips <= 3, "{trips} at the source\n{source}");
        assert!(
            gmail.flights() <= 3,
            "{} at Gmail\n{gmail}",
            gmail.flights()
        );
    }
}

/// What is new is asked for together with the view: where that goes wrong, the one after the other.
#[test]
fn a_source_that_fails_over_news_is_asked_in_two_steps() {
    let env = TestEnv::new();
    env.mail("<0@x>", "is known");
    let mut running = Running(env.spawn_for_good(&[]));
    arrives(&env, 1);
    let refused = Fault::Answer("NO [SERVERBUG] Internal error".into());
    for (n, fault) in [refused, Fault::CutBefore].into_iter().enumerate() {
        eventually("it waits", || {
            let said = env.source.transcript();
            said.client().last().is_some_and(|l| l.ends_with("IDLE"))
        });
        let metadata = On::nth(1, "UID FETCH").line_with("MESSAGE-ID DATE)])");
        let hits = env.source.fault(metadata, fault);
        env.mail(&format!("<{n}.new@x>"), "is new");
        arrives(&env, n + 2);
        assert_eq!(hits.count(), 1);
    }
    let log = running.end();
    assert!(!log.contains("WARN"), "it is no trouble: {log}");
}

#[test]
fn an_idle_that_never_says_a_word_is_seen_through() {
    let env = TestEnv::new();
    env.source.knobs(|k| k.idle_pushes = false);
    let _running = Running(env.spawn_for_good(&["--poll-interval", "1"]));
    eventually("it idles", || env.source.transcript().commands("IDLE") > 0);
    for n in 0..2 {
        env.mail(&format!("<{n}@x>"), "found by the look beside IDLE");
        arrives(&env, n + 1);
    }
    env.mail("<2@x>", "found by polling");
    let took = arrives(&env, 3);
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
        let env = TestEnv::new();
        env.source.fault(On::each("IDLE"), fault.clone());
        let _running = Running(env.spawn_for_good(&["--poll-interval", "1"]));
        for n in 0..2 {
            env.mail(&format!("<{n}@x>"), "text");
            arrives(&env, n + 1);
        }
        eventually("the ledger knows", || env.status()["delivered"] == 2);
        env.assert_complete();
    }
}

#[test]
fn a_server_without_idle_is_polled() {
    let mut options =
        gmail_stand_in::Options::plain("IMAP4rev1 LITERAL+ UIDPLUS SASL-IR AUTH=PLAIN");
    options.knobs.visible_at_once = false;
    let mut env = TestEnv::new();
    let source = gmail_stand_in::Gmail::start(options);
    env.set("source_port", source.port());
    env.set("source_ca_file", source.ca_file().to_str().unwrap());
    env.source = source;
    let _running = Running(env.spawn_for_good(&["--poll-interval", "1"]));
    for n in 0..2 {
        env.mail(&format!("<{n}@x>"), "text");
        arrives(&env, n + 1);
    }
    assert_eq!(env.source.transcript().commands("IDLE"), 0);
}

#[test]
fn throttles_pass_by_themselves() {
    let env = TestEnv::new();
    env.target.fault(
        On::nth(1, "APPEND").times(2),
        Fault::Bye(gmail_stand_in::OVERQUOTA.into()),
    );
    let _running = Running(env.spawn_for_good(&[]));
    env.mails(5);
    eventually("it is said", || {
        env.status_soon()["trouble"]["kind"] == "throttled"
    });
    arrives(&env, 5);
    eventually("it has passed", || env.status()["trouble"].is_null());
    let charged: i64 = env.one("SELECT count(*) FROM message WHERE first_failed_at IS NOT NULL");
    assert_eq!(charged, 0);
}

/// Threads, open descriptors and memory (kB) of a process.
fn holdings(pid: u32) -> (u64, usize, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let figure = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count();
    (figure("Threads:"), descriptors, figure("VmRSS:"))
}

#[test]
fn weeks_in_minutes_leave_nothing_behind() {
    let mut env = TestEnv::new();
    env.set("target_pass", serde_json::Value::Null);
    let token = env.target.token_json(
        &env.target.issue_token(Duration::from_secs(3600)),
        Duration::from_secs(3600),
    );
    env.write_token(&serde_json::from_str(&token).unwrap());
    env.target.knobs(|k| {
        k.upload_budget = Some(20_000);
        k.idle_cut_after = Some(Duration::from_secs(600));
    });
    env.source
        .knobs(|k| k.idle_cut_after = Some(Duration::from_secs(600)));
    let running = Running(env.spawn_for_good(&["--poll-interval", "1"]));
    let pid = running.0.id();
    let mut first = None;
    for day in 0..21 {
        // A night passes: tokens and sessions run out, IDLEs are cut, the day's budget is new.
        for server in [&env.source, &env.target] {
            server.clock().advance(Duration::from_secs(25 * 3600));
        }
        let text = "x".repeat(if day % 7 == 3 { 15_000 } else { 1_000 });
        env.mail(&format!("<{day}@x>"), &text);
        eventually("all is well", || {
            let status = env.status_soon();
            if status["trouble"]["kind"] == "throttled" {
                // The day's budget was used up: another day passes.
                env.target.clock().advance(Duration::from_secs(25 * 3600));
            }
            status["delivered"] == day + 1 && status["trouble"].is_null()
        });
        if day == 6 {
            first = Some(holdings(pid));
        }
    }
    let (threads, descriptors, memory) = holdings(pid);
    let (threads_before, descriptors_before, memory_before) = first.unwrap();
    println!(
        "after three weeks: {threads} threads, {descriptors} descriptors, {memory} kB; after one: {threads_before}, {descriptors_before}, {memory_before} kB"
    );
    // A worker may be at work, and the thread that fetches for it.
    assert!(threads <= threads_before + 2 && descriptors <= descriptors_before + 2);
    assert!(memory < memory_before + 8_000);
    drop(running);
    assert!(
        env.target.token_requests().len() >= 10,
        "tokens were renewed"
    );
    env.assert_complete();
}
