//! The token file, in google-auth's format as the Python script kept it (docs/gmail.md 7.5), and the
//! renewal of its access token (`contents`, `renewal`); the sign-in that makes the file: `client`,
//! `consent` and `listener` (in a browser), `device`, `exchange`, `file`; and what a refusal means on
//! either road (`refusal`).
//!
//! The file may change under us: other routes share it, and a person replaces it. So it is read
//! anew each time a token is needed, and what we do not know in it is kept. Some providers give a
//! new refresh token with each renewal (Microsoft, docs/gmail.md 8.2), and may take the old one back (RFC
//! 6749 6): who shares the file renews one after the other, and what came is on disk before it is used.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use chrono::TimeDelta;
use log::{info, warn};
use oauth2::TokenResponse as _;
use serde_json::{Map, Value};

use crate::config::{Origin, Secret, Side, json_place};
use crate::error::{Error, Fault, Result, shown};
use crate::message::{Sha256, Time, sha256};
use crate::place::{FilePlace, Want, folder_name};
use crate::text;

mod client;
mod consent;
mod contents;
mod device;
mod exchange;
mod file;
mod listener;
mod proof;
mod refusal;
mod renewal;

pub use client::{Client, Provider};
pub use consent::{Code, Consent};
pub use device::Device;
pub use exchange::Grant;
pub use file::{Keeping, PUBLISH, TESTING_LIFE, TokenPlace};
pub use listener::Page;
pub use proof::{Proof, Renewal};

use contents::Contents;
use file::Written;

/// A token is renewed this long before its end, or a quarter of its life if that is less.
const MARGIN: TimeDelta = TimeDelta::seconds(60);
/// What is said to last longer is renewed all the same: Google's tokens last an hour.
const LIFE_MAX: TimeDelta = TimeDelta::days(365);

/// An access token, good for now as far as we know.
#[derive(Clone, Debug)]
pub struct Access {
    pub token: Secret<String>,
    /// When it is to be replaced; None: when it is refused.
    pub renew_at: Option<Time>,
    /// Straight from the token endpoint, or all there is: when it is refused a person must act.
    pub fresh: bool,
}

/// One token file.
pub struct Tokens {
    path: PathBuf,
    origin: Origin,
    limit: Duration,
    held: Mutex<Held>,
    seen: Mutex<Seen>,
    /// How far the token endpoint's clock was ahead of ours at its last answer.
    ahead: Mutex<Option<TimeDelta>>,
}

/// What we hold beside the file.
#[derive(Default)]
struct Held {
    renewed: Option<Renewed>,
    /// That the file cannot be written was said; and that a refresh token is at stake.
    warned: Option<bool>,
}

/// Our last renewal. It counts for as long as nobody else writes the file.
struct Renewed {
    access: Option<Access>,
    /// What could not be written: it stands in for the file, which may hold a dead refresh token.
    unsaved: Option<Map<String, Value>>,
    /// Hash of the file that it was written to, or else came from.
    file: Sha256,
}

/// What a renewal gave.
struct Granted {
    access: Result<Access>,
    /// There is another refresh token now.
    rotated: bool,
}

/// The file as others left it.
struct Seen {
    file: Option<(u64, SystemTime)>,
    edition: u64,
}

impl Tokens {
    /// `limit`: for one exchange with the token endpoint.
    pub fn new(path: &Path, limit: Duration) -> Tokens {
        Tokens {
            path: path.to_path_buf(),
            origin: Origin {
                token_file: Some(path.to_path_buf()),
                ..Origin::default()
            },
            limit,
            held: Mutex::default(),
            seen: Mutex::new(Seen {
                file: file_at(path),
                edition: 0,
            }),
            ahead: Mutex::default(),
        }
    }

    /// Where in which configuration the file is named: for words about how to sign in again.
    #[must_use]
    pub fn named_by(mut self, origin: &Origin) -> Tokens {
        self.origin = origin.clone();
        self
    }

    /// How a person signs in again; the provider is the file's, where that can be read.
    fn sign_in(&self, provider: Option<Provider>) -> String {
        format!(
            "sign in again with {}; a run that goes on picks the new sign-in up by itself",
            self.origin.sign_in(provider.map(Provider::name))
        )
    }

