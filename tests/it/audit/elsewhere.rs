//! Targets that are no Gmail, several routes at once, and other people's ledgers.

use std::time::Duration;

use gmail_stand_in::{Closed, Gmail, Mail, Options};
use serde_json::{Value, json};

use super::{audit, copy_of, keep_nothing_of, let_an_hour_pass, put};
use crate::testkit::dovecot_env::{ALICE, BOB};
use crate::testkit::env::{DATE, TestEnv, mail};

/// Its mailboxes hold copies of their own, and there is no number that tells which is which.
#[test]
fn a_target_that_is_no_gmail_is_looked_through() {
    let env = TestEnv::build().plain_target().start();
    env.target.create("Archive");
    env.target.create("Trash");
    for name in ["kept", "filed", "deleted", "lost"] {
        put(&env, name);
    }
    keep_nothing_of(&env, "lost");
    env.run_until_done(1);
    let_an_hour_pass(&env);
    let found = audit(&env);
    // A look that finds nothing says so by no number here.
    found.has(&[("delivered", 3), ("deleted", 1)]);
    let bytes = env.target.message(copy_of(&env, "filed")).unwrap().bytes;
    env.target.delete(copy_of(&env, "filed"));
    env.target.add(Mail::new(bytes).in_mailbox("Archive"));
    env.target.delete(copy_of(&env, "deleted"));
    let found = audit(&env);
    found.has(&[("delivered", 2), ("deleted", 2)]);
    assert_eq!(found.status, 4);
    let text = env.command(&["audit", "--config", "config.json"]).out;
    assert!(!text.contains("Gmail"), "{text}");
    env.command(&["audit", "--config", "config.json", "--repair", "deleted"]);
    env.run_until_done(1);
    audit(&env).has(&[("delivered", 4)]);
    assert_eq!(env.target.messages().len(), 4);
}

/// A mailbox that does not open may hold what is missing.
#[test]
fn a_mailbox_that_is_closed_may_hold_what_is_missing() {
    let env = TestEnv::build().plain_target().start();
    env.target.create("Shared");
    env.mails(3);
    env.run_until_done(1);
    let_an_hour_pass(&env);
    env.target.close(
        "Shared",
        Closed::Refused("NO [NOPERM] Permission denied".into()),
    );
    audit(&env).has(&[("delivered", 3)]);
    env.target.empty("INBOX");
    let found = audit(&env);
    found.has(&[("out_of_sight", 3)]);
    assert_eq!(found.status, 4);
    env.target.open("Shared");
    audit(&env).has(&[("deleted", 3)]);
}

#[test]
fn two_dovecots() {
    let Some(env) = TestEnv::dovecot() else {
        return;
    };
    for n in 0..12 {
        let bytes = mail(&format!("<m{n}@x>"), DATE, &format!("text {n}"));
        env.source.plant(ALICE, &bytes, "S", 1_700_000_000 + n);
    }
    env.run_until_done(1);
    let found = audit(&env);
    found.has(&[("delivered", 12)]);
    assert_eq!(found.status, 0);
    let_an_hour_pass(&env);
    let one = env.delivered()[0].uid;
    env.target.expunge(BOB, "INBOX", one);
    audit(&env).has(&[("delivered", 11), ("deleted", 1)]);
    env.source.reset_uidvalidity(ALICE);
    audit(&env).has(&[("delivered", 11), ("deleted", 1), ("renumbered", 12)]);
    env.run_until_done(1);
    let repaired = env.command(&["audit", "--config", "config.json", "--repair", "deleted"]);
    assert_eq!(repaired.status, 3, "{repaired:?}");
    env.run_until_done(1);
    env.assert_complete();
    audit(&env).has(&[("delivered", 12)]);
}

/// Copies that have UIDs of their own in another incarnation of their mailbox are known by name.
#[test]
fn a_target_with_new_uids_is_known_by_names() {
    let env = TestEnv::build().plain_target().start();
    env.mails(5);
    env.run_until_done(1);
    let_an_hour_pass(&env);
    env.target.renumber("INBOX", 4242);
    audit(&env).has(&[("delivered", 5)]);
}

#[test]
fn several_routes_are_audited_together() {
    let mut env = TestEnv::new();
    env.mails(2);
    env.run_until_done(1);
    let folder = env.dir.path().join("all");
    std::fs::create_dir(&folder).unwrap();
    let config: Value =
        serde_json::from_str(&std::fs::read_to_string(env.config_file()).unwrap()).unwrap();
    std::fs::write(folder.join("a.json"), config.to_string()).unwrap();
    let mut other = config;
    other["state_file"] = json!("other.db");
    std::fs::write(folder.join("b.json"), other.to_string()).unwrap();
    // One has no ledger: the other is told of, and the whole has failed.
    let ran = env.command(&["audit", "--config", "all", "--json"]);
    assert_eq!(ran.status, 1, "{ran:?}");
    let routes: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(routes["routes"].as_array().unwrap().len(), 1);
    assert!(
        ran.err.contains("all/other.db: there is no ledger here"),
        "{ran:?}"
    );
    std::fs::copy(env.ledger_file(), folder.join("other.db")).unwrap();
    let both = ["audit", "--config", "all/a.json", "--config", "all/b.json"];
    let ran = env.command(&both);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(ran.out.matches("ALL ACCOUNTED FOR").count(), 2, "{ran:?}");
    // Ids are of one ledger.
    let refused = env.command(&[&both[..], &["--repair", "1"]].concat());
    assert_eq!(refused.status, 2);
    assert!(
        refused.err.contains("each ledger has ids of its own"),
        "{refused:?}"
    );
    put(&env, "new");
    assert_eq!(env.command(&both).status, 3);
    env.set("state_file", Value::Null);
}

/// Without a run that would do it, a token that has run out is renewed, and kept for the next.
#[test]
fn a_token_that_has_run_out_is_renewed() {
    let mut env = TestEnv::new();
    env.mails(2);
    env.run_until_done(1);
    let text = env.target.token_json("ya29.run-out", Duration::ZERO);
    let mut token: Value = serde_json::from_str(&text).unwrap();
    token["expiry"] = json!("2020-01-02T03:04:05.123456Z");
    env.set("target_pass", Value::Null);
    env.write_token(&token);
    for _ in 0..2 {
        let found = audit(&env);
        found.has(&[("delivered", 2)]);
        assert_eq!(found.status, 0);
    }
    assert_eq!(env.target.token_requests().len(), 1);
}

#[test]
fn another_routes_ledger_is_refused() {
    let mut env = TestEnv::new();
    env.mails(1);
    env.run_until_done(1);
    let other = Gmail::start(Options {
        account: "other@gmail.com".into(),
        ..Options::default()
    });
    env.set("target_user", other.account());
    env.set("target_port", other.port());
    env.set("target_ca_file", other.ca_file().to_str().unwrap());
    let ran = env.command(&["audit", "--config", "config.json"]);
    assert_eq!((ran.status, &*ran.out), (1, ""));
    assert!(ran.err.contains("this ledger is for"), "{ran:?}");
    assert!(other.transcript().client().is_empty());
}
