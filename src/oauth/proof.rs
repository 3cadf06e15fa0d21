//! A token file tried without a change to it, for `check`.
//!
//! What a file is good for shows only when its token is renewed. Google's refresh tokens stay what
//! they are (docs/gmail.md 7.2), so a renewal that nobody writes down costs nothing. Others' are replaced
//! at each use (docs/gmail.md 8.2): there an unwritten renewal may end the sign-in, and none is made.

use std::io;

use chrono::TimeDelta;

use super::http::Http;
use super::provider::Provider;
use super::renew::{Access, Granted, renew};
use super::token_file::{Keeping, TokenFile, keeping};
use super::tokens::Tokens;
use crate::error::{Error, Fault, Result};
use crate::message::Time;

/// What was learned of a token file.
#[derive(Debug)]
pub struct Proof {
    /// What to sign in with, if there is anything.
    pub access: Option<Access>,
    /// The end of the access token in the file.
    pub expiry: Option<Time>,
    pub renewal: Renewal,
    /// When a person last consented, where the file says so.
    pub consented_at: Option<Time>,
    /// What a person should know of a sign-in that will end soon.
    pub ends_soon: Option<Error>,
    /// How a person signs in again.
    pub sign_in: String,
    pub keeping: Keeping,
    /// Another refresh token may come with each renewal: what is not kept is lost.
    pub rotates: bool,
    /// How far the clock of the token endpoint is ahead of ours, where it told its time.
    pub ahead: Option<TimeDelta>,
}

/// What became of the attempt to renew.
#[derive(Debug)]
pub enum Renewal {
    Works,
    /// It works, and the refresh token was replaced against expectation: the new one is in the file,
    /// since the old one may be good for nothing.
    Replaced,
    Failed(Error),
    /// It might use the refresh token up.
    NotTried,
    /// This key, which a renewal takes, is not in the file.
    Impossible(&'static str),
}

impl Tokens {
    /// Tries the file. It is written only where a server hands out another refresh token although
    /// it is Google's.
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
            // Google's stay what they are.
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
