//! What each verb of the ledger costs with 1,000,000 messages and as many entries of the target
//! index, and how much more that is than with 10,000 of each: `cargo bench --bench ledger`.
//!
//! Times wobble; pages that were read from and written to the file hardly do. What is said to be
//! flat costs the same however much the ledger holds; what is linear grows with what it returns or
//! changes. One other argument than `--bench` is the number of messages to use in place of 1,000,000.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use imap_to_gmail::error::{Error, Fault};
use imap_to_gmail::folder::FolderId;
use imap_to_gmail::ledger::{
    Change, Claim, IndexMailbox, Inherited, Intent, Ledger, MailboxRow, Mark, Place, Progress,
    Proof, Route, RowId, Verdict,
};
use imap_to_gmail::message::{
    CanonicalHash, Discovered, Flags, MessageId, Sha256, Time, Uid, UidValidity, parse_time,
    time_text,
};
use rusqlite::{Connection, params};

const SMALL: u32 = 10_000;
const LARGE: u32 = 1_000_000;
const INBOX: FolderId = FolderId(1);
const ALL_MAIL: &str = "[Gmail]/All Mail";
/// The id that some thousand messages of a broken mailer share.
const SHARED: &str = "<cron@server.example.org>";

fn main() {
    let large = std::env::args()
        .skip(1)
        .find_map(|a| a.parse().ok())
        .unwrap_or(LARGE);
    let small = bench(SMALL);
    let big = bench(large);
    println!(
        "{:<52} {:>10} {:>10} {:>7}   {:>7} {:>8} {:>8}   {:>7}  should be",
        "", "ms", "ms", "ratio", "read", "read", "written", "peak MB"
    );
    println!(
        "{:<52} {:>10} {:>10} {:>7}   {:>7} {:>8} {:>8}   {:>7}",
        "messages:", SMALL, large, "", SMALL, large, large, large
    );
    for (a, b) in small.iter().zip(&big) {
        let ms = |t: Duration| t.as_secs_f64() * 1000.0;
        println!(
            "{:<52} {:>10.3} {:>10.3} {:>7.1}   {:>7} {:>8} {:>8}   {:>7.1}  {}",
            b.what,
            ms(a.time),
            ms(b.time),
            ms(b.time) / ms(a.time),
            a.read,
            b.read,
            b.written,
            b.peak as f64 / 1024.0,
            b.growth
        );
    }
}

/// One line of the table.
struct Figure {
    what: &'static str,
    /// `flat` or `linear`.
    growth: &'static str,
    time: Duration,
    /// Pages, per call.
    read: u64,
    written: u64,
    /// kB of memory that the process had at most.
    peak: u64,
}

struct Bench {
    rows: u32,
    now: Time,
    figures: Vec<Figure>,
}

impl Bench {
    /// Calls `work` so often, and puts down what one call costs.
    fn measure<T>(
        &mut self,
        what: &'static str,
        growth: &'static str,
        times: u32,
        mut work: impl FnMut(u32) -> T,
    ) -> T {
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let (read, written) = traffic();
        let begun = Instant::now();
        for n in 1..times {
            black_box(work(n));
        }
        let last = black_box(work(0));
        let time = begun.elapsed() / times;
        let (read_since, written_since) = traffic();
        let pages = |bytes: u64| bytes / 4096 / u64::from(times);
        self.figures.push(Figure {
            what,
            growth,
            time,
            read: pages(read_since - read),
            written: pages(written_since - written),
            peak: peak(),
        });
        last
    }
}

/// Bytes that the process has read and written by system calls, whatever the system had in memory.
fn traffic() -> (u64, u64) {
    let io = fs::read_to_string("/proc/self/io").unwrap();
    let value = |key: &str| -> u64 {
        let line = io.lines().find_map(|l| l.strip_prefix(key)).unwrap();
        line.trim().parse().unwrap()
    };
    (value("rchar:"), value("wchar:"))
}

fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

fn bench(rows: u32) -> Vec<Figure> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l.db");
    let mut bench = Bench {
        rows,
        now: parse_time("2026-11-23T12:00:00Z").unwrap(),
        figures: Vec::new(),
    };
    println!("{rows} messages");
    generate(&path, rows, bench.now);
    sizes(&path);
    bench.of_a_run(&path);
    bench.of_people(&path);
    bench.of_the_watcher(&path);
    bench.of_the_index(&path);
    bench.of_a_batch(&path);
    bench.of_one_name(&path);
    bench.of_a_new_incarnation(&path);
    bench.of_a_first_run(&dir.path().join("first.db"));
    bench.of_an_import(&dir.path().join("import.db"));
    bench.figures
}

