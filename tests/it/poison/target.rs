//! The target holds a message that cannot be read: it holds up nobody, and what it may be is not sent twice.

use std::process::Child;

use gmail_stand_in::{Fault, Gmail, Harm, Mail, On, Place, Reach};

use super::others_charged;
use crate::testkit::env::{DATE, TestEnv, mail};
use crate::testkit::eventually;

/// Mail that is there already, with one that cannot be read; at which place it is added.
fn filled(stage: &TestEnv, at: usize, reach: Reach, harm: Harm) {
    for i in 0..60 {
        if i == at {
            let id = stage
                .target
                .add(Mail::new(mail("<broken@gmail>", DATE, "cannot be read")));
            stage.target.poison(id, reach, harm.clone());
        }
        stage
            .target
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
            let stage = TestEnv::new();
            filled(&stage, at, reach, harm.clone());
            stage.mails(12);
            // Recognising goes on beside it.
            stage.mail("<5@gmail>", "other bytes, the same name");
            let ran = stage.run();
            let case = format!("{reach:?} {harm:?} at {at}: {}", ran.err);
            assert_eq!(ran.status, 0, "{case}");
            assert_eq!(stage.held().len(), 61 + 12, "{case}");
            let found: i64 = stage.one("SELECT count(*) FROM message WHERE proof = 'found'");
            assert_eq!(found, 1, "{case}");
            assert_eq!(others_charged(&stage, ""), 0, "{case}");
            let warned = ran.err.matches("cannot be read (").count();
            assert!(warned <= 1, "{case}");
            // From now on it is known, and not touched again.
            let before = sessions(&stage.target);
            stage.mail("<one@more>", "text");
            let ran = stage.run();
            assert_eq!(ran.status, 0, "{case}: {}", ran.err);
            assert_eq!(sessions(&stage.target), before + 1, "{case}: {}", ran.err);
            assert!(!ran.err.contains("cannot be read"), "{case}: {}", ran.err);
        }
    }
}

#[test]
fn the_last_message_of_a_quiet_mailbox_is_not_touched_again() {
    let stage = TestEnv::new();
    stage
        .target
        .add(Mail::new(mail("<0@gmail>", DATE, "older")));
    let id = stage
        .target
        .add(Mail::new(mail("<broken@gmail>", DATE, "cannot be read")));
    stage.target.poison(id, Reach::Anything, Harm::Cut);
    // Nothing is sent: each run looks, and the last message stays the last.
    stage.mail("<0@gmail>", "is there already");
    assert_eq!(stage.run().status, 0);
    for n in 1..3 {
        let again = mail("<0@gmail>", DATE, "is there already");
        stage.source.add(Mail::new(again));
        let before = sessions(&stage.target);
        let ran = stage.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert_eq!(sessions(&stage.target), before + 1, "run {n}: {}", ran.err);
    }
}

#[test]
fn so_in_spam_and_trash() {
    for place in [Place::Spam, Place::Trash] {
        let stage = TestEnv::new();
        filled(&stage, 70, Reach::Header, Harm::Cut);
        let id = stage
            .target
            .add(Mail::new(mail("<broken@gmail>", DATE, "cannot be read")));
        match place {
            Place::Spam => stage.target.spam(id),
            _ => stage.target.trash(id),
        };
        stage.target.poison(id, Reach::Anything, Harm::Cut);
        stage.mails(5);
        let ran = stage.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert_eq!(stage.held().len(), 65);
    }
}

