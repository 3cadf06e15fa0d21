//! A sign-in that is tried while nothing waits: what it finds is told, and holds up no mail.

use std::time::{Duration, Instant};

use gmail_stand_in::{Fault, On, Refusal, TokenTrouble};
use imap_to_gmail::config::Intervals;
use serde_json::Value;

use super::sign_in::{Daemon, trouble, with_token};
use crate::testkit::env::TestEnv;
use crate::testkit::{eventually, route};

const HOUR: Duration = Duration::from_secs(3600);
/// Longer than any test.
const NEVER: (Duration, Duration) = (HOUR, HOUR);
/// What a server asks for, in its words and as a time.
const ASKED: &str = "NO Request is throttled. Suggested Backoff Time: 3000 milliseconds";
const ASKED_FOR: Duration = Duration::from_secs(3);

/// The token file is replaced, and the configuration is not touched.
fn signs_in_anew(env: &TestEnv) {
    let token = env.target.issue_token(HOUR);
    let path = env.dir.path().join("token.json");
    std::fs::write(path, env.target.token_json(&token, HOUR)).unwrap();
}

fn tries(env: &TestEnv) -> usize {
    env.target.transcript().commands("AUTHENTICATE")
}

#[test]
fn a_limit_that_only_a_try_met_holds_up_no_new_mail() {
    let mut env = TestEnv::new();
    env.target.refuse_login(Refusal::TooManyConnections, 1);
    let times = Intervals {
        pause: NEVER,
        ..route::quick()
    };
    let _daemon = Daemon::start(&mut env, times, |_| {});
    eventually("it is told", || trouble(&env)["kind"] == "throttled");
    assert_eq!(tries(&env), 1);
    env.mail("<new@x>", "text");
    eventually("it is delivered", || env.held().len() == 1);
    eventually("all is well again", || trouble(&env).is_null());
}

#[test]
fn a_connection_that_only_a_try_lost_holds_up_no_new_mail() {
    let mut env = TestEnv::new();
    let lost = env.target.fault(On::nth(1, "CONNECT"), Fault::CutBefore);
    let times = Intervals {
        reconnect: NEVER,
        ..route::quick()
    };
    let _daemon = Daemon::start(&mut env, times, |_| {});
    eventually("it is told", || !trouble(&env).is_null());
    assert_eq!(lost.count(), 1);
    env.mail("<new@x>", "text");
    eventually("it is delivered", || env.held().len() == 1);
    eventually("all is well again", || trouble(&env).is_null());
}

/// The pause itself is kept: no mail after the first one makes another try.
#[test]
fn a_limit_that_mail_met_holds_up_all_mail() {
    let mut env = TestEnv::new();
    env.target.refuse_login(Refusal::TooManyConnections, 9);
    let times = Intervals {
        pause: NEVER,
        ..route::quick()
    };
    let _daemon = Daemon::start(&mut env, times, |_| {});
    eventually("it is told", || trouble(&env)["kind"] == "throttled");
    for n in 1..=4 {
        env.mail(&format!("<{n}@x>"), "text");
        eventually("it is recorded", || env.status()["pending"] == n);
        eventually("the first one is tried", || tries(&env) == 2);
    }
}

#[test]
fn a_delay_that_the_server_stated_is_kept_whatever_comes_meanwhile() {
    let mut env = with_token(HOUR);
    // What would be tried at once: a sign-in that ends, and then does not.
    env.target
        .token_trouble(TokenTrouble::ExpiredOrRevoked, 999);
    env.target.refuse_login(Refusal::Other(ASKED.into()), 1);
    let begun = Instant::now();
    let _daemon = Daemon::start(&mut env, route::quick(), |_| {});
    eventually("it is tried", || tries(&env) == 1);
    eventually("it is told", || trouble(&env)["kind"] == "throttled");
    env.target.clear_faults();
    signs_in_anew(&env);
    env.mail("<new@x>", "text");
    eventually("it is delivered", || env.held().len() == 1);
    assert!(begun.elapsed() >= ASKED_FOR, "{:?}", begun.elapsed());
}

#[test]
fn who_signed_in_anew_is_not_asked_to_while_mail_flows() {
    let mut env = with_token(HOUR);
    env.target
        .token_trouble(TokenTrouble::ExpiredOrRevoked, 999);
    let times = Intervals {
        needs_user: HOUR,
        sign_in: HOUR,
        ..route::quick()
    };
    let _daemon = Daemon::start(&mut env, times, |_| {});
    eventually("a person is asked for", || {
        trouble(&env)["kind"] == "needs_user"
    });
    env.target.clear_faults();
    // Mail comes at the same moment, and shows that the way in is open.
    env.mail("<new@x>", "text");
    signs_in_anew(&env);
    eventually("it is delivered", || env.held().len() == 1);
    eventually("all is well again", || trouble(&env).is_null());
}

/// Another program keeps the token fresh: there is nothing to renew it with, and no need.
#[test]
fn a_token_file_that_another_program_renews_is_no_trouble() {
    let mut env = with_token(HOUR);
    let token = env.target.issue_token(HOUR);
    let token = env.target.token_json(&token, HOUR);
    let mut token: Value = serde_json::from_str(&token).unwrap();
    token.as_object_mut().unwrap().remove("refresh_token");
    env.write_token(&token);
    let _daemon = Daemon::start(&mut env, route::quick(), |_| {});
    eventually("it is entered", || {
        env.target.transcript().commands("EXAMINE") > 0
    });
    for n in 1..=2 {
        env.mail(&format!("<{n}@x>"), "text");
        eventually("it is delivered", || env.held().len() == n);
        assert_eq!(trouble(&env), Value::Null);
    }
    assert!(env.target.token_requests().is_empty());
}

#[test]
fn a_refused_password_is_tried_once_also_where_something_is_in_flight() {
    for source_is_away in [false, true] {
        let env = TestEnv::new();
        env.target.refuse_login(Refusal::InvalidCredentials, 99);
        env.mails(1);
        assert_eq!(env.run().status, 4);
        let before = tries(&env);
        let in_flight =
            "UPDATE message SET status = 'in_flight', attempt = 1, in_flight_since = discovered_at";
        assert_eq!(env.sql().execute(in_flight, []).unwrap(), 1);
        if source_is_away {
            let away = On::nth(1, "CONNECT").times(2);
            env.source.fault(away, Fault::CutBefore);
        }
        let ran = env.run();
        assert_eq!(ran.status, 4, "{}", ran.err);
        assert_eq!(tries(&env), before + 1, "{}", ran.err);
    }
}

#[test]
fn a_mailbox_that_hangs_at_a_try_is_told_as_soon_as_any_command() {
    let mut env = TestEnv::new();
    env.target
        .fault(On::each("EXAMINE").line_with("INBOX"), Fault::Stall);
    let times = Intervals {
        command: Duration::from_secs(1),
        all_mail: HOUR,
        ..route::quick()
    };
    let _daemon = Daemon::start(&mut env, times, |_| {});
    eventually("it is told", || !trouble(&env).is_null());
}
