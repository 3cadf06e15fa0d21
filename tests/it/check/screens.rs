//! What a person sees, to the letter, at 80 columns and without colour. What differs from machine to machine and from
//! day to day is made alike.

use std::fs;
use std::path::Path;

use chrono::{TimeDelta, Utc};
use gmail_stand_in::{Refusal, Use};
use serde_json::Value;

use super::findings::right;
use crate::testkit::env::TestEnv;

fn shows(env: &mut TestEnv, name: &str, status: i32) {
    env.set("state_file", "sync_state.db");
    let ran = env.command(&["check", "--config", "config.json"]);
    assert_eq!((ran.status, &*ran.err), (status, ""), "{ran:?}");
    for line in ran.out.lines() {
        // A path of somebody's own may be longer than a line, and a command stays in one piece.
        let whole = line.split_whitespace().any(|w| w.len() > 60) || line.contains('`');
        assert!(line.chars().count() <= 80 || whole, "{line}");
    }
    is_as_written(name, &ran.out, env);
}

/// With `UPDATE_WORDS=1` in the environment the file is written instead of compared.
pub(crate) fn is_as_written(name: &str, screen: &str, env: &TestEnv) {
    let text = alike(screen, env);
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/check/screens/{name}.txt"));
    if std::env::var("UPDATE_WORDS").is_ok() {
        fs::write(&file, &text).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        text == written,
        "{name}.txt says\n{written}\nthe program says\n{text}"
    );
}

fn alike(text: &str, env: &TestEnv) -> String {
    let ports = [env.source.port(), env.target.port()];
    let mut out = String::new();
    for line in text.lines() {
        let mut line = line.to_string();
        for port in ports {
            line = line.replace(&port.to_string(), &"P".repeat(port.to_string().len()));
        }
        // Not every machine knows ::1 as localhost.
        if line.contains("address: localhost is") {
            line = line.split(" is").next().unwrap().to_string() + " is ADDRESS";
        }
        let mut words = line.split_whitespace().map(|w| w.trim_end_matches(','));
        if !line.is_empty() && words.all(|w| w.parse::<std::net::IpAddr>().is_ok()) {
            continue;
        }
        let (before, after) = match line.split_once(" free under") {
            Some((before, after)) => (before, after),
            None => ("", ""),
        };
        if !after.is_empty() {
            let label = before.split("disk: ").next().unwrap();
            line = format!("{label}disk: SPACE free under{after}");
        }
        out.push_str(&days_alike(&line));
        out.push('\n');
    }
    out
}

/// Digits of dates, times and numbers of days.
fn days_alike(line: &str) -> String {
    let dated = ["UTC", "until", "days", "lasts"]
        .iter()
        .any(|w| line.contains(w));
    let words = line.split(' ').map(|word| match word.chars().next() {
        Some(c) if dated && c.is_ascii_digit() && !word.starts_with("1.") => {
            word.replace(|c: char| c.is_ascii_digit(), "0")
        }
        _ => word.to_string(),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn token_file_here(env: &mut TestEnv) {
    env.set("target_token_file", "token.json");
}

#[test]
fn all_is_right() {
    let mut env = right();
    token_file_here(&mut env);
    shows(&mut env, "right", 0);
}

#[test]
fn much_is_wrong() {
    let mut env = right();
    token_file_here(&mut env);
    env.target.refuse_login(Refusal::ImapDisabled, 9);
    env.set("source_pass", "wrong").set("sinse", "7d");
    shows(&mut env, "wrong", 2);
}

#[test]
fn warnings_only() {
    let mut env = right();
    token_file_here(&mut env);
    let path = env.dir.path().join("token.json");
    let mut token: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let at = Utc::now() - TimeDelta::days(6);
    token["consented_at"] = at.format("%Y-%m-%dT%H:%M:%SZ").to_string().into();
    fs::write(&path, token.to_string()).unwrap();
    env.target.knobs(|k| {
        k.hidden = vec![Use::All];
        k.append_limit = 10_000_000;
    });
    shows(&mut env, "warnings", 0);
}

#[test]
fn no_configuration() {
    let mut env = right();
    env.set("state_file", "sync_state.db");
    fs::write(
        env.config_file(),
        "{\n  \"source_server\" \"imap.example.org\"\n}\n",
    )
    .unwrap();
    let ran = env.command(&["check", "--config", "config.json"]);
    assert_eq!(ran.status, 2);
    assert_eq!(
        ran.out,
        "\
problem  configuration: config.json: not JSON at line 2, column 18: a colon is
         missing
           2 |   \"source_server\" \"***
             |                  ^
         hint: between a key and its value stands a colon: \"connections\": 3
skipped  everything else: it stands in the configuration

1 problem, no warnings
"
    );
}
