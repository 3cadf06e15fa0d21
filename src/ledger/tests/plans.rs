//! What statements cost when the ledger is large. Every statement that the ledger uses is run here,
//! watched by SQLite's own trace, in a small ledger and in one twenty times its size: none may read
//! a table of messages in full, and none may take more steps in the large one, but for the few below.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rusqlite::StatementStatus;
use rusqlite::trace::{TraceEvent, TraceEventCodes};

use super::*;

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

/// Uses every verb. What they answer is of no interest here. `older`: a row of the older incarnation.
fn use_every_verb(desk: &mut Desk, rows: u32, older: RowId) {
    let now = desk.now;
    let l = &mut desk.ledger;
    let route = Route::new("a", "b", "c", "d");
    for _ in 0..2 {
        l.belong_to(&route, now).unwrap();
    }
    l.has_begun().unwrap();
    l.run_begins(&["watch"], now).unwrap();
    l.beat(&["watch"], now).unwrap();
    let trouble = Error::new(Fault::NeedsUser, "x");
    l.trouble("watch", Some(&trouble), now).unwrap();
    l.trouble("watch", None, now).unwrap();
    l.is_untouched().unwrap();
    l.has_delivered_nothing().unwrap();
    l.delivered_nameless().unwrap();
    l.overlap(now - TimeDelta::days(10_000)).unwrap();

    // A look.
    let mailbox = l.mailbox(INBOX).unwrap().unwrap();
    l.reconsider_start(mailbox.id, "9d", now).unwrap();
    let asked = [rows + 1, 2 * rows, 2 * rows + 7].map(Uid);
    for around in [&asked[..1], &asked[1..]] {
        l.without_row(mailbox.id, around.to_vec()).unwrap();
    }
    for n in [1, 9, 10 * rows] {
        l.known_before(&mailbox, &message(1, n)).unwrap();
        l.newest(mailbox.id).unwrap();
    }
    l.history_from(&mailbox).unwrap();
    let new: Vec<Discovered> = (1..=20)
        .map(|n| message(2 * rows + n, 2 * rows + n))
        .collect();
    let next = Progress::NextUid(2 * rows + 21);
    l.record(mailbox.id, &new, next, now).unwrap();
    assert_eq!(l.inherit(INBOX).unwrap(), Inherited::Wholly);

    // A batch.
    l.import(
        &[MessageId::parse(format!("<{}@example.org>", 2 * rows + 20).as_bytes()).unwrap()],
        now,
    )
    .unwrap();
    l.next_due(now).unwrap();
    l.untried().unwrap();
    let mut flight = Vec::new();
    for once in [true, false] {
        let claim = Claim {
            count: 10,
            bytes: u64::MAX,
            once,
        };
        flight.extend(l.claim(claim, now).unwrap());
    }
    assert_eq!(flight.len(), 20);
    l.new_mail_fits(1 << 30, now).unwrap();
    for once in [true, false] {
        let claim = Claim {
            count: 1,
            bytes: u64::MAX,
            once,
        };
        // Put behind the others, one after the other.
        for _ in 0..2 {
            let one = l.claim_within(1 << 30, claim, now).unwrap().rows.remove(0);
            let behind = Change::PutOff {
                at: now,
                first: None,
                unseen: false,
            };
            l.settle(one.id, &behind, now).unwrap();
            l.claim(claim, now).unwrap().iter().for_each(|one| {
                l.settle(one.id, &Change::Released { unseen: false }, now)
                    .unwrap();
            });
            l.uncharge(&[one.id], now).unwrap();
        }
        l.call_back(now).unwrap();
    }
    l.wake(flight[0].id).unwrap();
    l.in_flight().unwrap();
    let mut index = l.index_known("All").unwrap().unwrap();
    l.index_id("All").unwrap();
    let arrived: Vec<Discovered> = new.iter().map(|m| seen(m, m.uid.0)).collect();
    l.index_record(&index, &arrived).unwrap();
    index.next_uid += 20;
    for row in &flight {
        if let Some(id) = &row.about.message_id {
            l.index_hits(id, row.about.date.as_deref()).unwrap();
        }
        l.has_rivals(row).unwrap();
        l.may_have_a_twin(row).unwrap();
        l.has_unknown_rivals(row).unwrap();
        l.unhashed_rivals(row).unwrap();
        l.imported_vouches(row.id).unwrap();
        l.twin(row.id, &Sha256([7; 32])).unwrap();
    }
    let place = |uid| Place {
        mailbox: index.id,
        uid_validity: UidValidity(1),
        uid: Uid(uid),
        gm_msgid: Some(uid.into()),
    };
    for uid in [1, rows, 3 * rows] {
        l.vouches_for_another(RowId(1), place(uid)).unwrap();
    }
    let vouched = flight
        .iter()
        .position(|r| l.imported_vouches(r.id).unwrap())
        .unwrap();
    let vouched = flight.remove(vouched);
    l.settle(vouched.id, &imported(), now).unwrap();
    l.learn(flight[1].id, &flight[1].about.clone()).unwrap();
    l.set_hashes(flight[1].id, &Sha256([3; 32]), &CanonicalHash([3; 32]))
        .unwrap();
    let intents: Vec<Intent> = (0..)
        .zip(&flight)
        .map(|(n, row)| Intent {
            row: row.id,
            sha256: Sha256([n; 32]),
            canonical: CanonicalHash([n; 32]),
            size: 100,
            flags: Flags::default(),
        })
        .collect();
    let mark = Mark {
        mailbox: index.id,
        uid_validity: UidValidity(1),
        uid_next: index.next_uid,
    };
    l.mark(&intents, &[mark], Some(u64::MAX), now).unwrap();
    assert_eq!(l.mark(&intents, &[mark], Some(1), now).unwrap(), 0);
    l.book(7, now).unwrap();
    l.give_back(7, now).unwrap();
    let mark = l.in_flight().unwrap()[0].mark.unwrap();
    l.marks(mark).unwrap();
    l.marked_at(mark).unwrap();
    l.in_flight_since(flight[0].id).unwrap();
    for uid in [1, rows, 3 * rows] {
        l.known_before_mark(flight[0].id, uid.into()).unwrap();
    }
    let error = || Error::new(Fault::Transient, "not now");
    let to = |uid| Change::Delivered {
        proof: Proof::Appended,
        place: Some(place(uid)),
        altered: false,
    };
    let changes = [
        to(9 * rows),
        to(9 * rows + 1),
        failed(),
        failed(),
        Change::Retry {
            error: error(),
            first: now,
            at: now,
        },
        Change::Released { unseen: true },
        Change::Later { at: now },
        Change::Gone,
        Change::AsBefore { row: older },
    ];
    for (row, change) in flight.iter().zip(&changes) {
        l.settle(row.id, change, now).unwrap();
    }
    l.unverified().unwrap();
    let verdicts = [
        Verdict::Ours {
            altered: false,
            merged: false,
            gm_msgid: None,
        },
        Verdict::NotOurs {
            error: error(),
            sender: None,
            subject: None,
        },
        Verdict::Misplaced,
    ];
    let looked: Vec<(RowId, Verdict)> = flight.iter().map(|r| r.id).zip(verdicts).collect();
    l.verified(&looked, now).unwrap();
    let all = l.index_id("All").unwrap().unwrap();
    l.index_readable(all).unwrap();
    l.looked_at(all, UidValidity(1)).unwrap();
    l.index_nameless(all).unwrap();
    l.index_sizes_of_nameless(all).unwrap();
    l.index_ends_nameless(all).unwrap();
    l.index_forget(place(5)).unwrap();
    l.index_given("All").unwrap();
    l.index_witnesses(&index, index.next_uid, 10).unwrap();
    l.index_went_back(&index, index.next_uid - 3).unwrap();
    l.left().unwrap();

    // People.
    l.summary(now, now).unwrap();
    l.reasons(5).unwrap();
    l.backlog(now).unwrap();
    l.folder().unwrap();
    l.history(now, now).unwrap();
    // All of it is listed again.
    let long_ago = now - TimeDelta::days(9000);
    l.reconsider_start(mailbox.id, "all", long_ago).unwrap();
    assert!(l.history(now, now).unwrap().unwrap().listing);
    l.room(1 << 30, now).unwrap();
    l.parts().unwrap();
    l.under_way().unwrap();
    let present = l.present_mailbox(INBOX).unwrap();
    l.others_to_fetch(present.id).unwrap();
    l.has_bytes_of_another(RowId(1), &Sha256([0; 32])).unwrap();
    l.twins_beside(&flight[0], &Sha256([0; 32])).unwrap();
    l.put_off().unwrap();
    let given_up = l.failed().unwrap();
    let one = [given_up[0].id];
    l.retry_failed(&one, false, now).unwrap();
    l.retry_failed(&[given_up[1].id], true, now).unwrap();
    l.retry_failed(&[], false, now).unwrap();
    l.retry_failed(&[], true, now).unwrap();
    l.run_ends(now).unwrap();

    // What comes once in years. Nothing of the batch may be in flight then.
    for row in l.in_flight().unwrap() {
        l.settle(row.id, &Change::Released { unseen: false }, now)
            .unwrap();
    }
    // Its mark goes.
    l.run_begins(&["watch"], now).unwrap();
    assert!(l.marks(mark).unwrap().is_empty());
    for (name, validity) in [("All", 1), ("All", 2), ("Spam", 1)] {
        l.index_mailbox(name, UidValidity(validity), 1).unwrap();
    }
    let again: Vec<Discovered> = (1..=rows).map(|n| message(n, n)).collect();
    desk.renumber(&again);
    let mailbox = desk.mailbox();
    desk.ledger.history_from(&mailbox).unwrap();
    desk.ledger.seen_again(mailbox.id).unwrap();
    assert!(desk.inherit());
    // Back to the numbers before the last ones, and then to others each time.
    let (present, now) = (desk.mailbox(), desk.now);
    let validity = UidValidity(present.uid_validity.0 - 1);
    desk.ledger
        .reopen_incarnation(&present, validity, u32::MAX, now)
        .unwrap();
    for n in 0..4 {
        desk.renumber(&[message(n + 1, 3)]);
    }
    assert!(desk.inherit());
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
    const FEW: [&str; 15] = [
        "SCAN CONSTANT ROW",
        "SCAN b",
        "SCAN mailbox",
        "SCAN folder",
        "SCAN imported",
        "SCAN heartbeat",
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
        include_str!("../../ledger.rs"),
        include_str!("../budget.rs"),
        include_str!("../claim.rs"),
        include_str!("../copies.rs"),
        include_str!("../deliver.rs"),
        include_str!("../import.rs"),
        include_str!("../index.rs"),
        include_str!("../overlap.rs"),
        include_str!("../pace.rs"),
        include_str!("../people.rs"),
        include_str!("../watch.rs"),
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
            text.push(c);
            if c == '\\' {
                text.extend(rest.next());
            }
        }
        out.push(text);
    }
    out
}
