//! What waits for a word of the test: answers that are ready, requests that are not carried out yet, spam that is not
//! classified yet.

use std::sync::Arc;

use super::http::Head;
use super::{Route, carry_out};
use crate::message::Place;
use crate::server::Shared;

#[derive(Debug, Default)]
pub(crate) struct Held {
    requests: Vec<(Route, Head, Vec<u8>)>,
    spam: Vec<u64>,
    /// Answers that wait now.
    pub(crate) answers: usize,
    /// How often answers were let go.
    releases: usize,
}

impl Held {
    pub(super) fn request(&mut self, route: Route, head: Head, body: Vec<u8>) {
        self.requests.push((route, head, body));
    }

    pub(super) fn spam(&mut self, id: u64) {
        self.spam.push(id);
    }

    pub(crate) fn release(&mut self) {
        self.releases += 1;
    }
}

/// An answer that waits, until it is let go or its client is.
pub(super) struct Waiting<'a> {
    shared: &'a Shared,
    release: usize,
}

impl Waiting<'_> {
    pub(super) fn new(shared: &Shared) -> Waiting<'_> {
        let mut held = shared.held.lock().unwrap();
        held.answers += 1;
        let release = held.releases;
        drop(held);
        Waiting { shared, release }
    }

    pub(super) fn is_over(&self) -> bool {
        self.shared.held.lock().unwrap().releases > self.release
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.held.lock().unwrap().answers -= 1;
    }
}

/// Carries out what was held; how much that was.
pub(crate) fn commit(shared: &Arc<Shared>) -> usize {
    let requests = std::mem::take(&mut shared.held.lock().unwrap().requests);
    let count = requests.len();
    for (route, head, body) in requests {
        let _ = carry_out(shared, &route, &head, body);
    }
    count
}

/// Moves to Spam what waited for that; how much that was.
pub(crate) fn classify(shared: &Shared) -> usize {
    let spam = std::mem::take(&mut shared.held.lock().unwrap().spam);
    let mut store = shared.store.lock().unwrap();
    let moved = spam.iter().filter(|&&id| store.put(id, 0, Place::Spam));
    moved.count()
}
