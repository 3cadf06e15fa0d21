//! A run that removes what an earlier one delivered, broken off at every line of both servers and before each write of the
//! ledger, and killed again and again. At that very moment, and in the end: no message is in neither account, none has left
//! its mailbox that Gmail lacks, and none is twice where it is moved to.

use std::collections::BTreeMap;
use std::process::Child;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::DateTime;
use gmail_stand_in::{Gmail, Mail, Options, Place};
use serde_json::{Value, json};

use super::{MOVE, UIDPLUS, archive};
use crate::crash::broken_run::Findings;
use crate::crash::fuse::{Deed, Fuse};
use crate::crash::points::{End, Tally, Way};
use crate::crash::writes::killed_before_writes;
use crate::testkit::env::{DATE, mail};
use crate::testkit::proxy::Side;
use crate::testkit::route::{Route, wait_for_end};
use crate::testkit::{at_a_time, one_in};

const T0: i64 = 1_700_000_000;
/// A run that was broken off is followed by others until all is done, for so long at the most.
const PATIENCE: Duration = Duration::from_secs(30);
/// What stays at the source.
const KEPT: [&str; 2] = ["flagged", "trashed"];
/// As in `crash::points`, with what is done late at the source, too.
const WAYS: [Way; 12] = [
    (End::Source, Side::ToServer, Deed::Hold),
    (End::Source, Side::ToClient, Deed::Hold),
    (End::Source, Side::ToServer, Deed::HoldLate),
    (End::Source, Side::ToServer, Deed::Cut),
    (End::Source, Side::ToClient, Deed::Cut),
    (End::Source, Side::ToServer, Deed::Deaf),
    (End::Source, Side::ToServer, Deed::Late),
    (End::Target, Side::ToServer, Deed::Hold),
    (End::Target, Side::ToServer, Deed::Cut),
    (End::Target, Side::ToClient, Deed::Hold),
    (End::Target, Side::ToClient, Deed::Cut),
    (End::Target, Side::ToServer, Deed::Deaf),
];

/// What a source can do, and what is wanted.
#[derive(Clone, Copy)]
enum Kind {
    Delete,
    Move,
    Copy,
}

struct RemovalRun {
    route: Route,
    source: Gmail,
    target: Gmail,
    from: Fuse,
    to: Fuse,
    moves: bool,
    letters: Vec<Vec<u8>>,
}

impl RemovalRun {
    /// All is delivered, and nothing removed yet.
    fn new(kind: Kind) -> RemovalRun {
        let (capabilities, wish) = match kind {
            Kind::Delete => (UIDPLUS, json!("delete")),
            Kind::Move => (MOVE, archive()),
            Kind::Copy => (UIDPLUS, archive()),
        };
        let start = |options: Options| {
            Gmail::start(Options {
                tls: false,
                ..options
            })
        };
        let source = start(Options::plain(capabilities));
        let target = start(Options::default());
        let (from, to) = (Fuse::start(source.port()), Fuse::start(target.port()));
        let mut route = Route::new(json!({
            "source_server": "localhost",
            "source_user": source.account(),
            "source_pass": source.password(),
            "target_server": "localhost",
            "target_user": target.account(),
            "target_pass": target.password(),
            "since": "all",
            "connections": 1,
        }));
        route
            .plain("source", from.port())
            .plain("target", to.port());
        let mut run = RemovalRun {
            route,
            source,
            target,
            from,
            to,
            moves: wish != json!("delete"),
            letters: Vec::new(),
        };
        run.fill();
        run.route.run_until_done(3);
        let trashed = run.target.messages();
        let trashed = trashed.iter().find(|m| names(&m.bytes, "trashed"));
        run.target.trash(trashed.unwrap().id);
        run.route.set("after_delivery", wish);
        run
    }

