//! What the token endpoint gives for a code, checked: a [`Grant`] (docs/gmail.md 7.2). What its refusal
//! means is `refusal`'s affair, the renewal of a token that we have is `renewal`'s.

use std::cell::Cell;
use std::fmt::Display;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
    BasicTokenType,
};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, EndpointNotSet, EndpointSet,
    ErrorResponseType, ExtraTokenFields, HttpRequest, HttpResponse, RedirectUrl, RequestTokenError,
    StandardErrorResponse, StandardRevocableToken, StandardTokenResponse, TokenResponse as _,
    TokenUrl,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client::{Client, Provider};
use super::consent::Code;
use super::contents::{is_token, same_scope};
use super::refusal::{self, Refusal};
use crate::config::{Masks, Secret};
use crate::error::{Error, Fault, Result};
use crate::message::Time;

/// A reply of the token endpoint is some hundred bytes.
const REPLY_MAX: u64 = 64 << 10;

/// What a reply may hold beside what the RFC knows.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Extra {
    /// Google, for access that ends by itself (docs/gmail.md 7.2). Of whatever kind: it decides nothing.
    #[serde(default)]
    refresh_token_expires_in: Option<Value>,
}

impl ExtraTokenFields for Extra {}

pub(super) type Reply = StandardTokenResponse<Extra, BasicTokenType>;

pub(super) type Oauth = oauth2::Client<
    BasicErrorResponse,
    Reply,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// What a sign-in gave.
pub struct Grant {
    pub access: Secret<String>,
    pub(super) refresh: Secret<String>,
    pub(super) scopes: Vec<String>,
    pub(super) at: Time,
    pub(super) expiry: Option<Time>,
    /// When it must be given anew, where the provider says so.
    pub refresh_ends: Option<Time>,
}

/// One endpoint's HTTP, and the status of its last answer.
pub(super) struct Http {
    agent: ureq::Agent,
    status: Cell<u16>,
    ahead: Cell<Option<TimeDelta>>,
}

impl Http {
    pub(super) fn new(limit: Duration) -> Http {
        Http {
            agent: ureq::Agent::config_builder()
                // The crate reads the JSON of a 400 itself; credentials follow no redirect.
                .http_status_as_error(false)
                .max_redirects(0)
                .timeout_global(Some(limit))
                .build()
                .into(),
            status: Cell::new(0),
            ahead: Cell::new(None),
        }
    }

    /// Of the last answer; 0: there was none.
    pub(super) fn status(&self) -> u16 {
        self.status.get()
    }

    /// How far the endpoint's clock was ahead of ours at its last answer, where it told its time.
    pub(super) fn ahead(&self) -> Option<TimeDelta> {
        self.ahead.get()
    }

    pub(super) fn send(
        &self,
        request: HttpRequest,
    ) -> std::result::Result<HttpResponse, ureq::Error> {
        self.status.set(0);
        let (parts, mut body) = self.agent.run(request)?.into_parts();
        self.status.set(parts.status.as_u16());
        let said = parts.headers.get("date").and_then(|d| d.to_str().ok());
        let said = said.and_then(|d| DateTime::parse_from_rfc2822(d).ok());
        self.ahead.set(said.map(|t| t.to_utc() - Utc::now()));
        let body = body.with_config().limit(REPLY_MAX).read_to_vec()?;
        Ok(HttpResponse::from_parts(parts, with_numbers(body)))
    }
}

/// RFC 6749 wants a number for the life of a token; Microsoft's older endpoint puts it into quotation marks.
fn with_numbers(body: Vec<u8>) -> Vec<u8> {
    let Ok(Value::Object(mut reply)) = serde_json::from_slice(&body) else {
        return body;
    };
    let life = reply.get("expires_in").and_then(Value::as_str);
    match life.and_then(|text| text.trim().parse::<u64>().ok()) {
        Some(life) => {
            reply.insert("expires_in".into(), life.into());
            Value::Object(reply).to_string().into_bytes()
        }
        None => body,
    }
}

impl Client {
    pub(super) fn oauth(&self) -> Result<Oauth> {
        let wrong = |e: oauth2::url::ParseError| Error::fatal(format!("no address: {e}"));
        let client = oauth2::Client::new(ClientId::new(self.id.clone()))
            .set_auth_type(AuthType::RequestBody)
            .set_auth_uri(AuthUrl::new(self.auth_uri.clone()).map_err(wrong)?)
            .set_token_uri(TokenUrl::new(self.token_uri.clone()).map_err(wrong)?);
        Ok(match &self.secret {
            Some(secret) => client.set_client_secret(ClientSecret::new(secret.reveal().clone())),
            None => client,
        })
    }

