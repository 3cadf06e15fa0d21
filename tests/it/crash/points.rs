//! The run of `broken_run` broken off at every line that is said and in the middle of every literal, in every way there is.
//!
//! How it is bounded: a run that nobody disturbs is recorded first; with one connection to the target, and the one that
//! the reader has to the source, its events come in the same order each time. Every one of them is tried, and the one
//! behind the last is seen not to come. What lies between two lines, the ledger's writes, is `writes`'s.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::broken_run::{BrokenRun, Findings, Servers};
use super::fuse::{Deed, Fuse};
use crate::testkit::proxy::Side;
use crate::testkit::{at_a_time, one_in};

/// Failures that are told in full.
const TOLD: usize = 3;

#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Source,
    Target,
}

/// What is done, and at which side's words.
pub(crate) type Way = (End, Side, Deed);

pub(crate) const WAYS: [Way; 11] = [
    // (a) The process is killed; what it had said may be heard after its end.
    (End::Target, Side::ToServer, Deed::Hold),
    (End::Target, Side::ToClient, Deed::Hold),
    (End::Source, Side::ToServer, Deed::Hold),
    (End::Source, Side::ToClient, Deed::Hold),
    (End::Target, Side::ToServer, Deed::HoldLate),
    // (b) and (c): a connection is cut. Before the server's first word of an answer that is also (d): done, not told.
    (End::Target, Side::ToServer, Deed::Cut),
    (End::Target, Side::ToClient, Deed::Cut),
    (End::Source, Side::ToServer, Deed::Cut),
    (End::Source, Side::ToClient, Deed::Cut),
    // (d) for every command and from within every literal.
    (End::Target, Side::ToServer, Deed::Deaf),
    // (e) Done late.
    (End::Target, Side::ToServer, Deed::Late),
];

#[derive(Clone, Copy)]
struct Point {
    way: Way,
    nth: usize,
    /// It is the one behind the last.
    beyond: bool,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (end, side, deed) = self.way;
        let end = match end {
            End::Source => "source",
            End::Target => "target",
        };
        let says = match side {
            Side::ToServer => "C",
            Side::ToClient => "S",
        };
        write!(f, "{deed:?} at the {end}'s {says}: event {}", self.nth)
    }
}

fn fuse<'a>(env: &'a BrokenRun<'_>, end: End) -> &'a Fuse {
    match end {
        End::Source => &env.source,
        End::Target => &env.target,
    }
}

/// Breaks a run at this point, lets it or the next one go to the end, and judges. At which event it was, if it came.
fn try_point(servers: &Servers, big: bool, point: Point) -> (Option<String>, Findings) {
    for last in [false, false, true] {
        let env = BrokenRun::new(servers, big);
        let (end, side, deed) = point.way;
        let fuse = fuse(&env, end);
        let child = fuse.break_off((side, point.nth, deed), || env.spawn(&[]));
        let findings = env.end_and_judge(child);
        let fired = fuse.fired();
        // A server on a busy machine may end a session by itself: the next one's sign-in is no event of the run recorded.
        let longer = point.beyond && fired.is_some() && fuse.connections() > 1;
        if last || !longer || findings.is_bad() {
            return (fired, findings);
        }
    }
    unreachable!("the last try returns")
}

/// What came of many points.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) tried: usize,
    pub(crate) lost: usize,
    pub(crate) twice: usize,
    pub(crate) failures: Vec<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, point: &str, findings: Findings) {
        self.tried += 1;
        self.lost += findings.lost;
        self.twice += findings.twice;
        if findings.is_bad() {
            let Findings { lost, twice, wrong } = findings;
            let wrong = wrong.join("\n");
            self.failures
                .push(format!("{point}: lost {lost}, twice {twice}\n{wrong}"));
        }
    }

    /// Tells the figures; panics where something was wrong.
    pub(crate) fn tell(self, name: &str, begun: Instant) {
        let Tally {
            tried,
            lost,
            twice,
            failures,
        } = self;
        println!(
            "{name}: {tried} points tried, {lost} lost, {twice} twice, {} failed, in {:.0} s",
            failures.len(),
            begun.elapsed().as_secs_f64()
        );
        let told = &failures[..failures.len().min(TOLD)];
        assert!(failures.is_empty(), "{}", told.join("\n\n"));
    }
}

