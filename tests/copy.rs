//! The main job against two real servers: every message once, byte for byte, and the ledger right.

mod common;

use common::world::{ALICE, World};
use common::{corpus, world};

#[test]
fn program() {
    world::program();
}

const T0: i64 = 1_700_000_000;

#[test]
fn the_nastiest_mail_arrives_once_and_unaltered() {
    let Some(world) = World::new() else { return };
    let mut mail = corpus::nasty();
    mail.extend(corpus::mail_parser().unwrap_or_default());
    for (i, m) in mail.iter().enumerate() {
        let flags = ["", "S", "FS", "R", "T"][i % 5];
        world
            .source
            .plant(ALICE, &m.bytes, flags, T0 + i as i64 * 1000);
    }
    let ran = world.run();
    println!("{}", ran.err);
    assert_eq!(ran.status, 0, "{}", ran.err);
    world.assert_complete();
}

/// `.ci/run` runs it: some thousand messages take a while.
#[test]
#[ignore = "6,280 messages: run by .ci/run, after tests/corpus.sh"]
fn all_real_mail_arrives_once_and_unaltered() {
    let Some(world) = World::new() else { return };
    let mut mail = corpus::nasty();
    mail.extend(corpus::mail_parser().expect("tests/corpus.sh fetches it"));
    mail.extend(corpus::spam_assassin().expect("tests/corpus.sh fetches it"));
    for (i, m) in mail.iter().enumerate() {
        let flags = ["", "S", "FS", "RS", "D"][i % 5];
        world
            .source
            .plant(ALICE, &m.bytes, flags, T0 + i as i64 * 100);
    }
    assert!(mail.len() > 6_200, "{} messages", mail.len());
    let ran = world.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    world.assert_complete();
    let status = world.status();
    assert_eq!(status["delivered"], mail.len(), "{status}");
}
