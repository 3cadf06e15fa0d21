//! A sign-in that the target no longer takes shows at once, and not only when mail comes; and what it costs to know.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::Utc;
use gmail_stand_in::{Fault, On, Refusal, TokenTrouble};
use imap_to_gmail::config::{Config, Intervals};
use imap_to_gmail::engine::{Engine, Stopper, Watch, changed_at};
use imap_to_gmail::ledger::{self, Ledger};
use serde_json::{Value, json};

use super::told::Told;
use crate::testkit::env::TestEnv;
use crate::testkit::proxy::Proxy;
use crate::testkit::{eventually, free_port, route};

const HOUR: Duration = Duration::from_secs(3600);

/// Gmail is entered with a token that is good for so long.
pub(crate) fn with_token(life: Duration) -> TestEnv {
    let mut env = TestEnv::new();
    env.set("target_pass", Value::Null);
    let token = env.target.issue_token(life);
    let token = env.target.token_json(&token, life);
    env.write_token(&serde_json::from_str(&token).unwrap());
    env
}

pub(crate) fn trouble(env: &TestEnv) -> Value {
    env.status_soon()["trouble"].take()
}

#[test]
fn a_dead_sign_in_ends_a_run_that_finds_nothing_with_4() {
    let mut wrong = TestEnv::new();
    wrong.set("target_pass", "not the app password");
    let revoked = with_token(Duration::ZERO);
    revoked
        .target
        .token_trouble(TokenTrouble::ExpiredOrRevoked, 99);
    let closed = TestEnv::new();
    let no = Fault::Answer("NO [NONEXISTENT] Unknown Mailbox: INBOX (Failure)".into());
    closed
        .target
        .fault(On::each("EXAMINE").line_with("INBOX"), no);
    for (env, words) in [
        (wrong, "Invalid credentials"),
        (revoked, "Token has been expired or revoked."),
        (closed, "Unknown Mailbox: INBOX"),
    ] {
        for mails in [0, 1] {
            env.mails(mails);
            let ran = env.run();
            assert_eq!(ran.status, 4, "{words}: {}", ran.err);
            assert!(!ran.err.contains("done"), "{}", ran.err);
            let (error, hint) = ran.err.split_once("\n\nhint: ").expect(&ran.err);
            assert!(error.contains(words) && hint.len() > 20, "{}", ran.err);
            let trouble = trouble(&env);
            assert_eq!(trouble["kind"], "needs_user", "{trouble}");
            assert!(trouble["message"].as_str().unwrap().contains(words));
            // What is there is recorded; a Gmail whose INBOX does not open takes mail all the same.
            let status = env.status();
            let known = status["pending"].as_u64().zip(status["delivered"].as_u64());
            assert_eq!(known.map(|(p, d)| p + d), Some(mails as u64), "{status}");
        }
    }
}

#[test]
fn a_refused_password_is_tried_once_in_a_run_however_the_source_is() {
    let mut env = TestEnv::new();
    env.target.refuse_login(Refusal::InvalidCredentials, 99);
    // The source is out of reach at first.
    env.source
        .fault(On::nth(1, "CONNECT").times(2), Fault::CutBefore);
    env.set("connections", 3);
    env.mails(9);
    let ran = env.run();
    assert_eq!(ran.status, 4, "{}", ran.err);
    assert_eq!(env.status()["pending"], 9, "{}", ran.err);
    assert_eq!(env.target.transcript().commands("AUTHENTICATE"), 1);
}

