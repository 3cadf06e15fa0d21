//! UIDs of the source that go back, jump, come late or change their meaning, and mailboxes that are away for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::found::{Running, assert_held, from, held};
use super::oddity::Oddity;
use crate::testkit::eventually;

pub(super) const DATE: &str = "14-Nov-2023 22:13:20 +0000";

pub(super) fn named(name: &str, text: &str) -> Vec<u8> {
    let name = match name {
        "" => String::new(),
        name => format!("Message-ID: <{name}@uids>\r\n"),
    };
    format!("From: Ann <ann@example.org>\r\n{name}Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\n{text}\r\n").into_bytes()
}

/// The server's store comes from a backup: new mail has the UIDs of messages that we know, and UIDNEXT is past
/// them again before we look.
#[test]
fn a_source_that_was_restored_gives_old_uids_to_new_mail() {
    let odd = Oddity::plain();
    let mut mails: Vec<Vec<u8>> = (1..6).map(|n| odd.mail(&format!("text {n}"))).collect();
    let env = from(&odd);
    env.run_until_done(1);
    for uid in 4..8 {
        let bytes = named(&format!("new-{uid}"), "after the backup");
        odd.put(uid, &bytes, DATE);
        mails.push(bytes);
    }
    env.run_until_done(1);
    assert_held(&env, &mails);
}

/// Of two messages that come together the one with the higher UID is visible first.
#[test]
fn a_lower_uid_may_become_visible_after_a_higher_one() {
    let odd = Oddity::plain();
    let mut mails = vec![odd.mail("one")];
    let env = from(&odd);
    let running = Running::new(env.spawn_for_good(&["--poll-interval", "1"]));
    eventually("the first is delivered", || held(&env).len() == 1);
    for uid in [9, 8, 4] {
        let bytes = named(&format!("late-{uid}"), "x");
        odd.put(uid, &bytes, DATE);
        mails.push(bytes);
        eventually("it is delivered", || held(&env).len() == mails.len());
    }
    running.end();
    assert_held(&env, &mails);
}

/// Courier under EXAMINE: what comes takes a UID that another message had, and pushes that one up, while
/// UIDVALIDITY stays.
#[test]
fn a_message_that_pushes_others_up_is_delivered_and_none_of_them_twice() {
    for names in [true, false] {
        // Each session goes on with the numbers that there were when it opened the mailbox.
        let odd = Oddity::new(|talk, _, command| {
            if command.starts_with("EXAMINE") {
                talk.freeze();
            }
            false
        });
        let name = |n: &str| if names { n.to_string() } else { String::new() };
        let pushed = named(&name("pushed"), "was here before");
        let mut mails = vec![odd.mail("one"), pushed.clone()];
        odd.put(2, &pushed, DATE);
        let env = from(&odd);
        let running = Running::new(env.spawn_for_good(&["--poll-interval", "1"]));
        eventually("both are delivered", || held(&env).len() == 2);
        let new = named(
            &name("new"),
            "comes with an earlier name and has more of a text",
        );
        odd.put_together(&[(2, &new, "15-Nov-2023 01:02:03 +0000"), (3, &pushed, DATE)]);
        mails.push(new);
        eventually("it is delivered", || held(&env).len() == 3);
        let charged: i64 =
            env.one("SELECT count(*) FROM message WHERE last_error IS NOT NULL OR attempt > 1");
        assert_eq!(charged, 0, "{}", env.dump());
        running.end();
        assert_held(&env, &mails);
    }
}

