//! What README.md and docs/ say is so: the commands are ones that the program knows, and those that can be run are run;
//! queries run on a real ledger; tables name every key, option, status and proof there is, with the program's defaults;
//! quoted words are the program's own; links lead somewhere.

mod architecture;
mod claims;
mod commands;
mod links;
mod recipes;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};

use crate::testkit::route::{Account, Route};
use gmail_stand_in::{Gmail, Mail, Options};
use serde_json::json;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a person reads, by its path in the repository.
fn documents() -> Vec<(PathBuf, String)> {
    let mut paths = vec![PathBuf::from("README.md")];
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        paths.push(Path::new("docs").join(entry.unwrap().file_name()));
    }
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

fn document(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Lines that are to be typed: indented, or in a fence.
fn typed(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            let line = line.trim().strip_prefix("$ ").unwrap_or(line.trim());
            lines.push(line.split("  #").next().unwrap().trim().to_string());
        }
    }
    lines
}

/// Lines to be typed, of all documents.
fn all_typed() -> Vec<String> {
    let lines = documents().into_iter().map(|(_, text)| typed(&text));
    lines.flatten().collect()
}

/// What stands in backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The rows of the table under this header.
fn table(document: &str, header: &str) -> Vec<Vec<String>> {
    let text = self::document(document);
    let rows: Vec<Vec<String>> = text
        .lines()
        .skip_while(|line| !line.starts_with(header))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let line = line.strip_prefix('|').unwrap().strip_suffix('|').unwrap();
            line.split(" | ").map(|c| c.trim().to_string()).collect()
        })
        .collect();
    assert!(!rows.is_empty(), "no table {header} in {document}");
    rows
}

/// A mailbox and a Gmail.
fn servers() -> (Gmail, Gmail) {
    let source = Gmail::start(Options::plain(
        "IMAP4rev1 LITERAL+ UIDPLUS SASL-IR AUTH=PLAIN",
    ));
    (source, Gmail::start(Options::default()))
}

/// A configuration in a folder of its own.
fn route(source: &Gmail, gmail: &Gmail) -> Route {
    Route::between(Account::on(source), Account::on(gmail))
}

/// Two that can be delivered, one that Gmail refuses, and the state file of the script that had copied one.
fn mails(source: &Gmail, route: &Route) {
    for id in ["id", "other"] {
        source.add(Mail::new(format!(
            "Message-ID: <{id}@example.org>\r\nFrom: a@example.org\r\n\r\n{id}\r\n"
        )));
    }
    source.add(Mail::new("\r\nno header\r\n"));
    fs::write(
        route.dir.path().join("sync_state.json"),
        json!({"synced_message_ids": ["<other@example.org>"]}).to_string(),
    )
    .unwrap();
}
