//! A token file that cannot be used: a person must act, and is told so.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use chrono::Utc;
use imap_to_gmail::folder::FolderId;
use imap_to_gmail::ledger::{Ledger, Progress, Route};
use imap_to_gmail::message::{Discovered, Flags, MessageId, Uid, UidValidity};
use serde_json::{Value, json};

use super::WorkDir;

const FIRST_HINT: &str = "sign in with `imap-to-gmail auth --credentials client_secret.json --config config.json`, where client_secret.json is the OAuth client file from Google (docs/google-client.md says how to get it); a run that goes on picks it up by itself. An app password is often easier (2-Step Verification must be on): make one at https://myaccount.google.com/apppasswords and put it into config.json as `target_pass`, in place of `target_token_file`";
const HINT: &str = "sign in again with `imap-to-gmail auth --credentials client_secret.json --config config.json`, where client_secret.json is the OAuth client file from Google (docs/google-client.md says how to get it); a run that goes on picks the new sign-in up by itself";

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
fn desk() -> WorkDir {
    let desk = WorkDir::new();
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
        .first_look(FolderId(1), UidValidity(1), 2, "7d", now)
        .unwrap();
    let mailbox = ledger.present_mailbox(FolderId(1)).unwrap();
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
fn who_never_signed_in_is_told_how() {
    let desk = desk();
    let ran = desk
        .run(&["run", "--config", "config.json", "--once"])
        .begun();
    let log = ran.out.clone();
    let folder = desk.0.path().canonicalize().unwrap();
    let folder = folder.display();
    ran.says(
        4,
        &log,
        &format!(
            "error: not signed in to Google yet: token.json (`target_token_file`) does not exist in {folder}\n\nhint: {FIRST_HINT}\n"
        ),
    );
}

#[test]
fn a_token_file_without_a_token_asks_for_a_person() {
    let desk = desk();
    for (content, what) in [
        ("HUSH", "not JSON at line 1, column 1"),
        ("{\"token\": \"HUSH\"\n", "not JSON at line 1, column 17"),
        (
            "{\"refresh_token\": \"HUSH\"}",
            "there is no `token` in it, nor what makes one (`refresh_token`, `client_id`, `client_secret`)",
        ),
        // Microsoft's clients have no secret.
        (
            "{\"refresh_token\": \"HUSH\", \"token_uri\": \"https://login.microsoftonline.com/common/oauth2/v2.0/token\"}",
            "there is no `token` in it, nor what makes one (`refresh_token`, `client_id`)",
        ),
        ("[\"HUSH\"]", "there is no `token` in it"),
        ("{\"token\": 5}", "`token` is not an access token"),
        ("{\"token\": null}", "`token` is not an access token"),
        ("{\"token\": \"\"}", "`token` is not an access token"),
        ("{\"token\": \"HU SH\"}", "`token` is not an access token"),
        (
            "{\"token\": \"HUSH\\u0001\"}",
            "`token` is not an access token",
        ),
    ] {
        desk.file("token.json", content);
        let ran = desk
            .run(&["run", "--config", "config.json", "--once"])
            .begun();
        let log = ran.out.lines().next().unwrap_or_default();
        assert!(log.ends_with(" INFO  no new messages in INBOX"), "{ran:?}");
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
