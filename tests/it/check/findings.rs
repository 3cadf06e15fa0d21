//! An environment on which everything is right, the program's `check` on it, and what it found.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use gmail_stand_in::{Gmail, Options};
use serde_json::Value;

use crate::testkit::env::TestEnv;
use crate::testkit::route::Ran;

/// The findings that there are in any case, where Gmail is entered with a token.
const NAMES: &[&str] = &[
    "configuration",
    "permissions",
    "ledger",
    "disk",
    "target_token",
    "clock",
    "source_address",
    "source_connection",
    "source_sign_in",
    "source_mailbox",
    "source_idle",
    "target_address",
    "target_connection",
    "target_sign_in",
    "target_mailbox",
    "target_copies",
    "target_uidplus",
    "target_size_limit",
];

/// What a client says that could change something.
const WRITES: &[&str] = &[
    "APPEND",
    "COPY",
    "CREATE",
    "DELETE",
    "EXPUNGE",
    "MOVE",
    "RENAME",
    "SELECT",
    "STORE",
    "SUBSCRIBE",
];

/// An environment with everything right: three messages in the source, Gmail entered with a token that can be renewed.
pub(crate) fn right() -> TestEnv {
    right_with(Options::default())
}

pub(crate) fn right_with(target: Options) -> TestEnv {
    let mut env = TestEnv::build().target(target).start();
    fs::set_permissions(env.dir.path(), Permissions::from_mode(0o700)).unwrap();
    env.mails(3);
    let token = env.target.issue_token(Duration::from_secs(3600));
    let token = env.target.token_json(&token, Duration::from_secs(3600));
    env.set("target_pass", Value::Null);
    env.write_token(&serde_json::from_str(&token).unwrap());
    env
}

/// Another server is the source.
pub(crate) fn other_source(env: &mut TestEnv, options: Options) {
    env.source = Gmail::start(options);
    let (port, ca_file) = (env.source.port(), env.source.ca_file());
    env.set("source_port", port)
        .set("source_ca_file", ca_file.to_str().unwrap());
}

/// What one check found.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) status: i32,
    findings: Vec<Value>,
}

/// Checks, and makes sure that nothing was changed by it and that nothing is left out.
pub(crate) fn check(env: &TestEnv) -> Checked {
    let before = contents(env.dir.path());
    let lines = (env.source.lines(), env.target.lines());
    let ran = env.command(&["check", "--config", "config.json", "--json"]);
    assert_eq!(contents(env.dir.path()), before, "something was changed");
    for transcript in [
        env.source.transcript().after(lines.0),
        env.target.transcript().after(lines.1),
    ] {
        for said in transcript.client() {
            let mut words = said.split(' ').skip(1).map(str::to_uppercase);
            assert!(!words.any(|w| WRITES.contains(&&*w)), "{said}");
        }
    }
    let checked = Checked::read(&ran);
    let names = checked.names();
    for name in NAMES {
        assert!(names.contains(name), "{name} is left out: {names:?}");
    }
    checked
}

impl Checked {
    pub(crate) fn read(ran: &Ran) -> Checked {
        assert_eq!(ran.err, "");
        let mut all: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
        let findings: Vec<Value> = all["checks"].as_array_mut().unwrap().drain(..).collect();
        for finding in &findings {
            // What is wrong comes with its mend.
            let needs_hint = matches!(finding["result"].as_str(), Some("problem" | "warning"));
            let hint = finding["hint"].as_str();
            assert_eq!(needs_hint, hint.is_some_and(|h| !h.is_empty()), "{finding}");
        }
        Checked {
            status: ran.status,
            findings,
        }
    }

    fn names(&self) -> Vec<&str> {
        self.findings
            .iter()
            .map(|f| f["name"].as_str().unwrap())
            .collect()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.names().contains(&name)
    }

    /// What stands before the other is found before it.
    #[track_caller]
    pub(crate) fn in_order(&self, first: &str, then: &str) {
        let names = self.names();
        let at = |name: &str| names.iter().position(|n| *n == name);
        assert!(at(first).is_some() && at(first) < at(then), "{names:?}");
    }

    /// What is not in order, by name.
    pub(crate) fn amiss(&self) -> Vec<String> {
        let amiss = self.findings.iter().filter(|f| f["result"] != "ok");
        let mut amiss: Vec<String> = amiss
            .map(|f| format!("{} {}", text(&f["name"]), text(&f["result"])))
            .collect();
        amiss.sort();
        amiss
    }

    #[track_caller]
    pub(crate) fn message(&self, name: &str) -> &str {
        let found = self.findings.iter().find(|f| f["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {self:#?}"))["message"]
            .as_str()
            .unwrap()
    }

    /// Exactly these findings are not ok: the first for this reason and with this mend; the others were not tried.
    #[track_caller]
    pub(crate) fn finds(&self, status: i32, amiss: &[&str], cause: &str, mend: &str) {
        let mut amiss = amiss.to_vec();
        amiss.sort_unstable();
        assert_eq!(self.amiss(), amiss, "{self:#?}");
        assert_eq!(self.status, status, "{self:#?}");
        let first = self.findings.iter().find(|f| f["result"] != "ok").unwrap();
        assert!(text(&first["message"]).contains(cause), "{first:#}");
        assert!(text(&first["hint"]).contains(mend), "{first:#}");
        for skipped in self.findings.iter().filter(|f| f["result"] == "skipped") {
            assert!(
                text(&skipped["message"]).starts_with("not checked: "),
                "{skipped}"
            );
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Each file below a folder: what is in it, and what a write or a rename would change. `-shm` holds who reads a ledger
/// at this moment, and nothing of what is in it.
pub(crate) fn contents(folder: &Path) -> BTreeMap<String, (Vec<u8>, u64, i64, u32)> {
    let mut out = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (name, meta) = (
            entry.file_name().into_string().unwrap(),
            entry.metadata().unwrap(),
        );
        let seen = if meta.is_file() && !name.ends_with("-shm") {
            (
                fs::read(entry.path()).unwrap(),
                meta.ino(),
                meta.mtime_nsec(),
                meta.mode(),
            )
        } else {
            (Vec::new(), meta.ino(), 0, meta.mode())
        };
        out.insert(name, seen);
    }
    out
}
