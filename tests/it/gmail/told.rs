//! What a run tells whoever reads its log: what it does, what it waits for, and what is wrong, in lines that can be read
//! alone.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use gmail_stand_in::{Fault, On, Refusal};
use serde_json::json;

use crate::testkit::env::{DATE, TestEnv, mail};
use crate::testkit::{eventually, free_port};

/// The program without an end, and the lines of its log as they come.
pub(crate) struct Told {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Told {
    pub(crate) fn by(env: &TestEnv, extra: &[&str]) -> Told {
        Told::of(env.spawn_for_good(extra))
    }

    pub(crate) fn of(mut child: Child) -> Told {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (from, into) = (child.stderr.take().unwrap(), Arc::clone(&lines));
        let reader = thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                into.lock().unwrap().push(line);
            }
        });
        Told {
            child,
            lines,
            reader: Some(reader),
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// The sentences of the log so far, with their level.
    fn sentences(&self) -> Vec<String> {
        let lines = self.lines();
        let sentence = |l: &String| l.split_once("Z ").map(|(_, rest)| rest.to_string());
        lines.iter().filter_map(sentence).collect()
    }

    pub(crate) fn says(&self, what: &str) -> String {
        let mut found = None;
        let what = |s: &String| s.contains(what);
        eventually("it is said", || {
            found = self.sentences().into_iter().find(what);
            found.is_some()
        });
        found.unwrap()
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// SIGTERM; then its exit status and all that it said.
    pub(crate) fn end(self) -> (Option<i32>, Vec<String>) {
        self.signal("-TERM");
        self.ended()
    }

    fn ended(mut self) -> (Option<i32>, Vec<String>) {
        let status = self.child.wait().unwrap().code();
        self.reader.take().unwrap().join().unwrap();
        (status, self.sentences())
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("{}", self.lines().join("\n"));
        }
    }
}

#[test]
fn it_says_what_it_is_about_to_do_and_what_it_does() {
    let mut env = TestEnv::new();
    env.variables.push(("TZ", "UTC".into()));
    env.mails(2);
    let told = Told::by(&env, &[]);
    eventually("all is delivered", || env.status_soon()["delivered"] == 2);
    told.says("watching INBOX");
    let (status, said) = told.end();
    assert_eq!(status, Some(0));
    let (source, ledger) = (env.source.account(), env.ledger_file());
    let bytes = mail("<0@example.org>", DATE, "text 0").len();
    let version = env!("CARGO_PKG_VERSION");
    let begin = format!(
        "INFO  imap-to-gmail {version}: {source} into user@gmail.com, ledger {}",
        ledger.display()
    );
    // How far it is comes when it takes long, and the watcher and the deliverer wait for nobody.
    let is_new =
        |s: &&String| !s.contains(" of 2 messages, ") && !s.contains("delivered the mail of ");
    let mut rest: Vec<&str> = said.iter().filter(is_new).map(String::as_str).collect();
    let date = env.source.messages()[0].internal_date.to_utc();
    let date = date.format("%Y-%m-%d %H:%M UTC");
    let delivered = format!(
        "INFO  delivered the mail of {date}, {bytes} bytes (INBOX UID 1, message 1, <0@example.org>)"
    );
    assert!(said.contains(&delivered), "{delivered}\n{said:#?}");
    let watching = format!("INFO  watching INBOX of {source} (new mail is told by the server)");
    let done = format!("INFO  delivered 2 messages ({} bytes) in ", 2 * bytes);
    let last = rest.len() - 2;
    assert!(rest[last].starts_with(&done), "{said:#?}");
    rest.remove(last);
    assert_eq!(
        rest,
        [
            begin.as_str(),
            "INFO  first run: all mail is copied, and what comes from now on (`since` says how far back)",
            "INFO  first look at INBOX: 2 messages; taking over all of them",
            "INFO  2 messages to copy in INBOX",
            &watching,
            "INFO  stopped; the next run goes on from here",
        ]
    );
    // The next one knows what was before; where it is to look in intervals, it says how often.
    env.target.knobs(|k| k.append_limit = 200);
    env.mail("<small@x>", "");
    env.mail("<big@x>", &"x".repeat(200));
    assert_eq!(env.run().status, 3);
    let told = Told::by(&env, &["--no-idle", "--poll-interval", "90"]);
    told.says("watching INBOX");
    let (_, said) = told.end();
    assert_eq!(
        said[..2],
        [
            begin,
            "INFO  nothing waits, 3 messages delivered before, 1 failed".to_string(),
        ]
    );
    let watching = format!("INFO  watching INBOX of {source} (looked for every 90 s)");
    assert!(said.contains(&watching), "{said:#?}");
}

