//! Tables are whole, and say what the program says.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use chrono::Utc;
use imap_to_gmail::audit::{Class, Standing};
use imap_to_gmail::cli;
use imap_to_gmail::config::{self, Address, AfterDelivery, Config, Since, Telling, Tls};
use serde_json::{Value, json};

use super::{document, documents, quoted, root, route, servers, table};

const CONFIGURATION: &str = "docs/configuration.md";

/// The program tells its keys when it meets one that it does not know.
fn known_keys() -> BTreeSet<String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.json");
    fs::write(&file, "{\"zzzzzzzzzzzzzzzzzzzz\": 1}").unwrap();
    let hint = Config::load(&file, Utc::now()).unwrap_err().hint.unwrap();
    let keys = hint.strip_prefix("the keys are ").unwrap();
    keys.split(", ").map(str::to_string).collect()
}

#[test]
fn each_key_has_a_row_a_section_and_a_place_in_the_manual_page() {
    let rows: Vec<String> = table(CONFIGURATION, "| key |")
        .iter()
        .map(|row| quoted(&row[0])[0].to_string())
        .collect();
    let sections: Vec<String> = document(CONFIGURATION)
        .lines()
        .filter_map(|l| l.strip_prefix("### "))
        .map(|l| l.trim_matches('`').to_string())
        .collect();
    assert_eq!(rows, sections);
    assert_eq!(BTreeSet::from_iter(rows), known_keys());
    let page = document("dist/imap-to-gmail-config.5");
    for key in known_keys() {
        assert!(page.contains(&format!(".SS {key}\n")), "{key}");
    }
}

/// What the program makes of a configuration without the key, as the documents write it.
fn default_of(key: &str) -> Option<Value> {
    let least = json!({
        "source_server": "imap.example.org", "source_user": "u", "source_pass": "p",
        "target_user": "you@gmail.com", "target_pass": "p",
    });
    let loaded = |config: &Value| {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.json");
        fs::write(&file, config.to_string()).unwrap();
        Config::load(&file, Utc::now()).map(|c| (c, dir))
    };
    let (c, _dir) = loaded(&least).unwrap();
    let tls = |tls| match tls {
        Tls::Implicit => json!("implicit"),
        Tls::StartTls => json!("starttls"),
        Tls::None => json!("none"),
    };
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_string();
    match key {
        "source_port" => Some(json!(c.source.port)),
        "source_tls" => Some(tls(c.source.tls)),
        "source_ca_file" => c.source.ca_file.map(|p| json!(name(&p))),
        "target_server" => Some(json!(c.target.host)),
        "target_port" => Some(json!(c.target.port)),
        "target_tls" => Some(tls(c.target.tls)),
        "target_ca_file" => c.target.ca_file.map(|p| json!(name(&p))),
        "since" => match c.since {
            Since::Days(n) => Some(json!(format!("{n}d"))),
            other => panic!("{other:?}"),
        },
        "gmail_api" => {
            assert!(c.gmail_api.is_none());
            let google = "https://gmail.googleapis.com";
            assert_eq!(Address::parse(google), Ok(Address::google()));
            Some(json!(google))
        }
        "folders" | "exclude" | "skip_inbox" | "delivery" | "never_mark_spam" => {
            let default = match key {
                "folders" => json!(["INBOX"]),
                "exclude" => json!([]),
                "delivery" => json!("append"),
                _ => json!(false),
            };
            let mut with = least.clone();
            with[key] = default.clone();
            assert!(loaded(&with).unwrap().0.rules == c.rules, "{key}");
            Some(default)
        }
        "label" => {
            assert!(c.rules.is_default());
            None
        }
        "ping_url" | "notify_command" => {
            assert!(*c.telling == Telling::default());
            None
        }
        "connections" => Some(json!(c.connections)),
        "upload_limit_per_day" => c.upload_limit_per_day.map(Value::from),
        "after_delivery" => {
            assert_eq!(c.after_delivery, AfterDelivery::default());
            Some(json!("keep"))
        }
        "after_days" => Some(json!(c.after_delivery.after_days)),
        "notices" => Some(json!(c.notices)),
        "state_file" => Some(json!(config::DEFAULT_LEDGER)),
        "source_server" | "source_user" | "target_user" => {
            let mut without = least.clone();
            without.as_object_mut().unwrap().remove(key);
            let missing = loaded(&without).is_err_and(|e| e.message.contains("missing"));
            assert!(missing, "{key}");
            Some(json!("required"))
        }
        key => {
            // Beside another form of the same thing it is one too many.
            let form = match key {
                "source_pass" | "target_pass" => format!("{key}_file"),
                key => key.to_string(),
            };
            let mut with = least.clone();
            with[&form] = json!("x");
            let too_many = loaded(&with).is_err_and(|e| e.message.contains(&format!("`{form}`")));
            assert!(too_many, "{key}");
            Some(json!("one of these"))
        }
    }
}

