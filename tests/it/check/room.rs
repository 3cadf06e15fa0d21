//! Is there room in the target for what comes; and does it hold most of it already?

use gmail_stand_in::{Fault, Mail, On, Options, Use};

use super::findings::{check, right, right_with};
use crate::testkit::env::TestEnv;

/// In units of 1,024 bytes.
fn storage(env: &TestEnv, used: u64, all: u64) {
    env.target.knobs(|k| k.storage = Some((used, all)));
}

#[test]
fn what_is_left_is_told_in_plain_units() {
    let env = right();
    let checked = check(&env);
    assert_eq!(checked.amiss(), [""; 0], "{checked:#?}");
    let bytes: usize = env.source.messages().iter().map(|m| m.bytes.len()).sum();
    assert_eq!(
        checked.message("target_quota"),
        format!(
            "there is room for 16.1 GB more (less than 1% is used); the first run brings about {bytes} bytes"
        )
    );
    env.run_until_done(2);
    assert_eq!(
        check(&env).message("target_quota"),
        "there is room for 16.1 GB more (less than 1% is used); what waits is 0 bytes"
    );
}

#[test]
fn what_does_not_fit_is_a_problem_and_what_hardly_fits_a_warning() {
    let env = right();
    for i in 0..3 {
        env.mail(&format!("<big{i}@x>"), &"x".repeat(1_000_000));
    }
    storage(&env, 7_000, 10_000);
    let cause = "there is room for 3.1 MB more (70% is used); the first run brings about 3.0 MB";
    let mend = "make room in the Google account";
    check(&env).finds(0, &["target_quota warning"], cause, mend);
    storage(&env, 8_000, 10_000);
    let cause =
        "there is room for 2.0 MB more (80% is used), and the first run brings about 3.0 MB";
    check(&env).finds(
        4,
        &["target_quota problem"],
        cause,
        "take less with a later `since`",
    );
    storage(&env, 10_001, 10_000);
    let cause = "the account is full (100% is used)";
    check(&env).finds(4, &["target_quota problem"], cause, mend);
    // Once a run has looked, what waits counts.
    env.target.knobs(|k| k.storage = None);
    env.target.fault(
        On::each("APPEND"),
        Fault::Answer("NO [UNAVAILABLE] not now".into()),
    );
    env.run();
    storage(&env, 8_000, 10_000);
    let cause = "there is room for 2.0 MB more (80% is used), and what waits is 3.0 MB";
    check(&env).finds(4, &["target_quota problem"], cause, "nothing is lost");
}

#[test]
fn of_many_messages_the_sizes_of_some_stand_for_all() {
    let env = right();
    for i in 0..1_500 {
        env.mail(&format!("<m{i}@x>"), &"x".repeat(1_000));
    }
    let before = env.source.lines();
    let checked = check(&env);
    let said = env.source.transcript().after(before);
    let message = checked.message("target_quota");
    assert!(
        message.contains("the first run brings about 1.7 MB"),
        "{message}"
    );
    assert!(said.commands("FETCH") <= 2, "{said}");
}

#[test]
fn a_server_that_says_nothing_of_room_is_none_the_worse() {
    let plain = |more: &str| {
        right_with(Options::plain(&format!(
            "IMAP4rev1 SASL-IR AUTH=PLAIN AUTH=XOAUTH2 UIDPLUS{more}"
        )))
    };
    let env = plain("");
    let checked = check(&env);
    assert!(!checked.has("target_quota"), "{checked:#?}");
    assert_eq!(checked.amiss(), [""; 0], "{checked:#?}");
    let env = plain(" QUOTA");
    env.target.knobs(|k| k.storage = None);
    let text = "the server states no limit for all mail together";
    assert_eq!(check(&env).message("target_quota"), text);
}

#[test]
fn odd_answers_about_room_do_no_harm() {
    for answer in [
        "NO not today",
        "BAD what?",
        "* QUOTA \"\" (STORAGE\r\nOK done",
        "* QUOTA \"\" (STORAGE -5 x)\r\nOK done",
        "* QUOTAROOT\r\n* QUOTA\r\nOK done",
        "* QUOTA \"\" (STORAGE 99999999999999999999999 5)\r\nOK done",
        "* QUOTA \"\" (STORAGE 18446744073709551615 18446744073709551615)\r\nOK done",
        "* QUOTAROOT INBOX a\r\n* QUOTA b (STORAGE 5 5)\r\nOK done",
    ] {
        let env = right();
        env.target
            .fault(On::each("GETQUOTAROOT"), Fault::Answer(answer.into()));
        let checked = check(&env);
        assert_eq!(checked.status, 0, "{answer}: {checked:#?}");
        let amiss = checked.amiss();
        assert!(
            amiss.is_empty() || amiss == ["target_quota skipped"],
            "{answer}: {checked:#?}"
        );
    }
    let env = right();
    env.target.fault(On::each("GETQUOTAROOT"), Fault::CutBefore);
    let checked = check(&env);
    assert_eq!(checked.amiss(), ["target_quota skipped"], "{checked:#?}");
    assert_eq!(checked.status, 0);
}

#[test]
fn a_new_ledger_on_a_gmail_that_holds_most_of_it_is_a_warning() {
    let env = right();
    env.mails(8);
    env.mail("", "nameless");
    for message in env.source.messages().iter().take(9) {
        env.target.add(Mail::new(&message.bytes));
    }
    let checked = check(&env);
    checked.finds(
        0,
        &["target_overlap warning"],
        "this ledger has delivered nothing yet, and user@gmail.com already holds",
        "name that one as `state_file`",
    );
    let message = checked.message("target_overlap");
    assert!(message.contains("1 has no Message-ID"), "{message}");
    // What is there takes no room.
    storage(&env, 8_000, 8_001);
    let bytes: usize = env.source.messages().iter().map(|m| m.bytes.len()).sum();
    let text = format!("the first run brings about {} bytes", bytes * 3 / 12);
    let checked = check(&env);
    assert!(
        checked.message("target_quota").contains(&text),
        "{checked:#?}"
    );
    env.target.knobs(|k| k.storage = None);
    // Without All Mail, what lies in the INBOX counts.
    env.target.knobs(|k| k.hidden = vec![Use::All]);
    let amiss = ["target_copies warning", "target_overlap warning"];
    check(&env).finds(0, &amiss, "All Mail is hidden", "Show in IMAP");
    env.target.knobs(|k| k.hidden = Vec::new());
    env.run_until_done(2);
    assert_eq!(check(&env).amiss(), [""; 0]);
}

#[test]
fn a_few_in_common_are_no_warning() {
    let env = right();
    for message in env.source.messages().iter().take(1) {
        env.target.add(Mail::new(&message.bytes));
    }
    assert_eq!(check(&env).amiss(), [""; 0]);
}

#[test]
fn the_clock_is_told_before_what_is_judged_by_it() {
    let checked = check(&right());
    checked.in_order("target_token", "clock");
    checked.in_order("clock", "source_connection");
    checked.in_order("clock", "target_connection");
}
