//! A source and a Gmail, both stand-ins, and a route between them.

use std::ops::{Deref, DerefMut};

use gmail_stand_in::{Gmail, Mail, Options, Place, Stored};
use serde_json::json;

use super::env::Route;

pub(crate) const DATE: &str = "Tue, 14 Nov 2023 22:13:20 +0000";

pub(crate) struct Stage {
    route: Route,
    pub(crate) source: Gmail,
    pub(crate) gmail: Gmail,
}

impl Deref for Stage {
    type Target = Route;

    fn deref(&self) -> &Route {
        &self.route
    }
}

impl DerefMut for Stage {
    fn deref_mut(&mut self) -> &mut Route {
        &mut self.route
    }
}

impl Stage {
    /// Gmail is entered with an app password.
    pub(crate) fn new() -> Stage {
        Stage::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Stage {
        let source = Gmail::start(Options::plain(
            "IMAP4rev1 LITERAL+ UIDPLUS IDLE SASL-IR AUTH=PLAIN",
        ));
        Stage::between(source, Gmail::start(options))
    }

    pub(crate) fn between(source: Gmail, gmail: Gmail) -> Stage {
        let route = Route::new(json!({
            "source_server": "localhost",
            "source_port": source.port(),
            "source_ca_file": source.ca_file(),
            "source_user": source.account(),
            "source_pass": source.password(),
            "target_server": "localhost",
            "target_port": gmail.port(),
            "target_ca_file": gmail.ca_file(),
            "target_user": gmail.account(),
            "target_pass": gmail.password(),
            "since": "all",
        }));
        Stage {
            route,
            source,
            gmail,
        }
    }

    /// A message in the source.
    pub(crate) fn mail(&self, id: &str, text: &str) -> Vec<u8> {
        let bytes = mail(id, DATE, text);
        self.source.add(Mail::new(&bytes));
        bytes
    }

    /// So many messages in the source.
    pub(crate) fn mails(&self, n: usize) {
        for i in 0..n {
            self.mail(&format!("<{i}@example.org>"), &format!("text {i}"));
        }
    }

    /// What Gmail holds that is neither in Spam nor in Trash.
    pub(crate) fn held(&self) -> Vec<Stored> {
        let mut all = self.gmail.messages();
        all.retain(|m| m.place == Place::Live);
        all
    }

    /// Every message of the source is in Gmail once.
    pub(crate) fn assert_complete(&self) {
        let mut want: Vec<Vec<u8>> = self
            .source
            .messages()
            .into_iter()
            .map(|m| m.bytes)
            .collect();
        let mut have: Vec<Vec<u8>> = self.gmail.messages().into_iter().map(|m| m.bytes).collect();
        want.sort();
        want.dedup();
        have.sort();
        assert_eq!(have.len(), want.len(), "{}", self.dump());
        assert!(have == want, "{}", self.dump());
        let open: i64 = self.one("SELECT count(*) FROM message WHERE status <> 'delivered'");
        assert_eq!(open, 0, "{}", self.dump());
    }
}

pub(crate) fn mail(id: &str, date: &str, text: &str) -> Vec<u8> {
    let mut out = String::from("From: Ann <ann@example.org>\r\nSubject: a test\r\n");
    for (name, value) in [("Message-ID", id), ("Date", date)] {
        if !value.is_empty() {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    format!("{out}\r\n{text}\r\n").into_bytes()
}
