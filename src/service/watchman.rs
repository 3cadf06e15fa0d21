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
use crate::config::Intervals;
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

/// What watches over one route.
struct Post {
    /// Whose run it watches.
    ledger: Arc<Shared>,
    alarm: Arc<Alarm>,
    /// A look at it is under way.
    looking: Arc<AtomicBool>,
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
            let mut posts: HashMap<PathBuf, Post> = HashMap::new();
            while ended.recv_timeout(times.alarm) == Err(RecvTimeoutError::Timeout) {
                let entries = roster.entries();
                posts.retain(|file, _| entries.iter().any(|entry| entry.file == *file));
                for entry in entries {
                    take_post(&mut posts, entry, &helping, &times);
                }
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

/// Begins a look at this route, unless one is still under way or no run of it goes on.
fn take_post(
    posts: &mut HashMap<PathBuf, Post>,
    entry: Entry,
    hands: &Arc<Hands>,
    times: &Intervals,
) {
    let (Some(engine), Some(state_file)) = (entry.engine, entry.state_file) else {
        // Whoever watches has the ledger open, and the next run is to have it for itself.
        posts.remove(&entry.file);
        return;
    };
    let ledger = engine.ledger();
    // Each run has its ledger opened anew.
    if posts
        .get(&entry.file)
        .is_some_and(|post| !Arc::ptr_eq(&post.ledger, &ledger))
    {
        posts.remove(&entry.file);
    }
    let post = posts.entry(entry.file).or_insert_with(|| Post {
        alarm: Alarm::new(hands, Arc::clone(&ledger), times, &entry.name),
        ledger,
        looking: Arc::default(),
    });
    if post.alarm.has_nobody_to_tell(&engine.telling()) || post.looking.swap(true, Ordering::SeqCst)
    {
        return;
    }
    let (alarm, looking) = (Arc::clone(&post.alarm), Arc::clone(&post.looking));
    let looks = thread::Builder::new().spawn(move || {
        let _looking = Looking(looking);
        look(&alarm, &engine, &state_file);
    });
    if let Err(e) = looks {
        debug!("no thread can be started: {e}");
        post.looking.store(false, Ordering::SeqCst);
    }
}

/// A look that is under way, however it ends.
struct Looking(Arc<AtomicBool>);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

fn look(alarm: &Arc<Alarm>, route: &Arc<Engine>, state_file: &Path) {
    let now = Utc::now();
    let asked = Asked {
        state_file,
        with_failed: false,
        files: "",
        upload_limit: None,
    };
    let report = route.ledger().step(|l| Report::new(l, &asked, now));
    for report in report.into_iter().flat_map(|report| report.routes) {
        alarm.look(&report, &route.telling(), now);
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
