//! The source is entered with a token, as Microsoft wants it: a public client, refresh tokens that rotate, and sessions that
//! end with their token.

mod refusals;
mod token_file;

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gmail_stand_in::{Fault, Gmail, On, Options, TOKEN_EXPIRED};
use serde_json::Value;

use crate::testkit::env::TestEnv;
use crate::testkit::eventually;

const HOUR: Duration = Duration::from_secs(3600);

const LIMIT: Duration = Duration::from_secs(20);

/// Outlook's stand-in holds three messages and is entered with a token file whose access token has run out.
fn prepared() -> TestEnv {
    let mut env = TestEnv::new();
    let source = Gmail::start(Options::outlook());
    env.set("source_port", source.port())
        .set("source_ca_file", source.ca_file().to_str().unwrap())
        .set("source_user", source.account())
        .set("source_pass", Value::Null);
    env.source = source;
    env.mails(3);
    let token = expired(&env.source);
    write(&mut env, &token);
    env
}

/// The same, with these scopes in the token file.
pub(crate) fn env_with_scopes(scopes: &Value) -> TestEnv {
    let mut env = prepared();
    let mut token = expired(&env.source);
    token["scopes"] = scopes.clone();
    write(&mut env, &token);
    env
}

fn expired(server: &Gmail) -> Value {
    let text = server.token_json("EwB.run-out", Duration::ZERO);
    let mut token: Value = serde_json::from_str(&text).unwrap();
    token["expiry"] = "2020-01-02T03:04:05Z".into();
    token
}

fn file(env: &TestEnv) -> PathBuf {
    env.dir.path().join("source.json")
}

fn write(env: &mut TestEnv, token: &Value) {
    let path = file(env);
    fs::write(&path, token.to_string()).unwrap();
    env.set("source_token_file", path.to_str().unwrap());
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The refresh tokens that the endpoint was shown.
fn shown(server: &Gmail) -> Vec<String> {
    let requests = server.token_requests();
    let tokens = requests
        .iter()
        .map(|r| r.field("refresh_token").unwrap_or_default());
    tokens.map(str::to_string).collect()
}

/// The program running; ended when dropped.
struct Running(Child);

impl Running {
    /// SIGTERM, and what it logged.
    fn end(mut self) -> String {
        self.terminate();
        let log = self.log();
        assert_eq!(self.0.wait().unwrap().code(), Some(0));
        log
    }

    fn terminate(&self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
    }

    fn log(&mut self) -> String {
        let mut log = String::new();
        if let Some(mut err) = self.0.stderr.take() {
            let _ = err.read_to_string(&mut log);
        }
        log
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.terminate();
        let _ = self.0.wait();
        if std::thread::panicking() {
            println!("{}", self.log());
        }
    }
}

fn arrives(env: &TestEnv, count: usize) {
    eventually("the mail arrives", || env.held().len() >= count);
}

#[track_caller]
fn assert_quiet(log: &str) {
    let loud = |l: &&str| l.contains(" WARN ") || l.contains(" ERROR ");
    let loud: Vec<&str> = log.lines().filter(loud).collect();
    assert!(loud.is_empty(), "{loud:?}\n{log}");
}

#[test]
fn a_public_client_renews_without_a_secret_and_what_rotates_is_in_the_file() {
    let env = prepared();
    let before = read(&file(&env));
    assert!(before.get("client_secret").is_none());
    env.run_until_done(1);
    env.assert_complete();
    let requests = env.source.token_requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].field("client_secret"), None);
    let after = read(&file(&env));
    for key in ["client_id", "token_uri", "scopes"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    for key in ["token", "refresh_token", "expiry"] {
        assert_ne!(after[key], before[key], "{key}");
    }
    let mode = fs::metadata(file(&env)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // The next run uses it as it is.
    env.mail("<later@x>", "later");
    env.run_until_done(1);
    assert_eq!(env.source.token_requests().len(), 1);
}

#[test]
fn what_rotates_is_on_disk_before_it_is_used() {
    let env = prepared();
    let before = read(&file(&env));
    let hits = env.source.fault(On::nth(1, "AUTHENTICATE"), Fault::Stall);
    let mut child = env.spawn(&[]);
    eventually("the token is used", || hits.count() == 1);
    child.kill().unwrap();
    child.wait().unwrap();
    let after = read(&file(&env));
    assert_ne!(after["refresh_token"], before["refresh_token"]);
    env.run_until_done(1);
    env.assert_complete();
    assert_eq!(env.source.token_requests().len(), 1);
}

#[test]
fn renewals_follow_each_other_over_restarts() {
    let mut env = prepared();
    for n in 1..=4 {
        env.mail(&format!("<again-{n}@x>"), "text");
        env.run_until_done(1);
        assert_eq!(env.source.token_requests().len(), n);
        // An hour later.
        let mut token = read(&file(&env));
        token["expiry"] = "2020-01-02T03:04:05Z".into();
        write(&mut env, &token);
    }
    env.assert_complete();
    let mut tokens = shown(&env.source);
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), 4, "no refresh token was used twice");
}