fn route() -> Route {
    Route::new("user", "imap.example.org", "you@gmail.com", "gmail")
}

fn reopened(path: &Path) -> Ledger {
    Ledger::open_or_create(path, true).unwrap()
}

const BATCH: Claim = Claim {
    count: 50,
    bytes: 8 << 20,
    once: false,
};

/// Failed for good.
fn failed() -> Change {
    Change::Failed {
        error: Error::new(Fault::Permanent, "the target says: message too large"),
        sender: Some("somebody@example.org".into()),
        subject: Some("about something".into()),
    }
}

impl Bench {
    /// What a run asks at its start, and between two batches.
    fn of_a_run(&mut self, path: &Path) {
        let now = self.now;
        self.measure("open, as `run` does", "flat", 20, |_| reopened(path));
        let mut ledger = reopened(path);
        self.measure("whose it is, signs of life", "flat", 20, |_| {
            ledger.belong_to(&route(), now).unwrap();
            ledger.run_begins(&["watch", "deliver"], now).unwrap();
            ledger.beat(&["watch", "deliver"], now).unwrap();
        });
        self.measure("rows in flight", "flat", 20, |_| {
            ledger.in_flight().unwrap().len()
        });
        self.measure("rows to be verified", "flat", 20, |_| {
            ledger.unverified().unwrap().len()
        });
        self.measure("when is the next row due", "flat", 20, |_| {
            ledger.next_due(now).unwrap()
        });
        self.measure("is a row left untried", "flat", 20, |_| {
            ledger.untried().unwrap()
        });
        self.measure("what is left", "linear", 20, |_| ledger.left().unwrap());
    }

    fn of_people(&mut self, path: &Path) {
        let now = self.now;
        self.measure("open, as `status` does", "flat", 20, |_| {
            Ledger::open_existing(path).unwrap()
        });
        let mut ledger = Ledger::open_existing(path).unwrap();
        self.measure("status", "linear", 5, |_| ledger.summary(now, now).unwrap());
        self.measure("status --failed (1 of 2,000 failed)", "linear", 5, |_| {
            ledger.failed().unwrap().len()
        });
        self.measure("retry-failed, one", "flat", 1, |_| {
            let one = ledger.failed().unwrap()[0].id;
            ledger.retry_failed(&[one], false, now).unwrap()
        });
        self.measure("retry-failed --skip, all (1 of 2,000)", "linear", 1, |_| {
            ledger.retry_failed(&[], true, now).unwrap()
        });
        fail_a_tenth(path);
        self.measure("status (1 of 10 failed)", "linear", 5, |_| {
            ledger.summary(now, now).unwrap()
        });
        self.measure("status --failed (1 of 10 failed)", "linear", 1, |_| {
            ledger.failed().unwrap().len()
        });
        self.measure("retry-failed, all (1 of 10)", "linear", 1, |_| {
            ledger.retry_failed(&[], false, now).unwrap()
        });
        let scratch = tempfile::tempdir().unwrap();
        self.measure("a dry run's copy", "linear", 1, |_| {
            Ledger::open_scratch(path, scratch.path()).unwrap()
        });
    }

