//! An upgrade keeps every row: ledgers as released programs made them, kept as dumps in
//! `tests/schemas`, are opened by this program. A ledger of the present schema goes the same way, so
//! that the way is known to hold before the first release, and is what a release adds to the dumps.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::TimeDelta;
use imap_to_gmail::error::{Error, Fault};
use imap_to_gmail::folder::{Delivery, Destination, FolderId, Spot};
use imap_to_gmail::ledger::{
    self, Change, Claim, Episode, Failure, IndexId, Inherited, Intent, Ledger, Mapped, Mark,
    MovedTo, Place, Progress, Proof, RemovalWay, Route, Told, TroubleKind, Verdict,
};
use imap_to_gmail::message::{
    CanonicalHash, Discovered, Flags, MessageId, Sha256, Time, Uid, UidValidity, parse_time,
};
use rusqlite::Connection;
use rusqlite::types::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn now() -> Time {
    parse_time("2024-05-01T12:00:00Z").unwrap()
}

fn mail(uid: u32) -> Discovered {
    Discovered {
        uid: Uid(uid),
        message_id: MessageId::parse(format!("<{uid}@example.org>").as_bytes()),
        date: Some("Wed, 1 May 2024 12:00:00 +0000".into()),
        internal_date: Some(now() - TimeDelta::minutes(i64::from(uid))),
        size: Some(100 + u64::from(uid)),
        flags: Flags::default(),
        gm_msgid: None,
    }
}

/// A ledger with something in each table and a row in each status, some of them superseded.
fn make(path: &Path) {
    let mut l = Ledger::open_or_create(path, true).unwrap();
    let now = now();
    l.belong_to(&Route::new("a", "b", "c", "d"), now).unwrap();
    l.run_begins(&["watch", "deliver"], now).unwrap();
    let trouble = Error::new(Fault::NeedsUser, "it's your turn").hint("sign in");
    l.trouble("deliver", Some(&trouble), now).unwrap();
    let mut episode = Episode::new("deliver", now);
    episode.told.push(Told {
        kind: TroubleKind::NeedsUser,
        message: "it's your turn".into(),
        hint: Some("sign in".into()),
        told_at: Some(now),
    });
    l.keep_episode(&episode).unwrap();
    l.first_look(FolderId(1), UidValidity(1), 20, "all", now)
        .unwrap();
    let mailbox = l.present_mailbox(FolderId(1)).unwrap();
    let found: Vec<Discovered> = (1..=9).map(mail).collect();
    l.record(mailbox.id, &found, Progress::HistoryDone, now)
        .unwrap();
    l.import(&[MessageId::parse(b"<9@example.org>").unwrap()], now)
        .unwrap();
    let mut index = l.index_mailbox("All", UidValidity(1), 1).unwrap();
    index.next_uid = 10;
    l.index_record(&index, &found).unwrap();
    l.note_junk("All").unwrap();
    l.pause_import(now, "it's \"too much\"").unwrap();
    deliver(&mut l, index.id, 9, 8);
    tell(&mut l);
    // All over again under new UIDs, and this time one is left as a killed process leaves it.
    l.new_incarnation(&mailbox, UidValidity(2), 40, now)
        .unwrap();
    let mailbox = l.present_mailbox(FolderId(1)).unwrap();
    // One is gone, and stays so.
    let again: Vec<Discovered> = (1..=9)
        .filter(|n| *n != 6)
        .map(|n| Discovered {
            uid: Uid(20 + n),
            ..mail(n)
        })
        .chain((30..=32).map(mail))
        .collect();
    l.record(mailbox.id, &again, Progress::HistoryDone, now)
        .unwrap();
    while l.inherit(FolderId(1)).unwrap() == Inherited::InPart {}
    assert_eq!(l.inherit(FolderId(1)).unwrap(), Inherited::Wholly);
    deliver(&mut l, index.id, 3, 2);
    // A copy that still lacks a label.
    let labelled = Mapped {
        wire: "INBOX".into(),
        name: "INBOX".into(),
        destination: Destination {
            spot: Spot::Inbox,
            labels: vec!["it's \"old\"".into()],
            label_found: false,
        },
        delivery: Delivery::Append,
    };
    l.take_listing(&[labelled], &HashSet::new(), now).unwrap();
    let mailbox = l.present_mailbox(FolderId(1)).unwrap();
    l.record(mailbox.id, &[mail(50)], Progress::NextUid(51), now)
        .unwrap();
    deliver(&mut l, index.id, 1, 1);
}

/// Tells of the first of the failures that nobody was told of.
fn tell(l: &mut Ledger) {
    let name = MessageId::parse(b"<imap-to-gmail-notice.1@example.org>").unwrap();
    let words = |_: &[Failure], _| b"it's \"failed\"".to_vec();
    assert!(
        l.make_notice(&name, false, 1, now(), words)
            .unwrap()
            .is_some()
    );
}

