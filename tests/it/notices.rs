//! Mails that tell a person of messages which failed: once each, few a day, whatever ends on the way; and nothing else is
//! held up by them, or taken for one of them.

mod broken_off;
mod ends;
mod loops;
mod mail;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Child;

use gmail_stand_in::{Gmail, Mail, Stored};

use crate::testkit::env::{DATE, TestEnv, mail};
use crate::testkit::route::Route;

/// A header field that none but these mails has.
const FIELD: &str = "X-Imap-To-Gmail-Notice";

/// A route that tells of failures.
fn env() -> TestEnv {
    telling(TestEnv::new())
}

fn telling(mut env: TestEnv) -> TestEnv {
    // As a person has it who wrote nothing about it.
    env.set("notices", serde_json::Value::Null);
    env
}

/// A message in the source that is never taken: Gmail takes no NUL.
fn bad(env: &TestEnv, name: &str) {
    let bytes = mail(&format!("<{name}@example.org>"), DATE, "nul \0");
    let bytes = String::from_utf8(bytes).unwrap();
    let bytes = bytes.replace("Subject: a test", &format!("Subject: {name}"));
    env.source.add(Mail::new(bytes));
}

/// A notice, as a mail program reads it.
struct Notice {
    stored: Stored,
    fields: BTreeMap<String, String>,
    text: String,
}

impl Notice {
    fn field(&self, name: &str) -> &str {
        &self.fields[name]
    }

    fn is_digest(&self) -> bool {
        self.field(FIELD) == "digest"
    }

    /// What follows the name of the program in this command of the text.
    fn command(&self, name: &str) -> Vec<String> {
        let begin = format!("    imap-to-gmail {name}");
        let line = self.text.lines().find(|line| line.starts_with(&begin));
        let line = line.unwrap_or_else(|| panic!("{}", self.text)).trim();
        let words = line.split(' ').skip(1);
        words.map(str::to_string).collect()
    }
}

/// The notices that a target holds, wherever they lie, in the order in which they came.
fn notices_in(target: &Gmail) -> Vec<Notice> {
    let all = target.messages().into_iter();
    all.filter_map(read).collect()
}

fn read(stored: Stored) -> Option<Notice> {
    let parsed = mailparse::parse_mail(&stored.bytes).unwrap();
    let fields = parsed.headers.iter();
    let fields: BTreeMap<String, String> = fields.map(|h| (h.get_key(), h.get_value())).collect();
    let text = parsed.get_body().unwrap().replace("\r\n", "\n");
    fields.contains_key(FIELD).then_some(Notice {
        stored,
        fields,
        text,
    })
}

/// How many are about one message each, and how many are digests.
fn count(env: &TestEnv) -> (usize, usize) {
    let all = notices_in(&env.target);
    let digests = all.iter().filter(|n| n.is_digest()).count();
    (all.len() - digests, digests)
}

/// Is every mail on record settled, and every failure told of?
fn all_is_told(route: &Route) -> bool {
    let open: i64 = route.one("SELECT count(*) FROM notice WHERE status <> 'told'");
    let untold: i64 = route.one("SELECT count(*) FROM failure WHERE notice_id IS NULL");
    open + untold == 0
}

/// So many hours pass for the mails that were made.
fn hours_pass(env: &TestEnv, hours: u32) {
    let db = env.sql();
    for (table, column) in [
        ("notice", "made_at"),
        ("notice", "next_attempt_at"),
        ("failure", "failed_at"),
    ] {
        db.execute_batch(&format!(
            "UPDATE {table} SET {column} = strftime('%Y-%m-%dT%H:%M:%SZ', {column}, '-{hours} hours')"
        ))
        .unwrap();
    }
}

/// The program running without an end; killed when dropped.
struct Running(Child);

impl Running {
    fn start(env: &TestEnv) -> Running {
        // Its log goes where nobody has to read it for it to go on.
        let log = log_of(env);
        Running(env.spawn_for_good(&["--log", log.to_str().unwrap()]))
    }
}

fn log_of(env: &TestEnv) -> PathBuf {
    env.dir.path().join("log")
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
