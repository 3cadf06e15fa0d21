//! `check` against worlds that are broken in one place each: it names the cause and the mend, tries everything else all
//! the same, and changes nothing: that is looked at after every single check here.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::print_stdout)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../gmail/stage.rs"]
#[allow(dead_code)]
mod stage;

mod desk;
mod found;
mod ledger;
mod mounted;
mod places;
mod room;
mod screens;
mod servers;
mod settings;
mod strangers;
mod terminal;
mod token;

#[test]
fn program() {
    common::world::program();
}
