//! The file of the log moved away: a hangup opens it anew, in the real program, and without one no line is lost.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::{command, mode, parsed, runs, spec};
use crate::testkit::eventually;

/// The real program with a server that says nothing, so that it runs until it is told to end.
struct Waiting {
    dir: tempfile::TempDir,
    child: Child,
    _connection: TcpStream,
}

impl Waiting {
    fn start(log: &str) -> Waiting {
        let dir = tempfile::tempdir().unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let config = json!({
            "source_server": "localhost", "source_port": server.local_addr().unwrap().port(), "source_tls": "none",
            "source_user": "u", "source_pass": "correct-horse-battery", "target_user": "t@gmail.com", "target_pass": "x",
        });
        fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        let child = Command::new("sh")
            .args([
                "-c",
                // Whoever started the tests may have had hangups ignored (nohup).
                "umask 000; exec env --default-signal=HUP \"$@\"",
                "sh",
                env!("CARGO_BIN_EXE_imap-to-gmail"),
            ])
            .args(["run", "--once", "--config", "config.json", "--log", log])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (connection, _) = server.accept().unwrap();
        Waiting {
            dir,
            child,
            _connection: connection,
        }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    fn end(self) -> (Output, tempfile::TempDir) {
        (self.child.wait_with_output().unwrap(), self.dir)
    }
}

#[test]
fn a_hangup_opens_the_file_anew() {
    let waiting = Waiting::start("imap.log");
    let log = waiting.dir.path().join("imap.log");
    let moved = waiting.dir.path().join("imap.log-20240501");
    assert_eq!(mode(&log), 0o600);
    fs::rename(&log, &moved).unwrap();
    waiting.signal("-HUP");
    eventually("the log under its name again", || log.exists());
    assert_eq!(mode(&log), 0o600);
    waiting.signal("-TERM");
    let (output, _dir) = waiting.end();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!((output.stdout, output.stderr), (vec![], vec![]));
    let text = fs::read_to_string(&log).unwrap();
    assert!(
        text.ends_with(" INFO  stopped; the next run goes on from here\n"),
        "{text}"
    );
    assert!(!fs::read_to_string(&moved).unwrap().contains("stopped"));
}

#[test]
fn a_pause_while_a_server_is_listened_to_loses_no_connection() {
    let waiting = Waiting::start("imap.log");
    let log = waiting.dir.path().join("imap.log");
    let stat = format!("/proc/{}/stat", waiting.child.id());
    for n in 0..5 {
        // As Ctrl-Z and `fg` do.
        waiting.signal("-STOP");
        eventually("a process that is stopped", || {
            fs::read_to_string(&stat).unwrap().contains(") T ")
        });
        waiting.signal("-CONT");
        fs::rename(&log, log.with_extension(n.to_string())).unwrap();
        waiting.signal("-HUP");
        eventually("the log under its name again", || log.exists());
    }
    waiting.signal("-TERM");
    let (output, dir) = waiting.end();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let files = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path());
    let logs = files.filter(|p| p.file_stem().is_some_and(|n| n == "imap"));
    let all: String = logs.map(|p| fs::read_to_string(p).unwrap()).collect();
    assert!(all.contains("stopped"), "{all}");
    assert!(!all.contains("trying again"), "{all}");
}

#[test]
fn without_a_file_a_hangup_ends_the_program() {
    let waiting = Waiting::start("stderr");
    waiting.signal("-HUP");
    let (output, _dir) = waiting.end();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("stopped; the next run"), "{log}");
}

/// No line is lost while somebody keeps moving the file away.
#[test]
fn lines_go_on_while_the_file_is_moved() {
    let env = tempfile::tempdir().unwrap();
    let log = env.path().join("log");
    let mut spec = spec(&log);
    spec["lines"] = json!(20_000);
    spec["max_size"] = json!(1 << 30);
    let mut child = command(&spec).spawn().unwrap();
    let mut moved = Vec::new();
    while child.try_wait().unwrap().is_none() {
        if log.exists() {
            let to = env.path().join(format!("moved{}", moved.len()));
            fs::rename(&log, &to).unwrap();
            moved.push(to);
        }
        thread::sleep(Duration::from_millis(2));
    }
    // Nobody told it: all lines are in the first one.
    assert_eq!(moved.len(), 1);
    let runs = runs(&parsed(&fs::read_to_string(&moved[0]).unwrap()));
    assert!(runs.values().all(|r| *r == (0, 19_999)), "{runs:?}");
}
