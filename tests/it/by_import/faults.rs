//! What the API refuses: each row of docs/gmail-import.md 4, what follows from it, and what a person reads.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use gmail_stand_in::{ApiFault, ApiRefusal, Fault, On, TokenTrouble};

use super::{assert_all_once, comes, copies, copy, detour, imports, is_imported, proved};
use crate::testkit::tree_env::Running;
use crate::testkit::{at_a_time, eventually};

#[test]
fn what_is_refused_for_its_form_goes_by_append_and_says_why() {
    use ApiRefusal as R;
    let rows = vec![
        (R::SingleFrom, "Expected a single 'From' header"),
        (R::InvalidFrom, "Invalid From header"),
        (R::InvalidAttachment, "Invalid attachment"),
        (R::BadAttachment, "BadAttachment"),
        (R::InvalidArgument, "Request contains an invalid argument"),
        (R::PayloadSize, "Request payload size exceeds"),
        (R::TooLarge, "413"),
    ];
    at_a_time(rows, |(refusal, words)| {
        let env = imports();
        let fault = ApiFault::Refuse(refusal.clone());
        env.target
            .api_fault(On::each("IMPORT").message_with("refused"), fault);
        let bytes = comes(&env, "refused", "x");
        let other = comes(&env, "other", "y");
        env.run_until_done(1);
        assert_all_once(&env);
        assert_eq!(copy(&env, &bytes).bytes, bytes, "{refusal:?}");
        assert!(is_imported(&copy(&env, &other), &other));
        assert!(
            detour(&env).contains(words),
            "{refusal:?}: {}",
            detour(&env)
        );
        env.assert_nobody_charged();
    });
}

#[test]
fn what_may_pass_is_tried_again_and_goes_by_append_in_the_end() {
    let env = imports();
    env.target.api_fault(
        On::each("IMPORT").message_with("refused"),
        ApiFault::Refuse(ApiRefusal::BadRequest),
    );
    let bytes = comes(&env, "refused", "x");
    let runs = env.run_until_done(5);
    assert_eq!(runs, 3, "{}", env.dump());
    assert_eq!(copy(&env, &bytes).bytes, bytes);
    assert_all_once(&env);
}

#[test]
fn what_both_roads_refuse_fails_with_both_reasons() {
    let env = imports();
    env.target.api_fault(
        On::each("IMPORT").message_with("refused"),
        ApiFault::Refuse(ApiRefusal::InvalidFrom),
    );
    env.target.fault(
        On::each("APPEND").message_with("refused"),
        Fault::AnswerAfterLiteral {
            text: "NO [TOOBIG] Message too large.".into(),
            stored: false,
        },
    );
    comes(&env, "refused", "x");
    let ran = env.run();
    assert_eq!(ran.status, 3, "{ran:?}");
    let file = env.ledger_file();
    let told = env.command(&["status", "--failed", "--state-file", file.to_str().unwrap()]);
    let words: Vec<&str> = told.out.split_whitespace().collect();
    let words = words.join(" ");
    assert!(words.contains("Message too large"), "{words}");
    assert!(words.contains("Invalid From header"), "{words}");
    assert_eq!(env.target.messages().len(), 0);
}

#[test]
fn a_label_that_is_gone_is_made_again() {
    let mut env = imports();
    env.set("label", "old");
    comes(&env, "one", "x");
    env.run_until_done(1);
    let hits = env.target.api_fault(
        On::nth(1, "IMPORT"),
        ApiFault::Refuse(ApiRefusal::InvalidLabel("Label_9".into())),
    );
    let two = comes(&env, "two", "y");
    env.run_until_done(1);
    assert_eq!(hits.count(), 1);
    assert_all_once(&env);
    assert!(copy(&env, &two).labels.contains("old"));
    assert_eq!(proved(&env, "imported_by_api"), 2);
}

