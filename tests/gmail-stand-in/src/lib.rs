//! A stand-in for Gmail: its IMAP server, the part of its API that imports mail, its consent page and its token
//! endpoint, in one process, for tests, benches and a demo.
//!
//! It is written to `docs/gmail.md`, whose sections the comments name, and behaves by default as Gmail is believed
//! to. What Gmail does now and then is a [`Knobs`] field, a [`Refusal`] of a login, a [`TokenTrouble`], or a
//! [`Fault`] at a chosen command; hours pass when [`Clock::advance`] says so. Told to ([`Options::plain`]), it plays
//! another provider's server instead: the source.
//!
//! ```no_run
//! use gmail_stand_in::{Fault, Gmail, Mail, On, Options};
//!
//! let gmail = Gmail::start(Options::default());
//! gmail.add(Mail::new("Message-ID: <1@example.org>\r\n\r\nhello\r\n").seen());
//! gmail.fault(On::nth(1, "APPEND"), Fault::CutAfterLiteral { stored: true });
//! // ... let a client that trusts `gmail.ca_file()` talk to `gmail.port()` ...
//! assert_eq!(gmail.messages().len(), 2);
//! ```
//!
//! It is not for judging clients other than ours: it has no MIME, no COMPRESS, no quota, and no web but a
//! consent page. It shares no code with the program that it tests.

// A fixture that cannot go on has nothing better to do than panic.
#![allow(clippy::unwrap_used)]

mod api;
mod clock;
mod consent;
mod faults;
mod knobs;
mod labels;
mod message;
mod names;
mod oauth;
mod options;
mod poison;
mod refusal;
mod rest;
mod server;
mod session;
mod store;
mod syntax;
mod tokens;
mod transcript;
mod wire;

pub use api::Gmail;
pub use clock::Clock;
pub use consent::ConsentPage;
pub use faults::{
    Fault, Hits, OVERQUOTA, On, SESSION_EXPIRED, SYSTEM_ERROR, TOKEN_EXPIRED, UNABLE_TO_APPEND,
    UNAVAILABLE,
};
pub use knobs::{Dedupe, DedupeKey, ExpungeBehavior, Knobs, OverquotaForm, SameMailbox};
pub use message::Place;
pub use names::Use;
pub use oauth::{TokenRequest, TokenTrouble};
pub use options::{Closed, Kind, Locale, Mail, OUTLOOK_SCOPE, Options, Stored};
pub use poison::{Harm, Reach};
pub use refusal::Refusal;
pub use rest::{ApiFault, ApiFilter, ApiImport, ApiKnobs, ApiRefusal, ApiRequest};
pub use tokens::{CLIENT_ID, CLIENT_SECRET, SCOPE};
pub use transcript::{Line, Side, Transcript};
