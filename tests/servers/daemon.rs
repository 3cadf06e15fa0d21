//! The program as people have it: its release build, with its real intervals, running until it is told to end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use crate::common::world::Route;

/// Ended when dropped.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Its log goes on where one of the same route ended. `PROTOCOL=1` in the environment logs what is said.
    pub(crate) fn start(route: &Route, args: &[&str]) -> Daemon {
        let log = route.dir.path().join("log");
        let mut command = Command::new(release());
        command
            .args(["run", "--config"])
            .arg(route.config_file())
            .arg("--log")
            .arg(&log)
            .args(args)
            .current_dir(route.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if std::env::var_os("PROTOCOL").is_some() {
            command.arg("--debug");
        }
        Daemon {
            child: command.spawn().unwrap(),
            log,
        }
    }

    /// SIGTERM, and the exit status that follows.
    pub(crate) fn end(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        Command::new("kill").arg(pid).status().unwrap();
        self.child.wait().unwrap().code()
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The release binary, built from what lies here now.
fn release() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let built = Path::new(env!("CARGO_BIN_EXE_imap-to-gmail"));
        let target = built.ancestors().nth(2).unwrap();
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--release", "--locked"])
            .args(["--bin", "imap-to-gmail", "--target-dir"])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(status.unwrap().success(), "the release build");
        target.join("release/imap-to-gmail")
    })
}
