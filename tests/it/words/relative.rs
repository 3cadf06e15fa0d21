//! Where files lie: a relative path of a configuration begins at its folder, wherever the program is started. What
//! earlier versions had in the current folder is used as long as the new place has nothing, and that is said.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use chrono::Utc;
use imap_to_gmail::config::{Config, Key};
use imap_to_gmail::ledger::{Ledger, Route};
use serde_json::{Value, json};

use super::config::{EXAMPLE_HINT, nowhere, right, with};
use super::ledger::{make, make_of};
use super::{Ran, WorkDir};

const MOVE: &str = "a relative path in a configuration begins at the folder of that file: move it there, or write its whole path";
const MOVE_LEDGER: &str = "a relative path in a configuration begins at the folder of that file: move the ledger there while nothing uses it, or write its whole path as `state_file`";
const KEEP_ONE: &str = "what only the second one knows may be sent again: keep the one that knows more (`imap-to-gmail status --state-file FILE` tells), and move the other one away";

/// The current folder of the program, with the configuration in a folder below it.
struct Place(WorkDir);

impl Place {
    fn new(config: &Value) -> Place {
        let desk = WorkDir::new();
        fs::create_dir(desk.path("etc")).unwrap();
        desk.file("etc/config.json", config.to_string());
        Place(desk)
    }

    /// As people see it in a message.
    fn path(&self, name: &str) -> String {
        let folder = self.0.path("").canonicalize().unwrap();
        folder.join(name).display().to_string()
    }

    fn config(&self) -> Config {
        Config::load(&self.0.path("etc/config.json"), Utc::now()).unwrap()
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.0.run(args)
    }

    /// Which ledger is meant, and what is said of that.
    #[track_caller]
    fn ledger(&self, config: &str) -> (String, String) {
        let ran = self.run(&["status", "--json", "--config", config]);
        assert_eq!(ran.status, Some(0), "{ran:?}");
        let all: Value = serde_json::from_str(&ran.out).unwrap();
        let ledger = all["routes"][0]["state_file"].as_str().unwrap();
        (ledger.into(), ran.err)
    }
}

/// The route of [`nowhere`].
fn nobodys() -> Route {
    Route::new(
        "user@example.org",
        "127.0.0.1",
        "you@gmail.com",
        "127.0.0.1",
    )
}