    fn of_the_watcher(&mut self, path: &Path) {
        let (now, rows) = (self.now, self.rows);
        let mut ledger = reopened(path);
        let mailbox = ledger.present_mailbox(INBOX).unwrap();
        self.measure("a look that shows nothing new", "flat", 20, |_| {
            ledger.inherit(INBOX).unwrap()
        });
        let mut next = mailbox.next_uid;
        let mut arrive = |ledger: &mut Ledger, count: u32| {
            let found: Vec<Discovered> = (next..next + count)
                .map(|n| mail(n, &format!("<new.{n}@example.org>"), now))
                .collect();
            next += count;
            ledger
                .record(mailbox.id, &found, Progress::NextUid(next), now)
                .unwrap()
        };
        self.measure("record 1 message", "flat", 20, |_| arrive(&mut ledger, 1));
        self.measure("record 1,000 messages", "flat", 5, |_| {
            arrive(&mut ledger, 1000)
        });
        let mut all: Vec<Uid> = (1..mailbox.next_uid).map(Uid).collect();
        self.measure("which of all UIDs have no row", "linear", 1, |_| {
            let uids = std::mem::take(&mut all);
            ledger.without_row(mailbox.id, uids).unwrap().len()
        });
        let new_one = MailboxRow {
            inherited: false,
            ..mailbox.clone()
        };
        self.measure("how far back, after new UIDs (once)", "linear", 1, |_| {
            ledger.history_from(&new_one).unwrap()
        });
        self.measure("was it known before its new UIDs", "flat", 20, |n| {
            let name = Some(rows / 30 + n).filter(|n| n % 3 != 0).map(name_of);
            let one = mail(n, &name.unwrap_or_default(), now);
            ledger.known_before(&mailbox, &one).unwrap()
        });
    }

    fn of_the_index(&mut self, path: &Path) {
        let (now, rows) = (self.now, self.rows);
        let mut ledger = reopened(path);
        let mut index = ledger.index_known(ALL_MAIL).unwrap().unwrap();
        self.measure("index: add 1,000 entries", "flat", 5, |_| {
            let from = index.next_uid;
            let seen: Vec<Discovered> = (from..from + 1000)
                .map(|n| Discovered {
                    gm_msgid: Some(u64::from(n) << 20 | 1),
                    ..mail(n, &format!("<seen.{n}@example.org>"), now)
                })
                .collect();
            index.next_uid += 1000;
            ledger.index_record(&index, &seen).unwrap();
        });
        self.measure("index: 50 ids that it has", "flat", 20, |n| {
            hits(&ledger, (0..50).map(|i| rows / 3 + 50 * n + i).map(name_of))
        });
        self.measure("index: 50 ids that it has not", "flat", 20, |n| {
            hits(&ledger, (0..50).map(|i| format!("<none.{n}.{i}@x>")))
        });
        let place = |uid| Place {
            mailbox: index.id,
            uid_validity: UidValidity(1),
            uid: Uid(uid),
            gm_msgid: Some(u64::from(uid) << 20),
        };
        self.measure("index: does a copy vouch already", "flat", 50, |n| {
            ledger
                .vouches_for_another(RowId(0), place(rows / 4 + n))
                .unwrap()
        });
        self.measure("index: was a copy there before", "flat", 50, |n| {
            let marked = RowId(i64::from(rows / 2));
            ledger
                .known_before_mark(marked, u64::from(rows / 4 + n) << 20)
                .unwrap()
        });
        self.measure("index: forget an entry", "flat", 20, |n| {
            ledger.index_forget(place(rows / 5 + n)).unwrap();
        });
        self.measure("an imported id vouches", "flat", 50, |n| {
            ledger
                .imported_vouches(RowId(i64::from(rows / 3 + n)))
                .unwrap()
        });
    }

