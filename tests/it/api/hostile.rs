//! A server that is not Gmail's API at all: it costs a bounded wait and a bounded reply, learns the token of nobody else,
//! and brings no token into what is shown.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use imap_to_gmail::config::Secret;
use imap_to_gmail::error::Error;
use imap_to_gmail::target::api::{Api, Imported, Mail};

use super::{LARGE, client, letter};

const TOKEN: &str = "ya29.a-token-that-nobody-sees";

/// A server on plain HTTP that answers each request so. Its address, and how often somebody came.
fn server(reply: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let came = Arc::clone(&count);
    let reply = Arc::new(reply);
    thread::spawn(move || {
        for mut tcp in listener.incoming().flatten() {
            came.fetch_add(1, Ordering::SeqCst);
            let reply = Arc::clone(&reply);
            thread::spawn(move || {
                if heard(&mut tcp).is_some() {
                    reply(&mut tcp);
                }
                // What is still sent must not reset the connection.
                while tcp.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {}
            });
        }
    });
    (url, count)
}

/// One whole request.
fn heard(tcp: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut buf = [0; 4096];
    loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..at]).to_lowercase();
            let len = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let len: usize = len.map_or(0, |len| len.parse().unwrap());
            if bytes.len() >= at + 4 + len {
                return Some(head);
            }
        }
        let read = tcp.read(&mut buf).ok().filter(|&n| n > 0)?;
        bytes.extend_from_slice(&buf[..read]);
    }
}

fn says(text: String) -> String {
    server(move |tcp| {
        let _ = tcp.write_all(text.as_bytes());
    })
    .0
}

fn with(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn send(api: &Api, size: usize) -> Imported {
    let body = letter("1@x", "text", size);
    let mail = Mail {
        body: &body,
        labels: &[],
        never_mark_spam: false,
    };
    api.import(&Secret::new(TOKEN.into()), &mail)
}

fn shows_no_token(error: &Error) {
    let all = format!("{error} {error:?}");
    for piece in ["nobody-sees", "a-token-that", "bm9ib2R5"] {
        assert!(!all.contains(piece), "{all}");
    }
    assert!(error.message.chars().count() < 600 && !error.message.contains('\u{1b}'));
}

fn for_ever(tcp: &mut TcpStream, first: &str, then: &str) {
    let _ = tcp.write_all(first.as_bytes());
    let block = then.repeat((64 << 10) / then.len());
    while tcp.write_all(block.as_bytes()).is_ok() {}
}

#[test]
fn answers_without_end_cost_a_bounded_wait() {
    type Talk = fn(&mut TcpStream);
    let cases: [(&str, Talk); 6] = [
        ("a body", |tcp| {
            for_ever(tcp, "HTTP/1.1 200 OK\r\n\r\n{\"id\":\"", "x")
        }),
        ("chunks", |tcp| {
            for_ever(
                tcp,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                "8\r\nxxxxxxxx\r\n",
            )
        }),
        ("headers", |tcp| {
            for_ever(tcp, "HTTP/1.1 200 OK\r\n", "X-Header: yes\r\n")
        }),
        ("interim answers", |tcp| {
            for_ever(tcp, "", "HTTP/1.1 100 Continue\r\n\r\n")
        }),
        ("a drip", |tcp| {
            let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
            while tcp.write_all(b" ").is_ok() {
                thread::sleep(Duration::from_millis(200));
            }
        }),
        ("silence", |tcp| {
            let _ = tcp.read(&mut [0; 1]);
        }),
    ];
    thread::scope(|scope| {
        for (what, talk) in cases {
            scope.spawn(move || {
                let (url, came) = server(talk);
                let start = Instant::now();
                let api = client(&url, None);
                let Imported::Unknown(error, None) = send(&api, 100) else {
                    panic!("{what}");
                };
                shows_no_token(&error);
                assert_eq!(came.load(Ordering::SeqCst), 1, "{what}");
                let listed = api.labels(&Secret::new(TOKEN.into()));
                shows_no_token(&listed.unwrap_err());
                assert!(start.elapsed() < Duration::from_secs(30), "{what}");
            });
        }
    });
}

#[test]
fn a_server_that_reads_nothing_costs_a_bounded_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let held = thread::spawn(move || listener.incoming().flatten().take(1).collect::<Vec<_>>());
    let start = Instant::now();
    let body = vec![b'x'; 1 << 20];
    let mail = Mail {
        body: &body,
        labels: &[],
        never_mark_spam: false,
    };
    let end = client(&url, None).import(&Secret::new(TOKEN.into()), &mail);
    assert!(
        matches!(end, Imported::NotSent(_) | Imported::Unknown(..)),
        "{end:?}"
    );
    assert!(start.elapsed() < Duration::from_secs(30));
    drop(held);
}