#[test]
fn what_waits_is_said_at_the_start() {
    let mut env = TestEnv::new();
    env.set("since", "2024-01-31");
    env.target.refuse_login(Refusal::InvalidCredentials, 99);
    env.source
        .add(gmail_stand_in::Mail::new(mail("<1@x>", DATE, "one")));
    let ran = env.run();
    for words in [
        " INFO  first run: what came since 2024-01-31 is copied, and what comes from now on (`since` says how far back)\n",
        " INFO  first look at INBOX: 1 message; taking over what came since 2024-01-31\n",
    ] {
        assert!(ran.err.contains(words), "{words} {}", ran.err);
    }
    assert_eq!(env.status()["pending"], 1);
    env.mail("<2@x>", "two");
    let ran = env.run();
    let words = " INFO  1 message waits, no messages delivered before\n";
    assert!(ran.err.contains(words), "{words} {}", ran.err);
}

#[test]
fn a_run_says_how_far_back_it_reaches_when_that_is_a_number_of_days() {
    let mut env = TestEnv::new();
    env.set("since", "7d");
    let ran = env.run();
    let words = " INFO  first run: what came in the last 7 days is copied, and what comes from now on (`since` says how far back)\n";
    assert!(ran.err.contains(words), "{}", ran.err);
    assert!(
        ran.err.contains(" INFO  no messages to copy in INBOX\n"),
        "{}",
        ran.err
    );
    assert!(
        ran.err.contains(" INFO  delivered no messages\n"),
        "{}",
        ran.err
    );
    let ran = env.run();
    assert!(
        ran.err.contains(" INFO  no new messages in INBOX\n"),
        "{}",
        ran.err
    );
}

/// Who mistyped the server's name mends it, and goes on with the ledger that is there.
#[test]
fn accounts_may_be_mended_until_the_first_look() {
    let mut env = TestEnv::new();
    env.set("source_server", "127.0.0.1")
        .set("source_port", free_port());
    let told = Told::by(&env, &[]);
    told.says("127.0.0.1:");
    let port = env.source.port();
    env.set("source_server", "localhost")
        .set("source_port", port);
    let unused = told.says("the changed configuration is not used");
    assert!(
        unused.contains("; hint: restart imap-to-gmail for it"),
        "{unused}"
    );
    told.end();
    env.mails(1);
    env.run_until_done(1);
    env.set("source_server", "127.0.0.1");
    let ran = env.run();
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert!(ran.err.contains("this ledger is for "), "{}", ran.err);
}

