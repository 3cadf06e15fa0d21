//! What the token endpoint gives for a code, checked: a [`Grant`] (docs/gmail.md 7.2). Not for how a person
//! gets to the code (`browser`, `device`) nor for the renewal of a token that we have (`oauth::renew`).

use std::fmt::Display;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
    BasicTokenType,
};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, EndpointNotSet, EndpointSet,
    ErrorResponseType, ExtraTokenFields, PkceCodeVerifier, RedirectUrl, RequestTokenError,
    StandardErrorResponse, StandardRevocableToken, StandardTokenResponse, TokenResponse as _,
    TokenUrl,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client_file::Client;
use crate::config::Secret;
use crate::error::{Error, Fault, Result};
use crate::message::Time;
use crate::oauth::http::{Http, is_token};
use crate::oauth::provider::{Provider, same_scope};
use crate::oauth::refusal::Refusal;

/// What a reply may hold beyond the RFC.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Extra {
    /// Google sends it for a sign-in that ends by itself (docs/gmail.md 7.2). Any JSON is accepted here, since
    /// nothing depends on it.
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

/// What the provider gave the browser for us, good for one exchange.
pub struct Code {
    pub(super) code: Secret<String>,
    pub(super) verifier: PkceCodeVerifier,
    pub(super) redirect_uri: String,
}

/// What a sign-in gave.
pub struct Grant {
    pub access: Secret<String>,
    pub(super) refresh: Secret<String>,
    pub(super) scopes: Vec<String>,
    pub(super) at: Time,
    pub(super) expiry: Option<Time>,
    /// When a person must sign in again, if the provider says so.
    pub refresh_ends: Option<Time>,
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
        // At Google and Microsoft a person can refuse single permissions.
        if let (Some(granted), Some(mail)) = (&granted, self.provider.mail_scope())
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

    /// The secrets that the provider must not make us show: what it was sent, and its client's own.
    pub(super) fn secrets<'a>(
        &'a self,
        sent: &'a [Secret<String>],
    ) -> impl Iterator<Item = &'a Secret<String>> {
        sent.iter().chain(&self.secret)
    }

    pub(super) fn refused<T: ErrorResponseType + Display + 'static>(
        &self,
        e: &RequestTokenError<ureq::Error, StandardErrorResponse<T>>,
        http: &Http,
        sent: &[Secret<String>],
    ) -> Error {
        Refusal::of_endpoint(e, http.status(), self.secrets(sent)).for_code(self.provider)
    }
}
