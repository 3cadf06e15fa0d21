//! What a side of the route signs in with: a user, and a password or the tokens of a file. The one place that
//! decides what happens when a token is refused, for sessions of either side.
//!
//! Not for where passwords come from (`config`) nor for what is in a token file (`oauth`).

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;

use crate::config::{Key, Origin, Secret};
use crate::error::{Error, Fault, Result};
use crate::message::Time;
use crate::oauth::{Access, Tokens};
use crate::session::Login;

pub struct Credentials {
    user: String,
    means: Means,
}

enum Means {
    Password(Secret<String>),
    Tokens(Arc<Tokens>),
}

impl Credentials {
    /// `limit`: for one exchange with a token endpoint; `origin`: what the configuration says of this side.
    /// `others`: where one of them uses the same token file, its tokens are shared, so that no renewal is lost,
    /// even when the configuration changes.
    pub fn new(
        user: &str,
        key: &Key,
        origin: &Origin,
        limit: Duration,
        others: &[&Credentials],
    ) -> Credentials {
        let means = match key {
            Key::Password(password) => Means::Password(password.clone()),
            Key::TokenFile(path) => {
                let known = others
                    .iter()
                    .filter_map(|other| other.tokens())
                    .find(|tokens| tokens.path() == path);
                Means::Tokens(match known {
                    Some(tokens) => Arc::clone(tokens),
                    None => Arc::new(Tokens::new(path, limit).named_by(origin)),
                })
            }
        };
        Credentials {
            user: user.to_string(),
            means,
        }
    }

    /// Opens a session with the password or a token that is good now; `open` is told when the token is to be
    /// replaced. A token that is refused is renewed once: a person is needed only if the fresh one is refused
    /// too.
    ///
    /// # Errors
    /// Those of `open`; and `NeedsUser` or `Connection` when there is no token to be had.
    pub fn enter<T>(&self, open: impl Fn(&Login, Option<Time>) -> Result<T>) -> Result<T> {
        let tokens = match &self.means {
            Means::Password(password) => {
                let login = Login::Password {
                    user: self.user.clone(),
                    password: password.clone(),
                };
                return open(&login, None);
            }
            Means::Tokens(tokens) => tokens,
        };
        with_access(tokens, |access| {
            let login = Login::Token {
                user: self.user.clone(),
                token: access.token.clone(),
            };
            open(&login, access.renew_at)
        })
    }

    /// The same for one exchange with the API of the account.
    ///
    /// # Errors
    /// As [`enter`](Self::enter); `NeedsUser` where there is only a password.
    pub fn ask<T>(&self, ask: impl Fn(&Secret<String>) -> Result<T>) -> Result<T> {
        match &self.means {
            Means::Tokens(tokens) => with_access(tokens, |access| ask(&access.token)),
            Means::Password(_) => Err(Error::new(
                Fault::NeedsUser,
                "Gmail's API takes no password, but a Google sign-in",
            )),
        }
    }

    /// Does it sign in with a token?
    pub fn has_token(&self) -> bool {
        self.tokens().is_some()
    }

    /// Can the tokens still be renewed, where that is our task? It is tried by renewing a token early.
    ///
    /// # Errors
    /// `NeedsUser` when a person must sign in again, `Connection` when that cannot be found out now.
    pub fn renew(&self, now: Time) -> Result<()> {
        let Some(tokens) = self.tokens() else {
            return Ok(());
        };
        let access = tokens.access(now)?;
        if !access.fresh && tokens.can_renew()? {
            tokens.instead_of(&access, now)?;
        }
        Ok(())
    }

    /// Another number whenever a person, or another program, has put another token file in place.
    pub fn edition(&self) -> u64 {
        self.tokens().map_or(0, |tokens| tokens.edition())
    }

    /// What a person should know of a sign-in that will end soon.
    pub fn ends_soon(&self, now: Time) -> Option<Error> {
        self.tokens()?.ends_soon(now)
    }

    fn tokens(&self) -> Option<&Arc<Tokens>> {
        match &self.means {
            Means::Password(_) => None,
            Means::Tokens(tokens) => Some(tokens),
        }
    }
}

/// With a token that is good now. One that is refused is renewed, once.
fn with_access<T>(tokens: &Tokens, with: impl Fn(&Access) -> Result<T>) -> Result<T> {
    let access = tokens.access(Utc::now())?;
    match with(&access) {
        Err(e) if e.credentials_refused && !access.fresh => {
            with(&tokens.instead_of(&access, Utc::now())?)
        }
        end => end,
    }
}
