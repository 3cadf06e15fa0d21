//! With how many sessions the target is filled at a time: as many as help, fewer where it has had enough, and more again
//! later. Counted at the server; how the number follows from what is seen is in `engine::workers::tests`.

use std::collections::BTreeSet;
use std::time::Duration;

use gmail_stand_in::{Fault, On, Side};

use crate::testkit::env::TestEnv;
use crate::testkit::eventually;

const FEWER: &str = "going on with fewer connections";

fn env(connections: usize, messages: usize) -> TestEnv {
    let mut env = TestEnv::new();
    env.set("connections", connections);
    env.mails(messages);
    env
}

/// Each APPEND is answered after this time, in each session by itself.
fn takes(env: &TestEnv, ms: u64) {
    let delay = Fault::Delay(Duration::from_millis(ms));
    env.target.fault(On::each("APPEND"), delay);
}

fn assert_well(env: &TestEnv, ran: &crate::testkit::route::Ran) {
    assert_eq!(ran.status, 0, "{}", ran.err);
    env.assert_complete();
    env.assert_nobody_charged();
}

#[test]
fn a_target_that_takes_its_time_is_given_all_connections() {
    let env = env(10, 600);
    takes(&env, 200);
    let ran = env.run();
    assert_well(&env, &ran);
    assert_eq!(env.target.most_signed_in(), 10);
}

/// From four to half as many again, for as long as it takes to see that nothing is gained.
#[test]
fn one_that_does_one_at_a_time_is_not_given_more() {
    let env = env(10, 260);
    let each = Some(Duration::from_millis(40));
    env.target.knobs(|knobs| knobs.one_append_at_a_time = each);
    let ran = env.run();
    assert_well(&env, &ran);
    assert!(
        env.target.most_signed_in() <= 6,
        "{}",
        env.target.most_signed_in()
    );
}

#[test]
fn a_few_messages_need_no_more_sessions_than_before() {
    for (messages, sessions) in [(1, 1), (4, 1), (8, 2), (40, 4)] {
        let env = env(10, messages);
        takes(&env, 20);
        assert_well(&env, &env.run());
        assert_eq!(env.target.most_signed_in(), sessions, "{messages} messages");
    }
}

#[test]
fn who_is_not_let_in_makes_do_with_fewer_and_comes_back_later() {
    let env = env(5, 300);
    takes(&env, 150);
    env.target.knobs(|knobs| knobs.max_connections = 2);
    let child = env.spawn(&[]);
    eventually("the others were refused", || {
        let said = env.target.transcript();
        let refused = said
            .server()
            .iter()
            .filter(|s| s.contains("Too many"))
            .count();
        // Two of them before there was anything to send.
        refused >= 3 && env.target.signed_in() == 2
    });
    env.target.knobs(|knobs| knobs.max_connections = 15);
    eventually("they are let in later", || env.target.signed_in() == 5);
    let ran = crate::testkit::route::ran(child.wait_with_output().unwrap());
    assert_well(&env, &ran);
    assert_eq!(ran.err.matches(FEWER).count(), 1, "{}", ran.err);
}

#[test]
fn a_session_that_is_put_out_as_one_too_many_is_not_missed() {
    let env = env(4, 60);
    let bye = Fault::Bye("Too many simultaneous connections. (Failure)".into());
    let hits = env.target.fault(On::nth(20, "APPEND"), bye);
    takes(&env, 20);
    let ran = env.run();
    assert_eq!(hits.count(), 1);
    assert_well(&env, &ran);
    assert_eq!(ran.err.matches(FEWER).count(), 1, "{}", ran.err);
}

#[test]
fn a_target_short_of_breath_is_filled_through_one_session_in_the_end() {
    let env = env(4, 64);
    env.target
        .knobs(|knobs| knobs.throttled = Some(Duration::ZERO));
    let ran = env.run();
    assert_well(&env, &ran);
    assert_eq!(ran.err.matches(FEWER).count(), 1, "{}", ran.err);
    let said = env.target.transcript();
    let appends = said
        .lines()
        .iter()
        .rev()
        .filter(|line| line.side == Side::Client && line.text.contains(" APPEND "));
    let last: BTreeSet<u32> = appends.take(10).map(|line| line.session).collect();
    assert_eq!(last.len(), 1);
}
