//! What takes time is done here, a few at a time in the whole process, in the order in which it came. Not for what that is.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use log::error;

use crate::http::Agents;

/// Pings at a time, and besides as many commands: the ones never wait for the others.
const AT_A_TIME: usize = 8;

const SETTLING: Duration = Duration::from_secs(10);
/// How long ending a command may take.
const LAST: Duration = Duration::from_secs(2);

pub(super) type Job = Box<dyn FnOnce() + Send>;

/// The threads of a process that tell others how its routes are.
pub struct Hands {
    pings: Arc<Line>,
    commands: Arc<Line>,
    pub(super) agents: Agents,
    over: AtomicBool,
}

impl Hands {
    /// `limit`: for one ping.
    pub fn new(limit: Duration) -> Arc<Hands> {
        Arc::new(Hands {
            pings: Arc::default(),
            commands: Arc::default(),
            agents: Agents::new(limit),
            over: AtomicBool::new(false),
        })
    }

    pub(super) fn run_ping(&self, job: Job) {
        Line::add(&self.pings, job);
    }

    pub(super) fn run_command(&self, job: Job) {
        Line::add(&self.commands, job);
    }

    /// The process ends: what has not begun does not begin, and commands under way are given this time to end. Then they
    /// are ended.
    pub fn rest(&self, patience: Duration) {
        for line in [&self.pings, &self.commands] {
            line.waiting().jobs.clear();
        }
        self.commands.wait(patience);
        self.over.store(true, Ordering::Relaxed);
        self.commands.wait(LAST);
    }

    /// Until nothing is under way, or for some seconds.
    pub fn settle(&self) {
        self.pings.wait(SETTLING);
        self.commands.wait(SETTLING);
    }

    /// Has everybody had the time that there was?
    pub(super) fn are_to_rest(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Jobs, and those who do them: threads that come with the work and go with it.
#[derive(Default)]
struct Line {
    waiting: Mutex<Waiting>,
    ended: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    working: usize,
}

impl Line {
    fn add(line: &Arc<Line>, job: Job) {
        let mut waiting = line.waiting();
        waiting.jobs.push_back(job);
        if waiting.working >= AT_A_TIME {
            return;
        }
        let own = Arc::clone(line);
        // Where no thread can be had, the next job's takes this one too.
        if thread::Builder::new().spawn(move || own.work()).is_ok() {
            waiting.working += 1;
        }
    }

    fn work(&self) {
        loop {
            let mut waiting = self.waiting();
            let Some(job) = waiting.jobs.pop_front() else {
                waiting.working -= 1;
                self.ended.notify_all();
                return;
            };
            drop(waiting);
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                error!("imap-to-gmail itself broke down while it told others how it is");
            }
        }
    }

    /// Until nothing of it is under way, but no longer than this.
    fn wait(&self, patience: Duration) {
        let busy = |waiting: &mut Waiting| waiting.working > 0;
        let _ = self
            .ended
            .wait_timeout_while(self.waiting(), patience, busy);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn few_work_at_a_time_and_nothing_is_left() {
        let line = Arc::new(Line::default());
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (done, ends) = channel();
        for n in 0..10 * AT_A_TIME {
            let (now, most, done) = (Arc::clone(&now), Arc::clone(&most), done.clone());
            let job = move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(2));
                now.fetch_sub(1, Ordering::SeqCst);
                let _ = done.send(n);
                assert!(
                    n % 7 > 0,
                    "one that breaks down keeps no other from its turn"
                );
            };
            Line::add(&line, Box::new(job));
        }
        drop(done);
        assert_eq!(ends.iter().count(), 10 * AT_A_TIME);
        assert!(most.load(Ordering::SeqCst) <= AT_A_TIME);
    }
}
