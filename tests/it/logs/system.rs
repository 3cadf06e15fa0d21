//! What the system's log is told, and that the program waits for it never.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{command, run, spec};

/// The system's log, as a socket that the test listens at.
struct Daemon {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Daemon {
    fn listen(path: &Path) -> Daemon {
        let _ = fs::remove_file(path);
        let socket = UnixDatagram::bind(path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Daemon {
            socket,
            path: path.into(),
        }
    }

    fn hear(&self) -> String {
        let mut buffer = [0; 9000];
        let n = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..n].to_vec()).unwrap()
    }
}

#[test]
fn the_systems_log_gets_level_name_and_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::listen(&dir.path().join("log"));
    let mut spec = spec(Path::new("unused"));
    spec["socket"] = json!(daemon.path);
    spec["threads"] = json!(1);
    spec["lines"] = json!(60);
    spec["pause"] = json!(20);
    let child = command(&spec).spawn().unwrap();
    let pid = child.id();
    // Facility daemon, severity informational; "Nov  5 12:00:00"; no host, as libc has it.
    let line = daemon.hear();
    let after_time = line.strip_prefix("<30>").map(|l| l.split_at(16));
    let (time, rest) = after_time.unwrap_or_else(|| panic!("{line:?}"));
    let time: Vec<&str> = time.split_whitespace().collect();
    assert!(
        time.len() == 3 && time[0].len() == 3 && time[2].len() == 8,
        "{line:?}"
    );
    assert_eq!(rest, format!("imap-to-gmail[{pid}]: 0 0 0 ."));

    // It is started anew: the program finds it again, and says what it could not send.
    let path = daemon.path.clone();
    drop(daemon);
    thread::sleep(Duration::from_millis(200));
    let daemon = Daemon::listen(&path);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        err,
        format!(
            "imap-to-gmail: the system's log at {} takes no lines: Connection refused (os error 111); they are dropped until it does\n",
            path.display()
        )
    );
    drop(daemon);
}

#[test]
fn the_systems_log_may_be_started_anew_between_two_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let first = Daemon::listen(&path);
    let mut spec = spec(Path::new("unused"));
    spec["socket"] = json!(path);
    spec["threads"] = json!(1);
    spec["lines"] = json!(3);
    spec["pause"] = json!(500);
    let child = command(&spec).spawn().unwrap();
    assert!(first.hear().ends_with(": 0 0 0 ."));
    let second = Daemon::listen(&path);
    drop(first);
    assert!(second.hear().contains(": 0 0 1 -"));
    assert!(second.hear().contains(": 0 0 2 -"));
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_system_log_that_hangs_does_not_hold_up_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::listen(&dir.path().join("log"));
    let mut spec = spec(Path::new("unused"));
    spec["socket"] = json!(daemon.path);
    spec["lines"] = json!(5_000);
    let start = Instant::now();
    let output = run(&spec);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(err.lines().count(), 1, "{err}");
}
