//! The lines that docs/service.md gives for `ping_url` and `notify_command` are taken by the program, and what it would run
//! does what is said of it: with programs in the places of those that send mail and messages.

use std::fs;
use std::path::Path;
use std::process::Command;

use chrono::Utc;
use imap_to_gmail::config::{Config, Telling};
use serde_json::{Value, json};

use super::{document, typed};
use crate::alarm::script;
use crate::testkit::feed;

/// The programs that the recipes send by; each keeps its arguments and what it read.
const SENDERS: [&str; 4] = ["sendmail", "msmtp", "curl", "notify-send"];

/// Lines of the page that begin with this key, as a configuration has them.
fn recipes(key: &str) -> Vec<Value> {
    let lines = typed(&document("docs/service.md"));
    let value = |line: &String| {
        let line = line.strip_prefix(&format!("\"{key}\": "))?;
        Some(serde_json::from_str(line.trim_end_matches(',')).expect(line))
    };
    lines.iter().filter_map(value).collect()
}

fn taken(folder: &Path, key: &str, value: &Value) -> Telling {
    let mut config = json!({
        "source_server": "imap.example.org", "source_user": "u", "source_pass": "p",
        "target_user": "you@gmail.com", "target_pass": "p",
    });
    config[key] = value.clone();
    let file = folder.join("config.json");
    fs::write(&file, config.to_string()).unwrap();
    let telling = Config::load(&file, Utc::now()).unwrap().telling;
    Telling::clone(&telling)
}

/// The document that the page shows.
fn shown() -> String {
    let page = document("docs/service.md");
    let blocks = page.split("\n\n");
    let found = blocks.into_iter().find(|b| b.contains("\"event\": "));
    let lines = found
        .unwrap()
        .lines()
        .map(|l| l.strip_prefix("    ").unwrap());
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

#[test]
fn the_addresses_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let addresses = recipes("ping_url");
    assert_eq!(addresses.len(), 2);
    for address in &addresses {
        let url = taken(folder.path(), "ping_url", address).ping_url.unwrap();
        assert_eq!(url.reveal(), address.as_str().unwrap());
    }
    assert!(document("README.md").contains(&addresses[0].to_string()));
}

#[test]
fn the_commands_send_what_they_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    for sender in SENDERS {
        // A desktop has nothing to read.
        let lines =
            format!("echo {sender} \"$@\" >> sent; test {sender} = notify-send || cat >> sent");
        script(&bin, sender, &lines);
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let sent = folder.path().join("sent");
    let commands = recipes("notify_command");
    assert_eq!(commands.len(), SENDERS.len());
    for (command, sender) in commands.iter().zip(SENDERS) {
        let telling = taken(folder.path(), "notify_command", command);
        let argv = telling.notify_command.unwrap();
        let [program, arguments @ ..] = argv.reveal() else {
            panic!("{command}")
        };
        let mut run = Command::new(program);
        run.args(arguments)
            .current_dir(argv.folder())
            .env("PATH", &path);
        let ran = feed(&mut run, shown().as_bytes());
        assert!(ran.status.success(), "{command}: {ran:?}");
        let kept = fs::read_to_string(&sent).unwrap();
        assert!(kept.starts_with(sender), "{kept}");
        // All of it, in lines that a person can read.
        assert!(kept.contains(shown().trim_end()), "{kept}");
        fs::remove_file(&sent).unwrap();
    }
}

/// The keys that are shown, those that are explained, and those that a real run tells (`alarm::each_once`) are the same.
#[test]
fn each_key_is_explained() {
    let shown: Value = serde_json::from_str(&shown()).unwrap();
    let shown: Vec<String> = shown.as_object().unwrap().keys().cloned().collect();
    let rows = super::table("docs/service.md", "| key |");
    let explained: Vec<String> = rows
        .iter()
        .flat_map(|row| super::quoted(&row[0]))
        .map(str::to_string)
        .collect();
    let (mut a, mut b) = (shown.clone(), explained);
    a.sort();
    b.sort();
    assert_eq!(a, b);
    assert_eq!(shown, crate::alarm::KEYS);
}