#[test]
fn sessions_that_end_with_their_token_are_opened_again_and_nobody_is_troubled() {
    let env = prepared();
    let running = Running(env.spawn_for_good(&[]));
    arrives(&env, 3);
    for n in 0..3 {
        let ended = || {
            let transcript = env.source.transcript();
            let lines = transcript.server();
            lines.iter().filter(|l| l.contains(TOKEN_EXPIRED)).count()
        };
        let before = ended();
        env.source.clock().advance(2 * HOUR);
        eventually("the server ends the session", || ended() > before);
        env.mail(&format!("<hour-{n}@x>"), "text");
        arrives(&env, 4 + n);
    }
    assert!(env.status()["trouble"].is_null());
    assert!(env.source.token_requests().len() >= 4);
    assert_quiet(&running.end());
    env.run_until_done(1);
    env.assert_complete();
}

#[test]
fn a_run_that_is_longer_than_many_tokens_goes_on() {
    let env = prepared();
    env.source.knobs(|k| k.token_life = Duration::from_secs(2));
    let mut running = Running(env.spawn_for_good(&[]));
    // It logs more than a pipe holds.
    let mut err = running.0.stderr.take().unwrap();
    let log = std::thread::spawn(move || {
        let mut log = String::new();
        err.read_to_string(&mut log).map(|_| log)
    });
    let mut n = 3;
    let renewed = || env.source.token_requests().len() >= 5;
    // Of more mail the log would fill the pipe, which nobody reads before the end.
    while !renewed() && n < 200 {
        arrives(&env, n);
        env.mail(&format!("<{n}@y>"), "text");
        n += 1;
    }
    eventually("tokens have run out again and again", renewed);
    arrives(&env, n);
    running.end();
    assert_quiet(&log.join().unwrap().unwrap());
    env.run_until_done(1);
    env.assert_complete();
    let tokens = shown(&env.source);
    assert!(tokens.windows(2).all(|t| t[0] != t[1]), "{tokens:?}");
}

#[test]
fn both_sides_with_tokens() {
    let mut env = prepared();
    env.set("target_pass", Value::Null);
    let mut token: Value = serde_json::from_str(&env.target.token_json("ya29.x", HOUR)).unwrap();
    token["expiry"] = "2020-01-02T03:04:05Z".into();
    env.write_token(&token);
    env.run_until_done(1);
    env.assert_complete();
    assert_eq!(env.source.token_requests().len(), 1);
    assert_eq!(env.target.token_requests().len(), 1);
    assert!(
        env.target.token_requests()[0]
            .field("client_secret")
            .is_some()
    );
}

#[test]
fn the_sources_token_is_shown_nowhere() {
    let env = prepared();
    env.source
        .fault(On::nth(1, "AUTHENTICATE"), Fault::EchoCommandInBad);
    let ran = env.run_with(&["--debug"]);
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.err.contains("AUTHENTICATE XOAUTH2 (credentials)"));
    assert!(ran.err.contains("***"), "it was echoed: {}", ran.err);
    let now = read(&file(&env));
    let token = now["token"].as_str().unwrap();
    let response = format!(
        "user={}\x01auth=Bearer {token}\x01\x01",
        env.source.account()
    );
    let mut secrets = vec![
        token.to_string(),
        STANDARD.encode(token),
        STANDARD.encode(response),
    ];
    secrets.push(now["refresh_token"].as_str().unwrap().into());
    secrets.extend(shown(&env.source));
    let ledger = fs::read(env.ledger_file()).unwrap();
    for secret in secrets {
        // Pieces, too: what all tokens of the stand-in begin with is no secret.
        let pieces = [&secret[..], &secret[secret.len() - 12..]];
        for piece in pieces {
            assert!(!ran.err.contains(piece), "{piece}: {}", ran.err);
            let there = ledger.windows(piece.len()).any(|w| w == piece.as_bytes());
            assert!(!there, "{piece} is in the ledger");
        }
    }
}
