//! Messages and servers that cause trouble: who is charged for it, what is said, and that everything else arrives.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::{DATE, T0, mail};
use crate::testkit::answering;
use crate::testkit::dovecot::{Dovecot, Poison};
use crate::testkit::dovecot_env::{ALICE, BOB, TOKEN};
use crate::testkit::env::TestEnv;
use crate::testkit::proxy::Proxy;

#[test]
fn a_source_lost_between_listing_and_describing_its_mail_loses_none() {
    let Some(mut env) = TestEnv::dovecot() else {
        return;
    };
    env.source
        .plant(ALICE, &mail("<0@x>", DATE, "first"), "", T0);
    let proxy = Proxy::start(env.source.port());
    env.plain("source", proxy.port());
    env.run_until_done(1);
    for i in 1..4 {
        env.source
            .plant(ALICE, &mail(&format!("<{i}@x>"), DATE, "later"), "", T0 + i);
        proxy.refuse_after_cut();
        proxy.cut_before_reply(b"RFC822.SIZE");
        let ran = env.run();
        assert_eq!(
            ran.status, 1,
            "out of reach for longer than it is retried: {}",
            ran.err
        );
        proxy.refuse(false);
        env.run_until_done(1);
    }
    env.assert_complete();
}

#[test]
fn refused_messages_fail_with_the_servers_words_and_the_rest_arrives() {
    let target = Dovecot::build().xoauth2(true).max_mail_size("50k");
    let Some(env) = TestEnv::dovecot_with(Dovecot::build(), target) else {
        return;
    };
    env.source.plant(ALICE, b"", "", T0);
    env.source.plant(
        ALICE,
        &mail("<big@x>", DATE, &"long\r\n".repeat(20_000)),
        "",
        T0,
    );
    env.source
        .plant(ALICE, &mail("<ok@x>", DATE, "fine"), "", T0 - 5);
    let ran = env.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    assert_eq!(env.delivered().len(), 1);
    let failed = env.command(&["status", "--failed"]).out;
    // Whatever lines it is broken into.
    let failed = failed.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        failed.contains("Mail size is larger than the maximum size allowed"),
        "{failed}"
    );
    assert!(failed.contains("zero byte"), "{failed}");
    assert!(
        failed.contains("Ann <ann@example.org>") && failed.contains("a test"),
        "{failed}"
    );
    assert_eq!(env.status()["failed"], 2);

    assert_eq!(env.command(&["retry-failed"]).status, 0);
    assert_eq!(env.status()["pending"], 2);
    assert_eq!(env.run().status, 3);
    assert_eq!(env.status()["failed"], 2);

    assert_eq!(env.command(&["retry-failed", "--skip"]).status, 0);
    assert_eq!(env.status()["skipped"], 2);
    assert_eq!(env.run().status, 0);
}

#[test]
fn a_full_target_stops_delivery_and_charges_nobody() {
    let target = Dovecot::build().xoauth2(true).mailbox_quota("30k");
    let Some(mut env) = TestEnv::dovecot_with(Dovecot::build(), target) else {
        return;
    };
    env.set("connections", 1);
    for i in 0..20 {
        let text = "text\r\n".repeat(1000);
        env.source
            .plant(ALICE, &mail(&format!("<{i}@x>"), DATE, &text), "", T0 + i);
    }
    let ran = env.run();
    assert_eq!(ran.status, 4, "{}", ran.err);
    assert!(
        ran.err.contains("error: the target account is full"),
        "{}",
        ran.err
    );
    let charged: i64 = env
        .one("SELECT count(*) FROM message WHERE first_failed_at IS NOT NULL OR status = 'failed'");
    assert_eq!(charged, 0, "{}", env.dump());
    let status = env.status();
    assert_eq!(status["trouble"]["kind"], "needs_user", "{status}");
    assert_eq!(status["in_flight"], 0, "{status}");
    let there = env.delivered();
    assert!(!there.is_empty() && there.len() < 20);
    for m in there {
        env.target.expunge(BOB, "INBOX", m.uid);
    }
    let ran = env.run();
    assert_eq!(ran.status, 4, "{}", ran.err);
    assert!(
        !env.delivered().is_empty(),
        "delivery goes on where there is room"
    );
}

