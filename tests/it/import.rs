//! `import-state`: what the Python script had copied is neither fetched nor sent again, what it missed arrives, and no
//! id of its makes a message disappear.

mod beside_a_run;
mod damaged;

use std::fs;

use gmail_stand_in::{DedupeKey, Mail, Transcript};

use crate::testkit::env::{DATE, TestEnv, mail};

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
