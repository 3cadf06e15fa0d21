//! The target is Gmail, as the stand-in plays it: its copies, its tokens, its throttles, its refusals.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../common/mod.rs"]
mod common;

mod at_the_door;
mod budget;
mod copies;
mod cost;
mod dry_run;
mod ending;
mod faults;
mod killed;
mod outage;
mod outlook;
mod overlap;
mod patience;
mod places;
mod progress;
mod reread;
mod sign_in;
mod stage;
mod tokens;
mod told;
#[path = "../hostile_routes/twist.rs"]
#[allow(dead_code)]
mod twist;
mod watch;
mod whose_copy;

#[test]
fn program() {
    common::world::program();
}
