//! A run that imports, broken off at every line that is said to the API, to Gmail and to the source, in every way that
//! `crash/points.rs` knows; killed at random moments; with names and without. Nothing is lost and nothing is there twice.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gmail_stand_in::{Gmail, Mail, Options};
use serde_json::json;

use super::{HOUR, letter};
use crate::crash::broken_run::Findings;
use crate::crash::fuse::{Deed, Fuse};
use crate::crash::points::Tally;
use crate::crash::writes::killed_before_writes;
use crate::testkit::env::SOURCE;
use crate::testkit::proxy::Side;
use crate::testkit::route::{Route, wait_for_end};
use crate::testkit::{at_a_time, one_in};

/// How often it is called again after it was broken off.
const AGAIN: usize = 5;
/// More than goes in one piece.
const BIG: usize = 1_100_000;

#[derive(Clone, Copy, Debug)]
enum End {
    Source,
    Target,
    Api,
}

type Way = (End, Side, Deed);

const WAYS: [Way; 11] = [
    (End::Api, Side::ToServer, Deed::Hold),
    (End::Api, Side::ToClient, Deed::Hold),
    (End::Api, Side::ToServer, Deed::HoldLate),
    (End::Api, Side::ToServer, Deed::Cut),
    (End::Api, Side::ToClient, Deed::Cut),
    (End::Api, Side::ToServer, Deed::Deaf),
    (End::Api, Side::ToServer, Deed::Late),
    (End::Target, Side::ToServer, Deed::Hold),
    (End::Target, Side::ToClient, Deed::Cut),
    (End::Target, Side::ToServer, Deed::Deaf),
    (End::Source, Side::ToClient, Deed::Hold),
];

struct ImportRun {
    route: Route,
    source: Gmail,
    target: Gmail,
    from: Fuse,
    to: Fuse,
    api: Fuse,
    all: Vec<Vec<u8>>,
}

fn port_of(url: &str) -> u16 {
    url.rsplit_once(':').unwrap().1.parse().unwrap()
}

impl ImportRun {
    /// `ledger`: of a run that has seen the source empty, so that all mail is new.
    fn new(ledger: Option<&PathBuf>, big: bool) -> ImportRun {
        let start = |options: Options| {
            Gmail::start(Options {
                tls: false,
                ..options
            })
        };
        let (source, target) = (start(Options::plain(SOURCE)), start(Options::default()));
        let (from, to) = (Fuse::start(source.port()), Fuse::start(target.port()));
        let api = Fuse::start_http(port_of(&target.api_url()));
        let access = target.issue_token(HOUR);
        let token = serde_json::from_str(&target.token_json(&access, HOUR)).unwrap();
        let mut route = Route::new(json!({
            "source_server": "localhost",
            "source_user": source.account(),
            "source_pass": source.password(),
            "target_server": "localhost",
            "target_user": target.account(),
            "gmail_api": format!("http://127.0.0.1:{}", api.port()),
            "delivery": "import",
            "since": "all",
            "label": "alt@example.org",
            "connections": 1,
        }));
        route
            .plain("source", from.port())
            .plain("target", to.port());
        route.write_token(&token);
        let mut run = ImportRun {
            route,
            source,
            target,
            from,
            to,
            api,
            all: Vec::new(),
        };
        if let Some(ledger) = ledger {
            std::fs::copy(ledger, run.route.ledger_file()).unwrap();
            run.fill(big);
        }
        run
    }

    fn fill(&mut self, big: bool) {
        let size = if big { BIG } else { 20 };
        for (n, id) in ["one", "", "three"].into_iter().enumerate() {
            let text = format!("text {n} {}", "x".repeat(if n < 2 { size } else { 20 }));
            self.all.push(letter(id, &text));
        }
        for bytes in &self.all {
            self.source.add(Mail::new(bytes));
        }
    }

    fn fuse(&self, end: End) -> &Fuse {
        match end {
            End::Source => &self.from,
            End::Target => &self.to,
            End::Api => &self.api,
        }
    }

    fn judge(&self, findings: &mut Findings) {
        let there = self.target.messages();
        for bytes in &self.all {
            let copies: Vec<_> = there.iter().filter(|m| m.bytes.ends_with(bytes)).collect();
            match copies.len() {
                0 => findings.lost += 1,
                1 => {
                    let labels = &copies[0].labels;
                    if !(labels.contains("\\Inbox") && labels.contains("alt@example.org")) {
                        findings.wrong.push(format!("labels {labels:?}"));
                    }
                }
                n => findings.twice += n - 1,
            }
        }
        let others = there.len() as i64 - self.all.len() as i64;
        let open: i64 = self
            .route
            .one("SELECT count(*) FROM message WHERE status <> 'delivered'");
        let charged: i64 = self
            .route
            .one("SELECT count(*) FROM message WHERE first_failed_at IS NOT NULL");
        if open + charged > 0 || others > 0 {
            findings.wrong.push(format!(
                "{open} rows open, {charged} charged, {others} messages too many"
            ));
        }
        if !findings.wrong.is_empty() || findings.lost + findings.twice > 0 {
            findings.wrong.push(self.route.dump());
        }
    }
}

