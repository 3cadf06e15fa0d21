//! The log as a whole, in processes of its own: nothing lost and nothing twice under load, when it is killed amid a
//! rotation and when the file is moved away; what happens on a full disk; and what the system's log is told.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::testkit::dovecot_env::{ALICE, TOKEN};
use crate::testkit::env::TestEnv;
use crate::testkit::{self, eventually};
use imap_to_gmail::logging::{self, Options, Place};
use serde_json::{Value, json};

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

/// The real program with a server that says nothing, so that it runs until it is told to end.
struct Waiting {
    dir: tempfile::TempDir,
    child: Child,
    _connection: TcpStream,
}

impl Waiting {
    fn start(log: &str) -> Waiting {
        let dir = tempfile::tempdir().unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let config = json!({
            "source_server": "localhost", "source_port": server.local_addr().unwrap().port(), "source_tls": "none",
            "source_user": "u", "source_pass": "correct-horse-battery", "target_user": "t@gmail.com", "target_pass": "x",
        });
        fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        let child = Command::new("sh")
            .args([
                "-c",
                // Whoever started the tests may have had hangups ignored (nohup).
                "umask 000; exec env --default-signal=HUP \"$@\"",
                "sh",
                env!("CARGO_BIN_EXE_imap-to-gmail"),
            ])
            .args(["run", "--once", "--config", "config.json", "--log", log])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (connection, _) = server.accept().unwrap();
        Waiting {
            dir,
            child,
            _connection: connection,
        }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    fn end(self) -> (Output, tempfile::TempDir) {
        (self.child.wait_with_output().unwrap(), self.dir)
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn a_hangup_opens_the_file_anew() {
    let waiting = Waiting::start("imap.log");
    let log = waiting.dir.path().join("imap.log");
    let moved = waiting.dir.path().join("imap.log-20240501");
    assert_eq!(mode(&log), 0o600);
    fs::rename(&log, &moved).unwrap();
    waiting.signal("-HUP");
    eventually("the log under its name again", || log.exists());
    assert_eq!(mode(&log), 0o600);
    waiting.signal("-TERM");
    let (output, _dir) = waiting.end();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!((output.stdout, output.stderr), (vec![], vec![]));
    let text = fs::read_to_string(&log).unwrap();
    assert!(
        text.ends_with(" INFO  stopped; the next run goes on from here\n"),
        "{text}"
    );
    assert!(!fs::read_to_string(&moved).unwrap().contains("stopped"));
}

#[test]
fn a_pause_while_a_server_is_listened_to_loses_no_connection() {
    let waiting = Waiting::start("imap.log");
    let log = waiting.dir.path().join("imap.log");
    let stat = format!("/proc/{}/stat", waiting.child.id());
    for n in 0..5 {
        // As Ctrl-Z and `fg` do.
        waiting.signal("-STOP");
        eventually("a process that is stopped", || {
            fs::read_to_string(&stat).unwrap().contains(") T ")
        });
        waiting.signal("-CONT");
        fs::rename(&log, log.with_extension(n.to_string())).unwrap();
        waiting.signal("-HUP");
        eventually("the log under its name again", || log.exists());
    }
    waiting.signal("-TERM");
    let (output, dir) = waiting.end();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let files = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path());
    let logs = files.filter(|p| p.file_stem().is_some_and(|n| n == "imap"));
    let all: String = logs.map(|p| fs::read_to_string(p).unwrap()).collect();
    assert!(all.contains("stopped"), "{all}");
    assert!(!all.contains("trying again"), "{all}");
}

#[test]
fn without_a_file_a_hangup_ends_the_program() {
    let waiting = Waiting::start("stderr");
    waiting.signal("-HUP");
    let (output, _dir) = waiting.end();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("stopped; the next run"), "{log}");
}

/// No line is lost while somebody keeps moving the file away.
#[test]
fn lines_go_on_while_the_file_is_moved() {
    let env = tempfile::tempdir().unwrap();
    let log = env.path().join("log");
    let mut spec = spec(&log);
    spec["lines"] = json!(20_000);
    spec["max_size"] = json!(1 << 30);
    let mut child = command(&spec).spawn().unwrap();
    let mut moved = Vec::new();
    while child.try_wait().unwrap().is_none() {
        if log.exists() {
            let to = env.path().join(format!("moved{}", moved.len()));
            fs::rename(&log, &to).unwrap();
            moved.push(to);
        }
        thread::sleep(Duration::from_millis(2));
    }
    // Nobody told it: all lines are in the first one.
    assert_eq!(moved.len(), 1);
    let runs = runs(&parsed(&fs::read_to_string(&moved[0]).unwrap()));
    assert!(runs.values().all(|r| *r == (0, 19_999)), "{runs:?}");
}

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

/// The system's log, as a socket that the test listens at.
struct Daemon {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Daemon {
    fn listen(path: &Path) -> Daemon {
        let _ = fs::remove_file(path);
        let socket = UnixDatagram::bind(path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Daemon {
            socket,
            path: path.into(),
        }
    }

    fn hear(&self) -> String {
        let mut buffer = [0; 9000];
        let n = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..n].to_vec()).unwrap()
    }
}

#[test]
fn the_systems_log_gets_level_name_and_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::listen(&dir.path().join("log"));
    let mut spec = spec(Path::new("unused"));
    spec["socket"] = json!(daemon.path);
    spec["threads"] = json!(1);
    spec["lines"] = json!(60);
    spec["pause"] = json!(20);
    let child = command(&spec).spawn().unwrap();
    let pid = child.id();
    // Facility daemon, severity informational; "Nov  5 12:00:00"; no host, as libc has it.
    let line = daemon.hear();
    let after_time = line.strip_prefix("<30>").map(|l| l.split_at(16));
    let (time, rest) = after_time.unwrap_or_else(|| panic!("{line:?}"));
    let time: Vec<&str> = time.split_whitespace().collect();
    assert!(
        time.len() == 3 && time[0].len() == 3 && time[2].len() == 8,
        "{line:?}"
    );
    assert_eq!(rest, format!("imap-to-gmail[{pid}]: 0 0 0 ."));

    // It is started anew: the program finds it again, and says what it could not send.
    let path = daemon.path.clone();
    drop(daemon);
    thread::sleep(Duration::from_millis(200));
    let daemon = Daemon::listen(&path);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        err,
        format!(
            "imap-to-gmail: the system's log at {} takes no lines: Connection refused (os error 111); they are dropped until it does\n",
            path.display()
        )
    );
    drop(daemon);
}

#[test]
fn the_systems_log_may_be_started_anew_between_two_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let first = Daemon::listen(&path);
    let mut spec = spec(Path::new("unused"));
    spec["socket"] = json!(path);
    spec["threads"] = json!(1);
    spec["lines"] = json!(3);
    spec["pause"] = json!(500);
    let child = command(&spec).spawn().unwrap();
    assert!(first.hear().ends_with(": 0 0 0 ."));
    let second = Daemon::listen(&path);
    drop(first);
    assert!(second.hear().contains(": 0 0 1 -"));
    assert!(second.hear().contains(": 0 0 2 -"));
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_system_log_that_hangs_does_not_hold_up_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::listen(&dir.path().join("log"));
    let mut spec = spec(Path::new("unused"));
    spec["socket"] = json!(daemon.path);
    spec["lines"] = json!(5_000);
    let start = Instant::now();
    let output = run(&spec);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(err.lines().count(), 1, "{err}");
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
