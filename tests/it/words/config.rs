//! Every mistake that a configuration can hold, and what is said of it.

use std::fs::File;

use chrono::{NaiveDate, TimeZone, Utc};
use imap_to_gmail::config::{Config, Key, Since, Tls};
use serde_json::{Value, json};

use super::{Ran, WorkDir};

pub(crate) const EXAMPLE_HINT: &str = "config.json.example shows a complete one; docs/configuration.md and `man imap-to-gmail-config` explain every key";
const QUOTES_HINT: &str =
    "write text in quotation marks, also when it is all digits; write numbers without";
const NULL_HINT: &str = "null stands for nothing: write a value in quotation marks, or delete the line if the key is not needed";
pub(super) const TLS_HINT: &str = "delete the whole line: the connection is then encrypted from the start (port 993, as most servers want it); only for port 143 write \"starttls\"";
const BACKSLASH_HINT: &str = "in JSON a backslash and the letter after it stand for something else: write \\\\ for one that is meant, and \\\" for a quotation mark within text";
const SINCE_HINT: &str = "without `since` the first run copies the last 7 days";

/// A configuration without mistake. The secrets in it are easy to find where they must not be.
pub(crate) fn right() -> Value {
    json!({
        "source_server": "imap.example.org",
        "source_user": "user@example.org",
        "source_pass": "HUSH",
        "target_user": "you@gmail.com",
        "target_pass": "HUSH HUSH",
    })
}

/// It with `key` set; null for a key takes it out, and other forms of the same thing go.
pub(crate) fn with(key: &str, value: impl Into<Value>) -> Value {
    let mut config = right();
    let map = config.as_object_mut().unwrap();
    if key.starts_with("source_pass") || key == "source_token_file" {
        map.remove("source_pass");
    }
    if ["target_pass", "target_pass_file", "target_token_file"].contains(&key) {
        map.remove("target_pass");
    }
    map.insert(key.into(), value.into());
    config
}

/// Where no server is, so that a check ends at once.
pub(crate) fn nowhere(mut config: Value) -> Value {
    config["source_server"] = json!("127.0.0.1");
    config["source_tls"] = json!("none");
    config["source_port"] = json!(1);
    for (key, value) in [("server", "127.0.0.1"), ("tls", "none")] {
        config[format!("target_{key}")] = json!(value);
    }
    config["target_port"] = json!(1);
    config
}

fn without(key: &str) -> Value {
    let mut config = right();
    config.as_object_mut().unwrap().remove(key);
    config
}

/// A desk at which no run can begin, because another one has the ledger.
pub(crate) fn desk() -> (WorkDir, File) {
    let desk = WorkDir::new();
    let lock = File::create(desk.path("sync_state.db.lock")).unwrap();
    lock.try_lock().unwrap();
    (desk, lock)
}

pub(crate) fn run(desk: &WorkDir, config: impl ToString) -> Ran {
    desk.file("config.json", config.to_string());
    desk.run(&["run", "--config", "config.json", "--once"])
}

/// The configuration has this mistake.
#[track_caller]
pub(crate) fn refused(config: Value, sentence: &str, hint: &str) {
    let (desk, _lock) = desk();
    run(&desk, config).fails(2, &format!("config.json: {sentence}"), hint);
}

/// The configuration has no mistake; this is what it means.
#[track_caller]
pub(crate) fn accepted(config: Value) -> Config {
    let (desk, _lock) = desk();
    run(&desk, config).fails(
        1,
        "sync_state.db: another imap-to-gmail is running with this ledger",
        "`imap-to-gmail status --state-file sync_state.db` shows what it does. One is enough: if this one is to run, end the other first (Ctrl-C in its window, or stop its service)",
    );
    Config::load(&desk.path("config.json"), Utc::now()).unwrap()
}

#[test]
fn what_is_left_out_has_the_value_that_most_people_want() {
    let config = accepted(right());
    assert_eq!(
        (&*config.source.host, config.source.port, config.source.tls),
        ("imap.example.org", 993, Tls::Implicit)
    );
    assert_eq!(
        (&*config.target.host, config.target.port, config.target.tls),
        ("imap.gmail.com", 993, Tls::Implicit)
    );
    assert_eq!(config.since, Since::Days(7));
    assert_eq!(config.connections, 4);
    assert_eq!(
        config.ledger.path.file_name(),
        Some("sync_state.db".as_ref())
    );
    assert!(config.source.ca_file.is_none() && config.target.ca_file.is_none());
    let Key::Password(password) = &config.target_key else {
        panic!("no password");
    };
    assert_eq!(password.reveal(), "HUSHHUSH");
    assert!(!format!("{config:?}").contains("HUSH"), "{config:?}");
}

