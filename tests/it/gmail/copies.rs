//! What Gmail has already, what it merges, and what its owner did with it.

use gmail_stand_in::{Fault, Locale, Mail, On, Options, Use};

use crate::testkit::env::{DATE, TestEnv, mail};

#[test]
fn what_bears_the_same_message_id_and_another_date_is_another_message() {
    let env = TestEnv::new();
    let there = mail("<a@example.org>", DATE, "there already");
    env.target.add(Mail::new(&there));
    let other = mail(
        "<a@example.org>",
        "Wed, 15 Nov 2023 22:13:20 +0000",
        "another one",
    );
    env.source.add(Mail::new(&other));
    env.run_until_done(1);
    let mut held: Vec<Vec<u8>> = env.held().into_iter().map(|m| m.bytes).collect();
    held.sort();
    let mut both = vec![there, other];
    both.sort();
    assert!(held == both, "{}", env.dump());
}

#[test]
fn mail_arrives_in_the_inbox_with_its_date_and_flags() {
    let env = TestEnv::new();
    let date = chrono::DateTime::parse_from_rfc3339("2021-03-04T05:06:07+02:00").unwrap();
    env.source.add(
        Mail::new(mail("<1@x>", DATE, "hello"))
            .seen()
            .flag("\\Flagged")
            .flag("\\Draft")
            .flag("$Junk")
            .at(date),
    );
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    env.assert_complete();
    let there = &env.held()[0];
    assert_eq!(there.internal_date, date);
    let flags: Vec<&String> = there.flags.iter().collect();
    assert_eq!(flags, ["\\Flagged", "\\Seen"]);
    assert!(there.labels.contains("\\Inbox"));
}

#[test]
fn copies_anywhere_in_gmail_are_recognised_and_left_where_they_are() {
    for locale in [Locale::EnUs, Locale::DeGoogleMail, Locale::Pl] {
        let env = TestEnv::build()
            .target(Options {
                locale,
                ..Options::default()
            })
            .start();
        let archived = env.mail("<archived@x>", "by hand");
        let spam = env.mail("<spam@x>", "in Spam");
        let trash = env.mail("<trash@x>", "in Trash");
        let fetched = env.mail("<fetched@x>", "by POP fetch");
        let scripted = env.mail("<scripted@x>", "by the script, dated otherwise");
        let id = env.target.add(Mail::new(&archived));
        env.target.set_labels(id, &[]);
        let id = env.target.add(Mail::new(&spam));
        env.target.spam(id);
        let id = env.target.add(Mail::new(&trash));
        env.target.trash(id);
        env.target.add(Mail::new(
            [
                b"X-Gmail-Fetch-Info: a\r\nDelivered-To: b\r\n",
                &fetched[..],
            ]
            .concat(),
        ));
        let later = chrono::Utc::now().fixed_offset();
        env.target.add(Mail::new(&scripted).at(later));
        let before = env.target.messages();
        let ran = env.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert_eq!(env.target.messages(), before, "nothing was touched");
        assert_eq!(env.target.transcript().commands("APPEND"), 0);
        let found: i64 = env.one("SELECT count(*) FROM message WHERE proof = 'found'");
        assert_eq!(found, 5, "{}", env.dump());
    }
}

#[test]
fn what_gmail_would_merge_is_never_silent() {
    let env = TestEnv::new();
    // A list copy and a direct copy: one Message-ID and Date, other bytes. Gmail keeps one.
    env.mail("<list@x>", "the direct copy");
    env.mail("<list@x>", "the list copy, with its footer");
    let ran = env.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    assert_eq!(env.held().len(), 1);
    let failed = env.command(&["status", "--failed"]).out;
    assert!(
        failed.contains("Gmail keeps only one of two messages with this Message-ID and Date"),
        "{failed}"
    );
    assert!(failed.contains("Ann <ann@example.org>"), "{failed}");
    // Another try does no harm.
    env.command(&["retry-failed"]);
    assert_eq!(env.run().status, 3);
    assert_eq!(env.held().len(), 1);
}

#[test]
fn what_differs_only_in_its_last_line_end_is_merged_and_said_so() {
    let env = TestEnv::new();
    let bytes = env.mail("<1@x>", "the same");
    env.source.add(Mail::new(&bytes[..bytes.len() - 2]));
    env.run_until_done(1);
    assert_eq!(env.held().len(), 1, "Gmail keeps one");
    let proofs: String =
        env.one("SELECT group_concat(proof) FROM (SELECT proof FROM message ORDER BY proof)");
    assert_eq!(proofs, "appended,merged", "{}", env.dump());
    let ids: i64 = env.one("SELECT count(DISTINCT gm_msgid) FROM message");
    assert_eq!(ids, 1);
}

#[test]
fn copies_that_a_folder_limit_hides_are_not_doubled() {
    let env = TestEnv::new();
    let old = env.mail("<old@x>", "an old one");
    env.target.add(Mail::new(&old));
    for i in 0..5 {
        env.target
            .add(Mail::new(mail(&format!("<filler{i}@x>"), DATE, "newer")));
    }
    env.target.knobs(|k| k.max_folder_size = Some(3));
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert_eq!(
        env.target.transcript().commands("APPEND"),
        1,
        "nobody could see it"
    );
    assert_eq!(env.held().len(), 6, "Gmail merged them");
}

#[test]
fn an_unknown_outcome_is_resolved_in_all_mail() {
    for stored in [true, false] {
        let env = TestEnv::new();
        env.mails(5);
        env.source.add(Mail::new(mail("", "", "without a name")));
        let hits = env.target.fault(
            On::nth(2, "APPEND").times(3),
            Fault::CutAfterLiteral { stored },
        );
        let ran = env.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert!(hits.count() > 0);
        env.assert_complete();
    }
}

