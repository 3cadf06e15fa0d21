//! The program as people have it, with its real intervals and several workers, killed at random moments.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::moments::plant_round;
use crate::testkit::env::TestEnv;
use crate::testkit::one_in;

/// Some seconds each, one after the other.
const ROUNDS: usize = 200;

#[test]
#[ignore = "hundreds of rounds with real intervals, which wait 30 s for what may be done late: two minutes"]
fn the_real_program_killed_at_random_moments() {
    let Some(env) = TestEnv::dovecot() else {
        return;
    };
    let (begun, rounds) = (Instant::now(), ROUNDS / one_in());
    let run = || {
        Command::new(env!("CARGO_BIN_EXE_imap-to-gmail"))
            .args(["run", "--once", "--log", "stderr", "--config"])
            .arg(env.config_file())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    // How long a run takes here that nobody disturbs.
    plant_round(&env.source, 2 * rounds);
    let first = Instant::now();
    assert_eq!(run().wait().unwrap().code(), Some(0), "{}", env.dump());
    // The more waits, the longer it takes until something is sent: the moments are drawn from a time that follows.
    let mut within = 2 * first.elapsed();
    let delivered = || env.one::<i64>("SELECT count(*) FROM message WHERE status = 'delivered'");
    let (mut killed, mut fruitful) = (0, 0);
    for round in 0..rounds {
        plant_round(&env.source, 2 * round);
        plant_round(&env.source, 2 * round + 1);
        let before = delivered();
        let mut child = run();
        // The moment is the point of the test: it is drawn, not awaited.
        thread::sleep(within.mul_f64(fastrand::f64()));
        let alive = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        child.wait().unwrap();
        let fruit = delivered() > before;
        killed += usize::from(alive);
        fruitful += usize::from(alive && fruit);
        within = match (alive, fruit) {
            (false, _) => within.mul_f64(0.8),
            (true, true) => within,
            (true, false) => within.mul_f64(1.15).min(Duration::from_secs(5)),
        };
    }
    let open: i64 = env.one("SELECT count(*) FROM message WHERE status = 'in_flight'");
    let copies = env.delivered().len();
    assert_eq!(run().wait().unwrap().code(), Some(0), "{}", env.dump());
    env.assert_complete();
    println!(
        "the real program: killed {killed} of {rounds} times, {fruitful} times after it had delivered something; \
         then {copies} copies were there and {open} rows in flight; 0 lost, 0 twice of {} in {:.0} s",
        rounds * 14 + 7,
        begun.elapsed().as_secs_f64()
    );
    assert!(
        killed > rounds / 2,
        "only {killed} were killed before their end"
    );
    assert!(
        fruitful > rounds / 10,
        "only {fruitful} had delivered something"
    );
}
