//! One exchange with the token endpoint: a refresh token for an access token (RFC 6749 6), and what
//! its refusals mean. Nothing of what was sent is in the words for people: the endpoint's are its own.

use std::net::IpAddr;

use std::sync::PoisonError;

use oauth2::basic::{BasicClient, BasicErrorResponse, BasicTokenResponse};
use oauth2::{
    AuthType, ClientId, ClientSecret, RefreshToken, RequestTokenError, TokenResponse as _, TokenUrl,
};

use super::client::Provider;
use super::contents::{Contents, is_token, same_scope};
use super::exchange::Http;
use super::{SIGN_IN, Tokens};
use crate::config::Masks;
use crate::error::{Error, Fault, Result, shown};

impl Tokens {
    /// An error with `credentials_refused` says that this refresh token is dead.
    pub(super) fn exchange(&self, contents: &Contents) -> Result<BasicTokenResponse> {
        let (Some(refresh), Some(id)) =
            (contents.text("refresh_token"), contents.text("client_id"))
        else {
            return Err(self.cannot_renew());
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
                .hint(SIGN_IN)
            })?;
        let mut client = BasicClient::new(ClientId::new(id))
            .set_auth_type(AuthType::RequestBody)
            .set_token_uri(url);
        if let Some(secret) = contents.text("client_secret") {
            client = client.set_client_secret(ClientSecret::new(secret));
        }
        let http = Http::new(self.limit);
        let reply = client
            .exchange_refresh_token(&RefreshToken::new(refresh))
            .request(&|request| http.send(request));
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = http.ahead();
        let reply = reply.map_err(|e| self.refused(&e, http.status(), contents))?;
        match is_token(reply.access_token().secret()) {
            true => Ok(reply),
            false => Err(self.no_token(http.status())),
        }
    }

    pub(super) fn cannot_renew(&self) -> Error {
        self.error(
            Fault::NeedsUser,
            "its `token` is refused and there is no `refresh_token` in it",
        )
        .hint(SIGN_IN)
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
        let hint = match contents.provider() {
            Provider::Google => "sign in again and leave the box for mail ticked",
            Provider::Microsoft | Provider::Other => "sign in again and let it read mail by IMAP",
        };
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
            format!("the token cannot be renewed now: {what}"),
        )
    }

    fn no_token(&self, status: u16) -> Error {
        self.out_of_order(&format!(
            "the token endpoint answers with something else than a token (HTTP {status})"
        ))
    }

    /// gmail.md 7.3 and 8.2, RFC 6749 5.2.
    fn refused(
        &self,
        e: &RequestTokenError<ureq::Error, BasicErrorResponse>,
        status: u16,
        contents: &Contents,
    ) -> Error {
        let secrets = ["refresh_token", "client_secret"].map(|key| contents.text(key));
        let masks = secrets
            .into_iter()
            .flatten()
            .fold(Masks::default(), |masks, secret| {
                masks.and(Masks::new(&secret, b""))
            });
        let shown = |words: &str| masks.apply(&shown(words.as_bytes()));
        let reply = match e {
            _ if status == 429 || status >= 500 => {
                return self
                    .out_of_order(&format!("the token endpoint answers with HTTP {status}"));
            }
            RequestTokenError::ServerResponse(reply) => reply,
            RequestTokenError::Request(e) => {
                return self.out_of_order(&shown(&e.to_string()));
            }
            RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
                return self.no_token(status);
            }
        };
        let code = shown(reply.error().as_ref());
        let description = reply.error_description().map_or("", |d| sentence(d));
        let words = match description {
            "" => code.clone(),
            text => format!("{code} ({})", shown(text)),
        };
        match hint(contents.provider(), &code, description) {
            None => self.out_of_order(&words),
            Some(hint) => {
                let mut error = self
                    .error(
                        Fault::NeedsUser,
                        format!("the token cannot be renewed: {words}"),
                    )
                    .hint(hint);
                error.credentials_refused = code == "invalid_grant";
                error
            }
        }
    }
}

