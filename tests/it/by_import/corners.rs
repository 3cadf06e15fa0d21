//! Circumstances in which what happens to one message, or on one road, could be taken for what happens to another.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use gmail_stand_in::{ApiFault, ApiRefusal, Fault, Harm, Mail, On, Reach};
use serde_json::{Value, json};

use super::{assert_all_once, comes, copies, copy, imports, letter, proved, through_the_api};
use crate::testkit::env::TestEnv;
use crate::testkit::eventually;
use crate::testkit::tree_env::Running;

fn charged(env: &TestEnv) -> i64 {
    env.one("SELECT count(*) FROM message WHERE first_failed_at IS NOT NULL")
}

/// What the row of this Message-ID has in a column.
fn told(env: &TestEnv, id: &str, column: &str) -> String {
    let query = format!("SELECT max({column}) FROM message WHERE message_id LIKE '%<{id}@%'");
    env.one::<Option<String>>(&query).unwrap_or_default()
}

/// Neither has a Message-ID, and one is the other with a line in front: its copy ends with the other's bytes.
#[test]
fn the_copy_of_one_that_ends_with_another_is_not_the_others() {
    let mut env = imports();
    env.set("connections", 4);
    let date = Utc::now().format("%a, %d %b %Y %H:%M:%S +0000");
    let short = format!("From: Ann <ann@example.org>\r\nDate: {date}\r\n\r\ntext\r\n").into_bytes();
    let long = [b"X-Loop: 1\r\n", &short[..]].concat();
    env.source.add(Mail::new(&short));
    for n in 0..6 {
        comes(&env, &format!("m{n}"), &format!("text {n}"));
    }
    env.source.add(Mail::new(&long));
    let cut = |stored| ApiFault::CutAfter { stored };
    let first = On::each("IMPORT").times(1);
    env.target
        .api_fault(first.clone().message_with("X-Loop"), cut(true));
    env.target
        .api_fault(first.message_with("\r\n\r\ntext\r\n"), cut(false));
    env.run_until_done(4);
    let holding = |part: &[u8]| {
        let mut all = env.target.messages();
        all.retain(|m| m.bytes.windows(part.len()).any(|w| w == part));
        all.len()
    };
    assert_eq!(env.target.messages().len(), 8, "{}", env.dump());
    assert_eq!(holding(b"X-Loop: 1\r\n"), 1, "{}", env.dump());
    assert_eq!(holding(b"\r\n\r\ntext\r\n"), 2);
}

/// While the labels are looked up anew the account's mailboxes cannot be listed: nothing goes to INBOX instead.
#[test]
fn what_belongs_to_a_label_goes_nowhere_else() {
    for k in 1..6 {
        let mut env = imports();
        env.source.create("Work");
        env.set("folders", json!(["INBOX", "Work"]))
            .set("connections", 1);
        let put = |id: &str| {
            let bytes = letter(id, id);
            env.source.add(Mail::new(&bytes).in_mailbox("Work"));
            bytes
        };
        put("first");
        env.run_until_done(2);
        env.target.api_fault(
            On::nth(1, "IMPORT"),
            ApiFault::Refuse(ApiRefusal::InvalidLabel("Label_9".into())),
        );
        let no = Fault::Answer("NO System Error (Failure)".into());
        env.target.fault(On::nth(k, "LIST"), no);
        let two = put("two");
        env.run_until_done(4);
        let copy = copy(&env, &two);
        let labels: Vec<&str> = copy.labels.iter().map(String::as_str).collect();
        assert_eq!(labels, ["Work"], "the {k}th LIST");
    }
}

#[test]
fn a_label_that_was_renamed_is_another_one() {
    let mut env = imports();
    env.source.create("Work");
    env.set("folders", json!(["INBOX", "Work"]))
        .set("connections", 1);
    env.run_until_done(1);
    let running = Running::start(&env);
    let put = |id: &str| {
        let bytes = letter(id, id);
        env.source.add(Mail::new(&bytes).in_mailbox("Work"));
        eventually("it is there", || copies(&env.target, &bytes).len() == 1);
        bytes
    };
    put("one");
    env.target.rename("Work", "Office");
    // A session that knows the mailboxes of before does not outlive that.
    env.target.cut_connections();
    let two = put("two");
    drop(running);
    let labels = copy(&env, &two).labels;
    assert!(
        labels.contains("Work") && !labels.contains("Office"),
        "{labels:?}"
    );
}

