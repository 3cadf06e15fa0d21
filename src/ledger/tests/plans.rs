//! What statements cost when the ledger is large. Every statement that the ledger uses is run here,
//! watched by SQLite's own trace, in a small ledger and in one twenty times its size: none may read
//! a table of messages in full, and none may take more steps in the large one, but for the few below.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rusqlite::StatementStatus;
use rusqlite::trace::{TraceEvent, TraceEventCodes};

use super::*;

mod verbs;

use verbs::use_every_verb;

const SMALL: u32 = 300;
const LARGE: u32 = 20 * SMALL;

/// By how they begin. What these read grows with the ledger, and why it may.
const LINEAR: &[(&str, &str)] = &[
    (
        "SELECT count(*) FROM message WHERE status = 'delivered'",
        "`status` counts, in an index alone",
    ),
    (
        "SELECT count(*), coalesce(sum(size), 0) FROM message WHERE status = 'delivered'",
        "`status` counts during an import, in an index alone",
    ),
    (
        "SELECT count(*), coalesce(sum(size), 0), count(*) FILTER",
        "`status` and progress add up what waits, in an index alone",
    ),
    (
        "SELECT id, internal_date, size, message_id, attempt, next_attempt_at",
        "`status --failed` looks for what was refused among what waits, in that index",
    ),
    (
        "SELECT (SELECT count(*) FROM message WHERE status = 'pending'",
        "counts what waits, in that index",
    ),
    (
        "SELECT uid FROM gmail_message WHERE mailbox_id = ?1 AND message_id_hash IS NULL",
        "gives all that it reads, when a message of the target cannot be read",
    ),
    (
        "SELECT g.uid, g.size FROM gmail_message g",
        "gives all that it reads: once for a batch, what the target holds without a name",
    ),
    (
        "DELETE FROM gmail_message WHERE mailbox_id = ?1",
        "deletes all that it reads, when a target mailbox has new UIDs",
    ),
    (
        "SELECT min(m.internal_date), coalesce",
        "once for each time that the source has new UIDs",
    ),
    (
        "SELECT count(*), count(*) FILTER (WHERE held)",
        "once in a ledger's life, of what waits then",
    ),
    (
        "SELECT m.size, m.date_header FROM message m",
        "a dry run, once: those without a name, in that index",
    ),
    (
        "UPDATE message SET next_attempt_at = ?1 WHERE status = 'pending' AND next_attempt_at > ?1 AND fault",
        "when the configuration has changed: what waits",
    ),
    (
        "SELECT m.id, m.mailbox_id, b.folder_id, m.source_uid, m.status, m.proof",
        "an audit reads every row, once",
    ),
    (
        "SELECT g.uid, g.message_id_hash, g.date_header FROM gmail_mailbox",
        "an audit that misses copies reads all names of the index, once",
    ),
    (
        UNSTABLE,
        "with each look at a mailbox that has other UIDs each time",
    ),
];

