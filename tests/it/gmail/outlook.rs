//! The source is entered with a token, as Microsoft wants it: a public client, refresh tokens that rotate, sessions
//! that end with their token, and Exchange's own words.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use gmail_stand_in::{
    Fault, Gmail, OUTLOOK_SCOPE, On, Options, Refusal, TOKEN_EXPIRED, TokenTrouble,
};
use imap_to_gmail::oauth::Tokens;
use serde_json::{Value, json};

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
        assert_eq!(self.0.wait().unwrap().code(), Some(0));
        self.log()
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

/// A file without a name can be read through its descriptor, but nothing can be put in its place, not even by root.
fn nameless(env: &TestEnv) -> (fs::File, String) {
    let mut file = tempfile::tempfile().unwrap();
    let token = expired(&env.source).to_string();
    file.write_all(token.as_bytes()).unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    (file, path)
}

#[test]
fn a_file_that_cannot_be_written_is_outlived_by_the_newest_refresh_token() {
    let env = prepared();
    let (open, path) = nameless(&env);
    let link = env.dir.path().join("link.json");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let tokens = Tokens::new(&link, LIMIT);
    let mut access = tokens.access(Utc::now()).unwrap();
    for _ in 0..3 {
        access = tokens.instead_of(&access, Utc::now()).unwrap();
    }
    let used = shown(&env.source);
    assert_eq!(used.len(), 4, "each of them with the one that came last");
    assert!(used.windows(2).all(|t| t[0] != t[1]), "{used:?}");
    // Now it can be written: what was kept goes there, and the next process needs no new sign-in.
    fs::remove_file(&link).unwrap();
    fs::write(&link, expired(&env.source).to_string()).unwrap();
    tokens.access(Utc::now()).unwrap();
    let next = Tokens::new(&link, LIMIT).access(Utc::now()).unwrap();
    assert_eq!(next.token.reveal(), access.token.reveal());
    let next = Tokens::new(&link, LIMIT)
        .instead_of(&next, Utc::now())
        .unwrap();
    assert!(next.fresh);
    assert_eq!(env.source.token_requests().len(), 5);
    drop(open);
}

#[test]
fn it_is_said_that_a_restart_will_need_a_new_sign_in() {
    let mut env = prepared();
    let (_open, path) = nameless(&env);
    env.set("source_token_file", path);
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    env.assert_complete();
    let said = "the next restart, that will need a new sign-in";
    assert_eq!(ran.err.matches(said).count(), 1, "{}", ran.err);
}

#[test]
fn those_who_share_a_file_that_rotates_renew_it_once() {
    let env = prepared();
    env.source
        .token_trouble(TokenTrouble::Slow(Duration::from_millis(300)), 1);
    let path = file(&env);
    let took: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            // As processes of their own would: each with a lock and a memory of its own.
            .map(|_| scope.spawn(|| Tokens::new(&path, LIMIT).access(Utc::now())))
            .collect();
        threads
            .into_iter()
            .map(|t| t.join().unwrap().unwrap().token.reveal().clone())
            .collect()
    });
    assert_eq!(env.source.token_requests().len(), 1);
    assert!(took.iter().all(|t| *t == took[0]), "{took:?}");
}

#[test]
fn another_program_that_was_faster_costs_nothing() {
    let env = prepared();
    let path = file(&env);
    let theirs = env.dir.path().join("theirs.json");
    fs::copy(&path, &theirs).unwrap();
    let newest = Tokens::new(&theirs, LIMIT).access(Utc::now()).unwrap();
    env.source
        .token_trouble(TokenTrouble::Slow(Duration::from_millis(500)), 1);
    let ours = std::thread::scope(|scope| {
        let ours = scope.spawn(|| Tokens::new(&path, LIMIT).access(Utc::now()));
        // While our request with the dead refresh token is on its way, they put the file in place.
        eventually("the request is there", || {
            env.source.token_requests().len() == 2
        });
        fs::rename(&theirs, &path).unwrap();
        ours.join().unwrap()
    });
    assert_eq!(ours.unwrap().token.reveal(), newest.token.reveal());
    // Where nothing has changed, once is enough.
    write_dead(&path);
    let error = Tokens::new(&path, LIMIT).access(Utc::now()).unwrap_err();
    assert!(error.message.contains("invalid_grant"), "{error}");
    assert_eq!(env.source.token_requests().len(), 3);
}

fn write_dead(path: &Path) {
    let mut token = read(path);
    token["refresh_token"] = "1//dead".into();
    token["expiry"] = "2020-01-02T03:04:05Z".into();
    fs::write(path, token.to_string()).unwrap();
}

#[test]
fn only_what_others_write_is_news() {
    let env = prepared();
    let tokens = Tokens::new(&file(&env), LIMIT);
    let first = tokens.edition();
    let access = tokens.access(Utc::now()).unwrap();
    tokens.instead_of(&access, Utc::now()).unwrap();
    assert_eq!(tokens.edition(), first);
    Tokens::new(&file(&env), LIMIT)
        .instead_of(&tokens.access(Utc::now()).unwrap(), Utc::now())
        .unwrap();
    assert_ne!(tokens.edition(), first);
    let second = tokens.edition();
    fs::remove_file(file(&env)).unwrap();
    assert_ne!(tokens.edition(), second);
}

