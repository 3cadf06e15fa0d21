//! Whose copy is it? Two routes into one Gmail, messages that are equal and one that is not, mailboxes that do not open.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, FixedOffset};
use gmail_stand_in::{Fault, Gmail, Mail, On, Options};

use crate::testkit::env::{DATE, SOURCE, TestEnv, mail};
use crate::testkit::route::{Account, Route};
use crate::testkit::scripted_proxy::{Then, Twist};

/// What is asked of copies that were answered OK.
const VERIFICATION: &str = "RFC822.SIZE INTERNALDATE FLAGS";

fn open(options: Options) -> Gmail {
    Gmail::start(Options {
        tls: false,
        ..options
    })
}

fn route(source: &Gmail, gmail: &Gmail, port: u16) -> Route {
    Route::between(
        Account::on(source).without_tls(),
        Account::on(gmail).without_tls().through(port),
    )
}

fn at(date: &str) -> DateTime<FixedOffset> {
    DateTime::parse_from_rfc3339(date).unwrap()
}

/// One mail to two of a family whose mail goes into one Gmail: the first one's copy arrives when the second one has
/// looked for it and is about to send. Gives the second route, when it has run once.
fn both(to: [&str; 2], answered: bool) -> (Route, Gmail, String) {
    let gmail = open(Options::default());
    let sources = to.map(|name| {
        let source = open(Options::plain(SOURCE));
        let bytes = [
            format!("Delivered-To: {name}@example.org\r\n").into_bytes(),
            mail("<both@example.org>", DATE, "dinner at eight"),
        ]
        .concat();
        source.add(Mail::new(bytes).at(at("2023-11-14T22:13:25+00:00")));
        source
    });
    if !answered {
        gmail.fault(
            On::nth(2, "APPEND"),
            Fault::CutAfterLiteral { stored: true },
        );
    }
    let first = Arc::new(route(&sources[0], &gmail, gmail.port()));
    let meanwhile = Twist::at(
        gmail.port(),
        "APPEND",
        1,
        Arc::new(move |_, _| {
            let ran = first.run();
            assert_eq!(ran.status, 0, "{}", ran.err);
            Then::Server
        }),
    );
    let second = route(&sources[1], &gmail, meanwhile.port);
    let ran = second.run();
    assert_eq!(meanwhile.struck(), 1);
    let told = format!("status {}\n{}\n{}", ran.status, ran.err, second.dump());
    drop(sources);
    (second, gmail, told)
}

#[test]
fn one_mail_to_two_of_a_family_is_found_by_the_second() {
    for answered in [true, false] {
        // Of other sizes, and of the same.
        for to in [["ann", "robert"], ["ann", "bob"]] {
            let (second, gmail, told) = both(to, answered);
            assert!(told.starts_with("status 0"), "{to:?} {answered}: {told}");
            assert_eq!(gmail.messages().len(), 1, "Gmail keeps one");
            let proof: String = second.one("SELECT proof FROM message");
            assert_eq!(proof, "found", "{to:?} {answered}: {told}");
            let altered: i64 = second.one("SELECT altered FROM message");
            assert_eq!(altered, 1, "its bytes are the first one's: {told}");
        }
    }
}

#[test]
fn of_two_with_one_name_only_one_is_found_in_a_copy_of_another_route() {
    // The copy is neither one's: it may vouch for one of them, and Gmail takes no second one.
    let env = TestEnv::new();
    env.target
        .add(Mail::new(mail("<list@x>", DATE, "for somebody else")));
    env.mail("<list@x>", "the direct copy");
    env.mail("<list@x>", "the list copy, with its footer");
    assert_eq!(env.run().status, 3);
    let delivered: i64 = env.one("SELECT count(*) FROM message WHERE status = 'delivered'");
    assert!(delivered <= 1, "{}", env.dump());
    assert_eq!(env.held().len(), 1);
}