/// Claims and marks so many, and lets so many of them end, each in another way.
fn deliver(l: &mut Ledger, index: IndexId, count: usize, ending: usize) {
    let claim = Claim {
        count,
        bytes: u64::MAX,
        once: true,
    };
    let now = now();
    let rows = l.claim(claim, now).unwrap();
    let intents: Vec<Intent> = rows
        .iter()
        .map(|row| Intent {
            row: row.id,
            sha256: Sha256([row.id.0 as u8; 32]),
            canonical: CanonicalHash([row.id.0 as u8; 32]),
            size: 100,
            flags: Flags::default(),
            by_import: count == 1,
        })
        .collect();
    let mark = Mark {
        mailbox: index,
        uid_validity: UidValidity(1),
        uid_next: 10,
    };
    l.mark(&intents, &[mark], None, now).unwrap();
    let place = |uid| Place {
        mailbox: index,
        uid_validity: UidValidity(1),
        uid: Uid(uid),
        gm_msgid: Some(uid.into()),
    };
    let to = |proof, uid: Option<u32>| Change::Delivered {
        proof,
        place: uid.map(place),
        altered: false,
    };
    let error = || Error::new(Fault::Permanent, "the target's words: \"no\"");
    let failed = || Change::Failed {
        error: error(),
        sender: Some("Jörg".into()),
        subject: Some("it's \\ \"this\"".into()),
    };
    let changes = [
        to(Proof::Appended, Some(50 + rows[0].id.0 as u32)),
        failed(),
        to(Proof::Appended, Some(70)),
        failed(),
        to(Proof::Found, Some(71)),
        Change::Gone,
        Change::Retry {
            error: error(),
            first: now,
            at: now,
        },
        to(Proof::Same, None),
        to(Proof::Imported, None),
    ];
    for (row, change) in rows.iter().zip(&changes).take(ending) {
        l.settle(row.id, change, now).unwrap();
    }
    if ending > 2 {
        l.retry_failed(&[rows[3].id], true, now).unwrap();
        l.settle(rows[8].id, &changes[8], now).unwrap();
        let ours = Verdict::Ours {
            altered: true,
            merged: true,
            gm_msgid: Some(7),
        };
        l.verified(&[(rows[2].id, ours)], now).unwrap();
        let begins = now + TimeDelta::days(1);
        l.note_after_delivery(Some("delete"), now, begins).unwrap();
        let to = MovedTo {
            mailbox: "Archive".into(),
            uid_validity: UidValidity(3),
            uid_next: 4,
        };
        l.begin_removal(&[rows[2].id], RemovalWay::Copy, Some(&to), now)
            .unwrap();
    }
}

/// Tables of ours and their rows: each a list of columns with their values.
type Content = BTreeMap<String, Vec<BTreeMap<String, String>>>;

fn content(db: &Connection) -> Content {
    let mut all = Content::new();
    for table in names(db, "table") {
        if table == "refinery_schema_history" {
            continue;
        }
        let mut rows = db.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns: Vec<String> = rows.column_names().map(str::to_string).collect();
        let rows = rows
            .query_map([], |r| {
                let value = |(at, name): (usize, &String)| {
                    Ok((name.clone(), format!("{:?}", r.get::<_, Value>(at)?)))
                };
                columns.iter().enumerate().map(value).collect()
            })
            .unwrap()
            .map(|row| row.unwrap())
            .collect();
        all.insert(table, rows);
    }
    all
}

fn names(db: &Connection, kind: &str) -> Vec<String> {
    db.prepare("SELECT name FROM sqlite_schema WHERE type = ?1 AND name NOT LIKE 'sqlite_%' ORDER BY rowid")
        .unwrap()
        .query_map([kind], |r| r.get(0))
        .unwrap()
        .map(|name| name.unwrap())
        .collect()
}

/// SQL that makes this database once more: what has rows first.
fn dump(db: &Connection) -> String {
    let one = |sql: &str| -> String { db.query_row(sql, [], |r| r.get(0)).unwrap() };
    let mut out = one(
        "SELECT 'PRAGMA application_id = ' || application_id || ';' FROM pragma_application_id",
    );
    out.push('\n');
    let schema = |name: &str| {
        one(&format!(
            "SELECT sql || ';' FROM sqlite_schema WHERE name = '{name}'"
        ))
    };
    for table in names(db, "table") {
        out += &schema(&table);
        out.push('\n');
        let columns = one(&format!(
            "SELECT group_concat('quote(' || name || ')', ' || '', '' || ') FROM pragma_table_info('{table}')"
        ));
        let mut rows = db
            .prepare(&format!(
                "SELECT 'INSERT INTO {table} VALUES (' || {columns} || ');' FROM {table}"
            ))
            .unwrap();
        let rows = rows.query_map([], |r| r.get::<_, String>(0)).unwrap();
        rows.for_each(|row| out += &format!("{}\n", row.unwrap()));
    }
    for kind in ["index", "trigger", "view"] {
        names(db, kind)
            .iter()
            .for_each(|name| out += &format!("{}\n", schema(name)));
    }
    out
}

