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
    let mut stage = TestEnv::new();
    stage.set("target_pass", Value::Null);
    let token = stage.target.issue_token(life);
    let token = stage.target.token_json(&token, life);
    stage.write_token(&serde_json::from_str(&token).unwrap());
    stage
}

pub(crate) fn trouble(stage: &TestEnv) -> Value {
    stage.status_soon()["trouble"].take()
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
    for (stage, words) in [
        (wrong, "Invalid credentials"),
        (revoked, "Token has been expired or revoked."),
        (closed, "Unknown Mailbox: INBOX"),
    ] {
        for mails in [0, 1] {
            stage.mails(mails);
            let ran = stage.run();
            assert_eq!(ran.status, 4, "{words}: {}", ran.err);
            assert!(!ran.err.contains("done"), "{}", ran.err);
            let (error, hint) = ran.err.split_once("\n\nhint: ").expect(&ran.err);
            assert!(error.contains(words) && hint.len() > 20, "{}", ran.err);
            let trouble = trouble(&stage);
            assert_eq!(trouble["kind"], "needs_user", "{trouble}");
            assert!(trouble["message"].as_str().unwrap().contains(words));
            // What is there is recorded; a Gmail whose INBOX does not open takes mail all the same.
            let status = stage.status();
            let known = status["pending"].as_u64().zip(status["delivered"].as_u64());
            assert_eq!(known.map(|(p, d)| p + d), Some(mails as u64), "{status}");
        }
    }
}

#[test]
fn a_refused_password_is_tried_once_in_a_run_however_the_source_is() {
    let mut stage = TestEnv::new();
    stage.target.refuse_login(Refusal::InvalidCredentials, 99);
    // The source is out of reach at first.
    stage
        .source
        .fault(On::nth(1, "CONNECT").times(2), Fault::CutBefore);
    stage.set("connections", 3);
    stage.mails(9);
    let ran = stage.run();
    assert_eq!(ran.status, 4, "{}", ran.err);
    assert_eq!(stage.status()["pending"], 9, "{}", ran.err);
    assert_eq!(stage.target.transcript().commands("AUTHENTICATE"), 1);
}

#[test]
fn a_daemon_says_it_at_once_on_every_road_and_takes_the_mended_one() {
    let mut stage = TestEnv::new();
    let good = stage.target.password().to_string();
    let socket = stage.dir.path().join("notify");
    let system = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    system.set_nonblocking(true).unwrap();
    let path = socket.to_str().unwrap().to_string();
    stage.env.push(("NOTIFY_SOCKET", path));
    stage.set("target_pass", "not the app password");
    let told = Told::by(&stage, &[]);
    eventually("a person is asked for", || {
        trouble(&stage)["kind"] == "needs_user"
    });
    let said = trouble(&stage);
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
    stage.mails(1);
    eventually("mail is recorded", || stage.status()["pending"] == 1);
    stage.set("target_pass", good);
    eventually("it is delivered", || stage.held().len() == 1);
    eventually("all is well again", || trouble(&stage).is_null());
    told.end();
}

