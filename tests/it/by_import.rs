//! `"delivery": "import"`: new mail goes through Gmail's API, history by APPEND. What arrives, what is lost on the way, what
//! is refused, and what each road does for the other.

mod corners;
mod crash;
mod faults;
mod lost;
mod mixed;
mod poison;
mod roads;
mod spam;

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::Utc;
use gmail_stand_in::{Gmail, Mail, Stored};
use serde_json::Value;

use crate::testkit::env::TestEnv;

const HOUR: Duration = Duration::from_secs(3600);

/// New mail of this route takes the road through the API.
pub(crate) fn through_the_api(env: &mut TestEnv) {
    let access = env.target.issue_token(HOUR);
    let token: Value = serde_json::from_str(&env.target.token_json(&access, HOUR)).unwrap();
    env.set("target_pass", Value::Null);
    env.write_token(&token);
    let url = env.target.api_url();
    env.set("gmail_api", url).set("delivery", "import");
}

/// A source that was looked at once, so that all that comes is new, and a Gmail whose API takes it.
pub(crate) fn imports() -> TestEnv {
    let mut env = TestEnv::new();
    through_the_api(&mut env);
    env.run_until_done(1);
    env
}

/// A message of this moment, in the source. Without an id it has no Message-ID.
pub(crate) fn comes(env: &TestEnv, id: &str, text: &str) -> Vec<u8> {
    let bytes = letter(id, text);
    env.source.add(Mail::new(&bytes));
    bytes
}

pub(crate) fn letter(id: &str, text: &str) -> Vec<u8> {
    let name = match id {
        "" => String::new(),
        id => format!("Message-ID: <{id}@example.org>\r\n"),
    };
    // No second: what has no name is told from others by its date.
    let date = Utc::now().format("%a, %d %b %Y %H:%M:%S +0000");
    format!("From: Ann <ann@example.org>\r\nSubject: {id}\r\n{name}Date: {date}\r\n\r\n{text}\r\n")
        .into_bytes()
}

/// The copies of this message.
pub(crate) fn copies(target: &Gmail, bytes: &[u8]) -> Vec<Stored> {
    let mut all = target.messages();
    all.retain(|m| m.bytes.ends_with(bytes));
    all
}

/// Its one copy.
#[track_caller]
pub(crate) fn copy(env: &TestEnv, bytes: &[u8]) -> Stored {
    let mut all = copies(&env.target, bytes);
    assert_eq!(all.len(), 1, "{}", env.dump());
    all.remove(0)
}

pub(crate) fn is_imported(copy: &Stored, bytes: &[u8]) -> bool {
    copy.bytes.len() > bytes.len() && copy.bytes.starts_with(b"Delivered-To: ")
}

/// Every message of the source is in Gmail once, behind lines of Gmail's own or without, and the ledger knows it.
#[track_caller]
pub(crate) fn assert_all_once(env: &TestEnv) {
    let mut ids = BTreeSet::new();
    for mail in env.source.messages() {
        ids.insert(copy(env, &mail.bytes).id);
    }
    assert_eq!(ids.len(), env.target.messages().len(), "{}", env.dump());
    let open: i64 = env.one("SELECT count(*) FROM message WHERE status <> 'delivered'");
    let unseen: i64 = env.one(
        "SELECT count(*) FROM message WHERE proof IN ('appended', 'imported_by_api') AND verified_at IS NULL",
    );
    let altered: i64 = env.one("SELECT count(*) FROM message WHERE altered");
    assert_eq!((open, unseen, altered), (0, 0, 0), "{}", env.dump());
}

/// How many messages the ledger has with this proof.
pub(crate) fn proved(env: &TestEnv, proof: &str) -> i64 {
    env.one(&format!(
        "SELECT count(*) FROM message WHERE proof = '{proof}'"
    ))
}

/// Why the only row with a detour took it.
pub(crate) fn detour(env: &TestEnv) -> String {
    env.one("SELECT detour FROM message WHERE detour IS NOT NULL")
}
