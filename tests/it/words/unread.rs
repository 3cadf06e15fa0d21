//! A configuration that cannot be read: why, and what to do about just that.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

use super::WorkDir;
use super::config::right;
use super::places::as_user;

const PATH_HINT: &str = "give the path of your configuration with --config";

fn make(file: &str) -> String {
    format!(
        "if it is in another folder, give its path with --config; if there is none yet, `install -m 600 config.json.example {file}` makes one, for you to put your accounts into"
    )
}

#[test]
fn one_that_is_not_there_is_told_how_to_make() {
    let desk = WorkDir::new();
    let here = desk.path("").canonicalize().unwrap();
    let here = here.display();
    for args in [
        &["run", "--once", "--config", "nowhere.json"][..],
        &["--once", "--config", "nowhere.json"],
        &["run", "--dry-run", "--config", "nowhere.json"],
        &["status", "--config", "nowhere.json"],
        &["retry-failed", "--config", "nowhere.json"],
    ] {
        desk.run(args).fails(
            2,
            &format!("nowhere.json: there is no such file (the current folder is {here})"),
            &make("nowhere.json"),
        );
    }
    desk.run(&["run"]).fails(
        2,
        &format!("config.json: there is no such file (the current folder is {here})"),
        &make("config.json"),
    );
    let absolute = "/nowhere/my mail.json";
    desk.run(&["run", "--config", absolute]).fails(
        2,
        &format!("{absolute}: there is no such file"),
        &make("'/nowhere/my mail.json'"),
    );
    symlink("/nowhere/real.json", desk.path("link.json")).unwrap();
    desk.run(&["run", "--config", "link.json"]).fails(
        2,
        "link.json: this is a link to /nowhere/real.json, where there is nothing",
        &make("link.json"),
    );
    assert_eq!(desk.files(), ["link.json"], "nothing is made");
}

#[test]
fn a_folder_is_called_one() {
    let desk = WorkDir::new();
    fs::create_dir(desk.path("mail")).unwrap();
    for command in ["run", "check", "status", "health"] {
        desk.run(&[command, "--config", "mail"]).fails(
            2,
            "there is no configuration in the folder mail",
            "a configuration is a file whose name ends in .json; config.json.example shows one",
        );
    }
    desk.run(&["folders", "--config", "mail"]).fails(
        2,
        "mail: this is a folder, expected a file",
        "give the path of your configuration, with its name, with --config",
    );
    desk.file("mail/config.json", right().to_string());
    desk.run(&["folders", "--config", "mail"]).fails(
        2,
        "mail: this is a folder, expected a file",
        "did you mean `--config mail/config.json`?",
    );
}

#[test]
fn an_empty_one_is_told_what_belongs_in_it() {
    let desk = WorkDir::new();
    for content in ["", " \n\t\n", "\u{feff}"] {
        desk.file("config.json", content);
        desk.run(&["run"]).fails(
            2,
            "config.json: the file is empty",
            "`install -m 600 config.json.example config.json` makes a complete one, for you to put your accounts into",
        );
    }
}

#[test]
fn one_without_end_is_not_read_to_its_end() {
    let desk = WorkDir::new();
    desk.run(&["run", "--config", "/dev/zero"]).fails(
        2,
        "/dev/zero: more than 1 MiB, expected a configuration",
        PATH_HINT,
    );
    let endless = super::config::with("source_pass_file", "/dev/zero");
    let (desk, _lock) = super::config::desk();
    super::config::run(&desk, endless).fails(
        2,
        "config.json: `source_pass_file`: the first line of /dev/zero holds control characters, expected the password",
        "the file must hold the password, alone on its first line",
    );
}

/// What a run says to a user without a name; None where only root could become one.
fn as_stranger(desk: &WorkDir, args: &[&str]) -> Option<String> {
    let (status, _, err) = as_user(desk, 54321, args)?;
    assert_eq!(status, 2, "{err}");
    Some(err)
}

#[test]
fn one_of_another_user_is_told_whose_it_is_and_who_asks() {
    let desk = WorkDir::new();
    desk.file("config.json", right().to_string());
    let file = desk.path("config.json");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let Some(said) = as_stranger(&desk, &["run"]) else {
        return;
    };
    assert_eq!(
        said,
        "error: config.json: you (user 54321) may not read it: it belongs to root and has mode 600\n\n\
         hint: run this command as root, as in `sudo -u root imap-to-gmail ...`; or give the file to the user who runs it: `sudo chown USER config.json`\n"
    );
    // As in a container, whose user has no name outside.
    chown(&file, Some(65532), None).unwrap();
    let said = as_stranger(&desk, &["run"]).unwrap();
    assert!(
        said.contains("it belongs to user 65532 and")
            && said.contains("as in `sudo -u '#65532' imap-to-gmail ...`"),
        "{said}"
    );
    // Of its own, and closed all the same.
    chown(&file, Some(54321), None).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o000)).unwrap();
    let said = as_stranger(&desk, &["run"]).unwrap();
    assert_eq!(
        said,
        "error: config.json: you (user 54321) may not read it: it belongs to you and has mode 0\n\n\
         hint: `chmod 600 config.json`\n"
    );
    fs::create_dir(desk.path("closed")).unwrap();
    fs::set_permissions(desk.path("closed"), Permissions::from_mode(0o700)).unwrap();
    let said = as_stranger(&desk, &["run", "--config", "closed/config.json"]).unwrap();
    assert_eq!(
        said,
        "error: closed/config.json: you (user 54321) may not look into its folder: closed belongs to root and has mode 700\n\n\
         hint: run this command as root, as in `sudo -u root imap-to-gmail ...`; or give the file to the user who runs it: `sudo chown USER closed/config.json`\n"
    );
}
