//! OAuth: the token file, in google-auth's format as the Python script kept it (docs/gmail.md 7.5), the
//! renewal of its access token, and the sign-in that makes it. Not for how a session signs in with a token
//! (`session`, `credentials`).
//!
//! Each file imports only what stands above it; `tests/layers.rs` holds them to that:
//! ```text
//! provider    Google, Microsoft or another, and the scope that its mail wants
//! http        one exchange with it, how much of a reply is read
//! refusal     what a provider's refusal means to a person, on each road to a token
//! contents    what a token file says
//! token_file  how that file is read, locked and written
//! renew       a refresh token exchanged for an access token
//! tokens      the access token that is used now
//! proof       a token file tried without a change to it, for `check`
//! sign_in     in a browser or on another device; its own files in order are in there
//! ```

mod contents;
mod http;
mod proof;
mod provider;
mod refusal;
mod renew;
mod sign_in;
mod token_file;
mod tokens;

pub use proof::{Proof, Renewal};
pub use provider::{PUBLISH, Provider, TESTING_LIFE};
pub use renew::Access;
pub use sign_in::{Client, Code, Consent, Device, Grant, Page, TokenPlace};
pub use token_file::Keeping;
pub use tokens::Tokens;
