//! What is to be typed can be typed.
#![allow(clippy::print_stdout)]

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use clap::error::ErrorKind;
use imap_to_gmail::cli;

use super::{all_typed, document, documents, mails, quoted, root, route, servers, typed};
use crate::testkit::in_ci;

/// The words of a command line, without what may be left out.
fn words(line: &str) -> Vec<String> {
    line.split_whitespace()
        .filter(|w| !w.starts_with('[') && !w.ends_with(']'))
        .map(str::to_string)
        .collect()
}

#[test]
fn each_command_is_one_that_the_program_knows() {
    let mut tried = 0;
    for (path, text) in documents() {
        let inline = quoted(&text).into_iter().map(str::to_string);
        for line in typed(&text).into_iter().chain(inline) {
            let line = line.split(" | ").next().unwrap();
            let words = words(line);
            if words.first().is_none_or(|w| w != "imap-to-gmail") || words.len() < 2 {
                continue;
            }
            tried += 1;
            if let Err(e) = cli::command().try_get_matches_from(&words) {
                // A command that is only named needs no options.
                let only_named = words.len() == 2 && e.kind() == ErrorKind::MissingRequiredArgument;
                assert!(
                    only_named || e.kind() == ErrorKind::DisplayHelp,
                    "{}: {line}\n{e}",
                    path.display()
                );
            }
        }
    }
    assert!(tried > 20, "{tried} commands");
}

/// In the order of README.md, in a folder with a configuration: all but what builds, installs or needs a browser.
#[test]
fn what_readme_tells_to_type_can_be_run() {
    let (source, gmail) = servers();
    let route = route(&source, &gmail);
    mails(&source, &route);
    let bin = route.dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(
        env!("CARGO_BIN_EXE_imap-to-gmail"),
        bin.join("imap-to-gmail"),
    )
    .unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let shell = |line: &str| {
        let ran = Command::new("sh")
            .args(["-c", line])
            .current_dir(route.dir.path())
            .env("PATH", &path)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let out = String::from_utf8(ran.stdout).unwrap();
        (
            ran.status.code().unwrap(),
            out + &String::from_utf8(ran.stderr).unwrap(),
        )
    };
    let mut ran = BTreeSet::new();
    for line in typed(&document("README.md")) {
        let line = line.split(" [").next().unwrap();
        let Some(command) = line.strip_prefix("imap-to-gmail ") else {
            continue;
        };
        // One that would go on is told to end.
        let watches = !line.contains("--dry-run")
            && (command.starts_with("run") || command.starts_with("--config"));
        let (line, status) = if watches {
            (format!("{line} --once"), 3)
        } else if command.starts_with("health") {
            // Nothing runs any more.
            (line.to_string(), 1)
        } else if command.starts_with("audit") {
            // One has failed.
            (line.to_string(), 4)
        } else {
            (line.to_string(), 0)
        };
        let (ended, said) = shell(&line);
        assert_eq!(ended, status, "{line}\n{said}");
        ran.insert(command.split(' ').next().unwrap().to_string());
    }
    let all = [
        "--config",
        "audit",
        "check",
        "folders",
        "health",
        "import-state",
        "retry-failed",
        "run",
        "status",
    ];
    assert_eq!(ran, all.map(String::from).into());
    // The copy of a ledger is one.
    let backup = all_typed().into_iter().find(|l| l.contains(".backup"));
    if there("sqlite3") {
        assert_eq!(shell(&backup.unwrap()), (0, String::new()));
        let (_, said) = shell("imap-to-gmail status --state-file backup.db");
        assert!(said.contains(" failed             1 "), "{said}");
    }
    // What a monitor is told to ask.
    let asked = all_typed().into_iter().find(|l| l.contains("jq -e"));
    if there("jq") {
        let (ended, said) = shell(&asked.unwrap());
        assert_eq!((ended, said.trim()), (1, "false"));
    }
}

/// Not every machine has every tool; the project's own check has.
fn there(tool: &str) -> bool {
    let there = Command::new(tool).arg("--version").output().is_ok();
    if !there {
        assert!(!in_ci(), "{tool} is not installed");
        println!("skipped: {tool} is not installed");
    }
    there
}

/// Manual pages and completions arrive where they are looked for.
#[test]
fn what_lies_in_dist_can_be_installed() {
    let to = tempfile::tempdir().unwrap();
    let lines = typed(&document("docs/service.md"));
    let lines: Vec<&String> = lines
        .iter()
        .filter(|l| l.starts_with("install -Dm"))
        .collect();
    assert!(lines.len() >= 5, "{lines:?}");
    for line in lines {
        let prefix = to.path().display();
        let line = line
            .replace(" /usr/local/", &format!(" {prefix}/usr/local/"))
            .replace(" ~/", &format!(" {prefix}/home/"));
        let ran = Command::new("sh")
            .args(["-c", &line])
            .current_dir(root())
            .output()
            .unwrap();
        assert!(ran.status.success(), "{line}\n{ran:?}");
    }
    let man = to.path().join("usr/local/share/man");
    for page in [
        "man1/imap-to-gmail.1",
        "man1/imap-to-gmail-run.1",
        "man5/imap-to-gmail-config.5",
    ] {
        assert!(man.join(page).exists(), "{page}");
    }
}

