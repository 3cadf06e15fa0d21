//! `import-state`: what the Python script had copied is neither fetched nor sent again, what it missed arrives, and no
//! id of its makes a message disappear.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::testkit::env::{DATE, TestEnv, mail};
use chrono::{TimeDelta, Utc};
use gmail_stand_in::{DedupeKey, Fault, Mail, On, Transcript};
use imap_to_gmail::error::Fault as Reach;
use imap_to_gmail::folder::FolderId;
use imap_to_gmail::import_state;
use imap_to_gmail::ledger::{Claim, Ledger, MailboxId, Progress, RowId};
use imap_to_gmail::message::{Discovered, Flags, MessageId, Uid, UidValidity};
use proptest::prelude::*;

/// As the script wrote it (`json.dump(state, f, indent=2)`): each id with what stands after its colon.
fn script_file(ids: &[(&str, &str)]) -> String {
    let entries: Vec<String> = ids
        .iter()
        .map(|(id, time)| format!("    {}: {time}", serde_json::to_string(id).unwrap()))
        .collect();
    format!(
        "{{\n  \"synced_message_ids\": {{\n{}\n  }},\n  \"last_source_uid\": 4711,\n  \"last_sync\": \"2023-11-15T08:00:01.123456+00:00\"\n}}",
        entries.join(",\n")
    )
}

const TIME: &str = "\"2023-11-14T22:13:20+00:00\"";

fn script_file_of(ids: &[&str]) -> String {
    script_file(&ids.iter().map(|id| (*id, TIME)).collect::<Vec<_>>())
}

/// As its first versions wrote it.
fn first_script_file(ids: &[&str]) -> String {
    let ids: Vec<String> = ids
        .iter()
        .map(|id| format!("    {}", serde_json::to_string(id).unwrap()))
        .collect();
    format!(
        "{{\n  \"synced_message_ids\": [\n{}\n  ],\n  \"last_source_uid\": 0,\n  \"last_sync\": null\n}}",
        ids.join(",\n")
    )
}

impl TestEnv {
    /// What `import-state` says of this file.
    #[track_caller]
    fn import(&self, file: &str) -> String {
        fs::write(self.dir.path().join("script.json"), file).unwrap();
        let ran = self.command(&["import-state", "script.json"]);
        assert_eq!((ran.status, &*ran.err), (0, ""), "{ran:?}");
        ran.out
    }

    fn count(&self, condition: &str) -> i64 {
        self.one(&format!("SELECT count(*) FROM message WHERE {condition}"))
    }

    /// Ids that have vouched for nothing so far.
    fn unused(&self) -> i64 {
        self.one("SELECT count(*) FROM imported WHERE vouched_for IS NULL")
    }

    /// The texts of the messages that Gmail holds.
    fn texts(&self) -> Vec<String> {
        let text = |m: gmail_stand_in::Stored| {
            let all = String::from_utf8(m.bytes).unwrap();
            all.split_once("\r\n\r\n").unwrap().1.trim_end().to_string()
        };
        let mut texts: Vec<String> = self.held().into_iter().map(text).collect();
        texts.sort();
        texts
    }

    /// proof or status of each row, by UID.
    fn ends(&self) -> String {
        self.one("SELECT group_concat(coalesce(proof, status)) FROM (SELECT proof, status FROM message ORDER BY source_uid)")
    }
}

/// UIDs whose bodies were asked for.
fn fetched(transcript: &Transcript) -> Vec<u32> {
    let mut uids = Vec::new();
    for line in transcript.client() {
        if !line.contains("BODY.PEEK[])") {
            continue;
        }
        for range in line.split(' ').nth(3).unwrap().split(',') {
            let mut ends = range.split(':').map(|n| n.parse::<u32>().unwrap());
            let first = ends.next().unwrap();
            uids.extend(first..=ends.next().unwrap_or(first));
        }
    }
    uids.sort_unstable();
    uids
}

