//! `run` without an end: mail that comes is delivered at once, whatever else happens meanwhile.

use std::io::Read as _;
use std::process::{Child, Command};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::testkit::dovecot::Dovecot;
use crate::testkit::dovecot_env::{ALICE, BOB, DovecotEnv, TOKEN};
use crate::testkit::env::TestEnv;
use crate::testkit::eventually;
use crate::testkit::proxy::Proxy;
use serde_json::json;

const T0: i64 = 1_700_000_000;

/// The program running, ended with SIGTERM when dropped.
struct Running {
    child: Child,
    /// What it writes, which is read all the time: a pipe that is full would stop it.
    log: Option<JoinHandle<String>>,
}

impl Running {
    fn start(env: &DovecotEnv, extra: &[&str]) -> Running {
        let mut child = env.spawn_for_good(extra);
        let mut stderr = child.stderr.take().unwrap();
        let log = thread::spawn(move || {
            let mut log = Vec::new();
            stderr.read_to_end(&mut log).unwrap();
            String::from_utf8(log).unwrap()
        });
        Running {
            child,
            log: Some(log),
        }
    }

    /// SIGTERM, and how it ended: exit status, what it wrote, and how long that took.
    fn end(mut self) -> (Option<i32>, String, Duration) {
        let begun = Instant::now();
        terminate(&self.child);
        let status = self.child.wait().unwrap();
        let took = begun.elapsed();
        (
            status.code(),
            self.log.take().unwrap().join().unwrap(),
            took,
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(log) = self.log.take() else {
            return;
        };
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let (true, Ok(log)) = (thread::panicking(), log.join()) {
            println!("{log}");
        }
    }
}

fn terminate(child: &Child) {
    let status = Command::new("kill")
        .arg(child.id().to_string())
        .status()
        .unwrap();
    assert!(status.success());
}

fn plant(env: &DovecotEnv, n: usize) {
    let date = "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n";
    let mail = format!("Message-ID: <{n}@x>\r\n{date}\r\ntext {n}\r\n");
    env.source.plant(ALICE, mail.as_bytes(), "", T0 + n as i64);
}

fn arrives(env: &DovecotEnv, count: usize) -> Duration {
    let begun = Instant::now();
    eventually("the mail arrives", || env.delivered().len() >= count);
    begun.elapsed()
}

#[test]
fn mail_that_comes_is_delivered_at_once_and_the_end_is_quick() {
    let Some(env) = TestEnv::dovecot() else {
        return;
    };
    plant(&env, 0);
    let running = Running::start(&env, &[]);
    arrives(&env, 1);
    // Dovecot tells of planted mail within half a second, but not of what is planted in the very moment
    // in which IDLE begins: that is seen by the look beside IDLE, after four.
    let mut times: Vec<Duration> = (1..6)
        .map(|n| {
            plant(&env, n);
            arrives(&env, n + 1)
        })
        .collect();
    times.sort();
    assert!(times[3] < Duration::from_secs(3), "{times:?}");
    let status = env.status();
    assert_eq!(
        (&status["running"], &status["trouble"]),
        (&json!(true), &json!(null)),
        "{status}"
    );
    let (code, log, took) = running.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(env.status()["running"], false);
    env.assert_complete();
}

#[test]
fn polling_serves_where_idle_is_not_wanted() {
    let Some(env) = TestEnv::dovecot() else {
        return;
    };
    let running = Running::start(&env, &["--no-idle", "--poll-interval", "1"]);
    for n in 0..3 {
        plant(&env, n);
        arrives(&env, n + 1);
    }
    assert_eq!(running.end().0, Some(0));
    env.assert_complete();
}

#[test]
fn either_side_may_go_away_and_come_back() {
    let Some(mut env) = TestEnv::dovecot() else {
        return;
    };
    let (source, target) = (
        Proxy::start(env.source.tls_port()),
        Proxy::start(env.target.tls_port()),
    );
    env.through("source", source.port());
    env.through("target", target.port());
    let running = Running::start(&env, &[]);
    let mut n = 0;
    for proxy in [&source, &target, &source, &target] {
        plant(&env, n);
        n += 1;
        arrives(&env, n);
        proxy.refuse(true);
        proxy.cut_all();
        plant(&env, n);
        n += 1;
        // It is said, and it passes.
        plant(&env, n);
        n += 1;
        eventually("the outage is noticed", || {
            proxy.connections() > 0 && env.status()["trouble"].is_object()
        });
        assert_eq!(env.status()["running"], true);
        proxy.refuse(false);
        arrives(&env, n);
        eventually("all is well again", || env.status()["trouble"].is_null());
    }
    let (code, log, _) = running.end();
    assert_eq!(code, Some(0), "{log}");
    env.assert_complete();
}

#[test]
fn three_hundred_messages_at_random_moments_through_cuts_and_restarts() {
    let Some(mut env) = TestEnv::dovecot() else {
        return;
    };
    let (source, target) = (
        Proxy::start(env.source.tls_port()),
        Proxy::start(env.target.tls_port()),
    );
    env.through("source", source.port());
    env.through("target", target.port());
    let running = Running::start(&env, &[]);
    for n in 0..300 {
        plant(&env, n);
        match n % 25 {
            5 => source.cut_all(),
            10 => target.cut_all(),
            15 => drop(env.source.kick(ALICE)),
            20 => target.cut_after(
                crate::testkit::proxy::Side::ToServer,
                fastrand::u64(0..5_000),
            ),
            _ => {}
        }
        if n % 75 == 30 {
            // The access token is replaced, as it is at Google every hour.
            let token = format!("ya29.number-{n}");
            let mut tokens = env.target.tokens.lock().unwrap();
            tokens.clear();
            tokens.insert(token.clone(), BOB.into());
            drop(tokens);
            env.write_token(&json!({"token": token}));
        }
        if n == 100 {
            env.target.restart();
        }
        if n == 200 {
            env.source.restart();
        }
        // Random moments are the point: they are drawn, not awaited.
        std::thread::sleep(Duration::from_millis(fastrand::u64(0..40)));
    }
    arrives(&env, 300);
    assert_eq!(running.end().0, Some(0));
    env.run_until_done(3);
    env.assert_complete();
}

#[test]
fn a_new_token_and_a_new_password_are_picked_up() {
    let Some(mut env) = TestEnv::dovecot() else {
        return;
    };
    let bob = env.target.tokens.lock().unwrap().remove(TOKEN).unwrap();
    let running = Running::start(&env, &[]);
    plant(&env, 0);
    eventually("a person is asked for", || {
        env.status_soon()["trouble"]["kind"] == "needs_user"
    });
    assert_eq!(env.status()["pending"], 1, "what comes is recorded");
    env.target
        .tokens
        .lock()
        .unwrap()
        .insert("ya29.another".into(), bob);
    env.write_token(&json!({"token": "ya29.another"}));
    arrives(&env, 1);
    env.set("source_pass", "wrong");
    plant(&env, 1);
    eventually("the source's password is asked for", || {
        env.status()["trouble"]["message"]
            .as_str()
            .is_some_and(|m| m.contains("refused ") && m.contains("(`source_pass`)"))
    });
    env.set("source_pass", "pw");
    arrives(&env, 2);
    assert_eq!(running.end().0, Some(0));
    env.assert_complete();
}

#[test]
fn one_token_file_may_serve_both_sides() {
    let both = || Dovecot::build().xoauth2(true);
    let Some(mut env) = TestEnv::dovecot_with(both(), both()) else {
        return;
    };
    let accept = |env: &DovecotEnv, token: &str| {
        for (server, user) in [(&env.source, ALICE), (&env.target, BOB)] {
            let mut tokens = server.tokens.lock().unwrap();
            tokens.clear();
            tokens.insert(token.into(), user.into());
        }
    };
    accept(&env, TOKEN);
    let file = env.dir.path().join("token.json");
    env.set("source_pass", json!(null))
        .set("source_token_file", file.to_str().unwrap());
    let running = Running::start(&env, &[]);
    plant(&env, 0);
    arrives(&env, 1);
    accept(&env, "ya29.another");
    env.source.kick(ALICE);
    env.target.kick(BOB);
    eventually("a person is asked for", || {
        env.status()["trouble"]["kind"] == "needs_user"
    });
    plant(&env, 1);
    env.write_token(&json!({"token": "ya29.another"}));
    arrives(&env, 2);
    eventually("all is well again", || env.status()["trouble"].is_null());
    assert_eq!(running.end().0, Some(0));
    env.assert_complete();
}

/// The mailbox is Dovecot's, the tokens are the stand-in's, whose names count up.
#[test]
fn the_sources_tokens_are_renewed_as_they_are_taken_back() {
    let Some(mut env) = TestEnv::dovecot_with(
        Dovecot::build().xoauth2(true),
        Dovecot::build().xoauth2(true),
    ) else {
        return;
    };
    let endpoint = gmail_stand_in::Gmail::start(gmail_stand_in::Options::outlook());
    let file = env.dir.path().join("source.json");
    let token = endpoint.token_json("EwB.run-out", Duration::ZERO);
    std::fs::write(&file, token).unwrap();
    env.set("source_pass", json!(null))
        .set("source_token_file", file.to_str().unwrap());
    for n in 0..40 {
        let token = format!("ya29.stand-in-bearer-{n:06}");
        let mut tokens = env.source.tokens.lock().unwrap();
        tokens.insert(token, ALICE.into());
    }
    let running = Running::start(&env, &[]);
    for n in 0..4 {
        plant(&env, n);
        arrives(&env, n + 1);
        let file: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let token = file["token"].as_str().unwrap();
        assert!(env.source.tokens.lock().unwrap().remove(token).is_some());
        env.source.kick(ALICE);
    }
    plant(&env, 4);
    arrives(&env, 5);
    let (code, log, _) = running.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains(" ERROR "), "{log}");
    let requests = endpoint.token_requests();
    assert_eq!(requests.len(), 5, "{log}");
    env.assert_complete();
}