#[test]
fn a_daemon_says_it_at_once_on_every_road_and_takes_the_mended_one() {
    let mut env = TestEnv::new();
    let good = env.target.password().to_string();
    let socket = env.dir.path().join("notify");
    let system = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    system.set_nonblocking(true).unwrap();
    let path = socket.to_str().unwrap().to_string();
    env.variables.push(("NOTIFY_SOCKET", path));
    env.set("target_pass", "not the app password");
    let told = Told::by(&env, &[]);
    eventually("a person is asked for", || {
        trouble(&env)["kind"] == "needs_user"
    });
    let said = trouble(&env);
    assert!(said["hint"].is_string(), "{said}");
    eventually("the log has it with its hint", || {
        told.lines().iter().any(|l| {
            l.contains(" ERROR ") && l.contains("Invalid credentials") && l.contains("; hint: ")
        })
    });
    let mut status = String::new();
    eventually("systemd has it", || {
        let mut buffer = [0; 1000];
        while let Ok(n) = system.recv(&mut buffer) {
            let line = String::from_utf8_lossy(&buffer[..n]).into_owned();
            if line.starts_with("STATUS=") {
                status = line;
            }
        }
        status.contains("Invalid credentials")
    });
    // Nothing of that holds up the watching.
    env.mails(1);
    eventually("mail is recorded", || env.status()["pending"] == 1);
    env.set("target_pass", good);
    eventually("it is delivered", || env.held().len() == 1);
    eventually("all is well again", || trouble(&env).is_null());
    told.end();
}

#[test]
fn a_target_that_is_out_of_reach_at_the_start_is_no_end() {
    let mut env = TestEnv::new();
    let good = env.target.port();
    env.set("target_port", free_port());
    let ran = env.run();
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert!(ran.err.contains("trying again"), "{}", ran.err);
    let told = Told::by(&env, &[]);
    told.says("cannot be reached");
    env.set("target_port", good);
    env.mails(1);
    eventually("it is delivered", || env.held().len() == 1);
    told.end();
}

/// A daemon within this process, with intervals of its own.
pub(crate) struct Daemon {
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
}

