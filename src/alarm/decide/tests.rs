//! Weeks of a route, told in lines.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use chrono::{TimeDelta, TimeZone as _, Utc};

use super::*;

const LASTING: Duration = Duration::from_secs(1800);
const AGAIN: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));

/// A route that is looked at every 30 seconds, by the clock of this struct.
struct Route {
    desk: Desk,
    now: Time,
    running_since: Time,
    troubles: Vec<Present>,
    healthy: bool,
    looked: bool,
    shown: Vec<&'static str>,
    /// Does the command do its work?
    works: bool,
    heard: Vec<String>,
}

impl Route {
    fn new() -> Route {
        let now = Utc.with_ymd_and_hms(2026, 11, 1, 0, 0, 0).unwrap();
        Route {
            desk: Desk::new(Vec::new()),
            now,
            running_since: now,
            troubles: Vec::new(),
            healthy: true,
            looked: true,
            shown: vec!["watch", "deliver", "config"],
            works: true,
            heard: Vec::new(),
        }
    }

    fn trouble(&mut self, part: &str, kind: TroubleKind, message: &str) {
        self.well(part);
        self.troubles.push(Present {
            part: part.into(),
            kind,
            message: message.into(),
            hint: None,
            since: Some(self.now),
        });
    }

    fn well(&mut self, part: &str) {
        self.troubles.retain(|t| t.part != part);
    }

    /// The process ends and another one begins, which knows what the ledger knows.
    fn restart(&mut self) {
        let kept = std::mem::take(&mut self.desk.episodes);
        self.desk = Desk::new(kept);
        self.running_since = self.now;
        (self.troubles, self.looked, self.shown) = (Vec::new(), false, vec!["config"]);
    }

    fn shows_all(&mut self) {
        (self.looked, self.shown) = (true, vec!["watch", "deliver", "config"]);
    }

    fn minutes(&mut self, minutes: i64) {
        for _ in 0..2 * minutes {
            self.now += TimeDelta::seconds(30);
            let seen = Seen {
                troubles: self.troubles.clone(),
                healthy: self.healthy,
                looked: self.looked,
                shown: self.shown.iter().map(ToString::to_string).collect(),
                running_since: Some(self.running_since),
            };
            self.desk.take_in(&seen, None, LASTING, self.now);
            let Some(news) = self.desk.next(&seen, LASTING, self.now) else {
                continue;
            };
            self.desk.begin(&news, AGAIN, self.now);
            let sign = if news.is_over() { "-" } else { "+" };
            if self.works {
                self.desk.done(&news, self.now);
                self.heard.push(format!("{sign}{}", news.message));
            } else {
                self.heard.push(format!("{sign}{} (failed)", news.message));
            }
        }
    }

    fn hears(&mut self) -> Vec<String> {
        std::mem::take(&mut self.heard)
    }
}

use TroubleKind::{NeedsUser, Throttled, Transient};

#[test]
fn what_needs_a_person_is_told_at_once_and_once_and_so_is_its_end() {
    let mut route = Route::new();
    route.minutes(60);
    route.trouble("deliver", NeedsUser, "token");
    route.minutes(1);
    assert_eq!(route.hears(), ["+token"]);
    // Three weeks.
    route.minutes(3 * 7 * 24 * 60);
    route.well("deliver");
    route.minutes(1);
    assert_eq!(route.hears(), ["-token"]);
    route.minutes(7 * 24 * 60);
    assert!(route.hears().is_empty());
    assert!(route.desk.episodes.is_empty());
}

#[test]
fn what_passes_within_half_an_hour_is_told_to_nobody() {
    let mut route = Route::new();
    for kind in [Transient, Throttled] {
        route.trouble("watch", kind, "away");
        route.minutes(29);
        route.well("watch");
        route.minutes(2);
        route.trouble("watch", kind, "away");
        route.minutes(29);
        route.well("watch");
        route.minutes(60);
        assert!(route.hears().is_empty());
    }
    route.trouble("watch", Transient, "away");
    route.minutes(31);
    assert_eq!(route.hears(), ["+away"]);
    route.well("watch");
    route.minutes(1);
    assert_eq!(route.hears(), ["-away"]);
}

#[test]
fn a_server_that_is_away_in_many_words_is_away_once() {
    let mut route = Route::new();
    for n in 0..60 {
        let words = ["refused", "no route", "no answer in 30 s"][n % 3];
        route.trouble("watch", Transient, words);
        route.minutes(5);
    }
    assert_eq!(route.hears().len(), 1);
    route.well("watch");
    route.minutes(1);
    assert_eq!(route.hears().len(), 1);
}

#[test]
fn two_at_once_are_two() {
    let mut route = Route::new();
    route.trouble("watch", NeedsUser, "password");
    route.trouble("deliver", NeedsUser, "full");
    route.minutes(5);
    route.heard.sort();
    assert_eq!(route.hears(), ["+full", "+password"]);
    route.well("watch");
    route.minutes(5);
    assert_eq!(route.hears(), ["-password"]);
    route.well("deliver");
    route.minutes(5);
    assert_eq!(route.hears(), ["-full"]);
}

#[test]
fn one_that_becomes_another_is_told_where_a_person_must_do_something_else() {
    let mut route = Route::new();
    route.trouble("watch", Transient, "away");
    route.minutes(40);
    route.trouble("watch", NeedsUser, "password refused");
    route.minutes(40);
    route.trouble("watch", Transient, "away");
    route.minutes(40);
    route.trouble("watch", NeedsUser, "password refused");
    route.minutes(40);
    route.trouble("watch", NeedsUser, "certificate refused");
    route.minutes(40);
    assert_eq!(
        route.hears(),
        ["+away", "+password refused", "+certificate refused"]
    );
    route.well("watch");
    route.minutes(40);
    assert_eq!(route.hears(), ["-certificate refused"]);
}

