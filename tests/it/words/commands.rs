//! Commands that are told to be typed next name the files of this very call, as a shell must be given them.

use imap_to_gmail::ledger;
use serde_json::json;

use super::WorkDir;
use super::status::everything;

const CONFIG: &str = "my config.json";

/// The ledger of everything, and a configuration whose name has a blank.
fn desk() -> WorkDir {
    let desk = everything();
    let config = json!({
        "source_server": "imap.example.org",
        "source_user": "user@example.org",
        "source_pass": "password",
        "target_user": "you@gmail.com",
        "target_pass": "abcd efgh ijkl mnop",
    });
    desk.file(CONFIG, config.to_string());
    desk
}

/// The command between backticks in the line that has this in it, and the next one.
fn told(text: &str, part: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let from = text
        .find(part)
        .unwrap_or_else(|| panic!("no {part}: {text}"));
    let mut pieces = text[from..].split('`');
    pieces.nth(1).unwrap().to_string()
}

#[test]
fn status_tells_of_its_other_calls() {
    let desk = desk();
    std::fs::copy(desk.path("sync_state.db"), desk.path("my mail.db")).unwrap();
    for (args, files) in [
        (&[][..], ""),
        (&["--config", CONFIG][..], " --config 'my config.json'"),
        (
            &["--state-file", "./sync_state.db"][..],
            " --state-file ./sync_state.db",
        ),
        (
            &["--state-file", "my mail.db"][..],
            " --state-file 'my mail.db'",
        ),
    ] {
        let said = |more: &[&str]| {
            let args: Vec<&str> = [&["status"][..], args, more].concat();
            desk.run(&args).out().to_string()
        };
        let text = said(&[]);
        let failed = format!("imap-to-gmail status --failed{files}");
        assert_eq!(told(&text, "put off"), failed);
        assert_eq!(told(&text, "\u{20}failed "), failed);
        let again = format!("imap-to-gmail retry-failed{files}");
        assert_eq!(told(&said(&["--failed"]), "\u{20}failed "), again);
    }
}

#[test]
fn what_knows_only_the_ledger_names_that() {
    let desk = desk();
    std::fs::rename(desk.path("sync_state.db"), desk.path("my mail.db")).unwrap();
    let args = ["retry-failed", "--state-file", "my mail.db", "999"];
    desk.run(&args).fails(
        2,
        "there is no message 999",
        "`imap-to-gmail status --failed --state-file 'my mail.db'` lists the failed messages and their ids",
    );
    let path = desk.path("my mail.db");
    let _lock = ledger::lock(&path).unwrap();
    let error = ledger::lock(&path).err().unwrap();
    assert_eq!(
        error.hint.unwrap(),
        format!(
            "`imap-to-gmail status --state-file '{}'` shows what it does. One is enough: if this one is to run, end the other first (Ctrl-C in its window, or stop its service)",
            path.display()
        )
    );
}