#[test]
fn while_a_person_is_needed_append_serves_and_says_so() {
    use ApiRefusal as R;
    let rows = vec![
        (
            R::NotEnabled,
            "is not enabled",
            "console.cloud.google.com/apis/library",
        ),
        (R::Scopes, "does not allow this", "sign in again"),
        (R::Permission, "does not allow this", "sign in again"),
        (R::DomainPolicy, "administrator", "admin.google.com"),
        (R::MailServiceOff, "has no Gmail", "Service status"),
        (R::NoSuchPage, "is not there", "gmail_api"),
    ];
    at_a_time(rows, |(refusal, words, hint)| {
        let env = imports();
        env.target
            .api_fault(On::each("*"), ApiFault::Refuse(refusal.clone()));
        let bytes = comes(&env, "one", "x");
        env.run_until_done(1);
        assert_eq!(copy(&env, &bytes).bytes, bytes, "{refusal:?}");
        assert!(
            detour(&env).contains(words),
            "{refusal:?}: {}",
            detour(&env)
        );
        // What the trouble is, and the click that mends it.
        let child = Running::start(&env);
        comes(&env, "two", "y");
        eventually("it is told", || {
            let trouble = &env.status()["trouble"];
            let says =
                |key: &str, part: &str| trouble[key].as_str().is_some_and(|t| t.contains(part));
            says("kind", "needs_user")
                && says("message", words)
                && says("message", "meanwhile new mail goes by APPEND")
                && says("hint", hint)
        });
        eventually("append serves", || proved(&env, "appended") == 2);
        env.target.clear_faults();
        let three = comes(&env, "three", "z");
        eventually("all is there", || copies(&env.target, &three).len() == 1);
        drop(child);
        env.assert_nobody_charged();
    });
}

#[test]
fn that_it_is_closed_is_found_out_without_mail_and_so_is_that_it_is_open_again() {
    let env = imports();
    env.target.knobs(|k| k.api.enabled = false);
    let running = Running::start(&env);
    eventually("it is told", || env.status()["state"] == "trouble");
    comes(&env, "one", "x");
    eventually("append serves", || proved(&env, "appended") == 1);
    env.target.knobs(|k| k.api.enabled = true);
    eventually("all is well", || env.status()["state"] == "running");
    comes(&env, "two", "y");
    eventually("it is imported again", || {
        proved(&env, "imported_by_api") == 1
    });
    drop(running);
    assert_all_once(&env);
}

#[test]
fn what_waits_for_the_api_goes_by_append_when_the_configuration_says_so() {
    let mut env = imports();
    let until = Utc::now() + TimeDelta::hours(1);
    env.target.api_fault(
        On::each("IMPORT"),
        ApiFault::Refuse(ApiRefusal::RetryAfter(429, until)),
    );
    let running = Running::start(&env);
    let bytes = comes(&env, "one", "x");
    eventually("it waits", || env.status()["backoff"] == 1);
    env.set("delivery", "append");
    eventually("it is there", || copies(&env.target, &bytes).len() == 1);
    drop(running);
    assert_eq!(copy(&env, &bytes).bytes, bytes);
}

#[test]
fn a_token_that_is_refused_is_renewed_once() {
    let env = imports();
    let renewed = env.target.token_requests().len();
    env.target.api_fault(
        On::nth(1, "IMPORT"),
        ApiFault::Refuse(ApiRefusal::InvalidCredentials),
    );
    comes(&env, "one", "x");
    env.run_until_done(1);
    assert_all_once(&env);
    assert_eq!(proved(&env, "imported_by_api"), 1);
    assert_eq!(env.target.token_requests().len(), renewed + 1);
}