#[test]
fn numbers_make_no_other_trouble_and_there_are_not_too_many() {
    let mut route = Route::new();
    for n in 0..20 {
        route.trouble("watch", NeedsUser, &format!("refused (id 17ab{n})"));
        route.minutes(5);
    }
    assert_eq!(route.hears().len(), 1);
    let words = "abcdefghijklmnopqrstuvwxyz";
    for n in 1..20 {
        route.trouble("watch", NeedsUser, &format!("refused {}", &words[n..]));
        route.minutes(5);
    }
    assert_eq!(route.hears().len(), TOLD_MAX - 1);
}

#[test]
fn what_comes_back_soon_is_told_when_it_stays() {
    let mut route = Route::new();
    let mut heard = 0;
    for _ in 0..12 {
        route.trouble("deliver", NeedsUser, "full");
        route.minutes(5);
        route.well("deliver");
        route.minutes(5);
        heard += route.hears().len();
    }
    // Not twelve times in these two hours.
    assert_eq!(heard, 3 * 2);
    // It is another one, a day later.
    route.minutes(24 * 60);
    route.trouble("deliver", NeedsUser, "full");
    route.minutes(1);
    assert_eq!(route.hears(), ["+full"]);
    route.well("deliver");
    route.minutes(1);
    route.trouble("deliver", NeedsUser, "full");
    route.minutes(20);
    assert_eq!(route.hears(), ["-full"]);
    route.minutes(11);
    assert_eq!(route.hears(), ["+full"]);
}

#[test]
fn a_restart_tells_nothing_again_and_ends_nothing() {
    let mut route = Route::new();
    route.trouble("deliver", NeedsUser, "token");
    route.minutes(5);
    assert_eq!(route.hears(), ["+token"]);
    for _ in 0..20 {
        route.restart();
        // Nothing troubles it before it has tried.
        route.minutes(3);
        route.shows_all();
        route.trouble("deliver", NeedsUser, "token");
        route.minutes(3);
    }
    assert!(route.hears().is_empty());
    // Mended while it was down.
    route.restart();
    route.minutes(3);
    assert!(route.hears().is_empty());
    route.shows_all();
    route.minutes(1);
    assert_eq!(route.hears(), ["-token"]);
}

#[test]
fn restarts_do_not_put_off_what_lasts() {
    let mut route = Route::new();
    for _ in 0..4 {
        route.trouble("watch", Transient, "away");
        route.minutes(8);
        route.restart();
        route.minutes(1);
        route.shows_all();
        route.looked = false;
    }
    route.trouble("watch", Transient, "away");
    route.minutes(1);
    assert_eq!(route.hears(), ["+away"]);
}

#[test]
fn a_part_that_is_gone_is_in_order_after_a_while() {
    let mut route = Route::new();
    route.trouble("import", NeedsUser, "API disabled");
    route.minutes(5);
    route.restart();
    route.shows_all();
    route.minutes(29);
    assert_eq!(route.hears(), ["+API disabled"]);
    route.minutes(2);
    assert_eq!(route.hears(), ["-API disabled"]);
}

#[test]
fn a_command_that_fails_is_tried_again_ever_less_often() {
    let mut route = Route::new();
    route.works = false;
    route.trouble("deliver", NeedsUser, "token");
    route.minutes(24 * 60);
    let tries = route.hears().len();
    assert!((26..=32).contains(&tries), "{tries}");
    route.works = true;
    route.minutes(61);
    assert_eq!(route.hears(), ["+token"]);
    // Nobody knows whether anything was heard: the end is told too, and given up after a day.
    route.well("deliver");
    route.works = false;
    route.minutes(24 * 60);
    assert!(route.hears().len() > 20);
    route.minutes(24 * 60);
    assert!(route.hears().is_empty() && route.desk.episodes.is_empty());
}

#[test]
fn one_that_comes_back_before_its_end_was_heard_has_no_end() {
    let mut route = Route::new();
    route.trouble("deliver", NeedsUser, "token");
    route.minutes(5);
    assert_eq!(route.hears(), ["+token"]);
    route.works = false;
    route.well("deliver");
    route.minutes(1);
    assert_eq!(route.hears(), ["-token (failed)"]);
    route.works = true;
    route.trouble("deliver", NeedsUser, "token");
    route.minutes(60);
    assert!(route.hears().is_empty());
    route.well("deliver");
    route.minutes(1);
    assert_eq!(route.hears(), ["-token"]);
}

#[test]
fn another_command_is_tried_at_once() {
    let mut route = Route::new();
    route.works = false;
    route.trouble("deliver", NeedsUser, "token");
    route.minutes(10 * 60);
    route.hears();
    route.works = true;
    route.desk.try_at_once();
    route.minutes(1);
    assert_eq!(route.hears(), ["+token"]);
}

#[test]
fn while_a_person_is_told_of_a_part_it_stays_as_it_is() {
    let mut route = Route::new();
    route.trouble("deliver", NeedsUser, "token");
    route.minutes(1);
    let seen = Seen {
        troubles: Vec::new(),
        healthy: true,
        looked: true,
        shown: vec!["deliver".into()],
        running_since: Some(route.running_since),
    };
    let now = route.now;
    assert!(
        route
            .desk
            .take_in(&seen, Some("deliver"), LASTING, now)
            .is_empty()
    );
    assert_eq!(route.desk.take_in(&seen, None, LASTING, now).len(), 1);
}
