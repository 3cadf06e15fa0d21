//! UIDs of a source that lose their meaning: every row is matched with its message again, or the source is given up.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::{DATE, T0, mail};
use crate::testkit::answering;
use crate::testkit::dovecot_env::{ALICE, BOB, TOKEN};
use crate::testkit::env::TestEnv;
use crate::testkit::proxy::Proxy;

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
