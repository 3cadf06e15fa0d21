//! Answers without end: memory, stack and time stay bounded.
//!
//! The client runs in a process of its own, so that its peak memory is its own too.

use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use imap_to_gmail::config::Intervals;
use imap_to_gmail::message::{Time, UidValidity};
use imap_to_gmail::session::{Appended, Session, View};

use super::script::{PLAIN, Peer, Server, endpoint, password, signed_in, within};
use crate::testkit;

/// The most that one hostile answer may make the process grow, in MB: what one command may be told
/// in text (32 MB), four times.
const GROWTH_MAX: u64 = 128;

const PORT: &str = "HOSTILE_SERVER_PORT";
const COMMAND: &str = "HOSTILE_SERVER_COMMAND";

/// What the process of its own has to tell.
struct Ended {
    grown_mb: u64,
    took: Duration,
    logged: u64,
    words: String,
}

/// The client of the tests below. Does nothing when it is run as a test like any other.
#[test]
fn client_in_a_process_of_its_own() {
    let (Ok(port), Ok(command)) = (std::env::var(PORT), std::env::var(COMMAND)) else {
        return;
    };
    log::set_logger(&LOGGED).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let limit = Duration::from_secs(20);
    let times = Intervals {
        connect: limit,
        command: limit,
        append: limit,
        ..Intervals::default()
    };
    let endpoint = endpoint(port.parse().unwrap());
    let (before, start) = (peak_memory_kb(), Instant::now());
    let words = match Session::open(&endpoint, &password(), &times) {
        Err(e) => e.to_string(),
        Ok(mut session) => match command.as_str() {
            "examine" => format!("{:?}", session.examine("INBOX").err()),
            "search" => {
                let view = View {
                    uid_validity: UidValidity(1),
                    uid_next: u32::MAX,
                    uid_next_stated: true,
                    exists: 1,
                };
                let found = session.uids_since(&view, Some(Time::UNIX_EPOCH));
                format!("{:?}", found.err())
            }
            "append" => match session.append("INBOX", Default::default(), None, Default::default())
            {
                Appended::Lost(e, _) => e.to_string(),
                other => format!("{other:?}"),
            },
            _ => format!("{:?}", session.uid_fetch("1:*", "(UID)", 0).1.err()),
        },
    };
    println!(
        "ended {} {} {} {words}",
        peak_memory_kb() - before,
        start.elapsed().as_millis(),
        LOGGED.0.load(Ordering::Relaxed),
    );
}

/// Counts what is logged for people, and makes the words of it as a real log does.
struct Counter(AtomicU64);

static LOGGED: Counter = Counter(AtomicU64::new(0));

impl log::Log for Counter {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let bytes = record.args().to_string().len() as u64;
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn flush(&self) {}
}

fn peak_memory_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Runs one command of a client against this server, whose script begins at the greeting.
fn run(command: &str, script: impl FnOnce(&mut Peer) + Send + 'static) -> Ended {
    let server = Server::start(script);
    let output = testkit::again("hostile_servers::bounds::client_in_a_process_of_its_own")
        .env(PORT, server.port.to_string())
        .env(COMMAND, command)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    server.finish();
    let at = text.find("ended ").unwrap();
    let mut fields = text[at..].lines().next().unwrap().splitn(5, ' ').skip(1);
    let mut number = || fields.next().unwrap().parse::<u64>().unwrap();
    let (grown_mb, took) = (number() >> 10, Duration::from_millis(number()));
    let logged = number();
    let words = fields.next().unwrap_or_default().to_string();
    let thread = std::thread::current();
    let name = thread.name().unwrap_or_default();
    println!("{name}: {grown_mb} MB, {took:?}: {words}");
    Ended {
        grown_mb,
        took,
        logged,
        words,
    }
}

#[track_caller]
fn bounded(ended: &Ended, words: &str) {
    assert!(ended.words.contains(words), "{}", ended.words);
    assert!(ended.grown_mb <= GROWTH_MAX, "{} MB", ended.grown_mb);
    // Not what a machine takes, but far from what is quadratic.
    assert!(ended.took < Duration::from_secs(15), "{:?}", ended.took);
}

/// A server that answers `begin` with `first`, and then for ever with `then`.
fn endless(begin: &'static str, first: &'static str, then: &'static [u8]) -> Ended {
    let verb = begin.split(' ').next_back().unwrap().to_ascii_lowercase();
    run(&verb, move |peer| {
        peer.welcome(PLAIN);
        peer.command(begin);
        peer.say(first);
        peer.say_for_ever(then);
    })
}

#[test]
fn a_greeting_without_end() {
    let ended = run("none", |peer| peer.say_for_ever("* OK "));
    bounded(&ended, "no end");
}

#[test]
fn a_line_without_end() {
    bounded(
        &endless("UID FETCH", "* 1 FETCH (X ", b"xxxxxxxx"),
        "no end",
    );
}

#[test]
fn lines_without_end() {
    bounded(
        &endless("UID FETCH", "", b"* 1 FETCH (UID 1)\r\n"),
        "no end",
    );
}

#[test]
fn the_shortest_lines_without_end() {
    bounded(&endless("EXAMINE", "", b"* \n"), "no end");
    bounded(&endless("EXAMINE", "", b"\n"), "no end");
}

#[test]
fn warnings_without_end_cost_no_more_than_other_lines() {
    let ended = endless("EXAMINE", "", b"* NO [ALERT] hm\r\n");
    bounded(&ended, "no end");
    assert!(
        ended.logged > 0 && ended.logged < 10_000,
        "{}",
        ended.logged
    );
}