#[test]
fn refused_mail_holds_up_nothing_and_a_second_process_is_told() {
    let Some(env) = TestEnv::dovecot_with(
        Dovecot::build(),
        Dovecot::build().xoauth2(true).max_mail_size("10k"),
    ) else {
        return;
    };
    let running = Running::start(&env, &[]);
    let big = format!("Message-ID: <big@x>\r\n\r\n{}", "x".repeat(20_000));
    env.source.plant(ALICE, big.as_bytes(), "", T0);
    plant(&env, 1);
    arrives(&env, 1);
    eventually("the refusal is written down", || {
        env.status()["failed"] == 1
    });
    let second = env.run();
    assert_eq!(second.status, 1);
    assert!(
        second
            .err
            .contains("another imap-to-gmail is running with this ledger"),
        "{}",
        second.err
    );
    assert_eq!(running.end().0, Some(0));
}

#[test]
fn a_quiet_time_writes_no_log_and_opens_nothing() {
    let Some(env) = TestEnv::dovecot_with(
        Dovecot::build().rawlog(true),
        Dovecot::build().xoauth2(true).rawlog(true),
    ) else {
        return;
    };
    plant(&env, 0);
    let running = Running::start(&env, &[]);
    arrives(&env, 1);
    eventually("the first look is over", || {
        !env.source.commands().is_empty()
    });
    // Several looks, and longer than sessions are kept.
    std::thread::sleep(Duration::from_secs(9));
    let (_, log, _) = running.end();
    let how_far = |l: &&str| l.contains(" of 1 message, ");
    let lines: Vec<&str> = log.lines().filter(|l| !how_far(l)).collect();
    // Three at the start, two of the first look, one of the message, two at the end.
    assert!(lines.len() <= 8, "{log}");
    let looks = env
        .source
        .commands()
        .iter()
        .filter(|c| c.contains("IDLE"))
        .count();
    assert!(
        (2..=4).contains(&looks),
        "{looks} IDLEs in 9 s with looks every 4 s"
    );
    assert!(
        env.target.commands().iter().any(|c| c.contains("LOGOUT")),
        "its session was let go"
    );
}