/// Every `stride`th point of each of these ways.
fn enumerate(name: &str, servers: &Servers, big: bool, ways: &[Way], stride: usize) {
    let begun = Instant::now();
    let undisturbed = BrokenRun::new(servers, big);
    let mut tally = Tally::default();
    tally.add(
        "undisturbed",
        undisturbed.end_and_judge(undisturbed.spawn(&[])),
    );
    let mut points = Vec::new();
    let first = fastrand::usize(1..=stride);
    for way in ways {
        let fuse = fuse(&undisturbed, way.0);
        let said = fuse.said(way.1);
        assert!(said.len() > 5, "{said:?}");
        assert_eq!(fuse.connections(), 1, "{said:?}");
        let chosen = |nth: &usize| !big || concerns_a_big_literal(&said, *nth);
        let point = |nth| Point {
            way: *way,
            nth,
            beyond: nth > said.len(),
        };
        let events = (first..=said.len()).step_by(stride);
        points.extend(events.filter(chosen).map(point));
        if !big {
            points.push(point(said.len() + 1));
        }
    }
    drop(undisturbed);
    let tally = Mutex::new(tally);
    let missed = AtomicUsize::new(0);
    at_a_time(points.iter().collect(), |point| {
        let (fired, findings) = try_point(servers, big, *point);
        if fired.is_none() && !point.beyond {
            missed.fetch_add(1, Ordering::Relaxed);
        }
        let event = fired.unwrap_or_default();
        tally
            .lock()
            .unwrap()
            .add(&format!("{point} ({event})"), findings);
    });
    // What is asked along with a look depends on how many are answered by then: a run may have a few events less than the
    // one that was recorded, or more.
    let (missed, tried) = (missed.into_inner(), points.len());
    assert!(missed <= 2 + tried / 10, "{missed} of {tried} did not come");
    println!("{name}: {missed} did not come");
    tally.into_inner().unwrap().tell(name, begun);
}

/// Of a run with a message of 8 MB, what is not as with a small one: its literal and what is said just before and after
/// it, and how each APPEND is answered.
fn concerns_a_big_literal(said: &[String], nth: usize) -> bool {
    let is_big = |text: &String| {
        let size = text.strip_prefix('~').and_then(|n| n.parse::<usize>().ok());
        size.is_some_and(|n| n > 1 << 20)
    };
    let near = &said[nth.saturating_sub(2)..said.len().min(nth + 1)];
    near.iter().any(is_big) || said[nth - 1].starts_with('+') || said[nth - 1].contains("APPENDUID")
}

#[test]
#[ignore = "every point of a run, some thousand runs: two minutes"]
fn every_point_into_gmail() {
    enumerate("Gmail", &Servers::Gmail, false, &WAYS, one_in());
}

#[test]
#[ignore = "every point of a run, some thousand runs: two minutes"]
fn every_point_into_dovecot() {
    let Some(servers) = Servers::dovecot(false) else {
        return;
    };
    enumerate("Dovecot", &servers, false, &WAYS, one_in());
}

#[test]
fn some_points_into_gmail() {
    enumerate("Gmail, sampled", &Servers::Gmail, false, &WAYS, 17);
}

#[test]
fn some_points_into_dovecot() {
    let Some(servers) = Servers::dovecot(false) else {
        return;
    };
    enumerate("Dovecot, sampled", &servers, false, &WAYS, 17);
}

#[test]
#[ignore = "a message of 8 MB again and again: half a minute"]
fn every_point_about_a_big_message_into_gmail() {
    enumerate("Gmail, 8 MB", &Servers::Gmail, true, &WAYS, 1);
}

#[test]
#[ignore = "a message of 8 MB again and again: half a minute"]
fn every_point_about_a_big_message_into_dovecot() {
    let Some(servers) = Servers::dovecot(true) else {
        return;
    };
    enumerate("Dovecot, 8 MB", &servers, true, &WAYS, 1);
}
