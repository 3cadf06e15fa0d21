//! A route to try: a source Dovecot, a target Dovecot, a configuration and a ledger in a temporary folder, and the
//! program run on them. What it did is judged by looking into the two mailboxes and the ledger's file.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use imap_to_gmail::config::Intervals;
use serde_json::{Map, Value, json};

use super::again;
use super::dovecot::{self, Builder, Dovecot, Stored};

/// The accounts at either end.
pub(crate) const ALICE: &str = "alice";
pub(crate) const BOB: &str = "bob";
/// Bob's access token.
pub(crate) const TOKEN: &str = "ya29.a0-the-access-token-of-bob";

/// Holds the arguments when this test binary is to be the program itself, with short intervals.
const CHILD: &str = "IMAP_TO_GMAIL_TEST_ARGS";

/// A configuration, a ledger and the program run with them.
pub(crate) struct Route {
    pub(crate) dir: tempfile::TempDir,
    /// Given to the program.
    pub(crate) env: Vec<(&'static str, String)>,
    config: Map<String, Value>,
}

pub(crate) struct World {
    route: Route,
    pub(crate) source: Dovecot,
    pub(crate) target: Dovecot,
}

impl Deref for World {
    type Target = Route;

    fn deref(&self) -> &Route {
        &self.route
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Route {
        &mut self.route
    }
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) out: String,
    /// Log and error.
    pub(crate) err: String,
}

impl World {
    /// None where there is no Dovecot.
    pub(crate) fn new() -> Option<World> {
        World::with(Dovecot::build(), Dovecot::build().xoauth2(true))
    }

    pub(crate) fn with(source: Builder, target: Builder) -> Option<World> {
        if !dovecot::available() {
            return None;
        }
        let (source, target) = (source.start(), target.start());
        target
            .tokens
            .lock()
            .unwrap()
            .insert(TOKEN.into(), BOB.into());
        let mut route = Route::new(json!({
            "source_server": "localhost",
            "source_port": source.tls_port(),
            "source_ca_file": source.ca_file,
            "source_user": ALICE,
            "source_pass": "pw",
            "target_server": "localhost",
            "target_port": target.tls_port(),
            "target_ca_file": target.ca_file,
            "target_user": BOB,
            "since": "all",
        }));
        route.write_token(&json!({"token": TOKEN, "refresh_token": "1//x"}));
        Some(World {
            route,
            source,
            target,
        })
    }

    pub(crate) fn delivered(&self) -> Vec<Stored> {
        self.target.mailbox(BOB, "INBOX")
    }
}

impl Route {
    /// `config` lacks only what lies in the folder of the test: the ledger.
    pub(crate) fn new(config: Value) -> Route {
        let Value::Object(config) = config else {
            panic!("a configuration is an object")
        };
        let mut route = Route {
            dir: tempfile::tempdir().unwrap(),
            env: Vec::new(),
            config,
        };
        let ledger = route.ledger_file();
        route.set("state_file", ledger.to_str().unwrap());
        route
    }

    /// Writes token.json and names it in the configuration.
    pub(crate) fn write_token(&mut self, token: &Value) {
        let path = self.dir.path().join("token.json");
        fs::write(&path, token.to_string()).unwrap();
        self.set("target_token_file", path.to_str().unwrap());
    }

    /// Changes a key of the configuration; null takes it out.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<Value>) -> &mut Route {
        match value.into() {
            Value::Null => self.config.remove(key),
            value => self.config.insert(key.into(), value),
        };
        self.write_config();
        self
    }

    /// Talks to a server through this port, without TLS, so that a proxy in between can read along.
    pub(crate) fn plain(&mut self, side: &str, port: u16) -> &mut Route {
        self.set(&format!("{side}_ca_file"), Value::Null)
            .set(&format!("{side}_tls"), "none")
            .set(&format!("{side}_port"), port)
    }

    /// Talks to a server through this port, with TLS.
    pub(crate) fn through(&mut self, side: &str, port: u16) -> &mut Route {
        self.set(&format!("{side}_port"), port)
    }

    fn write_config(&mut self) {
        fs::write(
            self.config_file(),
            Value::Object(self.config.clone()).to_string(),
        )
        .unwrap();
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.dir.path().join("config.json")
    }

    pub(crate) fn ledger_file(&self) -> PathBuf {
        match self.config.get("state_file").and_then(Value::as_str) {
            Some(path) => path.into(),
            None => self.dir.path().join("sync_state.db"),
        }
    }

    fn run_args(&self, extra: &[&str]) -> Vec<String> {
        let config = self.config_file().into_os_string().into_string().unwrap();
        let args = ["imap-to-gmail", "run", "--config", &config];
        let log: &[&str] = if extra.contains(&"--log") {
            &[]
        } else {
            &["--log", "stderr"]
        };
        let args = args.iter().chain(log).chain(extra);
        args.map(ToString::to_string).collect()
    }

    /// The program as a process of its own, with short intervals: `run --once`.
    pub(crate) fn spawn(&self, extra: &[&str]) -> Child {
        self.spawn_for_good(&[&["--once"], extra].concat())
    }

