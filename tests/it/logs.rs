//! The log as a whole, in processes of its own: nothing lost and nothing twice under load and when it is killed amid a
//! rotation, and what a run writes into it.

mod full;
mod moved;
mod system;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use imap_to_gmail::logging::{self, Options, Place};
use serde_json::{Value, json};

use crate::testkit::dovecot_env::{ALICE, TOKEN};
use crate::testkit::env::TestEnv;
use crate::testkit::{self, eventually};

/// Holds what this test binary is to log when it is started as a child.
const CHILD: &str = "LOGS_CHILD";

/// The child: each thread logs its numbered lines and, when the log has taken one, writes down its number.
#[test]
fn child() {
    let Ok(spec) = std::env::var(CHILD) else {
        return;
    };
    let spec: Value = serde_json::from_str(&spec).unwrap();
    let text = |key: &str| spec[key].as_str().map(PathBuf::from);
    let number = |key: &str| spec[key].as_u64().unwrap();
    let log = logging::start(&Options {
        place: match text("socket") {
            Some(socket) => Place::Syslog(socket),
            None => Place::named(&text("log").unwrap()),
        },
        max_size: number("max_size"),
        max_files: number("max_files") as u32,
        debug: false,
        bottom: None,
    })
    .unwrap();
    let taken = text("taken").map(|path| {
        let open = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        open.unwrap()
    });
    let start = Instant::now();
    thread::scope(|scope| {
        for thread in 0..number("threads") {
            let (spec, taken) = (&spec, &taken);
            scope.spawn(move || {
                let round = spec["round"].as_u64().unwrap();
                for n in 0..spec["lines"].as_u64().unwrap() {
                    let pad = "-".repeat((n * 7 % 60) as usize);
                    log::info!(target: "imap_to_gmail::test", "{round} {thread} {n} {pad}.");
                    if let Some(file) = taken {
                        file.write_all_at(&(n + 1).to_le_bytes(), thread * 8)
                            .unwrap();
                    }
                    thread::sleep(Duration::from_millis(spec["pause"].as_u64().unwrap()));
                }
            });
        }
    });
    println!("took {:?}", start.elapsed());
    drop(log);
    std::process::exit(0);
}

/// What a child is to do, where a test does not say otherwise.
fn spec(log: &Path) -> Value {
    json!({ "log": log, "max_size": 100 << 10, "max_files": 5, "threads": 4, "lines": 1, "round": 0, "pause": 0 })
}

fn command(spec: &Value) -> Command {
    let mut command = testkit::again("logs::child");
    command
        .env(CHILD, spec.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(spec: &Value) -> Output {
    let output = command(spec).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

/// NAME and what was rotated out of it, oldest first; every one of them is whole.
fn texts(log: &Path) -> Vec<String> {
    let folder = log.parent().unwrap();
    let name = log.file_name().unwrap().to_str().unwrap();
    let mut out = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap();
        let Some(rest) = file.strip_prefix(name) else {
            continue;
        };
        let (age, bytes) = match rest.strip_prefix('.').and_then(|r| r.strip_suffix(".zst")) {
            Some(n) => {
                let bytes = zstd::decode_all(File::open(&path).unwrap());
                (
                    n.parse().unwrap(),
                    bytes.unwrap_or_else(|e| panic!("{file}: {e}")),
                )
            }
            None => {
                assert_eq!(rest, "", "{file} is half done");
                (0, fs::read(&path).unwrap())
            }
        };
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600, "{file}");
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            text.is_empty() || text.ends_with('\n'),
            "{file} ends amid a line"
        );
        out.insert(age, text);
    }
    let numbers: Vec<i32> = out.keys().copied().collect();
    assert_eq!(numbers, (0..out.len() as i32).collect::<Vec<_>>(), "a gap");
    out.into_values().rev().collect()
}

/// Round, thread and number of each line; what is no whole line of a child panics.
fn parsed(text: &str) -> Vec<(u64, u64, u64)> {
    text.lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [time, "INFO", round, thread, n, end] = words[..] else {
                panic!("no line of a child: {line:?}")
            };
            assert!(
                time.len() == 20 && time.ends_with('Z') && end.ends_with('.'),
                "{line:?}"
            );
            let number = |w: &str| w.parse().unwrap();
            (number(round), number(thread), number(n))
        })
        .collect()
}