fn microsoft(error: &str, description: &str) -> TokenTrouble {
    let body = json!({"error": error, "error_description": description, "error_codes": [0],
        "timestamp": "2026-11-23 08:00:00Z", "trace_id": "7d-trace", "correlation_id": "9b"});
    TokenTrouble::Status(400, body.to_string())
}

#[test]
fn microsofts_refusals_end_the_run_with_what_to_do() {
    let tail = " Trace ID: 7d-trace Correlation ID: 9b Timestamp: 2026-11-23 08:00:00Z";
    for (error, description, hint) in [
        (
            "invalid_grant",
            "AADSTS700082: The refresh token has expired due to inactivity.",
            "90 days without use",
        ),
        (
            "invalid_grant",
            "AADSTS70000: The user could not be authenticated or the grant is expired.",
            "sign in again",
        ),
        (
            "interaction_required",
            "AADSTS50076: You must use multi-factor authentication.",
            "sign in again",
        ),
        (
            "invalid_client",
            "AADSTS7000218: The request body must contain: 'client_assertion' or 'client_secret'.",
            "Allow public client flows",
        ),
        (
            "unauthorized_client",
            "AADSTS700016: Application was not found in the directory.",
            "app registration",
        ),
    ] {
        let env = prepared();
        let words = format!("{description}{tail}");
        env.source.token_trouble(microsoft(error, &words), 99);
        let ran = env.run();
        assert_eq!(ran.status, 4, "{}", ran.err);
        let want = format!(
            "the token cannot be renewed; the server said: {error} ({description})\n\nhint: "
        );
        let (_, after) = ran.err.split_once(&want).expect(&ran.err);
        assert!(after.contains(hint), "{}", ran.err);
        assert!(!after.contains("Google"), "{}", ran.err);
        env.source.clear_faults();
        env.run_until_done(1);
        env.assert_complete();
    }
}

#[test]
fn a_sign_in_that_is_taken_back_is_mended_by_a_new_file() {
    let mut env = prepared();
    let running = Running(env.spawn_for_good(&[]));
    arrives(&env, 3);
    let dead = read(&file(&env));
    for key in ["token", "refresh_token"] {
        env.source.revoke(dead[key].as_str().unwrap());
    }
    env.source.cut_connections();
    eventually("a person is asked for", || {
        env.status()["trouble"]["kind"] == "needs_user"
    });
    env.mail("<meanwhile@x>", "text");
    let mut token = expired(&env.source);
    token["refresh_token"] = env.source.grant().into();
    write(&mut env, &token);
    arrives(&env, 4);
    eventually("all is well again", || env.status()["trouble"].is_null());
    drop(running);
    env.run_until_done(1);
    env.assert_complete();
}

#[test]
fn a_token_of_another_account_is_a_persons_affair_and_not_renewed_over_and_over() {
    let other = || TokenTrouble::OtherAccount("other@outlook.com".into());
    let env = prepared();
    env.source.token_trouble(other(), 999);
    let ran = env.run();
    assert_eq!(ran.status, 4, "{}", ran.err);
    for words in [
        "AUTHENTICATE failed",
        "hint: sign in again, with the account",
    ] {
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
    }
    let _running = Running(env.spawn_for_good(&[]));
    assert_slow(&env.source);
}

#[test]
fn nor_is_it_at_the_target() {
    let mut env = prepared();
    env.set("target_pass", Value::Null);
    let text = env.target.token_json("ya29.x", HOUR);
    env.write_token(&serde_json::from_str(&text).unwrap());
    let other = TokenTrouble::OtherAccount("other@gmail.com".into());
    env.target.token_trouble(other, 999);
    let _running = Running(env.spawn_for_good(&[]));
    assert_slow(&env.target);
}

