//! Files that cannot be made, read or written: the folder is missing, it is somebody else's, there is no room. Each is
//! said the same way of the ledger, the log and the token file, by whichever command meets it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::status::Book;
use super::{WorkDir, config};
use crate::testkit::{in_ci, mounts};

/// A user who owns nothing here. Only root can become one.
const NOBODY: u32 = 65534;

fn output(command: &mut Command, desk: &WorkDir) -> Output {
    command
        .current_dir(desk.path("."))
        .env("TZ", "UTC")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The program in a folder that everybody may look into: the one that it was built in may be closed to others.
/// It is copied by a process of its own: whatever this one had open for writing, a child that another test starts at
/// that moment would have too, and the kernel runs no such file.
fn program() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let copied = Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_imap-to-gmail"))
            .arg(folder.path())
            .status();
        assert!(copied.unwrap().success());
        folder
    });
    folder.path()
}

/// Status, stdout and stderr of the program, run by this user; None where this is not root, which is said.
pub(crate) fn as_user(desk: &WorkDir, user: u32, args: &[&str]) -> Option<(i32, String, String)> {
    if !rustix::process::geteuid().is_root() {
        assert!(!in_ci(), "this needs root");
        println!("not tried: only root can be somebody else");
        return None;
    }
    fs::set_permissions(desk.path("."), Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(program().join("imap-to-gmail"));
    let ran = output(command.args(args).uid(user).gid(user), desk);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Some((
        ran.status.code().unwrap(),
        text(ran.stdout),
        text(ran.stderr),
    ))
}

pub(crate) fn as_nobody(desk: &WorkDir, args: &[&str]) -> Option<(i32, String, String)> {
    as_user(desk, NOBODY, args)
}

fn error(sentence: &str, hint: &str) -> String {
    format!("error: {sentence}\n\nhint: {hint}\n")
}

const LEDGER_OR: &str = "give another path with --state-file or `state_file`";
const LOG_OR: &str =
    "give another PLACE with `--log`: stdout, stderr, syslog, or the path of a file";
const TOKEN_OR: &str = "give another path with --token-file";
const RUN: [&str; 4] = ["run", "--config", "config.json", "--once"];

/// `check`'s finding of this name: message and hint.
fn finding(desk: &WorkDir, name: &str) -> (String, String) {
    let ran = desk.run(&["check", "--config", "config.json", "--json"]);
    let all: Value = serde_json::from_str(&ran.out).unwrap();
    let found = all["checks"].as_array().unwrap().iter();
    let found = found.clone().find(|f| f["name"] == name).unwrap();
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_string();
    (text("message"), text("hint"))
}

#[test]
fn a_missing_folder_is_named_the_same_way_by_every_command() {
    let desk = WorkDir::new();
    let mut config = config::right();
    config["source_server"] = json!("127.0.0.1");
    config["source_port"] = json!(1);
    config["target_server"] = json!("127.0.0.1");
    config["target_port"] = json!(1);
    config["state_file"] = json!("no/such/sync.db");
    config.as_object_mut().unwrap().remove("target_pass");
    config["target_token_file"] = json!("token's/token.json");
    desk.file("config.json", config.to_string()).file(
        "client.json",
        json!({"installed": {"client_id": "id", "client_secret": "HUSH", "redirect_uris": ["http://localhost"],
            "auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": "https://oauth2.googleapis.com/token"}})
        .to_string(),
    );
    let ledger = "no/such/sync.db: the folder no/such for the ledger does not exist";
    let mkdir = format!("`mkdir -p no/such` makes it; or {LEDGER_OR}");
    desk.run(&RUN).fails(1, ledger, &mkdir);
    assert_eq!(finding(&desk, "ledger"), (ledger.into(), mkdir));
    desk.run(&[&RUN[..], &["--log", "logs/imap.log"]].concat())
        .fails(
            2,
            "logs/imap.log: the folder logs for the log does not exist",
            &format!("`mkdir -p logs` makes it; or {LOG_OR}"),
        );
    let token = "token's/token.json: the folder token's for the token file does not exist";
    let mkdir = r"`mkdir -p 'token'\''s'` makes it; or ";
    desk.run(&[
        "auth",
        "--credentials",
        "client.json",
        "--config",
        "config.json",
    ])
    .fails(2, token, &format!("{mkdir}{TOKEN_OR}"));
    let (message, hint) = finding(&desk, "target_token");
    assert_eq!(message, token);
    assert!(hint.starts_with(mkdir), "{hint}");
}

#[test]
fn a_folder_in_place_of_a_file_and_a_file_in_place_of_a_folder() {
    let desk = WorkDir::new();
    desk.file("config.json", config::right().to_string());
    fs::create_dir(desk.path("logs")).unwrap();
    let run = |option: &str, path: &str| desk.run(&[&RUN[..], &[option, path]].concat());
    let folder = "this is a folder, expected a file for the";
    run("--state-file", "logs").fails(1, &format!("logs: {folder} ledger"), LEDGER_OR);
    run("--log", "logs").fails(2, &format!("logs: {folder} log"), LOG_OR);
    let file = "config.json is a file, expected a folder for the";
    run("--state-file", "config.json/a/sync.db").fails(
        1,
        &format!("config.json/a/sync.db: {file} ledger"),
        LEDGER_OR,
    );
    run("--log", "config.json/imap.log").fails(
        2,
        &format!("config.json/imap.log: {file} log"),
        LOG_OR,
    );
}

#[test]
fn what_belongs_to_another_user_is_said_so() {
    let desk = WorkDir::new();
    desk.file("config.json", config::right().to_string());
    fs::set_permissions(desk.path("config.json"), Permissions::from_mode(0o644)).unwrap();
    fs::create_dir(desk.path("logs")).unwrap();
    let folder = desk.path(".").canonicalize().unwrap().display().to_string();
    let mend = "do this as root (`sudo -u root imap-to-gmail ...`)";
    let Some((status, _, err)) = as_nobody(&desk, &RUN) else {
        return;
    };
    assert_eq!(
        (status, err),
        (
            1,
            error(
                &format!(
                    "sync_state.db: the ledger cannot be written: the folder {folder} belongs to root (mode 755), and you are nobody"
                ),
                &format!("{mend}; or {LEDGER_OR}")
            )
        )
    );
    let log = [&RUN[..], &["--log", "logs/imap.log"]].concat();
    let (status, _, err) = as_nobody(&desk, &log).unwrap();
    assert_eq!(
        (status, err),
        (
            2,
            error(
                "logs/imap.log: the log cannot be written: the folder logs belongs to root (mode 755), and you are nobody",
                &format!("make it yours (`sudo chown nobody logs`), or {mend}; or {LOG_OR}")
            )
        )
    );
    fs::set_permissions(desk.path("logs"), Permissions::from_mode(0o700)).unwrap();
    let (_, _, err) =
        as_nobody(&desk, &[&RUN[..], &["--state-file", "logs/a.db"]].concat()).unwrap();
    assert!(
        err.contains("the folder logs belongs to root (mode 700), and you are nobody"),
        "{err}"
    );
    drop(Book::new(&desk.path("sync_state.db")));
    let (status, _, err) = as_nobody(&desk, &["retry-failed"]).unwrap();
    assert_eq!(status, 1);
    assert_eq!(
        err,
        error(
            "sync_state.db: the ledger cannot be written: it belongs to root (mode 600), and you are nobody",
            &format!(
                "{mend}; or move it, with its -wal file if it has one, and say where it is with --state-file or `state_file`; a new ledger would not know what was sent"
            )
        )
    );
}

/// Each size of a file system on which a first run makes its ledger, to where there is room enough.
#[test]
fn a_disk_that_is_full_at_the_first_run_is_said_in_plain_words() {
    let desk = WorkDir::new();
    let mut config = config::right();
    config["state_file"] = json!("small/sync_state.db");
    // A run that ends before it connects, once it has its ledger.
    config["source_ca_file"] = json!("missing.pem");
    desk.file("config.json", config.to_string());
    fs::create_dir(desk.path("small")).unwrap();
    let (mut full, mut roomy) = (0, false);
    for pages in (1..120).step_by(4) {
        let size = 4 * pages;
        let script = format!(
            "mount -t tmpfs -o size={size}k tmpfs small && exec \"$0\" run --config config.json --once --log stderr"
        );
        let Some(mut command) = mounts::in_private_mounts(&script) else {
            return;
        };
        let ran = output(command.arg(env!("CARGO_BIN_EXE_imap-to-gmail")), &desk);
        let err = String::from_utf8(ran.stderr).unwrap();
        roomy = err.contains("missing.pem");
        if roomy {
            break;
        }
        full += 1;
        let said = error(
            "small/sync_state.db: the disk is full",
            "make room (`df -h` shows which disk is full; do not delete the ledger), then start again: nothing is lost",
        );
        assert!(err.ends_with(&said), "{size} kB: {err}");
    }
    assert!(full > 5 && roomy, "{full}");
}

#[test]
fn a_full_disk_keeps_nobody_from_reading_the_ledger() {
    let desk = WorkDir::new();
    drop(Book::new(&desk.path("sync_state.db")));
    fs::create_dir(desk.path("small")).unwrap();
    let script = "mount -t tmpfs -o size=1m tmpfs small && cp sync_state.db small/ &&
        ! cat /dev/zero 2> /dev/null > small/rest && exec \"$0\" status --state-file small/sync_state.db";
    let Some(mut command) = mounts::in_private_mounts(script) else {
        return;
    };
    let ran = output(command.arg(env!("CARGO_BIN_EXE_imap-to-gmail")), &desk);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(ran.stdout), text(ran.stderr));
    assert_eq!((ran.status.code(), &*err), (Some(0), ""), "{out}");
    assert!(
        out.starts_with("NOT RUNNING: user@example.org into"),
        "{out}"
    );
}
