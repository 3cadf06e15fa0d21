//! Each class made on purpose, from the source to the target, with real runs.

use gmail_stand_in::{Fault, Mail, On, Refusal, Use};
use serde_json::json;

use super::{audit, copy_of, keep_nothing_of, let_an_hour_pass, put, stored};
use crate::testkit::env::{DATE, TestEnv, mail};

#[test]
fn what_is_there_is_accounted_for() {
    let env = TestEnv::new();
    env.mails(5);
    env.run_until_done(1);
    let found = audit(&env);
    found.has(&[("delivered", 5)]);
    assert_eq!(found.status, 0);
    assert_eq!(found.route["accounted_for"], true);
    assert_eq!(found.route["messages"], 5);
    assert_eq!(found.route["differences"], json!([]));
}

/// All that a person does with mail in Gmail, and what goes wrong with it, in one account.
#[test]
fn each_class_is_named_rightly() {
    let mut env = TestEnv::new();
    env.set("folders", json!(["*"]));
    env.set("exclude", json!(["Left out"]));
    for name in [
        "kept",
        "archived",
        "labelled",
        "trashed",
        "spam",
        "deleted",
        "left",
        "left-both",
        "lost",
    ] {
        put(&env, name);
    }
    // Brought by something else before: one as it is, one that is thrown out again, one that is not the same.
    for name in ["found", "found-then-deleted"] {
        let bytes = put(&env, name);
        env.target.add(Mail::new(bytes));
    }
    put(&env, "other-size");
    env.target.add(Mail::new(mail("<other-size@x>", DATE, "")));
    // Gmail refuses these for good.
    for name in ["failed", "skipped"] {
        env.source
            .add(Mail::new(format!("Message-ID: <{name}@x>\r\n\r\na\0b\r\n")));
    }
    let elsewhere = mail("<left-out@x>", DATE, "in a folder of its own");
    env.source.add(Mail::new(elsewhere).in_mailbox("Left out"));
    keep_nothing_of(&env, "lost");
    assert_eq!(env.run().status, 3);
    let id: i64 = env.one("SELECT id FROM message WHERE message_id = '<skipped@x>'");
    let skipped = env.command(&["retry-failed", "--skip", &id.to_string()]);
    assert_eq!(skipped.status, 0, "{skipped:?}");
    let_an_hour_pass(&env);

    env.target.set_labels(copy_of(&env, "archived"), &[]);
    env.target.set_labels(copy_of(&env, "labelled"), &["Work"]);
    env.target.trash(copy_of(&env, "trashed"));
    env.target.spam(copy_of(&env, "spam"));
    for name in ["deleted", "left-both", "found-then-deleted"] {
        env.target.delete(copy_of(&env, name));
    }
    for name in ["left", "left-both"] {
        env.source.delete(stored(&env.source, name));
    }
    // Nothing gets in any more: what comes is recorded, and waits. One of it goes again, one folder with it.
    env.target.refuse_login(Refusal::InvalidCredentials, 100);
    put(&env, "open");
    put(&env, "gone");
    let bytes = mail("<folder-gone@x>", DATE, "in a folder that goes");
    env.source.add(Mail::new(bytes).in_mailbox("Going"));
    assert_eq!(env.run().status, 4);
    env.source.delete(stored(&env.source, "gone"));
    env.source.delete_mailbox("Going");
    env.target.clear_faults();
    put(&env, "unrecorded");

    let found = audit(&env);
    let wanted = [
        ("deleted", "deleted"),
        ("failed", "failed"),
        ("folder-gone", "folder_gone"),
        ("found-then-deleted", "voucher_gone"),
        ("gone", "gone"),
        ("left-both", "gone_from_both"),
        ("lost", "lost"),
        ("open", "open"),
        ("other-size", "other_size"),
        ("skipped", "skipped"),
        ("spam", "in_spam"),
        ("trashed", "in_trash"),
        ("unrecorded", "unrecorded"),
    ];
    let wanted = wanted.map(|(name, class)| (name.to_string(), class.to_string()));
    assert_eq!(found.listed(), wanted.into(), "{}", env.dump());
    let classes = found.classes();
    // What was archived or labelled is where its owner wants it.
    assert_eq!(classes["delivered"], 4, "{classes:?}");
    assert_eq!((classes["left_source"], classes["left_out"]), (1, 1));
    assert_eq!(classes.values().sum::<u64>(), 19);
    assert_eq!(found.status, 4);
    assert_eq!(found.route["accounted_for"], false);
    screen(&env.command(&["audit", "--config", "config.json"]).out);
}