/// Microsoft's descriptions go on with numbers for its own support.
fn sentence(description: &str) -> &str {
    let end = [" Trace ID:", "\r", "\n"]
        .iter()
        .filter_map(|mark| description.find(mark))
        .min();
    description[..end.unwrap_or(description.len())].trim()
}

/// What a person can do; None where time may mend it.
fn hint(provider: Provider, code: &str, description: &str) -> Option<String> {
    const ADMINISTRATOR: &str =
        "the account or its administrator does not allow this client to read mail";
    // Not assigned to the client; blocked by conditional access; consent wanted, of an administrator.
    let not_allowed = ["AADSTS50105", "AADSTS53003", "AADSTS65001", "AADSTS90094"]
        .iter()
        .any(|known| description.starts_with(known));
    Some(match code {
        _ if not_allowed => ADMINISTRATOR.into(),
        "invalid_grant" => match provider {
            Provider::Google => format!(
                "{SIGN_IN} (a Google client left in \"Testing\" ends every sign-in after 7 days)"
            ),
            Provider::Microsoft => format!(
                "{SIGN_IN} (a new password, or 90 days without use, end a sign-in with Microsoft)"
            ),
            Provider::Other => SIGN_IN.into(),
        },
        "invalid_client" | "deleted_client" | "unauthorized_client" => match provider {
            Provider::Google => "its OAuth client is wrong or gone: make a new one in the Google Cloud console and sign in with it",
            // AADSTS7000218: "The request body must contain ... client_secret".
            Provider::Microsoft if description.starts_with("AADSTS7000218") => "switch on \"Allow public client flows\" for its app registration in Microsoft Entra; it is tried again by itself",
            Provider::Microsoft => "its app registration in Microsoft Entra is wrong or gone, or its secret is: mend it or make a new one, and sign in with it",
            Provider::Other => "its OAuth client is wrong or gone: make a new one with the provider and sign in with it",
        }
        .into(),
        "access_denied" | "admin_policy_enforced" | "org_internal" | "invalid_scope" => {
            ADMINISTRATOR.into()
        }
        "invalid_request"
        | "unsupported_grant_type"
        | "invalid_rapt"
        | "interaction_required"
        | "login_required"
        | "consent_required" => SIGN_IN.into(),
        _ => return None,
    })
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

    #[test]
    fn hints_fit_the_provider() {
        use Provider::{Google, Microsoft, Other};
        let expired = "AADSTS700082: The refresh token has expired due to inactivity.";
        for (provider, code, description, part) in [
            (Google, "invalid_grant", "Bad Request", "\"Testing\""),
            (Microsoft, "invalid_grant", expired, "90 days without use"),
            (Other, "invalid_grant", "", "sign in again"),
            (
                Microsoft,
                "interaction_required",
                "AADSTS50076: ...",
                "sign in again",
            ),
            (
                Microsoft,
                "invalid_client",
                "AADSTS7000218: ...",
                "public client flows",
            ),
            (Microsoft, "invalid_client", "AADSTS7000222: ...", "Entra"),
            (Google, "invalid_client", "Unauthorized", "Google Cloud"),
            (Other, "unauthorized_client", "", "with the provider"),
            (
                Microsoft,
                "invalid_grant",
                "AADSTS53003: ...",
                "administrator",
            ),
        ] {
            let hint = hint(provider, code, description).unwrap_or_default();
            assert!(hint.contains(part), "{provider:?} {code}: {hint}");
            assert_eq!(hint.contains("Google"), provider == Google, "{hint}");
        }
        assert_eq!(hint(Microsoft, "temporarily_unavailable", ""), None);
    }

    #[test]
    fn what_microsoft_says_to_its_own_support_is_left_out() {
        for text in [
            "AADSTS70000: The grant is expired. Trace ID: 0 Correlation ID: 1",
            "AADSTS70000: The grant is expired.\r\nTrace ID: 0",
            "AADSTS70000: The grant is expired.",
        ] {
            assert_eq!(sentence(text), "AADSTS70000: The grant is expired.");
        }
    }
}
