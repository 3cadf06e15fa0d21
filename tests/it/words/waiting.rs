//! What waits and why, and how many of what: in words that fit one and several.

use chrono::{TimeDelta, Utc};
use imap_to_gmail::error::{Error, Fault};
use imap_to_gmail::ledger::{Change, RowId};
use serde_json::Value;

use super::WorkDir;
use super::status::{Book, book, day};

/// A message that was refused for now and waits for its next try.
fn put_off(book: &mut Book, message_id: &str, words: &str) -> RowId {
    let retry = Change::Retry {
        error: Error::new(Fault::Transient, words),
        first: day(5),
        at: Utc::now() + TimeDelta::seconds(7200 - 10),
    };
    book.settled(message_id, day(5), &retry)
}

fn desk() -> WorkDir {
    let (desk, mut book) = book();
    let words = "imap.gmail.com:993 refused the message: not\u{1b} now";
    put_off(&mut book, "<1@x>", words);
    put_off(&mut book, "<2@x>", words);
    put_off(&mut book, "<3@x>", "another reason");
    book.pending("<4@x>", Some(10), day(6));
    desk
}

#[test]
fn status_says_where_to_find_why_messages_are_put_off() {
    let text = desk().run(&["status"]).out().to_string();
    let row = "
    put off          3    next attempt in 1 h; `imap-to-gmail status --failed`
                          says why
";
    assert!(text.contains(row), "{text}");
}

#[test]
fn status_failed_lists_what_is_put_off_with_its_reason() {
    let desk = desk();
    let text = desk.run(&["status", "--failed"]).out().to_string();
    let first = "
id 3, 2024-11-05 10:00 UTC, 2.0 kB
  put off    next attempt in 1 h, after 1 attempt
  message-id <3@x>
  reason     another reason
";
    assert!(text.contains(first), "{text}");
    assert_eq!(text.matches("  put off    next attempt").count(), 3);
    // What was never refused is not among them.
    assert!(!text.contains("<4@x>"), "{text}");
    let all: Value =
        serde_json::from_str(desk.run(&["status", "--failed", "--json"]).out()).unwrap();
    let route = &all["routes"][0];
    assert_eq!(route["failed_messages"].as_array().unwrap().len(), 0);
    let waits = route["put_off_messages"].as_array().unwrap();
    assert_eq!(waits.len(), 3);
    assert_eq!(waits[0]["id"], 3);
    assert_eq!(waits[0]["attempts"], 1);
    assert_eq!(waits[0]["error"], "another reason");
    assert!(waits[0]["next_attempt_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(
        waits[2]["error"],
        "imap.gmail.com:993 refused the message: not\\u{1b} now"
    );
}
