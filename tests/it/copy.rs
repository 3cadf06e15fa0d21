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
    let Some(world) = TestEnv::dovecot() else {
        return;
    };
    let mut mail = corpus::nasty();
    mail.extend(corpus::mail_parser().unwrap_or_default());
    for (i, m) in mail.iter().enumerate() {
        let flags = ["", "S", "FS", "R", "T"][i % 5];
        world
            .source
            .plant(ALICE, &m.bytes, flags, T0 + i as i64 * 1000);
    }
    let ran = world.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    world.assert_complete();
}

/// `.ci/run` runs it: some thousand messages take a while.
#[test]
#[ignore = "6,280 messages: run by .ci/run, after tests/corpus.sh"]
fn all_real_mail_arrives_once_and_unaltered() {
    let Some(world) = TestEnv::dovecot() else {
        return;
    };
    let mut mail = corpus::nasty();
    mail.extend(corpus::mail_parser().expect("tests/corpus.sh fetches it"));
    mail.extend(corpus::spam_assassin().expect("tests/corpus.sh fetches it"));
    for (i, m) in mail.iter().enumerate() {
        let flags = ["", "S", "FS", "RS", "D"][i % 5];
        world
            .source
            .plant(ALICE, &m.bytes, flags, T0 + i as i64 * 100);
    }
    assert!(mail.len() > 6_200, "{} messages", mail.len());
    let ran = world.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    world.assert_complete();
    let status = world.status();
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
    let Some(world) = TestEnv::dovecot_with(rawlog(), rawlog().xoauth2(true)) else {
        return;
    };
    let mut costs = Vec::new();
    for size in [5, 200] {
        for i in 0..size {
            let id = format!("<{size}.{i}@example.org>");
            world
                .source
                .plant(ALICE, &mail(&id, DATE, "hello"), "", T0 + i);
        }
        assert_eq!(world.run().status, 0);
        let before = (world.source.commands().len(), world.target.commands().len());
        assert_eq!(world.run().status, 0);
        let source = world.source.commands().split_off(before.0);
        let target = world.target.commands().split_off(before.1);
        let all = [source.clone(), target.clone()].concat().join("\n");
        assert!(
            !all.contains("APPEND") && !all.contains("BODY.PEEK[]"),
            "{all}"
        );
        costs.push((source.len(), target.len()));
    }
    assert_eq!(costs[0], costs[1], "commands to (source, target)");
    world.assert_complete();
}

#[test]
fn what_the_target_has_is_recognised_and_not_sent() {
    let Some(world) = TestEnv::dovecot_with(
        Dovecot::build(),
        Dovecot::build().xoauth2(true).rawlog(true),
    ) else {
        return;
    };
    let here = mail("<here@example.org>", DATE, "the same bytes");
    let fetched = mail("<fetched@example.org>", DATE, "as POP fetch leaves it");
    let with_more = [b"X-Gmail-Fetch-Info: x\r\n", &fetched[..]].concat();
    world.target.append(BOB, "INBOX", &here, "", T0);
    world
        .target
        .append(BOB, "INBOX", &with_more, "\\Seen", T0 + 86_400 * 300);
    world.source.plant(ALICE, &here, "", T0);
    world.source.plant(ALICE, &fetched, "", T0);
    assert_eq!(world.run().status, 0);
    assert!(!world.target.commands().iter().any(|c| c.contains("APPEND")));
    assert_eq!(world.delivered().len(), 2);
    let found: i64 = world.one("SELECT count(*) FROM message WHERE proof = 'found'");
    assert_eq!(found, 2, "{}", world.dump());
}

#[test]
fn twenty_messages_with_one_message_id_are_twenty() {
    let Some(world) = TestEnv::dovecot() else {
        return;
    };
    let one = |day: usize| {
        mail(
            "<same@example.org>",
            &format!("{day} Nov 2023 22:13:20 +0000"),
            "text",
        )
    };
    world.target.append(BOB, "INBOX", &one(7), "", T0);
    for day in 1..=20 {
        world.source.plant(ALICE, &one(day), "", T0 + day as i64);
    }
    world.run_until_done(1);
    assert_eq!(world.delivered().len(), 20, "{}", world.dump());
    let found: i64 = world.one("SELECT count(*) FROM message WHERE proof = 'found'");
    assert_eq!(found, 1, "{}", world.dump());
}

