//! The tests of the program as a whole, one module for each thing that it can do or that can happen to it: see
//! tests/README.md. `cargo test hostile_servers::sign_in` runs those of one module.
//!
//! One test program for all of them is linked once, and its tests share the machine's cores to the end. Whoever needs a
//! process for itself (there is but one logger, and one peak of memory, in each) starts this one again for a single test:
//! `testkit::alone`. Not here: `tests/fuzz_corpus.rs`, whose allocator counts.

// A test that cannot go on has nothing better to do than panic, and what it found out is worth a look.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod alarm;
mod api;
mod audit;
mod auth;
mod by_import;
mod check;
mod citations;
mod copy;
mod crash;
mod daemon;
mod dist;
mod folders;
mod gmail;
mod hostile_routes;
mod hostile_servers;
mod import;
mod layers;
mod logs;
mod mistakes;
mod notices;
mod outside_changes;
mod page;
mod poison;
mod readme;
mod removal;
mod routes;
mod servers;
mod testkit;
mod tree;
mod upgrade;
mod words;

/// The program itself, when `testkit` starts this test program as that.
#[test]
fn program() {
    testkit::route::program();
}