#[test]
fn a_target_that_is_out_of_reach_at_the_start_is_no_end() {
    let mut stage = TestEnv::new();
    let good = stage.target.port();
    stage.set("target_port", free_port());
    let ran = stage.run();
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert!(ran.err.contains("trying again"), "{}", ran.err);
    let told = Told::by(&stage, &[]);
    told.says("cannot be reached");
    stage.set("target_port", good);
    stage.mails(1);
    eventually("it is delivered", || stage.held().len() == 1);
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
        stage: &mut TestEnv,
        times: Intervals,
        meanwhile: impl FnOnce(&mut TestEnv),
    ) -> Daemon {
        let config_of = changed_at(&stage.config_file());
        let config = Config::load(&stage.config_file(), Utc::now()).unwrap();
        meanwhile(stage);
        let lock = ledger::lock(&stage.ledger_file()).unwrap();
        let ledger = Ledger::open_or_create(&stage.ledger_file(), true)
            .unwrap()
            .locked_by(lock);
        let engine = Engine::new(config, times, ledger).unwrap();
        let stopper = engine.stopper();
        let watch = Watch {
            config_file: stage.config_file(),
            config_of,
            poll: Duration::from_secs(60),
            idle: true,
            ledger_given: false,
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
    let mut stage = TestEnv::new();
    let _daemon = Daemon::start(&mut stage, often(), |_| {});
    let tried = || stage.target.transcript().commands("AUTHENTICATE");
    eventually("it is tried", || tried() > 3);
    assert_eq!(trouble(&stage), json!(null));
    stage.target.refuse_login(Refusal::InvalidCredentials, 1);
    eventually("a person is asked for", || {
        trouble(&stage)["kind"] == "needs_user"
    });
    eventually("all is well again", || trouble(&stage).is_null());
    eventually("no connection is kept for it", || {
        stage.target.signed_in() == 0
    });
}

#[test]
fn what_is_changed_while_the_configuration_is_read_is_read_again() {
    let mut stage = TestEnv::new();
    let good = stage.target.password().to_string();
    stage.set("target_pass", "not the app password");
    stage.mails(1);
    let _daemon = Daemon::start(&mut stage, route::quick(), |stage| {
        stage.set("target_pass", good);
    });
    eventually("it is delivered", || stage.held().len() == 1);
}

#[test]
fn a_refresh_token_that_is_dead_is_told_while_the_access_token_lives_and_stops_nothing() {
    let mut stage = with_token(HOUR);
    stage
        .target
        .token_trouble(TokenTrouble::ExpiredOrRevoked, 999);
    let told = Told::by(&stage, &[]);
    eventually("a person is asked for", || {
        trouble(&stage)["kind"] == "needs_user"
    });
    for n in 0..3 {
        stage.mail(&format!("<{n}@x>"), "mail still flows");
        eventually("it is delivered", || stage.held().len() == n + 1);
        assert_eq!(
            trouble(&stage)["kind"],
            "needs_user",
            "and it is still said"
        );
    }
    stage.target.clear_faults();
    let token = stage.target.issue_token(HOUR);
    let token = stage.target.token_json(&token, HOUR);
    stage.write_token(&serde_json::from_str(&token).unwrap());
    eventually("all is well again", || trouble(&stage).is_null());
    told.end();
}

#[test]
fn a_token_endpoint_that_is_out_of_reach_stops_nothing_while_the_token_lives() {
    let stage = with_token(HOUR);
    stage.target.token_trouble(TokenTrouble::Close, 999);
    let told = Told::by(&stage, &[]);
    eventually("it is entered", || {
        stage.target.transcript().commands("EXAMINE") > 0
    });
    stage.mails(1);
    eventually("it is delivered", || stage.held().len() == 1);
    assert_eq!(trouble(&stage), json!(null));
    told.end();
}

#[test]
fn a_run_with_nothing_new_costs_one_sign_in_and_one_with_mail_none_more() {
    let stage = TestEnv::new();
    stage.run_until_done(1);
    let before = stage.target.lines();
    stage.run_until_done(1);
    let gmail = stage.target.transcript().after(before);
    let count = |what| gmail.commands(what);
    assert_eq!(
        (count("AUTHENTICATE"), count("EXAMINE"), count("FETCH")),
        (1, 1, 0),
        "{gmail}"
    );
    // The greeting's capabilities, AUTHENTICATE, LIST, EXAMINE, LOGOUT.
    assert!(gmail.flights() <= 6, "{} {gmail}", gmail.flights());
    let before = stage.target.lines();
    stage.mails(1);
    stage.run_until_done(1);
    let gmail = stage.target.transcript().after(before);
    assert_eq!(gmail.commands("AUTHENTICATE"), 1, "{gmail}");
}

#[test]
fn what_asks_for_patience_at_the_door_is_no_failure_where_nothing_waits() {
    let stage = TestEnv::new();
    stage.target.refuse_login(Refusal::TooManyConnections, 99);
    let ran = stage.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.err.contains("nothing waits for it"), "{}", ran.err);
    stage.mails(1);
    assert_eq!(stage.run().status, 3);
}

/// The network comes back while a run waits: what refused the try before is over with the next one, although that
/// finds that nobody's patience is left.
#[test]
fn a_refusal_is_over_when_the_next_try_gets_in() {
    let mut stage = TestEnv::new();
    stage.mails(1);
    let ways = ["source_port", "target_port"].map(|key| {
        let port = match key {
            "source_port" => stage.source.port(),
            _ => stage.target.port(),
        };
        let way = Proxy::start(port);
        way.refuse(true);
        stage.set(key, way.port());
        way
    });
    let patience = Duration::from_secs(3);
    let times = Intervals {
        reconnect: (2 * patience, 2 * patience),
        once_patience: patience,
        ..route::quick()
    };
    let config = Config::load(&stage.config_file(), Utc::now()).unwrap();
    let lock = ledger::lock(&stage.ledger_file()).unwrap();
    let ledger = Ledger::open_or_create(&stage.ledger_file(), true)
        .unwrap()
        .locked_by(lock);
    let engine = Engine::new(config, times, ledger).unwrap();
    let running = std::thread::spawn(move || engine.run_once());
    eventually("it is told", || !trouble(&stage).is_null());
    ways.iter().for_each(|way| way.refuse(false));
    let ended = running.join().unwrap();
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!(stage.held().len(), 1);
}
