//! `import-state` and a run that is under way, killed, or the first one beside the script's file: an id vouches once, in time,
//! and for the right message.

use std::fs;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use gmail_stand_in::{Fault, On};
use imap_to_gmail::folder::FolderId;
use imap_to_gmail::ledger::{Claim, Ledger, MailboxId, Progress, RowId};
use imap_to_gmail::message::{Discovered, Flags, MessageId, Uid, UidValidity};

use super::script_file_of;
use crate::testkit::env::TestEnv;

#[test]
fn killed_in_the_middle() {
    let env = TestEnv::new();
    // Slow enough that a kill meets it at work.
    env.target
        .knobs(|k| k.round_trip = Duration::from_millis(5));
    env.import("{\"synced_message_ids\": {}}");
    let mut killed = 0;
    for round in 0..25 {
        for i in 0..12 {
            env.mail(&format!("<{round}.{i}@x>"), &format!("text {round}.{i}"));
        }
        let ids: Vec<String> = (0..12)
            .filter(|i| i % 3 != 0)
            .map(|i| format!("<{round}.{i}@x>"))
            .collect();
        env.import(&script_file_of(
            &ids.iter().map(String::as_str).collect::<Vec<_>>(),
        ));
        let mut child = env.spawn(&[]);
        // The moment is the point of the test: it is drawn, not awaited.
        std::thread::sleep(Duration::from_millis(fastrand::u64(20..250)));
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        let apart: i64 = env.one(
            "SELECT (SELECT count(*) FROM message WHERE proof = 'imported' AND id NOT IN (SELECT vouched_for FROM imported WHERE vouched_for IS NOT NULL))
                  + (SELECT count(*) FROM imported WHERE vouched_for IS NOT NULL AND vouched_for NOT IN (SELECT id FROM message WHERE proof = 'imported'))",
        );
        assert_eq!(apart, 0, "{}", env.dump());
    }
    assert!(killed > 12, "{killed} of 25 were killed before their end");
    env.run_until_done(3);
    assert_eq!(env.count("proof = 'imported'"), 25 * 8);
    assert_eq!(env.unused(), 0);
    assert_eq!(env.held().len(), 25 * 4);
    assert_eq!(env.count("status <> 'delivered'"), 0);
}

#[test]
fn it_may_be_done_while_run_is_running() {
    let env = TestEnv::new();
    env.mails(20);
    // The target is slow to let us in; meanwhile everything has been recorded.
    let slow = env.target.fault(
        On::nth(1, "AUTHENTICATE").times(10),
        Fault::Delay(Duration::from_millis(2500)),
    );
    let child = env.spawn(&[]);
    crate::testkit::eventually("the source's messages have rows", || {
        slow.count() > 0 && env.count("status = 'pending'") == 20
    });
    let ids: Vec<String> = (0..15).map(|i| format!("<{i}@example.org>")).collect();
    env.import(&script_file_of(
        &ids.iter().map(String::as_str).collect::<Vec<_>>(),
    ));
    assert_eq!(env.count("status = 'pending'"), 20, "it was in time");
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(env.count("proof = 'imported'"), 15, "{}", env.dump());
    assert_eq!(env.held().len(), 5);
}

