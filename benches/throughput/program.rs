//! A process that is run to its end, and what it took.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// What a tick of `/proc/PID/stat` is, wherever Linux runs.
const TICK: Duration = Duration::from_millis(10);
/// How often the memory is looked at. The system keeps the most there was, so only what grows in the last moment is missed.
const LOOK: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    /// Bytes.
    pub(crate) peak: u64,
}

/// Runs a command, which must succeed.
pub(crate) fn run(mut command: Command) -> Took {
    let begun = Instant::now();
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    let pid = child.id();
    let over = AtomicBool::new(false);
    let (wall, peak) = thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let mut peak = 0;
            while !over.load(Ordering::SeqCst) {
                peak = peak.max(memory(pid, "VmHWM:"));
                thread::sleep(LOOK);
            }
            peak
        });
        // It is left as it ended, so that its times can still be read.
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(&child)), ended).unwrap();
        let wall = begun.elapsed();
        over.store(true, Ordering::SeqCst);
        (wall, looks.join().unwrap())
    });
    let cpu = cpu(pid);
    let status = child.wait().unwrap();
    assert!(status.success(), "{command:?}: {status}");
    Took { wall, cpu, peak }
}

/// Time of the processor so far.
pub(crate) fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = match stat.rsplit_once(") ") {
        Some((_, fields)) => fields.split(' ').collect(),
        None => return Duration::ZERO,
    };
    let ticks: u32 = fields[11].parse::<u32>().unwrap() + fields[12].parse::<u32>().unwrap();
    TICK * ticks
}

/// In bytes, a line of what the system says of the process.
pub(crate) fn memory(pid: u32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(key));
    let kilobytes = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) << 10
}

/// Runs a command, which must succeed, and counts how often it forces something to the disk. None where there is no strace
/// to count it.
pub(crate) fn fsyncs(command: &Command, counts: &Path) -> Option<u64> {
    let mut traced = Command::new("strace");
    traced
        .args([
            "-f",
            "--seccomp-bpf",
            "-c",
            "-e",
            "trace=fsync,fdatasync,msync",
        ])
        .arg("-o")
        .arg(counts)
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let Ok(status) = traced.status() else {
        // The run itself is wanted all the same.
        let mut plain = Command::new(command.get_program());
        run_quietly(plain.args(command.get_args()));
        return None;
    };
    assert!(status.success(), "{traced:?}: {status}");
    let counts = fs::read_to_string(counts).unwrap_or_default();
    let lines = counts.lines().filter(|l| l.trim_end().ends_with("sync"));
    // % time, seconds, usecs/call, calls, errors if there were any, name
    let calls = lines.filter_map(|l| l.split_whitespace().nth(3)?.parse::<u64>().ok());
    Some(calls.sum())
}

fn run_quietly(command: &mut Command) {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null());
    let status = quiet.stderr(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}
