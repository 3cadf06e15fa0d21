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
fn set_clock(env: &TestEnv, by: &str) {
    let back = match by.strip_prefix('-') {
        Some(by) => format!("+{by}"),
        None => format!("-{}", by.trim_start_matches('+')),
    };
    let db = env.sql();
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
    let mut env = TestEnv::new();
    env.set("connections", 1);
    env.mails(2);
    env.run_until_done(1);
    env.mail("<charged@x>", "refused for a while");
    let refused = On::nth(1, "APPEND").message_with("refused");
    let no = Fault::Answer("NO not now".into());
    env.target.fault(refused, no);
    assert_eq!(env.run().status, 3);
    // So big that the server asks for each: the second one is not under way when the first is lost.
    env.mail("<open@x>", &"the end of this one is not seen ".repeat(200));
    env.mail("<untried@x>", &"not reached ".repeat(500));
    let stored = true;
    env.target.clear_faults();
    env.target
        .fault(On::nth(1, "APPEND"), Fault::CutAfterLiteral { stored });
    let no = "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)";
    let locked = On::nth(2, "AUTHENTICATE").times(99);
    env.target.fault(locked, Fault::Answer(no.into()));
    assert_eq!(env.run().status, 4);
    let states: String = env
        .one("SELECT group_concat(status, ' ') FROM (SELECT status FROM message ORDER BY status)");
    assert_eq!(states, "delivered delivered in_flight pending pending");
    env.target.clear_faults();
    env
}

#[test]
fn set_back_or_forward_nothing_is_lost_or_sent_twice_or_held_up() {
    for by in ["-1 day", "+1 day", "-40 days", "+1 hour"] {
        let env = in_every_state();
        // The one that waits for its next try has hours to wait, as after many of them.
        env
            .sql()
            .execute_batch("UPDATE message SET next_attempt_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '+1 hour') WHERE first_failed_at IS NOT NULL")
            .unwrap();
        set_clock(&env, by);
        let running = Running(env.spawn_for_good(&[]));
        eventually(by, || env.status()["delivered"] == 5);
        env.mail("<new@x>", "comes after the clock was set");
        eventually(by, || env.status()["delivered"] == 6);
        drop(running);
        env.run_until_done(1);
        env.assert_complete();
    }
}

#[test]
fn set_while_it_runs() {
    for by in ["-1 day", "+1 day"] {
        let env = TestEnv::new();
        env.target.fault(
            On::each("APPEND").message_with("refused"),
            Fault::Answer("NO not now".into()),
        );
        let _running = Running(env.spawn_for_good(&[]));
        env.mail("<0@x>", "refused for a while");
        eventually("it is charged", || {
            env.status_soon()["pending"] == 1
                && env.one::<i64>("SELECT count(first_failed_at) FROM message") == 1
        });
        set_clock(&env, by);
        env.target.clear_faults();
        env.mail("<1@x>", "another");
        eventually(by, || env.status()["delivered"] == 2);
        env.assert_complete();
    }
}

#[test]
fn a_dead_process_is_not_alive_because_the_clock_was_set_back() {
    let env = TestEnv::new();
    env.mails(1);
    let running = Running(env.spawn_for_good(&[]));
    eventually("it runs", || env.status_soon()["running"] == true);
    drop(running);
    set_clock(&env, "-1 day");
    assert_eq!(env.status()["running"], false);
}

#[test]
fn ten_days_of_outage_lose_nothing_whatever_the_mail_is_dated() {
    let mut env = TestEnv::new();
    env.set("since", "7d");
    let ago = |days: i64| (Utc::now() - TimeDelta::days(days)).fixed_offset();
    let add = |id: &str, days: i64| {
        let bytes = mail(&format!("<{id}@x>"), DATE, id);
        env.source.add(Mail::new(bytes).at(ago(days)));
    };
    add("too old", 9);
    add("history", 3);
    assert_eq!(env.run().status, 0);
    assert_eq!(env.held().len(), 1, "{}", env.dump());
    set_clock(&env, "+10 days");
    for day in [9, 8, 7, 1, 0] {
        add(&format!("day {day}"), day);
    }
    add("moved in from an archive", 4000);
    env.run_until_done(1);
    assert_eq!(env.held().len(), 7, "{}", env.dump());
    // The start stays the date that it was.
    let start: String = env.one("SELECT substr(start, 1, 10) FROM mailbox");
    assert_eq!(start, ago(7).format("%Y-%m-%d").to_string());
}
