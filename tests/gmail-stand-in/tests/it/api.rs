//! The API (docs/gmail-import.md), asked with bare HTTP over TLS: what is answered, what becomes of the message, and
//! what is seen of it over IMAP.

mod faults;
mod messages;
mod request;
mod resumable;
