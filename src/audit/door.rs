//! A session with either side, opened again where it is lost. Not for what is asked through it.

use crate::config::{Config, Intervals};
use crate::credentials::Credentials;
use crate::error::{Result, Scope};
use crate::source::Source;
use crate::target::{Account, Entry};

/// A session that is lost is opened anew so often for one question.
const AGAIN_MAX: u32 = 2;

type Opens<'a, S> = dyn Fn() -> Result<S> + 'a;

pub(super) struct Door<'a, S> {
    open: Box<Opens<'a, S>>,
    usable: fn(&S) -> bool,
    session: Option<S>,
}

impl<S> Door<'_, S> {
    /// Asks. Where the session is lost meanwhile, all of it is asked once more, in another one: nothing is open there.
    pub(super) fn ask<T>(&mut self, mut work: impl FnMut(&mut S) -> Result<T>) -> Result<T> {
        let mut again = 0;
        loop {
            let session = match self.session.take().filter(self.usable) {
                Some(session) => Ok(session),
                None => (self.open)(),
            };
            match session.and_then(|session| work(self.session.insert(session))) {
                Err(e) if e.scope() == Scope::Session && again < AGAIN_MAX => again += 1,
                end => return end,
            }
        }
    }

    /// The session that is open, if it can still be used.
    pub(super) fn session(&self) -> Option<&S> {
        self.session
            .as_ref()
            .filter(|session| (self.usable)(session))
    }

    /// The session, to be ended.
    pub(super) fn leave(self) -> Option<S> {
        self.session
    }
}

/// Both sides of a route.
pub(super) fn doors<'a>(
    config: &'a Config,
    times: &'a Intervals,
) -> (Door<'a, Source>, Door<'a, Account>) {
    let (from, to) = (&config.source, &config.target);
    let limit = times.command;
    let credentials = Credentials::new(
        &config.source_user,
        &config.source_key,
        &from.origin,
        limit,
        &[],
    );
    // One token file may be for both: its tokens are shared then.
    let target = Credentials::new(
        &config.target_user,
        &config.target_key,
        &to.origin,
        limit,
        &[&credentials],
    );
    let source = Door {
        open: Box::new(move || credentials.enter(|login, _| Source::enter(from, login, times))),
        usable: Source::usable,
        session: None,
    };
    let enter = move || {
        target.enter(|login, renew_at| {
            Account::open(&Entry {
                config,
                login,
                renew_at,
                without: &[],
                ready: &|| Ok(()),
                times,
            })
        })
    };
    let target = Door {
        open: Box::new(enter),
        usable: Account::usable,
        session: None,
    };
    (source, target)
}
