//! What README.md says is so: its commands are ones that the program knows, its queries run on a real ledger, its tables
//! name every key and option there is, and the words that it quotes are the program's own.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use common::world::{self, Route};
use gmail_stand_in::{Gmail, Mail, Options};
use imap_to_gmail::cli;
use serde_json::json;

#[test]
fn program() {
    world::program();
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// Lines that are to be typed: indented, or in a fence.
fn typed() -> Vec<String> {
    let text = readme();
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            lines.push(line.trim().to_string());
        }
    }
    lines
}

/// The words of a command line, without what explains it.
fn words(line: &str) -> Vec<String> {
    let line = line.strip_prefix("$ ").unwrap_or(line);
    let line = line.split("  #").next().unwrap();
    line.split_whitespace()
        .filter(|w| !w.starts_with('[') && !w.ends_with(']'))
        .map(str::to_string)
        .collect()
}

/// What stands in backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The rows of the table under this header.
fn table(header: &str) -> Vec<Vec<String>> {
    let text = readme();
    let rows: Vec<Vec<String>> = text
        .lines()
        .skip_while(|line| !line.starts_with(header))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            line.trim_matches('|')
                .split(" | ")
                .map(|cell| cell.trim().to_string())
                .collect()
        })
        .collect();
    assert!(!rows.is_empty(), "no table {header}");
    rows
}

#[test]
fn each_command_is_one_that_the_program_knows() {
    let mut tried = 0;
    let inline = readme();
    let inline = quoted(&inline).into_iter().map(str::to_string);
    for line in typed().into_iter().chain(inline) {
        let words = words(&line);
        if words.first().is_none_or(|w| w != "imap-to-gmail") || words.len() < 2 {
            continue;
        }
        tried += 1;
        if let Err(e) = cli::command().try_get_matches_from(&words) {
            // A command that is only named needs no options.
            let only_named = words.len() == 2 && e.kind() == ErrorKind::MissingRequiredArgument;
            assert!(
                only_named || e.kind() == ErrorKind::DisplayHelp,
                "{line}\n{e}"
            );
        }
    }
    assert!(tried > 10, "{tried} commands");
}

#[test]
fn each_query_runs_on_the_ledger_of_a_real_run() {
    let source = Gmail::start(Options::plain(
        "IMAP4rev1 LITERAL+ UIDPLUS SASL-IR AUTH=PLAIN",
    ));
    let gmail = Gmail::start(Options::default());
    for id in ["id", "other"] {
        source.add(Mail::new(format!(
            "Message-ID: <{id}@example.org>\r\nFrom: a@example.org\r\n\r\n{id}\r\n"
        )));
    }
    source.add(Mail::new("\r\nno header\r\n"));
    let route = Route::new(json!({
        "source_server": "localhost",
        "source_port": source.port(),
        "source_ca_file": source.ca_file(),
        "source_user": source.account(),
        "source_pass": source.password(),
        "target_server": "localhost",
        "target_port": gmail.port(),
        "target_ca_file": gmail.ca_file(),
        "target_user": gmail.account(),
        "target_pass": gmail.password(),
        "since": "all",
    }));
    let state = route.dir.path().join("sync_state.json");
    fs::write(
        &state,
        json!({"synced_messages": ["<other@example.org>"]}).to_string(),
    )
    .unwrap();
    let queries: Vec<String> = typed()
        .into_iter()
        .filter(|line| line.starts_with("sqlite3 "))
        .map(|line| line.split('"').nth(1).unwrap().to_string())
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
    for query in queries {
        let db = route.sql();
        let mut statement = db
            .prepare(&query)
            .unwrap_or_else(|e| panic!("{query}\n{e}"));
        let found = statement.query([]).unwrap().next().unwrap().is_some();
        assert!(found, "nothing comes of {query}");
    }
}

#[test]
fn the_table_of_keys_is_whole() {
    let named: BTreeSet<String> = table("| key |")
        .iter()
        .flat_map(|row| [row[0].clone(), row[2].clone()])
        .flat_map(|cell| {
            quoted(&cell)
                .into_iter()
                .map(str::to_string)
                .collect::<Vec<_>>()
        })
        .filter(|word| {
            word.chars().all(|c| c.is_ascii_lowercase() || c == '_') && word.contains('_')
                || word == "since"
                || word == "connections"
        })
        .collect();
    // The program tells its keys when it meets one that it does not know.
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.json");
    fs::write(&config, "{\"zzzzzzzzzzzzzzzzzzzz\": 1}").unwrap();
    let error = imap_to_gmail::config::ledger_place(&config).unwrap_err();
    let hint = error.hint.unwrap();
    let known: BTreeSet<String> = hint
        .strip_prefix("the keys are ")
        .unwrap()
        .split(", ")
        .map(str::to_string)
        .collect();
    assert_eq!(named, known);
}

#[test]
fn the_table_of_log_options_is_that_of_the_program() {
    let command = cli::command();
    let run = command.find_subcommand("run").unwrap();
    for row in table("| option |") {
        let long = quoted(&row[0])[0].trim_start_matches('-').to_string();
        let arg = run
            .get_arguments()
            .find(|a| a.get_long() == Some(&long))
            .unwrap_or_else(|| panic!("--{long}"));
        let default = arg
            .get_default_values()
            .first()
            .map(|v| v.to_string_lossy().into_owned());
        let said = quoted(&row[1])
            .first()
            .map_or(row[1].clone(), ToString::to_string);
        assert_eq!(
            default.unwrap_or("off".into()).replace("false", "off"),
            said,
            "--{long}"
        );
    }
}

fn sources(dir: PathBuf, out: &mut String) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(path, out);
        } else {
            out.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn the_words_it_quotes_are_the_programs() {
    let mut source = String::new();
    sources(root().join("src"), &mut source);
    for row in table("| it says |") {
        let said = quoted(&row[0])[0].to_string();
        // After the colon a server speaks.
        let ours = said.split(": ").next().unwrap();
        assert!(source.contains(ours), "{said}");
    }
}

#[test]
fn its_links_lead_somewhere() {
    let text = readme();
    let anchors: BTreeSet<String> = text
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let name = line.trim_start_matches('#').trim().to_lowercase();
            name.chars()
                .filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-')
                .collect::<String>()
                .replace(' ', "-")
        })
        .collect();
    for link in text
        .split("](")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap())
    {
        match link.strip_prefix('#') {
            Some(anchor) => assert!(anchors.contains(anchor), "#{anchor}"),
            None => assert!(
                link.starts_with("https://") || root().join(link).exists(),
                "{link}"
            ),
        }
    }
}
