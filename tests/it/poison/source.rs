//! The source cannot hand over a message, or none at all.

use std::time::Instant;

use gmail_stand_in::{Fault, Gmail, Harm, Mail, On, Reach};

use super::{others_charged, until_failed, until_given_up};
use crate::testkit::at_a_time;
use crate::testkit::env::{DATE, TestEnv, mail};

const POISON: &str = "<poison@example.org>";

/// So many messages, with one that cannot be had in their middle.
fn env_of(count: usize, poison: Option<(Reach, Harm)>) -> (TestEnv, Option<u64>) {
    let env = TestEnv::new();
    let mut id = None;
    for i in 0..count {
        env.mail(&format!("<{i}@example.org>"), &format!("text {i}"));
        if let Some((reach, harm)) = poison.clone().filter(|_| i == count / 2) {
            let poison = env
                .source
                .add(Mail::new(mail(POISON, DATE, "nobody reads this")));
            env.source.poison(poison, reach, harm);
            id = Some(poison);
        }
    }
    (env, id)
}

/// Sessions and round trips that a server saw.
fn cost(server: &Gmail) -> (u32, usize) {
    let transcript = server.transcript();
    let sessions = transcript.lines().iter().map(|l| l.session).max();
    (sessions.unwrap_or(0), transcript.flights())
}

/// APPENDs, and the lines of all other commands.
fn commands(server: &Gmail) -> (usize, usize) {
    let transcript = server.transcript();
    let appends = transcript.commands(" APPEND ");
    (appends, transcript.client().len() - appends)
}

#[test]
fn one_among_two_hundred_holds_up_nobody() {
    let (plain, _) = env_of(199, None);
    let begun = Instant::now();
    assert_eq!(plain.run().status, 0);
    let usual = (begun.elapsed(), cost(&plain.source), cost(&plain.target));
    let usual_commands = commands(&plain.target);
    for (name, reach, harm) in [
        ("body: cut", Reach::Body, Harm::Cut),
        ("body: BYE", Reach::Body, Harm::Bye("Internal error".into())),
        (
            "body: NO",
            Reach::Body,
            Harm::Answer("NO [SERVERBUG] Internal error".into()),
        ),
        ("body: garbled", Reach::Body, Harm::Garbled),
        ("body: silence", Reach::Body, Harm::Silence),
        ("header: cut", Reach::Header, Harm::Cut),
        (
            "header: BAD",
            Reach::Header,
            Harm::Answer("BAD oops".into()),
        ),
        ("anything: cut", Reach::Anything, Harm::Cut),
    ] {
        let (env, _) = env_of(199, Some((reach, harm)));
        let begun = Instant::now();
        let ran = env.run();
        let took = begun.elapsed();
        assert_eq!(ran.status, 3, "{name}: {}", ran.err);
        assert_eq!(env.held().len(), 199, "{name}: {}", ran.err);
        let charged: i64 = env.one(
            "SELECT count(*) FROM message WHERE first_failed_at IS NOT NULL AND status = 'pending'",
        );
        assert_eq!(charged, 1, "{name}: {}", env.dump());
        assert_eq!(others_charged(&env, POISON) - nameless(&env), 0, "{name}");
        let tried_again: i64 =
            env.one("SELECT count(*) FROM message WHERE status = 'delivered' AND attempt > 1");
        assert_eq!(tried_again, 0, "{name}: {}", env.dump());
        let (source, gmail) = (cost(&env.source), cost(&env.target));
        println!(
            "{name}: {:.2} of the time without poison; (sessions, round trips) at the source {source:?}, usually {:?}; at Gmail {gmail:?}, usually {:?}",
            took.as_secs_f64() / usual.0.as_secs_f64(),
            usual.1,
            usual.2
        );
        // Halved down to one, which is asked for three times: in the listing and again with the bodies.
        assert!(source.0 <= usual.1.0 + 32, "{name}: {source:?} {usual:?}");
        assert!(
            source.1 <= usual.1.1 + 32 * 6,
            "{name}: {source:?} {usual:?}"
        );
        assert!(gmail.0 <= usual.2.0, "{name}: {gmail:?} {usual:?}");
        // Round trips depend on how fast the answers come, since with that more messages are on their way at a time; so does how
        // many batches there are, each of which looks and verifies with a dozen commands: three more may come.
        let commands = commands(&env.target);
        assert_eq!(commands.0, usual_commands.0, "{name}");
        assert!(
            commands.1 <= usual_commands.1 + 40,
            "{name}: {commands:?} {usual_commands:?}"
        );
    }
}

/// 1 where the poison's own row has no name.
fn nameless(env: &TestEnv) -> i64 {
    env.one("SELECT count(*) FROM message WHERE message_id IS NULL")
}