    fn fill(&mut self) {
        let id = |id: &str| mail(&format!("<{id}@example.org>"), DATE, id);
        let mut letters: Vec<Vec<u8>> = ["a", "b", "twin", "twin", "flagged", "trashed"]
            .into_iter()
            .map(id)
            .collect();
        letters.push(b"Subject: without a name\r\n\r\nnameless\r\n".to_vec());
        for (n, bytes) in letters.iter().enumerate() {
            let at = DateTime::from_timestamp(T0 + 60 * n as i64, 0).unwrap();
            let mail = Mail::new(bytes).at(at.fixed_offset());
            let flagged = names(bytes, "flagged");
            self.source.add(if flagged {
                mail.flag("\\Flagged")
            } else {
                mail
            });
        }
        self.letters = letters;
    }

    fn fuse(&self, end: End) -> &Fuse {
        match end {
            End::Source => &self.from,
            End::Target => &self.to,
        }
    }

    /// How often each of these bytes lies in this mailbox of the source.
    fn there(&self, mailbox: &str) -> BTreeMap<Vec<u8>, usize> {
        let mut there = BTreeMap::new();
        for message in self.source.messages() {
            if message.labels.contains(mailbox) {
                *there.entry(message.bytes).or_default() += 1;
            }
        }
        there
    }

    /// What must hold at any moment.
    fn judge_now(&self, findings: &mut Findings) {
        // In this order: what is moved between the two looks is seen in one of them at least.
        let (inbox, archive) = (self.there("INBOX"), self.there("Archive"));
        let inbox_after = self.there("INBOX");
        let target = self.target.messages();
        for bytes in &self.letters {
            let kept = target
                .iter()
                .any(|m| m.bytes == *bytes && m.place == Place::Live);
            let at_source = inbox.contains_key(bytes) || archive.contains_key(bytes);
            if !kept && !inbox_after.contains_key(bytes) {
                findings.wrong.push(format!(
                    "it has left INBOX, and Gmail does not keep it: {}",
                    String::from_utf8_lossy(bytes)
                ));
            }
            findings.lost += usize::from(!kept && !at_source);
        }
    }

    /// Lets runs go to their end until nothing is left to be done.
    fn go_on(&self, mut child: Option<Child>, findings: &mut Findings) {
        let begun = Instant::now();
        loop {
            let run = child.take().unwrap_or_else(|| self.route.spawn(&[]));
            if let Err(why) = wait_for_end(run) {
                findings.wrong.push(why);
                return;
            }
            self.judge_now(findings);
            let open: i64 = self.route.one("SELECT count(*) FROM removal");
            let left = self.there("INBOX").values().sum::<usize>();
            if (open, left) == (0, KEPT.len()) || findings.is_bad() {
                return;
            }
            if begun.elapsed() > PATIENCE {
                findings.wrong.push(format!("{open} open, {left} left"));
                return;
            }
        }
    }

    /// What must hold in the end.
    fn judge(&self, findings: &mut Findings) {
        self.judge_now(findings);
        let (inbox, archive) = (self.there("INBOX"), self.there("Archive"));
        for bytes in &self.letters {
            let stays = KEPT.iter().any(|id| names(bytes, id));
            let many = self.letters.iter().filter(|other| *other == bytes).count();
            let (here, moved) = (inbox.get(bytes), archive.get(bytes));
            let expected = match (stays, self.moves) {
                (true, _) => (Some(&many), None),
                (false, true) => (None, Some(&many)),
                (false, false) => (None, None),
            };
            findings.twice += usize::from(moved.is_some_and(|moved| *moved > many));
            if (here, moved) != expected {
                let text = String::from_utf8_lossy(bytes);
                findings
                    .wrong
                    .push(format!("{here:?} in INBOX, {moved:?} in Archive: {text}"));
            }
        }
        let marked = self.source.messages();
        let marked = marked.iter().filter(|m| m.flags.contains("\\Deleted"));
        let removed: i64 = self.route.one(
            "SELECT count(*) FROM message WHERE removed_at IS NOT NULL AND removal_id IS NULL",
        );
        let other: i64 = self.route.one(
            "SELECT count(*) FROM message WHERE status <> 'delivered' OR removal_id IS NOT NULL",
        );
        let counts = (marked.count(), removed, other);
        if counts != (0, (self.letters.len() - KEPT.len()) as i64, 0) {
            findings.wrong.push(format!(
                "marked as deleted, removed by the ledger, open: {counts:?}"
            ));
        }
        if findings.is_bad() {
            let db = self.route.sql();
            let mut rows = db
                .prepare(
                    "SELECT id || ' ' || status || ' ' || coalesce(removed_at, '-') || ' ' || coalesce(removal_id, '-')
                         || ' ' || coalesce(copied_to, '-') || ' ' || coalesce(kept_because, '-') FROM message",
                )
                .unwrap();
            let rows = rows.query_map([], |r| r.get::<_, String>(0)).unwrap();
            findings.wrong.extend(rows.map(Result::unwrap));
        }
    }
}

