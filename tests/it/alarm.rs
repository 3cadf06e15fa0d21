//! It says when it breaks: whole runs whose `ping_url` is a real HTTP server and whose `notify_command` is a real script.

mod bad_commands;
mod bad_monitors;
mod each_once;
mod restarts;
mod sign_in_age;
mod weeks;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::testkit::env::TestEnv;
use crate::testkit::eventually;
use crate::testkit::monitor::Monitor;

/// What nobody may see of an address.
pub(crate) const TOKEN: &str = "TU6UYXKALJ9hush";

/// What a document holds, in that order.
pub(crate) const KEYS: [&str; 11] = [
    "event",
    "message",
    "hint",
    "source",
    "target",
    "part",
    "kind",
    "since",
    "at",
    "host",
    "state_file",
];

/// A script in this folder.
pub(crate) fn script(folder: &Path, name: &str, lines: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

/// A run that pings this monitor, and whose command keeps what it is told in the route's folder.
pub(crate) fn watched(env: &mut TestEnv) -> Monitor {
    let monitor = Monitor::start();
    let url = monitor.url(&format!("/api/push/{TOKEN}?status=up&msg=OK&ping="));
    env.set("ping_url", url);
    script(env.dir.path(), "tell.sh", "exec cat >> told.json");
    env.set("notify_command", vec!["./tell.sh"]);
    monitor
}

/// What the command was told so far.
pub(crate) fn told(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("told.json")).unwrap_or_default();
    let documents = serde_json::Deserializer::from_str(&text).into_iter();
    // The last one may be only half there.
    documents.map_while(Result::ok).collect()
}

/// `trouble needs_user`, `over needs_user`
pub(crate) fn events(folder: &Path) -> Vec<String> {
    let told = told(folder);
    let text = |v: &Value| v.as_str().unwrap().to_string();
    let event = |v: &Value| format!("{} {}", text(&v["event"]), text(&v["kind"]));
    told.iter().map(event).collect()
}

pub(crate) fn eventually_told(env: &TestEnv, want: &[&str]) {
    eventually(&format!("told: {want:?}"), || {
        events(env.dir.path()).len() >= want.len()
    });
    assert_eq!(events(env.dir.path()), want);
}

pub(crate) fn trouble(env: &TestEnv) -> Value {
    env.status_soon()["trouble"].take()
}
