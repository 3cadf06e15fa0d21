//! UIDs of the source that go back, jump, come late or change their meaning, and lists that leave out messages.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use gmail_stand_in::Mail;

use super::found::{Running, assert_held, from, held};
use super::oddity::Oddity;
use crate::testkit::eventually;

const DATE: &str = "14-Nov-2023 22:13:20 +0000";

fn named(name: &str, text: &str) -> Vec<u8> {
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

/// A FETCH that is answered OK leaves out a message: of new mail, then of what was there at the first look.
#[test]
fn a_list_that_leaves_out_a_message_is_asked_for_again() {
    for times in [1, 2] {
        let left = Arc::new(AtomicU32::new(times));
        let odd = Oddity::new(leaves_out(3, &left));
        let mut mails: Vec<Vec<u8>> = (1..6).map(|n| odd.mail(&format!("text {n}"))).collect();
        let env = from(&odd);
        env.run_until_done(1);
        assert_held(&env, &mails);
        odd.is_now(leaves_out(6, &left));
        left.store(times, Ordering::SeqCst);
        for n in 6..9 {
            mails.push(odd.mail(&format!("text {n}")));
        }
        env.run_until_done(1);
        assert_held(&env, &mails);
        assert_eq!(left.load(Ordering::SeqCst), 0, "it was left out");
    }
}

/// Of three that come together the flight in which they are told of leaves out one, while the program goes on.
#[test]
fn new_mail_that_is_left_out_once_is_asked_for_at_once() {
    let left = Arc::new(AtomicU32::new(0));
    let odd = Oddity::new(leaves_out(3, &left));
    let mut mails = vec![odd.mail("one")];
    let env = from(&odd);
    let running = Running::new(env.spawn_for_good(&["--poll-interval", "1"]));
    eventually("the first is delivered", || held(&env).len() == 1);
    left.store(1, Ordering::SeqCst);
    let new = [2, 3, 4].map(|uid| named(&format!("new-{uid}"), "x"));
    odd.put_together(&[(2, &new[0], DATE), (3, &new[1], DATE), (4, &new[2], DATE)]);
    mails.extend(new);
    eventually("all are delivered", || held(&env).len() == 4);
    running.end();
    assert_eq!(left.load(Ordering::SeqCst), 0, "it was left out");
    assert_held(&env, &mails);
}

/// Where it is left out each time, the rest is copied and the run does not say that all is well; when it is
/// told of at last, it is copied too.
#[test]
fn a_list_that_always_leaves_out_a_message_is_a_trouble() {
    let always = Arc::new(AtomicU32::new(u32::MAX));
    let odd = Oddity::new(leaves_out(3, &always));
    let mut mails: Vec<Vec<u8>> = (1..6).map(|n| odd.mail(&format!("text {n}"))).collect();
    let env = from(&odd);
    let mut told = mails.clone();
    told.remove(2);
    let running = Running::new(env.spawn_for_good(&["--poll-interval", "1"]));
    eventually("what is told of is delivered", || held(&env).len() == 4);
    eventually("it is said", || {
        let trouble = env.status()["trouble"]["message"].to_string();
        trouble.contains("does not tell of all the messages")
    });
    assert_held(&env, &told);
    let new = odd.mail("new");
    told.push(new.clone());
    mails.push(new);
    eventually("new mail goes on", || held(&env).len() == 5);
    always.store(0, Ordering::SeqCst);
    eventually("it is told of at last", || held(&env).len() == 6);
    eventually("all is well", || env.status()["trouble"].is_null());
    running.end();
    assert_held(&env, &mails);
}

/// Its server knows no SEARCH: what is older than wanted is told from the rest by the messages' own dates.
#[test]
fn what_a_list_left_out_is_found_without_a_search() {
    let always = Arc::new(AtomicU32::new(u32::MAX));
    let odd = Oddity::new(leaves_out(3, &always));
    let mut mails: Vec<Vec<u8>> = (1..6).map(|n| odd.mail(&format!("text {n}"))).collect();
    odd.put(
        9,
        &named("old", "from before"),
        "14-Nov-2003 22:13:20 +0000",
    );
    // So many that came last are looked at anyway.
    for uid in 1000..1025 {
        let mail = named(&format!("later-{uid}"), "text");
        odd.put(uid, &mail, DATE);
        mails.push(mail);
    }
    let mut env = from(&odd);
    env.set("since", "2020-01-01");
    let mut told = mails.clone();
    told.remove(2);
    // Three lists lack it in each of three looks: nobody waits for it any longer.
    let running = Running::new(env.spawn_for_good(&["--poll-interval", "1"]));
    eventually("what is told of is delivered", || held(&env).len() == 29);
    eventually("its history is done with", || {
        env.one::<bool>("SELECT history_done FROM mailbox")
    });
    running.end();
    assert_held(&env, &told);
    always.store(0, Ordering::SeqCst);
    env.run_until_done(1);
    assert!(odd.heard("UID SEARCH") > 0);
    assert_held(&env, &mails);
}

/// So often, answers to FETCHes of more than one message leave this one out.
fn leaves_out(
    uid: u32,
    left: &Arc<AtomicU32>,
) -> impl Fn(&mut super::oddity::Talk, &str, &str) -> bool + Send + Sync + 'static {
    let left = Arc::clone(left);
    move |talk, tag, command| {
        let list = command.contains("FETCH") && command.contains(':');
        let take = |n: u32| n.checked_sub(1);
        let lies = list
            && left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
                .is_ok();
        if lies {
            talk.fetch(tag, command, |mail, told| {
                if mail.uid == uid { Vec::new() } else { told }
            });
        }
        lies
    }
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

/// INTERNALDATE in every form, and none: what can be read is kept, else the Date header serves, for `since` too.
#[test]
fn dates_that_make_no_sense_neither_lose_mail_nor_open_the_past() {
    let odd = Oddity::plain();
    let mail = |uid: u32, header: &str, date: &str| {
        let bytes = format!("Message-ID: <{uid}@dates>\r\nDate: {header}\r\n\r\ntext {uid}\r\n")
            .into_bytes();
        odd.put(uid, &bytes, date);
        bytes
    };
    let (new, old) = (
        "Tue, 14 Nov 2023 22:13:20 +0000",
        "Thu, 14 Nov 2019 22:13:20 +0000",
    );
    let mut wanted = Vec::new();
    for (n, date) in [
        DATE,
        "Tue, 14 Nov 2023 22:13:20 GMT",
        "14-Nov-23 22:13:20 +0000",
        "00-Jan-0000 00:00:00 +0000",
        "01-Jan-1899 00:00:00 +0000",
        "no date",
    ]
    .into_iter()
    .enumerate()
    {
        wanted.push(mail(10 + n as u32, new, date));
    }
    for (n, date) in [
        "14-Nov-2019 22:13:20 +0000",
        "14-Nov-19 22:13:20 GMT",
        "00-Jan-0000 00:00:00 +0000",
        "01-Jan-1899 00:00:00 +0000",
    ]
    .into_iter()
    .enumerate()
    {
        mail(30 + n as u32, old, date);
    }
    let mut env = from(&odd);
    env.set("since", "2023-01-01");
    env.run_until_done(1);
    assert_held(&env, &wanted);
    for message in env.target.messages() {
        assert_eq!(
            message.internal_date.timestamp(),
            1_700_000_000,
            "{message:?}"
        );
    }
}

/// A header that is not told (NIL, absent, empty for once) is not the lack of a Message-ID.
#[test]
fn a_header_that_is_not_told_is_no_other_message() {
    for answer in [&b"NIL"[..], b"\"\"", b""] {
        for always in [true, false] {
            let lies = Arc::new(AtomicBool::new(false));
            let lying = Arc::clone(&lies);
            let odd = Oddity::new(move |talk, tag, command| {
                let asked = command.contains("HEADER.FIELDS") && lying.load(Ordering::SeqCst);
                if asked {
                    lying.store(always, Ordering::SeqCst);
                    talk.fetch(tag, command, |mail, told| {
                        if mail.uid == 2 {
                            without_header(&told, answer)
                        } else {
                            told
                        }
                    });
                }
                asked
            });
            let mut mails: Vec<Vec<u8>> = (1..4).map(|n| odd.mail(&format!("text {n}"))).collect();
            let env = from(&odd);
            // The one whose name is not told is there already.
            env.target.add(Mail::new(&mails[1]));
            lies.store(true, Ordering::SeqCst);
            env.run_until_done(1);
            assert_held(&env, &mails);
            lies.store(true, Ordering::SeqCst);
            mails.push(odd.mail("new"));
            env.run_until_done(1);
            assert_held(&env, &mails);
            let incarnations: i64 = env.one("SELECT count(*) FROM mailbox");
            assert_eq!(
                incarnations,
                1,
                "{answer:?}, always {always}: {}",
                env.dump()
            );
        }
    }
}

fn without_header(told: &[u8], answer: &[u8]) -> Vec<u8> {
    let find = |what: &[u8]| told.windows(what.len()).position(|w| w == what);
    let (Some(begin), Some(name_end)) = (find(b" BODY[HEADER"), find(b")] {")) else {
        return told.to_vec();
    };
    let digits = &told[name_end + 4..];
    let close = digits.iter().position(|&b| b == b'}').unwrap();
    let size: usize = std::str::from_utf8(&digits[..close])
        .unwrap()
        .parse()
        .unwrap();
    let end = name_end + 4 + close + 3 + size;
    let item = if answer.is_empty() {
        Vec::new()
    } else {
        [&told[begin..name_end + 3], answer].concat()
    };
    [&told[..begin], &item, &told[end..]].concat()
}

/// Dovecot answers a FETCH in one segment with NOOP from its old view, and says EXISTS only then; others need a
/// view of their own.
#[test]
fn what_an_old_view_does_not_hand_over_is_asked_for_in_a_new_one_and_charged_to_nobody() {
    for says_exists in [true, false] {
        // For each connection: the last message of its view.
        let views: Mutex<HashMap<u16, u32>> = Mutex::default();
        let odd = Oddity::new(move |talk, tag, command| {
            let mut views = views.lock().unwrap();
            let last = talk.mails().last().map_or(0, |m| m.uid);
            if command.starts_with("EXAMINE") {
                views.insert(talk.peer(), last);
            }
            let old = views.get(&talk.peer()).copied().unwrap_or(0);
            let hidden = command.contains("BODY.PEEK[])") && last > old;
            if hidden {
                talk.fetch(
                    tag,
                    command,
                    |mail, told| if mail.uid > old { Vec::new() } else { told },
                );
                if says_exists {
                    views.insert(talk.peer(), last);
                    let count = talk.mails().len();
                    talk.say(format!("* {count} EXISTS\r\n"));
                }
            }
            hidden
        });
        let mut mails = vec![odd.mail("one")];
        let env = from(&odd);
        let running = Running::new(env.spawn_for_good(&["--poll-interval", "1"]));
        eventually("the first is delivered", || held(&env).len() == 1);
        for n in 0..4 {
            mails.push(odd.mail(&format!("new {n}")));
            eventually("new mail is delivered", || held(&env).len() == mails.len());
        }
        let charged: i64 =
            env.one("SELECT count(*) FROM message WHERE last_error IS NOT NULL OR attempt > 1");
        assert_eq!(charged, 0, "{}", env.dump());
        let log = running.end();
        assert!(!log.contains("does not hand it over"), "{log}");
        assert_held(&env, &mails);
    }
}

/// IDLE is announced and refused.
#[test]
fn a_server_that_refuses_idle_is_looked_at_in_intervals() {
    for answer in [
        "TAG NO not today\r\n",
        "TAG BAD what\r\n",
        "* BYE no idlers here\r\n",
    ] {
        let odd = Oddity::new(move |talk, tag, command| {
            let idle = command == "IDLE";
            if idle {
                talk.say(answer.replace("TAG", tag));
                if answer.starts_with("* BYE") {
                    talk.hang_up();
                }
            }
            idle
        });
        let mut mails = vec![odd.mail("one")];
        let env = from(&odd);
        let running = Running::new(env.spawn_for_good(&["--poll-interval", "1"]));
        eventually("the first is delivered", || held(&env).len() == 1);
        eventually("three IDLEs were tried at most", || {
            odd.heard("EXAMINE") > 8
        });
        for n in 0..2 {
            mails.push(odd.mail(&format!("new {n}")));
            eventually("new mail is delivered", || held(&env).len() == mails.len());
        }
        assert!(
            env.status()["trouble"].is_null(),
            "{answer}: {}",
            env.status()
        );
        let log = running.end();
        assert_eq!(log.matches("IDLE").count(), 1, "{answer}: {log}");
        assert!(odd.heard("IDLE") <= 3, "{answer}: {}", odd.heard("IDLE"));
        assert_held(&env, &mails);
    }
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

/// A list that always leaves out a message, and then new UIDs: what is told of goes on.
#[test]
fn new_uids_and_a_message_that_is_never_told_of_hold_up_no_other() {
    let always = Arc::new(AtomicU32::new(u32::MAX));
    let odd = Oddity::new(leaves_out(3, &always));
    let mut told: Vec<Vec<u8>> = (1..6).map(|n| odd.mail(&format!("text {n}"))).collect();
    told.remove(2);
    let env = from(&odd);
    let running = Running::new(env.spawn_for_good(&["--poll-interval", "1"]));
    eventually("what is told of is delivered", || held(&env).len() == 4);
    odd.validity("2");
    told.push(odd.mail("new"));
    eventually("new mail goes on", || held(&env).len() == 5);
    running.end();
    assert_held(&env, &told);
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
