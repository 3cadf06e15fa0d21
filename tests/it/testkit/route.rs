//! A route to try the program on: a configuration and a ledger in a temporary folder, and the program run with them. What
//! it did is judged by looking into the ledger's file; into the mailboxes looks [`TestEnv`](super::env::TestEnv).

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use gmail_stand_in::Gmail;
use imap_to_gmail::config::Intervals;
use serde_json::{Map, Value, json};

use super::again;
use super::dovecot::Dovecot;

/// Holds the arguments when this test binary is to be the program itself, with short intervals.
pub(crate) const CHILD: &str = "IMAP_TO_GMAIL_TEST_ARGS";
/// A run that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A configuration, a ledger and the program run with them.
pub(crate) struct Route {
    pub(crate) dir: tempfile::TempDir,
    /// Given to the program.
    pub(crate) variables: Vec<(&'static str, String)>,
    config: Map<String, Value>,
}

/// An account on a server of this machine: what the configuration says of one side.
pub(crate) struct Account {
    port: u16,
    /// None: no TLS.
    ca_file: Option<PathBuf>,
    user: String,
    /// None: a token, which the route is told of itself.
    pass: Option<String>,
}

impl Account {
    /// The one of a stand-in that speaks TLS.
    pub(crate) fn on(server: &Gmail) -> Account {
        Account {
            port: server.port(),
            ca_file: Some(server.ca_file()),
            user: server.account().into(),
            pass: Some(server.password().into()),
        }
    }

    /// Of this user's on a Dovecot, where each has the same password.
    pub(crate) fn on_dovecot(server: &Dovecot, user: &str) -> Account {
        Account {
            port: server.tls_port(),
            ca_file: Some(server.ca_file.clone()),
            user: user.into(),
            pass: Some("pw".into()),
        }
    }

    pub(crate) fn without_tls(self) -> Account {
        Account {
            ca_file: None,
            ..self
        }
    }

    pub(crate) fn without_password(self) -> Account {
        Account { pass: None, ..self }
    }

    /// It is reached through a proxy on this port.
    pub(crate) fn through(self, port: u16) -> Account {
        Account { port, ..self }
    }

    fn write(self, side: &str, config: &mut Map<String, Value>) {
        let mut set = |key: &str, value: Value| config.insert(format!("{side}_{key}"), value);
        set("server", json!("localhost"));
        set("port", json!(self.port));
        match self.ca_file {
            Some(file) => set("ca_file", json!(file)),
            None => set("tls", json!("none")),
        };
        set("user", json!(self.user));
        if let Some(pass) = self.pass {
            set("pass", json!(pass));
        }
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

impl Route {
    /// Everything that the source has goes to the target.
    pub(crate) fn between(source: Account, target: Account) -> Route {
        let mut config = Map::new();
        for (side, account) in [("source", source), ("target", target)] {
            account.write(side, &mut config);
        }
        config.insert("since".into(), json!("all"));
        Route::new(Value::Object(config))
    }

    /// `config` lacks only what lies in the folder of the test: the ledger.
    pub(crate) fn new(config: Value) -> Route {
        let Value::Object(config) = config else {
            panic!("a configuration is an object")
        };
        let mut route = Route {
            dir: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
            config,
        };
        let ledger = route.ledger_file();
        route.set("state_file", ledger.to_str().unwrap());
        // Most tests count what the target holds; `notices` is about the mails that tell of failures.
        route.set("notices", false);
        route
    }

    /// Writes token.json and names it in the configuration.
    pub(crate) fn write_token(&mut self, token: &Value) {
        let path = self.dir.path().join("token.json");
        fs::write(&path, token.to_string()).unwrap();
        self.set("target_token_file", path.to_str().unwrap());
    }

    /// What stands in the configuration; null: nothing.
    pub(crate) fn key(&self, key: &str) -> Value {
        self.config.get(key).cloned().unwrap_or_default()
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
            .envs(self.variables.iter().map(|(k, v)| (*k, v)))
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

pub(crate) fn ran(output: Output) -> Ran {
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
        api: ms(10_000),
        api_patience: ms(20_000),
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
        fewer: ms(1_000),
        keep: ms(5_000),
        batch: ms(60_000),
        first_removal: ms(0),
        removal: (ms(1_000), ms(200)),
        removal_look: ms(5_000),
        gather: ms(1_500),
        heartbeat: ms(100),
        report: ms(300),
        configurations: ms(200),
        route_rest: (ms(200), ms(1_000)),
        alarm: ms(100),
        ping: ms(1_000),
        ping_limit: ms(2_000),
        lasting: ms(6_000),
        notify: ms(2_000),
        notify_again: (ms(1_000), ms(4_000)),
        farewell: ms(1_000),
        consent: ms(2_000),
    }
}

/// Waits for the end of a run; what it said where it has none.
pub(crate) fn ended(mut child: Child) -> Result<Ran, String> {
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            let hanging = ran(child.wait_with_output().unwrap());
            return Err(format!("hangs\n{}", hanging.err));
        }
        std::thread::sleep(Duration::from_millis(4));
    }
    Ok(ran(child.wait_with_output().unwrap()))
}

/// Waits for the end of a run that may be cut: its status where that is 0 or 3, or what was said of one that ended
/// otherwise or hangs.
pub(crate) fn wait_for_end(child: Child) -> Result<i32, String> {
    match ended(child)? {
        Ran {
            status: status @ (0 | 3),
            ..
        } => Ok(status),
        other => Err(format!("status {}\n{}", other.status, other.err)),
    }
}

/// The body of each test binary's test `program`: what [`Route::spawn`] starts. Without its arguments there is
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