#[test]
fn a_gmail_that_tells_nothing_of_any_message_is_waited_for() {
    let stage = TestEnv::new();
    for i in 0..30 {
        let there = mail(&format!("<{i}@example.org>"), DATE, &format!("text {i}"));
        stage.target.add(Mail::new(there));
    }
    stage.mails(30);
    let error = Fault::Answer("NO System Error (Failure)".into());
    let asked = stage
        .target
        .fault(On::each("UID FETCH").line_with("HEADER.FIELDS"), error);
    let ran = stage.run();
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert!(
        ran.err.contains("not one message can be had now"),
        "{}",
        ran.err
    );
    assert_eq!(others_charged(&stage, ""), 0, "{}", stage.dump());
    let tries = ran.err.matches("trying again").count() + 1;
    assert!(asked.count() <= tries * 3 * 25, "{}", asked.count());
    stage.target.clear_faults();
    stage.run_until_done(1);
    assert_eq!(stage.target.transcript().commands("APPEND"), 0);
}

/// One message was sent, and nobody saw what became of it: the ledger has it in flight, and nobody is let in.
pub(crate) fn left_in_flight(named: bool, stored: bool) -> TestEnv {
    let stage = TestEnv::new();
    stage
        .target
        .add(Mail::new(mail("<0@gmail>", DATE, "older")));
    let date = chrono::DateTime::parse_from_rfc3339("2021-03-04T05:06:07+02:00").unwrap();
    let id = if named { "<open@x>" } else { "" };
    stage
        .source
        .add(Mail::new(mail(id, DATE, "the one left open")).at(date));
    stage
        .target
        .fault(On::nth(1, "APPEND"), Fault::CutAfterLiteral { stored });
    let no = "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)";
    stage.target.fault(
        On::nth(2, "AUTHENTICATE").times(99),
        Fault::Answer(no.into()),
    );
    assert_eq!(stage.run().status, 4);
    assert_eq!(stage.status()["in_flight"], 1);
    stage.target.clear_faults();
    stage
}

#[test]
fn an_all_mail_that_does_not_open_is_done_without_also_for_one_left_open() {
    for stored in [true, false] {
        let stage = left_in_flight(true, stored);
        let no = Fault::Answer("NO System Error (Failure)".into());
        let refused = On::each("EXAMINE").line_with("All Mail");
        stage.target.fault(refused, no);
        stage.mails(3);
        let ran = stage.run();
        assert_eq!(ran.status, 0, "{stored}: {}", ran.err);
        assert_eq!(stage.target.messages().len(), 5, "{stored}: {}", ran.err);
    }
}

#[test]
fn the_copy_of_another_message_of_that_moment_is_not_taken_for_it() {
    let mut stage = TestEnv::new();
    stage.set("connections", 1);
    let at = |year: i32| {
        let date = chrono::NaiveDate::from_ymd_opt(year, 3, 4).unwrap();
        date.and_hms_opt(5, 6, 7).unwrap().and_utc().fixed_offset()
    };
    for (id, year) in [
        ("<1@x>", 2020),
        ("<2@x>", 2020),
        ("<cut@x>", 2021),
        ("<arrived@x>", 2021),
    ] {
        let bytes = mail(id, DATE, "one of several");
        stage.source.add(Mail::new(bytes).at(at(year)));
    }
    // Two of one batch and of one moment: the first is answered OK, the second is never stored.
    let stored = false;
    stage
        .target
        .fault(On::nth(2, "APPEND"), Fault::CutAfterLiteral { stored });
    let no = "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)";
    let locked = On::nth(2, "AUTHENTICATE").times(99);
    stage.target.fault(locked, Fault::Answer(no.into()));
    assert_eq!(stage.run().status, 4);
    assert_eq!(stage.held().len(), 1, "{}", stage.dump());
    assert_eq!(stage.status()["in_flight"], 1, "{}", stage.dump());
    stage.target.clear_faults();
    stage
        .target
        .poison(the_last(&stage), Reach::Header, Harm::Cut);
    stage.run_until_done(1);
    stage.assert_complete();
}