impl Daemon {
    /// `meanwhile` happens after the configuration was read.
    pub(crate) fn start(
        env: &mut TestEnv,
        times: Intervals,
        meanwhile: impl FnOnce(&mut TestEnv),
    ) -> Daemon {
        let config_of = changed_at(&env.config_file());
        let config = Config::load(&env.config_file(), Utc::now()).unwrap();
        meanwhile(env);
        let lock = ledger::lock(&env.ledger_file()).unwrap();
        let ledger = Ledger::open_or_create(&env.ledger_file(), true)
            .unwrap()
            .locked_by(lock);
        let engine = Engine::new(config, times, ledger).unwrap();
        let stopper = engine.stopper();
        let watch = Watch {
            config_file: env.config_file(),
            config_of,
            poll: Duration::from_secs(60),
            idle: true,
            ledger_given: false,
            begun_anew: false,
            spread: Duration::ZERO,
        };
        let run = move |engine: Arc<Engine>| {
            engine.run_for_good(&watch).unwrap();
        };
        Daemon {
            stopper,
            thread: Some(std::thread::spawn(move || run(engine))),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stopper.stop();
        let _ = self.thread.take().unwrap().join();
    }
}

fn often() -> Intervals {
    Intervals {
        sign_in: Duration::from_millis(300),
        keep: Duration::from_millis(200),
        needs_user: Duration::from_millis(300),
        ..route::quick()
    }
}

#[test]
fn while_nothing_is_delivered_it_is_tried_again_and_again() {
    let mut env = TestEnv::new();
    let _daemon = Daemon::start(&mut env, often(), |_| {});
    let tried = || env.target.transcript().commands("AUTHENTICATE");
    eventually("it is tried", || tried() > 3);
    assert_eq!(trouble(&env), json!(null));
    env.target.refuse_login(Refusal::InvalidCredentials, 1);
    eventually("a person is asked for", || {
        trouble(&env)["kind"] == "needs_user"
    });
    eventually("all is well again", || trouble(&env).is_null());
    eventually("no connection is kept for it", || {
        env.target.signed_in() == 0
    });
}

#[test]
fn what_is_changed_while_the_configuration_is_read_is_read_again() {
    let mut env = TestEnv::new();
    let good = env.target.password().to_string();
    env.set("target_pass", "not the app password");
    env.mails(1);
    let _daemon = Daemon::start(&mut env, route::quick(), |env| {
        env.set("target_pass", good);
    });
    eventually("it is delivered", || env.held().len() == 1);
}

#[test]
fn a_refresh_token_that_is_dead_is_told_while_the_access_token_lives_and_stops_nothing() {
    let mut env = with_token(HOUR);
    env.target
        .token_trouble(TokenTrouble::ExpiredOrRevoked, 999);
    let told = Told::by(&env, &[]);
    eventually("a person is asked for", || {
        trouble(&env)["kind"] == "needs_user"
    });
    for n in 0..3 {
        env.mail(&format!("<{n}@x>"), "mail still flows");
        eventually("it is delivered", || env.held().len() == n + 1);
        assert_eq!(trouble(&env)["kind"], "needs_user", "and it is still said");
    }
    env.target.clear_faults();
    let token = env.target.issue_token(HOUR);
    let token = env.target.token_json(&token, HOUR);
    env.write_token(&serde_json::from_str(&token).unwrap());
    eventually("all is well again", || trouble(&env).is_null());
    told.end();
}

#[test]
fn a_token_endpoint_that_is_out_of_reach_stops_nothing_while_the_token_lives() {
    let env = with_token(HOUR);
    env.target.token_trouble(TokenTrouble::Close, 999);
    let told = Told::by(&env, &[]);
    eventually("it is entered", || {
        env.target.transcript().commands("EXAMINE") > 0
    });
    env.mails(1);
    eventually("it is delivered", || env.held().len() == 1);
    assert_eq!(trouble(&env), json!(null));
    told.end();
}

#[test]
fn a_run_with_nothing_new_costs_one_sign_in_and_one_with_mail_none_more() {
    let env = TestEnv::new();
    env.run_until_done(1);
    let before = env.target.lines();
    env.run_until_done(1);
    let gmail = env.target.transcript().after(before);
    let count = |what| gmail.commands(what);
    assert_eq!(
        (count("AUTHENTICATE"), count("EXAMINE"), count("FETCH")),
        (1, 1, 0),
        "{gmail}"
    );
    // The greeting's capabilities, AUTHENTICATE, LIST, EXAMINE, LOGOUT.
    assert!(gmail.flights() <= 6, "{} {gmail}", gmail.flights());
    let before = env.target.lines();
    env.mails(1);
    env.run_until_done(1);
    let gmail = env.target.transcript().after(before);
    assert_eq!(gmail.commands("AUTHENTICATE"), 1, "{gmail}");
}

#[test]
fn what_asks_for_patience_at_the_door_is_no_failure_where_nothing_waits() {
    let env = TestEnv::new();
    env.target.refuse_login(Refusal::TooManyConnections, 99);
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.err.contains("nothing waits for it"), "{}", ran.err);
    env.mails(1);
    assert_eq!(env.run().status, 3);
}

/// The network comes back while a run waits: what refused the try before is over with the next one, although that
/// finds that nobody's patience is left.
#[test]
fn a_refusal_is_over_when_the_next_try_gets_in() {
    let mut env = TestEnv::new();
    env.mails(1);
    let ways = ["source_port", "target_port"].map(|key| {
        let port = match key {
            "source_port" => env.source.port(),
            _ => env.target.port(),
        };
        let way = Proxy::start(port);
        way.refuse(true);
        env.set(key, way.port());
        way
    });
    let patience = Duration::from_secs(3);
    let times = Intervals {
        reconnect: (2 * patience, 2 * patience),
        once_patience: patience,
        ..route::quick()
    };
    let config = Config::load(&env.config_file(), Utc::now()).unwrap();
    let lock = ledger::lock(&env.ledger_file()).unwrap();
    let ledger = Ledger::open_or_create(&env.ledger_file(), true)
        .unwrap()
        .locked_by(lock);
    let engine = Engine::new(config, times, ledger).unwrap();
    let running = std::thread::spawn(move || engine.run_once());
    eventually("it is told", || !trouble(&env).is_null());
    ways.iter().for_each(|way| way.refuse(false));
    let ended = running.join().unwrap();
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!(env.held().len(), 1);
}
