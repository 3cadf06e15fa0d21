//! The client of Gmail's API against the stand-in's, over HTTPS, and against servers that lie: what each answer, and each
//! answer that does not come, is taken for.

mod door;
mod hostile;
mod lost;
mod mail;

use std::time::Duration;

use gmail_stand_in::{Gmail, Options};
use imap_to_gmail::config::{Address, Endpoint, Intervals, Origin, Secret, Side, Tls};
use imap_to_gmail::target::api::{Api, Imported, Mail, Receipt};

/// A stand-in, the API's client, and a token.
pub(crate) struct Road {
    pub(crate) gmail: Gmail,
    pub(crate) api: Api,
    pub(crate) token: Secret<String>,
}

pub(crate) fn endpoint(gmail: Option<&Gmail>) -> Endpoint {
    Endpoint {
        host: "imap.gmail.com".into(),
        port: 993,
        tls: Tls::Implicit,
        ca_file: gmail.map(Gmail::ca_file),
        origin: Origin {
            side: Side::Target,
            ..Origin::default()
        },
    }
}

pub(crate) fn client(url: &str, gmail: Option<&Gmail>) -> Api {
    within(Duration::from_secs(10), url, gmail)
}

/// One that soon gives up, for a server that lets it wait in any case.
pub(crate) fn impatient(url: &str, gmail: Option<&Gmail>) -> Api {
    within(Duration::from_secs(3), url, gmail)
}

fn within(limit: Duration, url: &str, gmail: Option<&Gmail>) -> Api {
    let times = Intervals {
        connect: limit,
        api: limit,
        ..Intervals::default()
    };
    let base = Address::parse(url).unwrap();
    Api::new(base, &endpoint(gmail), &times).unwrap()
}

pub(crate) fn road() -> Road {
    let gmail = Gmail::start(Options::default());
    let token = Secret::new(gmail.issue_token(Duration::from_secs(3599)));
    let api = client(&gmail.api_url(), Some(&gmail));
    Road { gmail, api, token }
}

/// A message of about this size.
pub(crate) fn letter(id: &str, text: &str, size: usize) -> Vec<u8> {
    let line = format!("{text} {}\r\n", "x".repeat(66));
    let body = line.repeat(size / line.len() + 1);
    format!(
        "From: a@example.org\r\nSubject: s\r\nDate: Tue, 1 Jul 2025 10:00:00 +0000\r\nMessage-ID: <{id}>\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Goes as a resumable upload.
pub(crate) const LARGE: usize = 3 << 20;

impl Road {
    pub(crate) fn import(&self, body: &[u8]) -> Imported {
        let labels = ["INBOX", "UNREAD"].map(String::from);
        self.api.import(
            &self.token,
            &Mail {
                body,
                labels: &labels,
                never_mark_spam: false,
            },
        )
    }

    pub(crate) fn done(&self, body: &[u8]) -> Receipt {
        match self.import(body) {
            Imported::Done(receipt) => receipt,
            other => panic!("{other:?}"),
        }
    }
}
