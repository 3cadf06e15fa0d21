//! The main job against two real servers: every message once, byte for byte, and the ledger right.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::testkit::dovecot::{Dovecot, Poison};
use crate::testkit::dovecot_env::{ALICE, BOB, DovecotEnv, TOKEN};
use crate::testkit::env::TestEnv;
use crate::testkit::proxy::Proxy;
use crate::testkit::{answering, corpus};
use serde_json::Value;

const T0: i64 = 1_700_000_000;

#[test]
fn the_nastiest_mail_arrives_once_and_unaltered() {
    let Some(env) = TestEnv::dovecot() else {
        return;
    };
    let mut mail = corpus::nasty();
    mail.extend(corpus::mail_parser().unwrap_or_default());
    for (i, m) in mail.iter().enumerate() {
        let flags = ["", "S", "FS", "R", "T"][i % 5];
        env.source
            .plant(ALICE, &m.bytes, flags, T0 + i as i64 * 1000);
    }
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    env.assert_complete();
}

/// `.ci/run` runs it: some thousand messages take a while.
#[test]
#[ignore = "6,280 messages: run by .ci/run, after tests/corpus.sh"]
fn all_real_mail_arrives_once_and_unaltered() {
    let Some(env) = TestEnv::dovecot() else {
        return;
    };
    let mut mail = corpus::nasty();
    mail.extend(corpus::mail_parser().expect("tests/corpus.sh fetches it"));
    mail.extend(corpus::spam_assassin().expect("tests/corpus.sh fetches it"));
    for (i, m) in mail.iter().enumerate() {
        let flags = ["", "S", "FS", "RS", "D"][i % 5];
        env.source
            .plant(ALICE, &m.bytes, flags, T0 + i as i64 * 100);
    }
    assert!(mail.len() > 6_200, "{} messages", mail.len());
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    env.assert_complete();
    let status = env.status();
    assert_eq!(status["delivered"], mail.len(), "{status}");
}

