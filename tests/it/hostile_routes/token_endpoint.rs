//! A token endpoint that is hostile: it costs a bounded wait and a bounded reply, learns nothing twice, and breaks
//! neither the token file nor the run.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::measured::run_and_measure;
use crate::testkit::at_a_time;
use crate::testkit::env::TestEnv;

const REFRESH: &str = "1//0e-refresh-token-that-nobody-sees";
const CLIENT_SECRET: &str = "GOCSPX-client-secret~that+nobody/sees";

/// Listens; the request is given along. Returns its port, and how often somebody came.
pub(crate) fn endpoint(
    reply: impl Fn(&mut TcpStream, &str) + Send + Sync + 'static,
) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let came = Arc::clone(&count);
    let reply = Arc::new(reply);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            came.fetch_add(1, Ordering::SeqCst);
            let reply = Arc::clone(&reply);
            thread::spawn(move || {
                let mut request = Vec::new();
                let mut buf = [0; 4096];
                while !request.windows(8).any(|w| w == b"refresh_")
                    || !request.ends_with(b"~") && request.len() < 200
                {
                    match stream.read(&mut buf) {
                        Ok(n @ 1..) => request.extend_from_slice(&buf[..n]),
                        _ => break,
                    }
                }
                reply(&mut stream, &String::from_utf8_lossy(&request));
            });
        }
    });
    (port, count)
}

pub(crate) fn prepared(token_port: u16) -> TestEnv {
    let mut env = super::into_gmail();
    env.old_mails(2);
    env.set("target_pass", Value::Null);
    env.write_token(&json!({
        "token": "ya29.run-out",
        "refresh_token": REFRESH,
        "client_id": "id.apps.googleusercontent.com",
        "client_secret": CLIENT_SECRET,
        "token_uri": format!("http://127.0.0.1:{token_port}/token"),
        "expiry": "2020-01-02T03:04:05Z",
        "kept": [1, 2],
    }));
    env
}

pub(crate) fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

type Reply = Box<dyn Fn(&mut TcpStream, &str) + Send + Sync>;

fn says(text: impl Into<Vec<u8>>) -> Reply {
    let text = text.into();
    Box::new(move |stream, _| {
        let _ = stream.write_all(&text);
    })
}

fn for_ever(first: &'static str, then: &'static str) -> Reply {
    Box::new(move |stream, _| {
        let _ = stream.write_all(first.as_bytes());
        let block = then.repeat((64 << 10) / then.len());
        while stream.write_all(block.as_bytes()).is_ok() {}
    })
}

#[test]
fn what_is_no_token_is_no_token_and_the_file_stays() {
    let token = |token: &str| {
        ok(&json!({"access_token": token, "token_type": "Bearer", "expires_in": 3599}).to_string())
    };
    let mut bomb = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    // Ten zlib blocks that would each be 64 kB of blanks: nobody unpacks them.
    let packed = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    bomb.extend_from_slice(b"a\r\n");
    bomb.extend_from_slice(&packed);
    bomb.extend_from_slice(b"\r\n0\r\n\r\n");
    let cases: Vec<(&str, Reply)> = vec![
        (
            "a body without end",
            for_ever(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"access_token\":\"",
                "x",
            ),
        ),
        (
            "a chunked body without end",
            for_ever(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                "8\r\nxxxxxxxx\r\n",
            ),
        ),
        (
            "headers without end",
            for_ever("HTTP/1.1 200 OK\r\n", "X-Header: yes\r\n"),
        ),
        (
            "a header without end",
            for_ever("HTTP/1.1 200 OK\r\nX: ", "x"),
        ),
        (
            "interim answers without end",
            for_ever("", "HTTP/1.1 100 Continue\r\n\r\n"),
        ),
        (
            "a drip",
            Box::new(|stream, _| {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
                while stream.write_all(b" ").is_ok() {
                    thread::sleep(Duration::from_millis(500));
                }
            }),
        ),
        (
            "silence",
            Box::new(|stream, _| {
                let _ = stream.read(&mut [0; 1]);
            }),
        ),
        (
            "4 GiB announced",
            says("HTTP/1.1 200 OK\r\nContent-Length: 4294967296\r\n\r\n{}"),
        ),
        ("something packed", says(bomb)),
        ("an empty token", says(token(""))),
        (
            "a token with a line break",
            says(token("ya29.x\r\na2 LOGOUT")),
        ),
        ("a token with a NUL", says(token("ya29\0"))),
        ("a token of 1 MB", says(token(&"y".repeat(1 << 20)))),
        ("100,000 brackets", says(ok(&"[".repeat(60_000)))),
        ("not HTTP", says("* OK IMAP4rev1\r\n")),
    ];
    at_a_time(cases, |(name, reply)| {
        let (port, came) = endpoint(reply);
        let env = prepared(port);
        let before = std::fs::read(env.dir.path().join("token.json")).unwrap();
        let took = run_and_measure(&env, &format!("token endpoint: {name}"));
        took.assert_bounded(name);
        assert!(came.load(Ordering::SeqCst) > 0, "{name}");
        // Not a person's affair: it may be in order again in a minute.
        assert_eq!(took.ran.status, 1, "{name}: {}", took.ran.err);
        assert!(
            took.ran.err.contains("the token cannot be renewed now"),
            "{name}: {}",
            took.ran.err
        );
        assert_eq!(
            std::fs::read(env.dir.path().join("token.json")).unwrap(),
            before,
            "{name}"
        );
        assert_no_secret(name, &took.ran.err);
        assert_eq!(env.status()["pending"], 2, "{name}");
    });
}