/// The store of the server is not mounted for a while: an empty mailbox stands in its place. Mail waits
/// meanwhile, since the target is away.
#[test]
fn mail_that_waits_while_its_mailbox_is_away_is_delivered_when_it_is_back() {
    let odd = Oddity::plain();
    let mails: Vec<Vec<u8>> = (1..4).map(|n| odd.mail(&format!("text {n}"))).collect();
    let mut env = from(&odd);
    let pass = env.target.password().to_string();
    env.set("target_pass", "wrong");
    assert_eq!(env.run().status, 4);
    let before = odd.take_all();
    odd.validity("2");
    assert_eq!(
        env.run().status,
        4,
        "there is nothing to send, and no way in"
    );
    let gone: i64 = env.one("SELECT count(*) FROM message WHERE status = 'gone'");
    assert_eq!(gone, 3, "{}", env.dump());
    odd.give_back(before);
    odd.validity("1");
    env.set("target_pass", pass);
    env.run_until_done(1);
    assert_held(&env, &mails);
    let rows: i64 = env.one("SELECT count(*) FROM message");
    assert_eq!(rows, 3, "{}", env.dump());
}

/// The mailbox was moved to another server, which has other dates and sizes for the same messages.
#[test]
fn what_is_known_by_name_is_not_sent_again_from_another_server() {
    let odd = Oddity::plain();
    let mails: Vec<Vec<u8>> = (1..6).map(|n| odd.mail(&format!("text {n}"))).collect();
    let env = from(&odd);
    env.run_until_done(1);
    let bodies = || odd.heard("UID FETCH");
    let before = bodies();
    odd.take_all();
    odd.validity("77");
    for (n, bytes) in mails.iter().enumerate() {
        odd.put(
            40 + n as u32,
            &[bytes, &b"\r\n"[..]].concat(),
            "01-Feb-2024 00:00:00 +0000",
        );
    }
    env.run_until_done(1);
    assert_held(&env, &mails);
    assert!(bodies() - before <= 2, "names alone are asked for");
}

/// Each EXAMINE gives another UIDVALIDITY: POP users of Courier whose mailbox was never opened by SELECT, GNU
/// imap4d.
#[test]
fn a_mailbox_with_other_uids_each_time_does_not_grow_and_is_said_once() {
    let examined = Arc::new(AtomicUsize::new(5));
    let count = Arc::clone(&examined);
    let odd = Oddity::new(move |talk, tag, command| {
        let examine = command.starts_with("EXAMINE");
        if examine {
            let validity = count.fetch_add(1, Ordering::SeqCst);
            let (mails, next) = (
                talk.mails().len(),
                talk.mails().last().map_or(1, |m| m.uid + 1),
            );
            talk.say(format!(
                "* {mails} EXISTS\r\n* OK [UIDVALIDITY {validity}] .\r\n* OK [UIDNEXT {next}] .\r\n{tag} OK open\r\n"
            ));
        }
        examine
    });
    let mut mails: Vec<Vec<u8>> = (1..5).map(|n| odd.mail(&format!("text {n}"))).collect();
    for text in ["without a name", "without a name too, and longer"] {
        let nameless = named("", text);
        odd.put(mails.len() as u32 + 1, &nameless, DATE);
        mails.push(nameless);
    }
    let env = from(&odd);
    let running = Running::new(env.spawn_for_good(&["--poll-interval", "1"]));
    eventually("all is delivered", || held(&env).len() == mails.len());
    eventually("it is known", || {
        let unstable: i64 = env.one("SELECT max(seen_once) FROM mailbox");
        let open: i64 = env.one("SELECT count(*) FROM message WHERE status <> 'delivered'");
        unstable >= 3 && open == 0
    });
    let bodies = || odd.heard_of("BODY.PEEK[])");
    let (before, looked) = (bodies(), examined.load(Ordering::SeqCst));
    eventually("it was looked at five times more", || {
        examined.load(Ordering::SeqCst) > looked + 5
    });
    assert_eq!(bodies(), before, "nothing is fetched again");
    for n in 0..3 {
        mails.push(odd.mail(&format!("new {n}")));
        eventually("new mail is delivered", || held(&env).len() == mails.len());
    }
    eventually("nothing is open", || {
        let open: i64 = env.one("SELECT count(*) FROM message WHERE status <> 'delivered'");
        open == 0
    });
    let rows: i64 = env.one("SELECT count(*) FROM message");
    assert_eq!(rows as usize, mails.len(), "{}", env.dump());
    let mailboxes: i64 = env.one("SELECT count(*) FROM mailbox");
    assert!(mailboxes <= 4, "{mailboxes}");
    let log = running.end();
    let said = log.matches("other UIDs each time").count();
    assert_eq!(said, 1, "{log}");
    assert_held(&env, &mails);
}

