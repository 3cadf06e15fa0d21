//! `folders`: the mailboxes of the source, as people read their names, with what each holds and what becomes of it; and
//! nothing is changed by asking.

mod lists;
mod rules;

use gmail_stand_in::{Fault, Gmail, Mail, On, Options};
use serde_json::{Value, json};

use crate::testkit::dovecot::Dovecot;
use crate::testkit::dovecot_env::ALICE;
use crate::testkit::env::{DATE, TestEnv, mail};

const FOLDERS: &[&str] = &["folders", "--config", "config.json"];

/// A Gmail is the source: its names are on the wire in modified UTF-7, one of its mailboxes holds no messages.
fn gmail_as_source() -> TestEnv {
    let mut env = TestEnv::new();
    env.source = Gmail::start(Options::default());
    let (port, ca_file) = (env.source.port(), env.source.ca_file());
    let (account, password) = (
        env.source.account().to_string(),
        env.source.password().to_string(),
    );
    env.set("source_port", port)
        .set("source_ca_file", ca_file.to_str().unwrap())
        .set("source_user", account)
        .set("source_pass", password);
    env
}

/// The rows of the table, without the space that aligns them, each in one line.
fn rows(text: &str) -> Vec<String> {
    let table = text.split_once("becomes\n").unwrap().1;
    let mut rows: Vec<String> = Vec::new();
    for line in table.lines() {
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let goes_on = line.starts_with(&" ".repeat(30)) && !rows.is_empty();
        match rows.last_mut() {
            Some(row) if goes_on => *row += &format!(" {words}"),
            _ => rows.push(words),
        }
    }
    rows
}

#[test]
fn each_mailbox_of_a_gmail_is_shown_and_nothing_is_changed() {
    let mut env = gmail_as_source();
    env.set("since", "30d");
    env.source.create("Geschäft/Müller & Söhne");
    let now = chrono::Utc::now().fixed_offset();
    let old = chrono::DateTime::parse_from_rfc3339("2020-01-01T00:00:00Z").unwrap();
    for (n, date) in [now, now, old].into_iter().enumerate() {
        let bytes = mail(&format!("<{n}@example.org>"), DATE, "text");
        env.source.add(Mail::new(bytes).at(date));
    }
    let ran = env.command(FOLDERS);
    assert_eq!((ran.status, &*ran.err), (0, ""));
    let rows = rows(&ran.out);
    assert_eq!(rows[0], "3 2 INBOX INBOX", "{}", ran.out);
    for row in [
        "- - [Gmail] left out (holds no mail)",
        "3 2 [Gmail]/All Mail left out (shows mail of others)",
        "0 0 [Gmail]/Spam left out",
    ] {
        assert!(rows.iter().any(|r| r == row), "{row}: {}", ran.out);
    }
    let shown = rows
        .iter()
        .any(|r| r.contains(" Geschäft/Müller & Söhne left"));
    assert!(shown, "{}", ran.out);
    let writes = [
        "SELECT",
        "STORE",
        "CREATE",
        "APPEND",
        "SUBSCRIBE",
        "EXPUNGE",
    ];
    for said in env.source.transcript().client() {
        let command = said.split(' ').nth(1).unwrap_or_default().to_uppercase();
        assert!(!writes.contains(&&*command), "{said}");
    }
    assert_eq!(env.target.connections(), 0, "Gmail is not asked");
    assert!(!env.dir.path().join("sync_state.db").exists());
}

#[test]
fn as_json_it_says_the_same_with_the_names_on_the_wire() {
    let env = TestEnv::new();
    env.mails(2);
    let ran = env.command(&["folders", "--config", "config.json", "--json"]);
    assert_eq!((ran.status, &*ran.err), (0, ""));
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(told["since"], Value::Null, "all of it");
    let inbox = &told["mailboxes"][0];
    assert_eq!(
        inbox,
        &json!({
            "name": "INBOX", "on_the_wire": "INBOX", "use": null, "can_be_opened": true, "messages": 2,
            "since": null, "messages_since_about": 2, "copied": true, "target": "INBOX", "labels": [],
            "left_out": null, "rule": {"key": "folders", "pattern": "INBOX"}, "trouble": null,
        })
    );
}

