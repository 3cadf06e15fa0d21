//! Which tokens are alive: refresh tokens with all the ways they die (docs/gmail.md 7.4), and the access tokens made of them.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::delta;

/// The one scope that IMAP accepts (docs/gmail.md 7.1).
pub const SCOPE: &str = "https://mail.google.com/";
/// The OAuth client that the endpoint knows.
pub const CLIENT_ID: &str = "407408718192-standin.apps.googleusercontent.com";
/// Its secret.
pub const CLIENT_SECRET: &str = "GOCSPX-stand-in-secret";

const LIVE_PER_CLIENT: usize = 100;

#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) account: String,
    pub(crate) scope: String,
    pub(crate) expires: DateTime<Utc>,
}

#[derive(Debug)]
struct Refresh {
    token: String,
    account: String,
    granted: DateTime<Utc>,
    used: DateTime<Utc>,
    revoked: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Tokens {
    access: HashMap<String, Access>,
    refresh: Vec<Refresh>,
    serial: u64,
}

impl Tokens {
    /// What consent gives. More than a hundred live ones: the oldest dies silently.
    pub(crate) fn grant(&mut self, account: &str, now: DateTime<Utc>) -> String {
        self.serial += 1;
        let token = format!("1//0gStAnD-In-{:06}", self.serial);
        self.refresh.push(Refresh {
            token: token.clone(),
            account: account.to_string(),
            granted: now,
            used: now,
            revoked: false,
        });
        let alive = |r: &&mut Refresh| !r.revoked && r.account == account;
        let count = self.refresh.iter_mut().filter(alive).count();
        for dying in self
            .refresh
            .iter_mut()
            .filter(alive)
            .take(count.saturating_sub(LIVE_PER_CLIENT))
        {
            dying.revoked = true;
        }
        token
    }

    pub(crate) fn revoke(&mut self, token: &str) {
        for refresh in self.refresh.iter_mut().filter(|r| r.token == token) {
            refresh.revoked = true;
        }
        self.access.remove(token);
    }

    /// The refresh token that takes this one's place.
    pub(crate) fn rotate(&mut self, old: &str, account: &str, now: DateTime<Utc>) -> String {
        self.revoke(old);
        self.grant(account, now)
    }

    /// The account of a refresh token that is used now: `Err(true)` if it was one once.
    pub(crate) fn use_refresh(
        &mut self,
        token: &str,
        now: DateTime<Utc>,
        testing: bool,
    ) -> Result<String, bool> {
        let refresh = self.refresh.iter_mut().find(|r| r.token == token);
        let refresh = refresh.ok_or(false)?;
        let unused = now - refresh.used > TimeDelta::days(183);
        let tested = testing && now - refresh.granted > TimeDelta::days(7);
        if refresh.revoked || unused || tested {
            refresh.revoked = true;
            return Err(true);
        }
        refresh.used = now;
        Ok(refresh.account.clone())
    }

    pub(crate) fn issue(
        &mut self,
        account: &str,
        scope: &str,
        now: DateTime<Utc>,
        life: Duration,
    ) -> String {
        self.serial += 1;
        let token = format!("ya29.stand-in-bearer-{:06}", self.serial);
        let access = Access {
            account: account.to_string(),
            scope: scope.to_string(),
            expires: now + delta(life),
        };
        self.access.insert(token.clone(), access);
        token
    }

    /// The token, if it is good for anything now.
    pub(crate) fn alive(&self, token: &str, user: &str, now: DateTime<Utc>) -> Option<&Access> {
        let access = self.access.get(token)?;
        let good = access.expires > now && access.account.eq_ignore_ascii_case(user);
        good.then_some(access)
    }

    /// The token, if it is good for IMAP now.
    pub(crate) fn check(
        &self,
        token: &str,
        user: &str,
        scope: &str,
        now: DateTime<Utc>,
    ) -> Option<&Access> {
        let access = self.alive(token, user, now)?;
        let good = access.scope.split(' ').any(|given| given == scope);
        good.then_some(access)
    }
}
