//! Several accounts in one process: configurations that come, change and go, what the log calls each, and that nothing that
//! happens to one route keeps the others' mail waiting (`isolation`), and that one which cannot begin is told of (`refused`).

mod isolation;
mod refused;

use std::fs;
use std::process::Command;

use gmail_stand_in::{Fault, On};

use crate::testkit::env::TestEnv;
use crate::testkit::eventually;
use crate::testkit::family::{Family, replace};
use crate::testkit::tree_env::Running;

/// How often the log says this.
fn said(log: &str, words: &str) -> usize {
    log.lines().filter(|line| line.contains(words)).count()
}

#[test]
fn each_gets_its_mail_and_the_log_says_whose_it_is() {
    let family = Family::of(&["anna", "ben", "carla"]);
    for env in &family.members {
        env.old_mails(3);
    }
    let running = family.start();
    for n in 0..3 {
        family.gets_mail(n, &format!("<new@{n}>"));
        eventually("the old mail too", || {
            family.members[n].target.messages().len() == 4
        });
    }
    for name in ["anna", "ben", "carla"] {
        let line = format!("INFO  {name}@old.example: delivered the mail of ");
        eventually(&line, || said(&running.log(), &line) == 4);
    }
    let log = running.log();
    let foreign = log
        .lines()
        .filter(|line| line.contains("delivered the mail") && !line.contains("@old.example: "));
    assert_eq!(foreign.count(), 0, "{log}");
}

#[test]
fn one_that_is_added_begins_and_one_that_is_removed_ends() {
    let mut family = Family::of(&["anna"]);
    let running = family.start();
    family.gets_mail(0, "<1@anna>");
    family.join("ben");
    family.gets_mail(1, "<1@ben>");
    // A file that is away for a moment is no reason to end a run.
    let config = family.config(1);
    fs::remove_file(family.file(1)).unwrap();
    replace(&family.file(1), &config);
    family.gets_mail(1, "<2@ben>");
    fs::remove_file(family.file(0)).unwrap();
    eventually("it ends", || {
        running
            .log()
            .contains("anna@old.example: its configuration is gone")
            && family.members[0].status()["running"] == false
    });
    family.gets_mail(1, "<3@ben>");
    let sent = family.members[0].target.messages().len();
    family.members[0].mail("<late@anna>", "while it is not watched");
    // And it comes back.
    family.publish(0);
    family.gets_mail(0, "<2@anna>");
    eventually("what came meanwhile is there", || {
        family.members[0].target.messages().len() == sent + 2
    });
    assert_eq!(said(&running.log(), "panicked"), 0);
}

/// How many threads a process has now.
fn threads(running: &Running) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", running.pid())).unwrap();
    tasks.count()
}

#[test]
fn a_route_that_waits_for_mail_costs_one_thread_and_wakes_for_it() {
    let one = Family::of(&["anna"]);
    let four = Family::of(&["ben", "carla", "dora", "emil"]);
    let (of_one, of_four) = (one.start(), four.start());
    for round in 0..3 {
        one.gets_mail(0, &format!("<{round}@anna>"));
        for n in 0..4 {
            four.gets_mail(n, &format!("<{round}@{n}>"));
        }
        eventually("each waits on one thread", || {
            threads(&of_four) == threads(&of_one) + 3
        });
    }
    assert_eq!(of_four.stop(), Some(0));
    for n in 0..4 {
        assert_eq!(four.members[n].status()["running"], false);
    }
}

#[test]
fn a_hangup_looks_for_configurations_at_once_and_touches_no_other() {
    let mut family = Family::of(&["anna"]);
    let running = family.start();
    family.gets_mail(0, "<1@anna>");
    family.join("ben");
    let pid = running.pid().to_string();
    let hup = Command::new("kill").args(["-HUP", &pid]).status().unwrap();
    assert!(hup.success());
    family.gets_mail(1, "<1@ben>");
    family.gets_mail(0, "<2@anna>");
    assert_eq!(said(&running.log(), "anna@old.example: watching INBOX"), 1);
}

