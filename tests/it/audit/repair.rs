//! What is queued again: a run looks for each message before it sends it, and nothing comes twice.

use gmail_stand_in::Mail;
use serde_json::json;

use super::{Audit, audit, audit_with, copy_of, keep_nothing_of, let_an_hour_pass, put, stored};
use crate::testkit::env::{DATE, TestEnv, mail};

fn appends(env: &TestEnv) -> usize {
    env.target.transcript().commands(" APPEND ")
}

fn repair(env: &TestEnv, wanted: &[&str]) -> Audit {
    audit_with(env, &[&["--repair"], wanted].concat())
}

/// Two that were lost, and others that are in order.
fn two_lost() -> TestEnv {
    let env = TestEnv::new();
    env.mails(3);
    for name in ["a", "b"] {
        put(&env, name);
        keep_nothing_of(&env, name);
    }
    env.run_until_done(1);
    let_an_hour_pass(&env);
    audit(&env).has(&[("delivered", 3), ("lost", 2)]);
    env
}

#[test]
fn what_is_lost_is_sent_again_by_the_next_run() {
    let env = two_lost();
    let before = appends(&env);
    let id = audit(&env).id("a");
    let one = repair(&env, &[&id]);
    assert_eq!(
        one.route["repaired"]["queued"].to_string(),
        format!("[{id}]")
    );
    // The other one is still a person's.
    assert_eq!(one.status, 4);
    assert_eq!(appends(&env), before, "an audit sends nothing");
    audit(&env).has(&[("delivered", 3), ("open", 1), ("lost", 1)]);
    let rest = repair(&env, &["lost"]);
    assert_eq!(
        (rest.status, &rest.route["repaired"]["changed"]),
        (3, &json!(0))
    );
    env.run_until_done(1);
    env.assert_complete();
    assert_eq!(appends(&env), before + 2);
    let found = audit(&env);
    found.has(&[("delivered", 5)]);
    assert_eq!(found.status, 0);
}

#[test]
fn what_is_there_after_all_is_found_and_not_sent() {
    let env = two_lost();
    let before = appends(&env);
    repair(&env, &["lost"]);
    // Late, or by another way: it has come meanwhile.
    for name in ["a", "b"] {
        let id = stored(&env.source, name);
        let bytes = env.source.message(id).unwrap().bytes;
        env.target.add(Mail::new(bytes));
    }
    env.run_until_done(1);
    env.assert_complete();
    assert_eq!(appends(&env), before);
    let found: i64 = env.one("SELECT count(*) FROM message WHERE proof = 'found'");
    assert_eq!(found, 2, "{}", env.dump());
    audit(&env).has(&[("delivered", 5)]);
}

/// The index still has the message that was deleted: a hit counts only when it is seen.
#[test]
fn what_was_deleted_for_good_is_sent_again_and_what_is_in_trash_is_not() {
    let env = TestEnv::new();
    for name in ["deleted", "trashed", "kept"] {
        put(&env, name);
    }
    env.run_until_done(1);
    // The index learns of what lies there.
    env.run_until_done(1);
    let_an_hour_pass(&env);
    env.target.delete(copy_of(&env, "deleted"));
    env.target.trash(copy_of(&env, "trashed"));
    let found = audit(&env);
    found.has(&[("delivered", 1), ("deleted", 1), ("in_trash", 1)]);
    let args = ["audit", "--config", "config.json", "--repair"];
    let trashed = found.id("trashed");
    let refused = env.command(&[&args[..], &[&trashed]].concat());
    assert_eq!(refused.status, 2, "{refused:?}");
    assert!(
        refused
            .err
            .contains("is in the target, and is not sent again"),
        "{refused:?}"
    );
    // All or nothing: the one that could be is not queued beside the one that could not.
    let both = format!("{},{trashed}", found.id("deleted"));
    assert_eq!(env.command(&[&args[..], &[&both]].concat()).status, 2);
    audit(&env).has(&[("delivered", 1), ("deleted", 1), ("in_trash", 1)]);
    assert_eq!(repair(&env, &["deleted"]).status, 3);
    env.run_until_done(1);
    env.assert_complete();
    assert_eq!(env.held().len(), 2, "Trash is left alone");
    audit(&env).has(&[("delivered", 2), ("in_trash", 1)]);
}

/// One of two rows with the same bytes vouched for the other: as long as it counts as delivered, nothing would be sent.
#[test]
fn whoever_vouched_is_queued_with_it() {
    for queued in ["voucher_gone", "deleted"] {
        let mut env = TestEnv::new();
        env.set("folders", json!(["*"]));
        let bytes = put(&env, "twice");
        env.source.add(Mail::new(&bytes).in_mailbox("Work"));
        put(&env, "other");
        env.run_until_done(1);
        let_an_hour_pass(&env);
        env.target.delete(copy_of(&env, "twice"));
        audit(&env).has(&[("delivered", 1), ("deleted", 1), ("voucher_gone", 1)]);
        let found = repair(&env, &[queued]);
        let ids = found.route["repaired"]["queued"].as_array().unwrap().len();
        assert_eq!((found.status, ids), (3, 2), "{queued}");
        env.run_until_done(1);
        env.assert_complete();
        let found = audit(&env);
        found.has(&[("delivered", 3)]);
        assert_eq!(found.status, 0);
    }
}

