//! Tries a token file without changing it, for `check`.
//!
//! Only a renewal shows whether a file is still good. Google's refresh tokens stay the same
//! (docs/gmail.md 7.2), so a renewal that is not written to the file costs nothing. Other providers replace them
//! at each use (docs/gmail.md 8.2): a renewal that is not written may end the sign-in, so none is made.

use std::io;

use chrono::TimeDelta;

use super::http::Http;
use super::provider::Provider;
use super::renew::{Access, Granted, renew};
use super::token_file::{Keeping, TokenFile, keeping};
use super::tokens::Tokens;
use crate::error::{Error, Fault, Result};
use crate::message::Time;

/// What was learned about a token file.
#[derive(Debug)]
pub struct Proof {
    /// What to sign in with, if there is anything.
    pub access: Option<Access>,
    /// When the access token in the file ends.
    pub expiry: Option<Time>,
    pub renewal: Renewal,
    /// When a person last consented, where the file says so.
    pub consented_at: Option<Time>,
    /// A warning where the sign-in will end soon.
    pub ends_soon: Option<Error>,
    /// How a person signs in again.
    pub sign_in: String,
    pub keeping: Keeping,
    /// Each renewal may bring another refresh token: if that cannot be written, the sign-in is lost.
    pub rotates: bool,
    /// How far the clock of the token endpoint is ahead of ours, where it told its time.
    pub ahead: Option<TimeDelta>,
}

/// What became of the attempt to renew.
#[derive(Debug)]
pub enum Renewal {
    Works,
    /// It works, but unexpectedly the refresh token was replaced: the new one was written to the file, since
    /// the old one may no longer work.
    Replaced,
    Failed(Error),
    /// It might use the refresh token up.
    NotTried,
    /// This key, which a renewal needs, is not in the file.
    Impossible(&'static str),
}

impl Tokens {
    /// Tries the file. It is written only if Google's server, against expectation, gives another refresh token.
    ///
    /// # Errors
    /// `NeedsUser` when the file cannot be used at all.
    pub fn prove(&self, now: Time) -> Result<Proof> {
        let file = &self.file;
        let http = Http::new(self.limit);
        let mut contents = file.read()?;
        let expiry_in_file = contents.expiry;
        let consented_at = contents.consented_at();
        let from_file = contents.token.clone().map(|token| Access {
            token,
            renew_at: None,
            fresh: false,
        });
        let (renewal, renewed) = match contents.lacks() {
            Some(key) => (Renewal::Impossible(key), None),
            // Only Google's refresh tokens certainly stay the same.
            None if contents.provider() != Provider::Google => (Renewal::NotTried, None),
            None => {
                let _alone = file.alone(self.limit);
                match renew(file, &mut contents, &http, now) {
                    Err(e) => (Renewal::Failed(e), None),
                    Ok(Granted { access, rotated }) => {
                        if rotated {
                            let written = file.write(&contents.map);
                            written.map_err(|e| not_written(file, &e))?;
                        }
                        match access {
                            Err(e) => (Renewal::Failed(e), None),
                            Ok(access) if rotated => (Renewal::Replaced, Some(access)),
                            Ok(access) => (Renewal::Works, Some(access)),
                        }
                    }
                }
            }
        };
        let lasts = expiry_in_file.is_some_and(|end| now < end);
        let lasts = lasts || matches!(renewal, Renewal::Impossible(_));
        Ok(Proof {
            access: renewed.or(from_file.filter(|_| lasts)),
            expiry: expiry_in_file,
            renewal,
            consented_at,
            ends_soon: self.ends_soon(now),
            sign_in: file.sign_in(Some(contents.provider())),
            keeping: keeping(file.path()),
            rotates: contents.provider() != Provider::Google,
            ahead: http.ahead(),
        })
    }
}

fn not_written(file: &TokenFile, e: &io::Error) -> Error {
    file.error(
        Fault::NeedsUser,
        format!("the token endpoint replaced the refresh token, and the new one cannot be written here: {e}"),
    )
    .hint(file.sign_in(Some(Provider::Google)))
}
