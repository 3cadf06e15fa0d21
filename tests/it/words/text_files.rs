//! Text as editors and shells leave it: marks at its beginning, UTF-16, comments, typographic quotation marks, keys that
//! stand there twice, blanks at an end, names of hosts in other letters.

use imap_to_gmail::config::{Key, Secret};
use serde_json::{Value, json};

use super::config::{accepted, desk, refused, right, run, with};
use super::{Ran, WorkDir};

const ENCODING: &str = "in Windows' Notepad: \"Save as\", \"Encoding\", \"UTF-8\"; or `iconv -f UTF-16 -t UTF-8 OLD >NEW`, with another name for NEW";

fn utf16(text: &str, big: bool, mark: bool) -> Vec<u8> {
    let mark = mark.then_some('\u{feff}').into_iter();
    mark.chain(text.chars())
        .flat_map(|c| c.encode_utf16(&mut [0; 2]).to_vec())
        .flat_map(|unit| {
            if big {
                unit.to_be_bytes()
            } else {
                unit.to_le_bytes()
            }
        })
        .collect()
}

fn password(key: &Key) -> &str {
    match key {
        Key::Password(password) => password.reveal(),
        Key::TokenFile(_) => panic!("no password"),
    }
}

#[test]
fn a_mark_at_the_beginning_is_no_part_of_a_password() {
    let (desk, _lock) = desk();
    desk.file("pass", "\u{feff}HUSH\r\n");
    let file = desk.path("pass");
    for (side, key) in [
        ("source", "source_pass_file"),
        ("target", "target_pass_file"),
    ] {
        let config = accepted(with(key, file.to_str().unwrap()));
        let found = match side {
            "source" => config.source_key,
            _ => config.target_key,
        };
        assert_eq!(password(&found), "HUSH", "{key}");
    }
    let argv = json!(["printf", "\\357\\273\\277HUSH\\n"]);
    let config = accepted(with("source_pass_command", argv));
    assert_eq!(config.source_key, Key::Password(Secret::new("HUSH".into())));
    // Nothing but a mark is nothing.
    desk.file("mark", "\u{feff}\n");
    run(&desk, with("source_pass_file", "mark")).fails(
        2,
        "config.json: `source_pass_file`: the first line of mark is empty, expected the password",
        "the file must hold the password, alone on its first line",
    );
}

#[test]
fn utf_16_is_called_what_it_is() {
    let (desk, _lock) = desk();
    let text = right().to_string();
    for (big, mark) in [(false, true), (true, true), (false, false), (true, false)] {
        desk.file("config.json", utf16(&text, big, mark));
        for command in ["run", "check", "status"] {
            let ran = desk.run(&[command, "--config", "config.json"]);
            let said = format!("{}{}", ran.out, ran.err);
            let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(
                said.contains("config.json: is UTF-16, expected UTF-8"),
                "{ran:?}"
            );
            assert!(said.contains(ENCODING), "{ran:?}");
        }
        desk.file("pass", utf16("HUSH\r\n", big, mark));
        run(&desk, with("source_pass_file", "pass")).fails(
            2,
            "config.json: `source_pass_file`: pass is UTF-16, expected UTF-8",
            ENCODING,
        );
    }
}

#[test]
fn a_blank_at_an_end_is_no_part_of_an_address() {
    for key in ["source_user", "target_user"] {
        for value in [
            "you@gmail.com ",
            " you@gmail.com",
            "you@gmail.com\t",
            "you@gmail.com\u{a0}",
        ] {
            let config = accepted(with(key, value));
            let user = match key {
                "source_user" => config.source_user,
                _ => config.target_user,
            };
            assert_eq!(user, "you@gmail.com", "{value:?}");
        }
    }
    let config = accepted(with("source_server", "imap.example.org\u{a0} "));
    assert_eq!(config.source.host, "imap.example.org");
    // A password may end in one.
    assert_eq!(
        password(&accepted(with("source_pass", "HUSH ")).source_key),
        "HUSH "
    );
}

#[test]
fn a_host_in_other_letters_has_a_name_that_name_servers_know() {
    for (host, ascii) in [
        ("imap.b\u{fc}cher.example", "imap.xn--bcher-kva.example"),
        ("IMAP.B\u{dc}CHER.example", "imap.xn--bcher-kva.example"),
        (
            "\u{43f}\u{43e}\u{447}\u{442}\u{430}.example",
            "xn--80a1acny.example",
        ),
        ("mail.\u{4f8b}\u{3048}\u{3002}test", "mail.xn--r8jz45g.test"),
        // What is ASCII already stays as it is.
        ("Imap.Example.ORG", "Imap.Example.ORG"),
        ("imap_1.example", "imap_1.example"),
    ] {
        let config = accepted(with("source_server", host));
        assert_eq!(config.source.host, ascii);
        let config = accepted(with("target_server", host));
        assert_eq!(config.target.host, ascii);
    }
    for host in ["b\u{fc}cher..example", "\u{ad}", "b\u{fc}\u{2100}x"] {
        refused(
            with("source_server", host),
            &format!("`source_server`: got `{host}`, expected a host name like imap.example.org"),
            "a port has a key of its own, `source_port`; so has the user name, `source_user`",
        );
    }
}

/// What `run --once` says of a token file with this in it.
fn with_token(content: &[u8]) -> Ran {
    let desk = WorkDir::new();
    let mut config = with("target_token_file", "token.json");
    // Where nothing listens.
    config["source_server"] = "127.0.0.1".into();
    config["source_port"] = 1.into();
    config["source_tls"] = "none".into();
    desk.file("config.json", config.to_string());
    desk.file("token.json", content);
    desk.run(&["check", "--config", "config.json", "--json"])
}

fn finding(ran: &Ran) -> String {
    let all: Value = serde_json::from_str(&ran.out).unwrap();
    let mut all = all["checks"].as_array().unwrap().iter();
    let found = all.find(|f| f["name"] == "target_token").unwrap();
    format!(
        "{}: {}",
        found["result"].as_str().unwrap(),
        found["message"].as_str().unwrap()
    )
}

#[test]
fn the_other_files_of_people_are_read_alike() {
    let desk = WorkDir::new();
    for (name, args) in [
        ("sync_state.json", &["import-state", "sync_state.json"][..]),
        ("client.json", &["auth", "--credentials", "client.json"]),
    ] {
        desk.file(name, utf16("{\"installed\": {}}", false, true));
        desk.run(args)
            .fails(2, &format!("{name}: is UTF-16, expected UTF-8"), ENCODING);
    }
    // The script's state file where the ledger should be.
    desk.file("sync_state.db", "\u{feff}{\"synced_message_ids\": {}}");
    let ran = desk.run(&["status"]);
    assert!(
        ran.err
            .contains("sync_state.db: a JSON file, expected a ledger"),
        "{ran:?}"
    );
}

#[test]
fn a_token_file_may_begin_with_a_mark() {
    let token = "{\"token\": \"HUSH\"}";
    let plain = finding(&with_token(token.as_bytes()));
    let marked = finding(&with_token(format!("\u{feff}{token}").as_bytes()));
    assert_eq!(marked, plain);
    let wide = finding(&with_token(&utf16(token, false, true)));
    assert_eq!(wide, "problem: token.json: is UTF-16, expected UTF-8");
}
