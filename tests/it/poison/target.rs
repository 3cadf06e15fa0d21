//! The target holds a message that cannot be read: it holds up nobody, and what it may be is not sent twice.

use std::process::Child;

use gmail_stand_in::{Fault, Gmail, Harm, Mail, On, Place, Reach};

use super::others_charged;
use crate::testkit::env::{DATE, TestEnv, mail};
use crate::testkit::eventually;

/// Mail that is there already, with one that cannot be read; at which place it is added.
fn filled(env: &TestEnv, at: usize, reach: Reach, harm: Harm) {
    for i in 0..60 {
        if i == at {
            let id = env
                .target
                .add(Mail::new(mail("<broken@gmail>", DATE, "cannot be read")));
            env.target.poison(id, reach, harm.clone());
        }
        env.target
            .add(Mail::new(mail(&format!("<{i}@gmail>"), DATE, "older")));
    }
}

fn sessions(gmail: &Gmail) -> u32 {
    let transcript = gmail.transcript();
    transcript.lines().iter().map(|l| l.session).max().unwrap()
}

#[test]
fn a_message_there_that_cannot_be_read_holds_up_nobody() {
    for (reach, harm) in [
        (Reach::Header, Harm::Cut),
        (Reach::Anything, Harm::Cut),
        (Reach::Header, Harm::Bye("Internal error".into())),
        (
            Reach::Header,
            Harm::Answer("NO System Error (Failure)".into()),
        ),
        (Reach::Header, Harm::Garbled),
        (Reach::Anything, Harm::Silence),
    ] {
        // In the middle, and as the last one, which `n:*` always names.
        for at in [30, 59] {
            let env = TestEnv::new();
            filled(&env, at, reach, harm.clone());
            env.mails(12);
            // Recognising goes on beside it.
            env.mail("<5@gmail>", "other bytes, the same name");
            let ran = env.run();
            let case = format!("{reach:?} {harm:?} at {at}: {}", ran.err);
            assert_eq!(ran.status, 0, "{case}");
            assert_eq!(env.held().len(), 61 + 12, "{case}");
            let found: i64 = env.one("SELECT count(*) FROM message WHERE proof = 'found'");
            assert_eq!(found, 1, "{case}");
            assert_eq!(others_charged(&env, ""), 0, "{case}");
            let warned = ran.err.matches("cannot be read (").count();
            assert!(warned <= 1, "{case}");
            // From now on it is known, and not touched again.
            let before = sessions(&env.target);
            env.mail("<one@more>", "text");
            let ran = env.run();
            assert_eq!(ran.status, 0, "{case}: {}", ran.err);
            assert_eq!(sessions(&env.target), before + 1, "{case}: {}", ran.err);
            assert!(!ran.err.contains("cannot be read"), "{case}: {}", ran.err);
        }
    }
}

#[test]
fn the_last_message_of_a_quiet_mailbox_is_not_touched_again() {
    let env = TestEnv::new();
    env.target.add(Mail::new(mail("<0@gmail>", DATE, "older")));
    let id = env
        .target
        .add(Mail::new(mail("<broken@gmail>", DATE, "cannot be read")));
    env.target.poison(id, Reach::Anything, Harm::Cut);
    // Nothing is sent: each run looks, and the last message stays the last.
    env.mail("<0@gmail>", "is there already");
    assert_eq!(env.run().status, 0);
    for n in 1..3 {
        let again = mail("<0@gmail>", DATE, "is there already");
        env.source.add(Mail::new(again));
        let before = sessions(&env.target);
        let ran = env.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert_eq!(sessions(&env.target), before + 1, "run {n}: {}", ran.err);
    }
}

#[test]
fn so_in_spam_and_trash() {
    for place in [Place::Spam, Place::Trash] {
        let env = TestEnv::new();
        filled(&env, 70, Reach::Header, Harm::Cut);
        let id = env
            .target
            .add(Mail::new(mail("<broken@gmail>", DATE, "cannot be read")));
        match place {
            Place::Spam => env.target.spam(id),
            _ => env.target.trash(id),
        };
        env.target.poison(id, Reach::Anything, Harm::Cut);
        env.mails(5);
        let ran = env.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert_eq!(env.held().len(), 65);
    }
}