#[test]
fn what_the_script_had_copied_is_neither_fetched_nor_sent() {
    for file in [
        script_file(&[
            ("<0@example.org>", TIME),
            ("<1@example.org>", "\"2023-11-14T23:13:20.123456\""),
            ("<2@example.org>", "null"),
            ("<long.ago@example.org>", TIME),
        ]),
        first_script_file(&[
            "<0@example.org>",
            "<1@example.org>",
            "<2@example.org>",
            "<long.ago@example.org>",
        ]),
    ] {
        let env = TestEnv::new();
        env.mails(3);
        // What the script had forgotten, what it had failed at, and what it could not name.
        env.mail("<forgotten@example.org>", "forgotten");
        env.mail("<failed@example.org>", "failed");
        env.mail("", "nameless");
        assert_eq!(
            env.import(&file),
            "4 Message-IDs taken over from script.json, 0 known already\n"
        );
        let dry = env.run_with(&["--dry-run"]);
        assert!(dry.out.contains("would send 3 messages ("), "{dry:?}");
        assert!(
            dry.out
                .contains("3 messages are known from the Python script: not sent again"),
            "{dry:?}"
        );
        let ran = env.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert_eq!(env.texts(), ["failed", "forgotten", "nameless"]);
        assert_eq!(env.target.transcript().commands("APPEND"), 3);
        assert_eq!(fetched(&env.source.transcript()), [4, 5, 6]);
        assert_eq!(
            env.ends(),
            "imported,imported,imported,appended,appended,appended"
        );
        assert_eq!(env.unused(), 1);
        assert_eq!(env.status()["delivered"], 6);
        let vouched: i64 = env.one("SELECT count(*) FROM message m JOIN imported i ON i.vouched_for = m.id AND i.message_id_hash = m.message_id_hash WHERE proof = 'imported'");
        assert_eq!(vouched, 3, "each for its own");
        // Nothing of it is done again.
        let lines = env.target.lines();
        env.run_until_done(1);
        let gmail = env.target.transcript().after(lines);
        assert_eq!(gmail.commands("APPEND") + gmail.commands("FETCH"), 0);
    }
}

#[test]
fn an_id_is_known_however_the_header_and_the_file_wrote_it() {
    // A header's value, and what Python's email.message_from_bytes(...).get('Message-ID').strip() makes of it.
    let cases = [
        ("<plain@x>", "<plain@x>"),
        ("\r\n <below@x>", "<below@x>"),
        ("<in\r\n\ttwo@x>", "<in\r\n\ttwo@x>"),
        ("bare@x", "bare@x"),
        ("three words here", "three words here"),
        ("<noted@x> (added by mail.x)", "<noted@x> (added by mail.x)"),
        (
            "=?utf-8?q?=3Cencoded=40x=3E?=",
            "=?utf-8?q?=3Cencoded=40x=3E?=",
        ),
        // By hand, or by a script of somebody's own.
        ("<stripped@x>", "stripped@x"),
        ("dressed@x", "<dressed@x>"),
        ("<quoted\"and\\\\slashed@x>", "<quoted\"and\\\\slashed@x>"),
    ];
    let env = TestEnv::new();
    for (header, _) in cases {
        env.mail(header, header);
    }
    let ids: Vec<&str> = cases.iter().map(|(_, id)| *id).collect();
    env.import(&script_file_of(&ids));
    env.run_until_done(1);
    assert_eq!(env.count("proof = 'imported'"), 10, "{}", env.dump());
    assert_eq!(env.held().len(), 0);
}

