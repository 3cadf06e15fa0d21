//! Requests of every kind: what is answered and what is refused, and that nobody who connects keeps the others from it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Answer, connect, get, send, served, watched};
use crate::testkit::eventually;
use crate::words::status::everything;

/// A page of one route.
fn page() -> (imap_to_gmail::page::Server, crate::words::WorkDir) {
    let desk = everything();
    let ledger = desk.path("sync_state.db");
    let server = served(move || vec![watched("you from user", &ledger)]);
    (server, desk)
}

#[test]
fn what_is_answered_and_what_is_refused() {
    let (server, _desk) = page();
    let at = server.address();
    let ours = format!("Host: {at}\r\n");
    let port = at.port();
    for (request, status) in [
        (format!("GET / HTTP/1.1\r\n{ours}\r\n"), 200),
        (format!("GET /?refresh=off HTTP/1.1\r\n{ours}\r\n"), 200),
        (
            format!("GET /route?name=you+from+user HTTP/1.1\r\n{ours}\r\n"),
            200,
        ),
        (format!("GET /route?name=other HTTP/1.1\r\n{ours}\r\n"), 404),
        (format!("GET /metrics HTTP/1.1\r\n{ours}\r\n"), 200),
        (format!("GET /status.json HTTP/1.1\r\n{ours}\r\n"), 200),
        // It does not run.
        (format!("GET /healthz HTTP/1.1\r\n{ours}\r\n"), 503),
        (format!("HEAD / HTTP/1.1\r\n{ours}\r\n"), 200),
        (format!("GET / HTTP/1.0\r\n{ours}\r\n"), 200),
        (format!("GET /favicon.ico HTTP/1.1\r\n{ours}\r\n"), 404),
        (format!("GET /../etc/passwd HTTP/1.1\r\n{ours}\r\n"), 404),
        (format!("GET //evil.example/ HTTP/1.1\r\n{ours}\r\n"), 404),
        (
            format!("GET http://evil.example/ HTTP/1.1\r\n{ours}\r\n"),
            404,
        ),
        (
            format!("POST / HTTP/1.1\r\n{ours}Content-Length: 3\r\n\r\nabc"),
            405,
        ),
        (format!("DELETE /status.json HTTP/1.1\r\n{ours}\r\n"), 405),
        (format!("OPTIONS * HTTP/1.1\r\n{ours}\r\n"), 405),
        // What this machine calls itself, through whatever port.
        (
            format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"),
            200,
        ),
        ("GET / HTTP/1.1\r\nHost: 127.0.0.1:9\r\n\r\n".into(), 200),
        // DNS rebinding: another name for 127.0.0.1.
        (
            format!("GET / HTTP/1.1\r\nHost: evil.example:{port}\r\n\r\n"),
            421,
        ),
        (
            format!("GET /healthz HTTP/1.1\r\nHost: evil.example:{port}\r\n\r\n"),
            421,
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: 192.0.2.1:{port}\r\n\r\n"),
            421,
        ),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400),
        (
            format!("GET / HTTP/1.1\r\n{ours}Host: evil.example\r\n\r\n"),
            400,
        ),
        ("\x16\x03\x01\x02\x00\x01\x00\r\n\r\n".into(), 400),
        (
            format!("GET /{} HTTP/1.1\r\n{ours}\r\n", "x".repeat(40_000)),
            431,
        ),
        (
            format!("GET / HTTP/1.1\r\n{ours}{}\r\n", "A: b\r\n".repeat(100)),
            431,
        ),
    ] {
        let answer = send(at, &request).unwrap_or_else(|| panic!("no answer: {request}"));
        assert_eq!(answer.status, status, "{request}\n{}", answer.body);
        assert_eq!(answer.header("Cache-Control"), "no-store");
        assert_eq!(answer.header("X-Content-Type-Options"), "nosniff");
        assert_eq!(answer.header("Referrer-Policy"), "no-referrer");
        if status == 405 {
            assert_eq!(answer.header("Allow"), "GET, HEAD");
        }
    }
}