#[test]
fn a_gmail_that_tells_nothing_of_any_message_is_waited_for() {
    let env = TestEnv::new();
    for i in 0..30 {
        let there = mail(&format!("<{i}@example.org>"), DATE, &format!("text {i}"));
        env.target.add(Mail::new(there));
    }
    env.mails(30);
    let error = Fault::Answer("NO System Error (Failure)".into());
    let asked = env
        .target
        .fault(On::each("UID FETCH").line_with("HEADER.FIELDS"), error);
    let ran = env.run();
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert!(
        ran.err.contains("not one message can be had now"),
        "{}",
        ran.err
    );
    assert_eq!(others_charged(&env, ""), 0, "{}", env.dump());
    let tries = ran.err.matches("trying again").count() + 1;
    assert!(asked.count() <= tries * 3 * 25, "{}", asked.count());
    env.target.clear_faults();
    env.run_until_done(1);
    assert_eq!(env.target.transcript().commands("APPEND"), 0);
}

/// One message was sent, and nobody saw what became of it: the ledger has it in flight, and nobody is let in.
pub(crate) fn left_in_flight(named: bool, stored: bool) -> TestEnv {
    let env = TestEnv::new();
    env.target.add(Mail::new(mail("<0@gmail>", DATE, "older")));
    let date = chrono::DateTime::parse_from_rfc3339("2021-03-04T05:06:07+02:00").unwrap();
    let id = if named { "<open@x>" } else { "" };
    env.source
        .add(Mail::new(mail(id, DATE, "the one left open")).at(date));
    env.target
        .fault(On::nth(1, "APPEND"), Fault::CutAfterLiteral { stored });
    let no = "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)";
    env.target.fault(
        On::nth(2, "AUTHENTICATE").times(99),
        Fault::Answer(no.into()),
    );
    assert_eq!(env.run().status, 4);
    assert_eq!(env.status()["in_flight"], 1);
    env.target.clear_faults();
    env
}

#[test]
fn an_all_mail_that_does_not_open_is_done_without_also_for_one_left_open() {
    for stored in [true, false] {
        let env = left_in_flight(true, stored);
        let no = Fault::Answer("NO System Error (Failure)".into());
        let refused = On::each("EXAMINE").line_with("All Mail");
        env.target.fault(refused, no);
        env.mails(3);
        let ran = env.run();
        assert_eq!(ran.status, 0, "{stored}: {}", ran.err);
        assert_eq!(env.target.messages().len(), 5, "{stored}: {}", ran.err);
    }
}

#[test]
fn the_copy_of_another_message_of_that_moment_is_not_taken_for_it() {
    let mut env = TestEnv::new();
    env.set("connections", 1);
    let at = |year: i32| {
        let date = chrono::NaiveDate::from_ymd_opt(year, 3, 4).unwrap();
        date.and_hms_opt(5, 6, 7).unwrap().and_utc().fixed_offset()
    };
    let add = |env: &TestEnv, id: &str, year: i32| {
        let bytes = mail(id, DATE, "one of several");
        env.source.add(Mail::new(bytes).at(at(year)));
    };
    add(&env, "<cut@x>", 2021);
    add(&env, "<arrived@x>", 2021);
    // Two of one batch and of one moment: the first is answered OK, the second is never stored.
    let stored = false;
    env.target
        .fault(On::nth(2, "APPEND"), Fault::CutAfterLiteral { stored });
    let no = "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)";
    let locked = On::nth(2, "AUTHENTICATE").times(99);
    env.target.fault(locked, Fault::Answer(no.into()));
    assert_eq!(env.run().status, 4);
    assert_eq!(env.held().len(), 1, "{}", env.dump());
    assert_eq!(env.status()["in_flight"], 1, "{}", env.dump());
    add(&env, "<1@x>", 2020);
    add(&env, "<2@x>", 2020);
    env.target.clear_faults();
    env.target.poison(the_last(&env), Reach::Header, Harm::Cut);
    env.run_until_done(1);
    env.assert_complete();
}