/// By what stands in the plan, and in the statement. These look as if they read everything.
const ONLY_LOOKS: &[(&str, &str, &str)] = &[
    (
        "PRIMARY KEY (mailbox_id=?)",
        "SELECT message_id_hash IS NULL FROM gmail_message",
        "the last one alone",
    ),
    (
        "PRIMARY KEY (mailbox_id=?)",
        "SELECT uid FROM (SELECT uid, size FROM gmail_message",
        "the last twenty with a name",
    ),
    (
        "PRIMARY KEY (mailbox_id=? AND uid<?)",
        "SELECT * FROM (SELECT uid, message_id_hash, date_header FROM gmail_message",
        "the last ten with a name, or where a mailbox of the target went back, as many as were given anew",
    ),
    (
        "SCAN message",
        "INSERT INTO message",
        "rows that may refer to the new one: SQLite skips it while no reference is broken",
    ),
    (
        "(mailbox_id=? AND source_uid>? AND source_uid<?)",
        "SELECT source_uid FROM message",
        "no further than the UIDs that are asked about",
    ),
    (
        "(mailbox_id=? AND source_uid>?)",
        "SELECT max(source_uid) FROM (SELECT source_uid FROM message",
        "no further than one step of taking over",
    ),
    (
        "INDEX message_removed",
        "SELECT count(*) FROM message WHERE removed_at",
        "counts what was removed, in that index",
    ),
    (
        "SCAN removal",
        "FROM removal",
        "what is open: one at a time",
    ),
    ("SCAN after_delivery", "FROM after_delivery", "its one row"),
    (
        "(mailbox_id=? AND source_uid>? AND source_uid<?)",
        "FROM message m WHERE m.mailbox_id = ?1 AND m.source_uid > ?2 AND m.source_uid <= ?3",
        "no further than one step of a pass over what may be removed",
    ),
    (
        "SCAN m",
        UNSTABLE,
        "with each look at a mailbox that has other UIDs each time",
    ),
    (
        "INDEX message_delivered",
        "SELECT NOT EXISTS (SELECT 1 FROM message WHERE status",
        "whether there is one",
    ),
    (
        "PRIMARY KEY (mailbox_id=?)",
        "FROM spam_mailbox s",
        "Spam, which Gmail empties of what is older than a month",
    ),
    ("SCAN s", "FROM spam_mailbox s", "its one row"),
    (
        "(mailbox_id=?)",
        "DELETE FROM mailbox WHERE folder_id",
        "whether there is one",
    ),
    (
        "(mailbox_id=? AND source_uid>?)",
        "m.mailbox_id = ?1 AND m.status <> 'gone' AND m.source_uid >=",
        "the newest twenty and what lies between them",
    ),
    (
        "(mailbox_id=?)",
        "m.mailbox_id = ?1 AND m.status <> 'gone' AND m.source_uid >=",
        "the newest twenty",
    ),
    (
        "(mailbox_id=? AND source_uid>? AND source_uid<?)",
        "SELECT max(m.id) FILTER",
        "no further than one step of taking over",
    ),
];

const UNSTABLE: &str = "SELECT m.id, m.mailbox_id = ?1, m.message_id_hash";

/// Steps of SQLite's machine at most for one run of each statement.
type Steps = BTreeMap<String, i32>;

/// A ledger with so many messages, twice: its mailbox had new UIDs. Most are delivered, one in ten
/// waits, a few failed, one in ten has no name.
fn desk(rows: u32) -> Desk {
    let mut desk = Desk::new();
    let found: Vec<Discovered> = (1..=rows).map(|n| message(n, n)).collect();
    desk.record(&found);
    let all_mail = desk
        .ledger
        .index_mailbox("All", UidValidity(1), rows + 1)
        .unwrap();
    let there: Vec<Discovered> = found.iter().map(|m| seen(m, m.uid.0)).collect();
    desk.ledger.index_record(&all_mail, &there).unwrap();
    desk.ledger
        .db
        .execute_batch(&format!(
            "UPDATE message SET status = 'delivered', proof = 'appended', delivered_at = '2024-04-01T00:00:00Z',
                    verified_at = '2024-04-01T00:00:00Z', sha256 = randomblob(32),
                    gmail_mailbox = 1, gmail_uid_validity = 1, gmail_uid = source_uid, gm_msgid = source_uid
              WHERE source_uid % 10 <> 3;
             UPDATE message SET proof = 'found', sha256 = NULL WHERE status = 'delivered' AND source_uid % 10 = 4;
             UPDATE message SET status = 'failed', proof = NULL, delivered_at = NULL, last_error = 'x' WHERE source_uid IN (11, 12, 15, 16);
             UPDATE message SET verified_at = NULL WHERE source_uid = 17;
             INSERT INTO destination (id, spot, labels, label_found) VALUES (2, 'Archive', '[\"old\"]', 1);
             UPDATE message SET destination_id = 2;
             WITH RECURSIVE n (n) AS (SELECT 100000 UNION ALL SELECT n + 1 FROM n LIMIT {rows})
             INSERT INTO imported SELECT randomblob(16), n, '' , NULL FROM n"
        ))
        .unwrap();
    let again: Vec<Discovered> = (1..=rows).map(|n| message(rows + n, n)).collect();
    desk.renumber(&again);
    assert!(desk.inherit());
    desk
}

fn message(uid: u32, n: u32) -> Discovered {
    Discovered {
        size: Some(1000 + u64::from(n)),
        internal_date: parse_time("2024-03-01T00:00:00Z").map(|t| t + TimeDelta::minutes(n.into())),
        ..mail(
            uid,
            &match n % 10 {
                9 => String::new(),
                _ => format!("<{n}@example.org>"),
            },
        )
    }
}

