//! Weeks in a moment: a real ledger and a real command, and a clock that the test sets.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use imap_to_gmail::alarm::{Alarm, Hands};
use imap_to_gmail::config::{Config, Intervals, Telling};
use imap_to_gmail::error::{Error, Fault};
use imap_to_gmail::ledger::{self, Ledger, Look, Route, Shared};
use imap_to_gmail::message::Time;
use imap_to_gmail::status::{Asked, Report};
use serde_json::json;

use super::{events, script, told};
use crate::testkit::eventually;
use crate::testkit::monitor::Monitor;

const PARTS: [&str; 4] = ["watch", "deliver", "config", "import"];

struct World {
    dir: tempfile::TempDir,
    monitor: Monitor,
    _lock: Arc<ledger::Lock>,
    ledger: Arc<Shared>,
    hands: Arc<Hands>,
    alarm: Arc<Alarm>,
    telling: Arc<Telling>,
    times: Intervals,
    now: Time,
    /// Parts that give no sign of life.
    stuck: Vec<&'static str>,
    /// The source is looked at.
    looks: bool,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        script(dir.path(), "tell.sh", "exec cat >> told.json");
        let monitor = Monitor::start();
        let config = json!({
            "ping_url": monitor.url("/ping"),
            "source_server": "imap.example.org", "source_user": "a", "source_pass": "p",
            "target_user": "you@gmail.com", "target_pass": "p", "notify_command": ["./tell.sh"],
        });
        let file = dir.path().join("config.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let telling = Config::load(&file, Utc::now()).unwrap().telling;
        let path = dir.path().join("sync_state.db");
        let lock = Arc::new(ledger::lock(&path).unwrap());
        let mut ledger = Ledger::open_or_create(&path, true).unwrap();
        let now = Utc::now();
        let route = Route::new("a", "imap.example.org", "you@gmail.com", "imap.gmail.com");
        ledger.belong_to(&route, now).unwrap();
        let times = Intervals {
            ping: Duration::from_millis(1),
            ..Intervals::default()
        };
        let hands = Hands::new(Duration::from_secs(5));
        let ledger = Arc::new(Shared::new(ledger));
        let world = World {
            dir,
            monitor,
            _lock: lock,
            alarm: Alarm::new(&hands, Arc::clone(&ledger), &times, ""),
            ledger,
            hands,
            telling,
            times,
            now,
            stuck: Vec::new(),
            looks: true,
        };
        world.begin();
        world
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("sync_state.db")
    }

    /// A run begins, in which all is well.
    fn begin(&self) {
        let now = self.now;
        let step = |l: &mut Ledger| {
            l.run_begins(&PARTS, now)?;
            PARTS
                .iter()
                .try_for_each(|part| l.trouble(part, None, now).map(drop))
        };
        self.ledger.step(step).unwrap();
    }

    /// A run begins that has tried nothing yet.
    fn restart_untried(&mut self) {
        let now = self.now;
        self.ledger.step(|l| l.run_begins(&PARTS, now)).unwrap();
        self.alarm = Alarm::new(&self.hands, Arc::clone(&self.ledger), &self.times, "");
    }

    fn restart(&mut self) {
        self.begin();
        self.alarm = Alarm::new(&self.hands, Arc::clone(&self.ledger), &self.times, "");
    }

    fn trouble(&self, part: &str, trouble: Option<&Error>) {
        let step = |l: &mut Ledger| l.trouble(part, trouble, self.now);
        self.ledger.step(step).unwrap();
    }

    /// Time goes by, with a look at each step.
    fn pass(&mut self, time: TimeDelta, step: TimeDelta) {
        let end = self.now + time;
        while self.now < end {
            self.now += step;
            let now = self.now;
            let beats: Vec<&str> = PARTS
                .into_iter()
                .filter(|p| !self.stuck.contains(p))
                .collect();
            let look = Look {
                at: now,
                next_by: now + TimeDelta::seconds(90),
            };
            let looks = self.looks;
            let path = self.path();
            let asked = Asked {
                state_file: &path,
                with_failed: false,
                files: "",
                upload_limit: None,
            };
            let report = self.ledger.step(|l| {
                l.beat(&beats, now)?;
                if looks {
                    l.note_look("watch", look)?;
                }
                Report::new(l, &asked, now)
            });
            self.alarm
                .look(&report.unwrap().routes[0], &self.telling, now);
        }
    }

    fn hours(&mut self, hours: i64) {
        self.pass(TimeDelta::hours(hours), TimeDelta::minutes(5));
    }

    /// Exactly this was told, and is on record.
    #[track_caller]
    fn heard(&self, want: &[&str]) {
        eventually(&format!("{want:?}"), || {
            events(self.dir.path()).len() >= want.len()
        });
        assert_eq!(events(self.dir.path()), want);
        eventually("it is on record", || {
            let episodes = self.ledger.step(|l| l.episodes()).unwrap();
            let open = |e: &ledger::Episode| match e.over_at {
                Some(_) => !e.over_told,
                None => e.told.iter().any(|told| told.told_at.is_none()),
            };
            !episodes.iter().any(open)
        });
    }
}

