//! Others at work on the same accounts: a second ledger for one route, a second route into one Gmail account. (A second
//! process on one ledger is turned away: `daemon`.)

use std::process::Child;

use gmail_stand_in::{Fault, Gmail, Mail, On, Options};

use crate::testkit::env::{DATE, SOURCE, TestEnv, mail};
use crate::testkit::route::{Account, Route};

/// Another source with a route of its own into the environment's Gmail.
fn second_route(env: &TestEnv, source: &Gmail) -> Route {
    Route::between(Account::on(source), Account::on(&env.target))
}

fn another_source() -> Gmail {
    let mut options = Options::plain(SOURCE);
    options.account = "other@example.net".into();
    Gmail::start(options)
}

fn ended_well(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{log}");
    log
}

#[test]
fn two_ledgers_for_one_route_deliver_each_message_once() {
    for at_once in [false, true] {
        let env = TestEnv::new();
        env.mails(30);
        let other = second_route(&env, &env.source);
        if at_once {
            let (one, two) = (env.spawn(&[]), other.spawn(&[]));
            ended_well(one);
            ended_well(two);
        } else {
            env.run_until_done(1);
            let appends = env.target.transcript().commands("APPEND");
            other.run_until_done(1);
            let after = env.target.transcript().commands("APPEND");
            assert_eq!(appends, after, "the second one finds them");
        }
        env.assert_complete();
        let proofs: i64 = other.one("SELECT count(*) FROM message WHERE status = 'delivered'");
        assert_eq!(proofs, 30, "{}", other.dump());
    }
}

#[test]
fn two_routes_into_one_account_do_not_get_into_each_others_way() {
    for at_once in [false, true] {
        let env = TestEnv::new();
        let second = another_source();
        let other = second_route(&env, &second);
        for i in 0..20 {
            // Sent to both addresses; each has mail of its own; one list copy differs from the other.
            let both = env.mail(&format!("<both{i}@x>"), "for both");
            second.add(Mail::new(both));
            env.mail(&format!("<one{i}@x>"), "for the one");
            second.add(Mail::new(mail(
                &format!("<two{i}@x>"),
                DATE,
                "for the other",
            )));
            env.source
                .add(Mail::new(mail("", DATE, &format!("nameless {i}"))));
            second.add(Mail::new(mail("", DATE, &format!("nameless too {i}"))));
        }
        // Answers are lost on the way, and each looks for its own.
        let stored = true;
        for n in [3, 9, 20] {
            env.target
                .fault(On::nth(n, "APPEND"), Fault::CutAfterLiteral { stored });
        }
        if at_once {
            let (one, two) = (env.spawn(&[]), other.spawn(&[]));
            ended_well(one);
            ended_well(two);
        } else {
            env.run_until_done(1);
            other.run_until_done(1);
        }
        assert_eq!(env.target.messages().len(), 100, "{at_once}");
        for route in [&*env, &other] {
            let delivered: i64 =
                route.one("SELECT count(*) FROM message WHERE status = 'delivered'");
            assert_eq!(delivered, 60, "{}", route.dump());
        }
        // What the owner deletes comes back through neither.
        for message in env.target.messages().iter().take(50) {
            env.target.delete(message.id);
        }
        second.renumber("INBOX", 9);
        env.run_until_done(1);
        other.run_until_done(1);
        assert_eq!(env.target.messages().len(), 50);
    }
}