/// Is it the message of this name?
fn names(bytes: &[u8], id: &str) -> bool {
    String::from_utf8_lossy(bytes).contains(&format!("<{id}@example.org>"))
}

/// Breaks a run at this point, judges, and lets it or the next ones go to the end.
fn try_point(kind: Kind, (end, side, deed): Way, nth: usize) -> (Option<String>, Findings) {
    let run = RemovalRun::new(kind);
    let fuse = run.fuse(end);
    let mut findings = Findings::default();
    fuse.arm(side, crate::crash::fuse::When::Nth(nth), deed);
    let mut child = run.route.spawn(&[]);
    let mut next = None;
    if matches!(deed, Deed::Hold | Deed::HoldLate) {
        while !fuse.wait(Duration::from_millis(10)) && child.try_wait().unwrap().is_none() {}
        run.judge_now(&mut findings);
        if fuse.fired().is_some() {
            child.kill().unwrap();
            child.wait().unwrap();
            fuse.release();
        } else {
            next = Some(child);
        }
    } else {
        next = Some(child);
    }
    run.judge_now(&mut findings);
    run.go_on(next, &mut findings);
    run.judge(&mut findings);
    (fuse.fired(), findings)
}

fn enumerate(name: &str, kind: Kind, stride: usize) {
    let begun = Instant::now();
    let undisturbed = RemovalRun::new(kind);
    let said_before: Vec<usize> = WAYS
        .iter()
        .map(|way| undisturbed.fuse(way.0).said(way.1).len())
        .collect();
    let mut findings = Findings::default();
    undisturbed.go_on(None, &mut findings);
    undisturbed.judge(&mut findings);
    let mut tally = Tally::default();
    tally.add("undisturbed", findings);
    let mut points = Vec::new();
    let first = fastrand::usize(1..=stride);
    for (way, before) in WAYS.into_iter().zip(said_before) {
        let said = undisturbed.fuse(way.0).said(way.1).len() - before;
        assert!(said > 10, "nothing was said: {way:?}");
        points.extend((first..=said).step_by(stride).map(|nth| (way, nth)));
    }
    drop(undisturbed);
    let tally = Mutex::new(tally);
    let (tried, broken_off) = (points.len(), AtomicUsize::new(0));
    at_a_time(points, |(way, nth)| {
        let (fired, findings) = try_point(kind, way, nth);
        broken_off.fetch_add(usize::from(fired.is_some()), Ordering::Relaxed);
        let (end, side, deed) = way;
        let end = match end {
            End::Source => "source",
            End::Target => "target",
        };
        let event: String = fired.unwrap_or_default().chars().take(80).collect();
        let point = format!("{deed:?} at the {end}'s {side:?}: event {nth} ({event})");
        tally.lock().unwrap().add(&point, findings);
    });
    tally.into_inner().unwrap().tell(name, begun);
    let broken_off = broken_off.into_inner();
    println!("{broken_off} of {tried} runs were broken off");
    assert!(broken_off * 4 > tried * 3, "{broken_off} of {tried}");
}

