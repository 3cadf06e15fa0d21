//! Answers that do not come, or not as they should: nobody knows then whether Gmail has the message, and it is there once in
//! the end, with a name and without one.

use std::time::Duration;

use gmail_stand_in::{ApiFault, ApiRefusal, On};

use super::{assert_all_once, comes, imports};
use crate::testkit::at_a_time;

/// More than goes in one piece.
const BIG: usize = 1_200_000;

fn cases() -> Vec<(&'static str, ApiFault)> {
    let answer = |status, body: &str, stored| ApiFault::Answer {
        status,
        body: body.into(),
        stored,
    };
    vec![
        ("cut before", ApiFault::CutBefore),
        ("cut in the body", ApiFault::CutInBody(300)),
        ("cut, stored", ApiFault::CutAfter { stored: true }),
        ("cut, not stored", ApiFault::CutAfter { stored: false }),
        ("cut in the answer", ApiFault::CutInAnswer),
        (
            "stored late",
            ApiFault::CommitLate(Duration::from_millis(150)),
        ),
        (
            "503, stored",
            ApiFault::RefuseAfter(ApiRefusal::Backend(503)),
        ),
        (
            "503, not stored",
            ApiFault::Refuse(ApiRefusal::Backend(503)),
        ),
        (
            "a page of HTML, stored",
            ApiFault::RefuseAfter(ApiRefusal::Page(502)),
        ),
        ("no id, stored", answer(200, "{}", true)),
        ("no JSON, not stored", answer(200, "<html>", false)),
        ("a redirect, stored", answer(302, "", true)),
    ]
}

/// The first of three imports meets this fault.
fn once_in_the_end(name: &str, id: &str, size: usize, command: &str, fault: ApiFault) {
    let mut env = imports();
    env.set("connections", 1);
    let hits = env.target.api_fault(On::nth(1, command), fault);
    comes(&env, id, &"x".repeat(size));
    comes(&env, "second", "second");
    comes(&env, "third", "third");
    let runs = env.run_until_done(6);
    assert_eq!(hits.count(), 1, "{name}: the fault did not strike");
    println!("{name}: {runs} runs");
    assert_all_once(&env);
    env.assert_nobody_charged();
}

#[test]
fn with_a_name_it_is_there_once() {
    at_a_time(cases(), |(name, fault)| {
        once_in_the_end(name, "first", 10, "IMPORT", fault);
    });
}

#[test]
fn without_a_name_it_is_there_once() {
    at_a_time(cases(), |(name, fault)| {
        once_in_the_end(name, "", 10, "IMPORT", fault);
    });
}

#[test]
fn a_big_one_is_there_once_whatever_it_was_lost_over() {
    let mut all = Vec::new();
    for id in ["first", ""] {
        all.extend(
            cases()
                .into_iter()
                .map(|(name, fault)| (name, id, "UPLOAD", fault)),
        );
        all.push((
            "no session",
            id,
            "START",
            ApiFault::CutAfter { stored: true },
        ));
        all.push((
            "no session, 503",
            id,
            "START",
            ApiFault::Refuse(ApiRefusal::Backend(503)),
        ));
    }
    at_a_time(all, |(name, id, command, fault)| {
        once_in_the_end(name, id, BIG, command, fault);
    });
}

#[test]
fn a_session_that_knows_is_asked_and_no_copy_is_looked_for() {
    let env = imports();
    env.target
        .api_fault(On::nth(1, "UPLOAD"), ApiFault::CutAfter { stored: true });
    comes(&env, "", &"x".repeat(BIG));
    env.run_until_done(3);
    assert_all_once(&env);
    let proof: String = env.one("SELECT proof FROM message");
    assert_eq!(proof, "imported_by_api", "{}", env.dump());
    // The address of a session lets whoever knows it write into it.
    assert_eq!(env.target.api_requests("POST /upload"), 1);
}
