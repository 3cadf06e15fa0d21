//! The token file, in google-auth's format as the Python script kept it (gmail.md 7.5), and the
//! refresh of its access token. The sign-in that makes the file has no place in here yet.
//!
//! The file may change under us: other routes share it, and a person replaces it. So it is read
//! anew each time a token is needed, and what we do not know in it is kept.

use std::cell::Cell;
use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, TimeDelta};
use log::{info, warn};
use oauth2::basic::BasicClient;
use oauth2::{
    AuthType, ClientId, ClientSecret, HttpRequest, HttpResponse, RefreshToken, RequestTokenError,
    TokenResponse, TokenUrl,
};
use serde_json::{Map, Value};

use crate::config::{Secret, json_place};
use crate::error::{Error, Fault, Result, shown};
use crate::message::{Time, sha256};

mod proof;

pub use proof::{Proof, Renewal};

/// The one scope that IMAP takes (gmail.md 7.1).
const SCOPE: &str = "https://mail.google.com/";
const GOOGLE_TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// A token is renewed this long before its end, or a quarter of its life if that is less.
const MARGIN: TimeDelta = TimeDelta::seconds(60);
const SIGN_IN: &str = "sign in again and put the new token file there; it is picked up by itself";
/// A reply of the token endpoint is some hundred bytes.
const REPLY_MAX: u64 = 64 << 10;

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
    limit: Duration,
    held: Mutex<Held>,
    /// How far the token endpoint's clock was ahead of ours at its last answer.
    ahead: Mutex<Option<TimeDelta>>,
}

/// What we hold beside the file, for the case that it cannot be written.
#[derive(Default)]
struct Held {
    /// The last refreshed token, and the hash of the file that it came from or was written to.
    refreshed: Option<(Access, [u8; 32])>,
    warned: bool,
}

/// The file as it was read.
struct Contents {
    map: Map<String, Value>,
    hash: [u8; 32],
    token: Option<Secret<String>>,
    expiry: Option<Time>,
}

impl Tokens {
    /// `limit`: for one exchange with the token endpoint.
    pub fn new(path: &Path, limit: Duration) -> Tokens {
        Tokens {
            path: path.to_path_buf(),
            limit,
            held: Mutex::default(),
            ahead: Mutex::default(),
        }
    }