#[test]
fn what_waits_for_one_that_is_looked_for_asks_no_more_often_than_that() {
    let env = left_in_flight(false, false);
    // Without a Message-ID and of one size: they are not under way together.
    let other = mail("", DATE, "another of its size");
    let twin = mail("", DATE, "the one left open");
    let other = &other[..twin.len() - 2];
    env.source.add(Mail::new([other, b"\r\n"].concat()));
    let before = sessions(&env.target);
    let running = env.spawn_for_good(&[]);
    let running = Running(running);
    eventually("both are delivered", || env.status_soon()["delivered"] == 2);
    drop(running);
    let after = sessions(&env.target);
    // One look at first, one when absence counts, one to deliver.
    assert!(after - before <= 4, "{} sessions", after - before);
    env.run_until_done(1);
    assert_eq!(env.target.messages().len(), 3);
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn the_last(env: &TestEnv) -> u64 {
    let all = env
        .target
        .mailbox(&env.target.name_of(gmail_stand_in::Use::All));
    all.last().unwrap().1
}

#[test]
fn a_copy_that_cannot_be_read_is_known_by_its_place_date_and_size() {
    for named in [true, false] {
        for (reach, harm) in [
            (Reach::Body, Harm::Cut),
            (Reach::Header, Harm::Cut),
            (Reach::Header, Harm::Garbled),
        ] {
            let env = left_in_flight(named, true);
            env.target.poison(the_last(&env), reach, harm.clone());
            env.mail("<next@x>", "waits for nothing");
            let ran = env.run();
            let case = format!("{named} {reach:?} {harm:?}: {}", ran.err);
            assert_eq!(ran.status, 0, "{case}");
            assert!(ran.err.contains("did arrive"), "{case}");
            assert_eq!(env.target.messages().len(), 3, "{case}");
        }
    }
}

#[test]
fn one_of_another_date_or_size_is_not_taken_for_it() {
    for text in [
        "the one left open",
        "of quite another size than the one that was left open, by far",
    ] {
        let env = left_in_flight(false, false);
        // It came after ours was sent, for all that anybody can see.
        let id = env.target.add(Mail::new(mail("", DATE, text)));
        env.target.poison(id, Reach::Header, Harm::Cut);
        let ran = env.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert!(ran.err.contains("did not arrive"), "{}", ran.err);
        assert_eq!(env.target.messages().len(), 3);
    }
}

#[test]
fn where_nobody_can_tell_it_is_not_sent_again_and_the_rest_goes_on() {
    let env = left_in_flight(false, true);
    let hidden = the_last(&env);
    env.target.poison(hidden, Reach::Anything, Harm::Cut);
    env.mails(5);
    for _ in 0..2 {
        let ran = env.run();
        assert_eq!(ran.status, 3, "{}", ran.err);
        assert!(ran.err.contains("it is not sent again"), "{}", ran.err);
        assert_eq!(env.target.messages().len(), 7, "{}", ran.err);
        assert_eq!(env.status()["in_flight"], 1);
        assert_eq!(env.status()["delivered"], 5);
    }
    env.target.cure(hidden);
    env.run_until_done(1);
    assert_eq!(env.target.messages().len(), 7);
}

#[test]
fn a_copy_that_cannot_be_verified_holds_up_nobody() {
    let env = TestEnv::new();
    env.mails(1);
    let verification =
        || On::each("UID FETCH").line_with("(UID X-GM-MSGID RFC822.SIZE INTERNALDATE");
    env.target.fault(verification(), Fault::CutBefore);
    // Nothing else was sent with which it could be compared: three tries, and it is left as it is.
    assert_eq!(env.run().status, 0);
    let other = TestEnv::new();
    other.mails(12);
    other.target.fault(verification(), Fault::CutBefore);
    let ran = other.run();
    assert_eq!(ran.status, 1, "not one can be looked at: {}", ran.err);
    // Messages may have been on their way when the session was lost over it.
    let were_lost = other.status()["in_flight"].as_u64().unwrap() > 0;
    other.target.clear_faults();
    let id = the_last(&other);
    other.target.poison(id, Reach::Anything, Harm::Cut);
    other.mail("<later@x>", "text");
    let ran = other.run();
    assert!(
        ran.status == 0 || (were_lost && ran.status == 3),
        "{}",
        ran.err
    );
    let later: String = other.one("SELECT status FROM message WHERE message_id = '<later@x>'");
    assert_eq!(later, "delivered", "{}", ran.err);
    let open = "SELECT count(*) FROM message WHERE verified_at IS NULL AND status = 'delivered'";
    assert_eq!(other.one::<i64>(open), 0, "{}", other.dump());
    // What may be that message waits until it can be read.
    other.target.cure(id);
    other.run_until_done(1);
    for env in [env, other] {
        assert_eq!(env.one::<i64>(open), 0, "{}", env.dump());
        let rows: i64 = env.one("SELECT count(*) FROM message");
        assert_eq!(env.held().len(), rows as usize);
    }
}
