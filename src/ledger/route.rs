//! The two accounts that a ledger belongs to.

use std::path::Path;

use log::warn;
use rusqlite::{OptionalExtension, params};

use super::open::Ledger;
use crate::error::{Error, Result};
use crate::message::{Time, time_text};

/// The two accounts that a ledger belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub source_user: String,
    pub source_server: String,
    pub target_user: String,
    pub target_server: String,
}

impl Route {
    /// Users and hosts are compared in lower case.
    pub fn new(
        source_user: &str,
        source_server: &str,
        target_user: &str,
        target_server: &str,
    ) -> Route {
        Route {
            source_user: source_user.to_lowercase(),
            source_server: source_server.to_lowercase(),
            target_user: target_user.to_lowercase(),
            target_server: target_server.to_lowercase(),
        }
    }

    /// This route, which the ledger at `path` belongs to, must be the configured one.
    ///
    /// # Errors
    /// `Fatal` when it is another's.
    pub fn must_be(&self, configured: &Route, path: &Path) -> Result<()> {
        if self == configured {
            return Ok(());
        }
        Err(Error::fatal(format!(
            "{}: this ledger is for {} ({}) into {} ({}), the configuration says {} ({}) into {} ({})",
            path.display(),
            self.source_user,
            self.source_server,
            self.target_user,
            self.target_server,
            configured.source_user,
            configured.source_server,
            configured.target_user,
            configured.target_server,
        ))
        .hint("is a name in the configuration mistyped? If not, these accounts need a ledger of their own, under another `state_file`; do not delete this one: it remembers what was copied"))
    }

    /// The source as people read it.
    pub fn source(&self) -> String {
        if self.source_user.contains('@') {
            self.source_user.clone()
        } else {
            format!("{}@{}", self.source_user, self.source_server)
        }
    }
}

impl Ledger {
    /// The accounts it belongs to, once a run has said so.
    pub fn route(&self) -> Result<Option<Route>> {
        self.read(|db| {
            db.query_row(
                "SELECT source_user, source_server, target_user, target_server FROM route",
                [],
                |r| {
                    Ok(Route {
                        source_user: r.get("source_user")?,
                        source_server: r.get("source_server")?,
                        target_user: r.get("target_user")?,
                        target_server: r.get("target_server")?,
                    })
                },
            )
            .optional()
        })
    }

    /// Makes it this route's ledger, or makes sure that it is. While nothing in it is any account's, a name
    /// that was mistyped may be mended: before the first look, and where no ids were imported, which would
    /// vouch for the mail of others.
    ///
    /// # Errors
    /// `Fatal` when it is another's.
    pub fn belong_to(&mut self, route: &Route, now: Time) -> Result<()> {
        let before = self.route()?;
        if let Some(before) = before.as_ref().filter(|before| *before != route)
            && self.is_untouched()?
        {
            warn!(
                "{}: this ledger was for {} into {} until now, and has copied nothing",
                self.path.display(),
                before.source(),
                before.target_user
            );
        }
        match before {
            Some(found) if found == *route || !self.is_untouched()? => {
                found.must_be(route, &self.path)
            }
            _ => self.write(|t| {
                t.execute(
                    "INSERT OR REPLACE INTO route (id, source_user, source_server, target_user, target_server, created_at)
                     VALUES (1, ?1, ?2, ?3, ?4, ?5)",
                    params![
                        route.source_user,
                        route.source_server,
                        route.target_user,
                        route.target_server,
                        time_text(now)
                    ],
                )?;
                Ok(())
            }),
        }
    }
}