fn executable(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_relative_path_begins_at_the_folder_of_the_configuration() {
    let mut config = with("source_pass_file", "secrets/pass");
    config["source_ca_file"] = json!("ca.pem");
    config.as_object_mut().unwrap().remove("target_pass");
    config["target_token_file"] = json!("./token.json");
    config["target_ca_file"] = json!("/absolute/ca.pem");
    config["state_file"] = json!("../mail.db");
    let place = Place::new(&config);
    fs::create_dir(place.0.path("etc/secrets")).unwrap();
    place.0.file("etc/secrets/pass", "HUSH\n");
    let found = place.config();
    let path = |name: &str| place.0.path("etc").join(name);
    let Key::Password(password) = &found.source_key else {
        panic!("no password");
    };
    assert_eq!(password.reveal(), "HUSH");
    assert_eq!(found.source.ca_file, Some(path("ca.pem")));
    assert_eq!(found.target.ca_file, Some("/absolute/ca.pem".into()));
    assert_eq!(found.target_key, Key::TokenFile(path("./token.json")));
    assert_eq!(found.ledger.path, path("../mail.db"));
    assert_eq!(found.moved, []);
    // Without a word about it, the ledger lies beside the configuration.
    let place = Place::new(&right());
    assert_eq!(
        place.config().ledger.path,
        place.0.path("etc/sync_state.db")
    );
    place.run(&["status", "--config", "etc/config.json"]).fails(
        1,
        "etc/sync_state.db: there is no ledger here",
        "if nothing has been copied yet, the first `imap-to-gmail run` makes it; if something has, name its configuration with --config, or the file itself with --state-file",
    );
    // On the command line, a path begins at the current folder.
    place.run(&["status", "--state-file", "mine.db"]).fails(
        1,
        "mine.db: there is no ledger here",
        "if nothing has been copied yet, the first `imap-to-gmail run` makes it; if something has, name its configuration with --config, or the file itself with --state-file",
    );
}

#[test]
fn a_program_with_a_slash_in_its_name_is_a_path_like_others() {
    for named in ["./get", "bin/../get"] {
        let place = Place::new(&with("source_pass_command", json!([named, "a"])));
        fs::create_dir(place.0.path("etc/bin")).unwrap();
        place.0.file("etc/get", "#!/bin/sh\necho HUSH-$1\n");
        executable(&place.0.path("etc/get"));
        let Key::Password(password) = place.config().source_key else {
            panic!("no password");
        };
        assert_eq!(password.reveal(), "HUSH-a");
    }
    // One without is looked for where programs are, not in the folder.
    let place = Place::new(&with("source_pass_command", json!(["printf", "HUSH"])));
    place.0.file("etc/printf", "#!/bin/sh\nexit 1\n");
    executable(&place.0.path("etc/printf"));
    assert!(matches!(place.config().source_key, Key::Password(_)));
}

#[test]
fn what_only_a_shell_understands_is_refused() {
    for key in [
        "source_pass_file",
        "source_token_file",
        "source_ca_file",
        "target_token_file",
        "state_file",
    ] {
        for named in ["~", "~/mail/x"] {
            let place = Place::new(&with(key, named));
            place.run(&["run", "--config", "etc/config.json"]).fails(
                2,
                &format!(
                    "etc/config.json: `{key}`: got a path that begins with ~, expected one without"
                ),
                "only a shell knows what ~ stands for: write the whole path of your home folder",
            );
        }
    }
}

/// What `check` finds of places, as `result: message; hint`.
fn found(ran: &Ran) -> Vec<String> {
    let all: Value = serde_json::from_str(&ran.out).unwrap();
    let all = all["checks"].as_array().unwrap().iter();
    let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
    all.filter(|f| f["name"] == "places")
        .map(|f| {
            format!(
                "{}: {}; {}",
                text(&f["result"]),
                text(&f["message"]),
                text(&f["hint"])
            )
        })
        .collect()
}

#[test]
fn a_file_that_is_only_in_the_current_folder_is_used_and_that_is_said() {
    for (key, name, content) in [
        ("source_pass_file", "pass", "HUSH\n"),
        ("target_pass_file", "pass", "HUSH\n"),
        ("source_token_file", "token.json", "{\"token\": \"HUSH\"}"),
        ("target_token_file", "token.json", "{\"token\": \"HUSH\"}"),
        ("source_ca_file", "ca.pem", ""),
        ("target_ca_file", "ca.pem", ""),
    ] {
        let place = Place::new(&nowhere(with(key, name)));
        place.0.file(name, content);
        let said = format!(
            "`{key}`: {} is not there, so {} is used",
            place.path(&format!("etc/{name}")),
            place.path(name)
        );
        let checked = place.run(&["check", "--json", "-c", "etc/config.json"]);
        assert_eq!(found(&checked), [format!("warning: {said}; {MOVE}")]);
        let ran = place.run(&["run", "--dry-run", "-c", "etc/config.json"]);
        assert!(
            ran.err.contains(&format!(" WARN  {said}; {MOVE}\n")),
            "{ran:?}"
        );
        // Where the new place has one, the old one does not count, be it wrong or right.
        place.0.file(&format!("etc/{name}"), content);
        place.0.file(name, "");
        let checked = place.run(&["check", "--json", "-c", "etc/config.json"]);
        assert_eq!(found(&checked), [""; 0]);
    }
    // The one that holds nothing is there.
    let place = Place::new(&with("source_pass_file", "pass"));
    place.0.file("pass", "HUSH").file("etc/pass", "");
    place.run(&["run", "-c", "etc/config.json"]).fails(
        2,
        "etc/config.json: `source_pass_file`: the first line of etc/pass is empty, expected the password",
        "the file must hold the password, alone on its first line",
    );
    // Nor is one passed over that leads nowhere.
    let place = Place::new(&with("source_pass_file", "pass.txt"));
    place.0.file("pass.txt", "HUSH");
    symlink("nowhere", place.0.path("etc/pass.txt")).unwrap();
    place.run(&["run", "-c", "etc/config.json"]).fails(
        2,
        "etc/config.json: `source_pass_file`: etc/pass.txt cannot be read: No such file or directory (os error 2)",
        "the file must hold the password, alone on its first line",
    );
    let place = Place::new(&nowhere(with("source_pass_command", json!(["./get"]))));
    place.0.file("get", "#!/bin/sh\necho HUSH\n");
    executable(&place.0.path("get"));
    let checked = place.run(&["check", "--json", "-c", "etc/config.json"]);
    let said = format!(
        "warning: `source_pass_command`: {} is not there, so {} is used; {MOVE}",
        place.path("etc/get"),
        place.path("get")
    );
    assert_eq!(found(&checked), [said]);
}

#[test]
fn a_ledger_of_these_accounts_in_the_current_folder_is_used_and_that_is_said() {
    for (config, name) in [
        (right(), "sync_state.db"),
        (with("state_file", "mail.db"), "mail.db"),
    ] {
        let place = Place::new(&nowhere(config));
        let (new, old) = (place.path(&format!("etc/{name}")), place.path(name));
        drop(make_of(&nobodys(), Path::new(&old), 2));
        let said = format!(
            "there is no ledger at {new}, so the one of these accounts at {old} is used; {MOVE_LEDGER}"
        );
        let warning = format!("warning: {said}\n");
        assert_eq!(
            place.ledger("etc/config.json"),
            (old.clone(), warning.clone())
        );
        place.run(&["retry-failed", "-c", "etc/config.json"]).says(
            0,
            "no message has failed: nothing was changed\n",
            &warning,
        );
        place.0.file(
            "state.json",
            "{\"synced_message_ids\": [\"<a@example.org>\"]}",
        );
        let import = &["import-state", "state.json", "-c", "etc/config.json"];
        place.run(import).says(
            0,
            "1 Message-ID taken over from state.json, 0 known already\n",
            &warning,
        );
        let checked = place.run(&["check", "--json", "-c", "etc/config.json"]);
        assert_eq!(found(&checked), [format!("warning: {said}")]);
        assert!(
            checked.out.contains(&format!("{old} is whole")),
            "{checked:?}"
        );
        assert!(!Path::new(&new).exists(), "no second one is made");
        // One that was only begun is none.
        fs::write(&new, "").unwrap();
        assert_eq!(place.ledger("etc/config.json").0, old);
        // Moved there as the words say, it is the ledger, and there is nothing to say.
        fs::rename(&old, &new).unwrap();
        assert_eq!(
            place.ledger("etc/config.json"),
            (format!("etc/{name}"), String::new())
        );
    }
}

#[test]
fn of_two_ledgers_of_the_same_accounts_it_is_said_which_is_used() {
    let place = Place::new(&nowhere(right()));
    let (new, old) = (place.path("etc/sync_state.db"), place.path("sync_state.db"));
    drop(make_of(&nobodys(), Path::new(&new), 1));
    drop(make_of(&nobodys(), Path::new(&old), 2));
    let said = format!(
        "{new} is used, and {old} is a second ledger of the same accounts, which is not used; {KEEP_ONE}"
    );
    let (used, warning) = place.ledger("etc/config.json");
    assert_eq!(
        (&*used, warning),
        ("etc/sync_state.db", format!("warning: {said}\n"))
    );
    let checked = place.run(&["check", "--json", "-c", "etc/config.json"]);
    assert_eq!(found(&checked), [format!("warning: {said}")]);
    // One file by two names is one.
    fs::remove_file(&old).unwrap();
    symlink(&new, &old).unwrap();
    assert_eq!(
        place.ledger("etc/config.json"),
        ("etc/sync_state.db".into(), String::new())
    );
    // And so it is where the current folder is the configuration's.
    place.0.file("config.json", nowhere(right()).to_string());
    assert_eq!(place.ledger("./config.json").1, "");
}

#[test]
fn a_ledger_of_others_in_the_current_folder_is_left_alone() {
    let none = "etc/sync_state.db: there is no ledger here";
    let hint = "if nothing has been copied yet, the first `imap-to-gmail run` makes it; if something has, name its configuration with --config, or the file itself with --state-file";
    let status = &["status", "-c", "etc/config.json"];
    let place = Place::new(&right());
    let old = place.0.path("sync_state.db");
    let mut ledger = Ledger::open_or_create(&old, true).unwrap();
    // Whose it is, it does not say.
    place.run(status).says(
        1,
        "",
        &format!(
            "warning: {old} is a ledger that no run has used yet, and it is not used: it does not say of which accounts it is; \
             if it is of these, move it to {}\nerror: {none}\n\nhint: {hint}\n",
            place.path("etc/sync_state.db"),
            old = place.path("sync_state.db"),
        ),
    );
    let others = Route::new(
        "anna@example.org",
        "imap.example.org",
        "you@gmail.com",
        "imap.gmail.com",
    );
    ledger.belong_to(&others, Utc::now()).unwrap();
    drop(ledger);
    place.run(status).fails(1, none, hint);
    // What was imported says whose mail is not to be sent again: it is not passed over in silence.
    fs::remove_file(&old).unwrap();
    place.0.file(
        "script.json",
        "{\"synced_message_ids\": [\"<1@example.org>\"]}",
    );
    let import = [
        "import-state",
        "script.json",
        "--state-file",
        "sync_state.db",
    ];
    assert_eq!(place.run(&import).status, Some(0));
    let there = place.path("etc/sync_state.db");
    place.run(&["run", "-c", "etc/config.json", "--once"]).fails(
        2,
        &format!(
            "{} holds the ids that were imported, there is no ledger at {there}, and it does not say of which accounts it is",
            place.path("sync_state.db")
        ),
        &format!("if it is of these accounts, move it to {there}; if not, move it away from there"),
    );
    assert!(!place.0.path("etc/sync_state.db").exists());
    for stranger in ["{\"synced_message_ids\": []}", "dear diary", ""] {
        fs::write(&old, stranger).unwrap();
        place.run(status).fails(1, none, hint);
    }
    fs::remove_file(&old).unwrap();
    rusqlite::Connection::open(&old)
        .unwrap()
        .execute_batch("CREATE TABLE t (x)")
        .unwrap();
    place.run(status).fails(1, none, hint);
    // A damaged one may be of these accounts.
    fs::remove_file(&old).unwrap();
    drop(make(&old, 2));
    let mut bytes = fs::read(&old).unwrap();
    bytes[100..4096].fill(7);
    fs::write(&old, bytes).unwrap();
    let ran = place.run(status);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(
        ran.err.starts_with(&format!("error: {}: the ledger is damaged", place.path("sync_state.db")))
            && ran.err.ends_with("hint: it is asked because no other ledger of these accounts is where the configuration has it: move it away if it is of others, or give the path of the right one as `state_file`\n"),
        "{ran:?}"
    );
    // Where the new place has one, it is nobody's concern.
    drop(make(&place.0.path("etc/sync_state.db"), 1));
    assert_eq!(
        place.ledger("etc/config.json"),
        ("etc/sync_state.db".into(), String::new())
    );
}

/// What is not said in the configuration is asked for only where it matters.
#[test]
fn a_configuration_that_names_no_accounts_says_where_its_ledger_is_all_the_same() {
    let place = Place::new(&json!({"source_user": "x"}));
    drop(make(&place.0.path("etc/sync_state.db"), 1));
    let (ledger, warning) = place.ledger("etc/config.json");
    assert_eq!(ledger, "etc/sync_state.db");
    assert!(
        warning.starts_with("warning: no run can begin with this configuration:"),
        "{warning}"
    );
    drop(make(&place.0.path("sync_state.db"), 1));
    assert_eq!(place.ledger("etc/config.json").0, "etc/sync_state.db");
    fs::remove_file(place.0.path("etc/sync_state.db")).unwrap();
    place.run(&["status", "-c", "etc/config.json"]).fails(
        2,
        "etc/config.json: `source_server` is missing",
        EXAMPLE_HINT,
    );
}

/// Its owner put the link where the other files are to be; where it leads to is another name of the same configuration.
#[test]
fn a_link_to_a_configuration_stands_for_its_own_folder() {
    let place = Place::new(&right());
    fs::create_dir(place.0.path("home")).unwrap();
    symlink("../etc/config.json", place.0.path("home/config.json")).unwrap();
    place.run(&["status", "-c", "home/config.json"]).fails(
        1,
        "home/sync_state.db: there is no ledger here",
        "if nothing has been copied yet, the first `imap-to-gmail run` makes it; if something has, name its configuration with --config, or the file itself with --state-file",
    );
    // By its other name it had a ledger already: a second one would send again.
    let old = place.path("etc/sync_state.db");
    drop(make(Path::new(&old), 1));
    let said = format!(
        "warning: there is no ledger at {}, so the one of these accounts at {old} is used; {MOVE_LEDGER}\n",
        place.path("home/sync_state.db")
    );
    assert_eq!(place.ledger("home/config.json"), (old.clone(), said));
    drop(make(&place.0.path("home/sync_state.db"), 1));
    let (used, said) = place.ledger("home/config.json");
    assert_eq!(used, "home/sync_state.db");
    assert!(
        said.contains(&format!("{old} is a second ledger")),
        "{said}"
    );
    // A link to the folder is the folder.
    symlink("etc", place.0.path("link")).unwrap();
    fs::remove_file(place.0.path("home/sync_state.db")).unwrap();
    assert_eq!(
        place.ledger("link/config.json"),
        ("link/sync_state.db".into(), String::new())
    );
}

/// It has no folder in which a person would look for a ledger.
#[test]
fn a_configuration_that_comes_through_a_pipe_begins_at_the_current_folder() {
    let place = Place::new(&right());
    let program = env!("CARGO_BIN_EXE_imap-to-gmail");
    for script in [
        "cat etc/config.json | \"$0\" status --config /dev/stdin",
        "\"$0\" status --config /dev/stdin < etc/config.json",
        "\"$0\" status --config /dev/fd/5 5< etc/config.json",
        "\"$0\" status --config /proc/self/fd/5 5< etc/config.json",
        "mkfifo pipe; cat etc/config.json > pipe & \"$0\" status --config pipe",
        "mkfifo etc/pipe; cat etc/config.json > etc/pipe & \"$0\" status --config etc/pipe",
    ] {
        let out = std::process::Command::new("sh")
            .args(["-c", script, program])
            .current_dir(place.0.path(""))
            .output()
            .unwrap();
        let err = String::from_utf8(out.stderr).unwrap();
        assert!(
            err.starts_with("error: sync_state.db: there is no ledger here\n"),
            "{script}: {err}"
        );
    }
}

/// Two configurations in one folder, each started from its own: the ledger of one was moved beside them.
#[test]
fn the_ledger_of_others_beside_the_configuration_is_not_used_for_these() {
    let place = Place::new(&right());
    let others = Route::new(
        "anna@example.org",
        "imap.example.org",
        "you@gmail.com",
        "imap.gmail.com",
    );
    let there = place.0.path("etc/sync_state.db");
    let mut ledger = Ledger::open_or_create(&there, true).unwrap();
    ledger.belong_to(&others, Utc::now()).unwrap();
    drop(ledger);
    drop(make(&place.0.path("sync_state.db"), 1));
    let (used, warning) = place.ledger("etc/config.json");
    assert_eq!(used, place.path("sync_state.db"));
    assert!(
        warning.contains("is of other accounts, so the one of these at"),
        "{warning}"
    );
}
