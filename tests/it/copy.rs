//! The main job against two real servers: every message once, byte for byte, and the ledger right.

mod known;
mod renumbered;
mod trouble;

use std::fs;

use serde_json::Value;

use crate::testkit::corpus;
use crate::testkit::dovecot::Dovecot;
use crate::testkit::dovecot_env::{ALICE, BOB, DovecotEnv, TOKEN};
use crate::testkit::env::TestEnv;

const T0: i64 = 1_700_000_000;

#[test]
fn the_nastiest_mail_arrives_once_and_unaltered() {
    let Some(env) = TestEnv::dovecot() else {
        return;
    };
    let mut mail = corpus::nasty();
    mail.extend(corpus::mail_parser().unwrap_or_default());
    for (i, m) in mail.iter().enumerate() {
        let flags = ["", "S", "FS", "R", "T"][i % 5];
        env.source
            .plant(ALICE, &m.bytes, flags, T0 + i as i64 * 1000);
    }
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    env.assert_complete();
}

/// `.ci/run` runs it: some thousand messages take a while.
#[test]
#[ignore = "6,280 messages: run by .ci/run, after tests/corpus.sh"]
fn all_real_mail_arrives_once_and_unaltered() {
    let Some(env) = TestEnv::dovecot() else {
        return;
    };
    let mut mail = corpus::nasty();
    mail.extend(corpus::mail_parser().expect("tests/corpus.sh fetches it"));
    mail.extend(corpus::spam_assassin().expect("tests/corpus.sh fetches it"));
    for (i, m) in mail.iter().enumerate() {
        let flags = ["", "S", "FS", "RS", "D"][i % 5];
        env.source
            .plant(ALICE, &m.bytes, flags, T0 + i as i64 * 100);
    }
    assert!(mail.len() > 6_200, "{} messages", mail.len());
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    env.assert_complete();
    let status = env.status();
    assert_eq!(status["delivered"], mail.len(), "{status}");
}

/// A message of our own, as small as can be.
fn mail(id: &str, date: &str, text: &str) -> Vec<u8> {
    let mut out = String::from("From: Ann <ann@example.org>\r\nSubject: a test\r\n");
    for (name, value) in [("Message-ID", id), ("Date", date)] {
        if !value.is_empty() {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    format!("{out}\r\n{text}\r\n").into_bytes()
}

const DATE: &str = "Tue, 14 Nov 2023 22:13:20 +0000";

#[test]
fn a_run_with_nothing_new_costs_the_same_in_a_large_mailbox() {
    let rawlog = || Dovecot::build().rawlog(true);
    let Some(env) = TestEnv::dovecot_with(rawlog(), rawlog().xoauth2(true)) else {
        return;
    };
    let mut costs = Vec::new();
    for size in [5, 200] {
        for i in 0..size {
            let id = format!("<{size}.{i}@example.org>");
            env.source
                .plant(ALICE, &mail(&id, DATE, "hello"), "", T0 + i);
        }
        assert_eq!(env.run().status, 0);
        let before = (env.source.commands().len(), env.target.commands().len());
        assert_eq!(env.run().status, 0);
        let source = env.source.commands().split_off(before.0);
        let target = env.target.commands().split_off(before.1);
        let all = [source.clone(), target.clone()].concat().join("\n");
        assert!(
            !all.contains("APPEND") && !all.contains("BODY.PEEK[]"),
            "{all}"
        );
        costs.push((source.len(), target.len()));
    }
    assert_eq!(costs[0], costs[1], "commands to (source, target)");
    env.assert_complete();
}

#[test]
fn only_what_came_since_the_start_is_history_but_new_mail_has_no_date() {
    let Some(mut env) = TestEnv::dovecot() else {
        return;
    };
    env.set("since", "2023-11-15");
    let plant = |env: &DovecotEnv, id: &str, at: i64| {
        env.source
            .plant(ALICE, &mail(&format!("<{id}@x>"), DATE, id), "", at);
    };
    let midnight = 1_700_006_400; // 2023-11-15
    plant(&env, "before", midnight - 1);
    plant(&env, "after", midnight);
    env.run_until_done(1);
    assert_eq!(env.delivered().len(), 1);
    plant(&env, "old but new here", 1_000_000_000);
    env.run_until_done(1);
    assert_eq!(env.delivered().len(), 2, "{}", env.dump());
    env.set("since", "2023-11-20").run_until_done(1);
    assert_eq!(env.delivered().len(), 2, "a later start changes nothing");
    env.set("since", "2023-11-14").run_until_done(1);
    env.assert_complete();
}

#[test]
fn a_dry_run_says_what_would_be_done_and_writes_nothing() {
    let Some(env) = TestEnv::dovecot() else {
        return;
    };
    env.source.plant(ALICE, &mail("<1@x>", DATE, "one"), "", T0);
    env.source.plant(ALICE, &mail("<2@x>", DATE, "two"), "", T0);
    env.target
        .append(BOB, "INBOX", &mail("<2@x>", DATE, "two"), "", T0);
    let files = || {
        let mut names: Vec<_> = fs::read_dir(env.dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let before = files();
    let ran = env.command(&["run", "--config", "config.json", "--dry-run"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(
        ran.out,
        "would send 1 message (111 bytes) to bob\n1 message is in the target already\nwith `--debug` each message is listed\n"
    );
    assert_eq!(files(), before);
    env.run_until_done(1);
    let ledger = fs::read(env.ledger_file()).unwrap();
    let ran = env.command(&["run", "--config", "config.json", "--dry-run"]);
    assert_eq!(ran.out, "would send nothing to bob\n");
    assert_eq!(fs::read(env.ledger_file()).unwrap(), ledger);
    env.assert_complete();
}

#[test]
fn no_secret_is_in_anything_that_a_run_wrote() {
    let Some(mut env) = TestEnv::dovecot() else {
        return;
    };
    env.source
        .plant(ALICE, &mail("<1@x>", DATE, "a body nobody may log"), "", T0);
    let mut written = env.run_with(&["--debug"]).err;
    assert!(
        written.contains("C: a1 AUTHENTICATE"),
        "the protocol is logged: {written}"
    );
    // Refused secrets too, in each way of signing in, over implicit TLS and STARTTLS.
    env.set("target_token_file", Value::Null)
        .set("target_pass", "correct horse");
    env.source
        .plant(ALICE, &mail("<2@x>", DATE, "another"), "", T0);
    written += &env.run_with(&["--debug"]).err;
    let port = env.source.port();
    env.set("source_pass", "battery \"staple\\")
        .set("source_tls", "starttls")
        .through("source", port);
    written += &env.run_with(&["--debug"]).err;
    written += &env.command(&["status", "--failed"]).out;
    for entry in fs::read_dir(env.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains("sync_state") {
            written += &String::from_utf8_lossy(&fs::read(path).unwrap());
        }
    }
    let base64 = |text: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(text)
    };
    for secret in [TOKEN, "correct horse", "correcthorse", "battery \"staple\\"] {
        let whole_login = format!("\0{ALICE}\0{secret}");
        let oauth = format!("user={BOB}\x01auth=Bearer {secret}\x01\x01");
        for form in [
            secret.to_string(),
            base64(secret),
            base64(&whole_login),
            base64(&oauth),
        ] {
            assert!(!written.contains(&form), "{form} is in what was written");
        }
    }
    assert!(!written.contains("nobody may log"), "bodies are not logged");
}