#[test]
fn uids_that_changed_their_meaning_unseen_by_the_watcher_are_noticed_at_the_fetch() {
    let Some(mut env) = TestEnv::dovecot() else {
        return;
    };
    let target = Proxy::start(env.target.tls_port());
    env.through("target", target.port());
    target.refuse(true);
    // Without Message-IDs nothing but UIDVALIDITY tells one from the other.
    env.source
        .plant(ALICE, b"Subject: x\r\n\r\nthe first", "", T0);
    let running = Running::start(&env, &["--no-idle", "--poll-interval", "86400"]);
    eventually("it is recorded", || env.status_soon()["pending"] == 1);
    let first = env.source.mailbox(ALICE, "INBOX")[0].uid;
    env.source.expunge(ALICE, "INBOX", first);
    env.source
        .plant(ALICE, b"Subject: y\r\n\r\nanother one", "", T0 + 5000);
    env.source.reset_uidvalidity(ALICE);
    target.refuse(false);
    arrives(&env, 1);
    eventually("the ledger knows", || {
        env.status()["pending"] == 0 && env.status()["in_flight"] == 0
    });
    assert_eq!(running.end().0, Some(0));
    let there = env.delivered();
    assert_eq!(
        (there.len(), there[0].internal_date),
        (1, T0 + 5000),
        "{}",
        env.dump()
    );
    let incarnations: i64 = env.one("SELECT count(*) FROM mailbox");
    assert_eq!(incarnations, 2, "{}", env.dump());
}

