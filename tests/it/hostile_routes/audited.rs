//! An audit of a source that does not tell of all that it holds: what it leaves out is not said to be gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use super::found::from;
use super::left_out::leaves_out;
use super::oddity::Oddity;
use crate::testkit::env::TestEnv;

fn audit(env: &TestEnv) -> (i32, Value) {
    let ran = env.command(&["audit", "--config", "config.json", "--json"]);
    let json: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    (ran.status, json["routes"][0].clone())
}

#[test]
fn what_is_left_out_of_a_list_is_not_said_to_have_left() {
    let left = Arc::new(AtomicU32::new(0));
    let odd = Oddity::new(leaves_out(3, &left));
    for n in 1..6 {
        odd.mail(&format!("text {n}"));
    }
    let env = from(&odd);
    env.run_until_done(1);
    left.store(u32::MAX, Ordering::SeqCst);
    let (status, route) = audit(&env);
    assert_eq!(status, 1, "{route:#}");
    let trouble = &route["folders"][0]["trouble"]["message"];
    let words = "the source tells of 4 of the 5 messages that it says INBOX holds";
    assert_eq!(trouble, words);
    assert_eq!(route["classes"]["delivered"], 5);
    assert_eq!(route["classes"]["left_source"], 0);
    assert_eq!(route["accounted_for"], false);
    // Once is chance.
    left.store(1, Ordering::SeqCst);
    let (status, route) = audit(&env);
    assert_eq!(status, 0, "{route:#}");
    assert_eq!(left.load(Ordering::SeqCst), 0, "it was left out");
}
