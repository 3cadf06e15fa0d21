//! One exchange with the token endpoint: a refresh token for an access token (RFC 6749 6). What its
//! refusals mean is `refusal`'s affair.

use std::net::IpAddr;

use std::sync::PoisonError;

use oauth2::basic::{BasicClient, BasicErrorResponse, BasicTokenResponse};
use oauth2::{
    AuthType, ClientId, ClientSecret, RefreshToken, RequestTokenError, Scope, TokenResponse as _,
    TokenUrl,
};

use super::Tokens;
use super::client::Provider;
use super::contents::{Contents, is_token, same_scope};
use super::exchange::Http;
use super::refusal::{self, Refusal};
use crate::config::Secret;
use crate::error::{Error, Fault, Result, shown};

impl Tokens {
    /// An error with `credentials_refused` says that this refresh token is dead.
    pub(super) fn exchange(&self, contents: &Contents) -> Result<BasicTokenResponse> {
        let (Some(refresh), Some(id)) =
            (contents.text("refresh_token"), contents.text("client_id"))
        else {
            return Err(self.cannot_renew(contents));
        };
        let uri = contents.token_uri();
        let url = TokenUrl::new(uri.clone())
            .ok()
            .filter(is_safe)
            .ok_or_else(|| {
                self.error(
                    Fault::NeedsUser,
                    format!("`token_uri` is {}, expected https", shown(uri.as_bytes())),
                )
                .hint(self.sign_in(Some(contents.provider())))
            })?;
        let mut client = BasicClient::new(ClientId::new(id))
            .set_auth_type(AuthType::RequestBody)
            .set_token_uri(url);
        if let Some(secret) = contents.text("client_secret") {
            client = client.set_client_secret(ClientSecret::new(secret));
        }
        let http = Http::new(self.limit);
        let scopes = scopes_to_name(contents);
        let reply = client
            .exchange_refresh_token(&RefreshToken::new(refresh))
            .add_scopes(scopes.into_iter().map(Scope::new))
            .request(&|request| http.send(request));
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = http.ahead();
        let reply = reply.map_err(|e| self.refused(&e, http.status(), contents))?;
        if is_token(reply.access_token().secret()) {
            Ok(reply)
        } else {
            Err(self.no_token(http.status()))
        }
    }

    pub(super) fn cannot_renew(&self, contents: &Contents) -> Error {
        let lacks = contents.lacks().unwrap_or("refresh_token");
        self.error(
            Fault::NeedsUser,
            format!("its `token` is no longer accepted and there is no `{lacks}` in it"),
        )
        .hint(self.sign_in(Some(contents.provider())))
    }

    /// Does the reply, where it names scopes, grant mail?
    pub(super) fn grants_mail(
        &self,
        contents: &Contents,
        reply: &BasicTokenResponse,
    ) -> Result<()> {
        let wanted = contents.wanted();
        let granted: Vec<&str> = reply
            .scopes()
            .into_iter()
            .flatten()
            .map(|s| s.as_str())
            .filter(|s| !s.is_empty())
            .collect();
        let has = |w: &String| granted.iter().any(|g| same_scope(w, g));
        if granted.is_empty() || wanted.is_empty() || wanted.iter().any(has) {
            return Ok(());
        }
        let how = match contents.provider() {
            Provider::Google => "leave the box for mail ticked there",
            Provider::Microsoft | Provider::Other => "let it read mail by IMAP there",
        };
        let hint = format!("{}; {how}", self.sign_in(Some(contents.provider())));
        Err(self
            .error(
                Fault::NeedsUser,
                format!(
                    "its token does not allow mail: the scope {} was not granted",
                    shown(wanted.join(" or ").as_bytes())
                ),
            )
            .hint(hint))
    }

    fn out_of_order(&self, what: &str) -> Error {
        self.error(
            Fault::Connection,
            format!("the token cannot be renewed now; {what}"),
        )
    }

    fn no_token(&self, status: u16) -> Error {
        self.out_of_order(&refusal::no_token(status))
    }

    fn refused(
        &self,
        e: &RequestTokenError<ureq::Error, BasicErrorResponse>,
        status: u16,
        contents: &Contents,
    ) -> Error {
        let secrets = ["refresh_token", "client_secret"].map(|key| contents.text(key));
        let secrets: Vec<_> = secrets.into_iter().flatten().map(Secret::new).collect();
        let said = match refusal::of_endpoint(e, status, &refusal::masks(&secrets)) {
            Refusal::OutOfOrder(what) => return self.out_of_order(&what),
            Refusal::Refused(said) => said,
        };
        let words = said.words();
        match said.hint_for_renewal(
            contents.provider(),
            &self.sign_in(Some(contents.provider())),
        ) {
            None => self.out_of_order(&format!("the server said: {words}")),
            Some(hint) => {
                let ended = said.is("invalid_grant");
                let what = match (contents.provider(), ended) {
                    (Provider::Google, true) => {
                        "Google no longer accepts the saved sign-in (expired or withdrawn)"
                    }
                    _ => "the token cannot be renewed",
                };
                let what = format!("{what}; the server said: {words}");
                let mut error = self.error(Fault::NeedsUser, what).hint(hint);
                error.credentials_refused = ended;
                error
            }
        }
    }
}

/// Microsoft refuses some renewals that do not say for what (AADSTS900144, AADSTS90009). Its replies,
/// and so the file, leave out the scope without which no refresh token comes.
fn scopes_to_name(contents: &Contents) -> Vec<String> {
    const REFRESH: &str = "offline_access";
    let mut scopes = match contents.provider() {
        Provider::Microsoft => contents.scopes(),
        Provider::Google | Provider::Other => Vec::new(),
    };
    if !scopes.is_empty() && !scopes.iter().any(|s| s == REFRESH) {
        scopes.push(REFRESH.into());
    }
    scopes
}

/// https, or http to this machine itself.
pub(super) fn is_safe(url: &TokenUrl) -> bool {
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
