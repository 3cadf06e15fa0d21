//! Nothing lost and nothing twice when the process is killed, when connections are cut and when the ledger cannot be
//! written: at every point there is, at random moments, and at the worst ones.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../common/mod.rs"]
mod common;

mod binary;
mod fuse;
mod moments;
mod points;
mod stage;
mod uplink;
mod writes;

#[test]
fn program() {
    common::world::program();
}