    /// Claim, tell apart, mark, settle, verify.
    fn of_a_batch(&mut self, path: &Path) {
        let now = self.now;
        let mut ledger = reopened(path);
        let mut index = ledger.index_known(ALL_MAIL).unwrap().unwrap();
        let mut flight = Vec::new();
        self.measure("claim 50", "flat", 10, |_| {
            flight.extend(ledger.claim(BATCH, now).unwrap());
        });
        assert_eq!(flight.len(), 500);
        self.measure("a row's rivals", "flat", 500, |n| {
            let row = &flight[n as usize];
            (
                ledger.has_rivals(row).unwrap(),
                ledger.unhashed_rivals(row).unwrap().len(),
            )
        });
        self.measure("a row's twin", "flat", 500, |n| {
            let row = &flight[n as usize];
            ledger.twin(row.id, &Sha256(hash_of(row.id.0, 9))).unwrap()
        });
        self.measure("mark 50", "flat", 10, |n| {
            let intents: Vec<Intent> = flight[50 * n as usize..][..50]
                .iter()
                .map(|row| Intent {
                    row: row.id,
                    sha256: Sha256(hash_of(row.id.0, 9)),
                    canonical: CanonicalHash(hash_of(row.id.0, 8)),
                    size: 5000,
                    flags: Flags::default(),
                    by_import: false,
                })
                .collect();
            ledger
                .mark(&intents, &mark_at(&index), Some(u64::MAX), now)
                .unwrap()
        });
        self.measure("settle one: delivered", "flat", 400, |n| {
            index.next_uid += 1;
            let place = Place {
                mailbox: index.id,
                uid_validity: UidValidity(1),
                uid: Uid(index.next_uid),
                gm_msgid: Some(u64::from(index.next_uid) << 20 | 3),
            };
            let change = Change::Delivered {
                proof: Proof::Appended,
                place: Some(place),
                altered: false,
            };
            ledger.settle(flight[n as usize].id, &change, now).unwrap();
        });
        self.measure("settle one: tried again, failed", "flat", 100, |n| {
            let change = match n % 2 {
                0 => failed(),
                _ => Change::Retry {
                    error: Error::new(Fault::Transient, "not now"),
                    first: now,
                    at: now,
                },
            };
            ledger
                .settle(flight[400 + n as usize].id, &change, now)
                .unwrap();
        });
        self.measure("verify 50", "flat", 8, |n| {
            let looked: Vec<(RowId, Verdict)> = flight[50 * n as usize..][..50]
                .iter()
                .map(|row| {
                    let ours = Verdict::Ours {
                        altered: false,
                        merged: false,
                        gm_msgid: None,
                    };
                    (row.id, ours)
                })
                .collect();
            ledger.verified(&looked, now).unwrap();
        });
    }

    /// Messages of one Message-ID: 1 of 100 of all have it, the newest that wait.
    fn of_one_name(&mut self, path: &Path) {
        let (now, count) = (self.now, self.rows / 100);
        let mut ledger = reopened(path);
        let mailbox = ledger.present_mailbox(INBOX).unwrap();
        let found: Vec<Discovered> = (0..count)
            .map(|n| {
                mail(
                    mailbox.next_uid + n,
                    "<always.the.same@example.org>",
                    now + TimeDelta::days(1),
                )
            })
            .collect();
        let next = Progress::NextUid(mailbox.next_uid + count);
        ledger.record(mailbox.id, &found, next, now).unwrap();
        let one = ledger.claim(BATCH, now).unwrap().remove(0);
        self.measure("one id (1 of 100): claim past those", "flat", 5, |_| {
            ledger.claim(BATCH, now).unwrap().len()
        });
        self.measure("one id (1 of 100): a row's rivals", "flat", 5, |_| {
            (
                ledger.has_rivals(&one).unwrap(),
                ledger.unhashed_rivals(&one).unwrap().len(),
            )
        });
        for row in ledger.in_flight().unwrap() {
            let change = Change::Released { unseen: false };
            ledger.settle(row.id, &change, now).unwrap();
        }
    }

