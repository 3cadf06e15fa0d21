//! A configuration of the program and its ledger, in a folder of their own on the disk.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::floor::Account;

const CONNECTIONS: usize = 4;

pub(crate) struct Route(TempDir);

impl Route {
    pub(crate) fn new(source: &Account, target: &Account) -> Route {
        Route::in_folder(source, target, std::env::temp_dir())
    }

    pub(crate) fn in_folder(source: &Account, target: &Account, folder: PathBuf) -> Route {
        let route = Route(tempfile::tempdir_in(folder).unwrap());
        route.configure(source, target);
        route
    }

    /// The same ledger, and servers that are elsewhere now.
    pub(crate) fn configure(&self, source: &Account, target: &Account) {
        let config = json!({
            "source_server": "localhost", "source_port": source.port, "source_ca_file": source.ca_file,
            "source_user": source.user, "source_pass": source.password,
            "target_server": "localhost", "target_port": target.port, "target_ca_file": target.ca_file,
            "target_user": target.user, "target_pass": target.password,
            "since": "all", "connections": CONNECTIONS,
        });
        fs::write(self.file("config.json"), config.to_string()).unwrap();
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn run_once(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imap-to-gmail"));
        command
            .args(["run", "--once", "--log"])
            .arg(self.file("log"))
            .arg("--config")
            .arg(self.file("config.json"))
            .stdout(Stdio::null());
        command
    }
}
