//! A source Dovecot, a target Dovecot and a route between them; and the judgement of what the target then holds.

use std::collections::HashMap;

use serde_json::json;

use super::dovecot::{self, Builder, Dovecot, Stored};
use super::env::TestEnv;
use super::route::{Account, Route};

/// The accounts at either end.
pub(crate) const ALICE: &str = "alice";
pub(crate) const BOB: &str = "bob";
/// Bob's access token.
pub(crate) const TOKEN: &str = "ya29.a0-the-access-token-of-bob";

/// What [`TestEnv::dovecot`] begins.
pub(crate) type DovecotEnv = TestEnv<Dovecot, Dovecot>;

impl TestEnv<Dovecot, Dovecot> {
    /// None where there is no Dovecot. The target is entered with a token.
    pub(crate) fn dovecot() -> Option<DovecotEnv> {
        TestEnv::dovecot_with(Dovecot::build(), Dovecot::build().xoauth2(true))
    }

    pub(crate) fn dovecot_with(source: Builder, target: Builder) -> Option<DovecotEnv> {
        if !dovecot::available() {
            return None;
        }
        let (source, target) = (source.start(), target.start());
        target
            .tokens
            .lock()
            .unwrap()
            .insert(TOKEN.into(), BOB.into());
        let mut route = Route::between(
            Account::on_dovecot(&source, ALICE),
            Account::on_dovecot(&target, BOB).without_password(),
        );
        route.write_token(&json!({"token": TOKEN, "refresh_token": "1//x"}));
        Some(TestEnv {
            route,
            source,
            target,
        })
    }

    pub(crate) fn delivered(&self) -> Vec<Stored> {
        self.target.mailbox(BOB, "INBOX")
    }

    /// Every message that the source serves is in the target once, byte for byte, with its date and flags, and the
    /// ledger says so; nothing else is there. Messages with the same bytes count as one.
    pub(crate) fn assert_complete(&self) {
        self.assert_complete_but("false");
    }

    /// As `assert_complete`, rows for which this holds left out.
    pub(crate) fn assert_complete_but(&self, left_out: &str) {
        let mut want: HashMap<Vec<u8>, Vec<Stored>> = HashMap::new();
        for m in self.source.mailbox(ALICE, "INBOX") {
            want.entry(as_appended(&m.bytes)).or_default().push(m);
        }
        let have = self.delivered();
        let mut seen: HashMap<Vec<u8>, usize> = HashMap::new();
        for m in &have {
            let bytes = as_appended(&m.bytes);
            *seen.entry(bytes.clone()).or_default() += 1;
            let sources = want.get(&bytes).unwrap_or_else(|| {
                panic!(
                    "the target has a message the source has not: {}",
                    difference(&m.bytes, want.keys())
                )
            });
            assert!(
                sources.iter().any(|s| s.internal_date == m.internal_date),
                "INTERNALDATE {} of {}, the source has {:?}",
                m.internal_date,
                start(&m.bytes),
                sources.iter().map(|s| s.internal_date).collect::<Vec<_>>()
            );
            assert!(
                sources
                    .iter()
                    .any(|s| carried(&s.flags) == carried(&m.flags)),
                "flags {:?} of {}, the source has {:?}",
                m.flags,
                start(&m.bytes),
                sources.iter().map(|s| &s.flags).collect::<Vec<_>>()
            );
        }
        for bytes in want.keys() {
            assert_eq!(
                seen.get(bytes).copied().unwrap_or(0),
                1,
                "copies of {} in the target\n{}",
                start(bytes),
                self.dump()
            );
        }
        let rows = format!("FROM message WHERE superseded_by IS NULL AND NOT ({left_out})");
        let open: i64 = self.one(&format!("SELECT count(*) {rows} AND status <> 'delivered'"));
        assert_eq!(open, 0, "rows not delivered:\n{}", self.dump());
        let rows: i64 = self.one(&format!("SELECT count(*) {rows}"));
        assert_eq!(
            rows as usize,
            want.values().map(Vec::len).sum::<usize>(),
            "rows\n{}",
            self.dump()
        );
    }
}

/// A message without what Dovecot 2.3 itself rewrites in an APPEND: it drops CRs before a CRLF (some, not all) and at
/// the very end. (NUL would become 0x80, but the source, a Dovecot too, serves it so already.) The rest is as it is.
pub(crate) fn as_appended(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for &b in bytes {
        while b == b'\n' && out.ends_with(b"\r\r") {
            out.pop();
        }
        out.push(b);
    }
    while out.ends_with(b"\r") {
        out.pop();
    }
    out
}

/// The flags that are carried over.
fn carried(flags: &[String]) -> Vec<&String> {
    flags
        .iter()
        .filter(|f| ["\\Seen", "\\Answered", "\\Flagged"].contains(&f.as_str()))
        .collect()
}

/// Where a message first differs from the one among `known` that it has most in common with.
fn difference<'a>(bytes: &[u8], known: impl Iterator<Item = &'a Vec<u8>>) -> String {
    let common = |k: &Vec<u8>| k.iter().zip(bytes).take_while(|(a, b)| a == b).count();
    let Some(nearest) = known.max_by_key(|k| common(k)) else {
        return start(bytes);
    };
    let at = common(nearest).saturating_sub(20);
    let from = |b: &[u8]| {
        b[at.min(b.len())..(at + 60).min(b.len())]
            .escape_ascii()
            .to_string()
    };
    format!(
        "{}\nthere: {}\nhere:  {}",
        start(bytes),
        from(nearest),
        from(bytes)
    )
}

fn start(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned()
}