#[test]
fn a_server_that_cannot_be_reached_is_told_with_a_hint_and_again_after_a_while() {
    for side in ["source", "target"] {
        let mut env = TestEnv::new();
        let (key, port) = (format!("{side}_port"), free_port());
        let good = match side {
            "source" => env.source.port(),
            _ => env.target.port(),
        };
        env.set(&key, port);
        let told = Told::by(&env, &[]);
        let name = format!("localhost:{port}");
        let first = told.says(&name);
        assert!(first.starts_with("WARN  "), "{first}");
        assert!(first.contains("; next try in 0 s; hint: "), "{first}");
        let still = told.says("WARN  still, after ");
        assert!(
            still.contains(&name) && still.contains("; hint: "),
            "{still}"
        );
        let trouble = env.status()["trouble"].take();
        assert!(
            trouble["message"].as_str().unwrap().contains(&name),
            "{trouble}"
        );
        assert!(
            trouble["hint"]
                .as_str()
                .unwrap()
                .contains(&format!("`{side}_port` right")),
            "{trouble}"
        );
        env.set(&key, good);
        let well = told.says("all is well again");
        let part = match side {
            "source" => "INFO  watching: all is well again after ",
            _ => "INFO  delivering: all is well again after ",
        };
        assert!(well.starts_with(part), "{well}");
        told.end();
    }
}

#[test]
fn once_says_that_it_tries_again_and_until_when() {
    let mut env = TestEnv::new();
    env.set("target_port", free_port());
    let ran = env.run();
    assert_eq!(ran.status, 1, "{}", ran.err);
    let tries: Vec<&str> = ran
        .err
        .lines()
        .filter(|l| l.contains("trying again"))
        .collect();
    assert!(
        tries[0].contains("; trying again in 0 s, until 20"),
        "{}",
        ran.err
    );
    assert!(tries[0].contains("; hint: "), "{}", ran.err);
    assert!(tries.len() > 3, "{}", ran.err);
    assert!(
        tries[1..].iter().all(|l| !l.contains("hint")),
        "once is enough: {}",
        ran.err
    );
}

#[test]
fn no_line_has_a_stop_before_its_semicolon() {
    let env = TestEnv::new();
    let no = Fault::Answer("NO [AUTHENTICATIONFAILED] Authentication failed.".into());
    env.source.fault(On::each("AUTHENTICATE"), no.clone());
    env.target.fault(On::each("AUTHENTICATE"), no);
    let told = Told::by(&env, &[]);
    let mut both = Vec::new();
    eventually("both are said", || {
        both = told.sentences();
        both.retain(|s| s.contains("Authentication failed"));
        both.len() >= 2
    });
    for line in both {
        assert!(
            line.contains("Authentication failed; next try in "),
            "{line}"
        );
        assert!(!line.contains(".;"), "{line}");
    }
    told.end();
}

#[test]
fn a_configuration_that_is_not_used_is_a_trouble_until_it_is_mended() {
    let mut env = TestEnv::new();
    let told = Told::by(&env, &[]);
    told.says("watching INBOX");
    let good = std::fs::read_to_string(env.config_file()).unwrap();
    let other = |key: &str, value: &str| {
        let mut config: serde_json::Value = serde_json::from_str(&good).unwrap();
        config[key] = value.into();
        config.to_string()
    };
    let mut n = 0;
    for (bad, words) in [
        ("{\"source_user\": ".to_string(), "config.json"),
        (other("conections", "3"), "conections"),
        (
            other("source_user", "somebody@else"),
            "other accounts or servers",
        ),
        (other("state_file", "elsewhere.db"), "another ledger"),
    ] {
        std::fs::write(env.config_file(), bad).unwrap();
        let told_of = || {
            // The configuration may name another ledger now.
            let ledger = env.ledger_file();
            let ran = env.command(&["status", "--json", "--state-file", ledger.to_str().unwrap()]);
            assert_eq!(ran.status, 0, "{ran:?}");
            let status: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
            let all = status["routes"][0]["troubles"].clone();
            let all = all.as_array().unwrap().clone();
            all.into_iter().find(|t| t["part"] == "config")
        };
        eventually("it is a trouble", || {
            told_of().is_some_and(|t| t["message"].to_string().contains(words))
        });
        let trouble = told_of().unwrap();
        assert_eq!(trouble["kind"], "needs_user");
        let message = trouble["message"].as_str().unwrap();
        assert!(
            message
                .starts_with("the changed configuration is not used, the one before still holds: "),
            "{message}"
        );
        assert!(trouble["hint"].is_string(), "{trouble}");
        // Mail goes on by what was there before.
        n += 1;
        env.mail(&format!("<{n}@x>"), "goes on");
        eventually("it is delivered", || env.held().len() == n);
        assert!(told_of().is_some(), "and it is still said");
        std::fs::write(env.config_file(), &good).unwrap();
        eventually("it is mended", || told_of().is_none());
        told.says("INFO  the configuration: all is well again");
    }
    // Neither hides the other.
    let socket = json!("wrong");
    env.set("source_pass", socket);
    env.source.cut_connections();
    eventually("the source asks for a person", || {
        env.status()["trouble"]["kind"] == "needs_user"
    });
    std::fs::write(env.config_file(), "{}").unwrap();
    eventually("both are told", || {
        env.status()["troubles"].as_array().unwrap().len() == 2
    });
    std::fs::write(env.config_file(), &good).unwrap();
    eventually("all is well again", || {
        env.status()["troubles"] == json!([])
    });
    told.end();
}

