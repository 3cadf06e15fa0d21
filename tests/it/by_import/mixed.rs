//! Both roads in one run: history and new mail, what the API refuses, what is too big for APPEND, what is merged, what is spam.
//! Gmail's store is compared message by message, and the ledger with it.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use gmail_stand_in::{ApiFault, ApiRefusal, Mail, On, Place};
use serde_json::json;

use super::{copies, is_imported, through_the_api};
use crate::testkit::env::TestEnv;

/// APPEND takes no more.
const APPEND_LIMIT: usize = 40_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    History,
    New,
    Refused,
    TooBig,
    /// Gmail has it already, as another tool brought it: with lines in front.
    Merged,
    Spam,
}

struct Sent {
    kind: Kind,
    bytes: Vec<u8>,
    folder: &'static str,
    arrived: DateTime<Utc>,
    written: DateTime<Utc>,
}

fn message(kind: Kind, n: usize) -> Sent {
    let arrived = match kind {
        Kind::History | Kind::TooBig => Utc::now() - TimeDelta::days(40 + n as i64),
        _ => Utc::now() - TimeDelta::minutes(n as i64),
    };
    let written = arrived - TimeDelta::seconds(90);
    // Some have no name.
    let id = match n % 7 {
        3 if kind != Kind::Merged => String::new(),
        _ => format!("Message-ID: <{kind:?}-{n}@example.org>\r\n"),
    };
    let size = if kind == Kind::TooBig {
        APPEND_LIMIT + n
    } else {
        40 * n
    };
    let line = format!("{kind:?} {n} {}\r\n", "x".repeat(60));
    let text = line.repeat(size / line.len() + 1);
    let date = written.format("%a, %d %b %Y %H:%M:%S +0000");
    let bytes = format!(
        "From: Ann <ann@example.org>\r\nSubject: {kind:?} {n}\r\n{id}Date: {date}\r\n\r\n{text}"
    );
    Sent {
        kind,
        bytes: bytes.into_bytes(),
        folder: if n.is_multiple_of(3) {
            "Arbeit"
        } else {
            "INBOX"
        },
        arrived,
        written,
    }
}

fn put(env: &TestEnv, sent: &Sent) {
    let mail = Mail::new(&sent.bytes)
        .in_mailbox(sent.folder)
        .at(sent.arrived.fixed_offset());
    env.source.add(mail);
}

#[test]
fn each_message_is_there_once_as_its_road_has_it() {
    let mut env = TestEnv::new();
    through_the_api(&mut env);
    env.source.create("Arbeit");
    env.set("folders", json!(["INBOX", "Arbeit"]))
        .set("label", "alt@example.org")
        .set("connections", 4);
    env.target.knobs(|k| {
        k.append_limit = APPEND_LIMIT as u64;
        k.api.spam.push("Spam ".into());
    });
    let of = |kind, count| (1..=count).map(move |n| message(kind, n));
    let history: Vec<Sent> = of(Kind::History, 300).chain(of(Kind::TooBig, 3)).collect();
    history.iter().for_each(|sent| put(&env, sent));
    env.run_until_done(2);
    env.target.api_fault(
        On::each("*").message_with("Subject: Refused"),
        ApiFault::Refuse(ApiRefusal::InvalidFrom),
    );
    let new: Vec<Sent> = of(Kind::New, 200)
        .chain(of(Kind::Refused, 20))
        .chain(of(Kind::Merged, 10))
        .chain(of(Kind::Spam, 10))
        .collect();
    new.iter().for_each(|sent| put(&env, sent));
    for sent in new.iter().filter(|s| s.kind == Kind::Merged) {
        let there = [b"Delivered-To: somebody@example.org\r\n", &sent.bytes[..]].concat();
        env.target.add(Mail::new(&there));
    }
    env.run_until_done(3);

    let mut counts: HashMap<Kind, usize> = HashMap::new();
    for sent in history.iter().chain(&new) {
        let what = String::from_utf8_lossy(&sent.bytes[..60]).into_owned();
        let mut found = copies(&env.target, &sent.bytes);
        assert_eq!(found.len(), 1, "{what}");
        let copy = found.remove(0);
        *counts.entry(sent.kind).or_default() += 1;
        let imported = is_imported(&copy, &sent.bytes);
        let date = copy.internal_date.timestamp();
        match sent.kind {
            Kind::History | Kind::Refused => {
                assert_eq!(copy.bytes, sent.bytes, "{what}");
                assert_eq!(date, sent.arrived.timestamp(), "{what}");
            }
            Kind::New | Kind::TooBig | Kind::Spam => {
                assert!(imported, "{what}");
                assert_eq!(date, sent.written.timestamp(), "{what}");
            }
            // What was there stays as it was.
            Kind::Merged => continue,
        }
        let spam = sent.kind == Kind::Spam;
        assert_eq!(copy.place == Place::Spam, spam, "{what}");
        let own = if sent.folder == "INBOX" {
            "\\Inbox"
        } else {
            "Arbeit"
        };
        assert!(
            spam || copy.labels.contains(own),
            "{what}: {:?}",
            copy.labels
        );
        assert!(copy.labels.contains("alt@example.org"), "{what}");
        assert!(!copy.flags.contains("\\Seen"), "{what}");
    }
    assert_eq!(env.target.messages().len(), 543);
    let wanted = [
        (Kind::History, 300),
        (Kind::New, 200),
        (Kind::Refused, 20),
        (Kind::TooBig, 3),
        (Kind::Merged, 10),
        (Kind::Spam, 10),
    ];
    assert_eq!(counts, wanted.into_iter().collect());
    let count = |condition: &str| -> i64 {
        env.one(&format!("SELECT count(*) FROM message WHERE {condition}"))
    };
    assert_eq!(count("status <> 'delivered'"), 0, "{}", env.dump());
    assert_eq!(
        count("verified_at IS NULL AND proof IN ('appended', 'imported_by_api')"),
        0
    );
    assert_eq!(
        count("proof = 'appended' AND by_import = 0 AND detour IS NULL"),
        300
    );
    assert_eq!(
        count("proof = 'imported_by_api' AND by_import AND detour IS NULL"),
        210
    );
    assert_eq!(
        count("proof = 'appended' AND detour LIKE '%Invalid From header%'"),
        20
    );
    assert_eq!(
        count("proof = 'imported_by_api' AND detour = 'too big for APPEND'"),
        3
    );
    assert_eq!(count("proof = 'found'"), 10);
    assert_eq!(count("altered"), 0, "{}", env.dump());
    assert_eq!(env.status()["in_spam"], 10);
    env.assert_nobody_charged();
}
