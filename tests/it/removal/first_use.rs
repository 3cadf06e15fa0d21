//! The first use of `after_delivery`: what would go is said, and nothing goes before a day has passed. With the real
//! intervals of the program.

use serde_json::{Value, json};

use super::{BOTH, archive, ids, route};
use crate::testkit::env::TestEnv;
use crate::testkit::route::Ran;

/// A run with the real intervals.
fn run(env: &TestEnv) -> Ran {
    let config = env.config_file();
    let args = ["run", "--once", "--log", "stderr", "--config"];
    env.command(&[&args[..], &[config.to_str().unwrap()]].concat())
}

/// So much time has passed since the ledger knows what `after_delivery` says.
fn pass(env: &TestEnv, time: &str) {
    let earlier = format!("strftime('%Y-%m-%dT%H:%M:%SZ', begins_at, '-{time}')");
    let update = format!("UPDATE after_delivery SET begins_at = {earlier}");
    assert_eq!(env.sql().execute(&update, []).unwrap(), 1);
}

#[test]
fn nothing_is_removed_for_a_day_and_that_is_told() {
    let mut env = route(BOTH, json!("delete"));
    env.mails(2);
    let ran = run(&env);
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(
        ran.err
            .contains("delivered messages are deleted at the source"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("2 messages"), "{}", ran.err);
    assert_eq!(ids(&env.source, "INBOX").len(), 2);
    let status = env.status();
    assert_eq!(status["after_delivery"]["removed"], 0, "{status}");
    assert_eq!(status["after_delivery"]["wanted"], "delete", "{status}");
    assert!(
        status["after_delivery"]["begins_at"].is_string(),
        "{status}"
    );
    let text = env.command(&[
        "status",
        "--state-file",
        env.ledger_file().to_str().unwrap(),
    ]);
    assert!(text.out.contains("after delivery"), "{}", text.out);
    // Not after 23 hours either, nor after a restart.
    pass(&env, "23 hours");
    run(&env);
    assert_eq!(ids(&env.source, "INBOX").len(), 2);
    // Another wish begins anew.
    env.set("after_delivery", archive());
    run(&env);
    pass(&env, "2 hours");
    run(&env);
    assert_eq!(ids(&env.source, "INBOX").len(), 2);
    // To turn it off forgets how long it has waited.
    env.set("after_delivery", Value::Null);
    run(&env);
    let known: i64 = env.one("SELECT count(*) FROM after_delivery");
    assert_eq!(known, 0);
    env.set("after_delivery", json!("delete"));
    run(&env);
    pass(&env, "23 hours");
    run(&env);
    assert_eq!(ids(&env.source, "INBOX").len(), 2);
    pass(&env, "2 hours");
    let ran = run(&env);
    assert_eq!(ids(&env.source, "INBOX"), [""; 0], "{}", ran.err);
    let status = env.status();
    assert_eq!(status["after_delivery"]["removed"], 2, "{status}");
    assert!(status["after_delivery"]["begins_at"].is_null(), "{status}");
}

#[test]
fn a_dry_run_and_check_say_what_would_go() {
    let mut env = route(BOTH, json!("keep"));
    env.mails(2);
    env.run();
    env.set("after_delivery", json!("delete"));
    let dry = env.run_with(&["--dry-run"]);
    assert!(
        dry.out.contains("2 messages") && dry.out.contains("deleted at the source"),
        "{}",
        dry.out
    );
    let config = env.config_file();
    let check = env.command(&["check", "--config", config.to_str().unwrap()]);
    assert!(check.out.contains("deleted at the source"), "{}", check.out);
    assert_eq!(ids(&env.source, "INBOX").len(), 2);
    assert_eq!(env.one::<i64>("SELECT count(*) FROM after_delivery"), 0);
}
