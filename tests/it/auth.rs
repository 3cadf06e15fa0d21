//! `auth`: the sign-in as a person goes through it, by a plain HTTP client that follows the stand-in's consent page, by
//! pasting, and on another device; and everything that can come in between.

mod answers;
mod browser;
mod callback_requests;
mod credentials;
mod device;
mod echoed;
mod mounted;
mod older;
mod places;
mod sign_in;
