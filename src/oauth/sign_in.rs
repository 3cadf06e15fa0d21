//! The sign-in that makes a token file. Not for what becomes of that file later.
//!
//! Each file imports only what stands above it:
//! ```text
//! client_file  the OAuth client that a person made at a provider
//! grant        a code exchanged for tokens
//! token_place  where the token file goes, and what a sign-in writes there
//! redirect     the HTTP listener to which the browser is sent back
//! browser      the sign-in in a browser
//! device       the sign-in on another device
//! ```

mod browser;
mod client_file;
mod device;
mod grant;
mod redirect;
mod token_place;

pub use browser::Consent;
pub use client_file::Client;
pub use device::Device;
pub use grant::{Code, Grant};
pub use redirect::Page;
pub use token_place::TokenPlace;