/// As above, of mail that came after the first look, and more of it than is compared by name with each look.
#[test]
fn so_is_new_mail_that_waits_while_its_mailbox_is_away() {
    let odd = Oddity::plain();
    let mut env = from(&odd);
    env.run_until_done(1);
    let mails: Vec<Vec<u8>> = (1..40).map(|n| odd.mail(&format!("text {n}"))).collect();
    let pass = env.target.password().to_string();
    env.set("target_pass", "wrong");
    assert_eq!(env.run().status, 4);
    let before = odd.take_all();
    odd.validity("2");
    assert_eq!(
        env.run().status,
        4,
        "there is nothing to send, and no way in"
    );
    odd.give_back(before);
    odd.validity("1");
    env.set("target_pass", pass);
    env.run_until_done(1);
    assert_held(&env, &mails);
    assert_eq!(env.one::<i64>("SELECT count(*) FROM message"), 39);
}

/// The store is away for a moment and UIDVALIDITY stays: what was there before `since` is no new mail when it is back.
#[test]
fn a_mailbox_that_is_empty_for_a_moment_opens_no_past() {
    let odd = Oddity::plain();
    for n in 0..3 {
        odd.mail_of(&format!("old {n}"), "14-Nov-2019 22:13:20 +0000");
    }
    let mails = vec![odd.mail("one"), odd.mail("another")];
    let mut env = from(&odd);
    env.set("since", "2023-01-01");
    env.run_until_done(1);
    let before = odd.take_all();
    assert_eq!(env.run().status, 0);
    odd.give_back(before);
    env.run_until_done(1);
    assert_held(&env, &mails);
    assert_eq!(env.one::<i64>("SELECT count(*) FROM mailbox"), 1);
}

/// A message went before it was fetched; the source comes from a backup, and another one has its UID.
#[test]
fn a_message_that_is_gone_hides_no_other_under_its_uid() {
    let odd = Oddity::plain();
    let mut mails = vec![odd.mail("one")];
    odd.mail("went");
    let mut env = from(&odd);
    let pass = env.target.password().to_string();
    env.set("target_pass", "wrong");
    assert_eq!(env.run().status, 4);
    let mut left = odd.take_all();
    left.truncate(1);
    odd.give_back(left);
    env.set("target_pass", pass);
    env.run_until_done(1);
    assert_eq!(
        env.one::<i64>("SELECT count(*) FROM message WHERE status = 'gone'"),
        1
    );
    let other = named("other", "under the number of one that went");
    odd.put(2, &other, DATE);
    mails.push(other);
    env.run_until_done(1);
    assert_held(&env, &mails);
}

/// UIDNEXT stays behind in a mailbox that held nothing at the first look.
#[test]
fn mail_is_found_though_uidnext_never_moves() {
    let odd = Oddity::new(|talk, tag, command| {
        let examine = command.starts_with("EXAMINE");
        if examine {
            let count = talk.mails().len();
            talk.say(format!(
                "* {count} EXISTS\r\n* OK [UIDVALIDITY 1] .\r\n* OK [UIDNEXT 1] .\r\n{tag} OK open\r\n"
            ));
        }
        examine
    });
    let env = from(&odd);
    env.run_until_done(1);
    let mails = vec![odd.mail("one"), odd.mail("another")];
    env.run_until_done(1);
    assert_held(&env, &mails);
}
