//! What it costs to take over an account of which Gmail has nearly all already, brought by something else, and to audit it
//! then: 100,000 messages in 40 mailboxes, 99,900 of them in Gmail under the same labels. `cargo bench --bench adoption`.
//!
//! The program is its release build, with its real intervals; both servers are stand-ins in this process, so that only
//! the program's own time and memory count for much. One other argument than `--bench` is the number of messages.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use gmail_stand_in::{Gmail, Mail, Options};
use serde_json::json;

const MESSAGES: usize = 100_000;
const MAILBOXES: usize = 40;
/// One message of so many is not in Gmail.
const MISSING: usize = 1000;
const RUN: &[&str] = &["run", "--once", "--log", "/dev/null"];
const AUDIT: &[&str] = &["audit"];

/// What it is called, what is done before it, what it is, and the exit status that is due.
type Step<'a> = (&'a str, &'a dyn Fn(), &'a [&'a str], i32);

fn main() {
    let count = std::env::args()
        .skip(1)
        .find_map(|a| a.parse().ok())
        .unwrap_or(MESSAGES);
    let source = Gmail::start(Options::plain(
        "IMAP4rev1 LITERAL+ UIDPLUS IDLE SASL-IR AUTH=PLAIN NAMESPACE",
    ));
    let target = Gmail::start(Options::default());
    let begin = DateTime::parse_from_rfc3339("2012-01-01T00:00:00Z").unwrap();
    for n in 0..count {
        let date = begin + TimeDelta::minutes(n as i64);
        let mailbox = match n % MAILBOXES {
            0 => "INBOX".to_string(),
            m => format!("Projekt {m}"),
        };
        let bytes = format!(
            "From: Ann <ann@example.org>\r\nSubject: message {n}\r\nMessage-ID: <{n}@example.org>\r\nDate: {}\r\n\r\n{}\r\n",
            date.to_rfc2822(),
            "It was a dark and stormy night. ".repeat(60)
        );
        source.add(Mail::new(&bytes).in_mailbox(&mailbox).at(date));
        if n % MISSING != MISSING - 1 {
            target.add(Mail::new(&bytes).in_mailbox(&mailbox).at(date));
        }
    }
    println!(
        "{count} messages in {MAILBOXES} mailboxes, all but {} of them in Gmail",
        count / MISSING
    );
    let (from, to) = (
        Counted::before(source.port()),
        Counted::before(target.port()),
    );
    let dir = tempfile::tempdir().unwrap();
    let config = json!({
        "source_server": "localhost", "source_port": from.port, "source_ca_file": source.ca_file(),
        "source_user": source.account(), "source_pass": source.password(),
        "target_server": "localhost", "target_port": to.port, "target_ca_file": target.ca_file(),
        "target_user": target.account(), "target_pass": target.password(),
        "folders": ["*"], "since": "all",
    });
    let file = dir.path().join("config.json");
    fs::write(&file, config.to_string()).unwrap();
    let ledger = dir.path().join("sync_state.db");
    let sql = |statement: &str| {
        let db = rusqlite::Connection::open(&ledger).unwrap();
        db.execute_batch(statement).unwrap();
    };
    let delete_some = || {
        for stored in target.messages().iter().step_by(MISSING) {
            target.delete(stored.id);
        }
    };
    let steps: [Step<'_>; 5] = [
        ("first run", &|| {}, RUN, 0),
        ("run again, nothing new", &|| {}, RUN, 0),
        ("audit", &|| {}, AUDIT, 0),
        (
            "audit, some copies deleted in Gmail",
            &delete_some,
            AUDIT,
            4,
        ),
        (
            "the same, and the index knows no names",
            &|| sql("DELETE FROM gmail_message"),
            AUDIT,
            4,
        ),
    ];
    for (what, before, args, due) in steps {
        before();
        let lines = (source.lines(), target.lines());
        let bytes = (from.bytes(), to.bytes());
        let begun = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_imap-to-gmail"))
            .args(args)
            .arg("--config")
            .arg(&file)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut peak = 0;
        let status = loop {
            peak = peak.max(memory(child.id()));
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(status.code(), Some(due), "{what}");
        println!(
            "{what}: {:.1} s, peak {:.0} MB",
            begun.elapsed().as_secs_f64(),
            peak as f64 / 1024.0
        );
        for (name, server, before, link, earlier) in [
            ("source", &source, lines.0, &from, bytes.0),
            ("Gmail", &target, lines.1, &to, bytes.1),
        ] {
            let said = server.transcript().after(before);
            let commands = said.client();
            let appends = commands.iter().filter(|c| c.contains(" APPEND ")).count();
            println!(
                "  {name}: {} commands, {appends} of them APPEND, {:.1} MB",
                commands.len(),
                (link.bytes() - earlier) as f64 / 1e6
            );
        }
        if args == RUN {
            assert_eq!(target.messages().len(), count);
        }
    }
    let ledger = fs::metadata(&ledger).unwrap().len();
    println!(
        "ledger: {:.0} MB; {}",
        ledger as f64 / 1e6,
        Utc::now().format("%Y-%m-%d")
    );
}

/// In kB, the most that the process has had.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:"));
    line.and_then(|l| l.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}

/// A way to a server on which the bytes are counted, both directions together.
struct Counted {
    port: u16,
    bytes: Arc<AtomicU64>,
}

impl Counted {
    fn before(server: u16) -> Counted {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let bytes: Arc<AtomicU64> = Arc::default();
        let counted = Arc::clone(&bytes);
        thread::spawn(move || {
            for here in listener.incoming().flatten() {
                let there = TcpStream::connect(("127.0.0.1", server)).unwrap();
                let (a, b) = (here.try_clone().unwrap(), there.try_clone().unwrap());
                for (from, to) in [(here, there), (b, a)] {
                    let counted = Arc::clone(&counted);
                    thread::spawn(move || pass_on(from, to, &counted));
                }
            }
        });
        Counted { port, bytes }
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, counted: &AtomicU64) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(n) = from.read(&mut buffer) {
        counted.fetch_add(n as u64, Ordering::Relaxed);
        if n == 0 || to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}