    /// The whole mailbox has new UIDs.
    fn of_a_new_incarnation(&mut self, path: &Path) {
        let (now, rows) = (self.now, self.rows);
        let db = Connection::open(path).unwrap();
        let again: Vec<Discovered> = db
            .prepare(
                "SELECT message_id, date_header, internal_date, size FROM message
                  WHERE mailbox_id = 3 AND source_uid < ?1",
            )
            .unwrap()
            .query_map([rows], |r| {
                let name: Option<String> = r.get(0)?;
                let came: String = r.get(2)?;
                Ok(Discovered {
                    uid: Uid(1),
                    message_id: name.and_then(|n| MessageId::parse(n.as_bytes())),
                    date: r.get(1)?,
                    internal_date: parse_time(&came),
                    size: r.get(3)?,
                    flags: Flags::default(),
                    gm_msgid: None,
                })
            })
            .unwrap()
            .map(|d| d.unwrap())
            .collect();
        drop(db);
        let mut ledger = reopened(path);
        let old = ledger.present_mailbox(INBOX).unwrap();
        for row in ledger.in_flight().unwrap() {
            let change = Change::Released { unseen: false };
            ledger.settle(row.id, &change, now).unwrap();
        }
        ledger
            .new_incarnation(&old, UidValidity(4), rows + 1, now)
            .unwrap();
        let mailbox = ledger.present_mailbox(INBOX).unwrap();
        self.measure("new UIDs: record every message again", "linear", 1, |_| {
            for (n, set) in again.chunks(1000).enumerate() {
                let set: Vec<Discovered> = set
                    .iter()
                    .zip(1000 * n as u32 + 1..)
                    .map(|(m, uid)| Discovered {
                        uid: Uid(uid),
                        ..m.clone()
                    })
                    .collect();
                ledger
                    .record(mailbox.id, &set, Progress::History, now)
                    .unwrap();
            }
        });
        drop(again);
        self.measure("new UIDs: is a row due meanwhile", "flat", 5, |_| {
            (ledger.next_due(now).unwrap(), ledger.untried().unwrap())
        });
        self.measure("new UIDs: claim nothing meanwhile", "flat", 1, |_| {
            ledger.claim(BATCH, now).unwrap().len()
        });
        ledger
            .record(mailbox.id, &[], Progress::HistoryDone, now)
            .unwrap();
        let mut longest = (Duration::ZERO, 0);
        let mut steps = 0;
        self.measure("new UIDs: inherit", "linear", 1, |_| {
            loop {
                let (begun, written) = (Instant::now(), traffic().1);
                let end = ledger.inherit(INBOX).unwrap();
                let most = (begun.elapsed(), traffic().1 - written);
                longest = (longest.0.max(most.0), longest.1.max(most.1));
                steps += 1;
                match end {
                    Inherited::InPart => {}
                    Inherited::Wholly => break,
                    Inherited::NotYet => panic!("everything is recorded"),
                }
            }
        });
        println!(
            "  taken over in {steps} steps, the longest of {:.0} ms, the largest of {} pages",
            longest.0.as_secs_f64() * 1000.0,
            longest.1 / 4096
        );
        self.measure("new UIDs: a look afterwards", "flat", 20, |_| {
            ledger.inherit(INBOX).unwrap()
        });
        drop(ledger);
        sizes(path);
    }

    /// Everything waits.
    fn of_a_first_run(&mut self, path: &Path) {
        let (now, rows) = (self.now, self.rows);
        let mut ledger = reopened(path);
        ledger
            .first_look(INBOX, UidValidity(1), rows + 1, "all", now)
            .unwrap();
        let mailbox = ledger.present_mailbox(INBOX).unwrap();
        self.measure("first run: record every message", "linear", 1, |_| {
            for from in (0..rows).step_by(1000) {
                let found: Vec<Discovered> = (from..from + 1000)
                    .map(|n| mail(n + 1, &name_of(n), came(n, rows, now)))
                    .collect();
                ledger
                    .record(mailbox.id, &found, Progress::History, now)
                    .unwrap();
            }
        });
        ledger
            .record(mailbox.id, &[], Progress::HistoryDone, now)
            .unwrap();
        self.measure("first run: when is the next row due", "flat", 5, |_| {
            ledger.next_due(now).unwrap()
        });
        self.measure("first run: what is left", "linear", 5, |_| {
            ledger.left().unwrap()
        });
        self.measure("first run: status", "linear", 3, |_| {
            ledger.summary(now, now).unwrap()
        });
        self.measure(
            "first run: a look that shows nothing new",
            "flat",
            3,
            |_| ledger.inherit(INBOX).unwrap(),
        );
        for once in [false, true] {
            let what = ["first run: claim 50", "first run: claim 50 (--once)"];
            self.measure(what[usize::from(once)], "flat", 10, |_| {
                ledger.claim(Claim { once, ..BATCH }, now).unwrap().len()
            });
        }
        let db = Connection::open(path).unwrap();
        db.execute(
            "UPDATE message SET next_attempt_at = ?1 WHERE status = 'pending' AND source_uid > 1000",
            [time_text(now + TimeDelta::hours(1))],
        )
        .unwrap();
        drop(db);
        self.measure(
            "first run: claim past all that is in backoff",
            "linear",
            3,
            |_| ledger.claim(BATCH, now).unwrap().len(),
        );
    }

    fn of_an_import(&mut self, path: &Path) {
        let now = self.now;
        let ids: Vec<MessageId> = (0..self.rows)
            .filter_map(|n| MessageId::parse(name_of(n).as_bytes()))
            .collect();
        let mut ledger = reopened(path);
        self.measure("import as many ids", "linear", 1, |_| {
            ledger.import(&ids, now).unwrap()
        });
        self.measure("import them again", "linear", 1, |_| {
            ledger.import(&ids, now).unwrap()
        });
    }
}