/// With `UPDATE_WORDS=1` in the environment the file is written instead of compared.
#[track_caller]
fn screen(said: &str) {
    let is_date = |line: &str, at: usize| {
        line.get(at..at + 10).is_some_and(|d| {
            d.starts_with("20") && d.as_bytes()[4] == b'-' && d.as_bytes()[7] == b'-'
        })
    };
    let mut out = String::new();
    for line in said.lines() {
        // Which minute it was is of no interest.
        let at = (0..line.len()).find(|at| line.is_char_boundary(*at) && is_date(line, *at));
        out += &match at {
            Some(at) => format!("{}YYYY-MM-DD hh:mm{}\n", &line[..at], &line[at + 16..]),
            None => format!("{line}\n"),
        };
    }
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/audit/screen.txt");
    if std::env::var("UPDATE_WORDS").is_ok() {
        std::fs::write(&file, &out).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        out == written,
        "tests/it/audit/screen.txt says\n{written}\nthe program says\n{out}\n(UPDATE_WORDS=1 writes it anew)"
    );
}

#[test]
fn three_that_look_alike_are_told_apart() {
    let env = TestEnv::new();
    for name in ["deleted", "lost", "merged", "moved"] {
        put(&env, name);
    }
    keep_nothing_of(&env, "lost");
    // What Gmail makes of a message that comes to it by two ways: one, which was archived meanwhile.
    let bytes = put(&env, "merged");
    env.source.add(Mail::new(&bytes[..bytes.len() - 2]));
    env.run_until_done(1);
    let_an_hour_pass(&env);
    for name in ["merged", "moved"] {
        env.target.set_labels(copy_of(&env, name), &["Archive"]);
    }
    env.target.delete(copy_of(&env, "deleted"));
    // In INBOX, where all four were put, none of them is now.
    assert_eq!(env.target.mailbox("INBOX").len(), 0);
    let found = audit(&env);
    let wanted = [("deleted", "deleted"), ("lost", "lost")];
    let wanted = wanted.map(|(name, class)| (name.to_string(), class.to_string()));
    assert_eq!(found.listed(), wanted.into(), "{}", env.dump());
    found.has(&[("delivered", 4), ("deleted", 1), ("lost", 1)]);
    assert_eq!(found.status, 4);
}

#[test]
fn what_was_answered_just_now_need_not_show_yet() {
    let env = TestEnv::new();
    put(&env, "lost");
    keep_nothing_of(&env, "lost");
    env.run_until_done(1);
    let found = audit(&env);
    found.has(&[("open", 1)]);
    assert_eq!(found.status, 3);
    let_an_hour_pass(&env);
    audit(&env).has(&[("lost", 1)]);
    // Also where the source has it no longer: nobody ever saw it arrive.
    env.source.empty("INBOX");
    let found = audit(&env);
    found.has(&[("lost", 1)]);
    assert_eq!(found.status, 4);
}

#[test]
fn a_run_that_has_not_looked_at_its_copies_leaves_them_to_their_numbers() {
    let env = TestEnv::new();
    for name in ["kept", "archived", "renamed"] {
        put(&env, name);
    }
    env.run_until_done(1);
    // As where a run was killed before it looked: nothing but what APPENDUID told.
    let sql = "UPDATE message SET verified_at = NULL, gm_msgid = NULL";
    env.sql().execute(sql, []).unwrap();
    env.target.set_labels(copy_of(&env, "archived"), &["Work"]);
    let_an_hour_pass(&env);
    audit(&env).has(&[("delivered", 3)]);
    // Only the name is left of this one.
    let sql = "UPDATE message SET gmail_uid = NULL, gmail_mailbox = NULL, gmail_uid_validity = NULL WHERE message_id = '<renamed@x>'";
    env.sql().execute(sql, []).unwrap();
    audit(&env).has(&[("delivered", 3)]);
    env.target.delete(copy_of(&env, "kept"));
    env.target.delete(copy_of(&env, "archived"));
    env.target.delete(copy_of(&env, "renamed"));
    audit(&env).has(&[("lost", 3)]);
}

#[test]
fn equal_bytes_are_one_copy_for_all_their_rows() {
    let mut env = TestEnv::new();
    env.set("folders", json!(["*"]));
    let bytes = put(&env, "twice");
    for mailbox in ["Work", "Family"] {
        env.source.add(Mail::new(&bytes).in_mailbox(mailbox));
    }
    env.run_until_done(1);
    let proofs: i64 = env.one("SELECT count(*) FROM message WHERE proof = 'same'");
    assert_eq!(proofs, 2, "{}", env.dump());
    audit(&env).has(&[("delivered", 3)]);
    env.target.trash(copy_of(&env, "twice"));
    audit(&env).has(&[("in_trash", 3)]);
    env.target.delete(copy_of(&env, "twice"));
    let_an_hour_pass(&env);
    audit(&env).has(&[("deleted", 1), ("voucher_gone", 2)]);
}

