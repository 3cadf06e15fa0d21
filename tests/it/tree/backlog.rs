//! A backlog of years in one mailbox, into a target that takes half a second for each message, holds up no new mail of
//! another. What goes before it is counted, with room for a machine that is slow.

use std::time::Duration;

use gmail_stand_in::{Fault, Mail, On};

use super::{labels_of, letter, put};
use crate::testkit::env::TestEnv;
use crate::testkit::eventually;
use crate::testkit::tree_env::{MANY, Running, source_with};

const BACKLOG: usize = 5000;
/// Half a second each, over three connections: ten seconds.
const BEFORE_IT: usize = 60;
/// Besides, what is sent between two looks, which are four seconds apart in tests.
const BETWEEN_LOOKS: usize = 30;

/// How many messages are sent between the arrival of one in this mailbox and its own APPEND.
fn sent_before(capabilities: &str, mailbox: &str, label: &str) -> usize {
    let env = TestEnv::of_all(source_with(capabilities));
    let old = chrono::DateTime::parse_from_rfc3339("2015-01-01T00:00:00Z").unwrap();
    for n in 0..BACKLOG {
        let at = old + Duration::from_secs(3600 * n as u64);
        let mailbox = if n % 2 == 0 { "Alt" } else { "Alt/Listen" };
        env.source.add(
            Mail::new(letter(&format!("{n}")))
                .in_mailbox(mailbox)
                .at(at),
        );
    }
    for name in ["Neu", "Ruhig"] {
        env.source.create(name);
    }
    env.target
        .fault(On::each("APPEND"), Fault::Delay(Duration::from_millis(500)));
    let _running = Running::start(&env);
    eventually("all of the backlog is known", || {
        env.status_soon()["pending"].as_u64().unwrap_or(0) > BACKLOG as u64 * 9 / 10
    });
    eventually("and is under way", || env.target.messages().len() > 5);
    let before = env.target.lines();
    let mail = put(&env.source, "the-new-one", &[mailbox]);
    eventually("the new message is there", || {
        labels_of(&env.target, &mail).is_some()
    });
    assert_eq!(labels_of(&env.target, &mail).unwrap(), [label]);
    // It was stored before it was answered: those that were begun later are among these, too.
    let sent = env.target.transcript().after(before).commands(" APPEND ");
    println!("{sent} messages went before the new one in {mailbox}, `{capabilities}`");
    assert!(
        env.target.messages().len() < BACKLOG / 10,
        "the backlog was no backlog"
    );
    sent
}

#[test]
fn new_mail_in_inbox_goes_before_the_backlog() {
    let sent = sent_before("", "INBOX", "\\Inbox");
    assert!(sent <= BEFORE_IT, "{sent} messages went before the new one");
}

#[test]
fn and_in_a_mailbox_that_the_server_tells_of() {
    let sent = sent_before(&format!("{MANY} NOTIFY"), "Neu", "Neu");
    assert!(sent <= BEFORE_IT, "{sent} messages went before the new one");
}

#[test]
fn and_in_one_that_is_looked_at_in_intervals() {
    let sent = sent_before(MANY, "Neu", "Neu");
    assert!(
        sent <= BETWEEN_LOOKS + BEFORE_IT,
        "{sent} messages went before the new one"
    );
}
