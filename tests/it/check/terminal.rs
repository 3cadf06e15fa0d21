//! On a terminal: colours, and lines as wide as it is.

use std::io::Read;
use std::process::{Command, Stdio};

use gmail_stand_in::Refusal;
use serde_json::Value;

use super::findings::right;
use super::screens::is_as_written;
use crate::testkit::env::TestEnv;
use crate::testkit::terminal::terminal;

/// What a check writes to a terminal.
fn shown(env: &TestEnv, (rows, columns): (u16, u16), variables: &[(&str, &str)]) -> String {
    let (mut master, slave) = terminal(rows, columns);
    let mut command = Command::new(env!("CARGO_BIN_EXE_imap-to-gmail"));
    command
        .args(["check", "--config", "config.json"])
        .current_dir(env.dir.path())
        .env("TERM", "xterm")
        .env("TZ", "UTC")
        .env_remove("NO_COLOR")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(slave);
    let mut child = command.spawn().unwrap();
    // The last of those who could write to it.
    drop(command);
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    // A terminal whose other end is closed is an error to read from.
    while let Ok(n @ 1..) = master.read(&mut piece) {
        text.extend_from_slice(&piece[..n]);
    }
    child.wait().unwrap();
    String::from_utf8(text).unwrap().replace("\r\n", "\n")
}

fn much_is_wrong() -> TestEnv {
    let mut env = right();
    env.set("target_token_file", "token.json")
        .set("state_file", "sync_state.db");
    env.target.refuse_login(Refusal::ImapDisabled, 9);
    env.set("source_pass", "wrong");
    env
}

#[test]
fn colours_are_for_a_terminal_and_for_who_wants_them() {
    let env = much_is_wrong();
    let size = (24, 80);
    for variables in [&[][..], &[("NO_COLOR", "")]] {
        let text = shown(&env, size, variables);
        assert!(
            text.contains("\x1b[1;31mproblem\x1b[0m  source sign in: "),
            "{text}"
        );
        assert!(text.contains("\x1b[32mok\x1b[0m       disk: "), "{text}");
        assert!(
            text.contains("\x1b[2mskipped\x1b[0m  source mailbox, "),
            "{text}"
        );
    }
    for variables in [[("NO_COLOR", "1")], [("TERM", "dumb")], [("TERM", "")]] {
        let text = shown(&env, size, &variables);
        assert!(!text.contains('\x1b'), "{variables:?}: {text}");
        assert!(text.contains("problem  source sign in: "), "{text}");
    }
    // No terminal.
    let ran = env.command(&["check", "--config", "config.json"]);
    assert!(!ran.out.contains('\x1b'), "{}", ran.out);
}

#[test]
fn problems_are_told_again_where_they_may_have_left_the_screen() {
    let env = much_is_wrong();
    let told = |rows| {
        shown(&env, (rows, 80), &[])
            .matches("problem\x1b[0m  source sign in: ")
            .count()
    };
    assert_eq!(told(24), 2);
    assert_eq!(told(60), 1);
}

/// As `screens`, at the widths of a phone and of a large window.
#[test]
fn screens_of_other_widths() {
    let mut wrong = much_is_wrong();
    wrong.set("sinse", Value::from("7d"));
    for (name, columns) in [("wrong-40", 40), ("wrong-120", 120)] {
        let text = shown(&wrong, (24, columns), &[("NO_COLOR", "1")]);
        for line in text.lines() {
            assert!(line.chars().count() <= usize::from(columns), "{line}");
        }
        is_as_written(name, &text, &wrong);
    }
}
