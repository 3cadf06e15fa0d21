//! A source and a target, stand-ins that speak plain text, and a route between them that can be led through a twist.

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use gmail_stand_in::{Gmail, Mail, Options};
use serde_json::json;

use crate::testkit::env::{Ran, Route};

/// What a run takes with servers that mean well, and what one hostile answer may add (`hostile_servers::bounds`).
const MEMORY_MAX: u64 = (40 + 128) << 10;

pub(crate) struct Stage {
    route: Route,
    pub(crate) source: Gmail,
    pub(crate) target: Gmail,
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

/// A run, and what it took.
pub(crate) struct Took {
    pub(crate) ran: Ran,
    pub(crate) time: Duration,
    pub(crate) peak_kb: u64,
}

impl Stage {
    /// The target is Gmail.
    pub(crate) fn new() -> Stage {
        Stage::with_target(Options::default())
    }

    /// The target is a server that takes whatever it is given.
    pub(crate) fn with_plain_target() -> Stage {
        Stage::with_target(Options {
            password: "secret".into(),
            ..Options::plain("IMAP4rev1 LITERAL- UIDPLUS IDLE SASL-IR AUTH=PLAIN")
        })
    }

    pub(crate) fn with_target(target: Options) -> Stage {
        let source = Gmail::start(Options {
            tls: false,
            ..Options::plain("IMAP4rev1 LITERAL+ UIDPLUS IDLE SASL-IR AUTH=PLAIN")
        });
        let target = Gmail::start(Options {
            tls: false,
            ..target
        });
        let route = Route::new(json!({
            "source_server": "localhost",
            "source_port": source.port(),
            "source_tls": "none",
            "source_user": source.account(),
            "source_pass": source.password(),
            "target_server": "localhost",
            "target_port": target.port(),
            "target_tls": "none",
            "target_user": target.account(),
            "target_pass": target.password(),
            "since": "all",
        }));
        Stage {
            route,
            source,
            target,
        }
    }

    pub(crate) fn port(&self, side: &str) -> u16 {
        match side {
            "source" => self.source.port(),
            _ => self.target.port(),
        }
    }

    pub(crate) fn mails(&self, n: usize) {
        self.mails_of("2023-11-14T22:13:20+00:00", n);
    }

    /// With this INTERNALDATE.
    pub(crate) fn mails_of(&self, date: &str, n: usize) {
        let date = chrono::DateTime::parse_from_rfc3339(date).unwrap();
        for i in 0..n {
            let text = format!(
                "From: Ann <ann@example.org>\r\nMessage-ID: <{i}@example.org>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\ntext {i}\r\n"
            );
            self.source.add(Mail::new(text).at(date));
        }
    }

    pub(crate) fn run_and_measure(&self, name: &str) -> Took {
        let start = Instant::now();
        let ran = self.run();
        let time = start.elapsed();
        let peak = std::fs::read_to_string(self.dir.path().join("peak"));
        let took = Took {
            ran,
            time,
            peak_kb: peak.ok().and_then(|p| p.trim().parse().ok()).unwrap_or(0),
        };
        println!(
            "{name}: status {}, {:.1} s, peak {} MB",
            took.ran.status,
            took.time.as_secs_f64(),
            took.peak_kb >> 10
        );
        took
    }

    /// Every message of the source is in the target once, and the ledger knows it.
    #[track_caller]
    pub(crate) fn assert_complete(&self) {
        let bodies = |server: &Gmail| {
            let mut all: Vec<Vec<u8>> = server.messages().into_iter().map(|m| m.bytes).collect();
            all.sort();
            all
        };
        assert!(
            bodies(&self.source) == bodies(&self.target),
            "{}",
            self.dump()
        );
        let open: i64 = self.one("SELECT count(*) FROM message WHERE status <> 'delivered'");
        assert_eq!(open, 0, "{}", self.dump());
    }

    #[track_caller]
    pub(crate) fn assert_nobody_charged(&self) {
        let charged: i64 =
            self.one("SELECT count(*) FROM message WHERE first_failed_at IS NOT NULL");
        assert_eq!(charged, 0, "{}", self.dump());
    }
}

impl Took {
    #[track_caller]
    pub(crate) fn assert_bounded(&self, name: &str) {
        assert!(self.peak_kb > 0, "{name}: {}", self.ran.err);
        assert!(self.peak_kb < MEMORY_MAX, "{name}: {} kB", self.peak_kb);
        assert!(
            self.time < Duration::from_secs(120),
            "{name}: {:?}",
            self.time
        );
        assert!(
            !self.ran.err.contains("panicked"),
            "{name}: {}",
            self.ran.err
        );
    }
}
