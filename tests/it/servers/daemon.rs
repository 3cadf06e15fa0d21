//! The program as people have it: its release build, with its real intervals, running until it is told to end.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use crate::testkit::route::Route;

/// Becomes the program in a process group of its own. Beside it waits a shell for the end of the test, in whichever way
/// that ends, and kills the group; it is no child of the program's, which may wait for all it has.
const LAUNCHER: &str =
    "exec 3<&0; ( (read -r _ <&3; kill -KILL 0) & ); exec \"$@\" </dev/null 3<&-";

/// A command whose arguments are a program and its arguments. It ends with its input, which has to be held.
pub(crate) fn tied() -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", LAUNCHER, "sh"]);
    command.process_group(0).stdin(Stdio::piped());
    command
}

/// Ended when dropped.
pub(crate) struct Daemon {
    child: Child,
    _lifeline: Option<ChildStdin>,
    log: PathBuf,
}

impl Daemon {
    /// Its log goes on where one of the same route ended. `PROTOCOL=1` in the environment logs what is said.
    pub(crate) fn start(route: &Route, args: &[&str]) -> Daemon {
        let log = route.dir.path().join("log");
        let mut command = tied();
        command
            .arg(release())
            .args(["run", "--config"])
            .arg(route.config_file())
            .arg("--log")
            .arg(&log)
            .args(args)
            .current_dir(route.dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if std::env::var_os("PROTOCOL").is_some() {
            command.arg("--debug");
        }
        let mut child = command.spawn().unwrap();
        Daemon {
            _lifeline: child.stdin.take(),
            child,
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
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["build", "--quiet", "--release", "--locked"])
            .args(["--bin", "imap-to-gmail", "--target-dir"])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        // What Cargo tells this test of its own package: build scripts (ring's) ask to be run again where such variables
        // have changed, and all that depends on them would be compiled anew.
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                cargo.env_remove(name);
            }
        }
        assert!(cargo.status().unwrap().success(), "the release build");
        target.join("release/imap-to-gmail")
    })
}
