//! How much goes into Gmail in a day, by its owner's limit and by Gmail's own, and over how many connections.

use std::time::Duration;

use gmail_stand_in::OverquotaForm;

use crate::testkit::env::TestEnv;

#[test]
fn the_upload_budget_holds_across_runs_and_counts_what_failed() {
    let mut env = TestEnv::new();
    env.set("upload_limit_per_day", "100K")
        .set("connections", 1);
    for i in 0..8 {
        env.mail(&format!("<{i}@x>"), &"x".repeat(30_000));
    }
    for _ in 0..2 {
        let ran = env.run();
        assert_eq!(ran.status, 3, "{}", ran.err);
        assert!(ran.err.contains("`upload_limit_per_day`"), "{}", ran.err);
        assert_eq!(env.held().len(), 3, "three of 30 kB fit into 100");
        assert_eq!(env.status()["trouble"]["kind"], "throttled");
    }
    // A day later; the hours of the budget are the ledger's.
    env.sql()
        .execute("UPDATE upload SET hour = '2020-01-01T00'", [])
        .unwrap();
    assert_eq!(env.run().status, 3);
    assert_eq!(env.held().len(), 6);
    env.set("upload_limit_per_day", serde_json::Value::Null)
        .run_until_done(1);
    env.assert_complete();
}

#[test]
fn a_message_bigger_than_the_upload_limit_holds_up_nobody() {
    let mut env = TestEnv::new();
    env.set("upload_limit_per_day", "100K");
    env.mail("<big@x>", &"x".repeat(200_000));
    env.mail("<small@x>", "small");
    let ran = env.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    assert!(
        ran.err
            .contains("`upload_limit_per_day` lets 102400 through"),
        "{}",
        ran.err
    );
    assert_eq!(env.status()["failed"], 1);
    assert_eq!(env.status()["pending"], 0);
    env.set("upload_limit_per_day", serde_json::Value::Null);
    assert_eq!(env.command(&["retry-failed"]).status, 0);
    env.run_until_done(1);
    env.assert_complete();
}

#[test]
fn gmails_own_limit_stops_the_run_and_the_rest_follows_when_it_is_lifted() {
    for form in [OverquotaForm::Bye, OverquotaForm::NoAlert] {
        let env = TestEnv::new();
        env.target.knobs(|k| {
            k.upload_budget = Some(60_000);
            k.overquota = form;
        });
        for i in 0..5 {
            env.mail(&format!("<{i}@x>"), &"x".repeat(30_000));
        }
        let ran = env.run();
        assert_eq!(ran.status, 3, "{}", ran.err);
        assert_eq!(env.run().status, 3, "still blocked");
        let charged: i64 =
            env.one("SELECT count(*) FROM message WHERE first_failed_at IS NOT NULL");
        assert_eq!(charged, 0);
        env.target.clock().advance(Duration::from_secs(25 * 3600));
        env.target.knobs(|k| k.upload_budget = None);
        env.run_until_done(2);
        env.assert_complete();
    }
}

#[test]
fn where_gmail_takes_no_more_connections_fewer_do_the_work() {
    let mut env = TestEnv::new();
    env.set("connections", 4);
    env.target.knobs(|k| {
        k.max_connections = 2;
        k.round_trip = Duration::from_millis(20);
    });
    env.mails(40);
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.err.contains("fewer connections"), "{}", ran.err);
    env.assert_complete();
}