/// A message of our own, as small as can be.
fn mail(id: &str, date: &str, text: &str) -> Vec<u8> {
    let mut out = String::from("From: Ann <ann@example.org>\r\nSubject: a test\r\n");
    for (name, value) in [("Message-ID", id), ("Date", date)] {
        if !value.is_empty() {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    format!("{out}\r\n{text}\r\n").into_bytes()
}

const DATE: &str = "Tue, 14 Nov 2023 22:13:20 +0000";

#[test]
fn a_run_with_nothing_new_costs_the_same_in_a_large_mailbox() {
    let rawlog = || Dovecot::build().rawlog(true);
    let Some(env) = TestEnv::dovecot_with(rawlog(), rawlog().xoauth2(true)) else {
        return;
    };
    let mut costs = Vec::new();
    for size in [5, 200] {
        for i in 0..size {
            let id = format!("<{size}.{i}@example.org>");
            env.source
                .plant(ALICE, &mail(&id, DATE, "hello"), "", T0 + i);
        }
        assert_eq!(env.run().status, 0);
        let before = (env.source.commands().len(), env.target.commands().len());
        assert_eq!(env.run().status, 0);
        let source = env.source.commands().split_off(before.0);
        let target = env.target.commands().split_off(before.1);
        let all = [source.clone(), target.clone()].concat().join("\n");
        assert!(
            !all.contains("APPEND") && !all.contains("BODY.PEEK[]"),
            "{all}"
        );
        costs.push((source.len(), target.len()));
    }
    assert_eq!(costs[0], costs[1], "commands to (source, target)");
    env.assert_complete();
}

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
fn only_what_came_since_the_start_is_history_but_new_mail_has_no_date() {
    let Some(mut env) = TestEnv::dovecot() else {
        return;
    };
    env.set("since", "2023-11-15");
    let plant = |env: &DovecotEnv, id: &str, at: i64| {
        env.source
            .plant(ALICE, &mail(&format!("<{id}@x>"), DATE, id), "", at);
    };
    let midnight = 1_700_006_400; // 2023-11-15
    plant(&env, "before", midnight - 1);
    plant(&env, "after", midnight);
    env.run_until_done(1);
    assert_eq!(env.delivered().len(), 1);
    plant(&env, "old but new here", 1_000_000_000);
    env.run_until_done(1);
    assert_eq!(env.delivered().len(), 2, "{}", env.dump());
    env.set("since", "2023-11-20").run_until_done(1);
    assert_eq!(env.delivered().len(), 2, "a later start changes nothing");
    env.set("since", "2023-11-14").run_until_done(1);
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
fn a_renumbered_source_is_matched_with_the_ledger() {
    let Some(env) = TestEnv::dovecot() else {
        return;
    };
    let plant = |from: i64, to: i64| {
        for i in from..to {
            let id = if i % 4 == 0 {
                String::new()
            } else {
                format!("<{i}@x>")
            };
            env.source
                .plant(ALICE, &mail(&id, DATE, &format!("text {i}")), "S", T0 + i);
        }
    };
    plant(0, 40);
    env.run_until_done(1);
    // Mail that its owner deleted must not come back: neither what we sent, nor what we found there
    // and only know by name, nor what was given up for good.
    let found = mail("<found@x>", DATE, "put there by hand");
    env.target.append(BOB, "INBOX", &found, "", T0);
    env.source.plant(ALICE, &found, "", T0);
    env.source.plant(ALICE, b"", "", T0);
    assert_eq!(env.run().status, 3);
    assert_eq!(env.command(&["retry-failed", "--skip"]).status, 0);
    let deleted = [env.delivered()[3].clone(), env.delivered()[40].clone()];
    assert_eq!(deleted[1].bytes, found);
    for m in &deleted {
        env.target.expunge(BOB, "INBOX", m.uid);
    }
    let bob = env.target.tokens.lock().unwrap().remove(TOKEN).unwrap();
    plant(40, 50);
    assert_eq!(env.run().status, 4);
    env.source.reset_uidvalidity(ALICE);
    plant(50, 60);
    env.target.tokens.lock().unwrap().insert(TOKEN.into(), bob);
    env.run_until_done(1);
    let there = env.delivered();
    assert_eq!(there.len(), 59, "{}", env.dump());
    assert!(
        there
            .iter()
            .all(|m| deleted.iter().all(|d| d.bytes != m.bytes))
    );
    let incarnations: i64 = env.one("SELECT count(*) FROM mailbox");
    assert_eq!(incarnations, 2);
    let status = env.status();
    assert_eq!(
        (&status["delivered"], &status["skipped"]),
        (&Value::from(61), &Value::from(1))
    );
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
fn a_source_whose_uids_never_keep_their_meaning_is_given_up() {
    let Some(mut env) = TestEnv::dovecot() else {
        return;
    };
    env.source.plant(ALICE, b"Subject: any\r\n\r\n", "", T0);
    // Number 1 has another name each time, number 2 is known by its bytes each time.
    let names = AtomicUsize::new(0);
    let message = move |uid: u32| match uid {
        1 => format!(
            "Message-ID: <{}@x>\r\n\r\n",
            names.fetch_add(1, Ordering::Relaxed)
        ),
        _ => "Subject: x\r\n\r\n".into(),
    };
    let port = answering::start(env.source.port(), move |command| {
        if command.starts_with("EXAMINE") {
            return Some(
                "* 2 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n* OK [UIDNEXT 3] x\r\nTAG OK done".into(),
            );
        }
        let mut out = String::new();
        for uid in 1..=2 {
            let body = message(uid);
            let (header, size) = (body.replace("Subject: x\r\n", ""), body.len());
            out += &format!(
                "* {uid} FETCH (UID {uid} INTERNALDATE \"14-Nov-2023 22:13:20 +0000\" FLAGS () RFC822.SIZE {size} \
                 BODY[HEADER.FIELDS (MESSAGE-ID DATE)] {{{}}}\r\n{header} BODY[] {{{size}}}\r\n{body})\r\n",
                header.len()
            );
        }
        command
            .contains("FETCH")
            .then(|| format!("{out}TAG OK done"))
    });
    env.plain("source", port);
    let mut child = env.spawn(&[]);
    crate::testkit::eventually("the run ends", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let count: i64 = env.one("SELECT count(*) FROM mailbox");
    assert!(count < 10, "{count} incarnations");
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
    let port = answering::start(
        env.source.port(),
        once("NO [SERVERBUG] Internal error", "FETCH 1:"),
    );
    env.plain("source", port);
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.err.contains("System Error") && ran.err.contains("Internal error"));
    assert_eq!(env.delivered().len(), 2);
}

#[test]
fn a_source_renumbered_in_the_middle_of_a_run_is_matched_in_that_run() {
    let Some(mut env) = TestEnv::dovecot() else {
        return;
    };
    let proxy = Proxy::start(env.source.port());
    env.plain("source", proxy.port());
    let first = env.source.plant(ALICE, &mail("", DATE, "first"), "", T0);
    for i in 1..8 {
        let id = ["", "<named@x>"][usize::from(i == 7)];
        let text = format!("text {i}");
        env.source.plant(ALICE, &mail(id, DATE, &text), "", T0 + i);
    }
    // The listing is done, the bodies are lost, and what was number 2 is number 1 when the source is back.
    proxy.refuse_after_cut();
    proxy.cut_before_reply(b"BODY[] {");
    let mut child = env.spawn(&[]);
    crate::testkit::eventually("the source is cut", || proxy.cuts() > 0);
    fs::remove_file(first).unwrap();
    env.source.reset_uidvalidity(ALICE);
    proxy.refuse(false);
    assert!(child.wait().unwrap().success(), "{}", env.dump());
    env.assert_complete_but("status = 'gone'");
}

#[test]
fn a_uid_that_means_another_message_is_a_new_incarnation() {
    let Some(env) = TestEnv::dovecot() else {
        return;
    };
    let path = env
        .source
        .plant(ALICE, &mail("<old@x>", DATE, "text"), "", T0);
    env.source
        .plant(ALICE, &mail("<other@x>", DATE, "text"), "", T0 + 1);
    let bob = env.target.tokens.lock().unwrap().remove(TOKEN).unwrap();
    assert_eq!(env.run().status, 4);
    // Same UIDVALIDITY, same UID, another message: a restored or badly copied mailbox.
    fs::write(&path, mail("<new@x>", DATE, "text")).unwrap();
    fs::remove_file(path.parent().unwrap().with_file_name("dovecot.index.cache")).unwrap();
    env.target.tokens.lock().unwrap().insert(TOKEN.into(), bob);
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    env.assert_complete_but("status = 'gone'");
}

#[test]
fn a_dry_run_says_what_would_be_done_and_writes_nothing() {
    let Some(env) = TestEnv::dovecot() else {
        return;
    };
    env.source.plant(ALICE, &mail("<1@x>", DATE, "one"), "", T0);
    env.source.plant(ALICE, &mail("<2@x>", DATE, "two"), "", T0);
    env.target
        .append(BOB, "INBOX", &mail("<2@x>", DATE, "two"), "", T0);
    let files = || {
        let mut names: Vec<_> = fs::read_dir(env.dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let before = files();
    let ran = env.command(&["run", "--config", "config.json", "--dry-run"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(
        ran.out,
        "would send 1 message (111 bytes) to bob\n1 message is in the target already\nwith `--debug` each message is listed\n"
    );
    assert_eq!(files(), before);
    env.run_until_done(1);
    let ledger = fs::read(env.ledger_file()).unwrap();
    let ran = env.command(&["run", "--config", "config.json", "--dry-run"]);
    assert_eq!(ran.out, "would send nothing to bob\n");
    assert_eq!(fs::read(env.ledger_file()).unwrap(), ledger);
    env.assert_complete();
}

#[test]
fn no_secret_is_in_anything_that_a_run_wrote() {
    let Some(mut env) = TestEnv::dovecot() else {
        return;
    };
    env.source
        .plant(ALICE, &mail("<1@x>", DATE, "a body nobody may log"), "", T0);
    let mut written = env.run_with(&["--debug"]).err;
    assert!(
        written.contains("C: a1 AUTHENTICATE"),
        "the protocol is logged: {written}"
    );
    // Refused secrets too, in each way of signing in, over implicit TLS and STARTTLS.
    env.set("target_token_file", Value::Null)
        .set("target_pass", "correct horse");
    env.source
        .plant(ALICE, &mail("<2@x>", DATE, "another"), "", T0);
    written += &env.run_with(&["--debug"]).err;
    let port = env.source.port();
    env.set("source_pass", "battery \"staple\\")
        .set("source_tls", "starttls")
        .through("source", port);
    written += &env.run_with(&["--debug"]).err;
    written += &env.command(&["status", "--failed"]).out;
    for entry in fs::read_dir(env.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains("sync_state") {
            written += &String::from_utf8_lossy(&fs::read(path).unwrap());
        }
    }
    let base64 = |text: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(text)
    };
    for secret in [TOKEN, "correct horse", "correcthorse", "battery \"staple\\"] {
        let whole_login = format!("\0{ALICE}\0{secret}");
        let oauth = format!("user={BOB}\x01auth=Bearer {secret}\x01\x01");
        for form in [
            secret.to_string(),
            base64(secret),
            base64(&whole_login),
            base64(&oauth),
        ] {
            assert!(!written.contains(&form), "{form} is in what was written");
        }
    }
    assert!(!written.contains("nobody may log"), "bodies are not logged");
}
