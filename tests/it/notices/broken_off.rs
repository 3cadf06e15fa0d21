//! A run that tells of a failure, broken off at every line that is said to the target, and before every write of the ledger:
//! the notice is there once, and so is everything else.

use std::process::Child;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use gmail_stand_in::{Fault, On};

use super::{all_is_told, notices_in, telling};
use crate::crash::broken_run::Findings;
use crate::crash::fuse::{Deed, Fuse};
use crate::crash::points::Tally;
use crate::crash::writes::killed_before_writes;
use crate::testkit::env::TestEnv;
use crate::testkit::proxy::Side;
use crate::testkit::route::wait_for_end;
use crate::testkit::{at_a_time, one_in};

type Way = (Side, Deed);

const WAYS: [Way; 7] = [
    (Side::ToServer, Deed::Hold),
    (Side::ToClient, Deed::Hold),
    (Side::ToServer, Deed::HoldLate),
    (Side::ToServer, Deed::Cut),
    (Side::ToClient, Deed::Cut),
    (Side::ToServer, Deed::Deaf),
    (Side::ToServer, Deed::Late),
];

/// Messages that fail: five are told of by themselves, two in a digest.
const BAD: usize = 7;

struct Broken {
    env: TestEnv,
    fuse: Fuse,
}

impl Broken {
    /// `gmail`: a target that would merge two equal mails; the other one keeps whatever it is given.
    fn new(gmail: bool) -> Broken {
        let builder = TestEnv::build().without_tls();
        let builder = if gmail {
            builder
        } else {
            builder.plain_target()
        };
        let mut env = telling(builder.start());
        env.target.fault(
            On::each("APPEND").message_with("refuse me"),
            Fault::AnswerAfterLiteral {
                text: "NO [CANNOT] not this".into(),
                stored: false,
            },
        );
        let fuse = Fuse::start(env.target.port());
        env.plain("target", fuse.port());
        // The order of what is said is the same each time.
        env.set("connections", 1);
        for n in 0..BAD {
            env.mail(&format!("<bad{n}@example.org>"), &format!("refuse me {n}"));
        }
        env.mail("<good@example.org>", "text");
        Broken { env, fuse }
    }

    /// Lets it, and the next ones, go to the end.
    fn go_on(&self, child: Child, findings: &mut Findings) {
        let mut ended = wait_for_end(child);
        for _ in 0..5 {
            if ended == Ok(3) && all_is_told(&self.env) {
                return;
            }
            super::hours_pass(&self.env, 0);
            self.env
                .sql()
                .execute_batch("UPDATE notice SET next_attempt_at = made_at")
                .unwrap();
            ended = wait_for_end(self.env.spawn(&[]));
        }
        findings.wrong.push(format!("{ended:?} again and again"));
    }

    fn judge(&self, findings: &mut Findings) {
        let notices = notices_in(&self.env.target);
        let digests = notices.iter().filter(|n| n.is_digest()).count();
        let singles = notices.len() - digests;
        let mut names: Vec<&str> = notices.iter().map(|n| n.field("Message-ID")).collect();
        names.sort_unstable();
        names.dedup();
        findings.twice += notices.len() - names.len();
        let told: i64 = self
            .env
            .one("SELECT count(DISTINCT message_id) FROM failure WHERE notice_id IS NOT NULL");
        findings.lost += BAD - told as usize;
        if (singles, digests) != (5, 1) {
            findings
                .wrong
                .push(format!("{singles} and {digests} notices"));
        }
        let others = self.env.target.messages().len() - notices.len();
        let rows = |status: &str| -> i64 {
            self.env.one(&format!(
                "SELECT count(*) FROM message WHERE status = '{status}'"
            ))
        };
        if others != 1 || rows("delivered") != 1 || rows("failed") != BAD as i64 {
            findings
                .wrong
                .push(format!("{others} messages\n{}", self.env.dump()));
        }
    }
}

fn try_point(gmail: bool, (side, deed): Way, nth: usize) -> (Option<String>, Findings) {
    let run = Broken::new(gmail);
    let child = run.fuse.break_off((side, nth, deed), || run.env.spawn(&[]));
    let mut findings = Findings::default();
    run.go_on(child, &mut findings);
    run.judge(&mut findings);
    (run.fuse.fired(), findings)
}

/// Every `stride`th point of each way.
fn enumerate(name: &str, gmail: bool, stride: usize) {
    let begun = Instant::now();
    let whole = Broken::new(gmail);
    let mut findings = Findings::default();
    whole.go_on(whole.env.spawn(&[]), &mut findings);
    whole.judge(&mut findings);
    let mut tally = Tally::default();
    tally.add("undisturbed", findings);
    let mut points = Vec::new();
    let first = fastrand::usize(1..=stride);
    for way in WAYS {
        let said = whole.fuse.said(way.0);
        assert!(said.len() > 20, "{said:?}");
        points.extend((first..=said.len()).step_by(stride).map(|nth| (way, nth)));
    }
    drop(whole);
    let tally = Mutex::new(tally);
    let (tried, broken_off) = (points.len(), AtomicUsize::new(0));
    at_a_time(points, |(way, nth)| {
        let (fired, findings) = try_point(gmail, way, nth);
        broken_off.fetch_add(usize::from(fired.is_some()), Ordering::Relaxed);
        let event: String = fired.unwrap_or_default().chars().take(80).collect();
        let point = format!("{:?} at {:?}: event {nth} ({event})", way.1, way.0);
        tally.lock().unwrap().add(&point, findings);
    });
    tally.into_inner().unwrap().tell(name, begun);
    let broken_off = broken_off.into_inner();
    println!("{broken_off} of {tried} runs were broken off");
    assert!(broken_off * 4 > tried * 3, "{broken_off} of {tried}");
}

#[test]
fn at_some_points() {
    enumerate("notices into Gmail, sampled", true, 23);
    enumerate("notices, sampled", false, 23);
}

#[test]
#[ignore = "every point of a run, some thousand runs: minutes"]
fn at_every_point() {
    enumerate("notices", false, one_in());
}

#[test]
#[ignore = "every point of a run, some thousand runs: minutes"]
fn at_every_point_into_gmail() {
    enumerate("notices into Gmail", true, one_in());
}

/// Killed before every `stride`th thing that it does to its ledger.
fn killed_before(name: &str, stride: usize) {
    let judge = |run: &Broken, findings: &mut Findings| {
        run.go_on(run.env.spawn(&[]), findings);
        run.judge(findings);
    };
    let new = || Broken::new(false);
    killed_before_writes(name, stride, 3, new, |run| &mut run.env, judge);
}

#[test]
fn killed_before_some_ledger_writes() {
    killed_before("notices, killed before a ledger write, sampled", 17);
}

#[test]
#[ignore = "hundreds of runs: a minute"]
fn killed_before_every_ledger_write() {
    killed_before("notices, killed before a ledger write", one_in());
}
