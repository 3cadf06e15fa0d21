//! What becomes of a message that is imported or inserted (docs/gmail-import.md 1 to 3), and of labels (6).

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta};
use gmail_stand_in::{ApiFilter, Gmail, Options, Place};
use serde_json::{Value, json};

use super::request::{IMPORT, INSERT, LABELS, ask, get, head, import, multipart, post, token};
use crate::client::{Client, mail};

const MEDIA: &str = "/upload/gmail/v1/users/me/messages/import?uploadType=media";

fn gmail() -> Gmail {
    Gmail::start(Options::default())
}

#[test]
fn the_three_forms_of_one_request() {
    let gmail = gmail();
    let letter = mail("1@x", "ä");
    for raw in [URL_SAFE.encode(&letter), URL_SAFE_NO_PAD.encode(&letter)] {
        let body = json!({"raw": raw, "labelIds": ["INBOX"]});
        let id = post(&gmail, INSERT, &body).unwrap().id();
        assert_eq!(gmail.message(id).unwrap().bytes, letter.as_bytes());
    }
    let letter = mail("2@x", "ä");
    let kind = "Content-Type: message/rfc822\r\n";
    let asks = head("POST", MEDIA, &token(&gmail), kind, letter.len());
    let bare = gmail
        .message(ask(&gmail, &asks, &letter).unwrap().id())
        .unwrap();
    assert!(bare.bytes.ends_with(letter.as_bytes()) && bare.labels.is_empty());
    let reply = import(&gmail, &mail("3@x", "whole")).unwrap();
    let json = reply.json();
    assert_eq!(
        (&json["id"], &json["labelIds"]),
        (&json["threadId"], &json!(["UNREAD", "INBOX"]))
    );
    assert_eq!(gmail.api_requests("POST /upload"), 2);
    for (method, path) in [
        ("POST", "/batch/gmail/v1"),
        ("GET", "/gmail/v1/users/me/messages"),
        ("POST", "/gmail/v1/users/somebody@gmail.com/messages"),
    ] {
        let reply = ask(&gmail, &head(method, path, &token(&gmail), "", 0), "").unwrap();
        assert!(
            reply.status == 404 && reply.body.starts_with("<!DOCTYPE html>"),
            "{path}"
        );
    }
}

#[test]
fn it_is_seen_over_imap_by_new_sessions_and_by_old_ones_after_noop() {
    let gmail = gmail();
    let mut old = Client::login(&gmail);
    old.run("SELECT INBOX");
    let label = post(&gmail, LABELS, &json!({"name": "Work"}))
        .unwrap()
        .json();
    let labels = ["INBOX", "UNREAD", label["id"].as_str().unwrap()];
    let id = multipart(&gmail, IMPORT, &labels, &mail("1@x", ""))
        .unwrap()
        .id();
    let search = format!("UID SEARCH X-GM-MSGID {id}");
    assert!(!old.run(&search).concat().contains("SEARCH 1"));
    assert!(old.run("NOOP").concat().contains("* 1 EXISTS"));
    assert!(old.run(&search).concat().contains("SEARCH 1"));
    for mailbox in ["\"[Gmail]/All Mail\"", "Work", "INBOX"] {
        let mut new = Client::login(&gmail);
        new.run(&format!("EXAMINE {mailbox}"));
        let told = new.run("FETCH 1 (X-GM-MSGID FLAGS)").concat();
        assert!(
            told.contains(&id.to_string()) && !told.contains("Seen"),
            "{told}"
        );
    }
}

#[test]
fn import_puts_lines_in_front_and_insert_does_not() {
    let gmail = gmail();
    let letter = mail("1@x", "text");
    let stored = gmail
        .message(import(&gmail, &letter).unwrap().id())
        .unwrap();
    let text = String::from_utf8(stored.bytes).unwrap();
    assert!(text.starts_with("Delivered-To: user@gmail.com\r\nReceived: by "));
    assert!(text.contains("gmailapi") && text.ends_with(&letter));
    gmail.knobs(|knobs| knobs.api.trace_lines = false);
    let other = mail("2@x", "text");
    let stored = gmail.message(import(&gmail, &other).unwrap().id()).unwrap();
    assert_eq!(stored.bytes, other.as_bytes());
}

#[test]
fn the_date_is_that_of_the_header_or_now() {
    let gmail = gmail();
    let at = |path: &str, id: &str, date: &str| {
        let letter = format!("From: a@x\r\nMessage-ID: <{id}>\r\n{date}\r\ntext\r\n");
        let reply = multipart(&gmail, path, &[], &letter).unwrap();
        gmail.message(reply.id()).unwrap().internal_date
    };
    let told = DateTime::parse_from_rfc2822("Thu, 27 Jan 2000 22:03:00 +0000").unwrap();
    let now = gmail.clock().now();
    let is_now = |date: DateTime<_>| (date.to_utc() - now).abs() < TimeDelta::minutes(1);
    assert_eq!(
        at(IMPORT, "1", "Date: Thu, 27 Jan 2000 15:03:00 -0700\r\n"),
        told
    );
    assert!(is_now(at(
        IMPORT,
        "2",
        "Date: 27 Jan 00 15:03:00\r\n  PDT\r\n"
    )));
    assert!(is_now(at(IMPORT, "3", "")) && is_now(at(IMPORT, "4", "Date: soon\r\n")));
    let received = format!("{IMPORT}?internalDateSource=receivedTime");
    assert!(is_now(at(
        &received,
        "5",
        "Date: Thu, 27 Jan 2000 15:03:00 -0700\r\n"
    )));
    assert!(is_now(at(
        INSERT,
        "6",
        "Date: Thu, 27 Jan 2000 15:03:00 -0700\r\n"
    )));
    let by_header = format!("{INSERT}?internalDateSource=dateHeader");
    assert_eq!(
        at(&by_header, "7", "Date: Thu, 27 Jan 2000 15:03:00 -0700\r\n"),
        told
    );
}

