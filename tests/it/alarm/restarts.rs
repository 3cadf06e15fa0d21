//! What a person was told is on record: a program that begins again says it neither twice nor never.

use serde_json::json;

use super::{events, eventually_told, script, trouble, watched};
use crate::gmail::told::Told;
use crate::testkit::env::TestEnv;
use crate::testkit::eventually;

/// Whose target refuses the password.
fn refused() -> (TestEnv, String) {
    let mut env = TestEnv::new();
    let good = env.target.password().to_string();
    env.set("target_pass", "not the app password");
    (env, good)
}

/// It has told what it had to tell of the trouble.
fn lasts(env: &TestEnv, run: &Told) {
    eventually("it is in trouble again", || !trouble(env).is_null());
    run.says("still, after");
}

#[test]
fn a_trouble_that_outlasts_restarts_is_told_once_and_so_is_its_end() {
    let (mut env, good) = refused();
    let monitor = watched(&mut env);
    let run = Told::by(&env, &[]);
    eventually_told(&env, &["trouble needs_user"]);
    run.end();
    for kill in [false, true] {
        let run = Told::by(&env, &[]);
        lasts(&env, &run);
        // Dropping it kills it.
        if !kill {
            run.end();
        }
        assert_eq!(events(env.dir.path()).len(), 1);
    }
    assert_eq!(monitor.pings(), 0, "it was never healthy");
    // Mended while nothing runs.
    env.set("target_pass", good);
    let run = Told::by(&env, &[]);
    eventually_told(&env, &["trouble needs_user", "over needs_user"]);
    run.end();
    let run = Told::by(&env, &[]);
    eventually("it is pinged", || monitor.pings() > 0);
    run.end();
    assert_eq!(events(env.dir.path()).len(), 2);
}

#[test]
fn what_nobody_heard_is_told_again_by_the_next_one() {
    let (mut env, _) = refused();
    script(
        env.dir.path(),
        "tell.sh",
        "cat >> told.json; test -e slow && exec sleep 60; exit 0",
    );
    env.set("notify_command", vec!["./tell.sh"]);
    std::fs::write(env.dir.path().join("slow"), "").unwrap();
    let run = Told::by(&env, &[]);
    eventually_told(&env, &["trouble needs_user"]);
    // Killed while it tells.
    drop(run);
    std::fs::remove_file(env.dir.path().join("slow")).unwrap();
    let run = Told::by(&env, &[]);
    eventually_told(&env, &["trouble needs_user", "trouble needs_user"]);
    lasts(&env, &run);
    run.end();
    assert_eq!(events(env.dir.path()).len(), 2);
}

#[test]
fn an_end_waits_for_the_command_that_is_telling() {
    let (mut env, _) = refused();
    script(env.dir.path(), "tell.sh", "cat >> told.json; sleep 0.5");
    env.set("notify_command", vec!["./tell.sh"]);
    let run = Told::by(&env, &[]);
    eventually_told(&env, &["trouble needs_user"]);
    run.end();
    let told: i64 = env.one("SELECT count(*) FROM alarm_told WHERE told_at IS NOT NULL");
    assert_eq!(told, 1);
}

#[test]
fn another_command_is_told_what_the_one_before_could_not_tell() {
    let (mut env, good) = refused();
    script(env.dir.path(), "tell.sh", "exec cat >> told.json");
    env.set("notify_command", vec!["./no-such-program"]);
    let run = Told::by(&env, &[]);
    let said = run.says("no-such-program` is not found");
    assert!(
        said.starts_with("WARN ") && said.contains("hint: "),
        "{said}"
    );
    env.set("notify_command", vec!["./tell.sh"]);
    eventually_told(&env, &["trouble needs_user"]);
    // What one command has told is not told by the next.
    env.set("notify_command", json!(["./tell.sh", "once more"]));
    run.says("going on with it");
    lasts(&env, &run);
    env.set("target_pass", good);
    eventually_told(&env, &["trouble needs_user", "over needs_user"]);
    run.end();
}
