//! imap-to-gmail: copies the mail of another account into Gmail.
pub mod config;
pub mod error;
pub mod message;
pub mod reply;
pub mod session;
pub mod wire;
