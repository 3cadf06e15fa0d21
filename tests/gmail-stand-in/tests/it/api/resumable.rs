//! Resumable uploads (docs/gmail-import.md 1.3).

use std::io::Write;

use gmail_stand_in::{ApiFault, ApiRefusal, Gmail, On, Options};
use serde_json::json;

use super::request::{Reply, ask, connect, head, read_reply, token};
use crate::client::mail;

const START: &str = "/upload/gmail/v1/users/me/messages/import?uploadType=resumable";

fn start(gmail: &Gmail, path: &str, len: usize) -> Reply {
    let body = json!({"labelIds": ["INBOX"]}).to_string();
    let more = format!(
        "X-Upload-Content-Type: message/rfc822\r\nX-Upload-Content-Length: {len}\r\nContent-Type: application/json\r\n"
    );
    ask(
        gmail,
        &head("POST", path, &token(gmail), &more, body.len()),
        body,
    )
    .unwrap()
}

/// The path of a session, as its Location says.
fn session(gmail: &Gmail, len: usize) -> String {
    let reply = start(gmail, START, len);
    assert_eq!(reply.status, 200);
    let location = reply.header("location").unwrap();
    let (_, path) = location
        .strip_prefix("https://")
        .unwrap()
        .split_once('/')
        .unwrap();
    format!("/{path}")
}

fn put(gmail: &Gmail, path: &str, range: &str, body: &[u8]) -> Option<Reply> {
    let more = format!("Content-Range: bytes {range}\r\n");
    ask(
        gmail,
        &head("PUT", path, &token(gmail), &more, body.len()),
        body,
    )
}

#[test]
fn in_one_piece_and_in_several() {
    let gmail = Gmail::start(Options::default());
    let letter = mail("1@x", "text");
    let (bytes, n) = (letter.as_bytes(), letter.len());
    let path = session(&gmail, n);
    let id = put(&gmail, &path, &format!("0-{}/{n}", n - 1), bytes)
        .unwrap()
        .id();
    assert!(gmail.message(id).unwrap().bytes.ends_with(bytes));
    // The same answer for whoever asks later, also with escapes in the address.
    let escaped = path.replace('-', "%2D").replace("resumable", "resum%61ble");
    assert_eq!(
        put(&gmail, &escaped, &format!("*/{n}"), b"").unwrap().id(),
        id
    );
    assert_eq!(put(&gmail, &path, &format!("*/{n}"), b"").unwrap().id(), id);
    let letter = mail("2@x", "text");
    let bytes = letter.as_bytes();
    let path = session(&gmail, n);
    let nothing = put(&gmail, &path, &format!("*/{n}"), b"").unwrap();
    assert_eq!((nothing.status, nothing.header("range")), (308, None));
    let part = put(&gmail, &path, &format!("0-9/{n}"), &bytes[..10]).unwrap();
    assert_eq!(
        (part.status, part.header("range")),
        (308, Some("bytes=0-9"))
    );
    assert_eq!(
        put(&gmail, &path, &format!("5-9/{n}"), &bytes[5..10])
            .unwrap()
            .status,
        400
    );
    let id = put(&gmail, &path, &format!("10-{}/{n}", n - 1), &bytes[10..])
        .unwrap()
        .id();
    assert!(gmail.message(id).unwrap().bytes.ends_with(bytes));
    // A question and a part are no message that came whole.
    assert_eq!(gmail.imports_received(), 2);
    assert_eq!(start(&gmail, &format!("/resumable{START}"), n).status, 200);
    assert_eq!(start(&gmail, START, 157_286_401).status, 413);
}

#[test]
fn half_a_message_is_kept_and_is_no_message() {
    let gmail = Gmail::start(Options::default());
    let letter = mail("1@x", "text");
    let (bytes, n) = (letter.as_bytes(), letter.len());
    let path = session(&gmail, n);
    gmail.api_fault(On::nth(1, "UPLOAD"), ApiFault::CutInBody(20));
    assert_eq!(put(&gmail, &path, &format!("0-{}/{n}", n - 1), bytes), None);
    let told = put(&gmail, &path, &format!("*/{n}"), b"").unwrap();
    assert_eq!(
        (told.status, told.header("range")),
        (308, Some("bytes=0-19"))
    );
    assert_eq!((gmail.messages().len(), gmail.half_uploaded()), (0, 20));
    // A client that goes away in the middle leaves the same behind.
    let other = session(&gmail, n);
    let mut stream = connect(&gmail);
    let more = format!("Content-Range: bytes 0-{}/{n}\r\n", n - 1);
    let head = head("PUT", &other, &token(&gmail), &more, n);
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&bytes[..30]).unwrap();
    // A reset could overtake the bytes.
    stream.flush().unwrap();
    stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_reply(&mut stream), None);
    assert_eq!(gmail.half_uploaded(), 50);
    put(&gmail, &path, &format!("20-{}/{n}", n - 1), &bytes[20..])
        .unwrap()
        .id();
    gmail.knobs(|knobs| knobs.api.forgets_sessions = true);
    assert_eq!(
        put(&gmail, &other, &format!("*/{n}"), b"")
            .unwrap()
            .refusal()
            .1,
        "notFound"
    );
}

#[test]
fn a_lost_answer_is_told_again() {
    let gmail = Gmail::start(Options::default());
    let letter = mail("1@x", "text");
    let n = letter.len();
    let path = session(&gmail, n);
    gmail.api_fault(On::nth(1, "UPLOAD"), ApiFault::CutAfter { stored: true });
    let whole = format!("0-{}/{n}", n - 1);
    assert_eq!(put(&gmail, &path, &whole, letter.as_bytes()), None);
    let id = gmail.messages()[0].id;
    assert_eq!(put(&gmail, &path, &format!("*/{n}"), b"").unwrap().id(), id);
    // What is refused ends the session; a fault for a message finds it in here, too.
    let path = session(&gmail, n);
    let hits = gmail.api_fault(
        On::each("IMPORT").message_with("text"),
        ApiFault::Refuse(ApiRefusal::InvalidArgument),
    );
    let refused = put(&gmail, &path, &whole, letter.as_bytes()).unwrap();
    assert_eq!((refused.status, hits.count()), (400, 1));
}
