//! A tree of 40 mailboxes with 600 messages (3,000, once into each kind of target), some of them in several: all of it is in the
//! target once, with the union of its labels; in a target that is not Gmail, mailbox by mailbox. A second run sends nothing.

use std::ops::Deref;

use crate::testkit::dovecot::{Builder, Dovecot};
use crate::testkit::dovecot_env::{ALICE, BOB};
use crate::testkit::env::TestEnv;
use crate::testkit::labels::{Dues, assert_mailboxes, same_name};
use crate::testkit::route::Route;
use crate::testkit::tree::{DOT, Names, SLASH, Tree};
use crate::testkit::tree_env::{MANY, dotted, source_with};

/// Runs until it is done, and then once more.
fn copy(env: &impl Deref<Target = Route>, tree: &Tree) {
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    let delivered: usize = env.one("SELECT count(*) FROM message WHERE status = 'delivered'");
    assert_eq!(
        delivered,
        tree.copies(),
        "each copy in the source has its row"
    );
    let rows: usize = env.one("SELECT count(*) FROM message");
    assert_eq!(rows, delivered);
    let again = env.run();
    assert_eq!(again.status, 0, "{}", again.err);
    let rows: usize = env.one("SELECT count(*) FROM message");
    assert_eq!(rows, delivered, "the second run found something");
}

#[test]
fn from_a_server_with_everything_into_gmail() {
    let Some(tree) = Tree::whole() else { return };
    let env = TestEnv::of_all(source_with(MANY));
    tree.fill_stand_in(&env.source);
    copy(&env, &tree);
    Dues::of_tree(&tree, same_name).assert_met(&env.target);
    assert_eq!(
        super::appends(&env.target),
        tree.mails.len(),
        "each is sent once"
    );
}

#[test]
fn from_a_server_with_nothing_into_gmail() {
    let Some(tree) = Tree::small() else { return };
    let options = gmail_stand_in::Options::plain("IMAP4rev1").with_names('.', "INBOX.");
    let env = TestEnv::of_all(options);
    tree.fill_stand_in(&env.source);
    copy(&env, &tree);
    Dues::of_tree(&tree, same_name).assert_met(&env.target);
}

fn from_dovecot(source: Builder, names: Names) {
    let Some(tree) = Tree::small() else { return };
    let Some(env) = TestEnv::from_dovecot(source) else {
        return;
    };
    tree.fill_dovecot(&env.source, ALICE, names);
    copy(&env, &tree);
    Dues::of_tree(&tree, same_name).assert_met(&env.target);
    assert_eq!(
        super::appends(&env.target),
        tree.mails.len(),
        "each is sent once"
    );
}

#[test]
fn from_dovecot_with_slashes_into_gmail() {
    from_dovecot(Dovecot::build(), SLASH);
}

#[test]
fn from_dovecot_with_dots_and_a_prefix_into_gmail() {
    from_dovecot(dotted(), DOT);
}

fn to_dovecot(tree: Option<Tree>, target: Builder, names: Names) {
    let Some(tree) = tree else { return };
    let Some(env) = TestEnv::to_dovecot(target) else {
        return;
    };
    tree.fill_stand_in(&env.source);
    copy(&env, &tree);
    assert_mailboxes(&env.target, BOB, &tree, names);
}

#[test]
fn into_dovecot_with_slashes() {
    to_dovecot(Tree::small(), Dovecot::build(), SLASH);
}

#[test]
fn into_dovecot_with_dots_and_a_prefix() {
    to_dovecot(Tree::whole(), dotted(), DOT);
}

#[test]
fn from_one_dovecot_into_another() {
    let Some(tree) = Tree::small() else { return };
    let Some(mut env) = TestEnv::dovecot_with(dotted(), Dovecot::build().xoauth2(true)) else {
        return;
    };
    env.set("folders", serde_json::json!(["*"]));
    tree.fill_dovecot(&env.source, ALICE, DOT);
    copy(&env, &tree);
    assert_mailboxes(&env.target, BOB, &tree, SLASH);
}