/// The numbers of each thread in each round: one after the other, each once. Returns the first and last of each.
fn runs(lines: &[(u64, u64, u64)]) -> HashMap<(u64, u64), (u64, u64)> {
    let mut out: HashMap<(u64, u64), (u64, u64)> = HashMap::new();
    let mut rounds = 0;
    for &(round, thread, n) in lines {
        assert!(round >= rounds, "round {round} after {rounds}");
        rounds = round;
        let (_, last) = out.entry((round, thread)).or_insert((n, n.wrapping_sub(1)));
        assert_eq!(n, last.wrapping_add(1), "round {round}, thread {thread}");
        *last = n;
    }
    out
}

#[test]
fn sixty_thousand_lines_are_each_there_once() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("imap_sync.log");
    let mut spec = spec(&log);
    spec["lines"] = json!(15_000);
    spec["max_files"] = json!(1000);
    let out = run(&spec);
    let all = texts(&log);
    for text in &all {
        assert!(text.len() <= 100 << 10, "{} bytes", text.len());
    }
    for text in &all[..all.len() - 1] {
        assert!(
            text.len() > (100 << 10) - 200,
            "rotated at {} bytes",
            text.len()
        );
    }
    let size = all.iter().map(String::len).sum::<usize>();
    let runs = runs(&parsed(&all.concat()));
    assert_eq!(runs.len(), 4);
    assert!(runs.values().all(|r| *r == (0, 14_999)), "{runs:?}");
    println!(
        "{size} bytes in {} files: {}",
        all.len(),
        String::from_utf8_lossy(&out.stdout).replace('\n', " ")
    );

    // Five are kept: the newest, in order.
    let log = dir.path().join("five.log");
    spec["log"] = json!(log);
    spec["max_files"] = json!(5);
    run(&spec);
    let kept = texts(&log);
    assert_eq!(kept.len(), 6);
    let lines = parsed(&kept.concat());
    assert!(runs_end_at(&lines, 14_999), "{:?}", lines.last());
}

fn runs_end_at(lines: &[(u64, u64, u64)], last: u64) -> bool {
    // A thread may have ended before the oldest file that is kept.
    let runs = runs(lines);
    !runs.is_empty() && runs.values().all(|r| r.1 == last)
}