#[test]
fn a_changed_configuration_is_taken_over_live_and_other_accounts_by_a_run_of_their_own() {
    let mut family = Family::of(&["anna", "ben"]);
    let running = family.start();
    family.gets_mail(0, "<1@anna>");
    family.gets_mail(1, "<1@ben>");
    family.members[0].set("connections", 2);
    family.publish(0);
    eventually("it is taken over", || {
        running
            .log()
            .contains("anna@old.example: the configuration has changed: going on with it")
    });
    family.gets_mail(0, "<2@anna>");
    // The file now names another route, with a ledger of its own.
    let other = TestEnv::new();
    replace(
        &family.file(0),
        &fs::read_to_string(other.config_file()).unwrap(),
    );
    let mail = other.mail("<1@other>", "text");
    eventually("the other route's mail comes", || {
        other.target.messages().iter().any(|m| m.bytes == mail)
    });
    family.gets_mail(1, "<2@ben>");
    let log = running.log();
    assert_eq!(said(&log, "ben@old.example: watching INBOX"), 1, "{log}");
}

#[test]
fn a_ledger_of_two_configurations_is_refused_by_name_and_mended_live() {
    let mut family = Family::of(&["anna", "ben"]);
    let ledger = family.members[0].ledger_file();
    family.members[1].set("state_file", ledger.to_str().unwrap());
    family.publish(1);
    let running = family.start();
    eventually("the second is refused", || {
        let log = running.log();
        log.lines()
            .any(|line| line.contains("1.json and") && line.contains("0.json have the same ledger"))
    });
    assert!(!running.log().contains("0.json and"), "{}", running.log());
    let own = family.members[1].dir.path().join("own.db");
    family.members[1].set("state_file", own.to_str().unwrap());
    family.publish(1);
    family.gets_mail(0, "<1@anna>");
    family.gets_mail(1, "<1@ben>");
}

#[test]
fn once_tries_each_and_ends_with_the_gravest() {
    let family = Family::of(&["anna", "ben"]);
    for env in &family.members {
        env.old_mails(3);
    }
    let ran = family.run_once(&[family.folder.path()]);
    assert_eq!(ran.status, 0, "{}", ran.err);
    for env in &family.members {
        assert_eq!(env.target.messages().len(), 3, "{}", ran.err);
        env.mail("<more@example.org>", "text");
    }
    let no = Fault::Answer("NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)".into());
    family.members[0].target.fault(On::each("AUTHENTICATE"), no);
    let ran = family.run_once(&[&family.file(0), &family.file(1)]);
    assert_eq!(ran.status, 4, "{}", ran.err);
    assert!(ran.err.contains("error: "), "{}", ran.err);
    assert_eq!(family.members[1].target.messages().len(), 4, "{}", ran.err);
    let rehearsed = family.members[1].command(&[
        "run",
        "--dry-run",
        "--config",
        family.file(1).to_str().unwrap(),
        "--config",
        family.file(0).to_str().unwrap(),
    ]);
    assert!(rehearsed.out.contains("1.json:"), "{rehearsed:?}");
    let given = family.members[1].command(&[
        "run",
        "--state-file",
        "x.db",
        "--config",
        family.folder.path().to_str().unwrap(),
    ]);
    assert_eq!(given.status, 2, "{given:?}");
    assert!(given.err.contains("`--state-file` names one ledger"));
}

#[test]
fn once_ends_also_where_two_have_one_ledger() {
    let mut family = Family::of(&["anna", "ben"]);
    let ledger = family.members[0].ledger_file();
    family.members[1].set("state_file", ledger.to_str().unwrap());
    family.publish(1);
    family.members[0].old_mails(2);
    let ran = family.run_once(&[family.folder.path()]);
    assert_eq!(ran.status, 2, "{}", ran.err);
    assert_eq!(family.members[0].target.messages().len(), 2, "{}", ran.err);
    let health =
        family.members[1].command(&["health", "--config", family.folder.path().to_str().unwrap()]);
    assert_eq!(health.status, 1);
    assert!(
        health.out.starts_with("unhealthy: 2 of 2 routes: "),
        "{health:?}"
    );
}

