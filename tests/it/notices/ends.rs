//! What becomes of a notice when the target refuses it, answers late or not at all, or is away: it is there once, and no
//! message is held up.

use std::time::Duration;

use gmail_stand_in::{Fault, OVERQUOTA, On, SYSTEM_ERROR};

use super::{FIELD, Running, all_is_told, bad, count, env, hours_pass, log_of};
use crate::testkit::env::TestEnv;
use crate::testkit::{at_a_time, eventually};

fn on_notices() -> On {
    On::each("APPEND").message_with(FIELD)
}

fn after(text: &str, stored: bool) -> Fault {
    Fault::AnswerAfterLiteral {
        text: text.into(),
        stored,
    }
}

fn status_of_notice(env: &TestEnv) -> String {
    env.one("SELECT group_concat(status) FROM notice")
}

#[test]
fn an_end_that_nobody_saw_is_looked_for_and_it_is_there_once() {
    let bye = |stored| Fault::ByeAfterLiteral {
        text: "so long".into(),
        stored,
    };
    let cases = [
        ("cut, stored", Fault::CutAfterLiteral { stored: true }),
        ("cut, not stored", Fault::CutAfterLiteral { stored: false }),
        ("late", Fault::CommitLate(Duration::from_millis(150))),
        ("BYE, stored", bye(true)),
        ("BYE, not stored", bye(false)),
        ("temporary NO, stored", after(SYSTEM_ERROR, true)),
        ("temporary NO, not stored", after(SYSTEM_ERROR, false)),
        ("throttled, stored", after(&format!("NO {OVERQUOTA}"), true)),
    ];
    let cases = cases.into_iter().flat_map(|case| {
        // Also where it is not Gmail, which would merge two of them.
        [
            (case.clone(), true, true),
            (case.clone(), true, false),
            (case, false, true),
        ]
    });
    at_a_time(cases.collect(), |((name, fault), gmail, once)| {
        let case = format!("{name}, Gmail {gmail}, once {once}");
        let builder = TestEnv::build();
        let builder = if gmail {
            builder
        } else {
            builder.plain_target()
        };
        let env = super::telling(builder.start());
        env.target.fault(
            On::each("APPEND").message_with("refuse me"),
            after("NO [CANNOT] not this", false),
        );
        let hits = env.target.fault(on_notices().times(1), fault);
        env.mail("<x@example.org>", "refuse me");
        env.mail("<good@example.org>", "text");
        if once {
            let ran = env.run();
            assert_eq!(ran.status, 3, "{case}: {}", ran.err);
            for _ in 0..3 {
                hours_pass(&env, 1);
                env.run();
            }
        } else {
            let _running = Running::start(&env);
            eventually(&case, || env.held().len() == 2 && all_is_told(&env));
        }
        assert_eq!(hits.count(), 1, "{case}");
        assert_eq!(count(&env), (1, 0), "{case}: {}", status_of_notice(&env));
        assert_eq!(env.held().len(), 2, "{case}");
        assert!(all_is_told(&env), "{case}: {}", status_of_notice(&env));
        assert_eq!(env.status()["delivered"], 1, "{case}");
    });
}

#[test]
fn a_run_that_ends_by_itself_sees_what_became_of_it() {
    let env = env();
    env.target.fault(
        on_notices().times(1),
        Fault::CutAfterLiteral { stored: false },
    );
    bad(&env, "one");
    assert_eq!(env.run().status, 3);
    assert_eq!(count(&env), (1, 0), "it was sent once more in the same run");
    assert!(all_is_told(&env));
}

#[test]
fn one_that_is_refused_for_good_is_given_up_and_said() {
    let env = env();
    let hits = env
        .target
        .fault(on_notices(), after("NO [CANNOT] not such mail", false));
    env.mail("<good@example.org>", "text");
    bad(&env, "one");
    let ran = env.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    assert!(ran.err.contains("[CANNOT] not such mail"), "{}", ran.err);
    assert!(
        ran.err.contains("`imap-to-gmail status --failed` lists it"),
        "{}",
        ran.err
    );
    assert_eq!(env.status()["delivered"], 1);
    assert_eq!(status_of_notice(&env), "given_up");
    hours_pass(&env, 9);
    assert_eq!(env.run().status, 3);
    assert_eq!(hits.count(), 1, "it is not tried again");
}

