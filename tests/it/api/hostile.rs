//! A server that is not Gmail's API at all: it costs a bounded wait and a bounded reply, learns the token of nobody else,
//! and brings no token into what is shown.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use imap_to_gmail::config::Secret;
use imap_to_gmail::error::{Error, Fault};
use imap_to_gmail::target::api::{Api, Asked, Imported, Mail, Means};

use super::{LARGE, client, impatient, letter};

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
    let (head, left) = head(tcp)?;
    let mut rest = Read::take(tcp, left);
    let whole = std::io::copy(&mut rest, &mut std::io::sink()).ok()? == left;
    whole.then_some(head)
}

/// The head of a request, and how many bytes of its body are still to come.
fn head(tcp: &mut TcpStream) -> Option<(String, u64)> {
    let mut bytes = Vec::new();
    let mut buf = [0; 4096];
    loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..at]).to_lowercase();
            let len = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let len: usize = len.map_or(0, |len| len.parse().unwrap());
            return Some((head, (at + 4 + len - bytes.len()) as u64));
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
                let api = impatient(&url, None);
                let Imported::Unknown(error, None) = send(&api, 100) else {
                    panic!("{what}");
                };
                shows_no_token(&error);
                assert_eq!(came.load(Ordering::SeqCst), 1, "{what}");
                let listed = api.labels(&Secret::new(TOKEN.into()));
                shows_no_token(&listed.unwrap_err());
                assert!(start.elapsed() < Duration::from_secs(60), "{what}");
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
    let end = impatient(&url, None).import(&Secret::new(TOKEN.into()), &mail);
    assert!(
        matches!(end, Imported::NotSent(_) | Imported::Unknown(..)),
        "{end:?}"
    );
    assert!(start.elapsed() < Duration::from_secs(60));
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

/// A server that begins an upload at this path of its own, and answers the `n`th PUT (from 0) so; nothing: it hangs up when
/// it has heard the head. Its address, and how many PUTs came.
fn begins(
    path: &str,
    answer: impl Fn(usize) -> String + Send + Sync + 'static,
) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let begin = with("200 OK", &format!("Location: {url}{path}\r\n"), "");
    let puts = Arc::new(AtomicUsize::new(0));
    let (seen, answer) = (Arc::clone(&puts), Arc::new(answer));
    thread::spawn(move || {
        for mut tcp in listener.incoming().flatten() {
            let (begin, seen, answer) = (begin.clone(), Arc::clone(&seen), Arc::clone(&answer));
            thread::spawn(move || {
                while let Some((head, left)) = head(&mut tcp) {
                    let said = if head.starts_with("put") {
                        answer(seen.fetch_add(1, Ordering::SeqCst))
                    } else {
                        begin.clone()
                    };
                    if said.is_empty() {
                        return;
                    }
                    let mut body = Read::take(&mut tcp, left);
                    let _ = std::io::copy(&mut body, &mut std::io::sink());
                    let _ = tcp.write_all(said.as_bytes());
                }
            });
        }
    });
    (url, puts)
}

fn partly(range: &str) -> String {
    with("308 More", range, "")
}

