//! Dates that make no sense, headers that are not told, and views that hide what they list: no mail is lost by them, and none is
//! taken for another message.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use gmail_stand_in::Mail;

use super::found::{Running, assert_held, from, held};
use super::oddity::Oddity;
use super::uids::DATE;
use crate::testkit::eventually;

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
