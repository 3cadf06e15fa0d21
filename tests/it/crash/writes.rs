//! The same run broken off between two lines: killed before each thing it does to its ledger, and with a disk that is
//! full, or broken, from each of its writes on. A library that is preloaded into the program counts them
//! (`ledger_io.c`); and a small file system is really filled up.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::broken_run::{BrokenRun, Findings, Servers};
use super::points::Tally;
use crate::testkit::at_a_time;
use crate::testkit::proxy::Side;
use crate::testkit::route::{Route, ended, wait_for_end};
use crate::testkit::{in_ci, one_in};

/// The compiled library, for as long as its folder is kept. The compiler is there: SQLite is built with it.
struct Library {
    dir: tempfile::TempDir,
}

impl Library {
    fn build() -> Library {
        let dir = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/crash/ledger_io.c");
        let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        let built = Command::new(cc)
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .arg(dir.path().join("ledger_io.so"))
            .arg(source)
            .arg("-ldl")
            .output()
            .unwrap();
        assert!(
            built.status.success(),
            "{}",
            String::from_utf8_lossy(&built.stderr)
        );
        Library { dir }
    }

    /// Lets this happen to the next run that is started; where it leaves word of that.
    fn preload(&self, env: &mut Route, fault: &str) -> PathBuf {
        let library = self.dir.path().join("ledger_io.so");
        let mark = env.dir.path().join("mark");
        env.variables
            .push(("LD_PRELOAD", library.to_str().unwrap().into()));
        env.variables.push(("LEDGER_FAULT", fault.into()));
        env.variables
            .push(("LEDGER_FAULT_MARK", mark.to_str().unwrap().into()));
        mark
    }

    /// How much a run that nobody disturbs does of it.
    fn count(&self, servers: &Servers, kind: &str) -> usize {
        let mut env = BrokenRun::new(servers, false);
        let mark = self.preload(&mut env, &undisturbed(kind));
        ended(env.spawn(&[])).unwrap();
        counted(&mark)
    }
}

/// Nothing happens: it is counted alone.
fn undisturbed(kind: &str) -> String {
    format!("{kind} 1000000000")
}

/// How much of it the run did that left this mark.
fn counted(mark: &Path) -> usize {
    let count = fs::read_to_string(mark.with_extension("count")).unwrap();
    count.trim().parse().unwrap()
}

/// A run killed before every `stride`th thing that it does to its ledger, and what follows. Undisturbed it ends with
/// `status`. `new`: another one of it, ready to run; `judge`: lets what was killed go on, and says what it came to.
pub(crate) fn killed_before_writes<R>(
    name: &str,
    stride: usize,
    status: i32,
    new: impl Fn() -> R + Sync,
    route: impl Fn(&mut R) -> &mut Route + Sync,
    judge: impl Fn(&R, &mut Findings) + Sync,
) {
    let begun = Instant::now();
    let library = Library::build();
    let mut whole = new();
    let undisturbed_one = route(&mut whole);
    let mark = library.preload(undisturbed_one, &undisturbed("kill"));
    assert_eq!(wait_for_end(undisturbed_one.spawn(&[])), Ok(status));
    let count = counted(&mark);
    drop(whole);
    let first = fastrand::usize(1..=stride);
    let points: Vec<usize> = (first..=count).step_by(stride).collect();
    let tried = points.len();
    let (tally, killed) = (Mutex::new(Tally::default()), AtomicUsize::new(0));
    at_a_time(points, |nth| {
        let mut run = new();
        let broken = route(&mut run);
        let mark = library.preload(broken, &format!("kill {nth}"));
        let _ = broken.spawn(&[]).wait_with_output();
        broken.variables.clear();
        let fired = mark.with_extension("fired").exists();
        killed.fetch_add(usize::from(fired), Ordering::Relaxed);
        let mut findings = Findings::default();
        judge(&run, &mut findings);
        let point = format!("killed before write {nth} of {count}");
        tally.lock().unwrap().add(&point, findings);
    });
    tally.into_inner().unwrap().tell(name, begun);
    // Signs of life are written by the clock: a run may have a few less than the one that was counted.
    let killed = killed.into_inner();
    assert!(killed + 2 + tried / 10 >= tried, "{killed} of {tried}");
}

