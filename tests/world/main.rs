//! The world changes underneath: mailboxes are renumbered, emptied and made anew, clocks are set, weeks pass, others work
//! on the same accounts, and owners do as they like with what was delivered.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../gmail/stage.rs"]
mod stage;

mod clock;
mod others;
mod owner;
mod uids;

#[test]
fn program() {
    common::world::program();
}