#[test]
fn messages_expunged_before_they_were_fetched_are_gone() {
    let Some(env) = TestEnv::dovecot_with(
        Dovecot::build().rawlog(true),
        Dovecot::build().xoauth2(true),
    ) else {
        return;
    };
    for i in 0..6 {
        env.source
            .plant(ALICE, &mail(&format!("<{i}@x>"), DATE, "text"), "", T0 + i);
    }
    let bob = env.target.tokens.lock().unwrap().remove(TOKEN).unwrap();
    let ran = env.run();
    assert_eq!(ran.status, 4, "a refused token: {}", ran.err);
    assert_eq!(
        env.status()["pending"],
        6,
        "what is there was recorded all the same"
    );
    for m in env.source.mailbox(ALICE, "INBOX").iter().take(2) {
        env.source.expunge(ALICE, "INBOX", m.uid);
    }
    env.target.tokens.lock().unwrap().insert(TOKEN.into(), bob);
    let before = env.source.commands().len();
    assert_eq!(env.run().status, 0, "{}", env.dump());
    let commands = env.source.commands().split_off(before);
    let looks: Vec<&str> = commands
        .iter()
        .filter_map(|c| match c {
            c if c.contains("EXAMINE") => Some("open"),
            c if c.contains("BODY.PEEK[])") => Some("fetch"),
            _ => None,
        })
        .collect();
    let second = looks.iter().rposition(|l| *l == "fetch").unwrap();
    assert!(
        looks[..second].ends_with(&["open"]) && looks[..second].contains(&"fetch"),
        "absence counts when it was seen twice, in views of their own: {commands:?}"
    );
    let status = env.status();
    assert_eq!(
        (&status["gone"], &status["delivered"]),
        (&Value::from(2), &Value::from(4))
    );
    assert!(status["trouble"].is_null(), "{status}");
}

#[test]
fn poison_fails_in_the_end_and_holds_up_nobody() {
    let Some(env) = TestEnv::dovecot() else {
        return;
    };
    for i in 0..60 {
        env.source
            .plant(ALICE, &mail(&format!("<{i}@x>"), DATE, "text"), "", T0 + i);
        match i {
            10 => drop(env.source.plant_poison(ALICE, Poison::SizeTooSmall)),
            30 => drop(env.source.plant_poison(ALICE, Poison::SizeTooBig)),
            50 => drop(env.source.plant_poison(ALICE, Poison::Unreadable)),
            _ => {}
        }
    }
    let ran = env.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    assert_eq!(
        env.delivered().len(),
        60,
        "everything else, in the very first run: {}",
        ran.err
    );
    let status = env.status();
    assert_eq!(
        (&status["pending"], &status["failed"]),
        (&Value::from(3), &Value::from(0)),
        "{status}"
    );
    // The days after which it is given up are three seconds here.
    crate::testkit::eventually("the poison is given up", || {
        let status = env.run().status;
        assert_eq!(status, 3);
        env.status()["failed"] == 3
    });
    assert_eq!(env.delivered().len(), 60);
    let charged: i64 =
        env.one("SELECT count(*) FROM message WHERE status = 'delivered' AND attempt > 1");
    assert_eq!(charged, 0, "others tried again: {}", env.dump());
}