/// One message is always answered 503, the others are taken: it goes by APPEND, and is charged with nothing.
#[test]
fn what_is_lost_again_and_again_on_its_road_goes_by_the_other() {
    let env = imports();
    env.target.api_fault(
        On::each("IMPORT").message_with("Subject: odd"),
        ApiFault::Refuse(ApiRefusal::Backend(503)),
    );
    let odd = comes(&env, "odd", "x");
    let other = comes(&env, "other", "y");
    env.run_until_done(5);
    assert_all_once(&env);
    assert_eq!(copy(&env, &odd).bytes, odd);
    assert!(
        told(&env, "odd", "detour").contains("Backend Error"),
        "{}",
        env.dump()
    );
    assert!(super::is_imported(&copy(&env, &other), &other));
    env.assert_nobody_charged();
}

/// That APPENDs get through says nothing of imports, nor the reverse.
#[test]
fn one_road_is_no_evidence_against_the_other() {
    let mut env = TestEnv::new();
    through_the_api(&mut env);
    env.set("connections", 1);
    env.old_mails(10);
    let no = Fault::AnswerAfterLiteral {
        text: "NO System Error (Failure)".into(),
        stored: false,
    };
    let refused = env.target.fault(On::each("APPEND"), no);
    let running = Running::start(&env);
    eventually("APPEND is refused", || refused.count() > 5);
    let mut n = 0;
    // For longer than a message is tried.
    eventually("imports get through beside it", || {
        n += 1;
        comes(&env, &format!("new-{n}"), &format!("text {n}"));
        std::thread::sleep(Duration::from_millis(400));
        n >= 12 && proved(&env, "imported_by_api") >= 10
    });
    assert_eq!(charged(&env), 0, "{}", env.dump());
    env.target.clear_faults();
    eventually("history arrives", || proved(&env, "appended") == 10);
    drop(running);
}

/// What has been imported tells whether the source hands over anything, as what went by APPEND does.
#[test]
fn a_source_that_hands_over_nothing_charges_nobody() {
    for import in [true, false] {
        let mut env = imports();
        if !import {
            env.set("delivery", Value::Null);
        }
        for n in 0..3 {
            comes(&env, &format!("m{n}"), &format!("text {n}"));
        }
        env.run_until_done(1);
        comes(&env, "new", "x");
        for m in env.source.messages() {
            env.source.poison(m.id, Reach::Body, Harm::Cut);
        }
        env.run();
        assert_eq!(charged(&env), 0, "import: {import}\n{}", env.dump());
    }
}

/// The labels cannot be listed for now, and APPEND does not take the message.
#[test]
fn what_only_one_road_takes_is_not_given_up_for_what_passes() {
    let mut env = imports();
    env.target.knobs(|k| k.append_limit = 1000);
    let times = 2;
    env.target.api_fault(
        On::each("LABELS.LIST").times(times),
        ApiFault::Refuse(ApiRefusal::BadRequest),
    );
    env.set("label", "old");
    comes(&env, "big", &"x".repeat(2000));
    env.run_until_done(times + 2);
    assert_all_once(&env);
    assert_eq!(proved(&env, "imported_by_api"), 1);
}

/// Of several workers one hears until when the API is to be left alone; another one's request, begun before, gets through.
#[test]
fn a_pause_outlives_the_success_of_what_began_before_it() {
    let mut env = imports();
    env.set("connections", 4);
    let until = Utc::now() + TimeDelta::seconds(30);
    env.target
        .api_fault(On::nth(1, "IMPORT"), ApiFault::AnswerOnCommand);
    let throttled = env.target.api_fault(
        On::nth(2, "IMPORT"),
        ApiFault::Refuse(ApiRefusal::RetryAfter(429, until)),
    );
    for n in 0..8 {
        comes(&env, &format!("m{n}"), &format!("text {n}"));
    }
    let child = env.spawn(&[]);
    eventually("one is to wait", || throttled.count() == 1);
    eventually("the other has come", || env.target.answers_held() == 1);
    env.target.release_answers();
    let _ = child.wait_with_output();
    assert!(Utc::now() < until, "the run took too long to tell");
    // A third and fourth worker may have begun at the same time.
    assert!(
        env.target.api_requests("POST /upload") <= 4,
        "{}",
        env.dump()
    );
    assert_eq!(env.target.early_requests(), 0);
}