    /// The file that a first sign-in makes is not there.
    fn not_signed_in(&self) -> Error {
        let origin = &self.origin;
        let (whom, easier) = match origin.side {
            Side::Source => ("the source", String::new()),
            Side::Target => (
                "Google",
                format!(
                    ". An app password is often easier (2-Step Verification must be on): make one at https://myaccount.google.com/apppasswords and put it into {} as `{}`, in place of `{}`",
                    origin.file(),
                    origin.key("pass"),
                    origin.key("token_file")
                ),
            ),
        };
        let name = self.path.file_name().unwrap_or_default();
        Error::new(
            Fault::NeedsUser,
            format!(
                "not signed in to {whom} yet: {} (`{}`) does not exist in {}",
                shown(name.as_encoded_bytes()),
                origin.key("token_file"),
                folder_name(&self.path)
            ),
        )
        .hint(format!(
            "sign in with {}; a run that goes on picks it up by itself{easier}",
            origin.sign_in(None)
        ))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Another number whenever somebody else than us has put another file in place.
    pub fn edition(&self) -> u64 {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = file_at(&self.path);
        if std::mem::replace(&mut seen.file, now) != now {
            seen.edition += 1;
        }
        seen.edition
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

    /// Is there anything in the file to renew it with? Where another program renews it, there need not be.
    ///
    /// # Errors
    /// `NeedsUser` when it cannot be read.
    pub fn can_renew(&self) -> Result<bool> {
        Ok(self.read()?.can_renew())
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
            return Err(self.cannot_renew(&contents));
        }
        let _alone = self.alone();
        let mut tried: Option<(String, Error)> = None;
        loop {
            // Whoever had the file to himself until now may have renewed it.
            let contents = self.current(held)?;
            if let Some(access) = at_hand(held, &contents) {
                return Ok(access);
            }
            let refresh = contents.text("refresh_token").unwrap_or_default();
            match tried {
                Some((dead, e)) if dead == refresh => return Err(e),
                _ => {}
            }
            match self.exchange(&contents) {
                Ok(reply) => return self.keep(held, contents, &reply, now),
                // Programs that know nothing of our lock may have rotated it: then another one is there.
                Err(e) if e.credentials_refused && tried.is_none() => tried = Some((refresh, e)),
                Err(e) => return Err(e),
            }
        }
    }

    /// The file, or what we know better and could not write.
    fn current(&self, held: &mut Held) -> Result<Contents> {
        let contents = self.read()?;
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
        if let Ok(hash) = self.write(&map) {
            info!(
                "{}: the renewed token is in the file now",
                self.path.display()
            );
            (renewed.unsaved, renewed.file) = (None, hash);
            held.warned = None;
        }
        self.contents(map, renewed.file)
    }

    /// Keeps others who share the file from renewing it at the same time, until it is dropped. The
    /// file is replaced by a renewal, so who waited for it looks whether it is still the one. None
    /// where there are no locks, or one is held for longer than an exchange may take.
    fn alone(&self) -> Option<File> {
        let until = Instant::now() + self.limit;
        while Instant::now() < until {
            let file = File::open(&self.path).ok()?;
            match file.try_lock() {
                Ok(()) => {
                    let (ours, there) = (file.metadata().ok()?, fs::metadata(&self.path).ok()?);
                    if (ours.dev(), ours.ino()) == (there.dev(), there.ino()) {
                        return Some(file);
                    }
                }
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(50)),
                Err(TryLockError::Error(_)) => return None,
            }
        }
        None
    }

    fn error(&self, fault: Fault, what: impl std::fmt::Display) -> Error {
        Error::new(fault, format!("{}: {what}", self.path.display()))
    }

    fn read(&self) -> Result<Contents> {
        let bytes = fs::read(&self.path).map_err(|e| {
            let place = FilePlace {
                what: "token file",
                path: &self.path,
                or: "name another path in the configuration and sign in there, with `imap-to-gmail auth`",
            };
            if e.kind() == ErrorKind::NotFound && place.has_folder() {
                self.not_signed_in()
            } else {
                place.refused(Want::Read, &e).with_fault(Fault::NeedsUser)
            }
        })?;
        let bytes = Secret::new(bytes);
        let text = text::plain(bytes.reveal()).ok_or_else(|| {
            self.error(Fault::NeedsUser, text::UTF_16)
                .hint(text::UTF_16_HINT)
        })?;
        let value: Value = serde_json::from_slice(text).map_err(|e| {
            let (line, column) = json_place(&e, text);
            self.error(
                Fault::NeedsUser,
                format!("not JSON at line {line}, column {column}"),
            )
            .hint(self.sign_in(None))
        })?;
        let Value::Object(map) = value else {
            return Err(self
                .error(Fault::NeedsUser, "there is no `token` in it")
                .hint(self.sign_in(None)));
        };
        self.contents(map, sha256(bytes.reveal()))
    }

