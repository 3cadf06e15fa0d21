//! What the stand-in does as Gmail does it, seen from outside: over IMAP and over HTTP.

#![allow(clippy::unwrap_used)]

mod append;
mod client;
mod consent;
mod faults;
mod mailboxes;
mod messages;
mod oauth;
mod sign_in;