#[test]
fn an_upload_is_not_asked_for_while_the_api_is_to_be_left_alone() {
    let env = imports();
    let until = Utc::now() + TimeDelta::hours(2);
    let words = format!(
        "Backend Error.  Retry after {}",
        until.format("%Y-%m-%dT%H:%M:%S.000Z")
    );
    let answer = ApiFault::Answer {
        status: 503,
        body: json!({"error": {"code": 503, "message": words}}).to_string(),
        stored: false,
    };
    env.target.api_fault(On::nth(1, "UPLOAD"), answer);
    let asked = env.target.api_fault(
        On::each("STATUS"),
        ApiFault::Refuse(ApiRefusal::Backend(503)),
    );
    comes(&env, "big", &"x".repeat(1_200_000));
    env.run();
    assert_eq!(asked.count(), 0, "{}", env.dump());
}

/// What waits for the end of a pause is claimed once when that has come.
#[test]
fn the_end_of_a_pause_is_waited_for_quietly() {
    let env = imports();
    let running = Running::start(&env);
    let until = Utc::now() + TimeDelta::milliseconds(4_500);
    env.target.api_fault(
        On::nth(1, "IMPORT"),
        ApiFault::Refuse(ApiRefusal::RetryAfter(429, until)),
    );
    comes(&env, "one", "x");
    eventually("it is there", || proved(&env, "imported_by_api") == 1);
    let claims: i64 = env.one("SELECT attempt FROM message");
    assert!(claims <= 4, "{claims}");
    drop(running);
    assert_eq!(env.target.early_requests(), 0);
}

#[test]
fn the_days_limit_holds_for_each_road_by_itself() {
    let mut env = TestEnv::new();
    through_the_api(&mut env);
    env.set("upload_limit_per_day", 20_000)
        .set("connections", 1);
    let old = DateTime::parse_from_rfc3339("2023-11-14T22:13:20+00:00").unwrap();
    let history = letter("old", &"x".repeat(17_000));
    env.source.add(Mail::new(history).at(old));
    env.run_until_done(1);
    comes(&env, "new", &"y".repeat(5_000));
    env.run_until_done(1);
    assert_all_once(&env);
    // And there is one.
    comes(&env, "more", &"z".repeat(18_000));
    comes(&env, "small", "z");
    let ran = env.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    assert_eq!(proved(&env, "imported_by_api"), 2, "{}", env.dump());
    assert!(
        told(&env, "more", "last_error").contains("upload_limit_per_day"),
        "{}",
        env.dump()
    );
}

/// Its end is looked for while the backlog goes on.
#[test]
fn an_import_of_unknown_end_does_not_wait_for_the_backlog() {
    let mut env = TestEnv::new();
    through_the_api(&mut env);
    env.set("connections", 1);
    env.old_mails(400);
    let slow = Fault::Delay(Duration::from_millis(40));
    env.target.fault(On::each("APPEND"), slow);
    let running = Running::start(&env);
    eventually("history begins", || {
        env.status_soon()["delivered"].as_u64() > Some(5)
    });
    env.target
        .api_fault(On::nth(1, "IMPORT"), ApiFault::CutAfter { stored: true });
    comes(&env, "lost", "x");
    eventually("it is found", || {
        told(&env, "lost", "status") == "delivered"
    });
    let left: i64 = env.one("SELECT count(*) FROM message WHERE status = 'pending'");
    assert!(left > 50, "{left} of the backlog were left");
    eventually("no trouble is left of it", || {
        let troubles = env.status()["troubles"].clone();
        troubles.as_array().is_some_and(Vec::is_empty)
    });
    drop(running);
}

/// The API is out of reach: for a while new mail waits, then it goes by APPEND.
#[test]
fn an_api_out_of_reach_does_not_hold_up_mail_for_ever() {
    let mut env = imports();
    env.set("gmail_api", "http://127.0.0.1:9");
    let running = Running::start(&env);
    let bytes = comes(&env, "new", "x");
    eventually("it goes by APPEND", || {
        copies(&env.target, &bytes).len() == 1
    });
    drop(running);
    assert_eq!(copy(&env, &bytes).bytes, bytes);
    env.assert_nobody_charged();
}

#[test]
fn a_trouble_goes_with_what_it_was_about() {
    let mut env = imports();
    env.target
        .api_fault(On::each("*"), ApiFault::Refuse(ApiRefusal::NotEnabled));
    let running = Running::start(&env);
    eventually("it is told", || env.status()["state"] == "trouble");
    env.set("delivery", Value::Null);
    eventually("nobody wants it", || env.status()["state"] == "running");
    drop(running);
}