#[test]
fn the_system_is_told_that_all_is_well_and_what_is_not() {
    let Some(mut env) = TestEnv::dovecot() else {
        return;
    };
    let path = env.dir.path().join("notify");
    let system = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    system
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    env.variables
        .push(("NOTIFY_SOCKET", path.to_str().unwrap().into()));
    let bob = env.target.tokens.lock().unwrap().remove(TOKEN).unwrap();
    let running = Running::start(&env, &[]);
    let told = |wanted: &str| {
        let mut buffer = [0; 1000];
        let mut all = Vec::new();
        while !all.iter().any(|line: &String| line.contains(wanted)) {
            let len = system
                .recv(&mut buffer)
                .unwrap_or_else(|e| panic!("{wanted}: {e}; {all:?}"));
            all.push(String::from_utf8_lossy(&buffer[..len]).into_owned());
        }
    };
    told("READY=1");
    plant(&env, 0);
    told("STATUS=the target refused ");
    told("WATCHDOG=1");
    env.target.tokens.lock().unwrap().insert(TOKEN.into(), bob);
    told("STATUS=watching");
    arrives(&env, 1);
    assert_eq!(running.end().0, Some(0));
    told("STOPPING=1");
}

#[test]
fn the_python_scripts_command_line_works_as_it_stands() {
    let Some(env) = TestEnv::dovecot() else {
        return;
    };
    plant(&env, 0);
    let log = env.dir.path().join("sync.log");
    let mut child = Command::new(env!("CARGO_BIN_EXE_imap-to-gmail"))
        .args([
            "--config",
            "config.json",
            "--state-file",
            "sync_state.db",
            "--log",
        ])
        .arg(&log)
        .args([
            "--log-max-size",
            "10M",
            "--log-max-files",
            "5",
            "--debug",
            "--poll-interval",
            "60",
            "--no-idle",
        ])
        .current_dir(env.dir.path())
        .spawn()
        .unwrap();
    arrives(&env, 1);
    terminate(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains(" (INBOX UID 1, message 1, "), "{log}");
}