#[test]
fn a_server_that_heard_all_of_a_message_may_have_it_whatever_it_says() {
    type Answer = fn(usize) -> String;
    const LEN: usize = 24 << 20;
    let cases: [(&str, Answer, usize); 9] = [
        ("no range", |_| partly(""), 1),
        (
            "a range that is none",
            |_| partly("Range: bytes=7-9\r\n"),
            1,
        ),
        (
            "all of it",
            |_| partly(&format!("Range: bytes=0-{}\r\n", LEN - 1)),
            1,
        ),
        ("no more than before", |_| partly("Range: bytes=0-9\r\n"), 2),
        (
            "a byte at a time",
            |n| partly(&format!("Range: bytes=0-{n}\r\n")),
            4,
        ),
        ("forgotten", |_| with("404 Not Found", "", ""), 1),
        ("gone", |_| with("410 Gone", "", ""), 1),
        (
            "the token ends in the middle",
            |n| match n {
                0 => partly("Range: bytes=0-9\r\n"),
                _ => with("401 No", "", ""),
            },
            2,
        ),
        (
            "it hangs up in the middle",
            |n| match n {
                0 => partly("Range: bytes=0-9\r\n"),
                _ => String::new(),
            },
            2,
        ),
    ];
    for (what, answer, count) in cases {
        let (url, puts) = begins("/upload?upload_id=abcdefgh", answer);
        // More than the system takes before it knows that the other side is gone.
        let body = vec![b'x'; LEN];
        let mail = Mail {
            body: &body,
            labels: &[],
            never_mark_spam: false,
        };
        let end = client(&url, None).import(&Secret::new(TOKEN.into()), &mail);
        assert!(
            matches!(end, Imported::Unknown(_, Some(_))),
            "{what}: {end:?}"
        );
        assert_eq!(puts.load(Ordering::SeqCst), count, "{what}");
    }
    // A word about the message itself is believed, late as it is.
    let (url, _) = begins("/upload?upload_id=abcdefgh", |n| match n {
        0 => partly("Range: bytes=0-9\r\n"),
        _ => with("413 Too Large", "", ""),
    });
    let end = send(&client(&url, None), LARGE);
    assert!(
        matches!(end, Imported::Refused(Means::Message, _)),
        "{end:?}"
    );
}

#[test]
fn what_leads_into_a_session_is_shown_to_nobody() {
    let refusal =
        "{\"error\":{\"message\":\"not at /upload/Pa7hPiece?session=0therPiece, nor 0therPiece\"}}";
    let (url, _) = begins("/upload/Pa7hPiece?session=0therPiece", move |n| match n {
        // Open, so that the session is asked.
        0 => with("500 No", "", refusal),
        1 => with("400 No", "", refusal),
        2 => with("403 No", "", refusal),
        _ => format!("HTTP/1.1 200 OK\r\nX 0therPiece: \r\n{refusal}\r\n\r\n"),
    });
    let api = client(&url, None);
    let Imported::Unknown(error, Some(upload)) = send(&api, LARGE) else {
        panic!("it was all there");
    };
    let mut errors = vec![error];
    for _ in 0..3 {
        match api.ask(&Secret::new(TOKEN.into()), &upload) {
            Asked::Unknown(error) => errors.push(error),
            other => panic!("{other:?}"),
        }
    }
    // The answer to a question is none to the message.
    assert_eq!(errors[1].fault, Fault::Connection);
    for error in errors {
        let all = format!("{error:?} {upload:?}");
        assert!(
            !all.contains("Pa7hPiece") && !all.contains("0therPiece"),
            "{all}"
        );
    }
}

#[test]
fn only_a_good_list_of_labels_may_be_long() {
    let token = Secret::new(TOKEN.to_string());
    let label = |n| format!("{{\"id\":\"Label_{n}\",\"name\":\"Label {n}\"}}");
    let labels: Vec<String> = (0..10_000).map(label).collect();
    let list = format!("{{\"labels\":[{}]}}", labels.join(","));
    let api = client(&says(with("200 OK", "", &list)), None);
    assert_eq!(api.labels(&token).unwrap().len(), 10_000);
    let refusal = format!("{{\"error\":{{\"message\":\"{}\"}}}}", "x".repeat(100_000));
    let api = client(&says(with("403 No", "", &refusal)), None);
    let error = api.labels(&token).unwrap_err();
    assert_eq!(error.fault, Fault::Connection, "{error}");
    assert!(error.message.contains("HTTP 403"), "{error}");
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
        let Imported::Unknown(error, _) = send(&client(&odd, None), 100) else {
            panic!("{echo}");
        };
        shows_no_token(&error);
    }
}