#[test]
fn ledgers_that_are_swapped_are_taken_up_by_both() {
    let mut family = Family::of(&["anna", "ben"]);
    let running = family.start();
    family.gets_mail(0, "<1@anna>");
    family.gets_mail(1, "<1@ben>");
    let fresh = |n: usize| family.members[n].dir.path().join("fresh.db");
    let [first, second] = [fresh(1), fresh(0)];
    // Each names a new ledger, and later the one that the other has then.
    for (n, ledger) in [(0, &first), (1, &second)] {
        family.members[n].set("state_file", ledger.to_str().unwrap());
        family.publish(n);
    }
    family.gets_mail(0, "<2@anna>");
    family.gets_mail(1, "<2@ben>");
    let (a, b) = (family.config(0), family.config(1));
    replace(&family.file(0), &b);
    replace(&family.file(1), &a);
    family.gets_mail(0, "<3@anna>");
    family.gets_mail(1, "<3@ben>");
    drop(running);
    for env in &family.members {
        assert_eq!(env.target.messages().len(), 3);
    }
}

#[test]
fn one_that_was_named_and_is_removed_ends_too() {
    let family = Family::of(&["anna", "ben"]);
    let running = family.start_over(&[&family.file(0), &family.file(1)]);
    family.gets_mail(0, "<1@anna>");
    fs::remove_file(family.file(0)).unwrap();
    eventually("it ends", || family.members[0].status()["running"] == false);
    family.gets_mail(1, "<1@ben>");
    family.publish(0);
    family.gets_mail(0, "<2@anna>");
    drop(running);
}

/// Kill and reload under load: nothing is lost, nothing comes twice.
#[test]
fn a_reload_under_load_loses_nothing_and_doubles_nothing() {
    let mut family = Family::of(&["anna", "ben"]);
    for env in &family.members {
        env.old_mails(60);
    }
    let running = family.start();
    family.gets_mail(0, "<first@load>");
    for round in 0..10 {
        family.members[round % 2].set("connections", 1 + round % 4);
        family.publish(round % 2);
        let pid = running.pid().to_string();
        Command::new("kill").args(["-HUP", &pid]).status().unwrap();
        if round == 4 {
            fs::remove_file(family.file(1)).unwrap();
            eventually("it ends", || {
                running.log().contains("its configuration is gone")
            });
            family.publish(1);
        }
        family.gets_mail(0, &format!("<{round}@load>"));
    }
    for (n, all) in [(0, 71), (1, 60)] {
        let target = &family.members[n].target;
        eventually("all is there", || target.messages().len() >= all);
    }
    drop(running);
    for (n, all) in [(0, 71), (1, 60)] {
        assert_eq!(family.members[n].target.messages().len(), all, "{n}");
    }
}

/// Two routes into one account: never more sessions than the one with the most may have, and one more for the other.
#[test]
fn routes_into_one_account_share_its_connections() {
    let family = {
        let mut family = Family::of(&["anna", "ben"]);
        let [anna, ben] = &mut family.members[..] else {
            unreachable!()
        };
        for key in [
            "target_port",
            "target_ca_file",
            "target_user",
            "target_pass",
        ] {
            ben.set(key, anna.key(key));
        }
        for env in [anna, ben] {
            env.set("connections", 4);
        }
        family.publish(0);
        family.publish(1);
        family
    };
    let [anna, ben] = &family.members[..] else {
        unreachable!()
    };
    anna.target.fault(
        On::each("APPEND"),
        Fault::Delay(std::time::Duration::from_millis(20)),
    );
    for n in 0..80 {
        anna.mail(&format!("<{n}@anna>"), "hers");
        ben.mail(&format!("<{n}@ben>"), "his");
    }
    let mut most = 0;
    let _running = family.start();
    eventually("all is there", || {
        most = most.max(anna.target.connections());
        anna.target.messages().len() == 160
    });
    assert!((3..=6).contains(&most), "{most} sessions at a time");
}
