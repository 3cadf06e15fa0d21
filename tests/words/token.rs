//! A token file that cannot be used: a person must act, and is told so.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use chrono::Utc;
use imap_to_gmail::ledger::{Ledger, Progress, Route};
use imap_to_gmail::message::{Discovered, Flags, MessageId, Uid, UidValidity};
use serde_json::{Value, json};

use crate::Desk;

const HINT: &str = "sign in again with `imap-to-gmail auth --credentials client_secret.json --config config.json`, where client_secret.json is the file of your OAuth client; the new token is picked up by itself";

/// A source whose INBOX holds nothing that the ledger does not know.
fn source() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(|| serve(stream.unwrap()));
        }
    });
    port
}

fn serve(mut stream: TcpStream) {
    let commands = BufReader::new(stream.try_clone().unwrap());
    let _ = stream.write_all(b"* OK [CAPABILITY IMAP4rev1] ready\r\n");
    for command in commands.lines().map_while(Result::ok) {
        let mut words = command.split(' ');
        let tag = words.next().unwrap();
        let answer = match words.next().unwrap_or_default() {
            "CAPABILITY" => "* CAPABILITY IMAP4rev1\r\n",
            "EXAMINE" => "* 1 EXISTS\r\n* OK [UIDVALIDITY 1] .\r\n* OK [UIDNEXT 2] .\r\n",
            _ => "",
        };
        if stream
            .write_all(format!("{answer}{tag} OK done\r\n").as_bytes())
            .is_err()
        {
            return;
        }
    }
}

/// A desk with one message that waits to be sent.
fn desk() -> Desk {
    let desk = Desk::new();
    let config = json!({
        "source_server": "127.0.0.1",
        "source_port": source(),
        "source_tls": "none",
        "source_user": "user",
        "source_pass": "HUSH",
        "target_server": "127.0.0.1",
        "target_user": "you@gmail.com",
        "target_token_file": "token.json",
    });
    desk.file("config.json", config.to_string());
    let now = Utc::now();
    let mut ledger = Ledger::open_or_create(&desk.path("sync_state.db"), true).unwrap();
    let route = Route::new("user", "127.0.0.1", "you@gmail.com", "127.0.0.1");
    ledger.belong_to(&route, now).unwrap();
    ledger
        .first_look("INBOX", UidValidity(1), 2, "7d", now)
        .unwrap();
    let mailbox = ledger.present_mailbox("INBOX").unwrap();
    let waiting = Discovered {
        uid: Uid(1),
        message_id: MessageId::parse(b"<1@example.org>"),
        date: None,
        internal_date: Some(now),
        size: Some(100),
        flags: Flags::default(),
        gm_msgid: None,
    };
    ledger
        .record(mailbox.id, &[waiting], Progress::HistoryDone, now)
        .unwrap();
    desk
}

#[test]
fn a_token_file_without_a_token_asks_for_a_person() {
    let desk = desk();
    for (content, what) in [
        (
            None,
            "the token file cannot be read: No such file or directory (os error 2)",
        ),
        (Some("HUSH"), "not JSON at line 1, column 1"),
        (
            Some("{\"token\": \"HUSH\"\n"),
            "not JSON at line 1, column 17",
        ),
        (
            Some("{\"refresh_token\": \"HUSH\"}"),
            "there is no `token` in it, nor what makes one (`refresh_token`, `client_id`, `client_secret`)",
        ),
        // Microsoft's clients have no secret.
        (
            Some(
                "{\"refresh_token\": \"HUSH\", \"token_uri\": \"https://login.microsoftonline.com/common/oauth2/v2.0/token\"}",
            ),
            "there is no `token` in it, nor what makes one (`refresh_token`, `client_id`)",
        ),
        (Some("[\"HUSH\"]"), "there is no `token` in it"),
        (Some("{\"token\": 5}"), "`token` is not an access token"),
        (Some("{\"token\": null}"), "`token` is not an access token"),
        (Some("{\"token\": \"\"}"), "`token` is not an access token"),
        (
            Some("{\"token\": \"HU SH\"}"),
            "`token` is not an access token",
        ),
        (
            Some("{\"token\": \"HUSH\\u0001\"}"),
            "`token` is not an access token",
        ),
    ] {
        if let Some(content) = content {
            desk.file("token.json", content);
        }
        let ran = desk.run(&["run", "--config", "config.json", "--once"]);
        let log = ran.out.lines().next().unwrap_or_default();
        assert!(log.ends_with(" INFO  0 new messages in INBOX"), "{ran:?}");
        ran.says(
            4,
            &format!("{log}\n"),
            &format!("error: token.json: {what}\n\nhint: {HINT}\n"),
        );
        let status: Value = serde_json::from_str(desk.run(&["status", "--json"]).out()).unwrap();
        let trouble = &status["routes"][0]["trouble"];
        assert_eq!(trouble["kind"], "needs_user");
        assert_eq!(trouble["message"], format!("token.json: {what}"));
        assert_eq!(trouble["hint"], HINT);
        assert_eq!(
            status["routes"][0]["pending"], 1,
            "the message is not charged"
        );
    }
}
