//! The access token to be used now: the one in the file while it lasts, else a renewed one. Not for how a
//! token is renewed (`renew`) nor for how its file is read and written (`token_file`).
//!
//! The file may change while we run: other routes share it, and a person may replace it. So it is read again
//! each time a token is needed, and keys in it that we do not know are kept. Some providers give a new
//! refresh token with each renewal (Microsoft, docs/gmail.md 8.2) and may revoke the old one (RFC 6749 6). So
//! those who share the file renew one after the other, and new tokens are on disk before they are used.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use log::{info, warn};
use serde_json::{Map, Value};

use super::contents::{self, Contents};
use super::http::Http;
use super::renew::{Access, Granted, MARGIN, cannot_renew, renew};
use super::token_file::TokenFile;
use crate::config::Origin;
use crate::error::{Error, Result};
use crate::message::{Sha256, Time};

/// The tokens of one token file.
pub struct Tokens {
    pub(super) file: TokenFile,
    /// For one exchange with the token endpoint.
    pub(super) limit: Duration,
    held: Mutex<Held>,
}

/// What we know beyond the file.
#[derive(Default)]
struct Held {
    renewed: Option<Renewed>,
    /// Some: it was logged that the file cannot be written. true: also that a refresh token is at stake.
    warned: Option<bool>,
}

/// Our last renewal. It is valid until somebody else writes the file.
struct Renewed {
    access: Option<Access>,
    /// Contents that could not be written. They are used instead of the file, whose refresh token may be dead.
    unsaved: Option<Map<String, Value>>,
    /// The hash of the file after they were written, or, if they were not, before the renewal.
    file: Sha256,
}

impl Tokens {
    /// `limit`: for one exchange with the token endpoint.
    pub fn new(path: &Path, limit: Duration) -> Tokens {
        Tokens {
            file: TokenFile::new(path),
            limit,
            held: Mutex::default(),
        }
    }

    /// Where in which configuration the file is named: for words about how to sign in again.
    #[must_use]
    pub fn named_by(mut self, origin: &Origin) -> Tokens {
        self.file.named_by(origin);
        self
    }

    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// This number changes whenever somebody else has put another file in place.
    pub fn edition(&self) -> u64 {
        self.file.edition()
    }

