//! Passwords that lie elsewhere: in files, or in what a command prints.

use std::fs;

use imap_to_gmail::config::{Key, Secret};
use serde_json::json;

use super::config::{EXAMPLE_HINT, accepted, desk, refused, run, with};

const ARGV: &str = "a list of texts like [\"pass\", \"show\", \"mail\"]";
const COMMAND_HINT: &str =
    "run the command by hand: it must end with 0 and print the password, alone on its first line";
const FILE_HINT: &str = "the file must hold the password, alone on its first line";

#[test]
fn password_files_hold_the_password_on_their_first_line() {
    for key in ["source_pass_file", "target_pass_file"] {
        let (desk, _lock) = desk();
        desk.file("empty", "")
            .file("late", "\nHUSH\n")
            .file("blank", "  \nHUSH\n")
            .file("binary", b"HUSH\xff\n");
        for (name, what) in [
            (
                "missing",
                "the file that it names cannot be read: No such file or directory (os error 2)",
            ),
            (".", ". cannot be read: Is a directory (os error 21)"),
            ("binary", "binary is not UTF-8"),
            (
                "empty",
                "the first line of empty is empty, expected the password",
            ),
            (
                "late",
                "the first line of late is empty, expected the password",
            ),
            (
                "blank",
                "the first line of blank is empty, expected the password",
            ),
        ] {
            run(&desk, with(key, name)).fails(
                2,
                &format!("config.json: `{key}`: {what}"),
                FILE_HINT,
            );
        }
    }
    let (desk, _lock) = desk();
    let file = desk.path("pass");
    desk.file("pass", " HU SH \r\nnot this\n");
    let source = accepted(with("source_pass_file", file.to_str().unwrap()));
    assert_eq!(
        source.source_key,
        Key::Password(Secret::new(" HU SH ".into()))
    );
    let target = accepted(with("target_pass_file", file.to_str().unwrap()));
    let Key::Password(password) = &target.target_key else {
        panic!("no password");
    };
    assert_eq!(password.reveal(), "HUSH", "Google shows it in groups");
}

/// What is no path may be the password itself, and has slashes and dots in it too.
#[test]
fn a_password_in_the_place_of_its_file_is_not_shown() {
    const NO_FILE: &str = "cannot be read: No such file or directory (os error 2)";
    for key in ["source_pass_file", "target_pass_file"] {
        for password in [
            "HU.SH",
            "HU/SH",
            "/HUSH",
            "//HUSH",
            "HUSH/",
            "HUSH/.",
            ".HUSH",
            "HU.SH/x",
            "HUSH.",
            "HU/.SH",
            "HU+/SH==",
            "HU.txt.SH",
        ] {
            let (desk, _lock) = desk();
            run(&desk, with(key, password)).fails(
                2,
                &format!("config.json: `{key}`: the file that it names {NO_FILE}"),
                FILE_HINT,
            );
        }
        // What is a path is told, and how the file is made, and its folder too.
        let (desk, _lock) = desk();
        fs::create_dir(desk.path("secrets")).unwrap();
        let whole = desk.path("pass").display().to_string();
        for (option, path) in [
            ("", "secrets/pass"),
            ("", "./pass"),
            ("", &whole),
            ("", "mail.pass"),
            ("", "a.TXT"),
            ("-D ", "no/such.secret"),
        ] {
            run(&desk, with(key, path)).fails(
                2,
                &format!("config.json: `{key}`: {path} does not exist"),
                &format!("`install {option}-m 600 /dev/null {path}` makes it: then write the password on its first line"),
            );
        }
    }
}

#[test]
fn password_commands_print_the_password_and_end_with_0() {
    let key = "source_pass_command";
    for (value, got) in [
        (json!("echo HUSH"), "text"),
        (json!([]), "an empty list"),
        (json!(["echo", 5]), "a list with something else in it"),
        (json!({"echo": "HUSH"}), "an object"),
        (json!(null), "null"),
    ] {
        refused(
            with(key, value),
            &format!("`{key}`: got {got}, expected {ARGV}"),
            EXAMPLE_HINT,
        );
    }
    for (argv, hint) in [
        (
            json!(["no-such-program", "HUSH"]),
            "is it installed? `command -v no-such-program` shows where: you can write its whole path first, like [\"/usr/bin/pass\", \"show\", \"mail\"]",
        ),
        (
            json!(["no-such-program HUSH"]),
            "the program comes first, then each argument as a text of its own; no shell is involved",
        ),
    ] {
        refused(
            with(key, argv),
            &format!("`{key}`: the program `no-such-program` is not found"),
            hint,
        );
    }
    for (argv, what) in [
        (
            json!(["false", "HUSH"]),
            "`false` ended with exit status: 1",
        ),
        (
            json!(["sh", "-c", "echo HUSH; kill -9 $$"]),
            "`sh` ended with signal: 9 (SIGKILL)",
        ),
        (
            json!(["true"]),
            "`true` printed no password on its first line",
        ),
        (
            json!(["printf", "\\nHUSH\\n"]),
            "`printf` printed no password on its first line",
        ),
        (
            json!(["printf", "HUSH\\377\\n"]),
            "what `printf` printed is not UTF-8",
        ),
    ] {
        refused(with(key, argv), &format!("`{key}`: {what}"), COMMAND_HINT);
    }
    let config = accepted(with(key, json!(["printf", "HU SH\\nnot this\\n"])));
    assert_eq!(
        config.source_key,
        Key::Password(Secret::new("HU SH".into()))
    );
}