#[test]
fn three_weeks_of_a_dead_token_are_one_trouble_through_ten_restarts() {
    let mut world = World::new();
    world.hours(24);
    let dead = Error::new(Fault::NeedsUser, "Google refuses the saved sign-in").hint("sign in");
    world.trouble("deliver", Some(&dead));
    world.pass(TimeDelta::seconds(30), TimeDelta::seconds(30));
    world.heard(&["trouble needs_user"]);
    for _ in 0..10 {
        world.hours(50);
        world.restart_untried();
        world.pass(TimeDelta::minutes(3), TimeDelta::minutes(1));
        world.trouble("deliver", Some(&dead));
    }
    world.heard(&["trouble needs_user"]);
    world.trouble("deliver", None);
    world.pass(TimeDelta::seconds(30), TimeDelta::seconds(30));
    world.heard(&["trouble needs_user", "over needs_user"]);
    world.hours(24);
    world.heard(&["trouble needs_user", "over needs_user"]);
    let told = told(world.dir.path());
    assert_eq!(told[0]["since"], told[1]["since"]);
    assert_eq!(told[0]["hint"], "sign in");
    assert_eq!(told[1]["hint"], serde_json::Value::Null);
}

#[test]
fn a_part_that_hangs_is_told_of_after_half_an_hour() {
    let mut world = World::new();
    world.hours(24);
    world.stuck = vec!["deliver"];
    world.pass(TimeDelta::minutes(29), TimeDelta::minutes(1));
    world.heard(&[]);
    world.pass(TimeDelta::minutes(4), TimeDelta::minutes(1));
    world.heard(&["trouble transient"]);
    let first = &told(world.dir.path())[0];
    assert_eq!(first["part"], "route");
    assert_eq!(
        first["message"],
        "a part of its run gives no sign of life (deliver)"
    );
    world.hours(48);
    world.stuck.clear();
    world.pass(TimeDelta::minutes(2), TimeDelta::minutes(1));
    world.heard(&["trouble transient", "over transient"]);
}

#[test]
fn a_source_that_is_not_looked_at_is_told_of_after_half_an_hour() {
    let mut world = World::new();
    world.hours(1);
    world.looks = false;
    world.pass(TimeDelta::minutes(30), TimeDelta::minutes(1));
    world.heard(&[]);
    world.pass(TimeDelta::minutes(10), TimeDelta::minutes(1));
    world.heard(&["trouble transient"]);
    let message = told(world.dir.path())[0]["message"].to_string();
    assert!(
        message.contains("the source was not looked at for"),
        "{message}"
    );
    // In a run that has only begun that it is well is no news.
    world.restart();
    world.pass(TimeDelta::minutes(60), TimeDelta::minutes(1));
    world.heard(&["trouble transient"]);
    world.looks = true;
    world.pass(TimeDelta::minutes(40), TimeDelta::minutes(1));
    world.heard(&["trouble transient", "over transient"]);
}

#[test]
fn a_limit_of_the_configuration_is_no_trouble_and_one_of_gmails_is_told_when_it_lasts() {
    let mut world = World::new();
    let mut own = Error::new(Fault::Throttled, "the upload limit is reached");
    own.own_limit = true;
    world.trouble("deliver", Some(&own));
    world.hours(20);
    world.heard(&[]);
    world.trouble(
        "deliver",
        Some(&Error::new(Fault::Throttled, "Gmail asks to slow down")),
    );
    world.pass(TimeDelta::minutes(25), TimeDelta::minutes(1));
    world.heard(&[]);
    world.pass(TimeDelta::minutes(10), TimeDelta::minutes(1));
    world.heard(&["trouble throttled"]);
    world.trouble("deliver", None);
    world.pass(TimeDelta::minutes(1), TimeDelta::minutes(1));
    world.heard(&["trouble throttled", "over throttled"]);
}

/// A look after which the ping that it began, if it did, has come.
fn pinged(world: &mut World) -> bool {
    let before = world.monitor.pings();
    world.pass(TimeDelta::seconds(30), TimeDelta::seconds(30));
    world.hands.settle();
    world.monitor.pings() > before
}

#[test]
fn pings_stop_with_what_is_healthy_and_go_on_with_it() {
    let mut world = World::new();
    world.looks = false;
    // Nothing is wrong, but nothing was looked at yet.
    assert!(!pinged(&mut world));
    world.looks = true;
    assert!(pinged(&mut world) && pinged(&mut world));
    for _ in 0..2 {
        // The source is not looked at for longer than it was announced.
        world.looks = false;
        world.pass(TimeDelta::minutes(3), TimeDelta::minutes(3));
        world.hands.settle();
        assert!(!pinged(&mut world));
        world.hours(24);
        assert!(!pinged(&mut world));
        world.looks = true;
        assert!(pinged(&mut world));
        // A part of it hangs.
        world.stuck = vec!["deliver"];
        world.pass(TimeDelta::minutes(2), TimeDelta::minutes(2));
        world.hands.settle();
        assert!(!pinged(&mut world));
        world.stuck.clear();
        assert!(pinged(&mut world));
    }
    // One that is started again and again looks well to nobody.
    world.looks = false;
    for _ in 0..5 {
        world.restart();
        assert!(!pinged(&mut world));
    }
}
