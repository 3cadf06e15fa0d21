//! Whom a run tells how it is: whether that can be done, without telling anybody anything.

use std::env;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::Finding;
use crate::config::{Draft, NotifyCommand};

pub(super) fn findings(draft: &Draft) -> Vec<Finding> {
    let ping = draft.ping_url.as_ref().map(|url| {
        Finding::ok(
            "ping_url",
            format!("while all is well, `run` calls {url} every 5 minutes; `check` does not, as that would say that all is well"),
        )
    });
    let command = draft.notify_command.as_ref().map(notify_command);
    ping.into_iter().chain(command).collect()
}

fn notify_command(command: &NotifyCommand) -> Finding {
    let name = "notify_command";
    let program = command.reveal().first().map_or("", String::as_str);
    match found(program) {
        Some(path) => Finding::ok(
            name,
            format!(
                "when something is wrong, `run` runs {}; `check` does not",
                path.display()
            ),
        ),
        None => Finding::warning(
            name,
            format!("`{command}` is no program that can be run from here"),
            "is it installed, and may it be executed? Give its whole path, like /usr/bin/curl; where `run` is a service or a container, it must be there",
        ),
    }
}

/// Where a program lies that the system would run under this name.
fn found(program: &str) -> Option<PathBuf> {
    let executable = |path: &Path| {
        path.metadata()
            .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| executable(path));
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|path| executable(path))
}
