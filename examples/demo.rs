//! See it work within seconds, with nothing but Rust: a mailbox and a Gmail, both played by a stand-in on 127.0.0.1, and
//! the real program between them.
//!
//! ```text
//! cargo run --release --example demo
//! ```
//!
//! Everything lies in a temporary folder that is gone at the end. The program runs as a process of its own, as it does
//! when it is installed: this binary starts itself again, with the command line in [`PROGRAM`].

// It is one long print.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use gmail_stand_in::{Gmail, Mail, Options};
use imap_to_gmail::cli;
use imap_to_gmail::config::Intervals;
use rusqlite::types::ValueRef;
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};

/// Holds the command line when this process is to be the program itself.
const PROGRAM: &str = "IMAP_TO_GMAIL_DEMO";
const MESSAGES: usize = 200;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    if let Ok(line) = std::env::var(PROGRAM) {
        return ExitCode::from(cli::main(
            line.split(' ').map(Into::into),
            Intervals::default(),
        ));
    }
    match demo() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn demo() -> Result<()> {
    let begun = Instant::now();
    // Ctrl-C ends the program that runs; then the folder must still be removed.
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    TcpListener::bind(("127.0.0.1", 0))
        .map_err(|e| {
            format!("127.0.0.1 cannot be listened on: {e}\n\nhint: the demo plays two servers there, on free ports")
        })?;
    let dir = tempfile::Builder::new()
        .prefix("imap-to-gmail-demo-")
        .tempdir()
        .map_err(|e| {
            format!(
                "no folder can be made in {}: {e}\n\nhint: set TMPDIR to a folder that you may write to",
                std::env::temp_dir().display()
            )
        })?;

    let source = Gmail::start(Options::plain(
        "IMAP4rev1 LITERAL+ UIDPLUS IDLE SASL-IR AUTH=PLAIN",
    ));
    let gmail = Gmail::start(Options::default());
    // As far away as Gmail is for many: on this machine alone there would be no progress to be seen.
    gmail.knobs(|k| k.round_trip = Duration::from_millis(20));
    let mails = assorted(Utc::now());
    for mail in &mails {
        source.add(mail.stored());
    }
    gmail.add(mails[0].archived());
    step(&format!(
        "A mailbox with {MESSAGES} messages, and a Gmail that has one of them already;\n\
         both played by a stand-in on 127.0.0.1, over real IMAP and TLS."
    ));

    let config = config(&source, &gmail);
    fs::copy(source.ca_file(), dir.path().join("source.pem"))?;
    fs::copy(gmail.ca_file(), dir.path().join("gmail.pem"))?;
    fs::write(dir.path().join("config.json"), format!("{config:#}\n"))?;
    let token = gmail.token_json("ya29.expired", Duration::ZERO);
    fs::write(dir.path().join("token.json"), token)?;
    step("The configuration. (The token is an expired one: it will be renewed.)");
    typed("cat config.json");
    println!("{config:#}");

    let desk = Desk {
        dir: dir.path(),
        interrupted,
    };
    step("The program copies everything, but for one message that Gmail refuses.");
    let ended = desk.program("run --config config.json --once --log run.log")?;
    println!("(exit status {ended}: a message failed)");

    step("What came of it:");
    desk.program("status --failed")?;

    step("Every message is a row of the ledger, in SQLite. The odd ones:");
    let odd = "SELECT id, status, proof, size, message_id\n    \
               FROM message WHERE source_uid <= 9 ORDER BY source_uid";
    desk.ledger(odd)?;
    desk.ledger("SELECT status, messages, bytes FROM summary")?;

    step("New mail comes, and the program runs again: only what is new is sent.");
    source.add(new_mail(Utc::now()).stored());
    let before = gmail.uploaded();
    desk.program("run --config config.json --once --log run.log")?;
    println!("(sent this time: {} bytes)", gmail.uploaded() - before);

    step(&judged(&source, &gmail)?);
    println!(
        "That took {:.1} seconds. The folder in which it worked is gone; what cargo built for it stays in target/.",
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

/// One line that says what comes.
fn step(text: &str) {
    println!("\n==> {}", text.replace('\n', "\n    "));
}

fn typed(command: &str) {
    println!("$ {command}");
}

/// The folder that the program runs in.
struct Desk<'a> {
    dir: &'a Path,
    interrupted: Arc<AtomicBool>,
}

impl Desk<'_> {
    /// Runs the program, with this terminal. Gives its exit status.
    fn program(&self, args: &str) -> Result<i32> {
        typed(&format!("imap-to-gmail {args}"));
        let status = Command::new(std::env::current_exe()?)
            .env(PROGRAM, format!("imap-to-gmail {args}"))
            .current_dir(self.dir)
            .stdin(Stdio::null())
            .status()?;
        if self.interrupted.load(Ordering::Relaxed) {
            return Err("interrupted; everything was removed".into());
        }
        status
            .code()
            .ok_or_else(|| format!("the program ended with {status}").into())
    }

    /// What `sqlite3 -box` prints of the ledger.
    fn ledger(&self, query: &str) -> Result<()> {
        typed(&format!("sqlite3 -box sync_state.db \"{query}\""));
        let db = rusqlite::Connection::open(self.dir.join("sync_state.db"))?;
        let mut statement = db.prepare(query)?;
        let names: Vec<String> = statement.column_names().map(ToString::to_string).collect();
        let columns = names.len();
        let mut table = vec![names];
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let cell = |i| row.get_ref(i).map(text);
            table.push((0..columns).map(cell).collect::<rusqlite::Result<_>>()?);
        }
        print!("{}", boxed(&table));
        Ok(())
    }
}

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Real(n) => n.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
    }
}

