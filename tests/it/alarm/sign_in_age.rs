//! A sign-in that will end by itself is told of on its fifth day, wherever trouble is told; and a new one ends that at once.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use super::{eventually_told, told, trouble, watched};
use crate::gmail::told::Told;
use crate::testkit::env::TestEnv;
use crate::testkit::eventually;

const HOUR: Duration = Duration::from_secs(3600);

fn token(env: &TestEnv, days: i64) -> Value {
    let token = env.target.issue_token(HOUR);
    let mut file: Value = serde_json::from_str(&env.target.token_json(&token, HOUR)).unwrap();
    let consented = Utc::now() - TimeDelta::days(days);
    file["consented_at"] = json!(consented.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string());
    file
}

/// A Google sign-in of so many days ago.
pub(crate) fn write_old_token(env: &mut TestEnv, days: i64) {
    let token = token(env, days);
    env.write_token(&token);
}

#[test]
fn it_is_told_on_the_fifth_day_and_over_with_the_next_sign_in() {
    let mut env = TestEnv::new();
    env.set("target_pass", Value::Null);
    let monitor = watched(&mut env);
    for days in [1, 4, 7] {
        write_old_token(&mut env, days);
        let run = Told::by(&env, &[]);
        let pings = monitor.pings();
        eventually("it is healthy", || monitor.pings() > pings + 1);
        run.end();
    }
    write_old_token(&mut env, 5);
    let run = Told::by(&env, &[]);
    eventually_told(&env, &["trouble needs_user"]);
    let message = told(env.dir.path())[0]["message"].to_string();
    assert!(
        message.contains("is still in \\\"Testing\\\", this sign-in ends on"),
        "{message}"
    );
    let status = env.status();
    assert_eq!(status["trouble"]["kind"], "needs_user");
    let unhealthy = status["unhealthy"].as_str().unwrap();
    assert!(unhealthy.contains("this sign-in ends on"), "{unhealthy}");
    let line = run.says("this sign-in ends on");
    assert!(
        line.starts_with("ERROR ") && line.contains("; hint: "),
        "{line}"
    );
    // Mail flows all the same.
    env.mail("<1@x>", "new mail");
    eventually("it is delivered", || env.held().len() == 1);
    assert_eq!(trouble(&env)["kind"], "needs_user");
    // A new sign-in, as `auth` writes it.
    let path = env.dir.path().join("token.json");
    std::fs::write(path, token(&env, 0).to_string()).unwrap();
    let begun = Instant::now();
    eventually("the trouble is over", || trouble(&env).is_null());
    // Sooner than the next look of one that has nothing to do, which is after `keep`.
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    eventually_told(&env, &["trouble needs_user", "over needs_user"]);
    run.end();
}

/// It ends when it was said to: that is no end of the trouble.
#[test]
fn the_end_itself_is_seen_at_once_and_no_end_of_the_trouble() {
    let mut env = TestEnv::new();
    env.set("target_pass", Value::Null);
    watched(&mut env);
    let mut file = token(&env, 7);
    let ends = Utc::now() - TimeDelta::days(7) + TimeDelta::seconds(8);
    file["consented_at"] = json!(ends.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string());
    env.write_token(&file);
    let run = Told::by(&env, &[]);
    eventually_told(&env, &["trouble needs_user"]);
    env.target.revoke(env.target.refresh_token());
    eventually_told(&env, &["trouble needs_user", "trouble needs_user"]);
    let told = told(env.dir.path());
    assert_ne!(told[0]["message"], told[1]["message"]);
    assert_eq!(told[0]["since"], told[1]["since"]);
    run.end();
}