    fn contents(&self, map: Map<String, Value>, hash: Sha256) -> Result<Contents> {
        Contents::new(map, hash)
            .map_err(|what| self.error(Fault::NeedsUser, what).hint(self.sign_in(None)))
    }

    /// Puts what the endpoint gave into the file, or where that cannot be, into memory; only then may
    /// it be used.
    fn keep(
        &self,
        held: &mut Held,
        mut contents: Contents,
        reply: &oauth2::basic::BasicTokenResponse,
        now: Time,
    ) -> Result<Access> {
        let Granted { access, rotated } = self.granted(&mut contents, reply, now);
        match &access {
            Ok(_) => info!("{}: the access token was renewed", self.path.display()),
            Err(_) if rotated => {}
            Err(e) => return Err(e.clone()),
        }
        let (unsaved, file) = match self.write(&contents.map) {
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

    /// What the endpoint gave, put into the contents and not yet written. A refresh token counts also
    /// where the access token is good for nothing: the old one may be dead.
    fn granted(
        &self,
        contents: &mut Contents,
        reply: &oauth2::basic::BasicTokenResponse,
        now: Time,
    ) -> Granted {
        let mail = self.grants_mail(contents, reply);
        let old = contents.text("refresh_token");
        let rotated = reply
            .refresh_token()
            .map(|r| r.secret().clone())
            .filter(|r| !r.is_empty() && Some(r) != old.as_ref());
        let life = reply
            .expires_in()
            .map(|d| TimeDelta::from_std(d).map_or(LIFE_MAX, |life| life.min(LIFE_MAX)));
        let access = mail.map(|()| Access {
            token: Secret::new(reply.access_token().secret().clone()),
            renew_at: life.map(|life| now + life - MARGIN.min(life / 4)),
            fresh: true,
        });
        let map = &mut contents.map;
        if let Some(rotated) = &rotated {
            map.insert("refresh_token".into(), rotated.clone().into());
        }
        if let Ok(access) = &access {
            map.insert("token".into(), access.token.reveal().clone().into());
            match life {
                // As google-auth writes it: naive UTC and a Z.
                Some(life) => map.insert("expiry".into(), file::time_text(now + life).into()),
                None => map.remove("expiry"),
            };
        }
        Granted {
            access,
            rotated: rotated.is_some(),
        }
    }

    fn warn_unsaved(&self, held: &mut Held, e: &std::io::Error, rotated: bool) {
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
            self.path.display()
        );
    }

    /// Writes the file anew.
    fn write(&self, map: &Map<String, Value>) -> std::io::Result<Sha256> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Written { hash, .. } = file::write(&self.path, map)?;
        // Ours is no news to those who wait for another file.
        seen.file = file_at(&self.path);
        Ok(hash)
    }

    /// What a person should know of this sign-in that will end soon.
    pub fn ends_soon(&self, now: Time) -> Option<Error> {
        // A file that cannot be read is an error where the token is needed.
        let contents = self.read().ok()?;
        let sign_in = self.origin.sign_in(Some(contents.provider().name()));
        file::ends_soon(&self.path, &contents.map, &sign_in, now)
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

    /// A token that lasts.
    fn good(&self, contents: &Contents, now: Time) -> Option<Access> {
        if let Some(access) = self.own(contents)
            && access.renew_at.is_none_or(|at| now < at)
        {
            // Fresh it was when it came; by now it may have been taken back.
            return Some(Access {
                fresh: false,
                ..access.clone()
            });
        }
        written(contents, now)
    }

    /// A token that is not this one.
    fn other_than(&self, refused: &Access, contents: &Contents, now: Time) -> Option<Access> {
        [self.own(contents).cloned(), written(contents, now)]
            .into_iter()
            .flatten()
            .find(|access| access.token.reveal() != refused.token.reveal())
    }
}

/// The file's token, while it lasts.
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
    // Without what a renewal takes it is used until it is refused.
    (!contents.can_renew()).then_some(Access {
        token,
        renew_at: None,
        fresh: true,
    })
}

/// Which file lies there, and when it was last written: a clock's tick is longer than two renewals.
fn file_at(path: &Path) -> Option<(u64, SystemTime)> {
    let found = fs::metadata(path).ok()?;
    Some((found.ino(), found.modified().ok()?))
}
