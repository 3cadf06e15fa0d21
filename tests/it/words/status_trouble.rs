//! What `status` says of runs: whether one is alive, what troubles it has, and what a person must do first.

use imap_to_gmail::error::{Error, Fault};
use imap_to_gmail::message::time_text;
use serde_json::Value;

use super::status::{ago, book, day, json};

#[test]
fn a_run_that_gives_signs_of_life_is_running() {
    let (desk, mut b) = book();
    for (age, running) in [(0, true), (45, true), (75, false), (3600, false)] {
        b.ledger.run_begins(&["run"], ago(7200)).unwrap();
        let at = ago(age);
        b.ledger.beat(&["run"], at).unwrap();
        let status = json(&desk);
        assert_eq!(status["running"], running, "{age} s");
        assert_eq!(status["last_sign_of_life"], time_text(at));
    }
    // A part that goes on is enough, and a sign of life that came with the end is none.
    b.ledger.run_begins(&["run"], ago(20)).unwrap();
    b.ledger.run_ends(ago(0)).unwrap();
    assert_eq!(json(&desk)["running"], false);
    b.ledger.run_begins(&["run", "other"], ago(7200)).unwrap();
    b.ledger.beat(&["other"], ago(20)).unwrap();
    assert_eq!(json(&desk)["running"], true);
}

#[test]
fn ages_are_told_in_the_unit_that_fits() {
    let (desk, mut b) = book();
    b.ledger.run_begins(&["run"], ago(9000)).unwrap();
    let since = ago(9000).format("%Y-%m-%d %H:%M");
    for (age, said) in [
        (
            30,
            format!("  running since {since} UTC, last sign of life 3"),
        ),
        (90, "  the last sign of life came 1 min ago, and".into()),
        (5400, "  the last sign of life came 1 h ago, and".into()),
    ] {
        b.ledger.beat(&["run"], ago(age)).unwrap();
        let status = desk.run(&["status"]);
        let line = status.out().lines().nth(1).unwrap();
        assert!(line.starts_with(&said), "{line}");
    }
    b.ledger.run_ends(ago(200)).unwrap();
    let status = desk.run(&["status"]);
    assert_eq!(
        status.out().lines().nth(1).unwrap(),
        "  the last run ended 3 min ago"
    );
}

#[test]
fn a_part_that_gives_no_sign_of_life_is_named() {
    let (desk, mut b) = book();
    b.ledger
        .run_begins(&["watch", "deliver"], ago(7200))
        .unwrap();
    b.ledger.beat(&["deliver"], ago(0)).unwrap();
    let status = desk.run(&["status"]);
    let life: Vec<&str> = status.out().lines().skip(2).take(2).collect();
    assert_eq!(
        life,
        [
            "  but its part \"watch\" gave the last sign of life 2 h ago: it may hang; restart",
            "  it, nothing is lost"
        ]
    );
}

#[test]
fn all_parts_in_trouble_are_told() {
    let (desk, mut b) = book();
    b.ledger.run_begins(&["watch", "deliver"], ago(90)).unwrap();
    let away = Error::new(Fault::Connection, "mail.example.org:993 cannot be reached");
    let token = Error::new(Fault::NeedsUser, format!("imap.gmail.com:993 refused the sign-in: {}", "x".repeat(200)))
        .hint("sign in again with `imap-to-gmail auth`: the token was withdrawn, or it has expired by itself");
    b.ledger.trouble("watch", Some(&away), ago(90)).unwrap();
    b.ledger
        .trouble("deliver", Some(&token), ago(3700))
        .unwrap();
    let status = desk.run(&["status"]);
    let (_, troubles) = status.out().split_once("\ntrouble").unwrap();
    assert_eq!(
        troubles,
        format!(
            " (deliver, began 1 h ago): imap.gmail.com:993 refused the sign-in:
  {}
  {}
  {}
hint: sign in again with `imap-to-gmail auth`: the token was withdrawn, or it
  has expired by itself

trouble (watch, began 1 min ago): mail.example.org:993 cannot be reached
",
            "x".repeat(78),
            "x".repeat(78),
            "x".repeat(44)
        )
    );
    let all = json(&desk);
    assert_eq!(all["trouble"]["kind"], "needs_user");
    assert_eq!(all["troubles"][1]["part"], "watch");
}

#[test]
fn trouble_has_a_kind_a_sentence_and_a_hint() {
    for (fault, kind) in [
        (Fault::NeedsUser, "needs_user"),
        (Fault::Throttled, "throttled"),
        (Fault::Connection, "transient"),
        (Fault::Transient, "transient"),
        (Fault::Fatal, "transient"),
        (Fault::Usage, "transient"),
    ] {
        for hint in [None, Some("do this")] {
            let (desk, mut b) = book();
            b.ledger.run_begins(&["run"], day(1)).unwrap();
            let mut error = Error::new(fault, "it is broken");
            error.hint = hint.map(String::from);
            b.ledger.trouble("run", Some(&error), day(2)).unwrap();
            assert_eq!(
                json(&desk)["trouble"].to_string(),
                format!(
                    "{{\"kind\":\"{kind}\",\"message\":\"it is broken\",\"hint\":{},\"since\":\"2024-11-02T10:00:00Z\"}}",
                    hint.map_or("null".into(), |h| format!("\"{h}\""))
                )
            );
            let status = desk.run(&["status"]);
            let (_, trouble) = status.out().split_once("\ntrouble").unwrap();
            let hint = hint.map_or(String::new(), |h| format!("hint: {h}\n"));
            assert_eq!(
                trouble,
                format!(" (began 2024-11-02 10:00 UTC): it is broken\n{hint}")
            );
            b.ledger.trouble("run", None, day(3)).unwrap();
            assert_eq!(json(&desk)["trouble"], Value::Null);
            assert!(!desk.run(&["status"]).out().contains("trouble"));
        }
    }
}

#[test]
fn what_a_person_must_do_is_said_first() {
    let (desk, mut b) = book();
    b.ledger.run_begins(&["a", "b", "c"], day(1)).unwrap();
    for (part, fault) in [
        ("a", Fault::Connection),
        ("b", Fault::NeedsUser),
        ("c", Fault::Throttled),
    ] {
        let error = Error::new(fault, fault.name());
        b.ledger.trouble(part, Some(&error), day(2)).unwrap();
    }
    assert_eq!(json(&desk)["trouble"]["message"], "needs_user");
    b.ledger.trouble("b", None, day(3)).unwrap();
    assert_eq!(json(&desk)["trouble"]["message"], "throttled");
}