/// A number that is nowhere, and another message with the same bytes, which waits for a look at the first.
#[test]
fn a_twin_of_what_is_not_to_be_seen_yet_waits_for_a_look() {
    let env = imports();
    let lie = ApiFault::Answer {
        status: 200,
        body: "{\"id\":\"1f2f3f\"}".into(),
        stored: true,
    };
    env.target.api_fault(On::nth(1, "IMPORT"), lie);
    let bytes = letter("twin", "x");
    env.source.add(Mail::new(&bytes));
    env.source.add(Mail::new(&bytes));
    let before = env.source.lines();
    env.run_until_done(2);
    let said = env.source.transcript().after(before);
    let fetched = said.client();
    let fetched = fetched.iter().filter(|line| line.contains("BODY.PEEK[]"));
    assert!(fetched.count() <= 4, "{said}");
    assert_eq!(env.target.messages().len(), 1);
}

#[test]
fn a_run_that_is_stopped_leaves_one_message_open_at_most() {
    let mut env = imports();
    env.set("connections", 1);
    let hits = env
        .target
        .api_fault(On::nth(1, "IMPORT"), ApiFault::Stall { stored: false });
    let running = Running::start(&env);
    for n in 0..12 {
        comes(&env, &format!("m{n}"), &format!("text {n}"));
    }
    eventually("one is under way", || hits.count() == 1);
    drop(running);
    let open: i64 =
        env.one("SELECT count(*) FROM message WHERE status = 'in_flight' AND mark_id IS NOT NULL");
    assert_eq!(open, 1, "{}", env.dump());
    env.run_until_done(2);
    assert_all_once(&env);
}

#[test]
fn a_dry_run_knows_what_fits_neither_road() {
    let mut env = TestEnv::new();
    through_the_api(&mut env);
    env.target.knobs(|k| k.append_limit = 1000);
    let big = letter("big", &"x".repeat(2000));
    env.source.add(Mail::new(&big).flag("\\Answered"));
    let fits = letter("fits", &"x".repeat(2000));
    env.source.add(Mail::new(&fits));
    let file = env.config_file();
    let ran = env.command(&["run", "--dry-run", "--config", file.to_str().unwrap()]);
    assert!(ran.out.contains("would send 1 message"), "{ran:?}");
    assert!(ran.out.contains("bigger than the target takes"), "{ran:?}");
}

/// What is out of reach for a moment does not shorten the time that the API has named.
#[test]
fn a_pause_outlives_a_lesser_trouble_that_began_before_it() {
    let mut env = imports();
    env.set("connections", 4);
    let until = Utc::now() + TimeDelta::seconds(45);
    let stalled = env
        .target
        .api_fault(On::nth(1, "IMPORT"), ApiFault::Stall { stored: true });
    env.target.api_fault(
        On::nth(2, "IMPORT"),
        ApiFault::Refuse(ApiRefusal::RetryAfter(429, until)),
    );
    let running = Running::start(&env);
    for n in 0..8 {
        comes(&env, &format!("m{n}"), &format!("text {n}"));
    }
    eventually("one is under way", || stalled.count() == 1);
    eventually("the time is named", || {
        env.status()["trouble"]["kind"] == "throttled"
    });
    eventually("the other is lost, and found", || {
        running.log().contains("did arrive")
    });
    let asked = env.target.api_requests("POST /upload");
    comes(&env, "later", "later");
    eventually("it waits", || {
        told(&env, "later", "last_error").contains("Retry after")
    });
    assert_eq!(env.target.api_requests("POST /upload"), asked);
    assert!(Utc::now() < until, "that took too long to tell");
    drop(running);
}

/// Without a Message-ID, and Gmail holds a message of another tool's that ends with its bytes.
#[test]
fn a_message_without_a_name_is_not_found_in_another_one() {
    let env = imports();
    let date = Utc::now();
    let written = date.format("%a, %d %b %Y %H:%M:%S +0000");
    let text = "text\r\n".repeat(40);
    let short =
        format!("From: Ann <ann@example.org>\r\nDate: {written}\r\n\r\n{text}").into_bytes();
    let long = [b"X-Loop: 1\r\n", &short[..]].concat();
    env.target.add(Mail::new(&long).at(date.fixed_offset()));
    env.source.add(Mail::new(&short).at(date.fixed_offset()));
    env.run_until_done(1);
    assert_eq!(env.target.messages().len(), 2, "{}", env.dump());
    assert_eq!(proved(&env, "imported_by_api"), 1);
}