#[test]
fn what_is_taken_back_vouches_for_nobody() {
    let mut env = TestEnv::new();
    env.set("connections", 2);
    // Gmail holds C. A and B are equal, with the name of C and other bytes: Gmail says OK to A and keeps C.
    env.target
        .add(Mail::new(mail("<list@x>", DATE, "C, as the list sent it")));
    let equal = mail("<list@x>", DATE, "A and B, as they came directly");
    let from = |bytes: &[u8], day: u32| {
        let date = at(&format!("2023-11-{day:02}T10:00:00+00:00"));
        env.source.add(Mail::new(bytes).at(date));
    };
    let slow = |date: &str, seconds| {
        let appended = On::each("APPEND").line_with(date);
        let answer = Fault::Delay(Duration::from_secs(seconds));
        env.target.fault(appended, answer);
    };
    from(&equal, 20);
    slow("20-Nov-2023", 1);
    // The worker that sends A is busy with this one before it can look at what became of A.
    from(&mail("<slow@x>", DATE, "slow"), 19);
    slow("19-Nov-2023", 5);
    for day in 13..19 {
        from(&mail(&format!("<{day}@x>"), DATE, "between"), day);
    }
    from(&equal, 12);
    // The other one has asked for what it delivered before A was answered, and hears of it after that.
    let verification = On::nth(1, "UID FETCH").line_with(VERIFICATION);
    let late = Fault::Delay(Duration::from_secs(3));
    env.target.fault(verification, late);
    let of_them = "FROM message WHERE message_id LIKE '%list@x%'";
    for round in ["at first", "after retry-failed"] {
        let ran = env.run();
        let believed: i64 = env.one(&format!(
            "SELECT count(*) {of_them} AND status = 'delivered'"
        ));
        let case = format!("{round}: {}\n{}", ran.err, env.dump());
        assert_eq!(believed, 0, "neither is in Gmail {case}");
        let failed: i64 = env.one(&format!("SELECT count(*) {of_them} AND status = 'failed'"));
        assert_eq!(failed, 2, "{case}");
        assert_eq!(ran.status, 3, "{case}");
        env.target.clear_faults();
        env.command(&["retry-failed"]);
    }
}

#[test]
fn a_spam_or_trash_that_does_not_open_is_done_without() {
    for mailbox in ["Spam", "Trash"] {
        for fault in [
            Fault::Answer("NO System Error (Failure)".into()),
            Fault::Stall,
        ] {
            let env = TestEnv::new();
            env.mails(3);
            let refused = On::each("EXAMINE").line_with(mailbox);
            env.target.fault(refused, fault.clone());
            let ran = env.run();
            assert_eq!(ran.status, 0, "{mailbox} {fault:?}: {}", ran.err);
            env.assert_complete();
            let trouble = env.status()["trouble"]["message"].to_string();
            assert!(trouble.contains(mailbox), "{mailbox} {fault:?}: {trouble}");
        }
    }
}

#[test]
fn what_a_mark_does_not_know_is_looked_for_by_date_and_size() {
    for stored in [true, false] {
        let env = TestEnv::new();
        // As many messages of about its size, in a mailbox that did not open when it was sent.
        for i in 0..300 {
            let there = mail("", DATE, &format!("without a name either, {i:03}"));
            let id = env
                .target
                .add(Mail::new(there).at(at("2022-01-01T00:00:00+00:00")));
            env.target.set_labels(id, &[]);
        }
        let all_mail = || On::each("EXAMINE").line_with("All Mail");
        env.target.fault(
            all_mail(),
            Fault::Answer("NO System Error (Failure)".into()),
        );
        let bytes = mail("", DATE, "without a name, sent and not seen");
        env.source
            .add(Mail::new(bytes).at(at("2023-11-14T22:13:25+00:00")));
        env.target
            .fault(On::nth(1, "APPEND"), Fault::CutAfterLiteral { stored });
        let no = "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)";
        // All Mail is tried three times, each time in a session of its own at most; nobody is let in after the APPEND.
        let locked = Arc::new(env.target.fault(
            On::nth(5, "AUTHENTICATE").times(99),
            Fault::Answer(no.into()),
        ));
        let ran = env.run();
        assert_eq!(
            env.status()["in_flight"],
            1,
            "{} {}",
            locked.count(),
            ran.err
        );
        env.target.clear_faults();
        let before = env.target.lines();
        let ran = env.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert_eq!(env.target.messages().len(), 301, "{stored}: {}", ran.err);
        let said = env.target.transcript().after(before);
        let bodies = said.commands("BODY.PEEK[])");
        assert!(bodies <= 6, "{stored}: {bodies} bodies\n{}", ran.err);
    }
}
