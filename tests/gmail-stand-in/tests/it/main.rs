//! What the stand-in does as Gmail does it, seen from outside: over IMAP and over HTTP.

#![allow(clippy::unwrap_used)]

mod api;
mod append;
mod client;
mod consent;
mod faults;
mod labels;
mod mailboxes;
mod messages;
mod notify;
mod oauth;
mod plain;
mod sign_in;
