//! A target that lets us in and takes nothing: that is no message's fault.

use std::time::{Duration, Instant};

use gmail_stand_in::{Fault, On};

use crate::testkit::env::TestEnv;
use crate::testkit::eventually;

fn charged(env: &TestEnv) -> i64 {
    env.one(
        "SELECT count(*) FROM message
          WHERE first_failed_at IS NOT NULL OR last_error IS NOT NULL OR status NOT IN ('pending', 'in_flight')",
    )
}

/// Everywhere in an APPEND at which a connection can end without the message.
fn ends() -> Vec<Fault> {
    vec![
        Fault::CutBefore,
        Fault::Bye("shutting down".into()),
        Fault::ByeAfterGoAhead("shutting down".into()),
        Fault::CutInLiteral(1000),
        Fault::CutAfterLiteral { stored: false },
        Fault::ByeAfterLiteral {
            text: "shutting down".into(),
            stored: false,
        },
    ]
}

#[test]
fn an_outage_at_the_literal_charges_nobody() {
    for messages in [1, 4, 12] {
        for fault in ends() {
            let env = TestEnv::new();
            for i in 0..messages {
                env.mail(&format!("<{i}@example.org>"), &"x".repeat(9_000));
            }
            env.target.fault(On::each("APPEND"), fault.clone());
            let case = format!("{messages} {fault:?}");
            let ran = env.run();
            assert!([1, 3].contains(&ran.status), "{case}: {}", ran.err);
            assert_eq!(charged(&env), 0, "{case}: {}", env.dump());
            assert!(env.status()["trouble"].is_object(), "{case}: {}", ran.err);
            env.target.clear_faults();
            env.run_until_done(1);
            env.assert_complete();
            assert_eq!(env.status()["trouble"], serde_json::Value::Null);
        }
    }
}

#[test]
fn nobody_fails_however_long_it_lasts_and_all_is_there_soon_after() {
    let env = TestEnv::new();
    for i in 0..6 {
        env.mail(&format!("<{i}@example.org>"), &"x".repeat(9_000));
    }
    env.target
        .fault(On::each("APPEND"), Fault::CutInLiteral(1000));
    let mut child = env.spawn_for_good(&[]);
    eventually("the outage is noticed", || {
        env.status_soon()["trouble"].is_object()
    });
    // Longer than a message is tried.
    let begun = Instant::now();
    eventually("time passes", || begun.elapsed() > Duration::from_secs(6));
    assert_eq!(charged(&env), 0, "{}", env.dump());
    assert!(env.status()["trouble"].is_object());
    env.target.clear_faults();
    eventually("everything is there", || env.held().len() == 6);
    eventually("all is well", || env.status()["trouble"].is_null());
    child.kill().unwrap();
    child.wait().unwrap();
    env.run_until_done(1);
    env.assert_complete();
}