#[test]
fn text_must_be_text_on_one_line() {
    let kinds = [
        (json!(null), "null", NULL_HINT),
        (json!(true), "true", QUOTES_HINT),
        (json!(false), "false", QUOTES_HINT),
        (json!(7351), "a number", QUOTES_HINT),
        (json!(["HUSH"]), "a list", QUOTES_HINT),
        (json!({"HUSH": "HUSH"}), "an object", QUOTES_HINT),
    ];
    for key in [
        "source_server",
        "source_user",
        "source_pass",
        "source_pass_file",
        "source_token_file",
        "source_ca_file",
        "target_user",
        "target_token_file",
        "target_pass",
        "target_pass_file",
        "target_server",
        "target_ca_file",
        "since",
        "state_file",
    ] {
        for (value, kind, hint) in &kinds {
            if key == "since" && value.is_number() {
                continue;
            }
            let sentence = format!("`{key}`: got {kind}, expected text");
            refused(with(key, value.clone()), &sentence, hint);
        }
        for empty in ["", " \t"] {
            refused(
                with(key, empty),
                &format!("`{key}`: got empty text, expected some"),
                EXAMPLE_HINT,
            );
        }
        for text in ["HUSH\n", "HU\rSH", "HUSH\0"] {
            refused(
                with(key, text),
                &format!("`{key}`: got text with a line break or NUL in it, expected one line"),
                BACKSLASH_HINT,
            );
        }
    }
    for key in ["source_pass", "target_pass"] {
        refused(
            with(key, "HU\u{8}SH"),
            &format!("`{key}`: got text with a control character in it, expected none"),
            BACKSLASH_HINT,
        );
    }
}

#[test]
fn what_is_required_must_be_there_in_one_form() {
    for key in ["source_server", "source_user", "target_user"] {
        refused(without(key), &format!("`{key}` is missing"), EXAMPLE_HINT);
    }
    refused(
        without("source_pass"),
        "`source_pass` or `source_pass_file` or `source_pass_command` or `source_token_file` is missing",
        EXAMPLE_HINT,
    );
    refused(
        without("target_pass"),
        "`target_token_file` or `target_pass` or `target_pass_file` is missing",
        "easiest is an app password: switch on 2-Step Verification for the Google account, make one at https://myaccount.google.com/apppasswords, and after the first { add `\"target_pass\": \"THE 16 LETTERS\",`; docs/configuration.md tells of the other two",
    );
    let forms = [
        ["source_pass", "source_pass_file"],
        ["source_pass", "source_pass_command"],
        ["source_pass_file", "source_pass_command"],
        ["source_pass", "source_token_file"],
        ["source_pass_file", "source_token_file"],
        ["source_pass_command", "source_token_file"],
        ["target_token_file", "target_pass"],
        ["target_token_file", "target_pass_file"],
        ["target_pass", "target_pass_file"],
    ];
    for [first, second] in forms {
        let mut config = with(first, "HUSH");
        config[second] = json!("HUSH");
        refused(
            config,
            &format!("got both `{first}` and `{second}`, expected one of them"),
            "delete the one that you do not use",
        );
    }
}

#[test]
fn unknown_keys_suggest_the_near_one() {
    for (typed, meant) in [
        ("sorce_server", "source_server"),
        ("source_password", "source_pass"),
        ("target_passwd", "target_pass"),
        ("Since", "since"),
        ("conections", "connections"),
        ("statefile", "state_file"),
    ] {
        refused(
            with(typed, "HUSH"),
            &format!("unknown key `{typed}`"),
            &format!("did you mean `{meant}`?"),
        );
    }
    for typed in [
        "smtp",
        "delivered_to",
        "user",
        "id",
        "x",
        "smtp_server_name_of_mine",
    ] {
        refused(
            with(typed, "HUSH"),
            &format!("unknown key `{typed}`"),
            "the keys are source_server, source_user, source_pass, source_pass_file, source_pass_command, source_token_file, source_port, \
             source_tls, source_ca_file, target_user, target_token_file, target_pass, target_pass_file, target_server, \
             target_port, target_tls, target_ca_file, gmail_api, folders, exclude, label, skip_inbox, delivery, never_mark_spam, since, connections, upload_limit_per_day, after_delivery, after_days, notices, \
             state_file, ping_url, notify_command",
        );
    }
    // A name that would move the cursor is shown as it is written.
    let (desk, _lock) = desk();
    run(&desk, "{\"sinc\\u001be\": 1}").fails(
        2,
        "config.json: unknown key `sinc\\u{1b}e`",
        "did you mean `since`?",
    );
}