#[test]
fn other_bytes_under_one_message_id_and_date_are_sent_equal_bytes_once() {
    let Some(world) = TestEnv::dovecot() else {
        return;
    };
    let list = mail("<list@example.org>", DATE, "list copy, with a footer");
    let direct = mail("<list@example.org>", DATE, "direct copy");
    // The older one of the pair is what the target has: the newer must not be taken for it.
    world.target.append(BOB, "INBOX", &list, "", T0);
    world.source.plant(ALICE, &list, "", T0);
    world.source.plant(ALICE, &direct, "", T0 + 10);
    world.source.plant(ALICE, &direct, "", T0 + 10);
    world.run_until_done(1);
    world.assert_complete();
    let proofs: String =
        world.one("SELECT group_concat(proof) FROM (SELECT proof FROM message ORDER BY proof)");
    assert_eq!(proofs, "appended,found,same");
}

#[test]
fn a_message_found_by_name_alone_does_not_swallow_a_later_one() {
    let Some(world) = TestEnv::dovecot() else {
        return;
    };
    let (first, second) = (
        mail("<a@example.org>", DATE, "first"),
        mail("<a@example.org>", DATE, "second, quite another text"),
    );
    world.target.append(BOB, "INBOX", &first, "", T0);
    world.source.plant(ALICE, &first, "", T0);
    world.run_until_done(1);
    world.source.plant(ALICE, &second, "", T0 + 5);
    world.run_until_done(1);
    world.assert_complete();
}

#[test]
fn a_message_found_by_name_alone_is_known_by_its_bytes_later() {
    let Some(world) = TestEnv::dovecot() else {
        return;
    };
    let one = mail("<a@example.org>", DATE, "the one and only");
    world.target.append(BOB, "INBOX", &one, "", T0);
    world.source.plant(ALICE, &one, "", T0);
    world.run_until_done(1);
    // Its owner moves the copy away: only the ledger still knows of it.
    world.target.expunge(BOB, "INBOX", world.delivered()[0].uid);
    world.source.plant(ALICE, &one, "", T0 + 5);
    world.run_until_done(1);
    assert_eq!(world.delivered().len(), 0, "{}", world.dump());
}

#[test]
fn a_source_lost_between_listing_and_describing_its_mail_loses_none() {
    let Some(mut world) = TestEnv::dovecot() else {
        return;
    };
    world
        .source
        .plant(ALICE, &mail("<0@x>", DATE, "first"), "", T0);
    let proxy = Proxy::start(world.source.port());
    world.plain("source", proxy.port());
    world.run_until_done(1);
    for i in 1..4 {
        world
            .source
            .plant(ALICE, &mail(&format!("<{i}@x>"), DATE, "later"), "", T0 + i);
        proxy.refuse_after_cut();
        proxy.cut_before_reply(b"RFC822.SIZE");
        let ran = world.run();
        assert_eq!(
            ran.status, 1,
            "out of reach for longer than it is retried: {}",
            ran.err
        );
        proxy.refuse(false);
        world.run_until_done(1);
    }
    world.assert_complete();
}

#[test]
fn only_what_came_since_the_start_is_history_but_new_mail_has_no_date() {
    let Some(mut world) = TestEnv::dovecot() else {
        return;
    };
    world.set("since", "2023-11-15");
    let plant = |world: &DovecotEnv, id: &str, at: i64| {
        world
            .source
            .plant(ALICE, &mail(&format!("<{id}@x>"), DATE, id), "", at);
    };
    let midnight = 1_700_006_400; // 2023-11-15
    plant(&world, "before", midnight - 1);
    plant(&world, "after", midnight);
    world.run_until_done(1);
    assert_eq!(world.delivered().len(), 1);
    plant(&world, "old but new here", 1_000_000_000);
    world.run_until_done(1);
    assert_eq!(world.delivered().len(), 2, "{}", world.dump());
    world.set("since", "2023-11-20").run_until_done(1);
    assert_eq!(world.delivered().len(), 2, "a later start changes nothing");
    world.set("since", "2023-11-14").run_until_done(1);
    world.assert_complete();
}

