//! Accounts that copy into each other, or forward to each other: no notice is the beginning of many.

use gmail_stand_in::Mail;
use serde_json::json;

use super::{bad, count, env, notices_in, telling};
use crate::testkit::env::TestEnv;
use crate::testkit::route::{Account, Route};

/// The way back of a route: from its target into its source.
fn back(env: &TestEnv) -> Route {
    let mut route = Route::between(Account::on(&env.target), Account::on(&env.source));
    route.set("notices", true);
    route
}

#[test]
fn two_accounts_that_copy_into_each_other_come_to_an_end() {
    let there = telling(TestEnv::build().start());
    let back = back(&there);
    bad(&there, "one");
    there.mail("<good@example.org>", "text");
    for _ in 0..3 {
        there.run();
        back.run();
    }
    // It is in both, once, and each of the two routes knows it.
    assert_eq!(count(&there), (1, 0));
    assert_eq!(notices_in(&there.source).len(), 1);
    assert_eq!(there.source.messages().len(), 3);
    assert_eq!(there.target.messages().len(), 2);
}

#[test]
fn a_notice_that_fails_is_told_of_by_no_other() {
    let there = telling(TestEnv::build().start());
    let back = back(&there);
    bad(&there, "one");
    // What comes back is refused, wherever it goes.
    let refused = || {
        (
            gmail_stand_in::On::each("APPEND").message_with("Subject: Not copied"),
            gmail_stand_in::Fault::AnswerAfterLiteral {
                text: "NO [CANNOT] not this".into(),
                stored: false,
            },
        )
    };
    there.run();
    let (on, fault) = refused();
    there.source.fault(on, fault);
    for _ in 0..3 {
        there.run();
        back.run();
    }
    assert_eq!(count(&there), (1, 0));
    let failed: i64 = back.one("SELECT count(*) FROM message WHERE status = 'failed'");
    assert_eq!(failed, 1, "it is listed: {}", back.dump());
    assert_eq!(back.one::<i64>("SELECT count(*) FROM notice"), 0);
}

#[test]
fn one_that_is_forwarded_to_the_source_is_found_where_it_came_from() {
    let env = env();
    bad(&env, "one");
    env.run();
    let notice = notices_in(&env.target).remove(0).stored.bytes;
    // A forward keeps what names it, and puts lines in front.
    let forwarded = [b"Received: by mx.example.org\r\n".as_slice(), &notice].concat();
    env.source.add(Mail::new(forwarded));
    assert_eq!(env.run().status, 3);
    assert_eq!(count(&env), (1, 0));
    assert_eq!(env.status()["delivered"], json!(1));
}