/// What a terminal that is closed sends.
#[test]
fn a_hangup_ends_it_as_sigterm_does_where_the_log_is_no_file() {
    let env = TestEnv::new();
    let told = Told::by(&env, &[]);
    told.says("watching INBOX");
    told.signal("-HUP");
    let (status, said) = told.ended();
    assert_eq!(status, Some(0), "{said:#?}");
    assert_eq!(
        said.last().unwrap(),
        "INFO  stopped; the next run goes on from here"
    );
    assert_eq!(env.status()["running"], false);
    let ended: Option<String> = env.one("SELECT ended_at FROM heartbeat WHERE part = 'watch'");
    assert!(ended.is_some());
    // With a log file it goes on.
    let log = env.dir.path().join("log");
    let told = Told::by(&env, &["--log", log.to_str().unwrap()]);
    let text = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("it watches", || text().contains("watching INBOX"));
    std::fs::remove_file(&log).unwrap();
    told.signal("-HUP");
    env.mails(1);
    eventually("the log is a new one", || {
        text().contains("delivered the mail of ")
    });
    assert_eq!(told.end().0, Some(0));
}

/// `nohup` is there to outlive the terminal.
#[test]
fn a_hangup_that_is_ignored_stays_ignored() {
    let env = TestEnv::new();
    let plain = env.child(&[]);
    let mut command = Command::new("nohup");
    command
        .arg(plain.get_program())
        .args(plain.get_args())
        .current_dir(env.dir.path())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    for (key, value) in plain.get_envs() {
        command.env(key, value.unwrap());
    }
    let told = Told::of(command.spawn().unwrap());
    told.says("watching INBOX");
    told.signal("-HUP");
    env.mails(1);
    eventually("it goes on", || env.held().len() == 1);
    assert_eq!(told.end().0, Some(0));
}

#[test]
fn what_is_left_is_told_by_the_limit_of_a_day_and_what_is_kept_of_it() {
    let mut env = TestEnv::new();
    env.mails(20);
    let one = mail("<0@example.org>", DATE, "text 0").len();
    // Nine tenths of it, which is nine of the shorter half and fewer of the longer one.
    env.set("upload_limit_per_day", (10 * one).to_string());
    let told = Told::by(&env, &[]);
    let limit = told.says("the upload limit of ");
    assert!(
        limit.contains(&format!(
            "the upload limit of {:.1} kB in 24 hours (`upload_limit_per_day`) is reached; next try ",
            10.0 * one as f64 / 1e3
        )),
        "{limit}"
    );
    // One that is delivered and not counted yet may be left out while it goes on.
    eventually("what is left is told", || {
        told.sentences().iter().any(|s| {
            s.contains(" of 20 messages, ")
                && s.contains(", about 2 days left (`upload_limit_per_day`)")
        })
    });
    told.end();
}
