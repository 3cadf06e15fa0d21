//! Answers without end, without sense or without haste, to each command, on either side: once, and every time.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::measured::run_and_measure;
use crate::testkit::at_a_time;
use crate::testkit::scripted_proxy::{Part, Then, Twist};

/// What is said of a server that takes its time.
const SLOW: Option<&str> = Some("did not answer in time");

/// A kind of madness, and what the log says of it.
struct Madness {
    name: &'static str,
    part: Part,
    /// None: it does no harm, and there is nothing to say.
    words: Option<&'static str>,
}

fn mad(
    name: &'static str,
    words: Option<&'static str>,
    part: impl Fn(&mut TcpStream, &str) -> Then + Send + Sync + 'static,
) -> Madness {
    Madness {
        name,
        part: Arc::new(part),
        words,
    }
}

/// Says this for ever, until the client has had enough.
fn for_ever(client: &mut TcpStream, text: &[u8]) -> Then {
    let block = text.repeat((64 << 10) / text.len() + 1);
    while client.write_all(&block).is_ok() {}
    Then::End
}

fn all() -> Vec<Madness> {
    vec![
        mad("a byte a second", SLOW, |client, _| {
            for _ in 0..60 {
                if client.write_all(b"*").is_err() {
                    break;
                }
                thread::sleep(Duration::from_secs(1));
            }
            Then::End
        }),
        mad("a byte of a literal a second", SLOW, |client, _| {
            let _ = client.write_all(b"* 1 FETCH (UID 1 BODY[] {1000}\r\n");
            for _ in 0..60 {
                if client.write_all(b"x").is_err() {
                    break;
                }
                thread::sleep(Duration::from_secs(1));
            }
            Then::End
        }),
        mad("no answer", SLOW, |_, _| {
            thread::sleep(Duration::from_secs(12));
            Then::End
        }),
        mad("a line without end", Some("has no end"), |client, _| {
            for_ever(client, b"* OK ")
        }),
        mad("lines without end", Some("has no end"), |client, _| {
            for_ever(client, b"* OK still here\r\n")
        }),
        mad("messages without end", Some("has no end"), |client, _| {
            for_ever(client, b"* 1 FETCH (UID 1)\r\n")
        }),
        mad(
            "a million lines that nobody asked for",
            Some("has no end"),
            |client, _| {
                let _ = client.write_all(&b"* 5 EXISTS\r\n".repeat(1_000_000));
                Then::Server
            },
        ),
        mad(
            "a literal of 4 GiB",
            Some("bytes where at most"),
            |client, _| {
                let _ = client.write_all(b"* 1 FETCH (UID 1 BODY[] {4294967296}\r\n");
                for_ever(client, b"x")
            },
        ),
        mad(
            "a literal of more than a number",
            Some("bytes where at most"),
            |client, _| {
                let _ = client.write_all(b"* 1 FETCH (UID 1 BODY[] {99999999999999999999999}\r\n");
                for_ever(client, b"x")
            },
        ),
        mad(
            "another tag",
            Some("something else than our command"),
            |client, _| {
                let _ = client.write_all(b"a99999 OK done\r\n");
                Then::End
            },
        ),
        mad(
            "HTTP",
            Some("something else than our command"),
            |client, _| {
                let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
                Then::End
            },
        ),
        // These do no harm in front of a right answer.
        mad("parentheses, 100,000 deep", None, |client, _| {
            let open = "(".repeat(100_000);
            let shut = ")".repeat(100_000);
            let _ = client
                .write_all(format!("* LIST {open}{shut}\r\n* STATUS x {open}\r\n").as_bytes());
            Then::Server
        }),
        mad("NULs", None, |client, _| {
            let _ = client.write_all(b"* \0\0\0\r\n* OK [\0] \0\r\n* 5\0 EXISTS\r\n");
            Then::Server
        }),
        mad("8-bit everywhere", None, |client, _| {
            let _ = client.write_all(b"* OK [\xff\xfe] J\xf6rg\r\n* LIST (\\\xe4) \"\xff\" \"\xfc\"\r\n* \xff\xff\xff\r\n* NO [ALERT] \x1b[2J\xe2\x80\xae\r\n");
            Then::Server
        }),
        mad("20 MB of nonsense", None, |client, _| {
            let line = format!("* X {}\r\n", "a ".repeat(5 << 20));
            let _ = client.write_all(line.repeat(2).as_bytes());
            Then::Server
        }),
    ]
}

/// Once at this command: the run goes on, says what happened, and everything arrives once.
fn once(side: &'static str, command: &'static str) {
    let (slow, quick): (Vec<_>, Vec<_>) = all().into_iter().partition(|m| m.words == SLOW);
    // Their waits cost nothing: they wait together.
    thread::scope(|scope| {
        for madness in slow {
            scope.spawn(|| once_so(side, command, madness));
        }
    });
    for madness in quick {
        once_so(side, command, madness);
    }
}

fn once_so(side: &'static str, command: &'static str, madness: Madness) {
    let name = format!("{side}, {command}: {}", madness.name);
    let mut env = super::into_gmail();
    env.old_mails(3);
    let twist = Twist::at(env.port(side), command, 1, madness.part);
    env.set(&format!("{side}_port"), twist.port);
    let took = run_and_measure(&env, &name);
    assert_eq!(twist.struck(), 1, "{name}: {}", took.ran.err);
    assert_eq!(took.ran.status, 0, "{name}: {}", took.ran.err);
    took.assert_bounded(&name);
    if let Some(words) = madness.words {
        assert!(took.ran.err.contains(words), "{name}: {}", took.ran.err);
    }
    env.assert_complete();
    env.assert_nobody_charged();
}

#[test]
fn a_source_that_goes_mad_at_its_mailbox() {
    once("source", "EXAMINE");
}

#[test]
fn a_source_that_goes_mad_at_a_fetch() {
    once("source", "UID FETCH");
}

#[test]
fn a_target_that_goes_mad_at_its_mailboxes() {
    once("target", "LIST");
}

#[test]
fn a_target_that_goes_mad_at_a_look() {
    once("target", "UID FETCH");
}

#[test]
fn a_target_that_goes_mad_at_a_message() {
    once("target", "APPEND");
}

/// What never gets better ends with an error, and what was recorded waits. Each at one side, drawn: to read as much as is read
/// of what has no end takes its time.
#[test]
fn madness_without_end_ends_the_run() {
    let endless = all().into_iter().filter(|m| m.words == Some("has no end"));
    let drawn = |madness| (fastrand::choice(["source", "target"]).unwrap(), madness);
    let cases = endless.map(drawn).collect();
    at_a_time(cases, |(side, madness)| {
        let name = format!("{side}, each time: {}", madness.name);
        let mut env = super::into_gmail();
        env.old_mails(3);
        let twist = Twist::at(env.port(side), "UID FETCH", usize::MAX, madness.part);
        env.set(&format!("{side}_port"), twist.port);
        let took = run_and_measure(&env, &name);
        assert!(twist.struck() > 1, "{name}");
        assert_eq!(took.ran.status, 1, "{name}: {}", took.ran.err);
        took.assert_bounded(&name);
        assert!(took.ran.err.contains("error: "), "{name}: {}", took.ran.err);
        assert_eq!(env.target.messages().len(), 0, "{name}");
        // And when the server comes to its senses nothing is missing.
        let port = env.port(side);
        env.set(&format!("{side}_port"), port);
        env.run_until_done(2);
        env.assert_complete();
    });
}