#[test]
fn the_time_that_it_names_is_kept_also_by_the_next_run() {
    at_a_time(vec![403, 429], |status| {
        let env = imports();
        // Longer than a run waits that ends by itself.
        let until = Utc::now() + TimeDelta::milliseconds(9_300);
        let hits = env.target.api_fault(
            On::each("*"),
            ApiFault::Refuse(ApiRefusal::RetryAfter(status, until)),
        );
        comes(&env, "one", "x");
        let first = env.run();
        assert_eq!(first.status, 3, "{first:?}");
        assert_eq!(hits.count(), 1);
        comes(&env, "two", "y");
        let second = env.run();
        assert_eq!(second.status, 3, "{second:?}");
        assert!(Utc::now() < until, "the runs took too long to tell");
        assert_eq!(hits.count(), 1, "{}", second.err);
        assert!(
            second.err.contains("User-rate limit exceeded"),
            "{}",
            second.err
        );
        let told = env.command(&[
            "status",
            "--failed",
            "--state-file",
            env.ledger_file().to_str().unwrap(),
        ]);
        let words: Vec<&str> = told.out.split_whitespace().collect();
        // The trouble, and the reason of each.
        let reasons = words.join(" ").matches("User-rate limit exceeded").count();
        assert_eq!(reasons, 3, "{}", told.out);
        env.target.clear_faults();
        // It tells the time in whole seconds, and so do we.
        while Utc::now() < until + TimeDelta::seconds(2) {
            std::thread::sleep(Duration::from_millis(50));
        }
        env.run_until_done(1);
        assert_all_once(&env);
        assert_eq!(proved(&env, "imported_by_api"), 2);
        env.assert_nobody_charged();
    });
}

#[test]
fn a_short_pause_is_waited_for_and_a_long_one_holds_up_imports_alone() {
    use ApiRefusal as R;
    let rows = vec![
        (R::RateLimit, false),
        (R::UserRateLimit, false),
        (R::QueriesPerMinute, true),
        (R::DailyLimit, true),
        (R::Concurrent, true),
    ];
    at_a_time(rows, |(refusal, long)| {
        let mut env = imports();
        let hits = env
            .target
            .api_fault(On::nth(1, "IMPORT"), ApiFault::Refuse(refusal.clone()));
        comes(&env, "one", "x");
        let ran = env.run();
        assert_eq!(ran.status, if long { 3 } else { 0 }, "{refusal:?} {ran:?}");
        assert_eq!(hits.count(), 1);
        env.assert_nobody_charged();
        if !long {
            assert_eq!(proved(&env, "imported_by_api"), 1);
            return;
        }
        // What goes by the other road is there at once.
        env.set("delivery", "append");
        let two = comes(&env, "two", "y");
        env.run();
        assert_eq!(copy(&env, &two).bytes, two, "{refusal:?}");
    });
}

#[test]
fn a_sign_in_that_ended_is_told_as_ever() {
    let env = imports();
    env.target.token_trouble(TokenTrouble::ExpiredOrRevoked, 9);
    let token = std::fs::read_to_string(env.dir.path().join("token.json")).unwrap();
    let token: serde_json::Value = serde_json::from_str(&token).unwrap();
    env.target.revoke(token["token"].as_str().unwrap());
    comes(&env, "one", "x");
    let ran = env.run();
    assert_eq!(ran.status, 4, "{ran:?}");
    env.target.clear_faults();
}

/// Whatever the API says of one message, in whatever shape: it arrives, and no other waits for it.
#[test]
fn whatever_one_message_is_refused_with_it_arrives() {
    use ApiRefusal as R;
    let rows = vec![
        R::RawRequired,
        R::BadRequestPage,
        R::InvalidThread,
        R::ConflictingLabels,
        R::NotFound,
        R::Backend(500),
        R::Backend(502),
        R::Backend(504),
        R::Page(503),
    ];
    at_a_time(rows, |refusal| {
        let env = imports();
        env.target.api_fault(
            On::each("IMPORT").message_with("Subject: odd"),
            ApiFault::Refuse(refusal.clone()),
        );
        comes(&env, "odd", "x");
        let other = comes(&env, "other", "y");
        env.run_until_done(6);
        assert_all_once(&env);
        assert!(is_imported(&copy(&env, &other), &other), "{refusal:?}");
        env.assert_nobody_failed();
    });
}

#[test]
fn a_label_that_somebody_makes_meanwhile_or_that_is_refused() {
    use ApiRefusal as R;
    at_a_time(vec![R::LabelConflict, R::InvalidLabelName], |refusal| {
        let mut env = imports();
        env.set("label", "old");
        env.target
            .api_fault(On::each("LABELS.CREATE"), ApiFault::Refuse(refusal));
        let bytes = comes(&env, "one", "x");
        env.run_until_done(3);
        assert_all_once(&env);
        assert!(copy(&env, &bytes).labels.contains("old"));
        env.assert_nobody_charged();
    });
}
