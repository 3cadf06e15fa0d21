//! `audit`: each class of difference made on purpose and named rightly, what is queued again, a ledger that is lost or comes
//! from a backup, servers that lie, and what it costs and says.

mod classes;
mod elsewhere;
mod lies;
mod repair;
mod restore;
mod source;

use std::collections::BTreeMap;

use gmail_stand_in::{Fault, On};
use serde_json::Value;

use crate::testkit::env::TestEnv;
use crate::testkit::route::Route;

/// What an audit came to.
#[derive(Debug)]
struct Audit {
    status: i32,
    route: Value,
}

/// `audit --json`, with these options besides.
fn audit_with(route: &Route, more: &[&str]) -> Audit {
    let args = [&["audit", "--config", "config.json", "--json"], more].concat();
    let ran = route.command(&args);
    let json: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    Audit {
        status: ran.status,
        route: json["routes"][0].clone(),
    }
}

fn audit(route: &Route) -> Audit {
    audit_with(route, &[])
}

impl Audit {
    /// How many messages there are of each class that has some.
    fn classes(&self) -> BTreeMap<String, u64> {
        let all = self.route["classes"].as_object().unwrap().iter();
        let counts = all.map(|(class, count)| (class.clone(), count.as_u64().unwrap()));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    #[track_caller]
    fn has(&self, wanted: &[(&str, u64)]) {
        let wanted = wanted.iter().map(|(class, n)| (class.to_string(), *n));
        assert_eq!(
            self.classes(),
            BTreeMap::from_iter(wanted),
            "{:#}",
            self.route
        );
    }

    /// The class of each message that is listed, by its Message-ID without brackets and host.
    fn listed(&self) -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_string();
        let name = |d: &Value| {
            text(&d["message_id"])
                .trim_matches(['<', '>'])
                .replace("@x", "")
        };
        let all = self.route["differences"].as_array().unwrap().iter();
        all.map(|d| (name(d), text(&d["class"]))).collect()
    }

    /// The row of the message with this Message-ID.
    fn id(&self, name: &str) -> String {
        let all = self.route["differences"].as_array().unwrap();
        let found = all
            .iter()
            .find(|d| d["message_id"] == format!("<{name}@x>"));
        found.unwrap_or_else(|| panic!("no {name}: {:#}", self.route))["id"].to_string()
    }
}

/// The message of this name in the source's INBOX; its bytes.
fn put(env: &TestEnv, name: &str) -> Vec<u8> {
    env.mail(&format!("<{name}@x>"), &format!("text of {name}"))
}

/// The copy of this message in the target.
#[track_caller]
fn copy_of(env: &TestEnv, name: &str) -> u64 {
    stored(&env.target, name)
}

#[track_caller]
fn stored(server: &gmail_stand_in::Gmail, name: &str) -> u64 {
    let id = format!("Message-ID: <{name}@x>\r\n");
    let holds = |bytes: &[u8]| {
        bytes
            .windows(id.len())
            .any(|window| window == id.as_bytes())
    };
    let found = server.messages().into_iter().find(|m| holds(&m.bytes));
    found.unwrap_or_else(|| panic!("no {name}")).id
}

/// The target says OK to the next message of this name, and keeps nothing.
fn keep_nothing_of(env: &TestEnv, name: &str) {
    let (validity, next) = env.target.uids("INBOX");
    env.target.fault(
        On::nth(1, "APPEND").message_with(format!("<{name}@x>")),
        Fault::AnswerAfterLiteral {
            text: format!("OK [APPENDUID {validity} {}] (Success)", next + 1000),
            stored: false,
        },
    );
}

/// All that was delivered was delivered an hour ago: what the target took lately need not show yet.
fn let_an_hour_pass(env: &Route) {
    env.sql()
        .execute(
            "UPDATE message SET delivered_at = strftime('%Y-%m-%dT%H:%M:%SZ', delivered_at, '-1 hour') WHERE status = 'delivered'",
            [],
        )
        .unwrap();
}
