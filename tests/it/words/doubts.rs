//! `status` with a configuration that no run would take, or not with this ledger: shown all the same, with a warning.

use std::fs;

use serde_json::json;

use super::WorkDir;
use super::config::right;
use super::status::{Book, book};

const STATUS: [&str; 3] = ["status", "--config", "config.json"];

/// Warned of this, and shown the ledger.
#[track_caller]
fn warned(desk: &WorkDir, args: &[&str], warning: &str) {
    let ran = desk.run(args);
    let plain = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!((ran.status, &*plain), (Some(0), warning), "{ran:?}");
    let first = ran.out.lines().next().unwrap();
    assert_eq!(first, "NOT RUNNING: user@example.org into you@gmail.com");
    // A command stays in one piece.
    let fits = |l: &str| l.chars().count() <= 80 || l.contains('`');
    assert!(ran.err.lines().all(fits));
}

#[test]
fn a_configuration_that_no_run_can_begin_with_is_warned_of() {
    let (desk, _book) = book();
    let check = "; `imap-to-gmail check --config config.json` says what to do. Shown is the ledger";
    let begin = "warning: no run can begin with this configuration: config.json:";
    desk.file("config.json", right().to_string());
    warned(&desk, &STATUS, "");
    let mut config = right();
    config["source_usr"] = json!("x");
    desk.file("config.json", config.to_string());
    let unknown = format!("{begin} unknown key `source_usr`{check}");
    warned(&desk, &STATUS, &format!("{unknown} sync_state.db"));
    config.as_object_mut().unwrap().remove("target_pass");
    config["connections"] = json!(99);
    desk.file("config.json", config.to_string());
    let warning =
        format!("{begin} unknown key `source_usr`, and 2 other mistakes{check} sync_state.db");
    warned(&desk, &STATUS, &warning);
    // Where its ledger is, is said in it; or on the command line.
    drop(Book::new(&desk.path("elsewhere.db")));
    let elsewhere = [&STATUS[..], &["--state-file", "elsewhere.db"]].concat();
    let mut config = right();
    config["source_usr"] = json!("x");
    desk.file("config.json", config.to_string());
    warned(&desk, &elsewhere, &format!("{unknown} elsewhere.db"));
    config["state_file"] = json!("elsewhere.db");
    desk.file("config.json", config.to_string());
    fs::remove_file(desk.path("sync_state.db")).unwrap();
    warned(&desk, &STATUS, &format!("{unknown} elsewhere.db"));
}

#[test]
fn a_configuration_in_which_nothing_can_be_read_leads_to_the_usual_ledger() {
    let (desk, _book) = book();
    desk.file("config.json", "{\"source_user\": \"x\",,}");
    let ran = desk.run(&STATUS);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert!(
        ran.err
            .starts_with("warning: no run can begin with this configuration: config.json"),
        "{ran:?}"
    );
    assert!(
        ran.out.starts_with("NOT RUNNING: user@example.org into"),
        "{ran:?}"
    );
    // A name that was mistyped leads nowhere.
    let ran = desk.run(&["status", "--config", "confg.json"]);
    assert_eq!((ran.status, &*ran.out), (Some(2), ""), "{ran:?}");
    // Nor is anything shown where there is no ledger.
    let desk = WorkDir::new();
    desk.file("config.json", "{,}");
    let ran = desk.run(&STATUS);
    assert_eq!((ran.status, &*ran.out), (Some(2), ""), "{ran:?}");
}

#[test]
fn a_configuration_of_other_accounts_is_warned_of() {
    let (desk, _book) = book();
    let mut config = right();
    config["source_user"] = json!("somebody@example.org");
    desk.file("config.json", config.to_string());
    warned(
        &desk,
        &STATUS,
        "warning: sync_state.db: this ledger is for user@example.org (imap.example.org) into you@gmail.com (imap.gmail.com), \
         the configuration says somebody@example.org (imap.example.org) into you@gmail.com (imap.gmail.com): no run would use it \
         with config.json",
    );
}

#[test]
fn a_warning_is_short_whatever_stands_in_the_configuration() {
    let (desk, _book) = book();
    let long = "x".repeat(1_000_000);
    for key in ["source_user", "target_user", "source_server", "source_usr"] {
        let mut config = right();
        config[key] = json!(long);
        desk.file("config.json", config.to_string());
        let ran = desk.run(&STATUS);
        assert_eq!(ran.status, Some(0), "{key}");
        assert!(ran.err.starts_with("warning: "), "{key}");
        assert!(ran.err.len() < 3000, "{key}: {}", ran.err.len());
    }
    let mut config = right();
    config[&long] = json!(1);
    desk.file("config.json", config.to_string());
    let ran = desk.run(&STATUS);
    let said = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("unknown key `xxx"), "{}", ran.err.len());
    assert!(ran.err.len() < 3000, "{}", ran.err.len());
}