#[test]
fn a_file_is_taken_over_once_and_what_grew_in_it_is_added() {
    let env = TestEnv::new();
    env.mails(4);
    let ids = |n: usize| -> Vec<String> { (0..n).map(|i| format!("<{i}@example.org>")).collect() };
    let file = |n: usize| script_file_of(&ids(n).iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(
        env.import(&file(2)),
        "2 Message-IDs taken over from script.json, 0 known already\n"
    );
    assert_eq!(
        env.import(&file(2)),
        "0 Message-IDs taken over from script.json, 2 known already\n"
    );
    env.run_until_done(1);
    assert_eq!(env.texts(), ["text 2", "text 3"]);
    // Used up is used up.
    assert_eq!(
        env.import(&file(3)),
        "1 Message-ID taken over from script.json, 2 known already\n"
    );
    assert_eq!(env.unused(), 1);
    env.mail("<0@example.org>", "another text");
    env.run_until_done(1);
    assert_eq!(env.ends(), "imported,imported,appended,appended,appended");
    // One id in two forms is one id.
    assert_eq!(
        env.import(&first_script_file(&[
            "<twice@x>",
            "twice@x",
            "",
            "<>",
            "<twice@x>"
        ])),
        "1 Message-ID taken over from script.json, 2 known already, 2 unusable (empty)\n"
    );
}

#[test]
fn gmail_itself_is_asked_first_and_the_id_is_saved() {
    let mut env = TestEnv::new();
    env.set("since", "2023-11-20");
    let day =
        |n| chrono::DateTime::parse_from_rfc3339(&format!("2023-11-{n}T10:00:00+00:00")).unwrap();
    let older = mail("<list@x>", "Fri, 10 Nov 2023 09:00:00 +0000", "older");
    let newer = mail("<list@x>", "Sat, 25 Nov 2023 09:00:00 +0000", "newer");
    env.source.add(Mail::new(&older).at(day(10)));
    env.source.add(Mail::new(&newer).at(day(25)));
    let id = env.target.add(Mail::new(&newer).at(day(25)));
    env.target.set_labels(id, &[]);
    env.import(&script_file_of(&["<list@x>"]));
    env.run_until_done(1);
    assert_eq!(env.ends(), "found");
    assert_eq!(env.unused(), 1);
    env.set("since", "all").run_until_done(1);
    assert_eq!(env.ends(), "imported,found");
    assert_eq!(env.unused(), 0);
    assert_eq!(fetched(&env.source.transcript()), [0; 0]);
    assert_eq!(env.held().len(), 1);
}

#[test]
fn of_two_messages_with_one_id_the_first_is_vouched_for_and_the_other_arrives() {
    for date in [DATE, "Wed, 15 Nov 2023 22:13:20 +0000"] {
        let env = TestEnv::new();
        env.mail("<list@x>", "the first");
        env.source
            .add(Mail::new(mail("<list@x>", date, "the second")));
        env.import(&script_file_of(&["<list@x>"]));
        env.run_until_done(1);
        assert_eq!(env.texts(), ["the second"], "{date}");
        assert_eq!(env.ends(), "imported,appended");
    }
}

#[test]
fn equal_bytes_are_not_sent_where_an_id_vouches_for_one_of_them() {
    let env = TestEnv::new();
    for _ in 0..3 {
        env.mail("<twice@x>", "the same");
    }
    env.import(&script_file_of(&["<twice@x>"]));
    env.run_until_done(1);
    assert_eq!(env.held().len(), 0);
    assert_eq!(env.ends(), "imported,same,same");
}

#[test]
fn a_later_message_with_an_imported_name_is_told_apart_by_its_bytes() {
    let env = TestEnv::new();
    let first = env.mail("<list@x>", "the first");
    env.import(&script_file_of(&["<list@x>"]));
    env.run_until_done(1);
    assert_eq!(env.ends(), "imported");
    assert_eq!(fetched(&env.source.transcript()), [0; 0]);
    env.source.add(Mail::new(&first));
    env.run_until_done(1);
    assert_eq!(env.ends(), "imported,same", "now both were hashed");
    env.mail("<list@x>", "another");
    env.run_until_done(1);
    assert_eq!(env.ends(), "imported,same,appended");
    assert_eq!(env.texts(), ["another"]);
}

#[test]
fn where_the_imported_message_is_gone_a_later_one_of_its_name_arrives() {
    let env = TestEnv::new();
    env.mail("<list@x>", "the first");
    env.import(&script_file_of(&["<list@x>"]));
    env.run_until_done(1);
    env.source.delete(env.source.messages()[0].id);
    env.mail("<list@x>", "another");
    env.run_until_done(1);
    assert_eq!(env.ends(), "imported,appended");
    assert_eq!(env.texts(), ["another"]);
}

#[test]
fn a_copy_that_may_be_anothers_is_looked_at_before_an_id_vouches() {
    // The script had failed at the first, and copied the second.
    let env = TestEnv::new();
    env.target.knobs(|k| k.dedupe.key = DedupeKey::Off);
    env.mail("<list@x>", "the first");
    let second = env.mail("<list@x>", "the second");
    env.target.add(Mail::new(&second));
    env.import(&script_file_of(&["<list@x>"]));
    env.run_until_done(1);
    assert_eq!(env.texts(), ["the first", "the second"]);
    assert_eq!(env.ends(), "appended,found");
    assert_eq!(env.unused(), 1);
}

#[test]
fn a_renumbered_source_keeps_what_was_vouched_for() {
    let env = TestEnv::new();
    env.mails(5);
    env.import(&script_file_of(&["<0@example.org>", "<1@example.org>"]));
    env.run_until_done(1);
    env.source.renumber("INBOX", 77);
    env.run_until_done(1);
    assert_eq!(env.held().len(), 3, "{}", env.dump());
    assert_eq!(env.count("proof = 'imported' AND superseded_by IS NULL"), 2);
    assert_eq!(env.target.transcript().commands("APPEND"), 3);
}

#[test]
fn an_id_is_not_used_up_by_a_message_that_was_not_written_down() {
    for trigger in [
        "BEFORE UPDATE OF status ON message WHEN NEW.proof = 'imported'",
        "AFTER UPDATE OF status ON message WHEN NEW.proof = 'imported'",
        "BEFORE UPDATE ON imported",
        "AFTER UPDATE ON imported",
    ] {
        let env = TestEnv::new();
        env.mails(2);
        env.import(&script_file_of(&["<0@example.org>"]));
        env.sql()
            .execute_batch(&format!(
                "CREATE TRIGGER full {trigger} BEGIN SELECT raise(ABORT, 'disk full'); END"
            ))
            .unwrap();
        assert_eq!(env.run().status, 1, "{trigger}");
        assert_eq!(env.unused(), 1, "{trigger}");
        assert_eq!(env.count("proof = 'imported'"), 0, "{trigger}");
        env.sql().execute_batch("DROP TRIGGER full").unwrap();
        env.run_until_done(1);
        assert_eq!(env.ends(), "imported,appended", "{trigger}");
        assert_eq!(env.texts(), ["text 1"], "{trigger}");
    }
}

#[test]
fn killed_in_the_middle() {
    let env = TestEnv::new();
    // Slow enough that a kill meets it at work.
    env.target
        .knobs(|k| k.round_trip = Duration::from_millis(5));
    env.import("{\"synced_message_ids\": {}}");
    let mut killed = 0;
    for round in 0..25 {
        for i in 0..12 {
            env.mail(&format!("<{round}.{i}@x>"), &format!("text {round}.{i}"));
        }
        let ids: Vec<String> = (0..12)
            .filter(|i| i % 3 != 0)
            .map(|i| format!("<{round}.{i}@x>"))
            .collect();
        env.import(&script_file_of(
            &ids.iter().map(String::as_str).collect::<Vec<_>>(),
        ));
        let mut child = env.spawn(&[]);
        // The moment is the point of the test: it is drawn, not awaited.
        std::thread::sleep(Duration::from_millis(fastrand::u64(20..250)));
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        let apart: i64 = env.one(
            "SELECT (SELECT count(*) FROM message WHERE proof = 'imported' AND id NOT IN (SELECT vouched_for FROM imported WHERE vouched_for IS NOT NULL))
                  + (SELECT count(*) FROM imported WHERE vouched_for IS NOT NULL AND vouched_for NOT IN (SELECT id FROM message WHERE proof = 'imported'))",
        );
        assert_eq!(apart, 0, "{}", env.dump());
    }
    assert!(killed > 12, "{killed} of 25 were killed before their end");
    env.run_until_done(3);
    assert_eq!(env.count("proof = 'imported'"), 25 * 8);
    assert_eq!(env.unused(), 0);
    assert_eq!(env.held().len(), 25 * 4);
    assert_eq!(env.count("status <> 'delivered'"), 0);
}

#[test]
fn it_may_be_done_while_run_is_running() {
    let env = TestEnv::new();
    env.mails(20);
    // The target is slow to let us in; meanwhile everything has been recorded.
    let slow = env.target.fault(
        On::nth(1, "AUTHENTICATE").times(10),
        Fault::Delay(Duration::from_millis(2500)),
    );
    let child = env.spawn(&[]);
    crate::testkit::eventually("the source's messages have rows", || {
        slow.count() > 0 && env.count("status = 'pending'") == 20
    });
    let ids: Vec<String> = (0..15).map(|i| format!("<{i}@example.org>")).collect();
    env.import(&script_file_of(
        &ids.iter().map(String::as_str).collect::<Vec<_>>(),
    ));
    assert_eq!(env.count("status = 'pending'"), 20, "it was in time");
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(env.count("proof = 'imported'"), 15, "{}", env.dump());
    assert_eq!(env.held().len(), 5);
}

#[test]
fn the_first_run_beside_the_scripts_file_speaks_of_import_state() {
    let said = |ran: &crate::testkit::route::Ran| ran.err.matches("import-state").count();
    let beside = |env: &TestEnv| {
        let file = env.dir.path().join("sync_state.json");
        fs::write(&file, script_file_of(&["<0@example.org>"])).unwrap();
        file
    };
    let env = TestEnv::new();
    env.mails(1);
    let file = beside(&env);
    let dry = env.run_with(&["--dry-run"]);
    assert_eq!(said(&dry), 1, "{}", dry.err);
    let ran = env.run();
    let sentence = format!(
        " WARN  {0} is not taken over yet: if it is of these accounts, `imap-to-gmail import-state {0} --config {1}` makes known what the Python script had copied\n",
        file.display(),
        env.config_file().display()
    );
    assert!(ran.err.contains(&sentence), "{}", ran.err);
    assert_eq!(said(&ran), 1);
    assert_eq!(said(&env.run()), 0, "once");

    // The command that is named does it; and then nothing is said.
    let env = TestEnv::new();
    let file = beside(&env);
    let (file, config) = (file.to_str().unwrap(), env.config_file());
    let ran = env.command(&["import-state", file, "--config", config.to_str().unwrap()]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(env.unused(), 1);
    assert_eq!(said(&env.run()), 0);

    let env = TestEnv::new();
    assert_eq!(said(&env.run()), 0, "there is no such file");

    // Another ledger than the configuration's is named as it was named.
    let env = TestEnv::new();
    beside(&env);
    let other = env.dir.path().join("other.db");
    let ran = env.run_with(&["--state-file", other.to_str().unwrap()]);
    let option = format!(" --state-file {}`", other.display());
    assert!(ran.err.contains(&option), "{}", ran.err);
}

fn new_mail(uid: u32) -> Discovered {
    Discovered {
        uid: Uid(uid),
        message_id: MessageId::parse(b"<list@x>"),
        date: None,
        internal_date: Some(Utc::now() - TimeDelta::days(i64::from(uid))),
        size: Some(100),
        flags: Flags::default(),
        gm_msgid: None,
    }
}

/// While the history is not known, an older message may be the one that an id stands for.
#[test]
fn new_mail_is_not_vouched_for_before_the_history_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let now = Utc::now();
    let mut ledger = Ledger::open_or_create(&dir.path().join("l.db"), true).unwrap();
    ledger
        .import(&[MessageId::parse(b"list@x").unwrap()], now)
        .unwrap();
    ledger
        .first_look(FolderId(1), UidValidity(1), 10, "all", now)
        .unwrap();
    let id = ledger.present_mailbox(FolderId(1)).unwrap().id;
    let claim = Claim {
        count: 1,
        bytes: u64::MAX,
        once: true,
    };
    ledger
        .record(id, &[new_mail(10)], Progress::NextUid(11), now)
        .unwrap();
    let new = ledger.claim(claim, now).unwrap().remove(0);
    assert!(!ledger.imported_vouches(new.id).unwrap());
    // History itself need not wait.
    ledger
        .record(id, &[new_mail(4)], Progress::History, now)
        .unwrap();
    let old = i64::from(ledger.claim(claim, now).unwrap().is_empty());
    assert_eq!(old, 1, "one of a name at a time");
    assert!(ledger.imported_vouches(RowId(new.id.0 + 1)).unwrap());
    ledger.record(id, &[], Progress::HistoryDone, now).unwrap();
    assert!(
        !ledger.imported_vouches(new.id).unwrap(),
        "the older one bears the id"
    );
    assert!(ledger.imported_vouches(RowId(new.id.0 + 1)).unwrap());
    // Without an older one, the history known, new mail is vouched for.
    let mut other = Ledger::open_or_create(&dir.path().join("other.db"), true).unwrap();
    other
        .import(&[MessageId::parse(b"list@x").unwrap()], now)
        .unwrap();
    other
        .first_look(FolderId(1), UidValidity(1), 10, "all", now)
        .unwrap();
    other
        .record(MailboxId(1), &[new_mail(10)], Progress::NextUid(11), now)
        .unwrap();
    assert!(!other.imported_vouches(RowId(1)).unwrap());
    other
        .record(MailboxId(1), &[], Progress::HistoryDone, now)
        .unwrap();
    assert!(other.imported_vouches(RowId(1)).unwrap());
}

/// The program running, until this is dropped.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_daemon_that_does_not_know_the_history_sends_new_mail() {
    let env = TestEnv::new();
    env.mail("<list@x>", "the first");
    env.import(&script_file_of(&["<list@x>"]));
    // Only the listing of the history: new mail is asked for by UID.
    let looks = env.source.fault(On::each("FETCH"), Fault::CutBefore);
    let _running = Running(env.spawn_for_good(&[]));
    crate::testkit::eventually("it looks for the history", || looks.count() > 0);
    env.mail("<list@x>", "the second");
    crate::testkit::eventually("new mail is sent", || !env.held().is_empty());
    assert_eq!(env.texts(), ["the second"]);
    assert_eq!(env.unused(), 1);
    env.source.clear_faults();
    crate::testkit::eventually("the history is recorded and vouched for", || {
        env.ends() == "imported,appended"
    });
    // What is imported from now on is known at once.
    env.import(&script_file_of(&["<later@x>"]));
    env.mail("<later@x>", "copied by the script, which was not stopped");
    crate::testkit::eventually("new mail is vouched for", || {
        env.ends() == "imported,appended,imported"
    });
    assert_eq!(env.texts(), ["the second"]);
}