#[test]
fn refused_messages_fail_with_the_servers_words_and_the_rest_arrives() {
    let target = Dovecot::build().xoauth2(true).max_mail_size("50k");
    let Some(world) = TestEnv::dovecot_with(Dovecot::build(), target) else {
        return;
    };
    world.source.plant(ALICE, b"", "", T0);
    world.source.plant(
        ALICE,
        &mail("<big@x>", DATE, &"long\r\n".repeat(20_000)),
        "",
        T0,
    );
    world
        .source
        .plant(ALICE, &mail("<ok@x>", DATE, "fine"), "", T0 - 5);
    let ran = world.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    assert_eq!(world.delivered().len(), 1);
    let failed = world.command(&["status", "--failed"]).out;
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
    assert_eq!(world.status()["failed"], 2);

    assert_eq!(world.command(&["retry-failed"]).status, 0);
    assert_eq!(world.status()["pending"], 2);
    assert_eq!(world.run().status, 3);
    assert_eq!(world.status()["failed"], 2);

    assert_eq!(world.command(&["retry-failed", "--skip"]).status, 0);
    assert_eq!(world.status()["skipped"], 2);
    assert_eq!(world.run().status, 0);
}

#[test]
fn a_full_target_stops_delivery_and_charges_nobody() {
    let target = Dovecot::build().xoauth2(true).mailbox_quota("30k");
    let Some(mut world) = TestEnv::dovecot_with(Dovecot::build(), target) else {
        return;
    };
    world.set("connections", 1);
    for i in 0..20 {
        let text = "text\r\n".repeat(1000);
        world
            .source
            .plant(ALICE, &mail(&format!("<{i}@x>"), DATE, &text), "", T0 + i);
    }
    let ran = world.run();
    assert_eq!(ran.status, 4, "{}", ran.err);
    assert!(
        ran.err.contains("error: the target account is full"),
        "{}",
        ran.err
    );
    let charged: i64 = world
        .one("SELECT count(*) FROM message WHERE first_failed_at IS NOT NULL OR status = 'failed'");
    assert_eq!(charged, 0, "{}", world.dump());
    let status = world.status();
    assert_eq!(status["trouble"]["kind"], "needs_user", "{status}");
    assert_eq!(status["in_flight"], 0, "{status}");
    let there = world.delivered();
    assert!(!there.is_empty() && there.len() < 20);
    for m in there {
        world.target.expunge(BOB, "INBOX", m.uid);
    }
    let ran = world.run();
    assert_eq!(ran.status, 4, "{}", ran.err);
    assert!(
        !world.delivered().is_empty(),
        "delivery goes on where there is room"
    );
}

#[test]
fn messages_expunged_before_they_were_fetched_are_gone() {
    let Some(world) = TestEnv::dovecot_with(
        Dovecot::build().rawlog(true),
        Dovecot::build().xoauth2(true),
    ) else {
        return;
    };
    for i in 0..6 {
        world
            .source
            .plant(ALICE, &mail(&format!("<{i}@x>"), DATE, "text"), "", T0 + i);
    }
    let bob = world.target.tokens.lock().unwrap().remove(TOKEN).unwrap();
    let ran = world.run();
    assert_eq!(ran.status, 4, "a refused token: {}", ran.err);
    assert_eq!(
        world.status()["pending"],
        6,
        "what is there was recorded all the same"
    );
    for m in world.source.mailbox(ALICE, "INBOX").iter().take(2) {
        world.source.expunge(ALICE, "INBOX", m.uid);
    }
    world
        .target
        .tokens
        .lock()
        .unwrap()
        .insert(TOKEN.into(), bob);
    let before = world.source.commands().len();
    assert_eq!(world.run().status, 0, "{}", world.dump());
    let commands = world.source.commands().split_off(before);
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
    let status = world.status();
    assert_eq!(
        (&status["gone"], &status["delivered"]),
        (&Value::from(2), &Value::from(4))
    );
    assert!(status["trouble"].is_null(), "{status}");
}