#[test]
fn since_says_how_far_back() {
    for text in [
        "7",
        "-1d",
        "+1d",
        "d",
        "1.5d",
        "30 d",
        "36501d",
        "99999999999d",
        "All",
        "2024-02-30",
        "2024",
        "31.01.2024",
        "-0005-01-01",
        "0000-01-01",
        "-262143-01-01",
    ] {
        refused(
            with("since", text),
            &format!(
                "`since`: got `{text}`, expected days like \"30d\" (at most 36500), a date like \"2024-01-31\", or \"all\""
            ),
            match text {
                "7" | "2024" => format!("for so many days write \"{text}d\""),
                _ => SINCE_HINT.into(),
            }
            .as_str(),
        );
    }
    refused(
        with("since", "2999-01-01"),
        "`since`: got 2999-01-01, which lies in the future, expected a day that has begun",
        SINCE_HINT,
    );
    let date = NaiveDate::from_ymd_opt(2024, 1, 31).unwrap();
    for (text, since) in [
        ("0d", Since::Days(0)),
        ("30d", Since::Days(30)),
        ("36500d", Since::Days(36500)),
        ("all", Since::All),
        ("2024-01-31", Since::Date(date)),
    ] {
        assert_eq!(accepted(with("since", text)).since, since, "{text}");
    }
    refused(
        with("since", 30),
        "`since`: got the number 30, expected days like \"30d\" (at most 36500), a date like \"2024-01-31\", or \"all\"",
        "for so many days write \"30d\"",
    );
    // The day itself has begun, its next day has not.
    let (desk, _lock) = desk();
    desk.file("config.json", with("since", "2024-01-31").to_string());
    let load = |day| {
        let noon = Utc.with_ymd_and_hms(2024, 1, day, 12, 0, 0).unwrap();
        Config::load(&desk.path("config.json"), noon)
    };
    assert!(load(31).is_ok());
    assert!(load(30).is_err());
}

#[test]
fn connections_stay_within_what_gmail_allows() {
    for (value, got) in [
        (json!(0), "0"),
        (json!(11), "11"),
        (json!(-1), "-1"),
        (json!(2.5), "2.5"),
        (json!("all"), "the text \"all\""),
        (json!(true), "true"),
    ] {
        refused(
            with("connections", value),
            &format!("`connections`: got {got}, expected a number from 1 to 10"),
            "Gmail allows 15 connections to an account, all of its mail programs together",
        );
    }
    refused(
        with("connections", "3"),
        "`connections`: got the text \"3\", expected a number from 1 to 10",
        "write numbers without quotation marks: 3",
    );
    for n in [1, 10] {
        assert_eq!(accepted(with("connections", n)).connections, n);
    }
}

#[test]
fn a_configuration_is_an_object() {
    let (desk, _lock) = desk();
    for (text, got) in [
        ("[]", "a list"),
        ("\"HUSH\"", "text"),
        ("5", "a number"),
        ("null", "null"),
    ] {
        run(&desk, text).fails(
            2,
            &format!("config.json: got {got}, expected an object like {{\"source_server\": ...}}"),
            EXAMPLE_HINT,
        );
    }
    // What some editors put in front.
    run(&desk, format!("\u{feff}{}", with("connections", 11))).fails(
        2,
        "config.json: `connections`: got 11, expected a number from 1 to 10",
        "Gmail allows 15 connections to an account, all of its mail programs together",
    );
}

/// Google shows an app password in groups of four letters; elsewhere a blank is a part of the password.
#[test]
fn blanks_are_no_part_of_a_password_for_gmail_alone() {
    let (desk, _lock) = desk();
    desk.file("pass", "HUSH HUSH\n");
    let into = |host: &str, key: &str, value: &str| {
        let mut config = with(key, value);
        config["target_server"] = json!(host);
        match accepted(config).target_key {
            Key::Password(password) => password.reveal().clone(),
            Key::TokenFile(_) => panic!("no password"),
        }
    };
    let file = desk.path("pass");
    let file = file.to_str().unwrap();
    for gmail in [
        "imap.gmail.com",
        "IMAP.Gmail.com",
        "imap.gmail.com.",
        " imap.googlemail.com ",
    ] {
        assert_eq!(
            into(gmail, "target_pass", " HU SH\u{a0}"),
            "HUSH",
            "{gmail}"
        );
        assert_eq!(into(gmail, "target_pass_file", file), "HUSHHUSH", "{gmail}");
    }
    for other in [
        "imap.example.org",
        "imap.gmail.com.example.org",
        "localhost",
    ] {
        assert_eq!(
            into(other, "target_pass", " HU SH\u{a0}"),
            " HU SH\u{a0}",
            "{other}"
        );
        assert_eq!(
            into(other, "target_pass_file", file),
            "HUSH HUSH",
            "{other}"
        );
    }
}

#[test]
fn gmail_knows_an_account_by_its_whole_address() {
    refused(
        with("target_user", " you "),
        "`target_user`: got `you`, expected a whole address like you@gmail.com",
        "Gmail knows an account by its whole address, with what comes after the @",
    );
    let mut config = with("target_user", "you");
    config["target_server"] = json!("imap.example.org");
    assert_eq!(accepted(config).target_user, "you");
    assert_eq!(accepted(with("source_user", "you")).source_user, "you");
}

#[test]
fn the_example_lacks_nothing_but_ones_own_accounts() {
    let config =
        accepted(serde_json::from_str(include_str!("../../../config.json.example")).unwrap());
    let Key::Password(password) = &config.target_key else {
        panic!("no app password");
    };
    assert_eq!(password.reveal(), "abcdefghijklmnop");
}