    /// The token for a code.
    ///
    /// # Errors
    /// `Connection` when the endpoint is out of reach or out of order, else `NeedsUser`.
    pub fn exchange(&self, code: Code, limit: Duration) -> Result<Grant> {
        let http = Http::new(limit);
        let sent = [
            code.code.clone(),
            Secret::new(code.verifier.secret().clone()),
        ];
        let redirect = RedirectUrl::new(code.redirect_uri.clone())
            .map_err(|e| Error::fatal(format!("{} is no address: {e}", code.redirect_uri)))?;
        let reply = self
            .oauth()?
            .set_redirect_uri(redirect)
            .exchange_code(AuthorizationCode::new(code.code.reveal().clone()))
            .set_pkce_verifier(code.verifier)
            .request(&|request| http.send(request))
            .map_err(|e| self.refused(&e, &http, &sent))?;
        self.grant(&reply)
    }

    pub(super) fn grant(&self, reply: &Reply) -> Result<Grant> {
        let name = self.provider_name();
        let needs_user = |what: String| Error::new(Fault::NeedsUser, what);
        let granted = reply.scopes().map(|scopes| {
            let words = scopes.iter().flat_map(|s| s.as_str().split_whitespace());
            words.map(str::to_string).collect::<Vec<_>>()
        });
        // Google and Microsoft let people take single permissions away.
        if let (Some(granted), Some(mail)) = (&granted, self.mail_scope())
            && !granted.iter().any(|s| same_scope(s, mail))
        {
            return Err(needs_user(format!(
                "{name} gave a token that does not allow mail: the scope {mail} was not granted"
            ))
            .hint("run the same command again and leave the box for mail ticked"));
        }
        let access = Secret::new(reply.access_token().secret().clone());
        if !is_token(access.reveal()) {
            return Err(Error::connection(format!(
                "{name} gave something else than an access token"
            ))
            .hint("run the same command again in a while"));
        }
        let refresh = reply
            .refresh_token()
            .map(|t| Secret::new(t.secret().clone()))
            .filter(|t| is_token(t.reveal()))
            .ok_or_else(|| {
                needs_user(format!("{name} gave no refresh token, so this sign-in would end within the hour")).hint(
                    match self.provider {
                        Provider::Google => "take this client's access away at https://myaccount.google.com/connections and run the same command again",
                        _ => "`scope` in the OAuth client file must ask for one, usually with `offline_access`",
                    },
                )
            })?;
        let now = Utc::now();
        let after = |life: Option<Duration>| {
            life.and_then(|life| TimeDelta::from_std(life).ok())
                .and_then(|life| now.checked_add_signed(life))
        };
        let refresh_life = reply.extra_fields().refresh_token_expires_in.as_ref();
        Ok(Grant {
            access,
            refresh,
            scopes: granted.unwrap_or_else(|| self.scopes.clone()),
            at: now,
            expiry: after(reply.expires_in()),
            refresh_ends: after(
                refresh_life
                    .and_then(Value::as_u64)
                    .map(Duration::from_secs),
            ),
        })
    }

    /// What the provider must not make us show: what it was told, and its client's secret.
    pub(super) fn masks(&self, sent: &[Secret<String>]) -> Masks {
        refusal::masks(sent.iter().chain(&self.secret))
    }

    pub(super) fn refused<T: ErrorResponseType + Display + 'static>(
        &self,
        e: &RequestTokenError<ureq::Error, StandardErrorResponse<T>>,
        http: &Http,
        sent: &[Secret<String>],
    ) -> Error {
        let name = self.provider_name();
        let out_of_order = |what: String| {
            Error::connection(format!("{name} gives no token now: {what}"))
                .hint("run the same command again in a while")
        };
        match refusal::of_endpoint(e, http.status(), &self.masks(sent)) {
            Refusal::OutOfOrder(what) => out_of_order(what),
            Refusal::Refused(said) => match said.hint_for_code() {
                None => out_of_order(said.words()),
                Some(hint) => Error::new(
                    Fault::NeedsUser,
                    format!("{name} gives no token: {}", said.words()),
                )
                .hint(hint),
            },
        }
    }
}
