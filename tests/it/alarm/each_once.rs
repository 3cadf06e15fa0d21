//! Each trouble is told once on each road, and its end once; what passes by itself is told to nobody.

use std::time::Duration;

use gmail_stand_in::{Fault, On};
use serde_json::Value;

use super::{KEYS, events, eventually_told, told, trouble, watched};
use crate::gmail::sign_in::with_token;
use crate::gmail::told::Told;
use crate::testkit::env::TestEnv;
use crate::testkit::eventually;
use crate::testkit::monitor::Monitor;

const HOUR: Duration = Duration::from_secs(3600);

/// It breaks, is broken for a while, and is mended: who hears what.
fn each_road(
    env: &mut TestEnv,
    kind: &str,
    breaks: impl FnOnce(&mut TestEnv),
    is_mended: impl FnOnce(&mut TestEnv),
) {
    let monitor = watched(env);
    let run = Told::by(env, &[]);
    eventually("it is pinged", || monitor.pings() > 0);
    breaks(env);
    eventually_told(env, &[&format!("trouble {kind}")]);
    // A source that is away is looked for some minutes before that counts: `weeks` has the time for it.
    if kind == "needs_user" {
        no_more_pings(&run, &monitor);
    }
    is_mended(env);
    let over = format!("over {kind}");
    eventually_told(env, &[&format!("trouble {kind}"), &over]);
    let pings = monitor.pings();
    eventually("it is pinged again", || monitor.pings() > pings);
    assert_eq!(trouble(env), Value::Null);
    assert_eq!(run.end().0, Some(0));
    // What it was told says enough by itself.
    let told = told(env.dir.path());
    for (document, event) in told.iter().zip(["trouble", "over"]) {
        assert_eq!(document["event"], event);
        let keys: Vec<&String> = document.as_object().unwrap().keys().collect();
        assert_eq!(keys, KEYS);
        for key in KEYS {
            let is_text = document[key].as_str().is_some_and(|v| !v.is_empty());
            assert!(is_text || key == "hint", "{key}");
        }
        assert_eq!(document["since"], told[0]["since"]);
        assert_eq!(document["message"], told[0]["message"]);
    }
    assert!(told[0]["hint"].is_string(), "{told:?}");
    assert_eq!(told[0]["target"], "user@gmail.com");
}

/// Two seconds are two pings of a healthy route.
fn no_more_pings(run: &Told, monitor: &Monitor) {
    let pings = monitor.pings();
    let before = run.lines().len();
    eventually("it is said that it lasts", || {
        let lines = run.lines();
        let later = lines.iter().skip(before);
        later.filter(|l| l.contains("still, after")).count() >= 2
    });
    assert_eq!(monitor.pings(), pings);
}

#[test]
fn a_dead_token() {
    let mut env = with_token(HOUR);
    each_road(
        &mut env,
        "needs_user",
        |env| {
            env.target.revoke(env.target.refresh_token());
            // The access token in the file ends with it.
            let dead = env.target.token_json("ya29.dead", Duration::ZERO);
            std::fs::write(env.dir.path().join("token.json"), dead).unwrap();
            env.target.cut_connections();
            env.mail("<1@x>", "what waits");
        },
        |env| {
            let refresh = env.target.grant();
            let token = env.target.issue_token(HOUR);
            let mut file: Value =
                serde_json::from_str(&env.target.token_json(&token, HOUR)).unwrap();
            file["refresh_token"] = refresh.into();
            std::fs::write(env.dir.path().join("token.json"), file.to_string()).unwrap();
        },
    );
}

#[test]
fn a_dead_source() {
    let mut env = TestEnv::new();
    each_road(
        &mut env,
        "transient",
        |env| {
            env.source.fault(On::each("CONNECT"), Fault::CutBefore);
            env.source.cut_connections();
        },
        |env| env.source.clear_faults(),
    );
}

#[test]
fn a_full_account() {
    let mut env = TestEnv::new();
    let full = "NO [OVERQUOTA] Account is out of storage (Failure)";
    each_road(
        &mut env,
        "needs_user",
        |env| {
            env.target
                .fault(On::each("APPEND"), Fault::Answer(full.into()));
            env.mail("<1@x>", "does not fit");
        },
        |env| env.target.clear_faults(),
    );
}

#[test]
fn what_passes_by_itself_is_told_to_nobody() {
    let mut env = TestEnv::new();
    let monitor = watched(&mut env);
    let run = Told::by(&env, &[]);
    eventually("it is pinged", || monitor.pings() > 0);
    for _ in 0..2 {
        env.source.fault(On::each("CONNECT"), Fault::CutBefore);
        env.source.cut_connections();
        eventually("it is trouble", || !trouble(&env).is_null());
        env.source.clear_faults();
        eventually("it has passed", || trouble(&env).is_null());
    }
    // Told of is what comes next.
    env.target.fault(
        On::each("APPEND"),
        Fault::Answer("NO [OVERQUOTA] Account is out of storage (Failure)".into()),
    );
    env.mail("<1@x>", "does not fit");
    eventually_told(&env, &["trouble needs_user"]);
    let message = told(env.dir.path())[0]["message"].to_string();
    assert!(message.contains("full"), "{message}");
    run.end();
    assert_eq!(events(env.dir.path()).len(), 1);
}

#[test]
fn a_run_that_ends_by_itself_tells_nobody() {
    let mut env = TestEnv::new();
    let monitor = watched(&mut env);
    env.mails(3);
    assert_eq!(env.run().status, 0);
    env.set("target_pass", "wrong");
    env.mail("<later@x>", "waits");
    assert_eq!(env.run().status, 4);
    assert_eq!((monitor.pings(), told(env.dir.path()).len()), (0, 0));
}
