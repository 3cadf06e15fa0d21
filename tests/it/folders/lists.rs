//! What servers really answer to LIST, each in a file of `lists/` with its source; and what `folders` makes of it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use gmail_stand_in::Options;
use serde_json::{Value, json};

use crate::testkit::answering;
use crate::testkit::env::{SOURCE, TestEnv};

/// A server that has these mailboxes; each holds two messages.
pub(super) struct Listing {
    capabilities: String,
    namespace: String,
    list: String,
    with_uses: String,
    xlist: String,
}

impl Listing {
    /// Comments, the capabilities, NAMESPACE, LIST; behind `RETURN` and `XLIST` what those are answered with.
    pub(super) fn read(text: &str) -> Listing {
        let mut listing = Listing {
            capabilities: SOURCE.into(),
            namespace: String::new(),
            list: String::new(),
            with_uses: String::new(),
            xlist: String::new(),
        };
        let mut within = 0;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(more) = line.strip_prefix("CAPABILITY") {
                listing.capabilities += more;
            } else if line.starts_with("* NAMESPACE") {
                listing.namespace = format!("{line}\r\n");
            } else if line == "RETURN" || line == "XLIST" {
                within = if line == "RETURN" { 1 } else { 2 };
            } else {
                let to = match within {
                    0 => &mut listing.list,
                    1 => &mut listing.with_uses,
                    _ => &mut listing.xlist,
                };
                write!(to, "{line}\r\n").unwrap();
            }
        }
        listing
    }

    /// A source that answers so.
    pub(super) fn served(self) -> TestEnv {
        let mut env = TestEnv::build().without_tls().start();
        let options = Options {
            tls: false,
            ..Options::plain(&self.capabilities)
        };
        env.source = gmail_stand_in::Gmail::start(options);
        let port = answering::start(env.source.port(), move |command| self.answer(command));
        env.plain("source", port);
        env
    }

    fn answer(&self, command: &str) -> Option<String> {
        let told = if command.starts_with("NAMESPACE") {
            &self.namespace
        } else if command.starts_with("XLIST") {
            &self.xlist
        } else if command.starts_with("LIST") && command.contains("RETURN") {
            &self.with_uses
        } else if command.starts_with("LIST") {
            &self.list
        } else if command.contains("FETCH ") {
            return Some("OK done".into());
        } else if command.starts_with("EXAMINE") {
            return Some(
                "* 2 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n* OK [UIDNEXT 3] x\r\nTAG OK [READ-ONLY] done".into(),
            );
        } else {
            return None;
        };
        Some(format!("{told}TAG OK done"))
    }
}

/// Of these the screen is kept as well, as people see it.
const SCREENS: &[&str] = &["exchange", "odd"];

pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/folders/lists")
}

/// What `folders --json` says, a line for each mailbox.
fn table(told: &Value) -> String {
    let text = |value: &Value| match value {
        Value::Null => "-".to_string(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut out = String::new();
    for mailbox in told["mailboxes"].as_array().unwrap() {
        let becomes = if mailbox["copied"] == true {
            let mut becomes = text(&mailbox["target"]);
            for label in mailbox["labels"].as_array().unwrap() {
                write!(becomes, " + {}", text(label)).unwrap();
            }
            becomes
        } else {
            format!("left out: {}", text(&mailbox["left_out"]))
        };
        let rule = match &mailbox["rule"] {
            Value::Null => "-".to_string(),
            rule => format!("{} {}", text(&rule["key"]), text(&rule["pattern"])),
        };
        writeln!(
            out,
            "{} | {} | {} | {becomes} | {rule} | {} {}",
            text(&mailbox["name"]),
            text(&mailbox["on_the_wire"]),
            text(&mailbox["use"]),
            text(&mailbox["messages"]),
            text(&mailbox["trouble"]),
        )
        .unwrap();
    }
    writeln!(out, "unreadable: {}", told["unreadable"]).unwrap();
    for one in told["become_one_label"].as_array().unwrap() {
        writeln!(
            out,
            "one label: {} {}",
            text(&one["label"]),
            one["mailboxes"]
        )
        .unwrap();
    }
    for doubt in told["doubts"].as_array().unwrap() {
        writeln!(out, "doubt: {}", text(&doubt["message"])).unwrap();
    }
    out
}

/// With `UPDATE_WORDS=1` in the environment the file is written instead of compared.
fn is_as_written(file: &Path, said: &str) {
    if std::env::var("UPDATE_WORDS").is_ok() {
        fs::write(file, said).unwrap();
    }
    let written = fs::read_to_string(file).unwrap_or_default();
    let file = file.display();
    assert!(
        said == written,
        "{file} says\n{written}\nthe program says\n{said}"
    );
}

#[test]
fn every_server_is_understood() {
    let mut lists: Vec<PathBuf> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "txt"))
        .collect();
    lists.sort();
    assert!(lists.len() >= 20, "{lists:?}");
    for path in lists {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let mut env = Listing::read(&fs::read_to_string(&path).unwrap()).served();
        env.set("folders", json!(["INBOX", "*"]))
            .set("exclude", json!(["\\Trash"]))
            .set("label", "old");
        let ran = env.command(&["folders", "--config", "config.json", "--json"]);
        assert_eq!((ran.status, &*ran.err), (0, ""), "{name}");
        let told: Value = serde_json::from_str(&ran.out).unwrap();
        is_as_written(&path.with_extension("golden"), &table(&told));
        let shown = env.command(&["folders", "--config", "config.json"]);
        assert_eq!((shown.status, &*shown.err), (0, ""), "{name}");
        if SCREENS.contains(&name) {
            is_as_written(&path.with_extension("screen"), &shown.out);
        }
        for line in shown.out.lines() {
            let columns = textwrap::core::display_width(line);
            assert!(columns <= 80 || line.contains('`'), "{name}: {line}");
            assert!(!line.contains('\u{1b}'), "{name}: {line:?}");
        }
    }
}
