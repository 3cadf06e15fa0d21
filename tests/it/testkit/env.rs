//! Where the program is tried: a source, a target and a [`Route`] between them. Both are stand-ins here, the target for
//! Gmail; `dovecot_env` puts two Dovecots in their place.

use std::ops::{Deref, DerefMut};

use chrono::DateTime;
use gmail_stand_in::{Gmail, Mail, Options, Place, Stored};

use super::route::{Account, Route};

pub(crate) const DATE: &str = "Tue, 14 Nov 2023 22:13:20 +0000";
/// What a source can do that has all that the program makes use of.
pub(crate) const SOURCE: &str = "IMAP4rev1 LITERAL+ UIDPLUS IDLE SASL-IR AUTH=PLAIN";

pub(crate) struct TestEnv<Source = Gmail, Target = Gmail> {
    pub(super) route: Route,
    pub(crate) source: Source,
    pub(crate) target: Target,
}

impl<Source, Target> Deref for TestEnv<Source, Target> {
    type Target = Route;

    fn deref(&self) -> &Route {
        &self.route
    }
}

impl<Source, Target> DerefMut for TestEnv<Source, Target> {
    fn deref_mut(&mut self) -> &mut Route {
        &mut self.route
    }
}

/// What a [`TestEnv`] of stand-ins is to be.
pub(crate) struct Builder {
    source: Options,
    target: Options,
    tls: bool,
}

impl Builder {
    pub(crate) fn source(self, source: Options) -> Builder {
        Builder { source, ..self }
    }

    pub(crate) fn target(self, target: Options) -> Builder {
        Builder { target, ..self }
    }

    /// The target is not Gmail: it takes whatever it is given.
    pub(crate) fn plain_target(self) -> Builder {
        self.target(Options {
            password: "secret".into(),
            ..Options::plain("IMAP4rev1 LITERAL- UIDPLUS IDLE SASL-IR AUTH=PLAIN")
        })
    }

    /// Both sides speak plain text, so that a proxy in between can read along and speak for them.
    pub(crate) fn without_tls(self) -> Builder {
        Builder { tls: false, ..self }
    }

    pub(crate) fn start(self) -> TestEnv {
        let tls = self.tls;
        let start = |options: Options| {
            let server = Gmail::start(Options {
                tls: options.tls && tls,
                ..options
            });
            let account = Account::on(&server);
            (server, if tls { account } else { account.without_tls() })
        };
        let (source, from) = start(self.source);
        let (target, to) = start(self.target);
        TestEnv {
            route: Route::between(from, to),
            source,
            target,
        }
    }
}

impl TestEnv {
    /// Gmail is entered with an app password.
    pub(crate) fn new() -> TestEnv {
        TestEnv::build().start()
    }

    pub(crate) fn build() -> Builder {
        Builder {
            source: Options::plain(SOURCE),
            target: Options::default(),
            tls: true,
        }
    }

    /// Of "source" or "target".
    pub(crate) fn port(&self, side: &str) -> u16 {
        match side {
            "source" => self.source.port(),
            _ => self.target.port(),
        }
    }

    /// A message in the source.
    pub(crate) fn mail(&self, id: &str, text: &str) -> Vec<u8> {
        let bytes = mail(id, DATE, text);
        self.source.add(Mail::new(&bytes));
        bytes
    }

    /// So many messages in the source, of this moment.
    pub(crate) fn mails(&self, n: usize) {
        for i in 0..n {
            self.mail(&format!("<{i}@example.org>"), &format!("text {i}"));
        }
    }

    /// So many messages in the source, with this INTERNALDATE.
    pub(crate) fn mails_of(&self, date: &str, n: usize) {
        let date = DateTime::parse_from_rfc3339(date).unwrap();
        for i in 0..n {
            let bytes = mail(&format!("<{i}@example.org>"), DATE, &format!("text {i}"));
            self.source.add(Mail::new(bytes).at(date));
        }
    }

    /// So many messages in the source, as old as their Date header says.
    pub(crate) fn old_mails(&self, n: usize) {
        self.mails_of("2023-11-14T22:13:20+00:00", n);
    }

    /// What the target holds that is neither in Spam nor in Trash.
    pub(crate) fn held(&self) -> Vec<Stored> {
        let mut all = self.target.messages();
        all.retain(|m| m.place == Place::Live);
        all
    }

    /// Every message of the source is in the target once, equal ones as one, and the ledger knows it.
    #[track_caller]
    pub(crate) fn assert_complete(&self) {
        let bodies = |server: &Gmail| {
            let mut all: Vec<Vec<u8>> = server.messages().into_iter().map(|m| m.bytes).collect();
            all.sort();
            all
        };
        let (mut want, have) = (bodies(&self.source), bodies(&self.target));
        want.dedup();
        assert_eq!(have.len(), want.len(), "{}", self.dump());
        assert!(have == want, "{}", self.dump());
        let open: i64 = self.one("SELECT count(*) FROM message WHERE status <> 'delivered'");
        assert_eq!(open, 0, "{}", self.dump());
    }

    #[track_caller]
    pub(crate) fn assert_nobody_failed(&self) {
        let failed: i64 = self.one("SELECT count(*) FROM message WHERE status = 'failed'");
        assert_eq!(failed, 0, "{}", self.dump());
    }

    #[track_caller]
    pub(crate) fn assert_nobody_charged(&self) {
        let charged: i64 =
            self.one("SELECT count(*) FROM message WHERE first_failed_at IS NOT NULL");
        assert_eq!(charged, 0, "{}", self.dump());
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