#[test]
fn each_default_is_the_programs() {
    let text = document(CONFIGURATION);
    for row in table(CONFIGURATION, "| key |") {
        let key = quoted(&row[0])[0];
        let told = match quoted(&row[1]).first() {
            Some(value) => Some(serde_json::from_str(value).unwrap()),
            None if row[1] == "none" => None,
            None if row[1].starts_with("one of these") => Some(json!("one of these")),
            None => Some(json!(row[1])),
        };
        assert_eq!(told, default_of(key), "{key}");
        let section = text.split(&format!("### `{key}`\n\n")).nth(1).unwrap();
        let begins = match (row[1].as_str(), quoted(&row[1]).first()) {
            (_, Some(value)) => format!("Default: `{value}`"),
            ("none", _) => "Default: none".into(),
            ("required", _) => "Required.".into(),
            _ => String::new(),
        };
        assert!(section.starts_with(&begins), "{key}: {begins}");
    }
}

/// A word that looks like a key is one.
#[test]
fn keys_that_are_named_anywhere_are_known() {
    let known = known_keys();
    for (path, text) in documents() {
        for word in quoted(&text) {
            let key = word.split(['"', ':']).find(|w| !w.is_empty());
            let key = key.unwrap_or_default();
            if key.starts_with("source_") || key.starts_with("target_") {
                // The files that are called after their keys are named so on purpose.
                assert!(known.contains(key), "{}: {word}", path.display());
            }
        }
    }
}

#[test]
fn the_table_of_log_options_is_that_of_the_program() {
    let command = cli::command();
    let run = command.find_subcommand("run").unwrap();
    let mut told = BTreeSet::new();
    for row in table("docs/service.md", "| option |") {
        let long = quoted(&row[0])[0].trim_start_matches('-').to_string();
        told.insert(long.clone());
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
    let all = run.get_arguments().filter_map(|a| a.get_long());
    let all = all.filter(|long| long.starts_with("log") || *long == "debug");
    assert_eq!(told, all.map(String::from).collect());
}

#[test]
fn the_ledgers_words_are_all_explained() {
    let (source, gmail) = servers();
    let route = route(&source, &gmail);
    assert_eq!(route.run().status, 0);
    let db = route.sql();
    for vocabulary in ["status", "proof"] {
        let mut query = db
            .prepare(&format!("SELECT name FROM {vocabulary}"))
            .unwrap();
        let words: BTreeSet<String> = query
            .query_map([], |r| r.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let explained = table("docs/how-it-works.md", &format!("| {vocabulary} |"));
        let explained: BTreeSet<String> = explained
            .iter()
            .map(|row| quoted(&row[0])[0].to_string())
            .collect();
        assert_eq!(explained, words);
    }
}

/// What an audit calls a message, the exit status that follows, and what `--json` has.
#[test]
fn the_classes_of_an_audit_are_all_explained() {
    let explained = table("docs/audit.md", "| class |");
    let classes: Vec<String> = explained
        .iter()
        .map(|row| quoted(&row[0])[0].to_string())
        .collect();
    let all = Class::ALL.map(|class| class.name().to_string());
    assert_eq!(classes, all);
    for (row, class) in explained.iter().zip(Class::ALL) {
        let status = match class.standing() {
            Standing::Accounted => "0",
            Standing::Open => "3",
            Standing::Person => "4",
        };
        assert_eq!(row[2], status, "{}", class.name());
    }
    let (source, gmail) = servers();
    let route = route(&source, &gmail);
    assert_eq!(route.run().status, 0);
    let args = [
        "audit",
        "--config",
        "config.json",
        "--json",
        "--repair",
        "lost",
    ];
    let said: Value = serde_json::from_str(&route.command(&args).out).unwrap();
    let keys = said["routes"][0].as_object().unwrap().keys();
    let rows = table("docs/audit.md", "| key |");
    let told = rows.iter().flat_map(|row| quoted(&row[0]));
    assert_eq!(
        BTreeSet::from_iter(keys.map(String::as_str)),
        told.collect()
    );
}

#[test]
fn each_exit_status_is_explained_in_both_places() {
    let told: Vec<String> = table("docs/service.md", "| status |")
        .iter()
        .map(|row| row[0].clone())
        .collect();
    assert_eq!(told, ["0", "1", "2", "3", "4"]);
    let page = document("dist/imap-to-gmail.1");
    let section = page.split(".SH \"EXIT STATUS\"").nth(1).unwrap();
    for status in told {
        assert!(
            section.contains(&format!("\n\\fB{status}\\fR\n")),
            "{status}"
        );
    }
}

fn sources(dir: PathBuf, out: &mut String) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(path, out);
        } else if let Ok(text) = fs::read_to_string(path) {
            out.push_str(&text);
        }
    }
}

#[test]
fn the_words_that_are_quoted_are_the_programs_or_gmails() {
    let (mut ours, mut gmails) = (String::new(), String::new());
    sources(root().join("src"), &mut ours);
    sources(root().join("tests/gmail-stand-in/src"), &mut gmails);
    sources(root().join("tests/it/gmail"), &mut gmails);
    let mut checked = 0;
    for row in table("docs/troubleshooting.md", "| it says |") {
        let Some(said) = quoted(&row[0]).first().map(ToString::to_string) else {
            continue;
        };
        let by_a_server = row[0].contains("'s word");
        let source = if by_a_server { &gmails } else { &ours };
        assert!(source.contains(&said), "{said}");
        checked += 1;
    }
    assert!(checked > 10, "{checked} quotes");
}