fn hits(ledger: &Ledger, names: impl Iterator<Item = String>) -> usize {
    names
        .filter_map(|name| MessageId::parse(name.as_bytes()))
        .map(|id| ledger.index_hits(&id, Some(DATE)).unwrap().len())
        .sum()
}

fn mark_at(index: &IndexMailbox) -> Vec<Mark> {
    vec![Mark {
        mailbox: index.id,
        uid_validity: index.uid_validity,
        uid_next: index.next_uid,
    }]
}

const DATE: &str = "Wed, 1 May 2024 12:00:00 +0000";

fn mail(uid: u32, name: &str, came: Time) -> Discovered {
    Discovered {
        uid: Uid(uid),
        message_id: MessageId::parse(name.as_bytes()),
        date: Some(DATE.into()),
        internal_date: Some(came),
        size: Some(4000),
        flags: Flags::default(),
        gm_msgid: None,
    }
}

/// Message-IDs as long as they usually are; 1 of 50 has none, 1 of 1,000 has one with others.
fn name_of(n: u32) -> String {
    match n {
        n if n % 50 == 0 => String::new(),
        n if n % 1000 == 1 => SHARED.into(),
        n => format!(
            "<CAF{:016x}+{n:08}=q9vLw@mail.example.org>",
            u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ),
    }
}

/// Spread over ten years, the last one now.
fn came(n: u32, rows: u32, now: Time) -> Time {
    now - TimeDelta::seconds(i64::from(rows - n) * (315_000_000 / i64::from(rows)))
}

fn hash_of(n: i64, salt: u8) -> [u8; 32] {
    let mut rng = fastrand::Rng::with_seed(n as u64 * 16 + u64::from(salt));
    std::array::from_fn(|_| rng.u8(..))
}