fn boxed(table: &[Vec<String>]) -> String {
    let width = |i: usize| {
        table
            .iter()
            .map(|row| row[i].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..table[0].len()).map(width).collect();
    let rule = |left, middle, right| {
        let dashes: Vec<String> = widths.iter().map(|w| "─".repeat(w + 2)).collect();
        format!("{left}{}{right}\n", dashes.join(middle))
    };
    let mut out = rule("┌", "┬", "┐");
    for (n, row) in table.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(out, "│ {cell:<width$} ");
        }
        out.push_str("│\n");
        if n == 0 {
            out.push_str(&rule("├", "┼", "┤"));
        }
    }
    out + &rule("└", "┴", "┘")
}

fn config(source: &Gmail, gmail: &Gmail) -> Value {
    json!({
        "source_server": "localhost",
        "source_port": source.port(),
        "source_ca_file": "source.pem",
        "source_user": source.account(),
        "source_pass": source.password(),
        "target_server": "localhost",
        "target_port": gmail.port(),
        "target_ca_file": "gmail.pem",
        "target_user": gmail.account(),
        "target_token_file": "token.json",
        "since": "30d",
    })
}

/// Is it the mail in which the program tells of a message that it could not copy?
fn is_notice(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.contains("\nMessage-ID: <imap-to-gmail-notice.")
}

/// Counts, byte by byte, what Gmail has of the source.
fn judged(source: &Gmail, gmail: &Gmail) -> Result<String> {
    let mut copies: HashMap<Vec<u8>, usize> = HashMap::new();
    let (notices, held): (Vec<_>, Vec<_>) = gmail
        .messages()
        .into_iter()
        .map(|held| held.bytes)
        .partition(|bytes| is_notice(bytes));
    for bytes in held {
        *copies.entry(bytes).or_default() += 1;
    }
    let mut wanted: Vec<Vec<u8>> = source.messages().into_iter().map(|m| m.bytes).collect();
    let all = wanted.len();
    wanted.sort();
    wanted.dedup();
    let refused = usize::from(!copies.contains_key(REFUSED));
    let once = wanted
        .iter()
        .filter(|bytes| copies.get(*bytes) == Some(&1))
        .count();
    if once + refused != wanted.len() || copies.len() != once || notices.len() != refused {
        return Err(format!(
            "of {} different messages only {once} are in Gmail once",
            wanted.len()
        )
        .into());
    }
    Ok(format!(
        "Compared byte by byte: the source has {all} messages, {} of them different;\n\
         {once} are in Gmail, each once and unchanged, and 1 is listed as failed:\n\
         a mail in the INBOX there says so.",
        wanted.len()
    ))
}

/// A message of the source.
struct Letter {
    bytes: Vec<u8>,
    flags: &'static [&'static str],
    date: DateTime<Utc>,
}

impl Letter {
    fn stored(&self) -> Mail {
        let mail = Mail::new(&self.bytes).at(self.date.fixed_offset());
        self.flags.iter().fold(mail, |mail, flag| mail.flag(flag))
    }

    fn archived(&self) -> Mail {
        self.stored().in_mailbox("[Gmail]/All Mail")
    }
}

/// Without a header, which Gmail does not take.
const REFUSED: &[u8] = b"\r\nonly a body, no header\r\n";

/// The odd ones first.
fn assorted(now: DateTime<Utc>) -> Vec<Letter> {
    let odd: Vec<Vec<u8>> = vec![
        letter("<known@example.org>", "Gmail has this one already", "archived there\r\n"),
        b"From: scanner@example.org\r\nSubject: without a Message-ID\r\n\r\npage 1\r\n".to_vec(),
        b"From: old@example.org\r\nMessage-ID: <8bit@example.org>\r\nSubject: Gr\xfc\xdfe\r\n\r\nSch\xf6ne Gr\xfc\xdfe, in Latin-1\r\n".to_vec(),
        letter("<5mb@example.org>", "5 MB", &"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_\r\n".repeat(78_000)),
        REFUSED.to_vec(),
        letter("<list@example.org>", "one Message-ID, by the list", "a copy by the list\r\n"),
        letter("<list@example.org>", "one Message-ID, direct", "the direct copy\r\n"),
        letter("<twice@example.org>", "came twice, byte for byte", "the same\r\n"),
        letter("<twice@example.org>", "came twice, byte for byte", "the same\r\n"),
    ];
    let usual = (odd.len()..MESSAGES).map(|i| {
        let lines = 1 + i * 7 % 90;
        letter(
            &format!("<{i}@example.org>"),
            &format!("message {i}"),
            &format!("This is line after line of message {i}.\r\n").repeat(lines),
        )
    });
    let flags: [&'static [&'static str]; 4] =
        [&[], &["\\Seen"], &["\\Seen", "\\Answered"], &["\\Flagged"]];
    odd.into_iter()
        .chain(usual)
        .enumerate()
        .map(|(i, bytes)| Letter {
            bytes,
            flags: flags[i % flags.len()],
            date: now - TimeDelta::minutes(((MESSAGES - i) * 200) as i64),
        })
        .collect()
}

fn new_mail(now: DateTime<Utc>) -> Letter {
    Letter {
        bytes: letter("<new@example.org>", "new mail", "just now\r\n"),
        flags: &[],
        date: now,
    }
}

/// The text tells the time, so that two letters differ in Date where they differ in text.
fn letter(id: &str, subject: &str, body: &str) -> Vec<u8> {
    format!(
        "From: Ann <ann@example.org>\r\nTo: user@example.org\r\nDate: Tue, 14 Nov 2023 22:{:02}:20 +0000\r\n\
         Subject: {subject}\r\nMessage-ID: {id}\r\n\r\n{body}",
        body.len() % 60
    )
    .into_bytes()
}
