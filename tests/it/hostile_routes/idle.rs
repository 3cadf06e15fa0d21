//! IDLE in every shape: what ends it, what is no news, and whether the source tells of new mail, judged by more than one mail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::found::{Running, asks_for_bodies, assert_held, from, held};
use super::oddity::Oddity;
use crate::testkit::env::TestEnv;
use crate::testkit::eventually;

/// What a daemon is asked to do, with looks that only IDLE brings about.
fn daemon(env: &TestEnv) -> Running {
    Running::new(env.spawn_for_good(&["--poll-interval", "3600"]))
}

fn arrive(env: &TestEnv, count: usize) {
    eventually("the mail arrives", || held(env).len() == count);
}

/// github.com/smiley22/S22.Imap/issues/32, github.com/Webklex/php-imap/issues/219: EXISTS though nothing came, at each
/// IDLE; some clients go round without a rest.
#[test]
fn exists_that_tells_nothing_new_ends_no_idle() {
    let odd = Oddity::new(|talk, tag, command| {
        let idle = command == "IDLE";
        if idle {
            let count = talk.mails().len();
            talk.say(format!("+ idling\r\n* {count} EXISTS\r\n* 0 RECENT\r\n"));
            talk.idle(tag);
        }
        idle
    });
    odd.mail("one");
    let env = from(&odd);
    let running = daemon(&env);
    arrive(&env, 1);
    for count in 2..5 {
        odd.mail(&format!("text {count}"));
        arrive(&env, count);
    }
    drop(running);
    let looks = odd.heard("EXAMINE");
    assert!(looks < 20, "{looks} looks");
}

/// github.com/lefcha/imapfilter/issues/66, github.com/huacnlee/omamail/pull/234: a person tidies up in another program,
/// and each flag and each message that goes is told of.
#[test]
fn flags_and_messages_that_go_are_no_news_and_do_not_end_the_use_of_idle() {
    let idles = AtomicUsize::new(0);
    let odd = Oddity::new(move |talk, tag, command| {
        let idle = command == "IDLE" && idles.fetch_add(1, Ordering::SeqCst) < 5;
        if idle {
            talk.say(
                "+ idling\r\n* 1 FETCH (FLAGS (\\Seen))\r\n* 1 FETCH (FLAGS ())\r\n* 0 RECENT\r\n",
            );
            talk.idle(tag);
        }
        idle
    });
    odd.mail("one");
    let env = from(&odd);
    let running = daemon(&env);
    arrive(&env, 1);
    odd.mail("another");
    arrive(&env, 2);
    assert!(!running.end().contains("does not wait with IDLE"));
}

/// github.com/chatmail/core/issues/4926: EXISTS came with the answer to another command; no IDLE tells of it again.
#[test]
fn mail_that_was_told_of_before_an_idle_is_not_waited_for() {
    let odd = Arc::new(Oddity::plain());
    let (itself, idles) = (Arc::downgrade(&odd), Arc::new(AtomicUsize::new(0)));
    let waited = Arc::new(AtomicUsize::new(usize::MAX));
    let heard = Arc::clone(&waited);
    odd.is_now(move |talk, tag, command| {
        let odd = itself.upgrade().unwrap();
        let names = command.contains("HEADER.FIELDS") && !asks_for_bodies(command);
        match talk.mails().len() {
            2 if names => {
                // The third comes while the second is described.
                odd.mail("the third");
                idles.store(odd.heard("IDLE"), Ordering::SeqCst);
                talk.say("* 3 EXISTS\r\n");
                talk.fetch(tag, command, |_, told| told);
                true
            }
            3 if names => {
                let since = odd.heard("IDLE") - idles.load(Ordering::SeqCst);
                heard.store(since, Ordering::SeqCst);
                false
            }
            _ => false,
        }
    });
    odd.mail("one");
    let env = from(&odd);
    let running = daemon(&env);
    arrive(&env, 1);
    odd.mail("another");
    arrive(&env, 3);
    drop(running);
    assert_eq!(
        waited.load(Ordering::SeqCst),
        0,
        "it waited with IDLE first"
    );
}

/// github.com/jstedfast/MailKit/issues/938 (Yandex): BYE, and the connection stays open.
#[test]
fn a_goodbye_is_the_end_also_where_the_connection_stays_open() {
    let (idles, talked_on) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
    let heard = Arc::clone(&talked_on);
    let odd = Oddity::new(move |talk, tag, command| {
        if tag == "DONE" {
            heard.store(true, Ordering::SeqCst);
            return true;
        }
        let idle = command == "IDLE" && idles.fetch_add(1, Ordering::SeqCst) == 0;
        if idle {
            talk.say("+ idling\r\n* BYE Autologout; idle for too long\r\n");
        }
        idle
    });
    odd.mail("one");
    let env = from(&odd);
    let running = daemon(&env);
    arrive(&env, 1);
    eventually("another session", || odd.heard("AUTHENTICATE") > 2);
    odd.mail("another");
    arrive(&env, 2);
    drop(running);
    assert!(
        !talked_on.load(Ordering::SeqCst),
        "it talked on after the goodbye"
    );
}

/// github.com/jonhoo/rust-imap/issues/263: a mail comes between the end of one IDLE and the next look. That is no sign
/// that the server does not tell of mail.
#[test]
fn mail_between_two_idles_does_not_end_their_use() {
    let odd = Arc::new(Oddity::plain());
    let (itself, idles) = (Arc::downgrade(&odd), AtomicUsize::new(0));
    odd.is_now(move |talk, tag, command| {
        let first = command == "IDLE" && idles.fetch_add(1, Ordering::SeqCst) == 0;
        if first {
            talk.say("+ idling\r\n");
            while talk.line().is_some_and(|line| line != "DONE") {}
            itself.upgrade().unwrap().mail("comes just now");
            talk.say(format!("{tag} OK idled\r\n"));
        }
        first
    });
    odd.mail("one");
    let env = from(&odd);
    let running = Running::new(env.spawn_for_good(&["--poll-interval", "3600"]));
    eventually("the two", || held(&env).len() == 2);
    odd.mail("a third");
    eventually("the third", || held(&env).len() == 3);
    assert!(!running.end().contains("did not tell of new mail"));
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
