//! Every input that the fuzzer was started with, that broke something, or that taught it something, through the same
//! properties as there. Of each target the first two are the files of a folder, the others one archive beside it.
//!
//! `tests/fuzz/run` looks for more of them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

#[path = "fuzz/src/properties/mod.rs"]
mod properties;

/// Far more than any of them takes: what is quadratic takes longer.
const LIMIT: Duration = Duration::from_secs(10);

/// `least`: how many there were once; none is lost.
fn saved(target: &str, least: usize) {
    // Memory is counted for the whole process.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _only = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let target = properties::TARGETS
        .iter()
        .find(|t| t.name == target)
        .unwrap();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut inputs = 0;
    let mut check = |name: &Path, data: &[u8]| {
        let start = Instant::now();
        let result = std::panic::catch_unwind(|| properties::check(target, data));
        assert!(result.is_ok(), "{}: see above", name.display());
        let took = start.elapsed();
        assert!(took < LIMIT, "{}: {took:?}", name.display());
        inputs += 1;
    };
    for entry in fs::read_dir(corpus.join(target.name)).unwrap() {
        let path = entry.unwrap().path();
        check(&path, &fs::read(&path).unwrap());
    }
    let archive = fs::File::open(corpus.join(format!("{}.tar.zst", target.name))).unwrap();
    let mut archive = tar::Archive::new(zstd::Decoder::new(archive).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut data = Vec::new();
        entry.read_to_end(&mut data).unwrap();
        check(&entry.path().unwrap(), &data);
    }
    assert!(inputs >= least, "{inputs} inputs");
}

#[test]
fn session() {
    saved("session", 308);
}

#[test]
fn reply() {
    saved("reply", 304);
}

#[test]
fn refusal() {
    saved("refusal", 303);
}

#[test]
fn header() {
    saved("header", 304);
}

#[test]
fn shown() {
    saved("shown", 174);
}

#[test]
fn name() {
    saved("name", 190);
}

#[test]
fn size() {
    saved("size", 138);
}

#[test]
fn api() {
    saved("api", 30);
}

#[test]
fn config() {
    saved("config", 304);
}

#[test]
fn client() {
    saved("client", 13);
}

#[test]
fn token() {
    saved("token", 307);
}

#[test]
fn state() {
    saved("state", 303);
}

#[test]
fn each_target_has_a_corpus_and_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut folders: Vec<String> = fs::read_dir(root)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_string())
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
        assert!(this.contains(&format!("saved(\"{target}\", ")), "{target}");
    }
}
