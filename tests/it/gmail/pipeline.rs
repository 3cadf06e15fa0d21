//! Several messages on their way through one session: what it saves, counted in round trips, and that each answer is one
//! message's alone.

use std::process::{Command, Stdio};
use std::time::Duration;

use gmail_stand_in::{Fault, On};
use serde_json::json;

use crate::testkit::env::TestEnv;
use crate::testkit::eventually;

/// One session, so that what goes out together is seen.
fn one_session(messages: usize, text: &str) -> TestEnv {
    let mut env = TestEnv::new();
    env.set("connections", 1);
    for n in 0..messages {
        env.mail(&format!("<{n}@example.org>"), text);
    }
    env
}

fn round_trips(env: &TestEnv) -> usize {
    let ran = env.run();
    assert_eq!(ran.status, 0, "{ran:?}");
    env.assert_complete();
    env.assert_nobody_charged();
    env.target.transcript().flights()
}

#[test]
fn small_messages_go_out_together() {
    let few = round_trips(&one_session(20, "small"));
    let many = round_trips(&one_session(220, "small"));
    let each = (many - few) as f64 / 200.0;
    println!("{each:.2} round trips for each small message");
    // Each was one before: what is left is the looks at each hundred, and the window.
    assert!(each < 0.6, "{few} for 20, {many} for 220");
}

#[test]
fn the_command_of_the_next_big_one_goes_out_with_the_one_before() {
    let text = "big ".repeat(3000);
    let few = round_trips(&one_session(10, &text));
    let many = round_trips(&one_session(60, &text));
    let each = (many - few) as f64 / 50.0;
    println!("{each:.2} round trips for each big message");
    // Two were needed: one until the server asked for it, one for the answer.
    assert!(each < 1.4, "{few} for 10, {many} for 60");
}

#[test]
fn a_refusal_in_the_middle_is_one_messages_alone() {
    for answer in [
        "BAD [TOOBIG] Message too large. https://support.google.com/mail/answer/6584#limit",
        "NO [CANNOT] not this one (Failure)",
    ] {
        let env = one_session(40, "small");
        let hits = env
            .target
            .fault(On::nth(17, "APPEND"), Fault::Answer(answer.into()));
        let ran = env.run();
        assert_eq!(hits.count(), 1, "{answer}");
        assert_eq!(ran.status, 3, "{answer}: {ran:?}");
        let failed: i64 = env.one("SELECT count(*) FROM message WHERE status = 'failed'");
        let delivered: i64 = env.one("SELECT count(*) FROM message WHERE status = 'delivered'");
        assert_eq!((failed, delivered), (1, 39), "{answer}: {}", env.dump());
        assert_eq!(env.held().len(), 39, "{answer}");
    }
}

/// The connection ends behind each message in turn, before or after it was stored, while others are on their way.
#[test]
fn what_is_on_its_way_when_the_session_is_lost_is_sent_once() {
    for nth in [2, 5, 12, 21, 30] {
        for fault in [
            Fault::CutBefore,
            Fault::CutAfterLiteral { stored: true },
            Fault::CutAfterLiteral { stored: false },
        ] {
            let env = one_session(40, "small");
            env.target.fault(On::nth(nth, "APPEND"), fault.clone());
            env.run_until_done(5);
            env.assert_complete();
        }
    }
}

#[test]
fn a_server_short_of_breath_gets_one_at_a_time() {
    let env = one_session(40, "small");
    env.target
        .knobs(|knobs| knobs.throttled = Some(Duration::ZERO));
    let trips = round_trips(&env);
    // Those are excepted that went out together before it had said so.
    assert!(trips > 20 + 12, "{trips} round trips for 40 messages");
}

/// The real intervals: it waits 2 s after the first answers that ask for patience, then 4, then 8, which is longer than a run that
/// is to end is given.
#[test]
fn who_waits_because_the_target_is_short_of_breath_ends_at_once() {
    let env = one_session(5, "small");
    env.target
        .knobs(|knobs| knobs.throttled = Some(Duration::ZERO));
    let mut child = Command::new(env!("CARGO_BIN_EXE_imap-to-gmail"))
        .args(["run", "--log", "stderr", "--config"])
        .arg(env.config_file())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("four are there", || env.held().len() >= 4);
    let told = Command::new("kill").arg(child.id().to_string()).status();
    assert!(told.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let status = env.status();
    assert_eq!(
        (
            &status["delivered"],
            &status["pending"],
            &status["in_flight"]
        ),
        (&json!(4), &json!(1), &json!(0)),
        "{}",
        env.dump()
    );
}

/// What is refused for the whole account while another refusal is answered for counts for more.
#[test]
fn the_gravest_of_several_refusals_is_what_is_acted_on() {
    let env = one_session(20, "small");
    for nth in 1..=5 {
        let busy = "NO [UNAVAILABLE] Temporary System Problem (Failure)";
        env.target
            .fault(On::nth(nth, "APPEND"), Fault::Answer(busy.into()));
    }
    let full = "NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)";
    env.target
        .fault(On::nth(6, "APPEND"), Fault::Answer(full.into()));
    let ran = env.run();
    assert_eq!(ran.status, 3, "{ran:?}");
    assert!(ran.err.contains("bandwidth limits"), "{}", ran.err);
    env.assert_nobody_charged();
}

/// The last one of a batch goes out when the server asks for it: somebody has to hear that while the source takes its time.
#[test]
fn what_is_on_its_way_does_not_wait_for_the_source() {
    let env = one_session(10, &"big ".repeat(3000));
    let bodies = On::nth(2, "UID FETCH").line_with("BODY.PEEK[])");
    env.source.fault(bodies, Fault::Stall);
    let mut child = env.spawn(&[]);
    eventually("the first batch is there", || env.held().len() >= 5);
    // Nobody has lost patience with the source until then.
    assert_eq!(env.source.transcript().commands("AUTHENTICATE"), 1);
    assert_eq!(env.held().len(), 5);
    child.kill().unwrap();
    child.wait().unwrap();
}