#[test]
fn poison_fails_in_the_end_and_holds_up_nobody() {
    let Some(world) = TestEnv::dovecot() else {
        return;
    };
    for i in 0..60 {
        world
            .source
            .plant(ALICE, &mail(&format!("<{i}@x>"), DATE, "text"), "", T0 + i);
        match i {
            10 => drop(world.source.plant_poison(ALICE, Poison::SizeTooSmall)),
            30 => drop(world.source.plant_poison(ALICE, Poison::SizeTooBig)),
            50 => drop(world.source.plant_poison(ALICE, Poison::Unreadable)),
            _ => {}
        }
    }
    let ran = world.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    assert_eq!(
        world.delivered().len(),
        60,
        "everything else, in the very first run: {}",
        ran.err
    );
    let status = world.status();
    assert_eq!(
        (&status["pending"], &status["failed"]),
        (&Value::from(3), &Value::from(0)),
        "{status}"
    );
    // The days after which it is given up are three seconds here.
    crate::testkit::eventually("the poison is given up", || {
        let status = world.run().status;
        assert_eq!(status, 3);
        world.status()["failed"] == 3
    });
    assert_eq!(world.delivered().len(), 60);
    let charged: i64 =
        world.one("SELECT count(*) FROM message WHERE status = 'delivered' AND attempt > 1");
    assert_eq!(charged, 0, "others tried again: {}", world.dump());
}

#[test]
fn a_renumbered_source_is_matched_with_the_ledger() {
    let Some(world) = TestEnv::dovecot() else {
        return;
    };
    let plant = |from: i64, to: i64| {
        for i in from..to {
            let id = if i % 4 == 0 {
                String::new()
            } else {
                format!("<{i}@x>")
            };
            world
                .source
                .plant(ALICE, &mail(&id, DATE, &format!("text {i}")), "S", T0 + i);
        }
    };
    plant(0, 40);
    world.run_until_done(1);
    // Mail that its owner deleted must not come back: neither what we sent, nor what we found there
    // and only know by name, nor what was given up for good.
    let found = mail("<found@x>", DATE, "put there by hand");
    world.target.append(BOB, "INBOX", &found, "", T0);
    world.source.plant(ALICE, &found, "", T0);
    world.source.plant(ALICE, b"", "", T0);
    assert_eq!(world.run().status, 3);
    assert_eq!(world.command(&["retry-failed", "--skip"]).status, 0);
    let deleted = [world.delivered()[3].clone(), world.delivered()[40].clone()];
    assert_eq!(deleted[1].bytes, found);
    for m in &deleted {
        world.target.expunge(BOB, "INBOX", m.uid);
    }
    let bob = world.target.tokens.lock().unwrap().remove(TOKEN).unwrap();
    plant(40, 50);
    assert_eq!(world.run().status, 4);
    world.source.reset_uidvalidity(ALICE);
    plant(50, 60);
    world
        .target
        .tokens
        .lock()
        .unwrap()
        .insert(TOKEN.into(), bob);
    world.run_until_done(1);
    let there = world.delivered();
    assert_eq!(there.len(), 59, "{}", world.dump());
    assert!(
        there
            .iter()
            .all(|m| deleted.iter().all(|d| d.bytes != m.bytes))
    );
    let incarnations: i64 = world.one("SELECT count(*) FROM mailbox");
    assert_eq!(incarnations, 2);
    let status = world.status();
    assert_eq!(
        (&status["delivered"], &status["skipped"]),
        (&Value::from(61), &Value::from(1))
    );
}

