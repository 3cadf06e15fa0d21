//! Mounts that only one command sees: a mount namespace of its own.

use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

/// `sh -c script` where it can mount what it likes; None where this machine lets nobody mount, which is said, and is a
/// failure in the project's own check.
pub(crate) fn in_private_mounts(script: &str) -> Option<Command> {
    let tried = tempfile::NamedTempFile::new().unwrap();
    let mut probe = unshared("mount --bind \"$0\" \"$0\"");
    let output = probe.arg(tried.path()).output();
    if output.as_ref().is_ok_and(|ran| ran.status.success()) {
        return Some(unshared(script));
    }
    assert!(!super::in_ci(), "nothing can be mounted here: {output:?}");
    eprintln!("not tried, because nothing can be mounted here: {output:?}");
    None
}

/// Root needs no user namespace, and in one the kernel refuses to bind a folder below which others have mounted.
fn unshared(script: &str) -> Command {
    let root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let mut command = Command::new("unshare");
    command.arg(if root { "-m" } else { "-rm" });
    command.args(["sh", "-c", script]);
    command
}