#[test]
fn one_that_is_refused_for_now_is_tried_again_but_not_for_ever() {
    let env = env();
    let hits = env
        .target
        .fault(on_notices().times(2), after(SYSTEM_ERROR, false));
    bad(&env, "one");
    env.run();
    assert_eq!(status_of_notice(&env), "waiting");
    hours_pass(&env, 1);
    env.run();
    assert_eq!(
        (status_of_notice(&env), hits.count()),
        ("waiting".into(), 2)
    );
    hours_pass(&env, 1);
    env.run();
    assert_eq!(count(&env), (1, 0));
    // Refused again and again for as long as a message would be.
    env.target.fault(on_notices(), after(SYSTEM_ERROR, false));
    bad(&env, "two");
    env.run();
    env.sql()
        .execute_batch(
            "UPDATE notice SET first_refused_at = '2024-01-01T00:00:00Z' WHERE status = 'waiting'",
        )
        .unwrap();
    hours_pass(&env, 1);
    env.run();
    assert_eq!(status_of_notice(&env), "told,given_up");
}

#[test]
fn an_account_that_is_full_holds_up_nothing_and_is_told_later() {
    let env = env();
    let full = "NO [OVERQUOTA] the mailbox is full";
    env.target.fault(
        on_notices(),
        Fault::AnswerAfterLiteral {
            text: full.into(),
            stored: false,
        },
    );
    env.mail("<good@example.org>", "text");
    bad(&env, "one");
    let ran = env.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    assert_eq!(env.status()["delivered"], 1);
    assert_eq!(env.status()["trouble"], serde_json::Value::Null);
    // However long that lasts.
    env.sql()
        .execute_batch("UPDATE notice SET made_at = '2024-01-01T00:00:00Z'")
        .unwrap();
    hours_pass(&env, 1);
    assert_eq!(env.run().status, 3);
    assert_eq!(status_of_notice(&env), "waiting");
    env.target.clear_faults();
    hours_pass(&env, 1);
    assert_eq!(env.run().status, 3);
    assert_eq!(count(&env), (1, 0));
}

#[test]
fn while_the_target_dies_over_each_of_them_mail_flows() {
    let env = env();
    // Not even a message that goes through the same session a moment later.
    env.target
        .fault(on_notices(), Fault::CutAfterLiteral { stored: false });
    let _running = Running::start(&env);
    for n in 0..3 {
        bad(&env, &format!("bad{n}"));
        env.mail(&format!("<good{n}@example.org>"), "text");
        eventually("mail flows", || env.held().len() == n + 1);
    }
    env.target.clear_faults();
    eventually("they are told of", || count(&env) == (3, 0));
    eventually("and settled", || all_is_told(&env));
    let troubles: i64 = env.one("SELECT count(trouble) FROM heartbeat");
    assert_eq!(
        troubles,
        0,
        "{}",
        std::fs::read_to_string(log_of(&env)).unwrap()
    );
}

#[test]
fn a_target_that_is_away_is_waited_for() {
    let env = env();
    env.mail("<good@example.org>", "text");
    env.run();
    bad(&env, "one");
    let _running = Running::start(&env);
    // Whoever knocks is sent away, from the notice on.
    env.target.fault(
        on_notices().times(1),
        Fault::CutAfterLiteral { stored: false },
    );
    eventually("the message failed", || {
        env.one::<i64>("SELECT count(*) FROM message WHERE status = 'failed'") == 1
    });
    let hits = env.target.fault(On::each("CONNECT"), Fault::CutBefore);
    eventually("it is away", || hits.count() > 3 || count(&env) == (1, 0));
    env.target.clear_faults();
    eventually("it is told of", || {
        count(&env) == (1, 0) && all_is_told(&env)
    });
}

#[test]
fn one_that_a_person_sees_to_in_time_is_not_told_of() {
    let env = env();
    env.target.fault(
        on_notices(),
        after("NO [OVERQUOTA] the mailbox is full", false),
    );
    bad(&env, "one");
    env.run();
    assert_eq!(status_of_notice(&env), "waiting");
    let ledger = env.ledger_file();
    let skip = [
        "retry-failed",
        "--skip",
        "--state-file",
        ledger.to_str().unwrap(),
    ];
    assert_eq!(env.command(&skip).status, 0);
    env.target.clear_faults();
    hours_pass(&env, 1);
    assert_eq!(env.run().status, 0);
    assert_eq!(count(&env), (0, 0));
    assert_eq!(status_of_notice(&env), "withdrawn");
}
