//! Several routes in one process, each between two stand-ins of its own: their configurations lie in one folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use gmail_stand_in::Options;
use serde_json::json;

use super::env::{SOURCE, TestEnv};
use super::route::{CHILD, Ran, ran};
use super::tree_env::Running;
use super::{again, eventually};

/// Mailboxes of several people, and the folder of their configurations.
pub(crate) struct Family {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) members: Vec<TestEnv>,
}

impl Family {
    pub(crate) fn of(names: &[&str]) -> Family {
        let mut family = Family {
            folder: tempfile::tempdir().unwrap(),
            members: Vec::new(),
        };
        for name in names {
            family.join(name);
        }
        family
    }

    /// Another one, whose accounts are `NAME@old.example` and `NAME@gmail.com`.
    pub(crate) fn join(&mut self, name: &str) -> &mut TestEnv {
        let env = member(name);
        self.members.push(env);
        self.publish(self.members.len() - 1);
        self.members.last_mut().unwrap()
    }

    /// Where the configuration of this one lies.
    pub(crate) fn file(&self, member: usize) -> PathBuf {
        self.folder.path().join(format!("{member}.json"))
    }

    /// Puts the configuration of this one, as it is now, into the folder.
    pub(crate) fn publish(&self, member: usize) {
        replace(&self.file(member), &self.config(member));
    }

    pub(crate) fn config(&self, member: usize) -> String {
        fs::read_to_string(self.members[member].config_file()).unwrap()
    }

    /// A message for this one, which comes.
    #[track_caller]
    pub(crate) fn gets_mail(&self, member: usize, id: &str) {
        let env = &self.members[member];
        let bytes = env.mail(id, "text");
        eventually(&format!("{id} comes to {member}"), || {
            env.target.messages().iter().any(|m| m.bytes == bytes)
        });
    }

    /// `run` over the whole folder.
    pub(crate) fn start(&self) -> Running {
        self.start_over(&[self.folder.path()])
    }

    /// `run` over these places.
    pub(crate) fn start_over(&self, places: &[&Path]) -> Running {
        self.start_with(places, &[])
    }

    /// The same, with these arguments besides.
    pub(crate) fn start_with(&self, places: &[&Path], more: &[&str]) -> Running {
        self.start_within(places, more, &[])
    }

    /// The same, with these variables of the environment besides.
    pub(crate) fn start_within(
        &self,
        places: &[&Path],
        more: &[&str],
        variables: &[(&str, &Path)],
    ) -> Running {
        let log = self.folder.path().join("family.log");
        let mut command = again("program");
        let mut args = vec!["imap-to-gmail", "run", "--log", log.to_str().unwrap()];
        for place in places {
            args.extend(["--config", place.to_str().unwrap()]);
        }
        args.extend(more);
        command
            .env(CHILD, json!(args).to_string())
            .env("TZ", "UTC")
            .envs(variables.iter().copied())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Running::of(command.spawn().unwrap(), log)
    }

    /// `run --once` over these places, to its end.
    pub(crate) fn run_once(&self, places: &[&Path]) -> Ran {
        let mut args = vec!["imap-to-gmail", "run", "--once", "--log", "stderr"];
        for place in places {
            args.extend(["--config", place.to_str().unwrap()]);
        }
        let mut command = again("program");
        command
            .env(CHILD, json!(args).to_string())
            .env("TZ", "UTC")
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        ran(command.output().unwrap())
    }
}

fn member(name: &str) -> TestEnv {
    let account = |options: Options, host: &str| Options {
        account: format!("{name}@{host}"),
        ..options
    };
    TestEnv::build()
        .source(account(Options::plain(SOURCE), "old.example"))
        .target(account(Options::default(), "gmail.com"))
        .start()
}

/// As programs write a file that others read.
pub(crate) fn replace(file: &Path, text: &str) {
    let draft = file.with_extension("draft");
    fs::write(&draft, text).unwrap();
    fs::rename(draft, file).unwrap();
}
