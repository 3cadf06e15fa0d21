//! Lists that leave out messages, for once or always: what is told of goes on, and the rest is asked for again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::found::{Running, assert_held, from, held};
use super::oddity::Oddity;
use super::uids::{DATE, named};
use crate::testkit::eventually;

/// So often, answers to FETCHes of more than one message leave this one out.
pub(super) fn leaves_out(
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
