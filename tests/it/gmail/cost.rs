//! What a run costs: round trips, memory. Counted, not timed.

use std::fs;

use gmail_stand_in::Mail;

use crate::testkit::env::{DATE, TestEnv, mail};

#[test]
fn a_new_message_costs_the_same_in_a_large_account() {
    let mut costs = Vec::new();
    for held in [10, 20_000] {
        let env = TestEnv::new();
        for i in 0..held {
            env.target.add(Mail::new(mail(
                &format!("<held{i}@x>"),
                DATE,
                "there before",
            )));
        }
        env.mail("<first@x>", "fills the index");
        env.run_until_done(1);
        let (source, gmail) = (env.source.lines(), env.target.lines());
        env.mail("<second@x>", "the one that counts");
        env.run_until_done(1);
        let source = env.source.transcript().after(source);
        let gmail = env.target.transcript().after(gmail);
        costs.push((source.flights(), gmail.flights()));
        assert!(gmail.flights() <= 12, "{gmail}");
        let before = env.target.lines();
        env.run_until_done(1);
        // With nothing new Gmail is asked whether it still lets us in, and nothing else: `sign_in` counts it.
        let gmail = env.target.transcript().after(before);
        assert_eq!(gmail.commands("AUTHENTICATE"), 1, "{gmail}");
        assert_eq!(gmail.commands("FETCH"), 0, "{gmail}");
    }
    assert_eq!(costs[0], costs[1], "flights to (source, Gmail)");
}

#[test]
fn looking_and_verifying_cost_a_constant_per_batch() {
    let mut costs = Vec::new();
    for n in [10, 40] {
        let mut env = TestEnv::new();
        env.set("connections", 1);
        env.mails(n);
        env.run_until_done(1);
        let gmail = env.target.transcript();
        assert_eq!(gmail.commands("APPEND"), n);
        assert_eq!(
            env.source.transcript().commands("BODY.PEEK[])"),
            2,
            "bodies by the batch"
        );
        // Lines that begin with a tag; literals have lines of their own.
        let commands = gmail.client().iter().filter(|l| l.starts_with('a')).count();
        costs.push(commands - n);
    }
    // What became of those that were answered by then is asked along with the look for the next batch: EXAMINE, FETCH, and
    // the bytes of a sample.
    assert!(costs[0].abs_diff(costs[1]) <= 6, "{costs:?}");
    assert!(costs.iter().all(|cost| *cost <= 36), "{costs:?}");
}

#[test]
fn the_largest_message_that_gmail_takes_goes_and_one_byte_more_does_not() {
    const LIMIT: usize = 35_651_584;
    let env = TestEnv::new();
    let head = mail("<limit@x>", DATE, "").len();
    for (id, size) in [("<limit@x>", LIMIT), ("<above@x>", LIMIT + 1)] {
        let line = "0123456789".repeat(7) + "\r\n";
        let mut text = line.repeat((size - head) / line.len());
        text.push_str(&"x".repeat(size - head - text.len()));
        assert_eq!(env.mail(id, &text).len(), size);
    }
    let ran = env.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    assert_eq!(env.held().len(), 1);
    assert_eq!(env.held()[0].bytes.len(), LIMIT);
    let failed = env.command(&["status", "--failed"]).out;
    assert!(
        failed.contains("the message has 35651585 bytes, the target takes at most 35651584"),
        "{failed}"
    );
    assert_eq!(
        env.target.transcript().commands("APPEND"),
        1,
        "what is too big is not tried"
    );
    let peak: u64 = fs::read_to_string(env.dir.path().join("peak"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    println!("peak memory with 34 MB under way: {} MB", peak / 1024);
    assert!(peak < 200 * 1024, "{peak} kB");
}
