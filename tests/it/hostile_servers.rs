//! Servers that lie, stall, break off or never end, each with the very line that makes the bare
//! `imap` crate panic, overflow its stack, lose its place, wait for ever or lose the server's
//! words; and what a `Session` does instead.
//!
//! What must hold everywhere: an APPEND counts as done only by a tagged OK to a message that was
//! sent; the server's words are kept; no secret is shown; every wait ends; memory is bounded.

mod answers;
mod append;
mod bounds;
mod certificates;
mod door;
mod fetched;
mod looks;
mod script;
mod secrets;
mod sign_in;
mod tls;
mod turns;
mod words;