#[test]
fn each_query_runs_on_the_ledger_of_a_real_run() {
    let (source, gmail) = servers();
    let mut route = route(&source, &gmail);
    route.set("notices", true);
    mails(&source, &route);
    let queries: Vec<String> = all_typed()
        .into_iter()
        .filter(|line| line.starts_with("sqlite3 "))
        .map(|line| line.split('"').nth(1).unwrap().to_string())
        .filter(|query| !query.starts_with('.'))
        .collect();
    assert!(queries.len() >= 6, "{queries:?}");
    let ran = route.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    // One that the Python script had copied.
    route
        .sql()
        .execute(
            "UPDATE message SET proof = 'imported' WHERE message_id = '<other@example.org>'",
            [],
        )
        .unwrap();
    // And what `after_delivery` would have left behind.
    let removed =
        "UPDATE message SET removed_at = delivered_at, kept_because = 'it is flagged at the source'
                    WHERE status = 'delivered'";
    route.sql().execute(removed, []).unwrap();
    for query in queries {
        let db = route.sql();
        let mut statement = db
            .prepare(&query)
            .unwrap_or_else(|e| panic!("{query}\n{e}"));
        let found = statement.query([]).unwrap().next().unwrap().is_some();
        assert!(found, "nothing comes of {query}");
    }
}

/// What is to be installed or built from is there, and every manual page and unit is told of.
#[test]
fn what_is_to_be_installed_is_there() {
    let mut named = BTreeSet::new();
    for line in all_typed() {
        for word in line.split_whitespace().filter(|w| w.starts_with("dist/")) {
            match word.split_once('*') {
                Some((before, after)) => {
                    let folder = fs::read_dir(root().join("dist")).unwrap();
                    let names =
                        folder.map(|f| format!("dist/{}", f.unwrap().file_name().display()));
                    named.extend(names.filter(|n| n.starts_with(before) && n.ends_with(after)));
                }
                None => {
                    assert!(root().join(word).exists(), "{line}");
                    named.insert(word.to_string());
                }
            }
        }
    }
    let pages = documents().into_iter().map(|(_, text)| text);
    for text in pages.chain([document("CONTRIBUTING.md")]) {
        for word in quoted(&text) {
            // A command has arguments.
            let word = word.split(' ').next().unwrap_or_default();
            if word.starts_with("dist/") && word.len() > 5 {
                assert!(root().join(word).exists(), "{word}");
                named.insert(word.to_string());
            }
        }
    }
    for file in fs::read_dir(root().join("dist")).unwrap() {
        let name = format!("dist/{}", file.unwrap().file_name().display());
        let helper = name.ends_with(".dockerignore");
        assert!(helper || named.contains(&name), "nobody is told of {name}");
    }
}

/// A file that config.json names without a folder is found beside the copy of config.json that systemd makes for the unit of
/// one account; and both units are confined alike.
#[test]
fn the_units_hand_over_files_by_their_names() {
    let all = document("dist/imap-to-gmail.service");
    let one = document("dist/imap-to-gmail@.service");
    let lines = one.lines().map(|l| l.trim_start_matches('#'));
    let handed: Vec<&str> = lines
        .filter_map(|l| l.strip_prefix("LoadCredential="))
        .collect();
    assert_eq!(handed.len(), 5, "{handed:?}");
    for line in handed {
        let (name, file) = line.split_once(':').unwrap();
        assert_eq!(Some(name), file.rsplit('/').next(), "{line}");
    }
    let confined = |unit: &str| {
        unit.split("\n# It needs the network")
            .nth(1)
            .map(String::from)
    };
    assert!(confined(&all).is_some());
    assert_eq!(confined(&all), confined(&one));
}

#[test]
fn the_rust_it_asks_for_is_the_one_it_needs() {
    let manifest = document("Cargo.toml");
    let version = manifest
        .lines()
        .find_map(|l| l.strip_prefix("rust-version = "))
        .unwrap()
        .trim_matches('"')
        .to_string();
    assert!(document("README.md").contains(&format!("Rust {version} or newer")));
    assert!(document("dist/Dockerfile").contains(&format!("FROM rust:{version}-")));
}

#[test]
fn the_configurations_that_are_shown_are_right() {
    let example = document("config.json.example");
    let example: serde_json::Value = serde_json::from_str(&example).unwrap();
    let mut seen = 0;
    for (path, text) in documents() {
        for block in text.split("\n\n").filter(|b| b.starts_with("    {")) {
            let Ok(shown) = serde_json::from_str::<serde_json::Value>(block) else {
                panic!("{}: not JSON\n{block}", path.display());
            };
            if shown.get("source_server").is_none() {
                continue;
            }
            seen += 1;
            if shown.get("source_pass").is_some() {
                assert_eq!(shown, example, "{}", path.display());
            }
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("config.json");
            fs::write(&file, shown.to_string()).unwrap();
            imap_to_gmail::config::account(&file, "source").unwrap();
        }
    }
    assert_eq!(seen, 3);
}