    /// As `spawn`, without `--once`.
    pub(crate) fn spawn_for_good(&self, extra: &[&str]) -> Child {
        self.child(extra)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// The program as `spawn_for_good` starts it, except for where its output goes.
    pub(crate) fn child(&self, extra: &[&str]) -> Command {
        let mut command = again("program");
        command
            .env(CHILD, json!(self.run_args(extra)).to_string())
            .env("TZ", "UTC")
            .envs(self.env.iter().map(|(k, v)| (*k, v)))
            .current_dir(self.dir.path());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run_with(&self, extra: &[&str]) -> Ran {
        ran(self.spawn(extra).wait_with_output().unwrap())
    }

    pub(crate) fn run(&self) -> Ran {
        self.run_with(&[])
    }

    /// Runs until a run ends with status 0, as a person would who calls it again; at most `most` times.
    pub(crate) fn run_until_done(&self, most: usize) -> usize {
        let mut last = String::new();
        for n in 1..=most {
            let ran = self.run();
            if ran.status == 0 {
                return n;
            }
            last = format!("status {}\n{}", ran.status, ran.err);
        }
        panic!(
            "not done after {most} runs; the last one: {last}\n{}",
            self.dump()
        );
    }

    /// The real binary with its real intervals, for what needs no waiting.
    pub(crate) fn command(&self, args: &[&str]) -> Ran {
        ran(Command::new(env!("CARGO_BIN_EXE_imap-to-gmail"))
            .args(args)
            // Times are told by the clock of the place.
            .env("TZ", "UTC")
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .output()
            .unwrap())
    }

    /// `status --json`'s only route.
    pub(crate) fn status(&self) -> Value {
        let ledger = self.ledger_file();
        let ran = self.command(&["status", "--json", "--state-file", ledger.to_str().unwrap()]);
        assert_eq!(ran.status, 0, "{ran:?}");
        serde_json::from_str::<Value>(&ran.out).unwrap()["routes"][0].take()
    }

    /// As `status`; null as long as there is no ledger to ask.
    pub(crate) fn status_soon(&self) -> Value {
        match self.command(&[
            "status",
            "--json",
            "--state-file",
            self.ledger_file().to_str().unwrap(),
        ]) {
            ran if ran.status == 0 => self.status(),
            _ => Value::Null,
        }
    }

    pub(crate) fn sql(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.ledger_file()).unwrap()
    }

    /// One value out of the ledger.
    pub(crate) fn one<T: rusqlite::types::FromSql>(&self, query: &str) -> T {
        self.sql().query_row(query, [], |r| r.get(0)).unwrap()
    }

    /// The ledger's rows, for a test that failed.
    pub(crate) fn dump(&self) -> String {
        let db = self.sql();
        let mut query = db
            .prepare(
                "SELECT id || ' uid ' || source_uid || ' ' || status || ' ' || coalesce(proof, '-') || ' attempt ' || attempt
                     || ' unseen ' || unseen || ' gmail ' || coalesce(gmail_uid, '-') || ' ' || coalesce(message_id, '-')
                     || ' ' || coalesce(last_error, '') FROM message ORDER BY id",
            )
            .unwrap();
        let rows: Vec<String> = query
            .query_map([], |r| r.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        rows.join("\n")
    }
}

impl World {
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

fn ran(output: Output) -> Ran {
    Ran {
        status: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Every interval of the program in test time.
pub(crate) fn quick() -> Intervals {
    let ms = Duration::from_millis;
    Intervals {
        connect: ms(5_000),
        greeting: ms(10_000),
        hush: ms(1_000),
        command: ms(10_000),
        append: ms(10_000),
        all_mail: ms(2_000),
        all_mail_again: ms(60_000),
        throttled: (ms(20), ms(200)),
        reconnect: (ms(10), ms(100)),
        once_patience: ms(5_000),
        late_commit: ms(300),
        late_commit_anonymous: ms(1_500),
        second_look: ms(300),
        backoff: (ms(1_000), ms(5_000)),
        give_up: ms(3_000),
        look: ms(4_000),
        reconcile: ms(60_000),
        needs_user: ms(2_000),
        pause: (ms(300), ms(1_000)),
        sign_in: ms(10_000),
        remind: (ms(500), ms(2_000)),
        keep: ms(5_000),
        batch: ms(60_000),
        heartbeat: ms(100),
        report: ms(300),
        farewell: ms(1_000),
        consent: ms(2_000),
    }
}

/// The body of each test binary's test `program`: what [`World::spawn`] starts. Without its arguments there is
/// nothing to be.
pub(crate) fn program() {
    let Ok(args) = std::env::var(CHILD) else {
        return;
    };
    let args: Vec<String> = serde_json::from_str(&args).unwrap();
    let status = imap_to_gmail::cli::main(args.into_iter().map(OsString::from), quick());
    if let Some(peak) = peak_memory() {
        let _ = fs::write("peak", peak);
    }
    std::process::exit(status.into());
}

/// Of this process so far, in kB.
fn peak_memory() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1).map(str::to_string)
}