/// What a run that met the fault must have come to.
fn expected(kind: &str, status: i32, err: &str) -> Option<String> {
    // At the very end, when all is done, a checkpoint may fail: the next run makes it.
    let unharmed = status == 3;
    let well = match kind {
        "kill" => status == -1,
        "full" => unharmed || (status == 1 && says(err, "disk is full") && says(err, "hint: ")),
        _ => unharmed || (status == 1 && says(err, "error: ") && says(err, "hint: ")),
    };
    (!well).then(|| format!("with the fault: status {status}\n{err}"))
}

fn says(err: &str, what: &str) -> bool {
    let from = err.rfind("error: ").unwrap_or(err.len());
    err[from..].contains(what)
}

fn enumerate(name: &str, servers: &Servers, kind: &str, stride: usize) {
    let begun = Instant::now();
    let library = Library::build();
    let count = library.count(servers, kind);
    assert!(count > 50, "{count}");
    let first = fastrand::usize(1..=stride);
    let points: Vec<usize> = (first..=count).step_by(stride).collect();
    let (tally, missed, unharmed) = (Mutex::new(Tally::default()), Mutex::new(0), Mutex::new(0));
    at_a_time(points.iter().collect(), |nth| {
        let mut env = BrokenRun::new(servers, false);
        let mark = library.preload(&mut env, &format!("{kind} {nth}"));
        let child = env.spawn(&[]);
        env.variables.clear();
        let ran = ended(child);
        let fired = mark.with_extension("fired").exists();
        *missed.lock().unwrap() += usize::from(!fired);
        let wrong = match ran {
            Ok(ran) if fired => {
                *unharmed.lock().unwrap() += usize::from(ran.status == 3);
                expected(kind, ran.status, &ran.err)
            }
            Ok(_) => None,
            Err(hangs) => Some(hangs),
        };
        // The disk has room again.
        let mut findings = env.end_and_judge(env.spawn(&[]));
        findings.wrong.extend(wrong);
        tally
            .lock()
            .unwrap()
            .add(&format!("{kind} at {nth} of {count}"), findings);
    });
    let (missed, unharmed) = (missed.into_inner().unwrap(), unharmed.into_inner().unwrap());
    // Signs of life are written by the clock: a run may have a few less than the one that was counted.
    assert!(
        missed <= 2 + points.len() / 10,
        "{missed} of {} did not come",
        points.len()
    );
    println!("{name}: {unharmed} unharmed, {missed} did not come");
    tally.into_inner().unwrap().tell(name, begun);
}

#[test]
#[ignore = "hundreds of runs: a minute"]
fn killed_before_every_ledger_write() {
    enumerate(
        "killed before a ledger write, Gmail",
        &Servers::Gmail,
        "kill",
        one_in(),
    );
}

#[test]
#[ignore = "hundreds of runs: a minute"]
fn killed_before_ledger_writes_into_dovecot() {
    let Some(servers) = Servers::dovecot(false) else {
        return;
    };
    enumerate(
        "killed before a ledger write, Dovecot",
        &servers,
        "kill",
        one_in().max(3),
    );
}

#[test]
#[ignore = "hundreds of runs: a minute"]
fn the_disk_full_at_every_ledger_write() {
    enumerate("disk full", &Servers::Gmail, "full", one_in());
}

#[test]
#[ignore = "a hundred runs: half a minute"]
fn the_disk_broken_at_every_ledger_sync() {
    enumerate("disk broken", &Servers::Gmail, "sync", 1);
}

#[test]
fn killed_before_some_ledger_writes() {
    enumerate(
        "killed before a ledger write, sampled",
        &Servers::Gmail,
        "kill",
        41,
    );
}

#[test]
fn the_disk_full_at_some_ledger_writes() {
    enumerate("disk full, sampled", &Servers::Gmail, "full", 41);
    enumerate("disk broken, sampled", &Servers::Gmail, "sync", 17);
}

#[test]
fn a_ledger_that_may_not_be_written_is_said_so_and_nothing_is_sent() {
    let library = Library::build();
    let mut env = BrokenRun::new(&Servers::Gmail, false);
    ended(env.spawn(&["--dry-run"])).unwrap();
    // A ledger there is, and it is opened for reading alone.
    fs::write(env.ledger_file(), "").unwrap();
    library.preload(&mut env, "shut 0");
    let ran = ended(env.spawn(&[])).unwrap();
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert!(says(&ran.err, "cannot be written"), "{}", ran.err);
    assert!(says(&ran.err, "hint: may you write"), "{}", ran.err);
    env.variables.clear();
    let mut tally = Tally::default();
    tally.add("written again", env.end_and_judge(env.spawn(&[])));
    tally.tell("a ledger that may not be written", Instant::now());
}

