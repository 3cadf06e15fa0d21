//! The command line: what means nothing, what was meant, and what is understood without being typed.

use std::fs;

use super::config::{desk, nowhere, right};
use super::{HELP_HINT, WorkDir};

const RUNNING: &str = "sync_state.db: another imap-to-gmail is running with this ledger";
const RUNNING_HINT: &str = "`imap-to-gmail status --state-file sync_state.db` shows what it does. One is enough: if this one is to run, end the other first (Ctrl-C in its window, or stop its service)";
const IDS: &str = "expected a number, as `imap-to-gmail status --failed` shows it";
const TIMES: &str = "expected a time from one second to one day, like 60 or 60s, 5min or 1h";

#[test]
fn a_command_line_that_means_nothing_is_wrong_usage() {
    let desk = WorkDir::new();
    desk.file("mail", "");
    let id = |typed: &str| format!("invalid value '{typed}' for '[ID]...': {IDS}");
    let found = |typed: &str| format!("unexpected argument '{typed}' found");
    let command = |typed: &str| format!("there is no command `{typed}`");
    let cases: &[(&[&str], String, &str)] = &[
        (&["--bogus"], found("--bogus"), HELP_HINT),
        (&["status", "--jsn"], found("--jsn"), "did you mean `--json`?"),
        (&["run", "--conf", "x"], found("--conf"), "did you mean `--config`?"),
        (&["run", "--onec"], found("--onec"), "did you mean `--once`?"),
        (&["statsu"], command("statsu"), "did you mean `status`?"),
        (&["retry"], command("retry"), "did you mean `retry-failed`?"),
        (&["import"], command("import"), "did you mean `import-state`?"),
        (&["fetchmail"], command("fetchmail"), HELP_HINT),
        // As other programs have them.
        (&["-config", "config.json"], found("-config"), "did you mean `--config`?"),
        (&["run", "-once"], found("-once"), "did you mean `--once`?"),
        (
            &["run", "-config=config.json"],
            found("-config=config.json"),
            "did you mean `--config=config.json`?",
        ),
        (&["run", "INBOX"], found("INBOX"), HELP_HINT),
        (
            &["run", "config.json"],
            found("config.json"),
            "did you mean `--config config.json`?",
        ),
        (
            &["check", "anna.json"],
            found("anna.json"),
            "did you mean `--config anna.json`?",
        ),
        (&["status", "mail"], found("mail"), "did you mean `--config mail`?"),
        (
            &["config.json"],
            command("config.json"),
            "did you mean `--config config.json`?",
        ),
        (
            &["retry-failed", "config.json"],
            id("config.json"),
            "did you mean `--config config.json`?",
        ),
        (
            &["run", "--config"],
            "a value is required for '--config <FILE>' but none was supplied".into(),
            HELP_HINT,
        ),
        (
            &["--config", "config.json", "status"],
            "the subcommand 'status' cannot be used with '--config <FILE>'".into(),
            "options come after the command, like `imap-to-gmail status --config FILE`",
        ),
        (
            &["auth", "--credentials", "x", "--device", "--no-browser"],
            "the argument '--device' cannot be used with '--no-browser'".into(),
            HELP_HINT,
        ),
        (&["retry-failed", "all"], id("all"), HELP_HINT),
        (&["retry-failed", "-5"], id("-5"), HELP_HINT),
        (
            &["retry-failed", "99999999999999999999"],
            id("99999999999999999999"),
            HELP_HINT,
        ),
        (
            &["auth", "--credentials", "x", "--provider", "gogle"],
            "invalid value 'gogle' for '--provider <PROVIDER>' [possible values: google, microsoft, other]".into(),
            "did you mean `google`?",
        ),
    ];
    for (args, sentence, hint) in cases {
        desk.run(args).fails(2, sentence, hint);
    }
    for port in ["0", "65536", "-1", "http", "8080x"] {
        desk.run(&["auth", "--credentials", "x", "--port", port]).fails(
            2,
            &format!("invalid value '{port}' for '--port <PORT>': expected a port, a number from 1 to 65535"),
            HELP_HINT,
        );
    }
    assert_eq!(desk.files(), ["mail"], "nothing is made");
}

/// A service whose arguments were lost must not look as if all were done.
#[test]
fn without_anything_the_help_is_shown_and_nothing_is_done() {
    let (desk, _lock) = desk();
    desk.file("config.json", right().to_string());
    let help = desk.run(&["-h"]);
    let ran = desk.run(&[]);
    ran.says(2, "", help.out());
}

#[test]
fn a_time_may_have_its_unit() {
    let (desk, _lock) = desk();
    desk.file("config.json", right().to_string());
    let run = |value: &str| desk.run(&["run", "--once", "--poll-interval", value]);
    for time in [
        "1", "60", "60s", "60 s", "1m", "5min", "1h", "24h", "1440m", "86400",
    ] {
        run(time).fails(1, RUNNING, RUNNING_HINT);
    }
    for time in [
        "",
        "0",
        "0s",
        "-1",
        "1.5m",
        "25h",
        "86401",
        "1d",
        "s",
        "+5",
        "five",
        "1h30m",
        "99999999999999999999h",
        "999999999999999999h",
    ] {
        run(time).fails(
            2,
            &format!("invalid value '{time}' for '--poll-interval <TIME>': {TIMES}"),
            HELP_HINT,
        );
    }
}

