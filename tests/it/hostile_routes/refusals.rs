//! A target that refuses what it is offered: one message, or every one.

use gmail_stand_in::{Fault, Mail, On, Options};

use crate::testkit::env::TestEnv;
use crate::testkit::scripted_proxy::changed;

fn charged(env: &TestEnv) -> i64 {
    env.one(
        "SELECT count(*) FROM message WHERE first_failed_at IS NOT NULL OR last_error IS NOT NULL",
    )
}

#[test]
fn a_target_that_adds_nothing_to_a_view_that_is_open_takes_everything() {
    let courier = "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE IDLE AUTH=PLAIN";
    let others = "IMAP4rev1 LITERAL+ UIDPLUS UNSELECT IDLE SASL-IR AUTH=PLAIN";
    for (capabilities, leaves) in [(courier, "CLOSE"), (others, "UNSELECT")] {
        let mut env = TestEnv::build()
            .without_tls()
            .target(Options {
                password: "secret".into(),
                ..Options::plain(capabilities)
            })
            .start();
        env.set("connections", 1);
        env.target.knobs(|k| k.read_only_blocks_append = true);
        env.old_mails(40);
        let ran = env.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        env.assert_complete();
        env.assert_nobody_charged();
        let said = env.target.transcript();
        // Two batches: once for each, and the others of a batch follow at once.
        let left = said.commands(" CLOSE") + said.commands(" UNSELECT");
        assert_eq!((said.commands(leaves), left), (2, 2), "{said}");
        // Later mail finds the view open that its forerunners were looked at in.
        let before = env.target.flights();
        let text = "Message-ID: <later@example.org>\r\n\r\nlater\r\n";
        env.source.add(Mail::new(text));
        env.run_until_done(1);
        println!("{leaves}: {} flights", env.target.flights() - before);
        env.assert_complete();
    }
}

#[test]
fn gmail_is_asked_to_leave_nothing() {
    let env = super::into_gmail();
    env.old_mails(40);
    env.run_until_done(1);
    let said = env.target.transcript();
    assert_eq!(said.commands(" CLOSE") + said.commands(" UNSELECT"), 0);
}

#[test]
fn what_every_message_is_refused_with_is_charged_to_none() {
    // In place of the `+`, and after the message: whether it arrived is looked at then.
    for (stored, answer) in [
        (None, "NO Current box is selected READ-ONLY."),
        (Some(false), "NO Cannot store (0.001 secs)"),
    ] {
        let mut env = TestEnv::build()
            .without_tls()
            .target(Options {
                password: "secret".into(),
                // No LITERAL-: each literal waits to be asked for.
                ..Options::plain("IMAP4rev1 UIDPLUS IDLE SASL-IR AUTH=PLAIN")
            })
            .start();
        env.old_mails(320);
        let fault = match stored {
            None => Fault::Answer(answer.into()),
            Some(stored) => Fault::AnswerAfterLiteral {
                text: answer.into(),
                stored,
            },
        };
        let hits = env.target.fault(On::each("APPEND"), fault.clone());
        let ran = env.run();
        assert_eq!(ran.status, 1, "{}", ran.err);
        let words = format!(
            "the target takes no message at all: localhost:{}",
            env.port("target")
        );
        assert!(ran.err.contains(&words), "{}", ran.err);
        assert_eq!(charged(&env), 0, "{}", env.dump());
        assert_eq!(env.status()["trouble"]["kind"], "transient");
        assert!(hits.count() < 320, "{} were tried", hits.count());
        // So it is with the next ones, and for as long as it lasts.
        env.target.clear_faults();
        env.target.fault(On::each("APPEND"), fault);
        env.set("connections", 1);
        assert_eq!(env.run().status, 1);
        assert_eq!(charged(&env), 0, "{}", env.dump());
        env.target.clear_faults();
        env.run_until_done(1);
        env.assert_complete();
    }
}

#[test]
fn what_a_few_are_refused_with_is_their_own_however_many_come_first() {
    let env = super::into_any_server();
    env.mails_of("2023-11-14T22:13:20+00:00", 30);
    // Newer, and so the first to go.
    for i in 0..8 {
        let text = format!("Message-ID: <bad{i}@example.org>\r\n\r\nbad news {i}\r\n");
        let date = chrono::DateTime::parse_from_rfc3339("2024-01-01T00:00:00Z").unwrap();
        env.source.add(Mail::new(text).at(date));
    }
    let fault = Fault::Answer("NO I do not like it".into());
    env.target
        .fault(On::each("APPEND").message_with("bad news"), fault);
    let ran = env.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    let good = "SELECT count(*) FROM message WHERE status = 'delivered'";
    assert_eq!(env.one::<i64>(good), 30, "{}", env.dump());
    assert_eq!(charged(&env), 8, "{}", env.dump());
}

#[test]
fn that_the_mailbox_is_missing_is_believed_after_a_look() {
    for answer in [
        "NO APPEND [TRYCREATE] failed",
        "NO [TRYCREATE] failed",
        "NO the sender's domain does not exist",
        "NO [NONEXISTENT] no such thing",
    ] {
        for after in [false, true] {
            let env = super::into_any_server();
            env.old_mails(20);
            let on = On::each("APPEND").line_with("{");
            let disliked =
                "Message-ID: <disliked@example.org>\r\n\r\nof this very size, no other\r\n";
            env.source.add(Mail::new(disliked));
            let on = if after {
                on.message_with("of this very size")
            } else {
                On::each("APPEND").line_with(&format!("{{{}", disliked.len()))
            };
            env.target.fault(on, Fault::Answer(answer.into()));
            let ran = env.run();
            let case = format!("{answer} {after}: {}\n{}", ran.err, env.dump());
            assert_eq!(ran.status, 3, "{case}");
            let good = "SELECT count(*) FROM message WHERE status = 'delivered'";
            assert_eq!(env.one::<i64>(good), 20, "{case}");
            assert_eq!(charged(&env), 1, "{case}");
            let why: String =
                env.one("SELECT last_error FROM message WHERE last_error IS NOT NULL");
            assert!(why.contains(&answer[3..]), "{why}");
        }
    }
}

#[test]
fn a_mailbox_that_is_missing_waits_for_a_person() {
    let mut env = super::into_any_server();
    env.old_mails(20);
    let no = "NO [TRYCREATE] Mailbox does not exist";
    env.target
        .fault(On::each("APPEND"), Fault::Answer(no.into()));
    env.target.fault(
        On::each("STATUS"),
        Fault::Answer("NO [NONEXISTENT] Unknown mailbox".into()),
    );
    let ran = env.run();
    assert_eq!(ran.status, 4, "{}", ran.err);
    assert!(
        ran.err.contains("the delivery mailbox is missing"),
        "{}",
        ran.err
    );
    env.assert_nobody_charged();
    // Where the look itself goes wrong, nobody knows, and nobody is charged.
    env.target.clear_faults();
    env.target
        .fault(On::each("APPEND"), Fault::Answer(no.into()));
    env.target.fault(On::each("STATUS"), Fault::CutBefore);
    let ran = env.run();
    // What the server had whole before it refused it is looked for.
    assert!([1, 3].contains(&ran.status), "{}", ran.err);
    env.assert_nobody_charged();
    env.target.clear_faults();
    // Nor where the answer is of no use.
    let port = changed(env.port("target"), |line| {
        line.starts_with("* STATUS").then(|| "* STATUS\r\n".into())
    });
    env.set("target_port", port);
    env.run_until_done(1);
    env.assert_complete();
}
