//! What is told, when, and to whom: on each kind of target and on each road.

use gmail_stand_in::{Mail, Place};

use super::{
    FIELD, Running, all_is_told, bad, count, env, hours_pass, log_of, notices_in, telling,
};
use crate::by_import::through_the_api;
use crate::testkit::dovecot::Dovecot;
use crate::testkit::dovecot_env::{ALICE, BOB};
use crate::testkit::env::TestEnv;
use crate::testkit::eventually;

#[test]
fn a_message_that_failed_is_told_of_once_and_the_commands_do_what_they_say() {
    let env = env();
    env.mail("<good@example.org>", "text");
    bad(&env, "holidays");
    let ran = env.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    let all = notices_in(&env.target);
    assert_eq!(all.len(), 1, "{}", ran.err);
    let notice = &all[0];
    println!("{}", String::from_utf8_lossy(&notice.stored.bytes));
    assert_eq!(notice.stored.place, Place::Live);
    assert!(
        notice.stored.labels.contains("\\Inbox"),
        "{:?}",
        notice.stored.labels
    );
    assert!(notice.stored.flags.is_empty(), "it is to be noticed");
    assert_eq!(
        notice.field("From"),
        format!("imap-to-gmail <{}>", env.target.account())
    );
    assert_eq!(notice.field("Subject"), "Not copied: \"holidays\"");
    for words in [
        "from      Ann <ann@example.org>",
        "reason    the message holds a NUL byte, which Gmail does not take",
        "lies in   INBOX of ",
    ] {
        assert!(notice.text.contains(words), "{}", notice.text);
    }
    assert!(all_is_told(&env), "{}", env.dump());
    // It is no message of the route's.
    let status = env.status();
    assert_eq!(
        (&status["delivered"], &status["failed"]),
        (&1.into(), &1.into()),
        "{status}"
    );

    // What failed is no news: not in the next run, nor in the one after it.
    for _ in 0..2 {
        assert_eq!(env.run().status, 3);
        assert_eq!(count(&env), (1, 0));
    }

    // The commands are to be typed as they stand there.
    let typed = |name: &str| {
        let words = notice.command(name);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        env.command(&words)
    };
    let told = typed("status --failed");
    assert!(
        told.status == 0 && told.out.contains("holidays"),
        "{told:?}"
    );
    assert_eq!(typed("retry-failed --state-file").status, 0);
    assert_eq!(env.run().status, 3);
    assert_eq!(count(&env), (2, 0), "it has failed again");
    assert_eq!(typed("retry-failed --skip").status, 0);
    assert_eq!(env.run().status, 0);
    assert_eq!(count(&env), (2, 0));
}

#[test]
fn thousands_at_once_are_five_mails_and_a_digest() {
    let env = env();
    for n in 0..1200 {
        bad(&env, &format!("bad{n}"));
    }
    env.mail("<good@example.org>", "text");
    let ran = env.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    assert_eq!(count(&env), (5, 1), "{}", ran.err);
    let all = notices_in(&env.target);
    let digest = &all[5];
    assert!(digest.is_digest(), "it comes last");
    assert_eq!(digest.field("Subject"), "Not copied: 1,195 messages");
    assert_eq!(digest.text.matches("\n  reason    ").count(), 50);
    assert!(
        digest.text.contains("\n... and 1,145 messages more.\n"),
        "{}",
        digest.text
    );
    // No message is told of twice, and those that a digest only counts are on record too.
    let ids: i64 =
        env.one("SELECT count(DISTINCT message_id) FROM failure WHERE notice_id IS NOT NULL");
    assert_eq!(ids, 1200);
    assert_eq!(env.one::<i64>("SELECT count(*) FROM failure"), 1200);
    assert_eq!(env.held().len(), 7);

    // That was it for this day, ...
    for n in 0..7 {
        bad(&env, &format!("later{n}"));
    }
    env.run();
    hours_pass(&env, 23);
    env.run();
    assert_eq!(count(&env), (5, 1));
    // ... and the next one begins.
    hours_pass(&env, 2);
    env.run();
    assert_eq!(count(&env), (10, 2));
    let all = notices_in(&env.target);
    assert_eq!(all[11].field("Subject"), "Not copied: 2 messages");
    assert!(!all[11].text.contains("... and"), "{}", all[11].text);
    assert!(all_is_told(&env));
}