#[test]
fn lines_without_end_at_sign_in() {
    let ended = run("none", |peer| {
        peer.say(format!("* OK [CAPABILITY {PLAIN}] hello\r\n"));
        peer.command("AUTHENTICATE");
        peer.say_for_ever("* OK wait\r\n");
    });
    bounded(&ended, "no end");
}

#[test]
fn lines_without_end_around_an_append() {
    bounded(&endless("APPEND", "+ \r\n", b"* OK wait\r\n"), "no end");
}

#[test]
fn a_literal_of_4_gb_is_not_read() {
    for len in ["4294967295", "99999999999", "99999999999999999999999"] {
        let first = format!("* 1 FETCH (UID 1 BODY[] {{{len}}}\r\n");
        let ended = run("fetch", move |peer| {
            peer.welcome(PLAIN);
            peer.command("UID FETCH");
            peer.say(first);
            peer.say_for_ever("x");
        });
        bounded(&ended, "bytes where at most");
        assert!(ended.grown_mb < 16, "{} MB", ended.grown_mb);
    }
}

#[test]
fn literals_without_end() {
    bounded(&endless("UID FETCH", "* 1 FETCH (", b"X {0}\r\n"), "no end");
    bounded(
        &endless("UID FETCH", "", b"* 1 FETCH (UID 1 X {8}\r\n12345678)\r\n"),
        "no end",
    );
}

/// Lines of 15 MB, below the bound for one line, whose every second byte is a value.
fn long_lines(
    lines: usize,
    command: &'static str,
    begin: &'static str,
    piece: &'static str,
    end: &'static str,
) -> Ended {
    run(&command.to_ascii_lowercase(), move |peer| {
        peer.welcome(PLAIN);
        let line = format!("{begin}{}{end}\r\n", piece.repeat((15 << 20) / piece.len()));
        let tag = peer.line().split(' ').next().unwrap().to_string();
        for _ in 0..lines {
            peer.say(&line);
        }
        peer.say(format!("{tag} OK done\r\n"));
    })
}

#[test]
fn one_byte_values_do_not_swell() {
    bounded(
        &long_lines(2, "EXAMINE", "* CAPABILITY", " a", ""),
        "UIDVALIDITY",
    );
    bounded(
        &long_lines(2, "EXAMINE", "* 1 FETCH (", "a ", ")"),
        "UIDVALIDITY",
    );
    bounded(
        &long_lines(2, "EXAMINE", "* LIST (", "()", ")"),
        "UIDVALIDITY",
    );
}

#[test]
fn status_texts_and_searches_do_not_swell() {
    bounded(
        &long_lines(2, "EXAMINE", "* OK [", "x ", "]"),
        "UIDVALIDITY",
    );
    bounded(
        &long_lines(1, "SEARCH", "* SEARCH", " 4294967295", ""),
        "None",
    );
    // More than are taken from a SEARCH: the messages are listed instead, as far as the server lets us.
    bounded(
        &long_lines(2, "SEARCH", "* SEARCH", " 1", ""),
        "the connection to",
    );
}

#[test]
fn thirty_megabytes_of_line_feeds_are_quick() {
    const LEN: usize = 30_000_000;
    let (server, mut session) = signed_in(|peer| {
        let tag = peer.command("UID FETCH");
        peer.say(format!("* 1 FETCH (UID 1 BODY[] {{{LEN}}}\r\n"));
        peer.say(vec![b'\n'; LEN]);
        peer.say(format!(")\r\n{tag} OK done\r\n"));
        peer.next_command_works();
    });
    // The bare crate takes 14 s.
    let (fetched, end) = within(Duration::from_secs(5), || {
        session.uid_fetch("1", "(BODY.PEEK[])", LEN as u64)
    });
    end.unwrap();
    assert_eq!(fetched[0].body.as_ref().unwrap().len(), LEN);
    session.noop().unwrap();
    server.finish();
}

#[test]
fn five_thousand_literals_in_one_answer_are_quick() {
    let (server, mut session) = signed_in(|peer| {
        let strange = "X {1}\r\nx ".repeat(5000);
        peer.answer(
            "UID FETCH",
            format!("* 1 FETCH ({strange}UID 1 BODY[] {{3}}\r\nabc)\r\nTAG OK done\r\n"),
        );
        peer.next_command_works();
    });
    let (fetched, end) = within(Duration::from_secs(2), || {
        session.uid_fetch("1", "(BODY.PEEK[])", 100)
    });
    end.unwrap();
    assert_eq!(fetched[0].body.as_deref(), Some(&b"abc"[..]));
    session.noop().unwrap();
    server.finish();
}

#[test]
fn nested_parentheses_do_not_eat_a_small_stack() {
    let client = std::thread::Builder::new().stack_size(1 << 20).spawn(|| {
        let (server, mut session) = signed_in(|peer| {
            let open = "(".repeat(100_000);
            let nested = format!("{open}{}", ")".repeat(100_000));
            // As deep as the bound on values would let it be.
            let deep = format!("{}{}", "(".repeat(9_000), ")".repeat(9_000));
            peer.answer(
                "EXAMINE",
                format!(
                    "* 1 FETCH (BODYSTRUCTURE {open}\r\n* 1 FETCH (BODYSTRUCTURE {nested})\r\n* LIST {nested}\r\n* LIST {deep}\r\n* 1 FETCH (X {deep})\r\n* OK [UIDVALIDITY 1] x\r\n* OK [UIDNEXT 2] x\r\nTAG OK done\r\n"
                ),
            );
            peer.next_command_works();
        });
        assert_eq!(session.examine("INBOX").unwrap().uid_next, 2);
        session.noop().unwrap();
        server.finish();
    });
    client.unwrap().join().unwrap();
}
