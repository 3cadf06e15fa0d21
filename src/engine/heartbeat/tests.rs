#![allow(clippy::unwrap_used)]

use std::time::Duration;

use chrono::{TimeDelta, Utc};

use super::super::Engine;
use super::super::parts::{CONFIG, DELIVER, WATCH};
use crate::config::{Config, Intervals};
use crate::error::{Error, Fault};
use crate::ledger::{Ledger, Part};

/// The configuration does no work: while it is the only part that is in order, nothing is.
#[test]
fn the_configuration_is_no_sign_of_life() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.json");
    let text = r#"{"source_server": "imap.example.org", "source_user": "a", "source_pass": "p",
                   "target_user": "a@gmail.com", "target_pass": "abcd efgh ijkl mnop"}"#;
    std::fs::write(&file, text).unwrap();
    let config = Config::load(&file, Utc::now()).unwrap();
    let ledger = Ledger::open_or_create(&dir.path().join("ledger.db"), true).unwrap();
    let times = Intervals {
        heartbeat: Duration::ZERO,
        ..Intervals::default()
    };
    let engine = Engine::new(config, times, ledger).unwrap();
    let parts = [WATCH, DELIVER, CONFIG];
    let long_ago = Utc::now() - TimeDelta::hours(1);
    let begin = || {
        engine.begin_run(&parts, false).unwrap();
        engine.ledger.step(|l| l.beat(&parts, long_ago)).unwrap();
    };
    let lives = |part: &Part| part.beat_at > long_ago + TimeDelta::minutes(1);
    let living = || -> Vec<String> {
        engine.beat().unwrap();
        let parts = engine.ledger.step(|l| l.parts()).unwrap();
        let mut names: Vec<String> = parts.into_iter().filter(lives).map(|p| p.name).collect();
        names.sort();
        names
    };
    begin();
    assert_eq!(living(), [CONFIG, DELIVER, WATCH]);
    begin();
    engine.promise(DELIVER, Duration::ZERO);
    assert_eq!(living(), [CONFIG, WATCH]);
    begin();
    engine.promise(WATCH, Duration::ZERO);
    engine.promise(DELIVER, Duration::ZERO);
    assert!(living().is_empty(), "{:?}", living());
    // Its trouble is told all the same.
    let trouble = Error::new(Fault::NeedsUser, "not used");
    engine.record_trouble(CONFIG, Some(&trouble), None).unwrap();
    let told = engine.ledger.step(|l| l.parts()).unwrap();
    assert_eq!(told[0].name, CONFIG);
    assert!(told[0].trouble.is_some());
}
