//! What Gmail has already, what it merges, and what its owner did with it.

use gmail_stand_in::{Fault, Locale, Mail, On, Options, Use};

use crate::testkit::env::{DATE, TestEnv, mail};

#[test]
fn what_bears_the_same_message_id_and_another_date_is_another_message() {
    let stage = TestEnv::new();
    let there = mail("<a@example.org>", DATE, "there already");
    stage.target.add(Mail::new(&there));
    let other = mail(
        "<a@example.org>",
        "Wed, 15 Nov 2023 22:13:20 +0000",
        "another one",
    );
    stage.source.add(Mail::new(&other));
    stage.run_until_done(1);
    let mut held: Vec<Vec<u8>> = stage.held().into_iter().map(|m| m.bytes).collect();
    held.sort();
    let mut both = vec![there, other];
    both.sort();
    assert!(held == both, "{}", stage.dump());
}

#[test]
fn mail_arrives_in_the_inbox_with_its_date_and_flags() {
    let stage = TestEnv::new();
    let date = chrono::DateTime::parse_from_rfc3339("2021-03-04T05:06:07+02:00").unwrap();
    stage.source.add(
        Mail::new(mail("<1@x>", DATE, "hello"))
            .seen()
            .flag("\\Flagged")
            .flag("\\Draft")
            .flag("$Junk")
            .at(date),
    );
    let ran = stage.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    stage.assert_complete();
    let there = &stage.held()[0];
    assert_eq!(there.internal_date, date);
    let flags: Vec<&String> = there.flags.iter().collect();
    assert_eq!(flags, ["\\Flagged", "\\Seen"]);
    assert!(there.labels.contains("\\Inbox"));
}

#[test]
fn copies_anywhere_in_gmail_are_recognised_and_left_where_they_are() {
    for locale in [Locale::EnUs, Locale::DeGoogleMail, Locale::Pl] {
        let stage = TestEnv::build()
            .target(Options {
                locale,
                ..Options::default()
            })
            .start();
        let archived = stage.mail("<archived@x>", "by hand");
        let spam = stage.mail("<spam@x>", "in Spam");
        let trash = stage.mail("<trash@x>", "in Trash");
        let fetched = stage.mail("<fetched@x>", "by POP fetch");
        let scripted = stage.mail("<scripted@x>", "by the script, dated otherwise");
        let id = stage.target.add(Mail::new(&archived));
        stage.target.set_labels(id, &[]);
        let id = stage.target.add(Mail::new(&spam));
        stage.target.spam(id);
        let id = stage.target.add(Mail::new(&trash));
        stage.target.trash(id);
        stage.target.add(Mail::new(
            [
                b"X-Gmail-Fetch-Info: a\r\nDelivered-To: b\r\n",
                &fetched[..],
            ]
            .concat(),
        ));
        let later = chrono::Utc::now().fixed_offset();
        stage.target.add(Mail::new(&scripted).at(later));
        let before = stage.target.messages();
        let ran = stage.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert_eq!(stage.target.messages(), before, "nothing was touched");
        assert_eq!(stage.target.transcript().commands("APPEND"), 0);
        let found: i64 = stage.one("SELECT count(*) FROM message WHERE proof = 'found'");
        assert_eq!(found, 5, "{}", stage.dump());
    }
}

#[test]
fn what_gmail_would_merge_is_never_silent() {
    let stage = TestEnv::new();
    // A list copy and a direct copy: one Message-ID and Date, other bytes. Gmail keeps one.
    stage.mail("<list@x>", "the direct copy");
    stage.mail("<list@x>", "the list copy, with its footer");
    let ran = stage.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    assert_eq!(stage.held().len(), 1);
    let failed = stage.command(&["status", "--failed"]).out;
    assert!(
        failed.contains("Gmail keeps only one of two messages with this Message-ID and Date"),
        "{failed}"
    );
    assert!(failed.contains("Ann <ann@example.org>"), "{failed}");
    // Another try does no harm.
    stage.command(&["retry-failed"]);
    assert_eq!(stage.run().status, 3);
    assert_eq!(stage.held().len(), 1);
}