/// The ledger of a run that has seen an empty source.
fn ledger_of_an_empty_source() -> (ImportRun, PathBuf) {
    let first = ImportRun::new(None, false);
    assert_eq!(wait_for_end(first.route.spawn(&[])), Ok(0));
    let file = first.route.ledger_file();
    (first, file)
}

fn try_point(
    ledger: &PathBuf,
    big: bool,
    (end, side, deed): Way,
    nth: usize,
) -> (Option<String>, Findings) {
    let run = ImportRun::new(Some(ledger), big);
    let fuse = run.fuse(end);
    let child = fuse.break_off((side, nth, deed), || run.route.spawn(&[]));
    let mut findings = Findings::default();
    findings.go_on(&run.route, child, AGAIN);
    run.judge(&mut findings);
    (fuse.fired(), findings)
}

/// Every `stride`th point of each way.
fn enumerate(name: &str, big: bool, stride: usize) {
    let begun = Instant::now();
    let (_first, ledger) = ledger_of_an_empty_source();
    let undisturbed = ImportRun::new(Some(&ledger), big);
    let mut findings = Findings::default();
    findings.go_on(&undisturbed.route, undisturbed.route.spawn(&[]), AGAIN);
    undisturbed.judge(&mut findings);
    let imported: i64 = undisturbed
        .route
        .one("SELECT count(*) FROM message WHERE proof = 'imported_by_api'");
    assert_eq!(imported, 3, "{}", undisturbed.route.dump());
    let mut tally = Tally::default();
    tally.add("undisturbed", findings);
    let mut points = Vec::new();
    let first = fastrand::usize(1..=stride);
    for way in WAYS {
        let said = undisturbed.fuse(way.0).said(way.1);
        assert!(!said.is_empty(), "nothing was said: {way:?}");
        points.extend((first..=said.len()).step_by(stride).map(|nth| (way, nth)));
    }
    drop(undisturbed);
    let tally = Mutex::new(tally);
    let (tried, broken_off) = (points.len(), AtomicUsize::new(0));
    at_a_time(points, |(way, nth)| {
        let (fired, findings) = try_point(&ledger, big, way, nth);
        broken_off.fetch_add(usize::from(fired.is_some()), Ordering::Relaxed);
        let (end, side, deed) = way;
        let event: String = fired.unwrap_or_default().chars().take(80).collect();
        let point = format!("{deed:?} at the {end:?}'s {side:?}: event {nth} ({event})");
        tally.lock().unwrap().add(&point, findings);
    });
    tally.into_inner().unwrap().tell(name, begun);
    let broken_off = broken_off.into_inner();
    println!("{broken_off} of {tried} runs were broken off");
    assert!(broken_off * 4 > tried * 3, "{broken_off} of {tried}");
}

#[test]
fn some_points_of_a_run_that_imports() {
    enumerate("imports, sampled", false, 19);
}

#[test]
#[ignore = "every point of a run, some thousand runs: minutes"]
fn every_point_of_a_run_that_imports() {
    enumerate("imports", false, one_in());
}

#[test]
fn some_points_of_a_run_that_imports_resumably() {
    enumerate("big imports, sampled", true, 38);
}

/// Killed before every `stride`th thing that it does to its ledger.
fn killed_before(name: &str, stride: usize) {
    let (_first, ledger) = ledger_of_an_empty_source();
    let judge = |run: &ImportRun, findings: &mut Findings| {
        findings.go_on(&run.route, run.route.spawn(&[]), AGAIN);
        run.judge(findings);
    };
    let new = || ImportRun::new(Some(&ledger), false);
    killed_before_writes(name, stride, 0, new, |run| &mut run.route, judge);
}

#[test]
fn killed_before_some_ledger_writes() {
    killed_before("imports, killed before a ledger write, sampled", 13);
}

#[test]
#[ignore = "a hundred runs: half a minute"]
fn killed_before_every_ledger_write() {
    killed_before("imports, killed before a ledger write", one_in());
}

#[test]
fn killed_at_random_moments() {
    let (_first, ledger) = ledger_of_an_empty_source();
    let runs: Vec<u64> = (0..16).collect();
    at_a_time(runs, |seed| {
        let run = ImportRun::new(Some(&ledger), seed % 2 == 1);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..4 {
            let mut child = run.route.spawn(&[]);
            // A moment, not an event: the point is that nobody knows which.
            std::thread::sleep(Duration::from_millis(random.u64(30..400)));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let mut findings = Findings::default();
        findings.go_on(&run.route, run.route.spawn(&[]), AGAIN);
        run.judge(&mut findings);
        let ok = findings.lost + findings.twice == 0 && findings.wrong.is_empty();
        assert!(ok, "seed {seed}: {}", findings.wrong.join("\n"));
    });
}
