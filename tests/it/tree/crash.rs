//! A run that adds labels, broken off at every line and in every literal, as `crash/points.rs` does it with one mailbox: nothing
//! is lost, nothing is there twice, and no label is missing or too much. With several mailboxes the order of what is said may
//! vary a little: a point that does not come is a run like any other.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::DateTime;
use gmail_stand_in::{Gmail, Mail, Options};
use serde_json::json;

use super::letter;
use crate::crash::broken_run::Findings;
use crate::crash::fuse::Fuse;
use crate::crash::points::{End, Tally, WAYS, Way};
use crate::testkit::labels::{Dues, Goes, same_name};
use crate::testkit::proxy::Side;
use crate::testkit::route::{Route, wait_for_end};
use crate::testkit::tree_env::{MANY, source_with};
use crate::testkit::{at_a_time, one_in};

/// How often it is called again after it was broken off.
const AGAIN: usize = 3;
const T0: i64 = 1_700_000_000;
const LABEL: &str = "alt@example.org";

struct LabelRun {
    route: Route,
    source: Gmail,
    target: Gmail,
    from: Fuse,
    to: Fuse,
    dues: Dues,
}

fn nameless(text: &str) -> Vec<u8> {
    format!("Subject: without a name\r\n\r\n{text}\r\n").into_bytes()
}

impl LabelRun {
    fn new() -> LabelRun {
        let start = |options: Options| {
            Gmail::start(Options {
                tls: false,
                ..options
            })
        };
        let (source, target) = (start(source_with(MANY)), start(Options::default()));
        let (from, to) = (Fuse::start(source.port()), Fuse::start(target.port()));
        let mut route = Route::new(json!({
            "source_server": "localhost",
            "source_user": source.account(),
            "source_pass": source.password(),
            "target_server": "localhost",
            "target_user": target.account(),
            "target_pass": target.password(),
            "since": "all",
            "folders": [{"source": "Arbeit", "labels": ["Beruf"]}, "*"],
            "label": LABEL,
            "connections": 1,
        }));
        route
            .plain("source", from.port())
            .plain("target", to.port());
        let mut run = LabelRun {
            route,
            source,
            target,
            from,
            to,
            dues: Dues::default(),
        };
        run.fill();
        run
    }

    fn fill(&mut self) {
        let at = |n: usize| {
            DateTime::from_timestamp(T0 + 60 * n as i64, 0)
                .unwrap()
                .fixed_offset()
        };
        let letters: [(Vec<u8>, &[&str]); 7] = [
            (letter("inbox"), &["INBOX"]),
            (letter("work"), &["Arbeit"]),
            (letter("two"), &["INBOX", "Arbeit"]),
            (letter("three"), &["Arbeit", "日本語", "INBOX"]),
            (nameless("one"), &["日本語"]),
            (nameless("another one"), &["Arbeit", "日本語"]),
            (letter("labelled"), &["Büro"]),
        ];
        for (n, (bytes, mailboxes)) in letters.iter().enumerate() {
            for mailbox in *mailboxes {
                self.source
                    .add(Mail::new(bytes).in_mailbox(mailbox).at(at(n)).seen());
            }
        }
        self.dues = Dues::of_source(&self.source, |name| {
            let goes = match name {
                "Arbeit" => Goes::to(&["Arbeit", "Beruf"]),
                other => same_name(other),
            };
            goes.map(|goes| goes.and(LABEL))
        });
        // What is there already, and keeps the label that somebody gave it.
        let found = letter("found");
        let mail = |mailbox: &str| Mail::new(&found).in_mailbox(mailbox).at(at(9)).seen();
        self.source.add(mail("Arbeit"));
        self.target.add(mail("Eigenes"));
        let seen = std::iter::once("\\Seen".to_string()).collect();
        self.dues.add(
            &found,
            at(9).timestamp(),
            seen,
            Goes::to(&["Eigenes"]).unwrap(),
        );
    }

    fn fuse(&self, end: End) -> &Fuse {
        match end {
            End::Source => &self.from,
            End::Target => &self.to,
        }
    }