fn seen(m: &Discovered, uid: u32) -> Discovered {
    Discovered {
        uid: Uid(uid),
        gm_msgid: Some(uid.into()),
        ..m.clone()
    }
}

/// What use of a ledger of so many messages, made and opened as any, costs.
fn steps(rows: u32) -> (Desk, Steps) {
    let mut desk = desk(rows);
    // One without a name, which stays where it was.
    let older = desk.id(1, 9);
    let steps: Arc<Mutex<Steps>> = Arc::default();
    let (mut begun, seen) = (BTreeMap::new(), Arc::clone(&steps));
    let trace = move |event: TraceEvent<'_>| match event {
        // A trigger shows as a comment; its steps are its statement's.
        TraceEvent::Stmt(s, text) if !text.starts_with("--") => {
            begun.insert(plain(&s.sql()), s.get_status(StatementStatus::VmStep));
        }
        TraceEvent::Profile(s, _) => {
            let sql = plain(&s.sql());
            // The counter runs on as long as a statement is kept.
            let before = begun.get(&sql).copied().unwrap_or(0);
            let took = s.get_status(StatementStatus::VmStep) - before;
            let mut seen = seen.lock().unwrap();
            let most = seen.entry(sql).or_insert(0);
            *most = took.max(*most);
        }
        _ => {}
    };
    let what = TraceEventCodes::SQLITE_TRACE_STMT | TraceEventCodes::SQLITE_TRACE_PROFILE;
    desk.ledger.db.trace_v2(what, Some(trace)).unwrap();
    use_every_verb(&mut desk, rows, older);
    desk.ledger
        .db
        .trace_v2(what, None::<fn(TraceEvent<'_>)>)
        .unwrap();
    let steps = std::mem::take(&mut *steps.lock().unwrap());
    (desk, steps)
}

fn plain(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn may_be_linear(sql: &str) -> bool {
    LINEAR.iter().any(|(begin, _)| sql.starts_with(begin))
}

#[test]
fn no_statement_costs_more_in_a_large_ledger() {
    let (_, small) = steps(SMALL);
    let (_, large) = steps(LARGE);
    let grown: Vec<String> = large
        .iter()
        .filter(|(sql, _)| !may_be_linear(sql))
        .filter_map(|(sql, steps)| {
            let before = small.get(sql).copied().unwrap_or(0);
            (*steps > 2 * before + 200).then(|| format!("{before} -> {steps} steps: {sql}"))
        })
        .collect();
    assert!(grown.is_empty(), "{}", grown.join("\n"));
    for (begin, why) in LINEAR {
        let runs = || large.iter().filter(|(sql, _)| sql.starts_with(begin));
        assert!(runs().next().is_some(), "no longer used: {begin}");
        let grows = runs().any(|(sql, steps)| *steps > 2 * small[sql] + 200);
        assert!(grows, "no longer grows ({why}): {begin}");
    }
}

#[test]
fn no_statement_reads_all_messages() {
    let (desk, used) = steps(SMALL);
    let mut full = Vec::new();
    for sql in used.keys().filter(|sql| !may_be_linear(sql)) {
        let verb = sql.split(' ').next().unwrap_or_default();
        if !matches!(verb, "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "WITH") {
            continue;
        }
        for step in desk.plan(sql).lines() {
            let only_looks =
                |(plan, text, _): &(&str, &str, &str)| step.ends_with(plan) && sql.contains(text);
            if reads_all(step) && !ONLY_LOOKS.iter().any(only_looks) {
                full.push(format!("{step}: {sql}"));
            }
        }
    }
    assert!(full.is_empty(), "{}", full.join("\n"));
}

/// Does this step of a plan go through all messages, of the ledger, of one mailbox, or of the index?
fn reads_all(step: &str) -> bool {
    const FEW: [&str; 20] = [
        "SCAN CONSTANT ROW",
        "SCAN b",
        "SCAN mailbox",
        "SCAN folder",
        "SCAN f",
        "SCAN destination",
        "SCAN d",
        // label_owed: what is still to be done.
        "SCAN o",
        "SCAN imported",
        "SCAN heartbeat",
        // A row for each part of a run at most.
        "SCAN alarm",
        "SCAN route",
        "SCAN tried",
        "SCAN put_behind",
        // put_behind
        "SCAN p",
        "SCAN 2 CONSTANT ROWS",
        "SCAN proof",
        "SCAN mark",
        "SCAN mark_mailbox",
        // What another step gives.
        "SCAN (subquery",
    ];
    const ONE: [&str; 2] = [
        "(mailbox_id=? AND source_uid=?)",
        "(mailbox_id=? AND uid=?)",
    ];
    let of_a_mailbox =
        step.contains("autoindex_message_1") || step.contains("PRIMARY KEY (mailbox_id=?");
    match step.starts_with("SCAN") {
        // A partial index holds only what is open.
        true => {
            !FEW.iter().any(|few| {
                step == *few
                    || step.starts_with(&format!("{few} "))
                    || few.ends_with("(subquery") && step.starts_with(few)
            }) && ![
                "message_pending",
                "message_waiting",
                "message_due",
                "message_in_flight",
                "message_marked",
                "message_unverified",
                "message_failed",
                "failure_untold",
                "notice_open",
            ]
            .iter()
            .any(|open| step.contains(open))
        }
        false => of_a_mailbox && !ONE.iter().any(|one| step.contains(one)),
    }
}

/// The script above is only as good as it is complete: each piece of SQL in the sources was run.
#[test]
fn every_statement_of_the_sources_is_among_those() {
    let sources = [
        include_str!("../alarm.rs"),
        include_str!("../audit.rs"),
        include_str!("../budget.rs"),
        include_str!("../claim.rs"),
        include_str!("../discover.rs"),
        include_str!("../folders.rs"),
        include_str!("../heartbeat.rs"),
        include_str!("../imported.rs"),
        include_str!("../index.rs"),
        include_str!("../inherit.rs"),
        include_str!("../intent.rs"),
        include_str!("../labels.rs"),
        include_str!("../matching.rs"),
        include_str!("../notices.rs"),
        include_str!("../open.rs"),
        include_str!("../overlap.rs"),
        include_str!("../pace.rs"),
        include_str!("../report.rs"),
        include_str!("../route.rs"),
        include_str!("../row.rs"),
        include_str!("../settle.rs"),
    ];
    let (_, used) = steps(SMALL);
    let mut found = 0;
    for sql in sources.iter().flat_map(|s| literals(s)) {
        let sql = plain(&sql);
        let verbs = ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH "];
        if !verbs.iter().any(|verb| sql.starts_with(verb)) {
            continue;
        }
        found += 1;
        let pieces = pieces(&sql);
        let run = |other: &String| pieces.iter().all(|piece| other.contains(piece));
        let opened = OPENING.iter().any(|o| sql.starts_with(o));
        assert!(opened || used.keys().any(run), "never run: {sql}");
    }
    assert!(found > 60, "{found}");
}

/// Run when a ledger is opened, before anything can be traced, or before it has rows.
const OPENING: [&str; 4] = [
    "SELECT count(*) = 0 FROM sqlite_schema",
    "SELECT count(*) FROM sqlite_schema",
    "SELECT max(version) FROM refinery_schema_history",
    "INSERT INTO mailbox (folder_id, name, uid_validity, incarnation, next_uid, history_below, since, start) VALUES (?1, (SELECT source FROM folder WHERE id = ?1), ?2, 1",
];

/// What stands between the `{...}` of a format.
fn pieces(sql: &str) -> Vec<&str> {
    sql.split('{')
        .map(|piece| piece.split_once('}').map_or(piece, |(_, rest)| rest))
        .map(str::trim)
        .collect()
}

/// The string literals of Rust sources that hold no raw ones.
fn literals(source: &str) -> Vec<String> {
    let code: Vec<&str> = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join("\n");
    let mut rest = code.chars();
    let mut out = Vec::new();
    while rest.any(|c| c == '"') {
        let mut text = String::new();
        while let Some(c) = rest.next().filter(|c| *c != '"') {
            // `\\\\` stands for one of them.
            let c = if c == '\\' { rest.next() } else { Some(c) };
            text.extend(c);
        }
        out.push(text);
    }
    out
}