#[test]
fn a_run_without_an_end_tells_at_once_and_gathers_the_rest() {
    let env = env();
    let _running = Running::start(&env);
    env.mail("<good@example.org>", "text");
    eventually("mail flows", || env.held().len() == 1);
    // Nothing else is delivered that would bring a session along.
    for n in 0..5 {
        bad(&env, &format!("bad{n}"));
        eventually("it is told of", || count(&env) == (n + 1, 0));
    }
    // Both go into one digest, which waits for more to come.
    bad(&env, "sixth");
    let failed = |n: i64| {
        eventually("it fails", || {
            env.one::<i64>("SELECT count(*) FROM message WHERE status = 'failed'") == n
        });
    };
    failed(6);
    bad(&env, "seventh");
    failed(7);
    assert_eq!(count(&env), (5, 0));
    eventually("the digest comes", || count(&env) == (5, 1));
    let digest = notices_in(&env.target).pop().unwrap();
    assert_eq!(digest.field("Subject"), "Not copied: 2 messages");
    // Mail flows as before.
    env.mail("<another@example.org>", "text");
    eventually("mail flows still", || env.held().len() == 8);
    let log = std::fs::read_to_string(log_of(&env)).unwrap();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn who_wants_none_gets_none_also_of_what_failed_before_that() {
    let mut env = env();
    env.set("notices", false);
    bad(&env, "one");
    assert_eq!(env.run().status, 3);
    env.set("notices", true);
    assert_eq!(env.run().status, 3);
    assert_eq!(count(&env), (0, 0));
    bad(&env, "two");
    assert_eq!(env.run().status, 3);
    assert_eq!(count(&env), (1, 0));
    assert_eq!(
        notices_in(&env.target)[0].field("Subject"),
        "Not copied: \"two\""
    );
}

#[test]
fn a_dry_run_tells_nobody() {
    let env = env();
    bad(&env, "one");
    assert_eq!(env.run_with(&["--dry-run"]).status, 0);
    env.run();
    assert_eq!(count(&env), (1, 0));
    assert_eq!(
        env.command(&["retry-failed", "--state-file", "sync_state.db"])
            .status,
        0
    );
    assert_eq!(env.run_with(&["--dry-run"]).status, 0);
    assert_eq!(count(&env), (1, 0));
}

#[test]
fn what_had_failed_before_there_were_notices_is_not_told_of() {
    let env = env();
    bad(&env, "old");
    env.run();
    // As a ledger is that was made before: it knows of no failure but by the status of its row.
    env.sql()
        .execute_batch("DELETE FROM failure; DELETE FROM notice")
        .unwrap();
    env.target.messages().iter().for_each(|m| {
        env.target.delete(m.id);
    });
    env.run();
    assert_eq!(count(&env), (0, 0));
}

#[test]
fn it_lies_in_inbox_also_where_new_mail_goes_by_import() {
    let mut env = env();
    through_the_api(&mut env);
    env.set("skip_inbox", true);
    env.run_until_done(1);
    env.mail("<good@example.org>", "text");
    bad(&env, "one");
    assert_eq!(env.run().status, 3);
    let all = notices_in(&env.target);
    assert_eq!(all.len(), 1);
    assert!(all[0].stored.labels.contains("\\Inbox"));
    assert!(
        all[0].stored.bytes.starts_with(b"From: imap-to-gmail <"),
        "as it was sent"
    );
    assert_eq!(env.status()["delivered"], 1);
}

#[test]
fn it_counts_in_the_days_bytes() {
    let mut env = env();
    env.set("upload_limit_per_day", "1M");
    bad(&env, "one");
    env.run();
    let sent = notices_in(&env.target)[0].stored.bytes.len() as i64;
    assert_eq!(env.one::<i64>("SELECT sum(bytes) FROM upload"), sent);
    env.set("upload_limit_per_day", sent + 9);
    bad(&env, "two");
    assert_eq!(env.run().status, 3);
    assert_eq!(count(&env), (1, 0), "there is no room for another");
    env.set("upload_limit_per_day", "1M");
    hours_pass(&env, 2);
    assert_eq!(env.run().status, 3);
    assert_eq!(count(&env), (2, 0));
}

#[test]
fn no_secret_is_told() {
    let env = env();
    env.mail("<x@example.org>", "refuse me");
    let words = format!("NO [CANNOT] got {}", env.target.password());
    env.target.fault(
        gmail_stand_in::On::each("APPEND").message_with("refuse me"),
        gmail_stand_in::Fault::AnswerAfterLiteral {
            text: words,
            stored: false,
        },
    );
    assert_eq!(env.run().status, 3);
    let all = notices_in(&env.target);
    assert!(all[0].text.contains("[CANNOT] got ***"), "{}", all[0].text);
}

#[test]
fn a_target_that_is_not_gmail_has_it_in_its_inbox() {
    let env = telling(TestEnv::build().plain_target().start());
    env.mail("<x@example.org>", "refuse me");
    env.mail("<good@example.org>", "text");
    env.target.fault(
        gmail_stand_in::On::each("APPEND").message_with("refuse me"),
        gmail_stand_in::Fault::AnswerAfterLiteral {
            text: "NO [CANNOT] not this".into(),
            stored: false,
        },
    );
    assert_eq!(env.run().status, 3);
    let all = notices_in(&env.target);
    assert_eq!(all.len(), 1);
    assert!(
        all[0].stored.labels.contains("INBOX"),
        "{:?}",
        all[0].stored.labels
    );
    env.run();
    assert_eq!(count(&env), (1, 0));
}

#[test]
fn and_dovecot_too() {
    let target = Dovecot::build().xoauth2(true).max_mail_size("20000B");
    let Some(mut env) = TestEnv::dovecot_with(Dovecot::build(), target) else {
        return;
    };
    env.set("notices", true);
    let from = "From: J\u{f6}rg <j@example.org>\r\nSubject: Gr\u{fc}\u{df}e\r\n";
    let big = format!(
        "{from}Message-ID: <big@x>\r\n\r\n{}",
        "too much\r\n".repeat(3000)
    );
    env.source.plant(ALICE, big.as_bytes(), "", 1_700_000_000);
    env.source.plant(
        ALICE,
        b"Message-ID: <good@x>\r\n\r\nx\r\n",
        "",
        1_700_000_001,
    );
    for _ in 0..2 {
        assert_eq!(env.run().status, 3);
        let all = env.target.mailbox(BOB, "INBOX");
        assert_eq!(all.len(), 2);
        let told = all
            .iter()
            .find(|m| m.bytes.starts_with(b"From: imap"))
            .unwrap();
        let parsed = mailparse::parse_mail(&told.bytes).unwrap();
        println!(
            "{}\n{}",
            String::from_utf8_lossy(&told.bytes),
            parsed.get_body().unwrap()
        );
        let header = |name: &str| {
            let mut all = parsed.headers.iter();
            all.find(|h| h.get_key() == name).map(|h| h.get_value())
        };
        assert_eq!(
            header("From").as_deref(),
            Some("imap-to-gmail <bob@localhost>")
        );
        assert_eq!(
            header("Subject").as_deref(),
            Some("Not copied: \"Gr\u{fc}\u{df}e\"")
        );
        assert_eq!(header(FIELD).as_deref(), Some("failed"));
        assert!(told.flags.is_empty());
        assert!(
            parsed
                .get_body()
                .unwrap()
                .contains("J\u{f6}rg <j@example.org>")
        );
    }
    assert!(all_is_told(&env));
}

#[test]
fn one_that_lies_in_a_source_is_mail_like_any_other() {
    let first = env();
    bad(&first, "one");
    first.run();
    let notice = notices_in(&first.target).remove(0).stored.bytes;
    let second = env();
    second.source.add(Mail::new(&notice));
    second.run_until_done(1);
    second.assert_complete();
}
