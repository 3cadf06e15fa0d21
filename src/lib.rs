//! imap-to-gmail: copies the mail of another account into Gmail.
pub mod cli;
pub mod config;
pub mod engine;
pub mod error;
pub mod gmail;
pub mod ledger;
pub mod logging;
pub mod message;
pub mod oauth;
pub mod reply;
pub mod session;
pub mod source;
pub mod status;
pub mod wire;