#[test]
fn what_differs_only_in_its_last_line_end_is_merged_and_said_so() {
    let stage = TestEnv::new();
    let bytes = stage.mail("<1@x>", "the same");
    stage.source.add(Mail::new(&bytes[..bytes.len() - 2]));
    stage.run_until_done(1);
    assert_eq!(stage.held().len(), 1, "Gmail keeps one");
    let proofs: String =
        stage.one("SELECT group_concat(proof) FROM (SELECT proof FROM message ORDER BY proof)");
    assert_eq!(proofs, "appended,merged", "{}", stage.dump());
    let ids: i64 = stage.one("SELECT count(DISTINCT gm_msgid) FROM message");
    assert_eq!(ids, 1);
}

#[test]
fn copies_that_a_folder_limit_hides_are_not_doubled() {
    let stage = TestEnv::new();
    let old = stage.mail("<old@x>", "an old one");
    stage.target.add(Mail::new(&old));
    for i in 0..5 {
        stage
            .target
            .add(Mail::new(mail(&format!("<filler{i}@x>"), DATE, "newer")));
    }
    stage.target.knobs(|k| k.max_folder_size = Some(3));
    let ran = stage.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert_eq!(
        stage.target.transcript().commands("APPEND"),
        1,
        "nobody could see it"
    );
    assert_eq!(stage.held().len(), 6, "Gmail merged them");
}

#[test]
fn an_unknown_outcome_is_resolved_in_all_mail() {
    for stored in [true, false] {
        let stage = TestEnv::new();
        stage.mails(5);
        stage.source.add(Mail::new(mail("", "", "without a name")));
        let hits = stage.target.fault(
            On::nth(2, "APPEND").times(3),
            Fault::CutAfterLiteral { stored },
        );
        let ran = stage.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert!(hits.count() > 0);
        stage.assert_complete();
    }
}

#[test]
fn a_throttle_said_after_the_message_leaves_open_whether_it_arrived() {
    for stored in [true, false] {
        let stage = TestEnv::new();
        stage.source.add(Mail::new(mail("", "", "without a name")));
        let text = "NO [ALERT] Account exceeded command or bandwidth limits. (Failure)".into();
        stage.target.fault(
            On::nth(1, "APPEND"),
            Fault::AnswerAfterLiteral { text, stored },
        );
        let ran = stage.run();
        assert_eq!(ran.status, 3, "{}", ran.err);
        assert_eq!(stage.status()["trouble"]["kind"], "throttled");
        stage.run_until_done(1);
        stage.assert_complete();
        let charged: i64 =
            stage.one("SELECT count(*) FROM message WHERE first_failed_at IS NOT NULL");
        assert_eq!(charged, 0, "{}", stage.dump());
    }
}

#[test]
fn an_owner_who_archives_or_moves_what_arrived_does_not_get_it_again() {
    let stage = TestEnv::new();
    stage.mails(4);
    stage.run_until_done(1);
    let ids: Vec<u64> = stage.held().iter().map(|m| m.id).collect();
    stage.target.set_labels(ids[0], &["Work"]);
    stage.target.trash(ids[1]);
    stage.target.spam(ids[2]);
    stage.target.delete(ids[3]);
    let before = stage.target.messages();
    stage.run_until_done(1);
    assert_eq!(stage.target.messages(), before);
}

#[test]
fn with_all_mail_hidden_the_inbox_serves_and_it_is_said() {
    let stage = TestEnv::new();
    stage.target.knobs(|k| k.hidden.push(Use::All));
    let here = stage.mail("<here@x>", "in the inbox");
    stage.target.add(Mail::new(&here));
    stage.mail("<new@x>", "new");
    assert_eq!(stage.run().status, 0);
    stage.assert_complete();
    let trouble = stage.status()["trouble"].clone();
    assert!(
        trouble["message"].as_str().unwrap().contains("All Mail"),
        "{trouble}"
    );
}

