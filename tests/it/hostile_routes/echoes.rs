//! A server that repeats what we signed in with in everything it says: no log, no ledger and no status shows it.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::Value;

use crate::testkit::scripted_proxy;

/// A form in which a secret can be told: all that is said, and what of it is the secret.
struct Form {
    said: String,
    secret: String,
}

fn forms(user: &str, secret: &str) -> Vec<Form> {
    let percent: String = secret
        .bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect();
    let plain = [secret.to_string(), secret.replace('"', "\\\""), percent];
    let mut forms: Vec<Form> = plain
        .into_iter()
        .map(|text| Form {
            said: text.clone(),
            secret: text,
        })
        .collect();
    for (before, after) in [
        (String::new(), String::new()),
        (format!("\0{user}\0"), String::new()),
        (format!("user={user}\x01auth=Bearer "), "\x01\x01".into()),
        // The other way round.
        ("auth=Bearer ".into(), format!("\x01user={user}\x01\x01")),
        (String::new(), format!("\0{user}\0")),
        ("x".into(), String::new()),
        ("xy".into(), "z".into()),
    ] {
        let text = format!("{before}{secret}{after}");
        for engine in [STANDARD, URL_SAFE] {
            let said = engine.encode(&text);
            let begin = (before.len() * 8).div_ceil(6);
            let end = (before.len() + secret.len()) * 8 / 6;
            forms.push(Form {
                secret: said[begin..end].to_string(),
                said,
            });
        }
    }
    forms
}

/// The lines of a server that shouts it all: whole, and cut in two between lines and literals.
fn shouted(forms: &[Form]) -> String {
    let mut out = String::new();
    for form in forms.iter().map(|f| &f.said) {
        let (a, b) = form.split_at(form.len() / 2);
        out.push_str(&format!(
            "* NO [ALERT] you are {form}\r\n* BAD {a}\r\n* BAD {b}\r\n"
        ));
        if !form.contains('"') {
            out.push_str(&format!("* X {form}\r\n* LIST (\\Marked) \"/\" {{{}}}\r\n{a}\r\n* LIST () \"/\" \"{form}\"\r\n", a.len()));
        }
    }
    out
}

/// Not even eight bytes in a row of any form of it.
#[track_caller]
fn assert_not_in(what: &str, bytes: &[u8], forms: &[Form]) {
    let text = String::from_utf8_lossy(bytes);
    for form in forms {
        for piece in form.secret.as_bytes().windows(8) {
            let piece = std::str::from_utf8(piece).unwrap();
            if let Some(at) = text.find(piece) {
                let line = text[..at].rfind('\n').map_or(0, |n| n + 1);
                let line: String = text[line..].chars().take(300).collect();
                panic!("{what} shows `{piece}` of `{}`: {line}", form.secret);
            }
        }
    }
}

fn said(forms: &[Form]) -> String {
    let all: Vec<&str> = forms.iter().map(|f| &*f.said).collect();
    all.join(" ")
}

#[test]
fn what_is_echoed_in_every_answer_is_shown_nowhere() {
    for side in ["source", "target"] {
        let mut env = super::into_gmail();
        env.old_mails(4);
        let server = match side {
            "source" => &env.source,
            _ => &env.target,
        };
        let (user, secret) = (server.account().to_string(), server.password().to_string());
        let all = forms(&user, &secret);
        let shouts = shouted(&all);
        let joined = said(&all);
        let upstream = env.port(side);
        let port = scripted_proxy::changed(upstream, move |line| {
            if line.starts_with("* OK [CAPABILITY") || line.starts_with("* OK Gimap") {
                return Some(format!("{} {joined}\r\n", line.trim_end()));
            }
            let (tag, _) = line.split_once(' ')?;
            let is_tag = tag.len() > 1
                && tag.starts_with('a')
                && tag[1..].bytes().all(|b| b.is_ascii_digit());
            is_tag.then(|| format!("{shouts}{} {joined}\r\n", line.trim_end()))
        });
        env.set(&format!("{side}_port"), port);
        if side == "target" {
            // A refusal that goes into the ledger with its words.
            let words = format!("NO [CANNOT] invalid header: {}", said(&all));
            env.target.fault(
                gmail_stand_in::On::nth(2, "APPEND"),
                gmail_stand_in::Fault::AnswerAfterLiteral {
                    text: words,
                    stored: false,
                },
            );
        }
        let ran = env.run_with(&["--debug"]);
        let expected = if side == "target" { 3 } else { 0 };
        assert_eq!(ran.status, expected, "{side}: {}", ran.err);
        // It was said, and logged.
        let told = ran.err.matches("***").count();
        assert!(told > 100, "{side}: {told}");
        assert_not_in("the log", ran.err.as_bytes(), &all);
        assert_not_in("stdout", ran.out.as_bytes(), &all);
        for name in ["sync_state.db", "sync_state.db-wal"] {
            let bytes = fs::read(env.dir.path().join(name)).unwrap_or_default();
            assert_not_in(name, &bytes, &all);
        }
        for args in [
            &["status"][..],
            &["status", "--json"],
            &["status", "--failed"],
        ] {
            let ran = env.command(args);
            assert_not_in(&args.join(" "), ran.out.as_bytes(), &all);
        }
        if side == "target" {
            assert_eq!(env.status()["failed"], 1, "{}", env.dump());
        }
    }
}

#[test]
fn a_refusal_to_sign_in_that_echoes_is_no_leak_either() {
    for side in ["source", "target"] {
        let mut env = super::into_gmail();
        env.old_mails(1);
        let server = match side {
            "source" => &env.source,
            _ => &env.target,
        };
        let user = server.account().to_string();
        let secret = server.password().to_string();
        let all = forms(&user, &secret);
        let joined = said(&all);
        let port = scripted_proxy::changed(env.port(side), move |line| {
            line.starts_with("a1 ")
                .then(|| format!("a1 NO [AUTHENTICATIONFAILED] {joined}\r\n"))
        });
        env.set(&format!("{side}_port"), port);
        let ran = env.run_with(&["--debug"]);
        assert_eq!(ran.status, 4, "{side}: {}", ran.err);
        assert!(ran.err.contains("***"), "{}", ran.err);
        assert_not_in("the log", ran.err.as_bytes(), &all);
        let status = env.status();
        assert_ne!(status["trouble"], Value::Null);
        assert_not_in("status", status.to_string().as_bytes(), &all);
        let bytes = fs::read(env.ledger_file()).unwrap();
        assert_not_in("the ledger", &bytes, &all);
    }
}