#[test]
fn the_same_message_again_is_merged_by_import_alone() {
    let gmail = gmail();
    let first = import(&gmail, &mail("1@x", "one")).unwrap().id();
    let again = multipart(&gmail, IMPORT, &["STARRED"], &mail("1@x", "two")).unwrap();
    assert_eq!(again.id(), first);
    let labels = again.json()["labelIds"].clone();
    assert_eq!(labels, json!(["UNREAD", "INBOX", "STARRED"]));
    let stored = gmail.message(first).unwrap();
    assert!(stored.bytes.ends_with(b"one\r\n"));
    assert_ne!(
        import(&gmail, &mail("", "one")).unwrap().id(),
        import(&gmail, &mail("", "one")).unwrap().id()
    );
    assert_ne!(
        multipart(&gmail, INSERT, &[], &mail("1@x", "one"))
            .unwrap()
            .id(),
        first
    );
}

#[test]
fn import_threads_and_insert_does_not() {
    let gmail = gmail();
    let first = import(&gmail, &mail("1@x", "one")).unwrap().id();
    let answer = |id: &str| format!("References: <1@x>\r\n{}", mail(id, "answer"));
    let thread =
        |reply: &Value| u64::from_str_radix(reply["threadId"].as_str().unwrap(), 16).unwrap();
    assert_eq!(
        thread(&import(&gmail, &answer("2@x")).unwrap().json()),
        first
    );
    let alone = multipart(&gmail, INSERT, &[], &answer("3@x")).unwrap();
    assert_eq!(thread(&alone.json()), alone.id());
}

#[test]
fn spam_at_once_later_and_never() {
    let gmail = gmail();
    gmail.knobs(|knobs| knobs.api.spam = vec!["lottery".into()]);
    let place = |id| gmail.message(id).unwrap().place;
    let reply = import(&gmail, &mail("1@x", "lottery")).unwrap();
    assert_eq!(place(reply.id()), Place::Spam);
    assert_eq!(reply.json()["labelIds"], json!(["SPAM", "UNREAD"]));
    gmail.knobs(|knobs| knobs.api.reply_tells_spam = false);
    let reply = import(&gmail, &mail("2@x", "lottery")).unwrap();
    assert_eq!(reply.json()["labelIds"], json!(["UNREAD"]));
    let spared = format!("{IMPORT}?neverMarkSpam=true");
    let ask = |id: &str| {
        multipart(&gmail, &spared, &["INBOX"], &mail(id, "lottery"))
            .unwrap()
            .id()
    };
    assert_eq!(place(ask("3@x")), Place::Live);
    gmail.knobs(|knobs| {
        knobs.api.never_mark_spam_ignored = true;
        knobs.api.classified_on_command = true;
    });
    let id = ask("4@x");
    assert_eq!(place(id), Place::Live);
    assert_eq!((gmail.classify(), gmail.classify()), (1, 0));
    assert_eq!(place(id), Place::Spam);
    let moved = import(&gmail, &mail("6@x", "no word of it")).unwrap().id();
    assert!(gmail.spam(moved) && place(moved) == Place::Spam);
    let junk = multipart(&gmail, IMPORT, &["SPAM"], &mail("5@x", ""))
        .unwrap()
        .id();
    assert_eq!(place(junk), Place::Spam);
}

#[test]
fn a_filter_labels_and_archives() {
    let gmail = gmail();
    let filter = ApiFilter {
        holds: "List-Id: <news>".into(),
        label: Some("News".into()),
        skip_inbox: true,
    };
    gmail.knobs(|knobs| knobs.api.filters = vec![filter]);
    let letter = format!("List-Id: <news>\r\n{}", mail("1@x", ""));
    let filed = gmail
        .message(import(&gmail, &letter).unwrap().id())
        .unwrap();
    assert_eq!(filed.labels.into_iter().collect::<Vec<_>>(), ["News"]);
    let other = gmail
        .message(import(&gmail, &mail("2@x", "")).unwrap().id())
        .unwrap();
    assert!(other.labels.contains("\\Inbox"));
}

#[test]
fn labels_are_listed_made_and_known_by_their_ids() {
    let gmail = gmail();
    let made = post(&gmail, LABELS, &json!({"name": "Work/A"}))
        .unwrap()
        .json();
    assert_eq!(
        (&made["name"], &made["type"]),
        (&json!("Work/A"), &json!("user"))
    );
    let again = post(&gmail, LABELS, &json!({"name": "work/a"})).unwrap();
    assert_eq!(
        again.refusal(),
        (
            409,
            "aborted".into(),
            "Label name exists or conflicts".into()
        )
    );
    let refused = post(&gmail, LABELS, &json!({"name": "Muted"})).unwrap();
    assert_eq!(refused.refusal().2, "Invalid label name");
    let listed = get(&gmail, LABELS).json();
    let all = listed["labels"].as_array().unwrap();
    assert!(
        all.iter()
            .any(|label| label["id"] == "INBOX" && label["type"] == "system")
    );
    assert!(all.iter().any(|label| label["id"] == made["id"]));
    for (labels, words) in [
        (vec!["Work/A"], "Invalid label: Work/A"),
        (vec!["CHAT"], "Invalid label: CHAT"),
        (vec!["INBOX", "SPAM"], "Cannot apply these labels together"),
    ] {
        let reply = multipart(&gmail, IMPORT, &labels, &mail("1@x", "")).unwrap();
        assert_eq!(reply.refusal().2, words);
    }
}
