//! A log that cannot be written, as on a full disk: it costs a sentence and the lines, and never the program.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::{CHILD, command, mode, parsed, run, runs, spec, texts};
use crate::testkit::eventually;

#[test]
fn a_device_that_is_always_full_costs_one_sentence() {
    let before = mode(Path::new("/dev/full"));
    let mut spec = spec(Path::new("/dev/full"));
    spec["lines"] = json!(500);
    let output = run(&spec);
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "imap-to-gmail: the log /dev/full cannot be written: No space left on device (os error 28); lines are dropped until it can\n"
    );
    assert_eq!(
        mode(Path::new("/dev/full")),
        before,
        "a device's rights stay"
    );
}

/// A limit on the size of files stops a write in the middle of a line, as a full disk does.
#[test]
fn a_line_that_did_not_fit_leaves_no_piece() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mut spec = spec(&log);
    spec["lines"] = json!(500);
    spec["threads"] = json!(1);
    let child = command(&spec);
    let output = Command::new("sh")
        // In blocks of 512 bytes; without the trap the signal would end the process.
        .args(["-c", "trap '' XFSZ; ulimit -f 10; exec \"$@\"", "sh"])
        .arg(child.get_program())
        .args(child.get_args())
        .env(CHILD, spec.to_string())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(err.matches("imap-to-gmail: the log").count(), 1, "{err}");
    let text = fs::read_to_string(&log).unwrap();
    assert!(
        text.len() > 4_800 && text.ends_with(".\n"),
        "{} bytes",
        text.len()
    );
    let (first, last) = parsed_gaps(&text);
    assert_eq!(first, 0);
    assert!(last < 499, "the rest was dropped");

    // There is room again.
    spec["round"] = json!(1);
    spec["lines"] = json!(1);
    run(&spec);
    assert!(fs::read_to_string(&log).unwrap().starts_with(&text));
}

/// First and last number; short lines may fit where a longer one did not.
fn parsed_gaps(text: &str) -> (u64, u64) {
    let numbers: Vec<u64> = parsed(
        &text
            .lines()
            .filter(|l| !l.contains("WARN"))
            .map(|l| format!("{l}\n"))
            .collect::<String>(),
    )
    .iter()
    .map(|l| l.2)
    .collect();
    assert!(numbers.is_sorted());
    (numbers[0], *numbers.last().unwrap())
}

/// A small disk of its own, where it may be mounted; it goes with the value.
struct Disk(tempfile::TempDir);

impl Disk {
    /// None where mounting is not permitted; the two tests above then stand alone.
    fn mount(size: &str) -> Option<Disk> {
        let disk = Disk(tempfile::tempdir().unwrap());
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(disk.0.path())
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|s| s.success()).then_some(disk)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_stops_the_log_and_not_the_program() {
    let Some(disk) = Disk::mount("256k") else {
        println!("mounting is not permitted");
        return;
    };
    let log = disk.0.path().join("log");
    let filler = disk.0.path().join("filler");
    fs::write(&filler, vec![0; 200 << 10]).unwrap();
    let mut spec = spec(&log);
    spec["threads"] = json!(2);
    spec["lines"] = json!(3_000);
    spec["pause"] = json!(1);
    spec["max_files"] = json!(100);
    // There is no room for so much.
    spec["max_size"] = json!(60 << 10);
    let child = command(&spec).spawn().unwrap();
    // Full: the size stays.
    let size = || fs::metadata(&log).map_or(0, |m| m.len());
    eventually("a full disk", || {
        let before = size();
        thread::sleep(Duration::from_millis(100));
        before > 40 << 10 && size() == before
    });
    fs::remove_file(&filler).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(
        err.contains("cannot be written: No space left on device (os error 28)"),
        "{err}"
    );
    let all = texts(&log).concat();
    let notes: Vec<&str> = all.lines().filter(|l| l.contains(" WARN ")).collect();
    let note = " WARN  the log lacks lines here that could not be written: ";
    let lacking: usize = notes
        .iter()
        .map(|l| l.split_once(note).unwrap().1.parse::<usize>().unwrap())
        .sum();
    assert!(lacking > 0);
    let numbered: String = all
        .lines()
        .filter(|l| !l.contains(" WARN "))
        .map(|l| format!("{l}\n"))
        .collect();
    let lines = parsed(&numbered);
    assert_eq!(
        lines.len() + lacking,
        6_000,
        "each line is there or counted"
    );
    for thread in 0..2 {
        let mine: Vec<u64> = lines
            .iter()
            .filter(|l| l.1 == thread)
            .map(|l| l.2)
            .collect();
        assert!(
            mine.is_sorted() && mine.last() == Some(&2_999),
            "thread {thread}"
        );
    }
    println!("{lacking} of 6000 lines did not fit");
}

/// NAME has become NAME.1, and there cannot be a new one.
#[test]
fn a_rotation_that_cannot_be_done_is_undone() {
    // The folder, NAME, and one that is taken.
    let Some(disk) = Disk::mount("1m,nr_inodes=3") else {
        println!("mounting is not permitted");
        return;
    };
    File::create(disk.0.path().join("taken")).unwrap();
    let log = disk.0.path().join("log");
    let mut spec = spec(&log);
    spec["lines"] = json!(500);
    spec["max_size"] = json!(1000);
    let output = run(&spec);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        err,
        format!(
            "imap-to-gmail: the log {} cannot be rotated: No space left on device (os error 28); it grows until it can\n",
            log.display()
        )
    );
    let all = texts(&log);
    assert_eq!(all.len(), 1);
    assert!(runs(&parsed(&all[0])).values().all(|r| *r == (0, 499)));
}