    /// A token for now: the file's while it lasts, else a refreshed one.
    ///
    /// # Errors
    /// `NeedsUser` when a person must sign in again, `Connection` when the token endpoint is out of
    /// reach or out of order.
    pub fn access(&self, now: Time) -> Result<Access> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = self.read()?;
        if let Some((access, hash)) = &held.refreshed
            && *hash == contents.hash
            && access.renew_at.is_none_or(|at| now < at)
        {
            // Fresh it was when it came; by now it may have been taken back.
            return Ok(Access {
                fresh: false,
                ..access.clone()
            });
        }
        let renew_at = contents.expiry.map(|end| end - MARGIN);
        match &contents.token {
            Some(token) if renew_at.is_some_and(|at| now < at) => Ok(Access {
                token: token.clone(),
                renew_at,
                fresh: false,
            }),
            // Without what a refresh takes it is used until it is refused.
            Some(token) if !contents.can_refresh() => Ok(Access {
                token: token.clone(),
                renew_at: None,
                fresh: true,
            }),
            _ => self.refresh(&mut held, contents, now),
        }
    }

    /// Another token in place of one that was refused: the file's, if it has been replaced
    /// meanwhile, else a refreshed one.
    ///
    /// # Errors
    /// As for [`access`](Self::access).
    pub fn instead_of(&self, refused: &Access, now: Time) -> Result<Access> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = self.read()?;
        if let Some((access, _)) = &held.refreshed
            && access.token.reveal() != refused.token.reveal()
        {
            return Ok(access.clone());
        }
        match &contents.token {
            Some(token) if token.reveal() != refused.token.reveal() => Ok(Access {
                token: token.clone(),
                renew_at: contents.expiry.map(|end| end - MARGIN),
                fresh: !contents.can_refresh(),
            }),
            _ => self.refresh(&mut held, contents, now),
        }
    }

    fn error(&self, fault: Fault, what: impl std::fmt::Display) -> Error {
        Error::new(fault, format!("{}: {what}", self.path.display()))
    }

    fn read(&self) -> Result<Contents> {
        let text = fs::read_to_string(&self.path).map_err(|e| {
            self.error(
                Fault::NeedsUser,
                format!("the token file cannot be read: {e}"),
            )
            .hint(SIGN_IN)
        })?;
        let text = Secret::new(text);
        let value: Value = serde_json::from_str(text.reveal()).map_err(|e| {
            let (line, column) = json_place(&e, text.reveal().as_bytes());
            self.error(
                Fault::NeedsUser,
                format!("not JSON at line {line}, column {column}"),
            )
            .hint(SIGN_IN)
        })?;
        let Value::Object(map) = value else {
            return Err(self
                .error(Fault::NeedsUser, "there is no `token` in it")
                .hint(SIGN_IN));
        };
        let token = match map.get("token") {
            None => None,
            Some(Value::String(t)) if !t.is_empty() && t.bytes().all(|b| b.is_ascii_graphic()) => {
                Some(Secret::new(t.clone()))
            }
            Some(_) => {
                return Err(self
                    .error(Fault::NeedsUser, "`token` is not an access token")
                    .hint(SIGN_IN));
            }
        };
        let contents = Contents {
            hash: sha256(text.reveal().as_bytes()),
            expiry: map.get("expiry").and_then(Value::as_str).and_then(expiry),
            token,
            map,
        };
        if contents.token.is_none() && !contents.can_refresh() {
            return Err(self
                .error(Fault::NeedsUser, "there is no `token` in it, nor what makes one (`refresh_token`, `client_id`, `client_secret`)")
                .hint(SIGN_IN));
        }
        Ok(contents)
    }

    fn refresh(&self, held: &mut Held, mut contents: Contents, now: Time) -> Result<Access> {
        let (access, _) = self.renew(&mut contents, now)?;
        info!("{}: the access token was renewed", self.path.display());
        let hash = match self.write(&contents.map) {
            Ok(hash) => hash,
            Err(e) => {
                if !std::mem::replace(&mut held.warned, true) {
                    warn!(
                        "{}: the renewed token is kept in memory only: {e}",
                        self.path.display()
                    );
                }
                contents.hash
            }
        };
        held.refreshed = Some((access.clone(), hash));
        Ok(access)
    }

    /// A new access token, and the file's contents with it in place, not yet written. True when the
    /// refresh token was replaced too.
    fn renew(&self, contents: &mut Contents, now: Time) -> Result<(Access, bool)> {
        let (Some(refresh), Some(id), Some(secret)) = (
            contents.text("refresh_token"),
            contents.text("client_id"),
            contents.text("client_secret"),
        ) else {
            return Err(self
                .error(
                    Fault::NeedsUser,
                    "its `token` is refused and there is no `refresh_token` in it",
                )
                .hint(SIGN_IN));
        };
        let uri = contents
            .text("token_uri")
            .unwrap_or_else(|| GOOGLE_TOKEN_URI.into());
        let reply = self.exchange(&uri, id, secret, refresh.clone())?;
        let life = reply.expires_in().and_then(|d| TimeDelta::from_std(d).ok());
        let access = Access {
            token: Secret::new(reply.access_token().secret().clone()),
            renew_at: life.map(|life| now + life - MARGIN.min(life / 4)),
            fresh: true,
        };
        let map = &mut contents.map;
        map.insert("token".into(), access.token.reveal().clone().into());
        let rotated = reply
            .refresh_token()
            .map(|r| r.secret().clone())
            .filter(|r| *r != refresh);
        let replaced = rotated.is_some();
        if let Some(rotated) = rotated {
            map.insert("refresh_token".into(), rotated.into());
        }
        match life {
            // As google-auth writes it: naive UTC and a Z.
            Some(life) => map.insert(
                "expiry".into(),
                (now + life)
                    .format("%Y-%m-%dT%H:%M:%S%.6fZ")
                    .to_string()
                    .into(),
            ),
            None => map.remove("expiry"),
        };
        Ok((access, replaced))
    }

    /// Writes the file anew, 0600 before its first byte, by rename.
    fn write(&self, map: &Map<String, Value>) -> std::io::Result<[u8; 32]> {
        // What a link points to is replaced, not the link.
        let path = self.path.canonicalize()?;
        let dir = path.parent().unwrap_or(Path::new("."));
        let text = Secret::new(serde_json::to_string_pretty(map)?);
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(text.reveal().as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        Ok(sha256(text.reveal().as_bytes()))
    }

    fn exchange(
        &self,
        uri: &str,
        id: String,
        secret: String,
        refresh: String,
    ) -> Result<oauth2::basic::BasicTokenResponse> {
        let url = TokenUrl::new(uri.into())
            .ok()
            .filter(is_safe)
            .ok_or_else(|| {
                self.error(
                    Fault::NeedsUser,
                    format!("`token_uri` is {}, expected https", shown(uri.as_bytes())),
                )
                .hint(SIGN_IN)
            })?;
        let client = BasicClient::new(ClientId::new(id))
            .set_client_secret(ClientSecret::new(secret))
            .set_auth_type(AuthType::RequestBody)
            .set_token_uri(url);
        let agent: ureq::Agent = ureq::Agent::config_builder()
            // The crate reads the JSON of a 400 itself; credentials follow no redirect.
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(self.limit))
            .build()
            .into();
        let status = Cell::new(0);
        let http = |request: HttpRequest| -> std::result::Result<HttpResponse, ureq::Error> {
            let (parts, mut body) = agent.run(request)?.into_parts();
            status.set(parts.status.as_u16());
            let said = parts.headers.get("date").and_then(|d| d.to_str().ok());
            let said = said.and_then(|d| DateTime::parse_from_rfc2822(d).ok());
            *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) =
                said.map(|t| t.to_utc() - chrono::Utc::now());
            Ok(HttpResponse::from_parts(
                parts,
                body.with_config().limit(REPLY_MAX).read_to_vec()?,
            ))
        };
        let reply = client
            .exchange_refresh_token(&RefreshToken::new(refresh))
            .request(&http)
            .map_err(|e| self.refused(&e, status.get()))?;
        match reply.scopes() {
            Some(scopes) if !scopes.iter().any(|s| s.as_str() == SCOPE) => Err(self
                .error(
                    Fault::NeedsUser,
                    format!("its token does not allow mail: the scope {SCOPE} was not granted"),
                )
                .hint("sign in again and leave the box for mail ticked")),
            _ => Ok(reply),
        }
    }

    /// gmail.md 7.3. Nothing of what was sent is in these words: the endpoint's are its own.
    fn refused(
        &self,
        e: &RequestTokenError<ureq::Error, oauth2::basic::BasicErrorResponse>,
        status: u16,
    ) -> Error {
        let out_of_order = |what: String| {
            self.error(
                Fault::Connection,
                format!("the token cannot be renewed now: {what}"),
            )
        };
        match e {
            _ if status == 429 || status >= 500 => {
                out_of_order(format!("the token endpoint answers with HTTP {status}"))
            }
            RequestTokenError::ServerResponse(reply) => {
                let code = shown(reply.error().as_ref().as_bytes());
                let words = match reply.error_description() {
                    Some(description) => format!("{code} ({})", shown(description.as_bytes())),
                    None => code.clone(),
                };
                let hint = match code.as_str() {
                    "invalid_grant" => format!("{SIGN_IN} (a Google client left in \"Testing\" ends every sign-in after 7 days)"),
                    "invalid_client" | "deleted_client" | "unauthorized_client" => {
                        "its OAuth client is wrong or gone: make a new one in the Google Cloud console and sign in with it".into()
                    }
                    "access_denied" | "admin_policy_enforced" | "org_internal" | "invalid_scope" => {
                        "the account or its administrator does not allow this client to read mail".into()
                    }
                    "invalid_request" | "unsupported_grant_type" | "invalid_rapt" => SIGN_IN.into(),
                    _ => return out_of_order(words),
                };
                self.error(
                    Fault::NeedsUser,
                    format!("the token cannot be renewed: {words}"),
                )
                .hint(hint)
            }
            RequestTokenError::Request(e) => out_of_order(shown(e.to_string().as_bytes())),
            RequestTokenError::Parse(..) | RequestTokenError::Other(_) => out_of_order(format!(
                "the token endpoint answers with something else than a token (HTTP {status})"
            )),
        }
    }
}