/// A ledger that has been in use for years: two incarnations are past and the third holds the rest;
/// nearly all is delivered, 3 of 1,000 wait, 1 of 2,000 failed.
fn generate(path: &Path, rows: u32, now: Time) {
    let mut ledger = reopened(path);
    ledger.belong_to(&route(), now).unwrap();
    drop(ledger);
    let mut db = Connection::open(path).unwrap();
    db.execute_batch(
        "PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -600000",
    )
    .unwrap();
    let t = db.transaction().unwrap();
    let part = rows / 20;
    t.execute_batch(&format!(
        "INSERT INTO mailbox (folder_id, name, uid_validity, incarnation, next_uid, history_below, since, start, history_done, retired_at) VALUES
            (1, 'INBOX', 1, 1, {rows}, 1, 'all', '2010-01-01T00:00:00Z', 1, '2018-01-01T00:00:00Z'),
            (1, 'INBOX', 2, 2, {rows}, 1, 'all', '2010-01-01T00:00:00Z', 1, '2019-01-01T00:00:00Z'),
            (1, 'INBOX', 3, 3, {rows}, 1, 'all', '2010-01-01T00:00:00Z', 1, NULL);
         INSERT INTO gmail_mailbox (name, uid_validity, next_uid, covered_since) VALUES
            ('{ALL_MAIL}', 1, {next}, '2010-01-01T00:00:00Z'),
            ('[Gmail]/Spam', 1, 100, '2010-01-01T00:00:00Z'),
            ('[Gmail]/Trash', 1, 100, '2010-01-01T00:00:00Z');
         INSERT INTO mark VALUES (1, '2026-11-23T11:00:00Z');
         INSERT INTO mark_mailbox VALUES (1, 1, 1, {rows})",
        next = rows + 1,
    ))
    .unwrap();
    {
        let mut put = t
            .prepare(
                "INSERT INTO message (id, mailbox_id, source_uid, message_id, message_id_hash, date_header, internal_date,
                    size, flags, status, proof, attempt, next_attempt_at, first_failed_at, fault, last_error, subject, sender,
                    discovered_at, in_flight_since, delivered_at, verified_at, sha256, superseded_by, gmail_mailbox,
                    gmail_uid_validity, gmail_uid, gm_msgid, mark_id)
                 VALUES (?1, ?2, ?1, ?3, ?4, ?5, ?6, ?7, '\\Seen', ?8, ?9, 1, ?10, ?11, ?12, ?13, ?14, ?15, ?10, ?16, ?17, ?18, ?19,
                    ?20, ?21, ?22, ?23, ?24, ?25)",
            )
            .unwrap();
        let mut entry = t
            .prepare("INSERT INTO gmail_message VALUES (1, ?1, ?2, ?3, ?4, ?5)")
            .unwrap();
        for n in 1..=rows {
            let (mailbox, by) = match n {
                n if n <= part => (1, Some(n + part)),
                n if n <= 2 * part => (2, Some(n + part)),
                _ => (3, None),
            };
            // Those of older incarnations are the oldest of the present one.
            let first = if by.is_some() {
                2 * part + (n - 1) % part + 1
            } else {
                n
            };
            let id = MessageId::parse(name_of(first).as_bytes());
            let came = came(first, rows, now);
            let in_flight = n == rows / 2 || n == rows / 2 + 1;
            let status = match n {
                _ if in_flight => "in_flight",
                n if n > rows - rows * 3 / 1000 => "pending",
                n if n % 2000 == 7 => "failed",
                n if n % 10_000 == 9 => "skipped",
                n if n % 200 == 11 => "gone",
                _ => "delivered",
            };
            let delivered = status == "delivered";
            let proof = delivered.then_some(match n % 10 {
                3 => "found",
                7 => "imported",
                _ => "appended",
            });
            let placed = delivered && proof != Some("imported");
            let open = matches!(status, "pending" | "in_flight");
            let error = (status == "failed").then_some("the target says: message too large");
            let day = time_text(came + TimeDelta::seconds(60));
            put.execute(params![
                n,
                mailbox,
                id.as_ref().map(|id| &id.text),
                id.as_ref().map(|id| id.hash),
                DATE,
                time_text(came),
                2000 + n % 60_000,
                status,
                proof,
                day,
                error.map(|_| &day),
                error.map(|_| "permanent"),
                error,
                error.map(|_| "about something"),
                error.map(|_| "somebody@example.org"),
                (!open || in_flight).then_some(&day),
                delivered.then_some(&day),
                (proof == Some("appended") && n % (rows / 20) != 0).then_some(&day),
                (proof == Some("appended") || in_flight).then(|| hash_of(i64::from(n), 0)),
                by,
                placed.then_some(1),
                placed.then_some(1),
                placed.then_some(n),
                placed.then_some(i64::from(n) << 20),
                in_flight.then_some(1),
            ])
            .unwrap();
            entry
                .execute(params![
                    n,
                    id.map(|id| id.hash),
                    DATE,
                    2000 + n % 60_000,
                    i64::from(n) << 20
                ])
                .unwrap();
        }
    }
    t.commit().unwrap();
    let broken: Option<String> = db
        .query_row("PRAGMA foreign_key_check", [], |r| r.get(0))
        .ok();
    assert_eq!(broken, None);
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
}

/// 1 of 10 of the present incarnation has failed.
fn fail_a_tenth(path: &Path) {
    let db = Connection::open(path).unwrap();
    db.execute_batch(
        "PRAGMA synchronous = OFF;
         UPDATE message SET status = 'failed', proof = NULL, delivered_at = NULL, last_error = 'the target says: message too large'
          WHERE status = 'delivered' AND mailbox_id = 3 AND id % 10 = 2",
    )
    .unwrap();
}

/// Bytes on disk, and how many of them a message and an entry of the index have, with their indices.
fn sizes(path: &Path) {
    let db = Connection::open(path).unwrap();
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let file = PathBuf::from(path).metadata().unwrap().len();
    println!("  the file: {:.1} MB", file as f64 / 1e6);
    for table in ["message", "gmail_message"] {
        let rows: u64 = db
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |r| r.get(0))
            .unwrap();
        let mut of_it = db
            .prepare("SELECT s.name, sum(s.pgsize) FROM dbstat s JOIN sqlite_schema o ON o.name = s.name WHERE o.tbl_name = ?1 GROUP BY 1 ORDER BY 2 DESC")
            .unwrap();
        let parts: Vec<(String, u64)> = of_it
            .query_map([table], |r| Ok((r.get(0)?, r.get(1)?)))
            .unwrap()
            .map(|p| p.unwrap())
            .collect();
        let all: u64 = parts.iter().map(|p| p.1).sum();
        println!("  {table}: {rows} rows of {} bytes", all / rows);
        for (name, bytes) in parts {
            println!("    {:>4} {name}", bytes / rows);
        }
    }
}