#[test]
fn no_redirect_is_followed_and_no_upload_goes_on_elsewhere() {
    let (other, came) = server(|tcp| {
        let _ = tcp.write_all(with("200 OK", "", "{\"id\":\"1f\"}").as_bytes());
    });
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        let api = client(
            &says(with(status, &format!("Location: {other}/x\r\n"), "")),
            None,
        );
        assert!(matches!(send(&api, 100), Imported::Unknown(..)), "{status}");
        assert!(api.labels(&Secret::new(TOKEN.into())).is_err());
        assert!(
            matches!(send(&api, LARGE), Imported::NotSent(_)),
            "{status}"
        );
    }
    for place in [
        format!("{other}/upload?upload_id=1"),
        "https://evil.example.org/".into(),
        "/upload".into(),
        String::new(),
    ] {
        let api = client(
            &says(with("200 OK", &format!("Location: {place}\r\n"), "")),
            None,
        );
        assert!(matches!(send(&api, LARGE), Imported::NotSent(_)), "{place}");
    }
    assert_eq!(came.load(Ordering::SeqCst), 0);
}

#[test]
fn what_is_no_receipt_is_none() {
    let deep = format!("{{\"id\":\"1f\",\"x\":{}", "[".repeat(50_000));
    let long = format!("{{\"id\":\"1f\",\"x\":\"{}\"}}", "x".repeat(100_000));
    for body in [
        "",
        "{}",
        "null",
        "<html>",
        "{\"id\":\"\"}",
        "{\"id\":\"0\"}",
        "{\"id\":\"FF\"}",
        "{\"id\":\"ffffffffffffffff\"}",
        &deep,
        &long,
    ] {
        let api = client(&says(with("200 OK", "", body)), None);
        assert!(
            matches!(send(&api, 100), Imported::Unknown(..)),
            "{:.40}",
            body
        );
        assert!(api.labels(&Secret::new(TOKEN.into())).is_err());
        assert!(api.make_label(&Secret::new(TOKEN.into()), "x").is_err());
    }
}

#[test]
fn a_server_that_is_asked_for_more_takes_no_more_than_there_is() {
    // It begins an upload that leads to itself, and never has the whole of it.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let begin = with(
        "200 OK",
        &format!("Location: {url}/upload?upload_id=abcdefgh\r\n"),
        "",
    );
    let puts = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&puts);
    thread::spawn(move || {
        for mut tcp in listener.incoming().flatten() {
            let (begin, seen) = (begin.clone(), Arc::clone(&seen));
            thread::spawn(move || {
                while let Some(head) = heard(&mut tcp) {
                    let answer = if head.starts_with("put") {
                        let n = seen.fetch_add(1, Ordering::SeqCst);
                        with("308 More", &format!("Range: bytes=0-{n}\r\n"), "")
                    } else {
                        begin.clone()
                    };
                    let _ = tcp.write_all(answer.as_bytes());
                }
            });
        }
    });
    assert!(matches!(
        send(&client(&url, None), 2 << 20),
        Imported::NotSent(_)
    ));
    assert!(puts.load(Ordering::SeqCst) < 100);
}

#[test]
fn a_token_that_comes_back_is_masked() {
    for echo in [
        TOKEN.to_string(),
        TOKEN.replace('-', "%2D"),
        "eWEyOS5hLXRva2VuLXRoYXQtbm9ib2R5LXNlZXM=".into(),
        format!("\\u001b[2J{TOKEN}"),
    ] {
        let body = format!("{{\"error\":{{\"message\":\"no {echo}\"}}}}");
        for status in ["400 No", "401 No", "403 No", "404 No", "429 No", "500 No"] {
            let api = client(&says(with(status, "", &body)), None);
            let (Imported::Refused(_, error) | Imported::Unknown(error, _)) = send(&api, 100)
            else {
                panic!("{status}");
            };
            shows_no_token(&error);
            assert!(error.message.contains("***"), "{error}");
        }
        let odd = says(format!(
            "HTTP/1.1 200 {echo}\r\nX {echo}: \r\n{echo}\r\n\r\n"
        ));
        if let Imported::Unknown(error, _) = send(&client(&odd, None), 100) {
            shows_no_token(&error);
        }
    }
}
