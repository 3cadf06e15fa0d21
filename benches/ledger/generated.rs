//! A ledger that has been in use for years, and the messages in it.

use std::path::{Path, PathBuf};

use chrono::TimeDelta;
use imap_to_gmail::message::{Discovered, Flags, MessageId, Time, Uid, time_text};
use rusqlite::{Connection, params};

use super::{ALL_MAIL, reopened, route};

/// The id that some thousand messages of a broken mailer share.
const SHARED: &str = "<cron@server.example.org>";

pub(super) const DATE: &str = "Wed, 1 May 2024 12:00:00 +0000";

pub(super) fn mail(uid: u32, name: &str, came: Time) -> Discovered {
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
pub(super) fn name_of(n: u32) -> String {
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
pub(super) fn came(n: u32, rows: u32, now: Time) -> Time {
    now - TimeDelta::seconds(i64::from(rows - n) * (315_000_000 / i64::from(rows)))
}

pub(super) fn hash_of(n: i64, salt: u8) -> [u8; 32] {
    let mut rng = fastrand::Rng::with_seed(n as u64 * 16 + u64::from(salt));
    std::array::from_fn(|_| rng.u8(..))
}

/// A ledger that has been in use for years: two incarnations are past and the third holds the rest;
/// nearly all is delivered, 3 of 1,000 wait, 1 of 2,000 failed.
pub(super) fn generate(path: &Path, rows: u32, now: Time) {
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
pub(super) fn fail_a_tenth(path: &Path) {
    let db = Connection::open(path).unwrap();
    db.execute_batch(
        "PRAGMA synchronous = OFF;
         UPDATE message SET status = 'failed', proof = NULL, delivered_at = NULL, last_error = 'the target says: message too large'
          WHERE status = 'delivered' AND mailbox_id = 3 AND id % 10 = 2",
    )
    .unwrap();
}

/// Bytes on disk, and how many of them a message and an entry of the index have, with their indices.
pub(super) fn sizes(path: &Path) {
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
