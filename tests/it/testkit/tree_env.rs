//! Where whole trees of mailboxes are copied: environments with a stand-in on one side and a Dovecot on the other, and the
//! program as a daemon whose log is kept for when its test fails.

use std::fs;
use std::process::{Child, Command, Stdio};

use gmail_stand_in::{Gmail, Options};

use super::dovecot::{self, Builder, Dovecot};
use super::dovecot_env::{ALICE, BOB};
use super::env::{SOURCE, TestEnv};
use super::route::{Account, Route};

/// What a source can do besides that has all that helps with many mailboxes.
pub(crate) const MANY: &str = "LIST-EXTENDED LIST-STATUS SPECIAL-USE CONDSTORE ENABLE NAMESPACE";

/// A source with these capabilities besides the usual ones.
pub(crate) fn source_with(more: &str) -> Options {
    Options::plain(&format!("{SOURCE} {more}"))
}

/// A Dovecot whose names have `.` between their levels, and begin with `INBOX.`.
pub(crate) fn dotted() -> Builder {
    Dovecot::build().extra("namespace inbox {\n  separator = .\n  prefix = INBOX.\n}")
}

impl TestEnv {
    /// Stand-ins on either side, and everything of the source is to be copied.
    pub(crate) fn of_all(source: Options) -> TestEnv {
        let mut env = TestEnv::build().source(source).start();
        env.set("folders", serde_json::json!(["*"]));
        env
    }
}

impl TestEnv<Dovecot, Gmail> {
    /// From a Dovecot into Gmail. None where there is no Dovecot.
    pub(crate) fn from_dovecot(source: Builder) -> Option<TestEnv<Dovecot, Gmail>> {
        dovecot::available().then(|| {
            let (source, target) = (source.start(), Gmail::start(Options::default()));
            let from = Account::on_dovecot(&source, ALICE);
            let mut route = Route::between(from, Account::on(&target));
            route.set("folders", serde_json::json!(["*"]));
            TestEnv {
                route,
                source,
                target,
            }
        })
    }
}

impl TestEnv<Gmail, Dovecot> {
    /// From a stand-in into a Dovecot.
    pub(crate) fn to_dovecot(target: Builder) -> Option<TestEnv<Gmail, Dovecot>> {
        dovecot::available().then(|| {
            let (source, target) = (Gmail::start(source_with(MANY)), target.start());
            let to = Account::on_dovecot(&target, BOB);
            let mut route = Route::between(Account::on(&source), to);
            route.set("folders", serde_json::json!(["*"]));
            TestEnv {
                route,
                source,
                target,
            }
        })
    }
}

/// The program, running until this is dropped.
pub(crate) struct Running {
    child: Child,
    log: std::path::PathBuf,
}

impl Running {
    pub(crate) fn start(route: &Route) -> Running {
        let log = route.dir.path().join("daemon.log");
        let child = route
            .child(&["--log", log.to_str().unwrap()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Running { child, log }
    }

    /// Of a program that was started otherwise, and logs there.
    pub(crate) fn of(child: Child, log: std::path::PathBuf) -> Running {
        Running { child, log }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it with SIGTERM. Its exit status.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.end()
    }

    fn end(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").arg(pid).status();
        self.child.wait().ok()?.code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            println!("{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}