#[test]
fn what_waits_for_one_that_is_looked_for_asks_no_more_often_than_that() {
    let stage = left_in_flight(false, false);
    // Without a Message-ID and of one size: they are not under way together.
    let other = mail("", DATE, "another of its size");
    let twin = mail("", DATE, "the one left open");
    let other = &other[..twin.len() - 2];
    stage.source.add(Mail::new([other, b"\r\n"].concat()));
    let before = sessions(&stage.target);
    let running = stage.spawn_for_good(&[]);
    let running = Running(running);
    eventually("both are delivered", || {
        stage.status_soon()["delivered"] == 2
    });
    drop(running);
    let after = sessions(&stage.target);
    // One look at first, one when absence counts, one to deliver.
    assert!(after - before <= 4, "{} sessions", after - before);
    stage.run_until_done(1);
    assert_eq!(stage.target.messages().len(), 3);
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn the_last(stage: &TestEnv) -> u64 {
    let all = stage
        .target
        .mailbox(&stage.target.name_of(gmail_stand_in::Use::All));
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
            let stage = left_in_flight(named, true);
            stage.target.poison(the_last(&stage), reach, harm.clone());
            stage.mail("<next@x>", "waits for nothing");
            let ran = stage.run();
            let case = format!("{named} {reach:?} {harm:?}: {}", ran.err);
            assert_eq!(ran.status, 0, "{case}");
            assert!(ran.err.contains("did arrive"), "{case}");
            assert_eq!(stage.target.messages().len(), 3, "{case}");
        }
    }
}

#[test]
fn one_of_another_date_or_size_is_not_taken_for_it() {
    for text in [
        "the one left open",
        "of quite another size than the one that was left open, by far",
    ] {
        let stage = left_in_flight(false, false);
        // It came after ours was sent, for all that anybody can see.
        let id = stage.target.add(Mail::new(mail("", DATE, text)));
        stage.target.poison(id, Reach::Header, Harm::Cut);
        let ran = stage.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert!(ran.err.contains("did not arrive"), "{}", ran.err);
        assert_eq!(stage.target.messages().len(), 3);
    }
}

#[test]
fn where_nobody_can_tell_it_is_not_sent_again_and_the_rest_goes_on() {
    let stage = left_in_flight(false, true);
    let hidden = the_last(&stage);
    stage.target.poison(hidden, Reach::Anything, Harm::Cut);
    stage.mails(5);
    for _ in 0..2 {
        let ran = stage.run();
        assert_eq!(ran.status, 3, "{}", ran.err);
        assert!(ran.err.contains("it is not sent again"), "{}", ran.err);
        assert_eq!(stage.target.messages().len(), 7, "{}", ran.err);
        assert_eq!(stage.status()["in_flight"], 1);
        assert_eq!(stage.status()["delivered"], 5);
    }
    stage.target.cure(hidden);
    stage.run_until_done(1);
    assert_eq!(stage.target.messages().len(), 7);
}

#[test]
fn a_copy_that_cannot_be_verified_holds_up_nobody() {
    let stage = TestEnv::new();
    stage.mails(1);
    let verification =
        || On::each("UID FETCH").line_with("(UID X-GM-MSGID RFC822.SIZE INTERNALDATE");
    stage.target.fault(verification(), Fault::CutBefore);
    // Nothing else was sent with which it could be compared: three tries, and it is left as it is.
    assert_eq!(stage.run().status, 0);
    let other = TestEnv::new();
    other.mails(12);
    other.target.fault(verification(), Fault::CutBefore);
    let ran = other.run();
    assert_eq!(ran.status, 1, "not one can be looked at: {}", ran.err);
    other.target.clear_faults();
    let id = the_last(&other);
    other.target.poison(id, Reach::Anything, Harm::Cut);
    other.mail("<later@x>", "text");
    let ran = other.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    for stage in [stage, other] {
        let open: i64 = stage.one("SELECT count(*) FROM message WHERE verified_at IS NULL");
        assert_eq!(open, 0, "{}", stage.dump());
        let rows: i64 = stage.one("SELECT count(*) FROM message");
        assert_eq!(stage.held().len(), rows as usize);
    }
}
