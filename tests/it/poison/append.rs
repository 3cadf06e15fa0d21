//! A message at whose APPEND the target ends the connection, each time.

use gmail_stand_in::{Fault, Mail, On};

use super::others_charged;
use crate::testkit::env::{DATE, TestEnv, mail};
use crate::testkit::{at_a_time, eventually};

const POISON: &str = "<poison@example.org>";

/// Twenty messages, and one that is over 4,096 bytes, so that its literal waits to be asked for.
fn prepared(newest: bool) -> TestEnv {
    let mut env = TestEnv::new();
    env.set("connections", 1);
    let poison = Mail::new(mail(POISON, DATE, &"poison ".repeat(1000)));
    if !newest {
        env.source.add(poison.clone());
    }
    env.mails(20);
    if newest {
        env.source.add(poison);
    }
    env
}

#[test]
fn it_fails_with_the_servers_words_and_the_rest_goes_at_once() {
    let invalid = "Invalid character in literal";
    let line = || On::each("APPEND").line_with("{71");
    let message = || On::each("APPEND").message_with("poison ");
    let stored = false;
    let cases = [
        (
            "BYE after it",
            message(),
            Fault::Bye(invalid.into()),
            invalid,
        ),
        (
            "BYE for no reason",
            message(),
            Fault::Bye("".into()),
            "closed the connection",
        ),
        (
            "cut after it",
            message(),
            Fault::CutAfterLiteral { stored },
            "connection",
        ),
        (
            "BYE at its command",
            line(),
            Fault::Bye(invalid.into()),
            invalid,
        ),
        ("cut at its command", line(), Fault::CutBefore, "connection"),
        (
            "BYE after the +",
            line(),
            Fault::ByeAfterGoAhead(invalid.into()),
            "connection",
        ),
        (
            "cut within it",
            line(),
            Fault::CutInLiteral(1000),
            "connection",
        ),
    ];
    let cases = cases.into_iter();
    let cases = cases.flat_map(|case| [(case.clone(), true), (case, false)]);
    at_a_time(cases.collect(), |((name, on, fault, words), newest)| {
        let env = prepared(newest);
        let hits = env.target.fault(on.clone(), fault.clone());
        let ran = env.run();
        let case = format!("{name}, {newest}: {}\n{}", ran.err, env.dump());
        assert_eq!(ran.status, 3, "{case}");
        assert_eq!(env.held().len(), 20, "{case}");
        // Once among others, then alone: once where its bytes were sent, else twice.
        let tries = match name {
            "BYE at its command" | "cut at its command" => 3..=3,
            // How much of it was sent is a matter of moments.
            "BYE after the +" => 2..=3,
            _ => 2..=2,
        };
        assert!(tries.contains(&hits.count()), "{} {case}", hits.count());
        assert_eq!(others_charged(&env, POISON), 0, "{case}");
        let sessions = env
            .target
            .transcript()
            .lines()
            .iter()
            .map(|l| l.session)
            .max();
        // Three that deliver; the others look for what was left open, more or less often.
        assert!(sessions.unwrap() <= 9, "{sessions:?} {case}");
        if !newest {
            return;
        }
        // Alone it may as well be the connection's fault: that others get through tells.
        for _ in 0..2 {
            env.run();
        }
        assert_eq!(env.status()["failed"], 0, "{case}");
        let mut n = 0;
        eventually("the poison is given up", || {
            n += 1;
            env.mail(&format!("<later{n}@example.org>"), "takes no harm");
            assert_eq!(env.run().status, 3);
            env.status()["failed"] == 1
        });
        let reason: String = env.one("SELECT last_error FROM message WHERE status = 'failed'");
        assert!(reason.contains(words), "{name}: {reason}");
        env.target.clear_faults();
        assert_eq!(env.command(&["retry-failed"]).status, 0);
        env.run_until_done(1);
        env.assert_complete();
    });
}
