//! What each verb of the ledger costs with 1,000,000 messages and as many entries of the target
//! index, and how much more that is than with 10,000 of each: `cargo bench --bench ledger`.
//!
//! Times wobble; pages that were read from and written to the file hardly do. What is said to be
//! flat costs the same however much the ledger holds; what is linear grows with what it returns or
//! changes. One other argument than `--bench` is the number of messages to use in place of 1,000,000.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod beginning;
mod daily;
mod delivery;
mod generated;

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use imap_to_gmail::error::{Error, Fault};
use imap_to_gmail::folder::FolderId;
use imap_to_gmail::ledger::{Change, Claim, Ledger, Route};
use imap_to_gmail::message::{Time, parse_time};

use generated::{generate, sizes};

const SMALL: u32 = 10_000;
const LARGE: u32 = 1_000_000;
const INBOX: FolderId = FolderId(1);
const ALL_MAIL: &str = "[Gmail]/All Mail";

fn main() {
    let large = std::env::args()
        .skip(1)
        .find_map(|a| a.parse().ok())
        .unwrap_or(LARGE);
    let small = bench(SMALL);
    let big = bench(large);
    println!(
        "{:<52} {:>10} {:>10} {:>7}   {:>7} {:>8} {:>8}   {:>7}  should be",
        "", "ms", "ms", "ratio", "read", "read", "written", "peak MB"
    );
    println!(
        "{:<52} {:>10} {:>10} {:>7}   {:>7} {:>8} {:>8}   {:>7}",
        "messages:", SMALL, large, "", SMALL, large, large, large
    );
    for (a, b) in small.iter().zip(&big) {
        let ms = |t: Duration| t.as_secs_f64() * 1000.0;
        println!(
            "{:<52} {:>10.3} {:>10.3} {:>7.1}   {:>7} {:>8} {:>8}   {:>7.1}  {}",
            b.what,
            ms(a.time),
            ms(b.time),
            ms(b.time) / ms(a.time),
            a.read,
            b.read,
            b.written,
            b.peak as f64 / 1024.0,
            b.growth
        );
    }
}

/// One line of the table.
struct Figure {
    what: &'static str,
    /// `flat` or `linear`.
    growth: &'static str,
    time: Duration,
    /// Pages, per call.
    read: u64,
    written: u64,
    /// kB of memory that the process had at most.
    peak: u64,
}

struct Bench {
    rows: u32,
    now: Time,
    figures: Vec<Figure>,
}

impl Bench {
    /// Calls `work` so often, and puts down what one call costs.
    fn measure<T>(
        &mut self,
        what: &'static str,
        growth: &'static str,
        times: u32,
        mut work: impl FnMut(u32) -> T,
    ) -> T {
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let (read, written) = traffic();
        let begun = Instant::now();
        for n in 1..times {
            black_box(work(n));
        }
        let last = black_box(work(0));
        let time = begun.elapsed() / times;
        let (read_since, written_since) = traffic();
        let pages = |bytes: u64| bytes / 4096 / u64::from(times);
        self.figures.push(Figure {
            what,
            growth,
            time,
            read: pages(read_since - read),
            written: pages(written_since - written),
            peak: peak(),
        });
        last
    }
}

/// Bytes that the process has read and written by system calls, whatever the system had in memory.
fn traffic() -> (u64, u64) {
    let io = fs::read_to_string("/proc/self/io").unwrap();
    let value = |key: &str| -> u64 {
        let line = io.lines().find_map(|l| l.strip_prefix(key)).unwrap();
        line.trim().parse().unwrap()
    };
    (value("rchar:"), value("wchar:"))
}

fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

fn bench(rows: u32) -> Vec<Figure> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l.db");
    let mut bench = Bench {
        rows,
        now: parse_time("2026-11-23T12:00:00Z").unwrap(),
        figures: Vec::new(),
    };
    println!("{rows} messages");
    generate(&path, rows, bench.now);
    sizes(&path);
    bench.of_a_run(&path);
    bench.of_people(&path);
    bench.of_the_watcher(&path);
    bench.of_the_index(&path);
    bench.of_a_batch(&path);
    bench.of_one_name(&path);
    bench.of_a_new_incarnation(&path);
    bench.of_a_first_run(&dir.path().join("first.db"));
    bench.of_an_import(&dir.path().join("import.db"));
    bench.figures
}

fn route() -> Route {
    Route::new("user", "imap.example.org", "you@gmail.com", "gmail")
}

fn reopened(path: &Path) -> Ledger {
    Ledger::open_or_create(path, true).unwrap()
}

const BATCH: Claim = Claim {
    count: 50,
    bytes: 8 << 20,
    once: false,
};

/// Failed for good.
fn failed() -> Change {
    Change::Failed {
        error: Error::new(Fault::Permanent, "the target says: message too large"),
        sender: Some("somebody@example.org".into()),
        subject: Some("about something".into()),
    }
}
