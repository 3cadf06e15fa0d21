//! A sign-in that a Google client in "Testing" would end soon: a person is told while mail still flows.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use crate::testkit::env::TestEnv;
use crate::testkit::eventually;

/// Gmail is entered with a token of so many days ago.
fn prepared(days: i64) -> TestEnv {
    let mut env = TestEnv::new();
    env.mails(1);
    env.set("target_pass", Value::Null);
    let hour = std::time::Duration::from_secs(3600);
    let token = env.target.issue_token(hour);
    let mut token: Value = serde_json::from_str(&env.target.token_json(&token, hour)).unwrap();
    let at = Utc::now() - TimeDelta::days(days);
    token["consented_at"] = at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string().into();
    env.write_token(&token);
    env
}

#[test]
fn from_the_fifth_day_to_the_seventh_it_is_trouble_that_stops_nothing() {
    for (days, told) in [
        (0, false),
        (4, false),
        (5, true),
        (6, true),
        (7, false),
        (30, false),
    ] {
        let env = prepared(days);
        let ran = env.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        env.assert_complete();
        let trouble = env.status()["trouble"].take();
        if !told {
            assert_eq!(trouble, json!(null), "after {days} days");
            continue;
        }
        let end = Utc::now() - TimeDelta::days(days) + TimeDelta::days(7);
        assert_eq!(trouble["kind"], "needs_user", "after {days} days");
        let message = trouble["message"].as_str().unwrap();
        let day = end.format("%Y-%m-%d").to_string();
        assert!(
            message.contains(
                "token.json: if its Google client is still in \"Testing\", this sign-in ends on "
            ) && message.contains(&day),
            "{message}"
        );
        let hint = trouble["hint"].as_str().unwrap();
        assert!(
            hint.contains("\"Publish app\"") && hint.contains("imap-to-gmail auth"),
            "{hint}"
        );
    }
}

#[test]
fn a_daemon_says_it_once_and_goes_on() {
    let env = prepared(6);
    let mut child = env.spawn_for_good(&[]);
    eventually("the trouble is told", || {
        env.status_soon()["trouble"]["kind"] == "needs_user"
    });
    env.mail("<later@example.org>", "later");
    eventually("mail still flows", || env.target.messages().len() == 2);
    let pid = child.id().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-TERM", &pid])
        .status();
    assert!(sent.unwrap().success());
    let mut log = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut log).unwrap();
    assert!(child.wait().unwrap().success());
    // A slow machine says besides how far it is, and what for it waits.
    let told =
        |line: &&str| line.contains("still in \"Testing\"") && !line.contains(" waits for you: ");
    assert_eq!(log.lines().filter(told).count(), 1, "{log}");
}
