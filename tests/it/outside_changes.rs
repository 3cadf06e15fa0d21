//! The world changes underneath: mailboxes are renumbered, emptied and made anew, clocks are set, weeks pass, others work
//! on the same accounts, and owners do as they like with what was delivered.
//!
//! Elsewhere: a source renumbered between runs, with what waits, failed and was skipped, in the middle of a run, at the
//! fetch of a daemon, and for ever; UIDs used again; messages expunged between discovery and fetch (`copy`,
//! `daemon`); a target renumbered with rows in flight, on Dovecot (`crash`); two processes on one ledger
//! (`daemon`); days by the servers' clocks (`gmail::watch`).

mod altered;
mod clock;
mod others;
mod owner;
mod uids;