#[test]
fn an_all_mail_that_does_not_open_is_done_without() {
    for fault in [
        Fault::Stall,
        Fault::Answer("NO System Error (Failure)".into()),
    ] {
        let stage = TestEnv::new();
        stage.mails(3);
        stage
            .target
            .fault(On::each("EXAMINE").line_with("All Mail"), fault);
        let ran = stage.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        stage.assert_complete();
    }
}

#[test]
fn nul_bytes_are_refused_by_us_and_strange_mail_by_gmail() {
    let stage = TestEnv::new();
    stage
        .source
        .add(Mail::new(b"Message-ID: <nul@x>\r\n\r\na\0b\r\n"));
    stage.source.add(Mail::new(b"4"));
    stage.mail("<fine@x>", "fine");
    let ran = stage.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    assert_eq!(stage.held().len(), 1);
    let failed = stage.command(&["status", "--failed"]).out;
    // Whatever lines it is broken into.
    let failed = failed.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(failed.contains("NUL byte"), "{failed}");
    assert!(
        failed.contains("Invalid Arguments: Unable to parse message"),
        "{failed}"
    );
    assert_eq!(
        stage.target.transcript().commands("APPEND"),
        2,
        "the NUL was not tried"
    );
}

#[test]
fn a_message_without_a_name_is_waited_for_longer() {
    // Gmail keeps one of two copies by Message-ID and Date; without them a late one would be there twice.
    let stage = TestEnv::new();
    stage
        .source
        .add(Mail::new(mail("", DATE, "without a name")));
    let late = std::time::Duration::from_millis(800);
    stage
        .target
        .fault(On::nth(1, "APPEND"), Fault::CommitLate(late));
    let ran = stage.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    stage.assert_complete();
    assert_eq!(stage.target.transcript().commands("APPEND"), 1);
}

#[test]
fn a_copy_that_search_does_not_know_yet_is_found() {
    let stage = TestEnv::new();
    let copy = stage.mail("<1@x>", "just put there by hand");
    stage
        .target
        .knobs(|k| k.index_lag = std::time::Duration::from_secs(3600));
    stage.target.add(Mail::new(&copy));
    assert_eq!(stage.run().status, 0);
    assert_eq!(stage.target.transcript().commands("APPEND"), 0);
}

#[test]
fn what_was_sent_while_all_mail_was_hidden_is_found_when_it_is_shown_and_the_other_way_round() {
    for hidden_first in [true, false] {
        let stage = TestEnv::new();
        let hide = |yes: bool| {
            stage
                .target
                .knobs(|k| k.hidden = if yes { vec![Use::All] } else { Vec::new() });
        };
        hide(hidden_first);
        stage.mail("", "without a name, so that Gmail would keep it twice");
        stage.target.fault(
            On::nth(1, "APPEND"),
            Fault::CutAfterLiteral { stored: true },
        );
        // The first session sends, and nobody is let in after it.
        stage.target.fault(
            On::nth(2, "AUTHENTICATE").times(99),
            Fault::Answer("NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)".into()),
        );
        assert_eq!(stage.run().status, 4);
        assert_eq!(stage.status()["in_flight"], 1);
        stage.target.clear_faults();
        hide(!hidden_first);
        let ran = stage.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert!(ran.err.contains("did arrive"), "{}", ran.err);
        stage.assert_complete();
    }
}

#[test]
fn a_delivery_whose_place_could_not_be_written_down_is_found_again() {
    let stage = TestEnv::new();
    stage.target.add(Mail::new(mail("<0@x>", DATE, "before")));
    assert_eq!(stage.run().status, 0, "it makes the ledger");
    stage.mail("", "without a name, so that Gmail would keep it twice");
    // As a full disk would that has room again at once.
    stage
        .sql()
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON gmail_mailbox WHEN NEW.name = 'INBOX'
             BEGIN SELECT RAISE(ABORT, 'no room'); END",
        )
        .unwrap();
    let ran = stage.run();
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert_eq!(stage.target.messages().len(), 2, "it was sent: {}", ran.err);
    stage.sql().execute_batch("DROP TRIGGER full").unwrap();
    let ran = stage.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert_eq!(stage.target.messages().len(), 2, "{}", stage.dump());
}
