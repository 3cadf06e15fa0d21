//! A run that is looked at: `run --http` between two servers.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command};

use serde_json::Value;

use super::{get, send};
use crate::testkit::env::TestEnv;
use crate::testkit::family::{Family, replace};
use crate::testkit::{eventually, free_port};
use crate::words::WorkDir;

/// A run, ended when the test is.
struct Running(Child, SocketAddr);

impl Running {
    fn start(env: &TestEnv, http: &str, port: u16) -> Running {
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        let child = env.spawn_for_good(&["--http", http]);
        let running = Running(child, at);
        eventually("it listens", || TcpStream::connect(at).is_ok());
        running
    }

    /// SIGTERM, and what it had said.
    fn end(mut self) -> (Option<i32>, String) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        let mut log = String::new();
        let mut stderr = self.0.stderr.take().unwrap();
        stderr.read_to_string(&mut log).unwrap();
        (self.0.wait().unwrap().code(), log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_run_shows_what_it_does() {
    let env = TestEnv::new();
    env.mails(2);
    let port = free_port();
    let running = Running::start(&env, &port.to_string(), port);
    let at = running.1;
    eventually("it is healthy", || get(at, "/healthz").status == 200);
    eventually("two are delivered", || {
        get(at, "/")
            .body
            .contains("<dt>Delivered in all</dt><dd><b>2</b>")
    });
    env.mail("<new@example.org>", "new");
    eventually("and a third", || {
        get(at, "/metrics")
            .body
            .contains("imap_to_gmail_delivered_messages_total{route=\"")
            && get(at, "/")
                .body
                .contains("<dt>Delivered in all</dt><dd><b>3</b>")
    });
    let page = get(at, "/").body;
    assert!(
        page.contains(">Healthy</h1>") && page.contains("today: 3"),
        "{page}"
    );
    let (code, log) = running.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(
        log.contains(&format!(" INFO  the page is at http://127.0.0.1:{port}/\n")),
        "{log}"
    );
    assert!(!log.contains("WARN"), "{log}");
    // A connection of another test may have this port at the moment.
    eventually("its place is free", || TcpListener::bind(at).is_ok());
}

#[test]
fn every_route_is_shown_and_one_that_cannot_begin_says_why() {
    let family = Family::of(&["anna", "ben", "carla"]);
    replace(
        &family.file(1),
        "{\"source_server\": \"imap.example.org\",,}",
    );
    let port = free_port();
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    let _running = family.start_with(&[family.folder.path()], &["--http", &port.to_string()]);
    eventually("it listens", || TcpStream::connect(at).is_ok());
    family.gets_mail(0, "<1@anna>");
    family.gets_mail(2, "<1@carla>");
    eventually("each is shown", || {
        let page = get(at, "/").body;
        let all = ["anna@old.example", "1.json", "carla@old.example"];
        all.iter().all(|name| page.contains(name)) && page.contains("line 1, column 38")
    });
    let health = get(at, "/healthz");
    assert_eq!(health.status, 503, "{}", health.body);
    assert!(health.body.contains("1.json"), "{}", health.body);
    // Mended, it is one of the others.
    family.publish(1);
    eventually("all are well", || get(at, "/healthz").status == 200);
    let report: Value = serde_json::from_str(&get(at, "/status.json").body).unwrap();
    let sources = report["routes"].as_array().unwrap().iter();
    let mut sources: Vec<&str> = sources.map(|r| r["source"].as_str().unwrap()).collect();
    sources.sort_unstable();
    assert_eq!(sources.len(), 3, "{report}");
    for (source, name) in sources.iter().zip(["anna", "ben", "carla"]) {
        assert!(source.starts_with(name), "{report}");
    }
    let metrics = get(at, "/metrics").body;
    let up = metrics
        .lines()
        .filter(|line| line.starts_with("imap_to_gmail_route_healthy{") && line.ends_with(" 1"));
    assert_eq!(up.count(), 3, "{metrics}");
}

/// The ledger is read in the process that writes it. Its locks must outlive that: else another program that only looks takes
/// away the write-ahead log of the run (<https://www.sqlite.org/howtocorrupt.html>, 2.2).
#[test]
fn whoever_looks_lets_go_of_no_lock() {
    let env = TestEnv::new();
    env.mails(1);
    let port = free_port();
    let running = Running::start(&env, &port.to_string(), port);
    eventually("it is healthy", || get(running.1, "/healthz").status == 200);
    let log = format!("{}-wal", env.ledger_file().display());
    let file = |path: &str| std::fs::metadata(path).ok().map(|m| m.ino());
    let before = file(&log);
    assert!(before.is_some(), "no {log}");
    // Whoever has a ledger open shares a lock of it: the last one to close it takes the log away.
    let inode = std::fs::metadata(env.ledger_file()).unwrap().ino();
    let pid = running.0.id();
    let shared = || {
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        let held = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words[1] == "POSIX"
                && words[4] == pid.to_string()
                && words[5].ends_with(&format!(":{inode}"))
        };
        locks.lines().any(held)
    };
    // Another process opens and closes it besides.
    for _ in 0..3 {
        assert_eq!(get(running.1, "/metrics").status, 200);
        assert!(shared(), "the lock of the ledger is gone");
        assert_eq!(env.status()["running"], true);
    }
    assert_eq!(file(&log), before, "the log of the run was taken away");
    env.mail("<new@example.org>", "new");
    eventually("it goes on", || env.status()["delivered"] == 2);
    let (code, said) = running.end();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn that_others_can_read_it_is_said() {
    let env = TestEnv::new();
    let port = free_port();
    let running = Running::start(&env, &format!("0.0.0.0:{port}"), port);
    let at = running.1;
    let answer = |host: &str| {
        send(
            at,
            &format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        )
        .unwrap()
    };
    eventually("it is healthy", || answer("192.0.2.7:80").status == 200);
    assert_eq!(answer("evil.example").status, 421);
    let (_, log) = running.end();
    let warning = format!(
        " WARN  whoever reaches 0.0.0.0:{port} can read the page, without a password: it names the accounts, and says what arrives and when; 127.0.0.1 is for this machine alone\n"
    );
    assert!(log.contains(&warning), "{log}");
}

#[test]
fn a_place_that_cannot_be_had_is_said_and_nothing_begins() {
    let env = TestEnv::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let child = env.spawn_for_good(&["--http", &at.port().to_string()]);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let words = format!(
        "error: the page cannot be served at {at} (`--http`): Address already in use (os error 98)\n\nhint: another program listens there, perhaps another run: give `--http` another port\n"
    );
    assert!(
        output.status.code() == Some(1) && said.ends_with(&words),
        "{said}"
    );
}

#[test]
fn what_cannot_be_an_address_is_refused() {
    let desk = WorkDir::new();
    const HELP: &str =
        "`imap-to-gmail --help` shows the commands, `imap-to-gmail COMMAND --help` their options";
    for typed in [
        ":8080",
        "127.0.0.1",
        "http://127.0.0.1:8080",
        "0",
        "::1:8080",
    ] {
        desk.run(&["run", "--http", typed]).fails(
            2,
            &format!("invalid value '{typed}' for '--http <ADDRESS>': expected a port of this machine like 8080, or an address and a port like 192.168.1.5:8080, [::1]:8080 or 0.0.0.0:8080 (all addresses)"),
            HELP,
        );
    }
    for other in ["--once", "--dry-run"] {
        desk.run(&["run", "--http", "8080", other]).fails(
            2,
            &format!("the argument '--http <ADDRESS>' cannot be used with '{other}'"),
            HELP,
        );
    }
}