#[test]
fn it_is_given_up_with_its_reason_and_arrives_when_it_is_cured() {
    for (reach, harm, words) in [
        (
            Reach::Body,
            Harm::Answer("NO [SERVERBUG] Internal error".into()),
            "[SERVERBUG] Internal error",
        ),
        (Reach::Header, Harm::Cut, "connection"),
        (Reach::Body, Harm::Silence, "does not hand it over"),
    ] {
        let (env, id) = env_of(9, Some((reach, harm)));
        let reason = until_failed(&env);
        assert!(reason.contains(words), "{reason}");
        assert_eq!(env.held().len(), 9);
        env.source.cure(id.unwrap());
        assert_eq!(env.command(&["retry-failed"]).status, 0);
        env.run_until_done(1);
        env.assert_complete();
    }
}

#[test]
fn several_that_are_all_that_is_left_are_given_up_all_the_same() {
    let env = TestEnv::new();
    env.mails(3);
    env.run_until_done(1);
    for i in 0..3 {
        let bytes = mail(&format!("<poison{i}@example.org>"), DATE, "unread");
        let id = env.source.add(Mail::new(bytes));
        env.source.poison(id, Reach::Body, Harm::Cut);
    }
    until_given_up(&env, 3);
}

#[test]
fn a_source_that_breaks_down_within_a_batch_charges_nobody() {
    let mut env = TestEnv::new();
    env.set("connections", 1);
    env.mails(15);
    let id = env.source.add(Mail::new(mail(POISON, DATE, "unread")));
    env.source.poison(id, Reach::Body, Harm::Cut);
    for i in 15..19 {
        env.mail(&format!("<{i}@example.org>"), "text");
    }
    // Some of the first batch come, then nothing does.
    let bodies = On::nth(2, "UID FETCH")
        .line_with("BODY.PEEK[])")
        .times(9999);
    let no = Fault::Answer("NO [SERVERBUG] Internal error".into());
    let asked = env.source.fault(bodies, no);
    let ran = env.run();
    assert!(asked.count() > 0);
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert_eq!(others_charged(&env, ""), 0, "{}", env.dump());
    env.source.clear_faults();
    assert_eq!(env.run().status, 3);
    assert_eq!(env.held().len(), 19, "{}", env.dump());
    assert_eq!(others_charged(&env, POISON), 0, "{}", env.dump());
}

#[test]
fn a_first_batch_of_nothing_else_holds_up_nobody() {
    for harm in [Harm::Cut, Harm::Silence] {
        let env = TestEnv::new();
        env.mails(2);
        for i in 0..2 {
            let bytes = mail(&format!("<poison{i}@example.org>"), DATE, "unread");
            let id = env.source.add(Mail::new(bytes));
            env.source.poison(id, Reach::Body, harm.clone());
        }
        let ran = env.run();
        assert_eq!(ran.status, 3, "{harm:?}: {}", ran.err);
        assert_eq!(env.held().len(), 2, "{harm:?}: {}", env.dump());
    }
}

#[test]
fn a_source_that_hands_over_nothing_charges_nobody() {
    let faults = [
        Fault::Answer("NO [SERVERBUG] Internal error".into()),
        Fault::CutBefore,
        Fault::Answer("OK nothing for you".into()),
    ];
    let cases = faults.into_iter();
    let cases = cases.flat_map(|fault| [(fault.clone(), 0), (fault, 5)]);
    at_a_time(cases.collect(), |(fault, delivered_before)| {
        let env = TestEnv::new();
        env.mails(delivered_before);
        env.run_until_done(1);
        for i in 0..40 {
            env.mail(&format!("<later{i}@example.org>"), "text");
        }
        let bodies = || On::each("UID FETCH").line_with("BODY.PEEK[])");
        let asked = env.source.fault(bodies(), fault.clone());
        let ran = env.run();
        assert_eq!(ran.status, 1, "{fault:?}: {}", ran.err);
        assert!(
            ran.err.contains("not one message can be had now"),
            "{}",
            ran.err
        );
        assert_eq!(others_charged(&env, ""), 0, "{}", env.dump());
        assert_eq!(env.status()["pending"], 40);
        assert_eq!(env.status()["trouble"]["kind"], "transient");
        let runs = ran.err.matches("trying again").count() + 1;
        println!("{fault:?}: asked {} times in {runs} tries", asked.count());
        // One worker after the other finds it out: halving, three times alone, five others.
        assert!(asked.count() <= runs * 3 * 20, "{}", asked.count());
        env.source.clear_faults();
        env.run_until_done(1);
        env.assert_complete();
    });
}