    /// A token for now: the file's while it lasts, else a renewed one.
    ///
    /// # Errors
    /// `NeedsUser` when a person must sign in again, `Connection` when the token endpoint is out of
    /// reach or out of order.
    pub fn access(&self, now: Time) -> Result<Access> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.at_hand_or_renewed(&mut held, now, |held, contents| held.good(contents, now))
    }

    /// Does the file have what a renewal needs? It may lack that where another program renews it.
    ///
    /// # Errors
    /// `NeedsUser` when it cannot be read.
    pub fn can_renew(&self) -> Result<bool> {
        Ok(self.file.read()?.can_renew())
    }

    /// Another token in place of one that was refused: the file's, if it has been replaced
    /// meanwhile, else a renewed one.
    ///
    /// # Errors
    /// As for [`access`](Self::access).
    pub fn instead_of(&self, refused: &Access, now: Time) -> Result<Access> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.at_hand_or_renewed(&mut held, now, |held, contents| {
            held.other_than(refused, contents, now)
        })
    }

    fn at_hand_or_renewed(
        &self,
        held: &mut Held,
        now: Time,
        at_hand: impl Fn(&Held, &Contents) -> Option<Access>,
    ) -> Result<Access> {
        let contents = self.current(held)?;
        if let Some(access) = at_hand(held, &contents) {
            return Ok(access);
        }
        if !contents.can_renew() {
            return Err(cannot_renew(&self.file, &contents));
        }
        let _alone = self.file.alone(self.limit);
        let mut tried: Option<(String, Error)> = None;
        loop {
            // Whoever held the lock before us may have renewed it.
            let mut contents = self.current(held)?;
            if let Some(access) = at_hand(held, &contents) {
                return Ok(access);
            }
            let refresh = contents.text("refresh_token").unwrap_or_default();
            match tried {
                Some((dead, e)) if dead == refresh => return Err(e),
                _ => {}
            }
            match renew(&self.file, &mut contents, &Http::new(self.limit), now) {
                Ok(granted) => return self.keep(held, contents, granted),
                // A program that ignores our lock may have replaced the refresh token: then the file has
                // another.
                Err(e) if e.credentials_refused && tried.is_none() => tried = Some((refresh, e)),
                Err(e) => return Err(e),
            }
        }
    }

    /// What the file says, or newer contents that we could not write to it.
    fn current(&self, held: &mut Held) -> Result<Contents> {
        let contents = self.file.read()?;
        let Some(renewed) = &mut held.renewed else {
            return Ok(contents);
        };
        let Some(map) = renewed
            .unsaved
            .clone()
            .filter(|_| renewed.file == contents.hash)
        else {
            return Ok(contents);
        };
        if let Ok(hash) = self.file.write(&map) {
            info!(
                "{}: the renewed token is in the file now",
                self.path().display()
            );
            (renewed.unsaved, renewed.file) = (None, hash);
            held.warned = None;
        }
        self.file.contents(map, renewed.file)
    }

    /// Writes the new tokens to the file, or keeps them in memory if that fails; only then may they be used.
    fn keep(
        &self,
        held: &mut Held,
        contents: Contents,
        Granted { access, rotated }: Granted,
    ) -> Result<Access> {
        match &access {
            Ok(_) => info!("{}: the access token was renewed", self.path().display()),
            Err(_) if rotated => {}
            Err(e) => return Err(e.clone()),
        }
        let (unsaved, file) = match self.file.write(&contents.map) {
            Ok(hash) => (None, hash),
            Err(e) => {
                self.warn_unsaved(held, &e, rotated);
                (Some(contents.map), contents.hash)
            }
        };
        held.renewed = Some(Renewed {
            access: access.as_ref().ok().cloned(),
            unsaved,
            file,
        });
        access
    }

    fn warn_unsaved(&self, held: &mut Held, e: &io::Error, rotated: bool) {
        if held.warned.is_some_and(|said| said || !rotated) {
            return;
        }
        held.warned = Some(rotated);
        let stake = if rotated {
            "; a new refresh token came with it, so unless the file and its folder can be written before the next restart, that will need a new sign-in"
        } else {
            ""
        };
        warn!(
            "{}: the renewed token is kept in memory only: {e}{stake}",
            self.path().display()
        );
    }

    /// When a person last signed in, where the file says so.
    pub fn signed_in_at(&self) -> Option<Time> {
        self.file.read().ok()?.consented_at()
    }

    /// A warning where this sign-in will end soon.
    pub fn ends_soon(&self, now: Time) -> Option<Error> {
        // A file that cannot be read is reported where the token is needed.
        let contents = self.file.read().ok()?;
        let sign_in = self.file.sign_in_command(Some(contents.provider()));
        contents::ends_soon(self.path(), &contents.map, &sign_in, now)
    }
}

impl Held {
    fn own(&self, contents: &Contents) -> Option<&Access> {
        let renewed = self.renewed.as_ref()?;
        renewed
            .access
            .as_ref()
            .filter(|_| renewed.file == contents.hash)
    }

    /// A token that has not expired.
    fn good(&self, contents: &Contents, now: Time) -> Option<Access> {
        if let Some(access) = self.own(contents)
            && access.renew_at.is_none_or(|at| now < at)
        {
            // It was fresh when it came; since then it may have been revoked.
            return Some(Access {
                fresh: false,
                ..access.clone()
            });
        }
        written(contents, now)
    }

    /// A token other than the one that was refused.
    fn other_than(&self, refused: &Access, contents: &Contents, now: Time) -> Option<Access> {
        [self.own(contents).cloned(), written(contents, now)]
            .into_iter()
            .flatten()
            .find(|access| access.token.reveal() != refused.token.reveal())
    }
}

/// The token in the file, if it has not expired.
fn written(contents: &Contents, now: Time) -> Option<Access> {
    let token = contents.token.clone()?;
    let renew_at = contents.expiry.map(|end| end - MARGIN);
    if renew_at.is_some_and(|at| now < at) {
        return Some(Access {
            token,
            renew_at,
            fresh: false,
        });
    }
    // One that cannot be renewed is used until it is refused.
    (!contents.can_renew()).then_some(Access {
        token,
        renew_at: None,
        fresh: true,
    })
}
