//! A server as the account that is filled: each message of a small corpus, nasty ones among them, is there once or is
//! listed with what the server said, also when the program was killed in the middle.

use std::collections::{HashMap, HashSet};
use std::thread;
use std::time::{Duration, Instant};

use chrono::DateTime;
use gmail_stand_in::{Gmail, Mail, Options};
use serde_json::json;

use super::daemon::Daemon;
use super::report::{Report, Row};
use super::server::Server;
use crate::testkit::corpus;
use crate::testkit::env::SOURCE;
use crate::testkit::route::Route;

const USER: &str = "alice";
/// Messages that no server has anything against, beside the nasty ones.
const ORDINARY: usize = 60;
/// Messages with bytes in their Message-ID that are none of ASCII: Cyrus rewrites them.
const EIGHT_BIT: usize = 40;
/// What was left open by the kill is looked for, and believed absent after half a minute.
const PATIENCE: Duration = Duration::from_secs(90);

/// What each row shows.
pub(crate) const COLUMNS: [&str; 6] = [
    "server",
    "mails",
    "delivered",
    "other bytes",
    "refused",
    "took",
];

/// Tries one server.
pub(crate) fn once_each(server: Box<dyn Server>) -> Report {
    let mut report = Report::default();
    let source = Gmail::start(Options::plain(SOURCE));
    let corpus = mails();
    let date = DateTime::parse_from_rfc3339("2024-01-04T10:00:00+00:00").unwrap();
    for (n, mail) in corpus.iter().enumerate() {
        let mut mail = Mail::new(mail).at(date + Duration::from_secs(60 * n as u64));
        if n % 3 == 0 {
            mail = mail.seen();
        }
        source.add(mail);
    }
    let mut route = Route::new(json!({
        "source_server": "localhost",
        "source_port": source.port(),
        "source_ca_file": source.ca_file(),
        "source_user": source.account(),
        "source_pass": source.password(),
        "target_server": "localhost",
        "target_user": USER,
        "target_pass": "pw",
        "since": "all",
    }));
    server.enter(&mut route, "target");

    let begun = Instant::now();
    let daemon = Daemon::start(&route, &[]);
    let mut client = server.client(USER);
    client.command("EXAMINE INBOX");
    let killed = until(|| {
        // Courier shows what came since only then.
        client.command("NOOP");
        let found = client.command("UID SEARCH ALL");
        let count: usize = found
            .iter()
            .map(|line| line.line().split_whitespace().count() - 2)
            .sum();
        count > corpus.len() / 3
    });
    drop(client);
    daemon.kill();
    let daemon = Daemon::start(&route, &[]);
    let done = until(|| {
        let open = "SELECT count(*) FROM message WHERE status IN ('pending', 'in_flight')";
        let done = "SELECT count(*) FROM mailbox WHERE history_done";
        route.one::<usize>(open) == 0 && route.one::<usize>(done) == 1
    });
    let took = begun.elapsed();
    let log = daemon.log();
    let ended = daemon.end();

    let who = server.name();
    let mut fault = |text: String| report.faults.push(format!("{who} as target: {text}"));
    if !killed {
        fault("a third of the messages was never there".into());
    }
    if !done {
        fault(format!("not done after {took:.0?}:\n{}", open(&route)));
    }
    if ended != Some(0) {
        fault(format!("it ended with {ended:?}"));
    }

    // What the ledger says against what is there; servers rewrite what `canonical` leaves out.
    let entries = entries(&route);
    if entries.len() != corpus.len() {
        fault(format!(
            "{} rows for {} messages",
            entries.len(),
            corpus.len()
        ));
    }
    let mut there: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut exact: HashSet<Vec<u8>> = HashSet::new();
    for mail in server.served(USER) {
        *there.entry(canonical(&mail)).or_default() += 1;
        exact.insert(mail);
    }
    let listed = route.command(&["status", "--failed"]).out;
    let (mut delivered, mut rewritten, mut refused) = (0, 0, 0);
    for Entry {
        id,
        uid,
        status,
        error,
    } in &entries
    {
        let mail = &corpus[uid - 1];
        let copies = there.remove(&canonical(mail)).unwrap_or(0);
        let ordinary = subject(mail).starts_with("ordinary");
        let what = format!("{:?} (UID {uid})", subject(mail));
        match (status.as_str(), copies) {
            ("delivered", 1) => {
                delivered += 1;
                rewritten += usize::from(!exact.contains(mail));
            }
            ("failed", 0) if listed.contains(&format!("id {id},")) && !ordinary => {
                refused += 1;
                report
                    .notes
                    .push(format!("{who} as target, {what}: {error}"));
            }
            ("failed", 0) => fault(format!(
                "{what}: refused and not listed, or not one to refuse: {error}"
            )),
            _ => fault(format!("{what}: {status}, {copies} copies; {error}")),
        }
    }
    for left in there.keys() {
        fault(format!(
            "there, but not from the source: {}",
            left[..left.len().min(300)].escape_ascii()
        ));
    }
    report.rows.push(Row::of([
        who.to_owned(),
        corpus.len().to_string(),
        delivered.to_string(),
        rewritten.to_string(),
        refused.to_string(),
        format!("{:.1} s", took.as_secs_f64()),
    ]));
    report.finish(&format!("{who} as target"), &log, &*server);
    report
}