#[test]
fn the_configuration_of_the_current_folder_need_not_be_named() {
    let (desk, _lock) = desk();
    desk.file("config.json", nowhere(right()).to_string());
    desk.file(
        "other.json",
        super::config::with("connections", 99).to_string(),
    );
    for args in [&["run", "--once"][..], &["--once"]] {
        desk.run(args).fails(1, RUNNING, RUNNING_HINT);
    }
    // The short form; and how the Python script was called.
    for args in [
        &["run", "-c", "other.json"][..],
        &["run", "-cother.json"],
        &["-c", "other.json"],
        &["--config", "other.json"],
        &["--config=other.json", "--once"],
    ] {
        desk.run(args).fails(
            2,
            "other.json: `connections`: got 99, expected a number from 1 to 10",
            "Gmail allows 15 connections to an account, all of its mail programs together",
        );
    }
    let checked = desk.run(&["check", "--json"]);
    assert!(
        checked
            .out
            .contains("config.json: user@example.org into you@gmail.com"),
        "{checked:?}"
    );
}

#[test]
fn a_ledger_is_found_without_being_named() {
    let desk = WorkDir::new();
    desk.file(
        "state.json",
        "{\"synced_message_ids\": [\"<a@example.org>\"]}",
    );
    let import = |args: &[&str]| desk.run(&[&["import-state", "state.json"], args].concat());
    let taken = "1 Message-ID taken over from state.json, 0 known already\n";
    // Without a configuration, as ever.
    import(&[]).prints(taken);
    assert!(desk.path("sync_state.db").exists());
    desk.run(&["retry-failed"])
        .prints("no message has failed: nothing was changed\n");
    // With one, where that says.
    fs::create_dir(desk.path("state")).unwrap();
    desk.file(
        "config.json",
        super::config::with("state_file", "state/mail.db").to_string(),
    );
    import(&[]).prints(taken);
    assert!(desk.path("state/mail.db").exists());
    let status = desk.run(&["status", "--json"]);
    assert!(
        status.out().contains("\"state_file\":\"state/mail.db\""),
        "{status:?}"
    );
    // What is named wins, and the configuration is not even read.
    let both = &[
        "status",
        "--json",
        "--config",
        "nowhere.json",
        "--state-file",
        "sync_state.db",
    ];
    let status = desk.run(both);
    assert!(
        status.out().contains("\"state_file\":\"sync_state.db\""),
        "{status:?}"
    );
    // One that is wrong is not passed over by what changes a ledger.
    for wrong in ["{", "{\"statefile\": \"x\"}"] {
        desk.file("config.json", wrong);
        assert_eq!(desk.run(&["retry-failed"]).status, Some(2));
    }
    // Nor is one that leads nowhere.
    fs::remove_file(desk.path("config.json")).unwrap();
    std::os::unix::fs::symlink("nowhere", desk.path("config.json")).unwrap();
    let ran = desk.run(&["status"]);
    assert!(
        ran.err
            .starts_with("error: config.json: this is a link to nowhere"),
        "{ran:?}"
    );
}

/// A run that is on says in its ledger that the configuration is not used any more: that must be seen.
#[test]
fn status_finds_the_ledger_of_a_configuration_that_has_become_wrong() {
    let desk = WorkDir::new();
    fs::create_dir(desk.path("state")).unwrap();
    drop(super::ledger::make(&desk.path("state/mail.db"), 1));
    let looks = |content: &str, ledger: &str, what: &str| {
        desk.file("config.json", content);
        let ran = desk.run(&["status", "--json"]);
        assert_eq!(ran.status, Some(0), "{ran:?}");
        assert!(
            ran.out.contains(&format!("\"state_file\":\"{ledger}\"")),
            "{ran:?}"
        );
        let told = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            told,
            format!(
                "warning: no run can begin with this configuration: config.json: {what}; `imap-to-gmail check --config config.json` says what to do. Shown is the ledger {ledger}"
            )
        );
    };
    looks(
        "{\"connections\": 3,, \"state_file\": \"state/mail.db\"}",
        "state/mail.db",
        "not JSON at line 1, column 19: a comma too many",
    );
    looks(
        "{\"sinse\": 3, \"state_file\": \"state/mail.db\"}",
        "state/mail.db",
        "unknown key `sinse`, and 5 other mistakes",
    );
    // Without a word about it, it lies where it does by default; if it does.
    desk.file("config.json", "{");
    desk.run(&["status"]).points(
        2,
        "config.json: not JSON at line 1, column 2: the file ends, and its closing } is missing",
        "  1 | {\n    |  ^\n",
        "put } after the last entry; if more is missing, the file was cut short",
    );
    drop(super::ledger::make(&desk.path("sync_state.db"), 1));
    looks(
        "{",
        "sync_state.db",
        "not JSON at line 1, column 2: the file ends, and its closing } is missing",
    );
}
