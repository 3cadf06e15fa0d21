//! What many idle accounts in one process cost: `cargo bench --bench routes`. Each route has a configuration, a ledger and
//! an IDLE of its own; the program is its release build, with its real intervals; both servers are stand-ins in this
//! process. Other arguments than `--bench`: the number of routes, and for how many seconds the idle process is watched.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use gmail_stand_in::{Gmail, Mail, Options};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

const ROUTES: usize = 1000;
/// How long the idle process is watched: after five minutes it lets go of the sessions that only wait for work.
const WATCHED: Duration = Duration::from_secs(330);
/// How long it is left alone after all its connections were cut.
const CALM: Duration = Duration::from_secs(60);
/// What takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(600);

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|a| a.parse().ok());
    let count = numbers.next().unwrap_or(ROUTES as u64) as usize;
    let watched = numbers.next().map_or(WATCHED, Duration::from_secs);
    let most = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    let source = Gmail::start(Options::plain(
        "IMAP4rev1 LITERAL+ UIDPLUS IDLE SASL-IR AUTH=PLAIN NAMESPACE",
    ));
    let target = Gmail::start(Options::default());
    // In life each account is another one.
    for server in [&source, &target] {
        server.knobs(|knobs| knobs.max_connections = usize::MAX);
    }
    let dir = tempfile::tempdir().unwrap();
    for n in 0..count {
        let config = json!({
            "source_server": "localhost",
            "source_port": source.port(),
            "source_ca_file": source.ca_file(),
            "source_user": source.account(),
            "source_pass": source.password(),
            "target_server": "localhost",
            "target_port": target.port(),
            "target_ca_file": target.ca_file(),
            "target_user": target.account(),
            "target_pass": target.password(),
            "state_file": format!("{n}.db"),
        });
        fs::write(dir.path().join(format!("{n}.json")), config.to_string()).unwrap();
    }
    let log = dir.path().join("log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_imap-to-gmail"));
    command
        .args(["run", "--log-max-size", "1G", "--log"])
        .arg(&log)
        .arg("--config")
        .arg(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let begun = Instant::now();
    let program = Running(command.spawn().unwrap());
    let watching = || said(&log, ": watching INBOX of ");
    until("all watch", || watching() >= count);
    println!(
        "{count} routes watch after {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    program.tell("at once");
    let cpu = program.cpu();
    thread::sleep(watched);
    let used = program.cpu() - cpu;
    program.tell(&format!("{} s later", watched.as_secs()));
    println!(
        "processor: {:.1} % of one core while idle",
        used.as_secs_f64() * 100.0 / watched.as_secs_f64()
    );
    // New mail, for one mailbox that all of them watch: each route delivers it or recognises it.
    let begun = Instant::now();
    source.add(Mail::new(
        "Message-ID: <1@bench>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\ntext\r\n",
    ));
    until("the mail is there", || !target.messages().is_empty());
    println!("new mail is there after {} ms", begun.elapsed().as_millis());
    let done = || said(&log, ": delivered the mail of ") + said(&log, " is in the target already");
    until("each has settled it", || done() >= 1 && program.is_quiet());
    println!(
        "all {count} have settled it after {:.1} s; Gmail holds {} copy",
        begun.elapsed().as_secs_f64(),
        target.messages().len()
    );
    let sessions = || source.signed_in();
    let begun = Instant::now();
    source.cut_connections();
    let mut peak = 0;
    let mut last = 0;
    until("all are back", || {
        let now = sessions();
        peak = peak.max(now.saturating_sub(last));
        last = now;
        now >= count
    });
    println!(
        "{count} connections were cut at once: all are back after {:.1} s, at most {peak} within 0.1 s",
        begun.elapsed().as_secs_f64()
    );
    program.tell("then");
    thread::sleep(CALM);
    program.tell(&format!("{} s later", CALM.as_secs()));
    thread::sleep(watched);
    program.tell(&format!("and {} s after that", watched.as_secs()));
}

/// The program, until this is dropped.
struct Running(Child);

impl Running {
    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.0.id())).unwrap()
    }

    fn value(&self, key: &str) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|l| l.strip_prefix(key)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.0.id()))
            .unwrap()
            .count()
    }

    /// Time of the processor so far.
    fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    /// Does it use less than a tenth of a core?
    fn is_quiet(&self) -> bool {
        let before = self.cpu();
        thread::sleep(Duration::from_secs(1));
        self.cpu() - before < Duration::from_millis(100)
    }

    fn tell(&self, when: &str) {
        println!(
            "{when}: {} MB of memory, {} threads, {} descriptors",
            self.value("VmRSS:") / 1000,
            self.value("Threads:"),
            self.descriptors()
        );
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn said(log: &Path, words: &str) -> usize {
    let log = fs::read_to_string(log).unwrap_or_default();
    log.lines().filter(|line| line.contains(words)).count()
}

fn until(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !check() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}