fn mails() -> Vec<Vec<u8>> {
    let ordinary = (0..ORDINARY).map(|n| {
        let body = "A line of text.\r\n".repeat(1 + n * n);
        format!(
            "From: Ann <ann@example.org>\r\nSubject: ordinary {n}\r\nMessage-ID: <{n}@example.org>\r\n\
             Date: Thu, 4 Jan 2024 10:00:00 +0000\r\n\r\n{n}\r\n{body}"
        )
        .into_bytes()
    });
    // By what a server makes of these nobody would recognise them who knows but their names.
    let eight_bit = (0..EIGHT_BIT).map(|n| {
        let head =
            b"From: Ann <ann@example.org>\r\nSubject: eight bits\r\nMessage-ID: <gr\xfc\xdfe.";
        let rest =
            format!("{n}@example.org>\r\nDate: Thu, 4 Jan 2024 10:00:00 +0000\r\n\r\n{n}\r\n");
        [head, rest.as_bytes()].concat()
    });
    let nasty = corpus::nasty().into_iter().map(|mail| mail.bytes);
    let mut mails: Vec<Vec<u8>> = nasty.chain(ordinary).collect();
    // The newest are sent first: at the kill, these are under way.
    let after = mails.len() - ORDINARY / 2;
    mails.splice(after..after, eight_bit);
    mails
}

/// The rows that are not settled.
fn open(route: &Route) -> String {
    let settled = |line: &&str| line.contains(" delivered ") || line.contains(" failed ");
    let dump = route.dump();
    let lines: Vec<&str> = dump.lines().filter(|line| !settled(line)).collect();
    lines.join("\n")
}

/// What the ledger says of a message.
struct Entry {
    id: i64,
    uid: usize,
    status: String,
    error: String,
}

fn entries(route: &Route) -> Vec<Entry> {
    let db = route.sql();
    let mut query = db
        .prepare("SELECT id, source_uid, status, coalesce(last_error, '') FROM message ORDER BY id")
        .unwrap();
    let entries = query.query_map([], |row| {
        Ok(Entry {
            id: row.get(0)?,
            uid: row.get(1)?,
            status: row.get(2)?,
            error: row.get(3)?,
        })
    });
    entries.unwrap().map(Result::unwrap).collect()
}

/// Without what servers are known to rewrite: line ends, the end, NUL, and bytes of 8 bits.
fn canonical(mail: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = mail
        .iter()
        .filter(|&&byte| byte != b'\r')
        .map(|&byte| {
            if byte == 0 || byte >= 0x80 {
                b'X'
            } else {
                byte
            }
        })
        .collect();
    while bytes.ends_with(b"\n") {
        bytes.pop();
    }
    bytes
}

fn subject(mail: &[u8]) -> String {
    let text = String::from_utf8_lossy(&mail[..mail.len().min(300)]).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("Subject: "));
    line.unwrap_or(&text).to_owned()
}

/// Waits for what announces itself by no event; whether it came.
pub(super) fn until(mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + PATIENCE;
    while !done() {
        if Instant::now() > end {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    true
}