#[test]
fn a_redirect_is_not_followed() {
    let statuses = vec![
        "301 Moved Permanently",
        "302 Found",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ];
    at_a_time(statuses, |status| {
        let (elsewhere, came) = endpoint(|_, _| {});
        let (port, _) = endpoint(says(format!(
            "HTTP/1.1 {status}\r\nLocation: http://127.0.0.1:{elsewhere}/token\r\nContent-Length: 0\r\n\r\n"
        )));
        let env = prepared(port);
        let took = run_and_measure(&env, &format!("token endpoint: {status}"));
        assert_eq!(took.ran.status, 1, "{}", took.ran.err);
        assert_eq!(came.load(Ordering::SeqCst), 0, "credentials went elsewhere");
        assert_no_secret(status, &took.ran.err);
    });
}

#[test]
fn a_life_beyond_reason_is_a_life_and_odd_replies_leave_a_file_that_works() {
    let env = prepared(1);
    let good = env.target.issue_token(Duration::from_secs(3600));
    for (name, body) in [
        (
            "a life of ages",
            json!({"expires_in": 9_000_000_000_000_u64}),
        ),
        ("the longest life", json!({"expires_in": u64::MAX})),
        ("no life", json!({"expires_in": 0})),
        (
            "an empty refresh token",
            json!({"expires_in": 3599, "refresh_token": ""}),
        ),
    ] {
        let mut body = body;
        body["access_token"] = good.clone().into();
        body["token_type"] = "Bearer".into();
        let (port, _) = endpoint(says(ok(&body.to_string())));
        let mut env = self::prepared(port);
        // The stand-in that knows this token is the first one.
        let _ = &mut env;
        let tokens = imap_to_gmail::oauth::Tokens::new(
            &env.dir.path().join("token.json"),
            Duration::from_secs(5),
        );
        let access = tokens
            .access(chrono::Utc::now())
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(access.token.reveal(), &good, "{name}");
        let after: Value =
            serde_json::from_slice(&std::fs::read(env.dir.path().join("token.json")).unwrap())
                .unwrap();
        assert_eq!(after["refresh_token"], REFRESH, "{name}");
        assert_eq!(after["kept"], json!([1, 2]), "{name}");
    }
}

#[test]
fn what_it_echoes_is_masked() {
    let (port, _) = endpoint(|stream, request| {
        let body = request.split("\r\n\r\n").nth(1).unwrap_or_default();
        let json = json!({
            "error": format!("bad {REFRESH}"),
            "error_description": format!("you sent {body} which is {REFRESH} and {CLIENT_SECRET}"),
        });
        let json = json.to_string();
        let _ = stream.write_all(
            format!("HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}", json.len()).as_bytes(),
        );
    });
    let env = prepared(port);
    let ran = env.run_with(&["--debug"]);
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert!(ran.err.contains("***"), "{}", ran.err);
    assert_no_secret("stderr", &ran.err);
    assert_no_secret("status", &env.status().to_string());
}

#[track_caller]
fn assert_no_secret(what: &str, text: &str) {
    for secret in [REFRESH, CLIENT_SECRET] {
        for piece in secret.as_bytes().windows(10) {
            let piece = std::str::from_utf8(piece).unwrap();
            assert!(!text.contains(piece), "{what} shows `{piece}`: {text}");
        }
    }
}