impl Contents {
    fn text(&self, key: &str) -> Option<String> {
        match self.map.get(key) {
            Some(Value::String(s)) if !s.is_empty() => Some(s.clone()),
            _ => None,
        }
    }

    fn can_refresh(&self) -> bool {
        ["refresh_token", "client_id", "client_secret"]
            .iter()
            .all(|k| self.text(k).is_some())
    }
}

/// `2026-01-02T03:04:05.123456Z`, without the fraction, without the Z, or with an offset. What
/// cannot be read counts as expired.
fn expiry(text: &str) -> Option<Time> {
    let naive = text.trim_end_matches('Z');
    NaiveDateTime::parse_from_str(naive, "%Y-%m-%dT%H:%M:%S%.f")
        .map(|t| t.and_utc())
        .or_else(|_| DateTime::parse_from_rfc3339(text).map(|t| t.to_utc()))
        .ok()
}

/// https, or http to this machine itself.
fn is_safe(url: &TokenUrl) -> bool {
    let host = url
        .url()
        .host_str()
        .unwrap_or_default()
        .trim_matches(['[', ']']);
    let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match url.url().scheme() {
        "https" => true,
        "http" => loopback,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_read_in_every_form_that_files_have() {
        let at = |text: &str| expiry(text).map(|t| t.timestamp());
        let want = Some(1_767_323_045);
        for text in [
            "2026-01-02T03:04:05Z",
            "2026-01-02T03:04:05.123456Z",
            "2026-01-02T03:04:05",
            "2026-01-02T03:04:05.123456",
            "2026-01-02T03:04:05+00:00",
            "2026-01-02T03:04:05.123456+00:00",
            "2026-01-02T05:04:05+02:00",
        ] {
            assert_eq!(at(text), want, "{text}");
        }
        for text in ["", "tomorrow", "2026-13-01T00:00:00Z", "1767323045"] {
            assert_eq!(at(text), None, "{text}");
        }
    }

    #[test]
    fn secrets_go_over_https_or_stay_on_this_machine() {
        let safe = |u: &str| TokenUrl::new(u.into()).is_ok_and(|u| is_safe(&u));
        assert!(safe("https://oauth2.googleapis.com/token"));
        assert!(
            safe("http://127.0.0.1:8080/token")
                && safe("http://[::1]/t")
                && safe("http://localhost/t")
        );
        assert!(
            !safe("http://example.org/token")
                && !safe("ftp://127.0.0.1/")
                && !safe("file:///etc/passwd")
        );
        assert!(!safe("http://localhost.example.org/"));
    }
}
