//! `auth`: the sign-in as a person goes through it, by a plain HTTP client that follows the stand-in's consent page, by
//! pasting, and on another device; and everything that can come in between.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../common/mod.rs"]
mod common;

mod answers;
mod browser;
mod credentials;
mod desk;
mod device;
mod echoed;
mod mounted;
mod older;
mod places;
mod strays;

/// The program itself, when [`desk::Desk::hurried`] starts this binary as that.
#[test]
fn program() {
    desk::program();
}