#[test]
fn some_points_of_a_run_that_deletes() {
    enumerate("deleting, sampled", Kind::Delete, 17);
}

#[test]
fn some_points_of_a_run_that_moves() {
    enumerate("moving, sampled", Kind::Move, 17);
}

#[test]
fn some_points_of_a_run_that_copies_and_deletes() {
    enumerate("copying and deleting, sampled", Kind::Copy, 17);
}

#[test]
#[ignore = "every point of three runs, some thousand runs: minutes"]
fn every_point_of_a_run_that_removes() {
    enumerate("deleting", Kind::Delete, one_in());
    enumerate("moving", Kind::Move, one_in());
    enumerate("copying and deleting", Kind::Copy, one_in());
}

/// Killed before every `stride`th thing that it does to its ledger.
fn killed_before(name: &str, kind: Kind, stride: usize) {
    let judge = |run: &RemovalRun, findings: &mut Findings| {
        run.judge_now(findings);
        run.go_on(None, findings);
        run.judge(findings);
    };
    let new = || RemovalRun::new(kind);
    killed_before_writes(name, stride, 0, new, |run| &mut run.route, judge);
}

#[test]
fn killed_before_some_ledger_writes() {
    killed_before(
        "copying and deleting, killed before a write, sampled",
        Kind::Copy,
        13,
    );
}

#[test]
#[ignore = "some hundred runs: a minute"]
fn killed_before_every_ledger_write() {
    for (name, kind) in [
        ("deleting", Kind::Delete),
        ("moving", Kind::Move),
        ("copying", Kind::Copy),
    ] {
        killed_before(&format!("{name}, killed before a write"), kind, one_in());
    }
}

/// Killed again and again at random moments of its first seconds.
#[test]
fn killed_at_random_moments() {
    let runs: Vec<u64> = (0..12).collect();
    at_a_time(runs, |seed| {
        let kind = [Kind::Delete, Kind::Move, Kind::Copy][seed as usize % 3];
        let run = RemovalRun::new(kind);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut findings = Findings::default();
        for _ in 0..4 {
            let mut child = run.route.spawn(&[]);
            // A moment, not an event: the point is that nobody knows which.
            std::thread::sleep(Duration::from_millis(random.u64(30..400)));
            child.kill().unwrap();
            child.wait().unwrap();
            run.judge_now(&mut findings);
        }
        run.go_on(None, &mut findings);
        run.judge(&mut findings);
        assert!(
            !findings.is_bad(),
            "seed {seed}: {}",
            findings.wrong.join("\n")
        );
    });
}

/// What a wish says in the configuration is of no matter for what was begun: also with `keep` its end is looked for.
#[test]
fn what_was_begun_is_seen_to_after_it_was_turned_off() {
    let mut run = RemovalRun::new(Kind::Delete);
    run.from.arm(
        Side::ToServer,
        crate::crash::fuse::When::Says("UID EXPUNGE"),
        Deed::Cut,
    );
    let mut findings = Findings::default();
    assert_eq!(wait_for_end(run.route.spawn(&[])), Ok(0));
    let marked = |run: &RemovalRun| {
        let all = run.source.messages();
        all.iter().filter(|m| m.flags.contains("\\Deleted")).count()
    };
    assert_eq!(marked(&run), run.letters.len() - KEPT.len());
    run.route.set("after_delivery", Value::Null);
    let begun = Instant::now();
    while run.route.one::<i64>("SELECT count(*) FROM removal") > 0 {
        assert!(begun.elapsed() < PATIENCE);
        assert_eq!(wait_for_end(run.route.spawn(&[])), Ok(0));
    }
    run.judge_now(&mut findings);
    assert!(!findings.is_bad(), "{findings:?}");
    // Nothing is removed any more, and nobody else's EXPUNGE takes what was marked.
    assert_eq!(marked(&run), 0);
    assert_eq!(run.source.mailbox("INBOX").len(), run.letters.len());
}