/// A file in a folder of its own.
fn file_with(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sync_state.json");
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

#[test]
fn a_file_that_ends_too_early_is_refused_wherever_it_ends() {
    for file in [
        script_file(&[("<0@x>", TIME), ("<1@x>", "null")]),
        first_script_file(&["<0@x>", "<1@x>"]),
    ] {
        for end in 0..file.len() {
            let (_dir, path) = file_with(&file.as_bytes()[..end]);
            let error = import_state::read(&path).unwrap_err();
            assert_eq!(error.fault, Reach::Usage);
            assert!(error.message.contains("not JSON at line"), "{error}");
        }
        let (_dir, path) = file_with(file.as_bytes());
        assert_eq!(import_state::read(&path).unwrap().ids.len(), 2);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the file: no panic, and either ids or a sentence with a hint.
    #[test]
    fn a_damaged_file_is_read_or_refused(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..6usize, prop::collection::vec(any::<u8>(), 0..4)), 1..4),
        form in any::<bool>(),
    ) {
        let mut bytes = if form {
            script_file(&[("<0@x>", TIME), ("<1@x>", "null"), ("<2@\u{e9}>", TIME)]).into_bytes()
        } else {
            first_script_file(&["<0@x>", "<1@x>", "\\\"<2@x>"]).into_bytes()
        };
        for (at, gone, new) in cuts {
            let at = at.index(bytes.len() + 1);
            let end = (at + gone).min(bytes.len());
            bytes.splice(at..end, new);
        }
        let (_dir, path) = file_with(&bytes);
        match import_state::read(&path) {
            Ok(state) => prop_assert!(state.ids.len() as u64 + state.unusable <= 8),
            Err(e) => {
                prop_assert_eq!(e.fault, Reach::Usage);
                prop_assert!(e.hint.is_some() && !e.message.contains('\n'), "{}", e);
            }
        }
    }
}
