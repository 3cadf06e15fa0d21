//! What else comes to the port on which the answer is awaited: it is refused, and the wait goes on.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::sign_in::{AuthEnv, agree, field, get, send};

const CREDENTIALS: &[&str] = &["--credentials", "client_secret.json"];

#[test]
fn strays_are_refused_and_the_answer_is_still_heard() {
    let env = AuthEnv::new();
    let mut signing = env.auth(CREDENTIALS);
    let url = signing.url();
    let back = agree(&env.google, &url);
    let origin = back.split("/?").next().unwrap();
    let name = origin.strip_prefix("http://").unwrap();
    let port = name.strip_prefix("127.0.0.1:").unwrap();
    let query = back.split_once('?').unwrap().1;
    let state = field(&url, "state").unwrap();
    let wrong = query.replace(state, "AAAAAAAAAAAAAAAAAAAAAA");
    let no_state = query.replace(&format!("state={state}&"), "");
    assert!(wrong != query && no_state != query);
    let host = format!("Host: {name}\r\n");
    for (request, status) in [
        (format!("GET /favicon.ico HTTP/1.1\r\n{host}\r\n"), 404),
        (format!("GET / HTTP/1.1\r\n{host}\r\n"), 404),
        (format!("GET /?hello=you HTTP/1.1\r\n{host}\r\n"), 404),
        (format!("GET /other?{query} HTTP/1.1\r\n{host}\r\n"), 404),
        (
            format!("GET //evil.example/?{query} HTTP/1.1\r\n{host}\r\n"),
            404,
        ),
        (
            format!("GET http://evil.example/?{query} HTTP/1.1\r\n{host}\r\n"),
            404,
        ),
        (
            format!("POST /?{query} HTTP/1.1\r\n{host}Content-Length: 3\r\n\r\nabc"),
            405,
        ),
        (format!("HEAD /?{query} HTTP/1.1\r\n{host}\r\n"), 405),
        (format!("OPTIONS * HTTP/1.1\r\n{host}\r\n"), 405),
        (
            format!("GET /?{query} HTTP/1.1\r\n{host}Sec-Purpose: prefetch;prerender\r\n\r\n"),
            503,
        ),
        (format!("GET /?{wrong} HTTP/1.1\r\n{host}\r\n"), 403),
        (format!("GET /?{wrong} HTTP/1.1\r\n{host}\r\n"), 403),
        (format!("GET /?{no_state} HTTP/1.1\r\n{host}\r\n"), 403),
        (
            "GET /?error=access_denied&state=wrong HTTP/1.1\r\n".to_string() + &host + "\r\n",
            403,
        ),
        // DNS rebinding: another name for 127.0.0.1.
        (
            format!("GET /?{query} HTTP/1.1\r\nHost: evil.example:{port}\r\n\r\n"),
            421,
        ),
        (
            format!("GET /?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
            421,
        ),
        (
            format!("GET /?{query} HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n"),
            421,
        ),
        (
            format!("GET /?{query} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"),
            421,
        ),
        (format!("GET /?{query} HTTP/1.1\r\n\r\n"), 400),
        (
            format!("GET /?{query} HTTP/1.1\r\n{host}Host: evil.example\r\n\r\n"),
            400,
        ),
        ("\x16\x03\x01\x02\x00\x01\x00\r\n\r\n".into(), 400),
        (
            format!("GET /?{} HTTP/1.1\r\n{host}\r\n", "x".repeat(40_000)),
            431,
        ),
        (
            format!("GET / HTTP/1.1\r\n{host}{}\r\n", "A: b\r\n".repeat(100)),
            431,
        ),
    ] {
        let page =
            send(&back, request.as_bytes()).unwrap_or_else(|| panic!("no answer: {request}"));
        assert_eq!(page.status, status, "{request}\n{}", page.body);
    }
    assert!(env.google.token_requests().is_empty(), "no code was used");
    // Some say nothing, some never end; more than it keeps.
    let mut silent: Vec<TcpStream> = (0..100)
        .map(|_| TcpStream::connect(name).unwrap())
        .collect();
    for stream in silent.iter_mut().step_by(2) {
        let _ = stream.write_all(b"GET /?code=");
    }
    let page = get(&back);
    assert!(page.body.contains("Signed in"), "{}", page.body);
    let ended = signing.end();
    assert!(ended.status.success(), "{ended:?}");
    // Each once, however often.
    assert_eq!(
        ended.err,
        format!(
            "warning: an answer to another sign-in came (its `state` is not ours) and was refused; still waiting\n\
             warning: a request for the host `evil.example:{port}`, which is not ours, was refused; still waiting\n"
        )
    );
    drop(silent);
}

#[test]
fn a_request_that_never_ends_is_ended() {
    let env = AuthEnv::new();
    let mut signing = env.auth(CREDENTIALS);
    let back = agree(&env.google, &signing.url());
    let port: u16 = back.split([':', '/']).nth(4).unwrap().parse().unwrap();
    let mut slow = TcpStream::connect(("127.0.0.1", port)).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let begun = Instant::now();
    let mut drip = slow.try_clone().unwrap();
    let dripping = thread::spawn(move || {
        // Each byte comes in good time, all of them do not.
        while drip.write_all(b"G").is_ok() && begun.elapsed() < Duration::from_secs(50) {
            thread::sleep(Duration::from_millis(300));
        }
    });
    let _ = slow.read_to_end(&mut Vec::new());
    let took = begun.elapsed();
    assert!(
        took > Duration::from_secs(8) && took < Duration::from_secs(40),
        "{took:?}"
    );
    dripping.join().unwrap();
    get(&back);
    signing.end().is_well();
}

#[test]
fn only_this_machine_is_listened_to() {
    let env = AuthEnv::new();
    let mut signing = env.auth(CREDENTIALS);
    let url = signing.url();
    let back = agree(&env.google, &url);
    let port: u16 = back.split([':', '/']).nth(4).unwrap().parse().unwrap();
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let listening: Vec<&str> = sockets
        .lines()
        .filter_map(|l| l.split_whitespace().nth(1))
        .filter(|local| local.ends_with(&format!(":{port:04X}")))
        .collect();
    assert!(
        listening.contains(&&*format!("0100007F:{port:04X}"))
            && listening.iter().all(|l| l.starts_with("0100007F")),
        "{listening:?}"
    );
    get(&back);
    signing.end().is_well();
}

#[test]
fn what_is_pasted_at_a_terminal_is_not_shown() {
    let env = AuthEnv::new().without_config();
    let program = env!("CARGO_BIN_EXE_imap-to-gmail");
    let sign_in = format!(
        "{program} auth {} --no-browser; stty -a",
        CREDENTIALS.join(" ")
    );
    // It gives the program a terminal.
    let mut signing = env.start(Command::new("script").args(["-qec", &sign_in, "/dev/null"]));
    let url = signing.url();
    signing.types("not-to-be-seen");
    signing.types(&agree(&env.google, &url));
    signing.line("token.json is written.");
    // Afterwards all is as before.
    let modes = signing.line(" echo ");
    assert!(modes.contains("-echonl"), "{modes}");
    let ended = signing.end();
    assert!(ended.status.success(), "{ended:?}");
    assert!(
        ended.out.contains("warning: this is not the address"),
        "{}",
        ended.out
    );
    assert!(!ended.out.contains("not-to-be-seen"), "{}", ended.out);
}

#[test]
fn ctrl_c_at_a_terminal_leaves_it_as_it_was() {
    let env = AuthEnv::new();
    let program = env!("CARGO_BIN_EXE_imap-to-gmail");
    let sign_in = format!(
        "trap : INT; {program} auth {} --no-browser; stty -a",
        CREDENTIALS.join(" ")
    );
    let mut signing = env.start(Command::new("script").args(["-qec", &sign_in, "/dev/null"]));
    signing.url();
    signing.types("\u{3}");
    let modes = signing.line(" echo ");
    assert!(modes.contains("-echonl"), "{modes}");
    signing.end();
    assert!(!env.path("token.json").exists());
}

fn ignores_sigint() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
    mask.is_some_and(|m| u64::from_str_radix(m.trim(), 16).is_ok_and(|m| m & 2 != 0))
}

#[test]
fn ctrl_c_just_ends_it() {
    let env = AuthEnv::new();
    let mut signing = env.auth(CREDENTIALS);
    signing.url();
    let pid = signing.child.id().to_string();
    // What a shell runs in the background ignores SIGINT from the start, and so do its children.
    let (name, number) = if ignores_sigint() {
        ("-TERM", 15)
    } else {
        ("-INT", 2)
    };
    assert!(
        Command::new("kill")
            .args([name, &pid])
            .status()
            .unwrap()
            .success()
    );
    let ended = signing.end();
    let signal = std::os::unix::process::ExitStatusExt::signal(&ended.status);
    assert_eq!((signal, &*ended.err), (Some(number), ""));
    assert!(!env.path("token.json").exists());
    let left: Vec<_> = std::fs::read_dir(env.route.dir.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}