#[test]
fn a_source_that_has_enough_of_us_charges_no_message() {
    let Some(mut env) = TestEnv::dovecot() else {
        return;
    };
    for i in 0..20 {
        let one = mail(&format!("<{i}@x>"), DATE, "text");
        env.source.plant(ALICE, &one, "", T0 + i);
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let port = answering::start(env.source.port(), move |command| {
        command.ends_with("BODY.PEEK[])").then(|| {
            counter.fetch_add(1, Ordering::Relaxed);
            "NO [OVERQUOTA] Account exceeded command or bandwidth limits.".into()
        })
    });
    let direct = env.source.port();
    env.set("connections", 1).plain("source", port);
    let ran = env.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    let status = env.status();
    assert_eq!(status["trouble"]["kind"], "throttled", "{status}");
    let charged: i64 = env.one(
        "SELECT count(*) FROM message WHERE first_failed_at IS NOT NULL OR status <> 'pending'",
    );
    assert_eq!(charged, 0, "{}", env.dump());
    assert_eq!(
        asked.load(Ordering::Relaxed),
        1,
        "it is not asked on and on"
    );
    env.plain("source", direct).run_until_done(1);
    env.assert_complete();
}

#[test]
fn a_target_that_takes_fewer_connections_than_we_open_is_filled_all_the_same() {
    let target = Dovecot::build()
        .xoauth2(true)
        .extra("mail_max_userip_connections = 1");
    let Some(env) = TestEnv::dovecot_with(Dovecot::build(), target) else {
        return;
    };
    // Whether a second worker knocks while the first is in is a matter of moments: until it has.
    let mut refused = false;
    for round in 0..30 {
        for i in 0..30 {
            let n = round * 30 + i;
            let one = mail(&format!("<{n}@x>"), DATE, "text");
            env.source.plant(ALICE, &one, "", T0 + n);
        }
        let ran = env.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert!(env.status()["trouble"].is_null());
        refused |= ran.err.contains("slow down");
        if refused {
            break;
        }
    }
    assert!(refused, "no worker was ever turned away");
    env.assert_complete();
}

#[test]
fn a_message_whose_metadata_cannot_be_had_is_delivered_by_its_body() {
    let Some(mut env) = TestEnv::dovecot() else {
        return;
    };
    for i in 0..3 {
        let one = mail(&format!("<{i}@x>"), DATE, "text");
        env.source.plant(ALICE, &one, "", T0 + i);
    }
    let there = mail("<2@x>", DATE, "text");
    env.target.append(BOB, "INBOX", &there, "", T0 + 2);
    // Alone or among others, with the body or without.
    let port = answering::start(env.source.port(), |command| {
        let asked = command.contains("HEADER.FIELDS (MESSAGE-ID DATE)");
        asked.then(|| "NO [SERVERBUG] Internal error".into())
    });
    env.plain("source", port).set("connections", 1);
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}\n{}", ran.err, env.dump());
    env.assert_complete();
    let found: i64 = env.one("SELECT count(*) FROM message WHERE proof = 'found'");
    assert_eq!(found, 1, "{}", env.dump());
}

#[test]
fn a_refusal_that_passes_does_not_end_a_run() {
    let Some(mut env) = TestEnv::dovecot() else {
        return;
    };
    env.source
        .plant(ALICE, &mail("<1@x>", DATE, "text"), "", T0);
    env.target
        .append(BOB, "INBOX", &mail("<0@x>", DATE, "other"), "", T0);
    let once = |words: &'static str, begin: &'static str| {
        let left = AtomicUsize::new(1);
        move |command: &str| {
            let now = command.starts_with(begin) && left.swap(0, Ordering::Relaxed) == 1;
            now.then(|| words.to_string())
        }
    };
    let port = answering::start(
        env.target.port(),
        once("NO System Error (Failure)", "UID FETCH"),
    );
    env.plain("target", port);
    // All at once, and then the list.
    let all = once("NO [SERVERBUG] Internal error", "UID FETCH 1:");
    let list = once("NO [SERVERBUG] Internal error", "FETCH 1:");
    let refusals = move |command: &str| all(command).or_else(|| list(command));
    let port = answering::start(env.source.port(), refusals);
    env.plain("source", port);
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.err.contains("System Error") && ran.err.contains("Internal error"));
    assert_eq!(env.delivered().len(), 2);
}