/// A copy of one name is one message's, as it is for a run: where nothing is merged, the direct copy and the one by a list
/// are two.
#[test]
fn a_copy_vouches_for_one_message() {
    let env = TestEnv::build().plain_target().start();
    for text in ["direct", "by the list"] {
        env.source.add(Mail::new(mail("<a@x>", DATE, text)));
    }
    env.run_until_done(1);
    audit(&env).has(&[("delivered", 2)]);
    let_an_hour_pass(&env);
    let all = env.target.messages();
    let list = all.iter().find(|m| m.bytes.ends_with(b"list\r\n"));
    env.target.delete(list.unwrap().id);
    audit(&env).has(&[("delivered", 1), ("deleted", 1)]);
}

#[test]
fn what_somebody_brings_back_by_hand_is_known_by_its_name() {
    let env = TestEnv::new();
    let bytes = put(&env, "moved-by-a-mail-program");
    env.run_until_done(1);
    let_an_hour_pass(&env);
    env.target.delete(copy_of(&env, "moved-by-a-mail-program"));
    env.target.add(Mail::new(&bytes).in_mailbox("Elsewhere"));
    audit(&env).has(&[("delivered", 1)]);
}

#[test]
fn what_is_hidden_from_us_is_not_called_lost() {
    let env = TestEnv::new();
    for name in ["in-inbox", "archived", "trashed"] {
        put(&env, name);
    }
    env.run_until_done(1);
    let_an_hour_pass(&env);
    env.target.set_labels(copy_of(&env, "archived"), &[]);
    env.target.trash(copy_of(&env, "trashed"));
    env.target.knobs(|k| k.hidden = vec![Use::All]);
    let found = audit(&env);
    found.has(&[("delivered", 1), ("in_trash", 1), ("out_of_sight", 1)]);
    assert_eq!(found.status, 4);
    assert_eq!(found.route["all_of_target_seen"], false);
    env.target.knobs(|k| k.hidden = vec![Use::Trash]);
    audit(&env).has(&[("delivered", 2), ("out_of_sight", 1)]);
    env.target.knobs(|k| k.hidden.clear());
    audit(&env).has(&[("delivered", 2), ("in_trash", 1)]);
}

/// Its owner has Gmail show no more than the newest thousand of a folder: nobody can tell what became of the others.
#[test]
fn what_a_limit_of_folders_hides_is_not_called_lost() {
    let env = TestEnv::new();
    put(&env, "oldest");
    env.run_until_done(1);
    let_an_hour_pass(&env);
    for n in 0..1000 {
        env.target
            .add(Mail::new(format!("Message-ID: <{n}@other>\r\n\r\n{n}\r\n")));
    }
    audit(&env).has(&[("delivered", 1)]);
    env.target.knobs(|k| k.max_folder_size = Some(1000));
    audit(&env).has(&[("out_of_sight", 1)]);
}

/// What goes into Spam or Trash by the configuration is where it belongs.
#[test]
fn what_was_put_into_spam_and_trash_is_delivered() {
    let mut env = TestEnv::build()
        .source(gmail_stand_in::Options::plain(&format!(
            "{} SPECIAL-USE LIST-EXTENDED",
            crate::testkit::env::SOURCE
        )))
        .start();
    env.source.special_use("Spam", "\\Junk");
    env.source.special_use("Bin", "\\Trash");
    env.set("folders", json!(["INBOX", "\\Junk", "\\Trash"]));
    for (name, mailbox) in [("a", "INBOX"), ("b", "Spam"), ("c", "Bin")] {
        let bytes = mail(&format!("<{name}@x>"), DATE, name);
        env.source.add(Mail::new(bytes).in_mailbox(mailbox));
    }
    env.run_until_done(1);
    audit(&env).has(&[("delivered", 3)]);
    env.target.trash(copy_of(&env, "b"));
    audit(&env).has(&[("delivered", 2), ("in_trash", 1)]);
}

#[test]
fn what_was_left_open_is_open() {
    let env = TestEnv::new();
    put(&env, "unseen");
    let text = "NO [ALERT] Account exceeded command or bandwidth limits. (Failure)".into();
    env.target.fault(
        On::nth(1, "APPEND"),
        Fault::AnswerAfterLiteral { text, stored: true },
    );
    assert_eq!(env.run().status, 3);
    let found = audit(&env);
    found.has(&[("open", 1)]);
    assert_eq!(found.route["differences"][0]["status"], "in_flight");
    // It may be there: nobody says of it that it is gone.
    env.source.empty("INBOX");
    audit(&env).has(&[("open", 1)]);
}