#[test]
fn the_first_run_beside_the_scripts_file_speaks_of_import_state() {
    let said = |ran: &crate::testkit::route::Ran| ran.err.matches("import-state").count();
    let beside = |env: &TestEnv| {
        let file = env.dir.path().join("sync_state.json");
        fs::write(&file, script_file_of(&["<0@example.org>"])).unwrap();
        file
    };
    let env = TestEnv::new();
    env.mails(1);
    let file = beside(&env);
    let dry = env.run_with(&["--dry-run"]);
    assert_eq!(said(&dry), 1, "{}", dry.err);
    let ran = env.run();
    let sentence = format!(
        " WARN  {0} is not taken over yet: if it is of these accounts, `imap-to-gmail import-state {0} --config {1}` makes known what the Python script had copied\n",
        file.display(),
        env.config_file().display()
    );
    assert!(ran.err.contains(&sentence), "{}", ran.err);
    assert_eq!(said(&ran), 1);
    assert_eq!(said(&env.run()), 0, "once");

    // The command that is named does it; and then nothing is said.
    let env = TestEnv::new();
    let file = beside(&env);
    let (file, config) = (file.to_str().unwrap(), env.config_file());
    let ran = env.command(&["import-state", file, "--config", config.to_str().unwrap()]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(env.unused(), 1);
    assert_eq!(said(&env.run()), 0);

    let env = TestEnv::new();
    assert_eq!(said(&env.run()), 0, "there is no such file");

    // Another ledger than the configuration's is named as it was named.
    let env = TestEnv::new();
    beside(&env);
    let other = env.dir.path().join("other.db");
    let ran = env.run_with(&["--state-file", other.to_str().unwrap()]);
    let option = format!(" --state-file {}`", other.display());
    assert!(ran.err.contains(&option), "{}", ran.err);
}

fn new_mail(uid: u32) -> Discovered {
    Discovered {
        uid: Uid(uid),
        message_id: MessageId::parse(b"<list@x>"),
        date: None,
        internal_date: Some(Utc::now() - TimeDelta::days(i64::from(uid))),
        size: Some(100),
        flags: Flags::default(),
        gm_msgid: None,
    }
}

/// While the history is not known, an older message may be the one that an id stands for.
#[test]
fn new_mail_is_not_vouched_for_before_the_history_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let now = Utc::now();
    let mut ledger = Ledger::open_or_create(&dir.path().join("l.db"), true).unwrap();
    ledger
        .import(&[MessageId::parse(b"list@x").unwrap()], now)
        .unwrap();
    ledger
        .first_look(FolderId(1), UidValidity(1), 10, "all", now)
        .unwrap();
    let id = ledger.present_mailbox(FolderId(1)).unwrap().id;
    let claim = Claim {
        count: 1,
        bytes: u64::MAX,
        once: true,
    };
    ledger
        .record(id, &[new_mail(10)], Progress::NextUid(11), now)
        .unwrap();
    let new = ledger.claim(claim, now).unwrap().remove(0);
    assert!(!ledger.imported_vouches(new.id).unwrap());
    // History itself need not wait.
    ledger
        .record(id, &[new_mail(4)], Progress::History, now)
        .unwrap();
    let old = i64::from(ledger.claim(claim, now).unwrap().is_empty());
    assert_eq!(old, 1, "one of a name at a time");
    assert!(ledger.imported_vouches(RowId(new.id.0 + 1)).unwrap());
    ledger.record(id, &[], Progress::HistoryDone, now).unwrap();
    assert!(
        !ledger.imported_vouches(new.id).unwrap(),
        "the older one bears the id"
    );
    assert!(ledger.imported_vouches(RowId(new.id.0 + 1)).unwrap());
    // Without an older one, the history known, new mail is vouched for.
    let mut other = Ledger::open_or_create(&dir.path().join("other.db"), true).unwrap();
    other
        .import(&[MessageId::parse(b"list@x").unwrap()], now)
        .unwrap();
    other
        .first_look(FolderId(1), UidValidity(1), 10, "all", now)
        .unwrap();
    other
        .record(MailboxId(1), &[new_mail(10)], Progress::NextUid(11), now)
        .unwrap();
    assert!(!other.imported_vouches(RowId(1)).unwrap());
    other
        .record(MailboxId(1), &[], Progress::HistoryDone, now)
        .unwrap();
    assert!(other.imported_vouches(RowId(1)).unwrap());
}

/// The program running, until this is dropped.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_daemon_that_does_not_know_the_history_sends_new_mail() {
    let env = TestEnv::new();
    env.mail("<list@x>", "the first");
    env.import(&script_file_of(&["<list@x>"]));
    // All at once is refused, and then the listing of the history: new mail is asked for by UID.
    let all = On::nth(1, "UID FETCH").line_with(" 1:1 ");
    env.source.fault(all, Fault::CutBefore);
    let looks = env.source.fault(On::each("FETCH"), Fault::CutBefore);
    let _running = Running(env.spawn_for_good(&[]));
    crate::testkit::eventually("it looks for the history", || looks.count() > 0);
    env.mail("<list@x>", "the second");
    crate::testkit::eventually("new mail is sent", || !env.held().is_empty());
    assert_eq!(env.texts(), ["the second"]);
    assert_eq!(env.unused(), 1);
    env.source.clear_faults();
    crate::testkit::eventually("the history is recorded and vouched for", || {
        env.ends() == "imported,appended"
    });
    // What is imported from now on is known at once.
    env.import(&script_file_of(&["<later@x>"]));
    env.mail("<later@x>", "copied by the script, which was not stopped");
    crate::testkit::eventually("new mail is vouched for", || {
        env.ends() == "imported,appended,imported"
    });
    assert_eq!(env.texts(), ["the second"]);
}