#[test]
fn a_source_that_has_enough_of_us_charges_no_message() {
    let Some(mut world) = TestEnv::dovecot() else {
        return;
    };
    for i in 0..20 {
        let one = mail(&format!("<{i}@x>"), DATE, "text");
        world.source.plant(ALICE, &one, "", T0 + i);
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let port = answering::start(world.source.port(), move |command| {
        command.ends_with("BODY.PEEK[])").then(|| {
            counter.fetch_add(1, Ordering::Relaxed);
            "NO [OVERQUOTA] Account exceeded command or bandwidth limits.".into()
        })
    });
    let direct = world.source.port();
    world.set("connections", 1).plain("source", port);
    let ran = world.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    let status = world.status();
    assert_eq!(status["trouble"]["kind"], "throttled", "{status}");
    let charged: i64 = world.one(
        "SELECT count(*) FROM message WHERE first_failed_at IS NOT NULL OR status <> 'pending'",
    );
    assert_eq!(charged, 0, "{}", world.dump());
    assert_eq!(
        asked.load(Ordering::Relaxed),
        1,
        "it is not asked on and on"
    );
    world.plain("source", direct).run_until_done(1);
    world.assert_complete();
}

#[test]
fn a_target_that_takes_fewer_connections_than_we_open_is_filled_all_the_same() {
    let target = Dovecot::build()
        .xoauth2(true)
        .extra("mail_max_userip_connections = 1");
    let Some(world) = TestEnv::dovecot_with(Dovecot::build(), target) else {
        return;
    };
    // Whether a second worker knocks while the first is in is a matter of moments: until it has.
    let mut refused = false;
    for round in 0..30 {
        for i in 0..30 {
            let n = round * 30 + i;
            let one = mail(&format!("<{n}@x>"), DATE, "text");
            world.source.plant(ALICE, &one, "", T0 + n);
        }
        let ran = world.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert!(world.status()["trouble"].is_null());
        refused |= ran.err.contains("slow down");
        if refused {
            break;
        }
    }
    assert!(refused, "no worker was ever turned away");
    world.assert_complete();
}

#[test]
fn a_message_whose_metadata_cannot_be_had_is_delivered_by_its_body() {
    let Some(mut world) = TestEnv::dovecot() else {
        return;
    };
    for i in 0..3 {
        let one = mail(&format!("<{i}@x>"), DATE, "text");
        world.source.plant(ALICE, &one, "", T0 + i);
    }
    let there = mail("<2@x>", DATE, "text");
    world.target.append(BOB, "INBOX", &there, "", T0 + 2);
    // Alone or among others, with the body or without.
    let port = answering::start(world.source.port(), |command| {
        let asked = command.contains("HEADER.FIELDS (MESSAGE-ID DATE)");
        asked.then(|| "NO [SERVERBUG] Internal error".into())
    });
    world.plain("source", port).set("connections", 1);
    let ran = world.run();
    assert_eq!(ran.status, 0, "{}\n{}", ran.err, world.dump());
    world.assert_complete();
    let found: i64 = world.one("SELECT count(*) FROM message WHERE proof = 'found'");
    assert_eq!(found, 1, "{}", world.dump());
}

#[test]
fn a_source_whose_uids_never_keep_their_meaning_is_given_up() {
    let Some(mut world) = TestEnv::dovecot() else {
        return;
    };
    world.source.plant(ALICE, b"Subject: any\r\n\r\n", "", T0);
    // Number 1 has another name each time, number 2 is known by its bytes each time.
    let names = AtomicUsize::new(0);
    let message = move |uid: u32| match uid {
        1 => format!(
            "Message-ID: <{}@x>\r\n\r\n",
            names.fetch_add(1, Ordering::Relaxed)
        ),
        _ => "Subject: x\r\n\r\n".into(),
    };
    let port = answering::start(world.source.port(), move |command| {
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
    world.plain("source", port);
    let mut child = world.spawn(&[]);
    crate::testkit::eventually("the run ends", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let count: i64 = world.one("SELECT count(*) FROM mailbox");
    assert!(count < 10, "{count} incarnations");
}

#[test]
fn a_refusal_that_passes_does_not_end_a_run() {
    let Some(mut world) = TestEnv::dovecot() else {
        return;
    };
    world
        .source
        .plant(ALICE, &mail("<1@x>", DATE, "text"), "", T0);
    world
        .target
        .append(BOB, "INBOX", &mail("<0@x>", DATE, "other"), "", T0);
    let once = |words: &'static str, begin: &'static str| {
        let left = AtomicUsize::new(1);
        move |command: &str| {
            let now = command.starts_with(begin) && left.swap(0, Ordering::Relaxed) == 1;
            now.then(|| words.to_string())
        }
    };
    let port = answering::start(
        world.target.port(),
        once("NO System Error (Failure)", "UID FETCH"),
    );
    world.plain("target", port);
    let port = answering::start(
        world.source.port(),
        once("NO [SERVERBUG] Internal error", "FETCH 1:"),
    );
    world.plain("source", port);
    let ran = world.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.err.contains("System Error") && ran.err.contains("Internal error"));
    assert_eq!(world.delivered().len(), 2);
}

#[test]
fn a_source_renumbered_in_the_middle_of_a_run_is_matched_in_that_run() {
    let Some(mut world) = TestEnv::dovecot() else {
        return;
    };
    let proxy = Proxy::start(world.source.port());
    world.plain("source", proxy.port());
    let first = world.source.plant(ALICE, &mail("", DATE, "first"), "", T0);
    for i in 1..8 {
        let id = ["", "<named@x>"][usize::from(i == 7)];
        let text = format!("text {i}");
        world
            .source
            .plant(ALICE, &mail(id, DATE, &text), "", T0 + i);
    }
    // The listing is done, the bodies are lost, and what was number 2 is number 1 when the source is back.
    proxy.refuse_after_cut();
    proxy.cut_before_reply(b"BODY[] {");
    let mut child = world.spawn(&[]);
    crate::testkit::eventually("the source is cut", || proxy.cuts() > 0);
    fs::remove_file(first).unwrap();
    world.source.reset_uidvalidity(ALICE);
    proxy.refuse(false);
    assert!(child.wait().unwrap().success(), "{}", world.dump());
    world.assert_complete_but("status = 'gone'");
}

#[test]
fn a_uid_that_means_another_message_is_a_new_incarnation() {
    let Some(world) = TestEnv::dovecot() else {
        return;
    };
    let path = world
        .source
        .plant(ALICE, &mail("<old@x>", DATE, "text"), "", T0);
    world
        .source
        .plant(ALICE, &mail("<other@x>", DATE, "text"), "", T0 + 1);
    let bob = world.target.tokens.lock().unwrap().remove(TOKEN).unwrap();
    assert_eq!(world.run().status, 4);
    // Same UIDVALIDITY, same UID, another message: a restored or badly copied mailbox.
    fs::write(&path, mail("<new@x>", DATE, "text")).unwrap();
    fs::remove_file(path.parent().unwrap().with_file_name("dovecot.index.cache")).unwrap();
    world
        .target
        .tokens
        .lock()
        .unwrap()
        .insert(TOKEN.into(), bob);
    let ran = world.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    world.assert_complete_but("status = 'gone'");
}

#[test]
fn a_dry_run_says_what_would_be_done_and_writes_nothing() {
    let Some(world) = TestEnv::dovecot() else {
        return;
    };
    world
        .source
        .plant(ALICE, &mail("<1@x>", DATE, "one"), "", T0);
    world
        .source
        .plant(ALICE, &mail("<2@x>", DATE, "two"), "", T0);
    world
        .target
        .append(BOB, "INBOX", &mail("<2@x>", DATE, "two"), "", T0);
    let files = || {
        let mut names: Vec<_> = fs::read_dir(world.dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let before = files();
    let ran = world.command(&["run", "--config", "config.json", "--dry-run"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(
        ran.out,
        "would send 1 message (111 bytes) to bob\n1 message is in the target already\nwith `--debug` each message is listed\n"
    );
    assert_eq!(files(), before);
    world.run_until_done(1);
    let ledger = fs::read(world.ledger_file()).unwrap();
    let ran = world.command(&["run", "--config", "config.json", "--dry-run"]);
    assert_eq!(ran.out, "would send nothing to bob\n");
    assert_eq!(fs::read(world.ledger_file()).unwrap(), ledger);
    world.assert_complete();
}

#[test]
fn no_secret_is_in_anything_that_a_run_wrote() {
    let Some(mut world) = TestEnv::dovecot() else {
        return;
    };
    world
        .source
        .plant(ALICE, &mail("<1@x>", DATE, "a body nobody may log"), "", T0);
    let mut written = world.run_with(&["--debug"]).err;
    assert!(
        written.contains("C: a1 AUTHENTICATE"),
        "the protocol is logged: {written}"
    );
    // Refused secrets too, in each way of signing in, over implicit TLS and STARTTLS.
    world
        .set("target_token_file", Value::Null)
        .set("target_pass", "correct horse");
    world
        .source
        .plant(ALICE, &mail("<2@x>", DATE, "another"), "", T0);
    written += &world.run_with(&["--debug"]).err;
    let port = world.source.port();
    world
        .set("source_pass", "battery \"staple\\")
        .set("source_tls", "starttls")
        .through("source", port);
    written += &world.run_with(&["--debug"]).err;
    written += &world.command(&["status", "--failed"]).out;
    for entry in fs::read_dir(world.dir.path()).unwrap() {
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