#[test]
fn a_prefix_and_a_delimiter_of_the_servers_own_are_not_shown() {
    if !crate::testkit::dovecot::available() {
        return;
    }
    let separator = "namespace inbox {\n  separator = .\n  prefix = INBOX.\n}";
    let Some(env) = TestEnv::dovecot_with(
        Dovecot::build().extra(separator),
        Dovecot::build().xoauth2(true),
    ) else {
        return;
    };
    let mut client = env.source.client(ALICE);
    for name in ["Entw&APw-rfe", "Arbeit.2024.&ZeVnLIqe-", "R&-D", "&2D3eAA-"] {
        client.command(&format!("CREATE \"INBOX.{name}\""));
    }
    env.source.append(
        ALICE,
        "INBOX.Arbeit.2024.&ZeVnLIqe-",
        b"Subject: x\r\n\r\nx\r\n",
        "",
        1_700_000_000,
    );
    let ran = env.command(FOLDERS);
    assert_eq!((ran.status, &*ran.err), (0, ""));
    for row in [
        "0 0 INBOX INBOX",
        "1 1 Arbeit/2024/日本語 left out",
        "0 0 Entwürfe left out",
        "0 0 R&D left out",
        "0 0 😀 left out",
    ] {
        assert!(
            rows(&ran.out).iter().any(|r| r == row),
            "{row}: {}",
            ran.out
        );
    }
}

#[test]
fn one_that_does_not_open_holds_up_none_of_the_others() {
    let env = gmail_as_source();
    env.source.create("Refused");
    env.source.create("Lost");
    let refused = Fault::Answer("NO [NOPERM] not for you".into());
    env.source
        .fault(On::each("EXAMINE").line_with("Refused"), refused);
    env.source
        .fault(On::each("EXAMINE").line_with("Lost"), Fault::CutBefore);
    let ran = env.command(FOLDERS);
    assert_eq!((ran.status, &*ran.err), (0, ""));
    let rows = rows(&ran.out);
    let after = |name: &str| {
        let at = rows
            .iter()
            .position(|r| r == &format!("? ? {name} left out"));
        let at = at.unwrap_or_else(|| panic!("{name}: {}", ran.out));
        rows[at + 1..=at + 2].join(" ")
    };
    assert!(after("Refused").contains("not for you"), "{}", ran.out);
    assert!(after("Lost").contains("was lost"), "{}", ran.out);
    assert!(
        rows.iter().any(|r| r == "0 0 [Gmail]/Trash left out"),
        "{}",
        ran.out
    );
}

#[test]
fn a_source_that_lets_nobody_in_is_an_error_with_its_hint() {
    let mut env = TestEnv::new();
    env.set("source_pass", "wrong");
    let ran = env.command(FOLDERS);
    assert_eq!(ran.status, 4, "{ran:?}");
    assert!(ran.err.starts_with("error: the source refused"), "{ran:?}");
    assert!(ran.err.contains("\n\nhint: "), "{ran:?}");
    assert_eq!(ran.out, "");
}

#[test]
fn a_server_that_wants_less_is_asked_no_more() {
    let env = gmail_as_source();
    for n in 0..20 {
        env.source.create(&format!("Folder {n:02}"));
    }
    let answer = Fault::Answer("NO [LIMIT] Too many requests, try again later".into());
    env.source
        .fault(On::each("EXAMINE").line_with("Folder 00"), answer);
    let before = env.source.lines();
    let ran = env.command(FOLDERS);
    assert_eq!((ran.status, &*ran.err), (0, ""));
    assert!(ran.out.contains("not asked after: "), "{}", ran.out);
    let transcript = env.source.transcript().after(before);
    let asked = transcript.client();
    let folders = asked.iter().filter(|line| line.contains("Folder")).count();
    assert_eq!(folders, 1, "{asked:?}");
}

/// Its refresh token may be used up by one renewal, and nobody would keep what comes.
#[test]
fn a_token_that_has_ended_is_left_to_a_run() {
    let mut env = TestEnv::new();
    let path = env.dir.path().join("source_token.json");
    let token = json!({
        "token": "ended", "expiry": "2020-01-01T00:00:00Z", "refresh_token": "r", "client_id": "c",
        "token_uri": env.source.token_url(),
    });
    std::fs::write(&path, token.to_string()).unwrap();
    env.set("source_pass", Value::Null)
        .set("source_token_file", "source_token.json");
    let ran = env.command(FOLDERS);
    assert_eq!(ran.status, 4, "{ran:?}");
    assert!(ran.err.contains("its access token has ended"), "{ran:?}");
    assert_eq!(env.source.token_requests().len(), 0);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), token.to_string());
}