    fn judge(&self, findings: &mut Findings) {
        let found = self.dues.findings(&self.target);
        findings.lost += found.lost.len();
        findings.twice += found.twice.len();
        if !found.is_empty() {
            findings.wrong.push(found.told());
        }
        let open: i64 = self
            .route
            .one("SELECT count(*) FROM message WHERE status <> 'delivered'");
        let charged: i64 = self
            .route
            .one("SELECT count(*) FROM message WHERE first_failed_at IS NOT NULL");
        if open + charged > 0 {
            findings
                .wrong
                .push(format!("{open} rows open, {charged} charged"));
        }
        if !findings.wrong.is_empty() {
            findings.wrong.push(self.route.dump());
        }
    }
}

/// Breaks a run at this point and lets it, or the next ones, go to the end. At which event it was, if it came.
fn try_point((end, side, deed): Way, nth: usize) -> (Option<String>, Findings) {
    let run = LabelRun::new();
    let fuse = run.fuse(end);
    let child = fuse.break_off((side, nth, deed), || run.route.spawn(&[]));
    let mut findings = Findings::default();
    findings.go_on(&run.route, child, AGAIN);
    run.judge(&mut findings);
    (fuse.fired(), findings)
}

/// Every `stride`th point of each way.
fn enumerate(name: &str, stride: usize) {
    let begun = Instant::now();
    let undisturbed = LabelRun::new();
    let mut findings = Findings::default();
    let ended = wait_for_end(undisturbed.route.spawn(&[]));
    assert_eq!(ended, Ok(0), "{}", undisturbed.route.dump());
    undisturbed.judge(&mut findings);
    let mut tally = Tally::default();
    tally.add("undisturbed", findings);
    let mut points = Vec::new();
    let first = fastrand::usize(1..=stride);
    for way in WAYS {
        let said = undisturbed.fuse(way.0).said(way.1);
        if matches!(way, (End::Target, Side::ToServer, _)) {
            let labels = said.iter().filter(|line| line.contains("STORE")).count();
            assert!(labels > 0, "no label was added: {said:?}");
        }
        points.extend((first..=said.len()).step_by(stride).map(|nth| (way, nth)));
    }
    drop(undisturbed);
    let tally = Mutex::new(tally);
    let (tried, broken_off) = (points.len(), AtomicUsize::new(0));
    at_a_time(points, |(way, nth)| {
        let (fired, findings) = try_point(way, nth);
        broken_off.fetch_add(usize::from(fired.is_some()), Ordering::Relaxed);
        let (end, side, deed) = way;
        let end = match end {
            End::Source => "source",
            End::Target => "target",
        };
        let event = fired.unwrap_or_default();
        let point = format!("{deed:?} at the {end}'s {side:?}: event {nth} ({event})");
        tally.lock().unwrap().add(&point, findings);
    });
    tally.into_inner().unwrap().tell(name, begun);
    // Some runs say less than the undisturbed one.
    let broken_off = broken_off.into_inner();
    println!("{broken_off} of {tried} runs were broken off");
    assert!(broken_off * 4 > tried * 3, "{broken_off} of {tried}");
}

#[test]
#[ignore = "every point of a run, some thousand runs: minutes"]
fn every_point_of_a_run_that_adds_labels() {
    enumerate("labels", one_in());
}

#[test]
fn some_points_of_a_run_that_adds_labels() {
    enumerate("labels, sampled", 23);
}

/// Killed again and again at random moments of its first seconds, with the labels of everything in question.
#[test]
fn killed_at_random_moments() {
    let runs: Vec<u64> = (0..12).collect();
    at_a_time(runs, |seed| {
        let run = LabelRun::new();
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..4 {
            let mut child = run.route.spawn(&[]);
            // A moment, not an event: the point is that nobody knows which.
            std::thread::sleep(Duration::from_millis(random.u64(30..400)));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        run.route.run_until_done(AGAIN);
        let mut findings = Findings::default();
        run.judge(&mut findings);
        assert!(
            findings.wrong.is_empty(),
            "seed {seed}: {}",
            findings.wrong.join("\n")
        );
    });
}