#[test]
fn only_the_head_where_only_that_is_asked_for() {
    let (server, _desk) = page();
    let ask = |method: &str, path: &str| -> Answer {
        let at = server.address();
        send(
            at,
            &format!("{method} {path} HTTP/1.1\r\nHost: {at}\r\n\r\n"),
        )
        .unwrap()
    };
    for path in ["/metrics", "/healthz", "/nothing"] {
        let (whole, head) = (ask("GET", path), ask("HEAD", path));
        assert!(!whole.body.is_empty() && head.body.is_empty(), "{head:?}");
        let length = whole.body.len().to_string();
        assert_eq!(head.header("Content-Length"), length);
        assert_eq!((head.status, &*head.head), (whole.status, &*whole.head));
    }
}

#[test]
fn a_browser_may_do_nothing_with_it_but_show_it() {
    let (server, _desk) = page();
    let page = get(server.address(), "/");
    let policy = page.header("Content-Security-Policy");
    for part in [
        "default-src 'none'",
        "style-src 'sha256-",
        "img-src data:",
        "frame-ancestors 'none'",
        "form-action 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(
        !policy.contains("unsafe") && !policy.contains('*'),
        "{policy}"
    );
    assert_eq!(page.header("Refresh"), "30");
    assert_eq!(page.header("Content-Type"), "text/html; charset=utf-8");
    // Nothing of another place, no script, and the one style is the one of the policy.
    for foreign in [
        "http://",
        "https://",
        "<script",
        "javascript:",
        " onload",
        " style=",
    ] {
        let body = page.body.replace("xmlns='http://www.w3.org/2000/svg'", "");
        assert!(!body.contains(foreign), "{foreign}");
    }
    let still = get(server.address(), "/?refresh=off");
    assert!(!still.head.contains("Refresh"), "{}", still.head);
}

#[test]
fn nobody_who_connects_keeps_the_others_waiting() {
    let (server, _desk) = page();
    let at = server.address();
    let begun = Instant::now();
    let mut slow = connect(at);
    let mut drip = slow.try_clone().unwrap();
    let dripping = thread::spawn(move || {
        // Each byte comes in good time, all of them do not.
        while drip.write_all(b"G").is_ok() && begun.elapsed() < Duration::from_secs(50) {
            thread::sleep(Duration::from_millis(300));
        }
    });
    // Fewer than are open at a time; one reads nothing of what it asked for.
    let mut silent: Vec<TcpStream> = (0..50).map(|_| connect(at)).collect();
    for stream in silent.iter_mut().step_by(2) {
        let _ = stream.write_all(b"GET / HTTP/1.1\r\n");
    }
    assert_eq!(get(at, "/").status, 200);
    let _ = slow.read_to_end(&mut Vec::new());
    let took = begun.elapsed();
    let bounds = Duration::from_secs(8)..Duration::from_secs(40);
    assert!(bounds.contains(&took), "{took:?}");
    dripping.join().unwrap();
    // Many more than are open at a time: the oldest are closed.
    let mut many: Vec<TcpStream> = (0..200).map(|_| connect(at)).collect();
    assert_eq!(get(at, "/").status, 200);
    let closed = many[0].read(&mut [0]);
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[test]
fn it_ends_when_it_is_dropped() {
    let (server, _desk) = page();
    let at = server.address();
    let mut waiting = connect(at);
    // The listener knows of it by then.
    assert_eq!(get(at, "/healthz").status, 503);
    let begun = Instant::now();
    drop(server);
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(waiting.read(&mut [0]).unwrap_or(0), 0);
    // A connection of another test may have this port at the moment.
    eventually("its place is free", || TcpListener::bind(at).is_ok());
}

/// However many ask.
#[test]
fn ledgers_are_not_read_for_each_request() {
    let desk = everything();
    let ledger = desk.path("sync_state.db");
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let server = served(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        vec![watched("a", &ledger)]
    });
    let at = server.address();
    let begun = Instant::now();
    let mut requests = 0;
    while begun.elapsed() < Duration::from_secs(3) {
        assert_eq!(get(at, "/metrics").status, 200);
        requests += 1;
    }
    let times = asked.load(Ordering::SeqCst);
    assert!(
        requests > 10 && (1..=2).contains(&times),
        "{times} for {requests}"
    );
}
