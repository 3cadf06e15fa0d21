//! A private copy of a folder that `chroots.sh` made, and the processes that were started in it.

use std::collections::HashSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use tempfile::TempDir;

use super::daemon::tied;
use crate::testkit::{self, eventually};

/// Dropping it ends what runs there and removes it.
pub(crate) struct Root {
    dir: TempDir,
    /// What each program that runs here was started by; closing it ends the program's group.
    lifelines: Vec<(Child, Option<ChildStdin>)>,
}

impl Root {
    /// A copy of the folder with this name. None where it was not made, but a panic in CI.
    pub(crate) fn copy(name: &str) -> Option<Root> {
        let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/servers");
        let root = fs::metadata("/proc/self").unwrap().uid() == 0;
        if !root || !made.join(name).join("made-of").exists() {
            assert!(!testkit::in_ci(), "no {name}: run tests/chroots.sh");
            eprintln!(
                "{name} was not tried: it takes root, and what tests/chroots.sh makes in target/servers"
            );
            return None;
        }
        let dir = tempfile::Builder::new()
            .prefix("running.")
            .tempdir_in(&made)
            .unwrap();
        // Programs are shared with the folder copied, by hard links; `write` puts new files in their place.
        let copied = Command::new("cp")
            .arg("-alT")
            .args([made.join(name), dir.path().to_owned()])
            .status();
        assert!(copied.unwrap().success(), "{name} cannot be copied");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let root = Root {
            dir,
            lifelines: Vec::new(),
        };
        Some(root)
    }

    /// What is called `path` in there, as the test sees it.
    pub(crate) fn outside(&self, path: &str) -> PathBuf {
        self.dir.path().join(path.trim_start_matches('/'))
    }

    /// Puts a file there.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.outside(path);
        let _ = fs::remove_file(&path);
        fs::write(path, content).unwrap();
    }

    /// Makes a directory that belongs to this user.
    pub(crate) fn create_dir(&self, path: &str, owner: (u32, u32)) {
        let path = self.outside(path);
        fs::create_dir_all(&path).unwrap();
        chown(path, Some(owner.0), Some(owner.1)).unwrap();
    }

    /// A program in there, run to its end as this user (`name` or `name:group`) with these bytes as its input.
    pub(crate) fn feed(&self, user: &str, args: &[&str], input: &[u8]) {
        let mut command = Command::new("chroot");
        command
            .arg(format!("--userspec={user}"))
            .arg(self.dir.path());
        let output: Output = testkit::feed(command.args(args).env("LC_ALL", "C"), input);
        assert!(output.status.success(), "{args:?}: {output:?}");
    }

    /// Starts a program that stays in the foreground; it writes into `/log`.
    pub(crate) fn start(&mut self, args: &[&str], env: &[(&str, &str)]) {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.outside("/log"))
            .unwrap();
        let mut child = tied()
            .arg("chroot")
            .arg(self.dir.path())
            .args(args)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(env.iter().copied())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let lifeline = child.stdin.take();
        self.lifelines.push((child, lifeline));
    }

    /// Ends everything that runs there, first politely.
    pub(crate) fn stop(&mut self) {
        for (child, _) in &self.lifelines {
            signal("TERM", [child.id()]);
        }
        for (child, _) in &mut self.lifelines {
            child.wait().unwrap();
        }
        eventually("nothing runs there any more", || {
            let left = self.processes();
            signal("KILL", left.iter().copied());
            left.is_empty()
        });
        self.lifelines.clear();
    }

    /// Whose root directory this is: nobody else's but what was started here.
    fn processes(&self) -> HashSet<u32> {
        let mut found = HashSet::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let pid = entry.file_name().to_str().and_then(|pid| pid.parse().ok());
            let root = fs::read_link(entry.path().join("root"));
            if let (Some(pid), Ok(root)) = (pid, root)
                && root == self.dir.path()
            {
                found.insert(pid);
            }
        }
        found
    }

    /// What was logged, for the message of a failing test.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.outside("/log")).unwrap_or_default()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        self.stop();
    }
}

fn signal(name: &str, pids: impl IntoIterator<Item = u32>) {
    let pids: Vec<String> = pids.into_iter().map(|pid| pid.to_string()).collect();
    if !pids.is_empty() {
        let mut kill = Command::new("kill");
        let _ = kill
            .arg(format!("-{name}"))
            .args(pids)
            .stderr(Stdio::null())
            .status();
    }
}