/// Our own renewals must not look like a person's new file: attempts are two seconds apart here.
fn assert_slow(server: &Gmail) {
    let requests = || server.token_requests().len();
    let begun = requests();
    eventually("it is tried", || requests() > begun);
    let (since, from) = (Instant::now(), requests());
    eventually("it is tried again", || requests() >= from + 2);
    let took = since.elapsed();
    assert!(took > Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_scope_that_was_not_granted_is_said_and_the_new_refresh_token_kept() {
    let env = prepared();
    env.source
        .token_trouble(TokenTrouble::Scope("openid".into()), 1);
    let before = read(&file(&env));
    let ran = env.run();
    assert_eq!(ran.status, 4, "{}", ran.err);
    let said = format!("the scope {OUTLOOK_SCOPE} was not granted");
    assert!(ran.err.contains(&said), "{}", ran.err);
    let after = read(&file(&env));
    assert_ne!(after["refresh_token"], before["refresh_token"]);
    assert_eq!(after["token"], before["token"]);
    env.run_until_done(1);
    env.assert_complete();
}

#[test]
fn a_mailbox_that_is_not_connected_is_no_success_and_passes() {
    const WORDS: &str = "BAD User is authenticated but not connected.";
    for command in ["AUTHENTICATE", "EXAMINE", "UID FETCH"] {
        let env = prepared();
        env.source
            .fault(On::each(command), Fault::Answer(WORDS.into()));
        let ran = env.run();
        assert_eq!(ran.status, 4, "{command}: {}", ran.err);
        for words in [
            "does not open the mailbox; the server said: User is authenticated but not connected\n",
            "hint: it may pass by itself",
        ] {
            assert!(ran.err.contains(words), "{command}: {}", ran.err);
        }
        assert_eq!(env.source.token_requests().len(), 1, "{command}");
        assert!(env.held().is_empty());
        env.source.clear_faults();
        env.run_until_done(1);
        env.assert_complete();
        let charged: i64 =
            env.one("SELECT count(*) FROM message WHERE first_failed_at IS NOT NULL");
        assert_eq!(charged, 0);
    }
}

#[test]
fn a_password_for_microsoft_is_answered_with_what_it_wants() {
    let env = TestEnv::new();
    let words = "NO Basic authentication is disabled.";
    env.source.refuse_login(Refusal::Other(words.into()), 99);
    let ran = env.run();
    assert_eq!(ran.status, 4, "{}", ran.err);
    let (error, hint) = ran.err.split_once("\n\nhint: ").unwrap();
    assert!(error.ends_with("(`source_pass`); the server said: Basic authentication is disabled"));
    assert!(hint.contains("put `\"source_token_file\": "), "{hint}");
}

#[test]
fn a_stated_delay_is_kept_at_either_side() {
    let throttle = "BAD Request is throttled. Suggested Backoff Time: 2500 milliseconds";
    for (source, command) in [(true, "EXAMINE"), (false, "APPEND")] {
        let env = prepared();
        let server = if source { &env.source } else { &env.target };
        // Of messages, those behind it are on their way too.
        let throttled = if source {
            On::nth(1, command)
        } else {
            On::each(command)
        };
        let hits = server.fault(throttled, Fault::Answer(throttle.into()));
        let _running = Running(env.spawn_for_good(&[]));
        eventually("it is throttled", || hits.count() >= 1);
        let since = Instant::now();
        // What another route makes of the file that they share is no reason to come back sooner.
        let tokens = Tokens::new(&file(&env), LIMIT);
        let access = tokens.access(Utc::now()).unwrap();
        tokens.instead_of(&access, Utc::now()).unwrap();
        eventually("it is said", || {
            env.status_soon()["trouble"]["kind"] == "throttled"
        });
        server.clear_faults();
        arrives(&env, 1);
        let took = since.elapsed();
        assert!(took > Duration::from_millis(2300), "{command}: {took:?}");
        arrives(&env, 3);
    }
}

#[test]
fn a_throttled_look_for_new_mail_is_not_repeated_at_once() {
    let env = prepared();
    let _running = Running(env.spawn_for_good(&[]));
    arrives(&env, 3);
    let throttle = "BAD Request is throttled. Suggested Backoff Time: 2500 milliseconds";
    let hits = env
        .source
        .fault(On::nth(1, "UID FETCH"), Fault::Answer(throttle.into()));
    env.mail("<new@x>", "text");
    eventually("it is throttled", || hits.count() == 1);
    let since = Instant::now();
    arrives(&env, 4);
    let took = since.elapsed();
    assert!(took > Duration::from_millis(2300), "{took:?}");
}

#[test]
fn a_throttle_that_asks_for_no_delay_gets_one() {
    let env = prepared();
    let throttle = "BAD Request is throttled. Suggested Backoff Time: 0 milliseconds";
    let hits = env
        .source
        .fault(On::each("EXAMINE"), Fault::Answer(throttle.into()));
    let _running = Running(env.spawn_for_good(&[]));
    eventually("it is throttled", || hits.count() >= 1);
    let since = Instant::now();
    eventually("again and again", || hits.count() >= 13);
    let took = since.elapsed();
    assert!(took > Duration::from_millis(600), "{took:?}");
}

#[test]
fn a_changed_configuration_does_not_forget_what_the_file_could_not_take() {
    let mut env = prepared();
    let (_open, path) = nameless(&env);
    env.set("source_token_file", path);
    let _running = Running(env.spawn_for_good(&[]));
    arrives(&env, 3);
    let signed_in = env.source.transcript().commands("AUTHENTICATE");
    env.set("connections", 2);
    eventually("it is taken over", || {
        env.source.transcript().commands("AUTHENTICATE") > signed_in
    });
    env.source.clock().advance(2 * HOUR);
    env.mail("<later@x>", "text");
    arrives(&env, 4);
    let used = shown(&env.source);
    assert!(used.windows(2).all(|t| t[0] != t[1]), "{used:?}");
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