#[test]
fn a_ledger_whose_folder_is_gone_is_said_so() {
    let mut env = BrokenRun::new(&Servers::Gmail, false);
    let gone = env.dir.path().join("gone");
    env.set("state_file", gone.join("sync_state.db").to_str().unwrap());
    let ran = ended(env.spawn(&[])).unwrap();
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert!(says(&ran.err, "gone/sync_state.db"), "{}", ran.err);
    assert!(
        says(&ran.err, "for the ledger does not exist") && says(&ran.err, "hint: `mkdir -p"),
        "{}",
        ran.err
    );
    assert!(env.target.said(Side::ToServer).is_empty());
}

/// A file system in memory of a size of its own. Needs root.
struct Disk {
    at: PathBuf,
}

impl Disk {
    /// None where nothing may be mounted, which in CI is a failure.
    fn mount(at: &Path) -> Option<Disk> {
        fs::create_dir(at).unwrap();
        let disk = Disk { at: at.into() };
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4k", "ledger"])
            .arg(at)
            .output()
            .unwrap();
        if !mounted.status.success() {
            let why = String::from_utf8_lossy(&mounted.stderr).into_owned();
            assert!(!in_ci(), "no file system can be mounted: {why}");
            println!(
                "no file system can be mounted: no disk was filled up ({})",
                why.trim()
            );
            return None;
        }
        Some(disk)
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let mount = Command::new("mount")
            .args(["-o", &options])
            .arg(&self.at)
            .output()
            .unwrap();
        assert!(
            mount.status.success(),
            "{}",
            String::from_utf8_lossy(&mount.stderr)
        );
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.at).output();
    }
}

/// A run with so many pages of room; whether that was enough.
fn with_room_for(pages: usize) -> Option<(bool, Findings)> {
    let mut env = BrokenRun::new(&Servers::Gmail, false);
    let at = env.dir.path().join("disk");
    let disk = Disk::mount(&at)?;
    disk.remount(&format!("size={}k", 4 * pages));
    env.set("state_file", at.join("sync_state.db").to_str().unwrap());
    let ran = ended(env.spawn(&[]));
    disk.remount("size=16m");
    let wrong = match &ran {
        Ok(ran) => expected("full", ran.status, &ran.err),
        Err(hangs) => Some(hangs.clone()),
    };
    let mut findings = env.end_and_judge(env.spawn(&[]));
    findings.wrong.extend(wrong);
    Some((ran.is_ok_and(|r| r.status == 3), findings))
}

/// A small disk really filled up, page by page, up to `most` of them.
fn a_small_disk(pages: &[usize], name: &str) {
    let begun = Instant::now();
    let (tally, enough) = (Mutex::new(Tally::default()), Mutex::new(0));
    at_a_time(pages.iter().collect(), |pages| {
        if let Some((was_enough, findings)) = with_room_for(*pages) {
            *enough.lock().unwrap() += usize::from(was_enough);
            tally
                .lock()
                .unwrap()
                .add(&format!("{pages} pages of room"), findings);
        }
    });
    println!("{name}: {} had room enough", enough.into_inner().unwrap());
    tally.into_inner().unwrap().tell(name, begun);
}

#[test]
#[ignore = "a file system for each of some hundred runs: half a minute"]
fn a_small_disk_of_every_size() {
    let stride = one_in();
    let first = fastrand::usize(1..=stride);
    let pages: Vec<usize> = (first..250).step_by(stride).collect();
    a_small_disk(&pages, "small disk");
}

#[test]
fn a_small_disk_of_some_sizes() {
    a_small_disk(&[1, 2, 9, 30, 45, 60, 90, 150], "small disk, sampled");
}

#[test]
fn a_disk_that_became_read_only_is_said_so() {
    let mut env = BrokenRun::new(&Servers::Gmail, false);
    let at = env.dir.path().join("disk");
    let Some(disk) = Disk::mount(&at) else { return };
    disk.remount("size=16m");
    env.set("state_file", at.join("sync_state.db").to_str().unwrap());
    ended(env.spawn(&[])).unwrap();
    disk.remount("ro");
    let ran = ended(env.spawn(&[])).unwrap();
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert!(says(&ran.err, "can only be read"), "{}", ran.err);
    disk.remount("rw");
    let mut tally = Tally::default();
    tally.add("written again", env.end_and_judge(env.spawn(&[])));
    tally.tell("a disk that became read-only", Instant::now());
}
