//! How far back each mailbox is copied: an earlier `since` later picks up just the gap, in each of them.

use serde_json::json;

use super::{appends, put_at, run_well};
use crate::testkit::env::TestEnv;
use crate::testkit::labels::{Dues, same_name};
use crate::testkit::tree_env::{MANY, source_with};

const MAILBOXES: [&str; 3] = ["INBOX", "Arbeit", "Familie/日本語"];

/// Recent mail, mail of a few years, and mail of long ago in each mailbox, and one message in all of them.
fn with_three_ages() -> TestEnv {
    let env = TestEnv::of_all(source_with(MANY));
    for (age, days) in [("recent", 2), ("years", 900), ("ages", 9000)] {
        for (n, name) in MAILBOXES.iter().enumerate() {
            put_at(&env.source, &format!("{age}-{n}"), &[name], days);
        }
        put_at(&env.source, &format!("{age}-in-all"), &MAILBOXES, days);
    }
    env
}

/// What is at most so many days old.
fn dues(env: &TestEnv, days: i64) -> Dues {
    let oldest = chrono::Utc::now() - chrono::TimeDelta::days(days);
    let mut dues = Dues::default();
    for message in env.source.messages() {
        if message.internal_date > oldest {
            let mailbox = message.labels.first().unwrap();
            let date = message.internal_date.timestamp();
            dues.add(
                &message.bytes,
                date,
                message.flags.clone(),
                same_name(mailbox).unwrap(),
            );
        }
    }
    dues
}

#[test]
fn an_earlier_since_picks_up_the_gap_in_each_mailbox() {
    let mut env = with_three_ages();
    for (since, days, sent) in [("7d", 7, 4), ("2020-01-01", 4000, 8), ("all", 99_999, 12)] {
        env.set("since", since);
        run_well(&env);
        dues(&env, days).assert_met(&env.target);
        assert_eq!(appends(&env.target), sent, "since {since}");
    }
    run_well(&env);
    assert_eq!(appends(&env.target), 12);
}

#[test]
fn a_rule_may_reach_further_back_than_the_others() {
    let mut env = with_three_ages();
    env.set("since", "7d");
    env.set(
        "folders",
        json!([{"source": "Arbeit", "since": "all"}, "*"]),
    );
    run_well(&env);
    let of = |name: &str, days: i64| {
        let name = name.to_string();
        let oldest = chrono::Utc::now() - chrono::TimeDelta::days(days);
        let all = env.source.messages().into_iter();
        all.filter(move |m| m.labels.contains(&name) && m.internal_date > oldest)
    };
    let mut dues = Dues::default();
    for (name, days) in [("INBOX", 7), ("Arbeit", 99_999), ("Familie/日本語", 7)] {
        for message in of(name, days) {
            let date = message.internal_date.timestamp();
            dues.add(
                &message.bytes,
                date,
                message.flags,
                same_name(name).unwrap(),
            );
        }
    }
    dues.assert_met(&env.target);
}

#[test]
fn each_mailbox_begins_with_its_own_first_look() {
    let mut env = with_three_ages();
    env.set("since", "7d");
    env.set("folders", json!(["INBOX"]));
    run_well(&env);
    assert_eq!(appends(&env.target), 2);
    // Two more mailboxes, of which nothing is known yet.
    env.set("folders", json!(["*"]));
    run_well(&env);
    dues(&env, 7).assert_met(&env.target);
    assert_eq!(appends(&env.target), 4);
}