/// In each life a child is killed one to four times in a row, at drawn moments, before one may end by itself.
#[test]
fn killed_amid_rotations() {
    const LIVES: usize = 150;
    let mut kills = 0;
    let mut left: BTreeMap<&str, u32> = BTreeMap::new();
    for life in 0..LIVES {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let taken = dir.path().join("taken");
        // Every second one drops what is old.
        let max_files = if life % 2 == 0 { 100_000 } else { 3 };
        let mut spec = spec(&log);
        spec["max_files"] = json!(max_files);
        // Rotated so often that most kills meet one.
        spec["max_size"] = json!(fastrand::u64(500..8_000));
        spec["lines"] = json!(1_000_000);
        spec["threads"] = json!(2);
        spec["taken"] = json!(taken);
        let mut acknowledged: HashMap<(u64, u64), u64> = HashMap::new();
        let rounds = fastrand::u64(1..=4);
        for round in 0..rounds {
            let _ = fs::remove_file(&taken);
            spec["round"] = json!(round);
            let mut child = command(&spec).spawn().unwrap();
            eventually("a first line", || taken.exists());
            // The moment is the point of the test: it is drawn, not awaited.
            thread::sleep(Duration::from_micros(fastrand::u64(0..12_000)));
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
            for (thread, bytes) in fs::read(&taken).unwrap().chunks_exact(8).enumerate() {
                let n = u64::from_le_bytes(bytes.try_into().unwrap());
                acknowledged.insert((round, thread as u64), n);
            }
            let there = |ending: &str| dir.path().join(format!("log{ending}")).exists();
            for (what, is_so) in [
                ("no NAME", !there("")),
                (
                    "NAME.1 waits",
                    there(".1") && !there(".1.zst") && !there(".1.zst.tmp"),
                ),
                ("half compressed", there(".1.zst.tmp")),
                ("NAME.1 and NAME.1.zst", there(".1") && there(".1.zst")),
                ("a gap", !there(".1") && !there(".1.zst") && there(".2.zst")),
            ] {
                *left.entry(what).or_default() += u32::from(is_so);
            }
        }
        spec["round"] = json!(rounds);
        spec["lines"] = json!(1);
        run(&spec);
        let all = texts(&log);
        assert!(all.len() <= max_files + 1);
        let lines = parsed(&all.concat());
        let runs = runs(&lines);
        for thread in 0..2 {
            assert_eq!(runs[&(rounds, thread)], (0, 0), "life {life}");
        }
        if max_files == 3 {
            // The oldest round that is left may lack its beginning, and what came before it is gone.
            let oldest = lines[0].0;
            for ((round, thread), (first, _)) in &runs {
                assert!(
                    *round == oldest || *first == 0,
                    "life {life}, {round} {thread}: from {first}"
                );
            }
        }
        for ((round, thread), n) in acknowledged.into_iter().filter(|(_, n)| *n > 0) {
            let Some((first, last)) = runs.get(&(round, thread)) else {
                let kept_from = lines[0].0;
                assert!(
                    max_files == 3 && round <= kept_from,
                    "life {life}: round {round} is lost"
                );
                continue;
            };
            assert!(max_files == 3 || *first == 0, "life {life}: from {first}");
            // One more may have been written and not acknowledged.
            assert!(
                *last + 1 == n || *last == n,
                "life {life}, round {round}, thread {thread}: {n} were taken, the last one is {last}"
            );
        }
    }
    println!("killed {kills} times; it left {left:?}");
    assert!(kills >= 2 * LIVES);
    assert!(
        left["NAME.1 waits"] + left["half compressed"] > 20,
        "{left:?}"
    );
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

/// A copy with `--debug` into a file: details and the protocol, in whole lines, and nothing that is nobody's business.
#[test]
fn the_protocol_in_a_file_shows_no_secret_and_no_body() {
    let Some(env) = TestEnv::dovecot() else {
        return;
    };
    let mail = b"Message-ID: <1@x>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\nSubject: plum\r\n\r\nthe body of it\r\n";
    env.source.plant(ALICE, mail, "S", 1_700_000_000);
    let config = env.config_file();
    let config = config.to_str().unwrap();
    let ran = env.command(&[
        "run", "--once", "--debug", "--config", config, "--log", "imap.log",
    ]);
    assert_eq!((ran.status, &*ran.out, &*ran.err), (0, "", ""), "{ran:?}");
    let log = env.dir.path().join("imap.log");
    assert_eq!(mode(&log), 0o600);
    let text = fs::read_to_string(&log).unwrap();
    for line in text.lines() {
        let (time, rest) = line.split_at(20);
        assert!(
            time.ends_with('Z') && ["DEBUG", "INFO ", "WARN "].contains(&&rest[1..6]),
            "{line:?}"
        );
    }
    assert!(
        text.contains("APPEND") && text.contains("UID FETCH"),
        "{text}"
    );
    // The last one is what rustls would say.
    for hidden in [TOKEN, "the body of it", "ciphersuite"] {
        assert!(!text.contains(hidden), "{hidden} in\n{text}");
    }
    env.assert_complete();
}

/// Another process has the ledger, and the log: what that one is rotating is left alone.
#[test]
fn who_may_not_run_touches_no_log() {
    let Some(env) = TestEnv::dovecot() else {
        return;
    };
    let lock = File::create(env.dir.path().join("sync_state.db.lock")).unwrap();
    lock.try_lock().unwrap();
    let waits = env.dir.path().join("imap.log.1");
    File::create(&waits)
        .unwrap()
        .write_all(b"a line\n")
        .unwrap();
    let config = env.config_file();
    let ran = env.command(&[
        "run",
        "--once",
        "--config",
        config.to_str().unwrap(),
        "--log",
        "imap.log",
    ]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert_eq!(fs::read(&waits).unwrap(), b"a line\n");
    assert!(!env.dir.path().join("imap.log.1.zst").exists());
}
