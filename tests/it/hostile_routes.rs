//! A whole run with a server that is hostile, on either side: it ends in bounded time and memory, says in words what
//! was wrong, charges nobody who is not to blame, and everything else is delivered. And mail that no program wrote.
//!
//! What a session does with single answers is in `tests/hostile_servers`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../common/mod.rs"]
mod common;

mod echoes;
mod found;
mod idle_once;
mod ledger_gone;
mod lies;
mod madness;
mod mail;
mod named_later;
mod oddity;
mod one_connection;
mod refusals;
mod refused_once;
mod restored;
mod stage;
mod token_endpoint;
mod truths;
mod twist;
mod uidnext_behind;
mod uids;

#[test]
fn program() {
    common::world::program();
}