/// The one that vouched left the source meanwhile: it cannot be sent, and must not vouch any longer.
#[test]
fn whoever_vouched_and_has_left_the_source_vouches_no_more() {
    let mut env = TestEnv::new();
    env.set("folders", json!(["*"]));
    let bytes = put(&env, "twice");
    env.run_until_done(1);
    env.source.add(Mail::new(&bytes).in_mailbox("Work"));
    env.run_until_done(1);
    let_an_hour_pass(&env);
    env.source.delete(stored(&env.source, "twice"));
    env.target.delete(copy_of(&env, "twice"));
    audit(&env).has(&[("gone_from_both", 1), ("voucher_gone", 1)]);
    repair(&env, &["voucher_gone"]);
    env.run_until_done(3);
    assert_eq!(env.held().len(), 1, "{}", env.dump());
    audit(&env).has(&[("delivered", 1), ("gone", 1)]);
}

/// The same, and its folder has had new UIDs since: no run claims such a row, so it must not wait.
#[test]
fn a_row_of_an_older_incarnation_that_vouched_is_gone() {
    let mut env = TestEnv::new();
    env.set("folders", json!(["*"]));
    let bytes = put(&env, "twice");
    put(&env, "other");
    env.run_until_done(1);
    env.source.delete(stored(&env.source, "twice"));
    env.source.renumber("INBOX", 7777);
    env.run_until_done(1);
    env.source.add(Mail::new(&bytes).in_mailbox("Work"));
    env.run_until_done(1);
    let_an_hour_pass(&env);
    env.target.delete(copy_of(&env, "twice"));
    audit(&env).has(&[("delivered", 1), ("gone_from_both", 1), ("voucher_gone", 1)]);
    repair(&env, &["voucher_gone"]);
    let statuses: String = env.one("SELECT group_concat(status) FROM message ORDER BY id");
    assert_eq!(statuses, "gone,delivered,pending");
    env.run_until_done(1);
    assert_eq!(env.held().len(), 2, "{}", env.dump());
    audit(&env).has(&[("delivered", 2), ("gone", 1)]);
}

/// What the predecessor vouched for is not vouched for again.
#[test]
fn what_the_script_had_copied_and_is_gone_is_sent() {
    let env = TestEnv::new();
    put(&env, "copied");
    let state = env.dir.path().join("sync_state.json");
    std::fs::write(
        &state,
        json!({"synced_message_ids": ["<copied@x>"]}).to_string(),
    )
    .unwrap();
    let done = env.command(&["import-state", "sync_state.json", "--config", "config.json"]);
    assert_eq!(done.status, 0, "{done:?}");
    env.run_until_done(1);
    assert_eq!(env.held().len(), 0);
    let_an_hour_pass(&env);
    let found = audit(&env);
    found.has(&[("voucher_gone", 1)]);
    repair(&env, &[&found.id("copied")]);
    env.run_until_done(1);
    env.assert_complete();
    audit(&env).has(&[("delivered", 1)]);
}

#[test]
fn failed_and_skipped_ones_have_another_try() {
    let env = TestEnv::new();
    for name in ["failed", "skipped"] {
        env.source
            .add(Mail::new(format!("Message-ID: <{name}@x>\r\n\r\na\0b\r\n")));
    }
    assert_eq!(env.run().status, 3);
    let id = audit(&env).id("skipped");
    assert_eq!(env.command(&["retry-failed", "--skip", &id]).status, 0);
    audit(&env).has(&[("failed", 1), ("skipped", 1)]);
    let found = repair(&env, &["failed", "skipped"]);
    assert_eq!(found.status, 3);
    audit(&env).has(&[("open", 2)]);
    // Gmail refuses them again, and that is told again.
    assert_eq!(env.run().status, 3);
    audit(&env).has(&[("failed", 2)]);
}

/// A run that is under way takes it up by itself.
#[test]
fn a_run_that_is_under_way_sends_it() {
    let env = two_lost();
    let running = crate::testkit::tree_env::Running::start(&env);
    crate::testkit::eventually("it runs", || env.status_soon()["running"] == true);
    // While it runs, an audit looks at the same accounts and at the same ledger.
    audit(&env).has(&[("delivered", 3), ("lost", 2)]);
    repair(&env, &["lost"]);
    crate::testkit::eventually("both are there", || env.held().len() == 5);
    crate::testkit::eventually("it is written down", || {
        let open: i64 = env.one("SELECT count(*) FROM message WHERE status <> 'delivered'");
        open == 0
    });
    drop(running);
    env.assert_complete();
}

#[test]
fn what_cannot_be_queued_is_said() {
    let env = TestEnv::new();
    put(&env, "kept");
    env.run_until_done(1);
    let args = ["audit", "--config", "config.json", "--repair"];
    let refused = |what: &str| {
        let ran = env.command(&[&args[..], &[what]].concat());
        assert_eq!(ran.status, 2, "{ran:?}");
        ran.err
    };
    assert!(refused("1").contains("message 1 is in order, or there is none"));
    assert!(refused("999").contains("message 999 is in order, or there is none"));
    for word in ["in_trash", "everything", "-1", ""] {
        let said = refused(word);
        assert!(
            said.contains("expected an id as the list shows it, or one of skipped, failed, deleted, lost, voucher_gone")
                || said.contains("unexpected argument"),
            "{word}: {said}"
        );
    }
    let ran = env.command(&[&args[..], &["lost"]].concat());
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.out.ends_with("\nnothing was queued again\n"), "{ran:?}");
    // What left the source cannot be sent by anybody.
    let lost = mail("<lost@x>", DATE, "lost");
    env.source.add(Mail::new(lost));
    keep_nothing_of(&env, "lost");
    env.run_until_done(1);
    let_an_hour_pass(&env);
    env.source.delete(stored(&env.source, "lost"));
    let id = audit(&env).id("lost");
    assert!(refused(&id).contains("the source has it no longer"));
    let found = repair(&env, &["lost"]);
    assert_eq!(found.route["repaired"]["not_at_source"], 1);
    assert_eq!(found.status, 4);
}
