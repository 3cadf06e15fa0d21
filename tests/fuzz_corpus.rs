//! Every input that the fuzzer was started with or that taught it something, through the same properties as there.
//!
//! `tests/fuzz/run` looks for more of them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

#[path = "fuzz/src/properties/mod.rs"]
mod properties;

/// Far more than any of them takes: what is quadratic takes longer.
const LIMIT: Duration = Duration::from_secs(10);

fn saved(target: &str) {
    // Memory is counted for the whole process.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _only = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let target = properties::TARGETS
        .iter()
        .find(|t| t.name == target)
        .unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/corpus")
        .join(target.name);
    let mut inputs = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let data = fs::read(&path).unwrap();
        let start = Instant::now();
        let result = std::panic::catch_unwind(|| properties::check(target, &data));
        assert!(result.is_ok(), "{}: see above", path.display());
        let took = start.elapsed();
        assert!(took < LIMIT, "{}: {took:?}", path.display());
        inputs += 1;
    }
    assert!(inputs > 2, "{inputs} inputs");
}

#[test]
fn session() {
    saved("session");
}

#[test]
fn reply() {
    saved("reply");
}

#[test]
fn refusal() {
    saved("refusal");
}

#[test]
fn header() {
    saved("header");
}

#[test]
fn shown() {
    saved("shown");
}

#[test]
fn size() {
    saved("size");
}

#[test]
fn config() {
    saved("config");
}

#[test]
fn client() {
    saved("client");
}

#[test]
fn token() {
    saved("token");
}

#[test]
fn state() {
    saved("state");
}

#[test]
fn each_target_has_a_corpus_and_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut folders: Vec<String> = fs::read_dir(root)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let mut targets: Vec<String> = properties::TARGETS
        .iter()
        .map(|t| t.name.to_string())
        .collect();
    targets.sort();
    assert_eq!(folders, targets);
    let this = include_str!("fuzz_corpus.rs");
    for target in targets {
        assert!(this.contains(&format!("saved(\"{target}\")")), "{target}");
    }
}
