//! What the target has already, and messages that look alike: each is recognised, and none is taken for another one.

use super::{DATE, T0, mail};
use crate::testkit::dovecot::Dovecot;
use crate::testkit::dovecot_env::{ALICE, BOB};
use crate::testkit::env::TestEnv;

#[test]
fn what_the_target_has_is_recognised_and_not_sent() {
    let Some(env) = TestEnv::dovecot_with(
        Dovecot::build(),
        Dovecot::build().xoauth2(true).rawlog(true),
    ) else {
        return;
    };
    let here = mail("<here@example.org>", DATE, "the same bytes");
    let fetched = mail("<fetched@example.org>", DATE, "as POP fetch leaves it");
    let with_more = [b"X-Gmail-Fetch-Info: x\r\n", &fetched[..]].concat();
    env.target.append(BOB, "INBOX", &here, "", T0);
    env.target
        .append(BOB, "INBOX", &with_more, "\\Seen", T0 + 86_400 * 300);
    env.source.plant(ALICE, &here, "", T0);
    env.source.plant(ALICE, &fetched, "", T0);
    assert_eq!(env.run().status, 0);
    assert!(!env.target.commands().iter().any(|c| c.contains("APPEND")));
    assert_eq!(env.delivered().len(), 2);
    let found: i64 = env.one("SELECT count(*) FROM message WHERE proof = 'found'");
    assert_eq!(found, 2, "{}", env.dump());
}

#[test]
fn twenty_messages_with_one_message_id_are_twenty() {
    let Some(env) = TestEnv::dovecot() else {
        return;
    };
    let one = |day: usize| {
        mail(
            "<same@example.org>",
            &format!("{day} Nov 2023 22:13:20 +0000"),
            "text",
        )
    };
    env.target.append(BOB, "INBOX", &one(7), "", T0);
    for day in 1..=20 {
        env.source.plant(ALICE, &one(day), "", T0 + day as i64);
    }
    env.run_until_done(1);
    assert_eq!(env.delivered().len(), 20, "{}", env.dump());
    let found: i64 = env.one("SELECT count(*) FROM message WHERE proof = 'found'");
    assert_eq!(found, 1, "{}", env.dump());
}

#[test]
fn other_bytes_under_one_message_id_and_date_are_sent_equal_bytes_once() {
    let Some(env) = TestEnv::dovecot() else {
        return;
    };
    let list = mail("<list@example.org>", DATE, "list copy, with a footer");
    let direct = mail("<list@example.org>", DATE, "direct copy");
    // The older one of the pair is what the target has: the newer must not be taken for it.
    env.target.append(BOB, "INBOX", &list, "", T0);
    env.source.plant(ALICE, &list, "", T0);
    env.source.plant(ALICE, &direct, "", T0 + 10);
    env.source.plant(ALICE, &direct, "", T0 + 10);
    env.run_until_done(1);
    env.assert_complete();
    let proofs: String =
        env.one("SELECT group_concat(proof) FROM (SELECT proof FROM message ORDER BY proof)");
    assert_eq!(proofs, "appended,found,same");
}

#[test]
fn a_message_found_by_name_alone_does_not_swallow_a_later_one() {
    let Some(env) = TestEnv::dovecot() else {
        return;
    };
    let (first, second) = (
        mail("<a@example.org>", DATE, "first"),
        mail("<a@example.org>", DATE, "second, quite another text"),
    );
    env.target.append(BOB, "INBOX", &first, "", T0);
    env.source.plant(ALICE, &first, "", T0);
    env.run_until_done(1);
    env.source.plant(ALICE, &second, "", T0 + 5);
    env.run_until_done(1);
    env.assert_complete();
}

#[test]
fn a_message_found_by_name_alone_is_known_by_its_bytes_later() {
    let Some(env) = TestEnv::dovecot() else {
        return;
    };
    let one = mail("<a@example.org>", DATE, "the one and only");
    env.target.append(BOB, "INBOX", &one, "", T0);
    env.source.plant(ALICE, &one, "", T0);
    env.run_until_done(1);
    // Its owner moves the copy away: only the ledger still knows of it.
    env.target.expunge(BOB, "INBOX", env.delivered()[0].uid);
    env.source.plant(ALICE, &one, "", T0 + 5);
    env.run_until_done(1);
    assert_eq!(env.delivered().len(), 0, "{}", env.dump());
}