/// Makes a ledger of a dump, opens it with this program, and misses what is gone.
#[track_caller]
fn is_upgraded(dump: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l.db");
    let db = Connection::open(&path).unwrap();
    db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    db.execute_batch(dump).unwrap();
    let before = content(&db);
    drop(db);

    // Refinery refuses a ledger whose migrations are not those of this program, by their checksums.
    let ledger = Ledger::open_or_create(&path, true).unwrap();
    let counted = ledger.summary(now(), now()).unwrap();
    drop(ledger);

    let db = Connection::open(&path).unwrap();
    let after = content(&db);
    for (table, rows) in &before {
        assert!(
            !rows.is_empty(),
            "{table}: the dump has nothing to lose here"
        );
        let now = after
            .get(table)
            .unwrap_or_else(|| panic!("{table} is gone"));
        let now: Vec<_> = if VOCABULARIES.contains(&table.as_str()) {
            // Later versions know more words.
            let is_old =
                |new: &&BTreeMap<String, String>| rows.iter().any(|old| old["name"] == new["name"]);
            now.iter().filter(is_old).collect()
        } else {
            now.iter().collect()
        };
        assert_eq!(rows.len(), now.len(), "{table}");
        for (old, new) in rows.iter().zip(now) {
            for (column, value) in old {
                if MOVED.contains(&(table, column)) {
                    assert_eq!(Some(value), now_at_another_place(&after, new).as_ref());
                    continue;
                }
                assert_eq!(new.get(column), Some(value), "{table}.{column} of {old:?}");
            }
        }
    }
    let text = |sql: &str| -> Option<String> { db.query_row(sql, [], |r| r.get(0)).ok() };
    assert_eq!(text("PRAGMA integrity_check").as_deref(), Some("ok"));
    assert_eq!(text("PRAGMA foreign_key_check"), None);
    let version: usize = db
        .query_row(
            "SELECT max(version) FROM refinery_schema_history",
            [],
            |r| r.get(0),
        )
        .unwrap();
    assert_eq!(version, ledger::migrations().len());
    let messages: u64 = db
        .query_row(
            "SELECT count(*) FROM message WHERE superseded_by IS NULL",
            [],
            |r| r.get(0),
        )
        .unwrap();
    let c = counted;
    assert_eq!(
        messages,
        c.backlog.messages + c.in_flight + c.delivered + c.failed + c.skipped + c.gone
    );
}

/// Tables of words.
const VOCABULARIES: [&str; 3] = ["fault", "proof", "status"];

/// Columns whose content another table has since.
const MOVED: [(&str, &str); 1] = [("folder", "target")];

/// The place that this folder's mail goes to, as V3 had it in the folder itself.
fn now_at_another_place(content: &Content, folder: &BTreeMap<String, String>) -> Option<String> {
    let id = folder.get("destination_id");
    let mut all = content.get("destination")?.iter();
    all.find(|d| d.get("id") == id)?.get("spot").cloned()
}

/// The dump of a ledger of the present schema, and where it was put.
fn present(name: &str) -> (String, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l.db");
    make(&path);
    let dump = dump(&Connection::open(path).unwrap());
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&kept, &dump).unwrap();
    (dump, kept)
}

#[test]
fn a_ledger_of_today_will_be_upgraded_whole() {
    let (dump, _) = present("today.sql");
    for status in [
        "pending",
        "in_flight",
        "delivered",
        "failed",
        "skipped",
        "gone",
    ] {
        assert!(
            dump.contains(&format!(",'{status}',")) || dump.contains(&format!(", '{status}', ")),
            "no row is {status}"
        );
    }
    is_upgraded(&dump);
}

#[test]
fn a_ledger_of_each_released_schema_keeps_every_row() {
    for entry in fs::read_dir(Path::new(ROOT).join("tests/schemas")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "sql") {
            is_upgraded(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// Where the history is at hand: what a tag has under migrations/ is there unchanged, and its schema is
/// among the dumps.
#[test]
fn a_migration_of_a_release_is_never_edited() {
    let git = |args: &[&str]| {
        let out = Command::new("git").current_dir(ROOT).args(args).output();
        out.ok()
            .filter(|o| o.status.success())
            .map(|o| String::from_utf8(o.stdout).unwrap())
    };
    let Some(tags) = git(&["tag", "--list", "v*"]) else {
        // A source archive has no history; the dumps hold the checksums of their migrations too.
        return;
    };
    for tag in tags.lines() {
        let files = git(&["ls-tree", "-r", "--name-only", tag, "migrations/"]).unwrap();
        for file in files.lines() {
            let then = git(&["show", &format!("{tag}:{file}")]).unwrap();
            let now = fs::read_to_string(Path::new(ROOT).join(file)).unwrap_or_default();
            assert!(
                then == now,
                "{file} is part of {tag} and was edited: write another migration"
            );
        }
        let schema = format!("V{}.sql", files.lines().count());
        let there = Path::new(ROOT).join("tests/schemas").join(&schema);
        if !files.is_empty() && !there.exists() {
            let (_, kept) = present(&schema);
            panic!(
                "{tag} has a schema that is not among tests/schemas: check {tag} out, run this test there, and add {}",
                kept.display()
            );
        }
    }
}
