//! The clock is set, or much time passes. The ledger's moments are moved instead of the clock: it is the same to the
//! program, which knows of time gone by only what it wrote down.

use std::process::Child;

use chrono::{TimeDelta, Utc};
use gmail_stand_in::{Fault, Mail, On};

use crate::testkit::env::{DATE, TestEnv, mail};
use crate::testkit::eventually;

/// Every moment that the program took from the clock.
const MOMENTS: &[(&str, &[&str])] = &[
    (
        "message",
        &[
            "next_attempt_at",
            "first_failed_at",
            "discovered_at",
            "in_flight_since",
            "delivered_at",
            "verified_at",
        ],
    ),
    ("mailbox", &["retired_at"]),
    ("mark", &["made_at"]),
    ("heartbeat", &["started_at", "beat_at", "ended_at", "since"]),
];

/// As if the clock had been set by this since the last run: `-1 day` for back.
fn set_clock(stage: &TestEnv, by: &str) {
    let back = match by.strip_prefix('-') {
        Some(by) => format!("+{by}"),
        None => format!("-{}", by.trim_start_matches('+')),
    };
    let db = stage.sql();
    for (table, columns) in MOMENTS {
        for column in *columns {
            db.execute(
                &format!(
                    "UPDATE {table} SET {column} = strftime('%Y-%m-%dT%H:%M:%SZ', {column}, ?1) WHERE {column} IS NOT NULL"
                ),
                [&back],
            )
            .unwrap();
        }
    }
    db.execute(
        "UPDATE upload SET hour = strftime('%Y-%m-%dT%H', hour || ':00:00', ?1)",
        [&back],
    )
    .unwrap();
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Six messages: delivered, waiting untried, waiting after a charge, and one in flight that arrived.
fn in_every_state() -> TestEnv {
    let mut stage = TestEnv::new();
    stage.set("connections", 1);
    stage.mails(2);
    stage.run_until_done(1);
    stage.mail("<charged@x>", "refused for a while");
    let refused = On::nth(1, "APPEND").message_with("refused");
    let no = Fault::Answer("NO not now".into());
    stage.target.fault(refused, no);
    assert_eq!(stage.run().status, 3);
    stage.mail("<open@x>", "the end of this one is not seen");
    stage.mail("<untried@x>", "not reached");
    let stored = true;
    stage.target.clear_faults();
    stage
        .target
        .fault(On::nth(1, "APPEND"), Fault::CutAfterLiteral { stored });
    let no = "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)";
    let locked = On::nth(2, "AUTHENTICATE").times(99);
    stage.target.fault(locked, Fault::Answer(no.into()));
    assert_eq!(stage.run().status, 4);
    let states: String = stage
        .one("SELECT group_concat(status, ' ') FROM (SELECT status FROM message ORDER BY status)");
    assert_eq!(states, "delivered delivered in_flight pending pending");
    stage.target.clear_faults();
    stage
}

#[test]
fn set_back_or_forward_nothing_is_lost_or_sent_twice_or_held_up() {
    for by in ["-1 day", "+1 day", "-40 days", "+1 hour"] {
        let stage = in_every_state();
        // The one that waits for its next try has hours to wait, as after many of them.
        stage
            .sql()
            .execute_batch("UPDATE message SET next_attempt_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '+1 hour') WHERE first_failed_at IS NOT NULL")
            .unwrap();
        set_clock(&stage, by);
        let running = Running(stage.spawn_for_good(&[]));
        eventually(by, || stage.status()["delivered"] == 5);
        stage.mail("<new@x>", "comes after the clock was set");
        eventually(by, || stage.status()["delivered"] == 6);
        drop(running);
        stage.run_until_done(1);
        stage.assert_complete();
    }
}

#[test]
fn set_while_it_runs() {
    for by in ["-1 day", "+1 day"] {
        let stage = TestEnv::new();
        stage.target.fault(
            On::each("APPEND").message_with("refused"),
            Fault::Answer("NO not now".into()),
        );
        let _running = Running(stage.spawn_for_good(&[]));
        stage.mail("<0@x>", "refused for a while");
        eventually("it is charged", || {
            stage.status_soon()["pending"] == 1
                && stage.one::<i64>("SELECT count(first_failed_at) FROM message") == 1
        });
        set_clock(&stage, by);
        stage.target.clear_faults();
        stage.mail("<1@x>", "another");
        eventually(by, || stage.status()["delivered"] == 2);
        stage.assert_complete();
    }
}

#[test]
fn a_dead_process_is_not_alive_because_the_clock_was_set_back() {
    let stage = TestEnv::new();
    stage.mails(1);
    let running = Running(stage.spawn_for_good(&[]));
    eventually("it runs", || stage.status_soon()["running"] == true);
    drop(running);
    set_clock(&stage, "-1 day");
    assert_eq!(stage.status()["running"], false);
}

#[test]
fn ten_days_of_outage_lose_nothing_whatever_the_mail_is_dated() {
    let mut stage = TestEnv::new();
    stage.set("since", "7d");
    let ago = |days: i64| (Utc::now() - TimeDelta::days(days)).fixed_offset();
    let add = |id: &str, days: i64| {
        let bytes = mail(&format!("<{id}@x>"), DATE, id);
        stage.source.add(Mail::new(bytes).at(ago(days)));
    };
    add("too old", 9);
    add("history", 3);
    assert_eq!(stage.run().status, 0);
    assert_eq!(stage.held().len(), 1, "{}", stage.dump());
    set_clock(&stage, "+10 days");
    for day in [9, 8, 7, 1, 0] {
        add(&format!("day {day}"), day);
    }
    add("moved in from an archive", 4000);
    stage.run_until_done(1);
    assert_eq!(stage.held().len(), 7, "{}", stage.dump());
    // The start stays the date that it was.
    let start: String = stage.one("SELECT substr(start, 1, 10) FROM mailbox");
    assert_eq!(start, ago(7).format("%Y-%m-%d").to_string());
}
