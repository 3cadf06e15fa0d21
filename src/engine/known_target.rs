//! What a run has learnt of the target: what kind of account it is, which of its mailboxes do not open, and
//! what a person should know of that.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use log::warn;

use super::lock;
use crate::error::{Error, Fault, shown};
use crate::target::{Account, Policy, Shut, all_mail_hidden};

/// How often a mailbox of copies may refuse to open before it is done without.
const REFUSALS_MAX: u32 = 3;
/// More may have come to a mailbox in a longer time than one answer is to tell of.
const LATELY: Duration = Duration::from_secs(600);

pub(super) struct KnownTarget(Mutex<Known>);

struct Known {
    /// What it is like, as far as it has been entered.
    policy: Policy,
    /// Mailboxes of copies that did not open, by name.
    closed: HashMap<String, Closed>,
    /// What a person should know although mail flows.
    notice: Option<Error>,
    /// When a session of this run last looked at a mailbox from the index's end on, by name.
    caught_up: HashMap<String, Instant>,
    /// How often a mailbox was seen to be put back to an earlier state.
    put_backs: u64,
}

/// A mailbox that did not open.
#[derive(Default)]
struct Closed {
    refusals: u32,
    /// It is done without until then.
    until: Option<Instant>,
}

impl KnownTarget {
    /// Of a target that has not been entered yet.
    pub(super) fn new(policy: Policy) -> KnownTarget {
        KnownTarget(Mutex::new(Known {
            policy,
            closed: HashMap::new(),
            notice: None,
            caught_up: HashMap::new(),
            put_backs: 0,
        }))
    }

    pub(super) fn policy(&self) -> Policy {
        lock(&self.0).policy
    }

    pub(super) fn notice(&self) -> Option<Error> {
        lock(&self.0).notice.clone()
    }

    /// Does the index know this mailbox but for what came lately, since a session of this run looked? And does the server state
    /// where it ends?
    pub(super) fn is_caught_up(&self, mailbox: &str) -> bool {
        let known = lock(&self.0);
        let looked = known.caught_up.get(mailbox);
        looked.is_some_and(|at| at.elapsed() < LATELY)
    }

    pub(super) fn note_caught_up(&self, mailbox: &str) {
        let caught_up = &mut lock(&self.0).caught_up;
        match caught_up.get_mut(mailbox) {
            Some(at) => *at = Instant::now(),
            None => drop(caught_up.insert(mailbox.to_string(), Instant::now())),
        }
    }

    /// What was seen before of any mailbox may not hold any more.
    pub(super) fn note_put_back(&self) {
        let mut known = lock(&self.0);
        known.caught_up.clear();
        known.put_backs += 1;
    }

    pub(super) fn put_backs(&self) -> u64 {
        lock(&self.0).put_backs
    }

    /// Takes note of an account that was opened `without` some of its mailboxes.
    pub(super) fn note_opened(&self, account: &Account, without: &[String]) {
        let mut known = lock(&self.0);
        known.policy = account.policy();
        known.notice = if !without.is_empty() {
            let names = shown(without.join(", ").as_bytes());
            Some(Error::new(
                Fault::Transient,
                format!(
                    "{names} of the target does not open now, so copies in it are not recognised"
                ),
            ))
        } else if account.lacks_all_mail() {
            Some(all_mail_hidden())
        } else {
            None
        };
    }

    /// Takes note of a mailbox of copies that hangs, or refuses to open again and again: it is done without
    /// for `a_while`.
    pub(super) fn note_shut(&self, account: &Account, a_while: Duration) {
        let Some((name, shut)) = account.shut() else {
            return;
        };
        if !self.is_to_be_done_without(name, shut, a_while) {
            return;
        }
        let is_the_first = account
            .index_mailboxes()
            .first()
            .is_some_and(|first| first == name);
        let name = shown(name.as_bytes());
        if is_the_first {
            warn!(
                "{name} does not open; looking for copies in {} instead for a while",
                shown(account.delivery().as_bytes())
            )
        } else {
            warn!("{name} does not open; looking for no copies there for a while")
        }
    }

    fn is_to_be_done_without(&self, name: &str, shut: Shut, a_while: Duration) -> bool {
        let mut known = lock(&self.0);
        let closed = known.closed.entry(name.to_string()).or_default();
        closed.refusals = match shut {
            Shut::Refused => closed.refusals + 1,
            Shut::Stuck => REFUSALS_MAX,
        };
        let is = closed.refusals >= REFUSALS_MAX;
        if is {
            closed.refusals = 0;
            closed.until = Some(Instant::now() + a_while);
        }
        is
    }

    /// The mailboxes that are done without now, in order.
    pub(super) fn closed_now(&self) -> Vec<String> {
        let now = Instant::now();
        let known = lock(&self.0);
        let closed = known
            .closed
            .iter()
            .filter(|(_, c)| c.until.is_some_and(|until| now < until));
        let mut names: Vec<String> = closed.map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names
    }
}