#[test]
fn a_throttle_said_after_the_message_leaves_open_whether_it_arrived() {
    for stored in [true, false] {
        let env = TestEnv::new();
        env.source.add(Mail::new(mail("", "", "without a name")));
        let text = "NO [ALERT] Account exceeded command or bandwidth limits. (Failure)".into();
        env.target.fault(
            On::nth(1, "APPEND"),
            Fault::AnswerAfterLiteral { text, stored },
        );
        let ran = env.run();
        assert_eq!(ran.status, 3, "{}", ran.err);
        assert_eq!(env.status()["trouble"]["kind"], "throttled");
        env.run_until_done(1);
        env.assert_complete();
        let charged: i64 =
            env.one("SELECT count(*) FROM message WHERE first_failed_at IS NOT NULL");
        assert_eq!(charged, 0, "{}", env.dump());
    }
}

#[test]
fn an_owner_who_archives_or_moves_what_arrived_does_not_get_it_again() {
    let env = TestEnv::new();
    env.mails(4);
    env.run_until_done(1);
    let ids: Vec<u64> = env.held().iter().map(|m| m.id).collect();
    env.target.set_labels(ids[0], &["Work"]);
    env.target.trash(ids[1]);
    env.target.spam(ids[2]);
    env.target.delete(ids[3]);
    let before = env.target.messages();
    env.run_until_done(1);
    assert_eq!(env.target.messages(), before);
}

#[test]
fn with_all_mail_hidden_the_inbox_serves_and_it_is_said() {
    let env = TestEnv::new();
    env.target.knobs(|k| k.hidden.push(Use::All));
    let here = env.mail("<here@x>", "in the inbox");
    env.target.add(Mail::new(&here));
    env.mail("<new@x>", "new");
    assert_eq!(env.run().status, 0);
    env.assert_complete();
    let trouble = env.status()["trouble"].clone();
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
        let env = TestEnv::new();
        env.mails(3);
        env.target
            .fault(On::each("EXAMINE").line_with("All Mail"), fault);
        let ran = env.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        env.assert_complete();
    }
}

#[test]
fn nul_bytes_are_refused_by_us_and_strange_mail_by_gmail() {
    let env = TestEnv::new();
    env.source
        .add(Mail::new(b"Message-ID: <nul@x>\r\n\r\na\0b\r\n"));
    env.source.add(Mail::new(b"4"));
    env.mail("<fine@x>", "fine");
    let ran = env.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    assert_eq!(env.held().len(), 1);
    let failed = env.command(&["status", "--failed"]).out;
    // Whatever lines it is broken into.
    let failed = failed.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(failed.contains("NUL byte"), "{failed}");
    assert!(
        failed.contains("Invalid Arguments: Unable to parse message"),
        "{failed}"
    );
    assert_eq!(
        env.target.transcript().commands("APPEND"),
        2,
        "the NUL was not tried"
    );
}

#[test]
fn a_message_without_a_name_is_waited_for_longer() {
    // Gmail keeps one of two copies by Message-ID and Date; without them a late one would be there twice.
    let env = TestEnv::new();
    env.source.add(Mail::new(mail("", DATE, "without a name")));
    let late = std::time::Duration::from_millis(800);
    env.target
        .fault(On::nth(1, "APPEND"), Fault::CommitLate(late));
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    env.assert_complete();
    assert_eq!(env.target.transcript().commands("APPEND"), 1);
}

#[test]
fn a_copy_that_search_does_not_know_yet_is_found() {
    let env = TestEnv::new();
    let copy = env.mail("<1@x>", "just put there by hand");
    env.target
        .knobs(|k| k.index_lag = std::time::Duration::from_secs(3600));
    env.target.add(Mail::new(&copy));
    assert_eq!(env.run().status, 0);
    assert_eq!(env.target.transcript().commands("APPEND"), 0);
}

#[test]
fn what_was_sent_while_all_mail_was_hidden_is_found_when_it_is_shown_and_the_other_way_round() {
    for hidden_first in [true, false] {
        let env = TestEnv::new();
        let hide = |yes: bool| {
            env.target
                .knobs(|k| k.hidden = if yes { vec![Use::All] } else { Vec::new() });
        };
        hide(hidden_first);
        env.mail("", "without a name, so that Gmail would keep it twice");
        env.target.fault(
            On::nth(1, "APPEND"),
            Fault::CutAfterLiteral { stored: true },
        );
        // The first session sends, and nobody is let in after it.
        env.target.fault(
            On::nth(2, "AUTHENTICATE").times(99),
            Fault::Answer("NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)".into()),
        );
        assert_eq!(env.run().status, 4);
        assert_eq!(env.status()["in_flight"], 1);
        env.target.clear_faults();
        hide(!hidden_first);
        let ran = env.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert!(ran.err.contains("did arrive"), "{}", ran.err);
        env.assert_complete();
    }
}

#[test]
fn a_delivery_whose_place_could_not_be_written_down_is_found_again() {
    let env = TestEnv::new();
    env.target.add(Mail::new(mail("<0@x>", DATE, "before")));
    assert_eq!(env.run().status, 0, "it makes the ledger");
    env.mail("", "without a name, so that Gmail would keep it twice");
    // As a full disk would that has room again at once.
    env.sql()
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON gmail_mailbox WHEN NEW.name = 'INBOX'
             BEGIN SELECT RAISE(ABORT, 'no room'); END",
        )
        .unwrap();
    let ran = env.run();
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert_eq!(env.target.messages().len(), 2, "it was sent: {}", ran.err);
    env.sql().execute_batch("DROP TRIGGER full").unwrap();
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert_eq!(env.target.messages().len(), 2, "{}", env.dump());
}
