//! Looks at each route again and again, so that who should know is told how it is (`alarm`). A route whose ledger does not
//! answer keeps nobody from hearing of the others. Not for what is told, nor when.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use chrono::Utc;
use log::debug;

use super::roster::{Entry, Roster};
use crate::alarm::{Alarm, Hands};
use crate::config::{Intervals, Outline};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::ledger::Shared;
use crate::status::{Asked, Report};

/// Has somebody told how the routes are, for as long as this lives.
pub struct Watchman {
    over: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    hands: Arc<Hands>,
    patience: Duration,
}

/// What watches over the routes, by their configurations.
struct Posts {
    running: HashMap<PathBuf, Post>,
    refused: HashMap<PathBuf, Refused>,
    hands: Arc<Hands>,
    times: Intervals,
}

/// What watches over one run.
struct Post {
    ledger: Arc<Shared>,
    alarm: Arc<Alarm>,
    looking: Arc<Looking>,
}

/// What watches over a route of which no run could begin.
struct Refused {
    alarm: Arc<Alarm>,
    looking: Arc<Looking>,
}

impl Watchman {
    /// Watches over the routes of the roster.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(roster: Roster, times: &Intervals) -> Result<Watchman> {
        let hands = Hands::new(times.ping_limit);
        let (over, ended) = channel();
        let (helping, times) = (Arc::clone(&hands), times.clone());
        let patience = times.farewell;
        let watch = move || {
            let mut posts = Posts {
                running: HashMap::new(),
                refused: HashMap::new(),
                hands: helping,
                times: times.clone(),
            };
            while ended.recv_timeout(times.alarm) == Err(RecvTimeoutError::Timeout) {
                posts.look_at(roster.entries());
            }
        };
        let thread = thread::Builder::new()
            .spawn(watch)
            .map_err(|e| Error::fatal(format!("no thread can be started: {e}")))?;
        Ok(Watchman {
            over: Some(over),
            thread: Some(thread),
            hands,
            patience,
        })
    }
}

impl Posts {
    fn look_at(&mut self, entries: Vec<Entry>) {
        let is_there = |file: &PathBuf| entries.iter().any(|entry| entry.file == *file);
        self.running.retain(|file, _| is_there(file));
        self.refused.retain(|file, _| is_there(file));
        for entry in entries {
            if let (Some(engine), Some(state_file)) = (&entry.engine, &entry.state_file) {
                let (engine, state_file) = (Arc::clone(engine), state_file.clone());
                self.look_at_run(entry, engine, state_file);
                continue;
            }
            // Whoever watches has the ledger open, and the next run is to have it for itself.
            self.running.remove(&entry.file);
            if let Some(e) = entry.refused.clone() {
                self.look_at_refusal(entry, e);
            }
        }
    }

    /// Begins a look at this run, unless one is still under way.
    fn look_at_run(&mut self, entry: Entry, engine: Arc<Engine>, state_file: PathBuf) {
        let ledger = engine.ledger();
        // Each run has its ledger opened anew.
        let is_of_run = |post: &Post| Arc::ptr_eq(&post.ledger, &ledger);
        if !self.running.get(&entry.file).is_none_or(is_of_run) {
            self.running.remove(&entry.file);
        }
        let refused = self.refused.get(&entry.file);
        let refusal = refused.map(|refused| Arc::clone(&refused.alarm));
        let (hands, times) = (&self.hands, &self.times);
        let post = self.running.entry(entry.file).or_insert_with(|| Post {
            alarm: Alarm::new(hands, Arc::clone(&ledger), times, &entry.name),
            ledger,
            looking: Arc::default(),
        });
        if post.alarm.has_nobody_to_tell(&engine.telling()) {
            return;
        }
        let alarm = Arc::clone(&post.alarm);
        post.looking.unless_under_way(move || {
            look(&alarm, refusal.as_ref(), &engine, &state_file);
        });
    }

    /// Begins to tell why no run of this route goes on, unless that is still under way.
    fn look_at_refusal(&mut self, entry: Entry, e: Error) {
        let (hands, times) = (&self.hands, &self.times);
        let refused = self.refused.entry(entry.file.clone());
        let refused = refused.or_insert_with(|| Refused {
            alarm: Alarm::of_refusals(hands, times, &entry.name),
            looking: Arc::default(),
        });
        let alarm = Arc::clone(&refused.alarm);
        refused.looking.unless_under_way(move || {
            let now = Utc::now();
            let outline = Outline::of(&entry.file, now);
            alarm.look_at_refusal(&e, &outline, entry.state_file.as_deref(), now);
        });
    }
}

/// Is a look under way?
#[derive(Default)]
struct Looking(AtomicBool);

impl Looking {
    /// Looks on a thread of its own, unless another look is under way.
    fn unless_under_way(self: &Arc<Looking>, look: impl FnOnce() + Send + 'static) {
        if self.0.swap(true, Ordering::SeqCst) {
            return;
        }
        let looks = Looks(Arc::clone(self));
        let begun = thread::Builder::new().spawn(move || {
            let _looks = looks;
            look();
        });
        if let Err(e) = begun {
            debug!("no thread can be started: {e}");
        }
    }
}

/// A look that is under way, however it ends.
struct Looks(Arc<Looking>);

impl Drop for Looks {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::SeqCst);
    }
}

/// `refusal`: what told that no run could begin.
fn look(alarm: &Arc<Alarm>, refusal: Option<&Arc<Alarm>>, route: &Arc<Engine>, state_file: &Path) {
    let now = Utc::now();
    let asked = Asked {
        state_file,
        with_failed: false,
        files: "",
        upload_limit: None,
    };
    let report = route.ledger().step(|l| Report::new(l, &asked, now));
    for report in report.into_iter().flat_map(|report| report.routes) {
        let telling = route.telling();
        alarm.look(&report, &telling, now);
        if let Some(refusal) = refusal {
            refusal.look_at_beginning(&report, &telling, now);
        }
    }
}

impl Drop for Watchman {
    fn drop(&mut self) {
        self.over.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.hands.rest(self.patience);
    }
}
