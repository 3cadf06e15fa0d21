//! What a provider's refusal means to a person, on whichever road a token was asked for: by the answer that a
//! browser brings, for a code, or by a refresh token (docs/gmail.md 7.3 and 8.2; RFC 6749 4.1.2.1 and 5.2).
//! All these refusals are worded here, and only here are a provider's own words made fit to be shown: it may
//! repeat the secrets that it was sent, in whatever form.

use std::fmt::Display;
use std::path::Path;

use oauth2::{ErrorResponseType, RequestTokenError, StandardErrorResponse};

use super::provider::{PUBLISH, Provider};
use crate::config::{Masks, Secret};
use crate::error::{Error, Fault, shown};

const AGAIN: &str = "run the same command again";
const ADMINISTRATOR: &str =
    "the account or its administrator does not allow this client to read mail";

/// Why a token endpoint gave no token.
pub(super) enum Refusal {
    /// The endpoint is out of reach or out of order: whether it refuses is not known.
    OutOfOrder(String),
    Refused(Said),
}

/// A provider's own words, safe to be shown.
pub(super) struct Said {
    code: String,
    description: String,
}

/// Words of a provider that was sent these secrets, made fit to be shown.
pub(super) fn fit_to_show<'a>(
    words: &str,
    sent: impl IntoIterator<Item = &'a Secret<String>>,
) -> String {
    safe(words, &masks(sent))
}

fn masks<'a>(secrets: impl IntoIterator<Item = &'a Secret<String>>) -> Masks {
    secrets.into_iter().fold(Masks::default(), |masks, secret| {
        masks.and(Masks::new(secret.reveal(), b""))
    })
}

fn safe(words: &str, masks: &Masks) -> String {
    masks.apply(&shown(words.as_bytes()))
}

/// The browser came back with a refusal in place of a code.
pub(super) fn of_answer<'a>(
    error: &str,
    description: &str,
    sent: impl IntoIterator<Item = &'a Secret<String>>,
    provider: Provider,
) -> Error {
    let said = Said::new(error, description, &masks(sent));
    let (name, words) = (provider.in_sentences(), said.words());
    let what = if said.is("access_denied") {
        format!("the sign-in was declined: {name} says {words}")
    } else {
        format!("{name} refused the sign-in: {words}")
    };
    Error::new(Fault::NeedsUser, what).hint(said.hint_for_answer(provider))
}

impl Refusal {
    /// What a token endpoint answered, with this HTTP status (0: it did not answer), to a request that held
    /// these secrets.
    pub(super) fn of_endpoint<'a, T: ErrorResponseType + Display + 'static>(
        e: &RequestTokenError<ureq::Error, StandardErrorResponse<T>>,
        status: u16,
        sent: impl IntoIterator<Item = &'a Secret<String>>,
    ) -> Refusal {
        let masks = masks(sent);
        match e {
            _ if status == 429 || status >= 500 => {
                Refusal::OutOfOrder(format!("the token endpoint answers with HTTP {status}"))
            }
            RequestTokenError::ServerResponse(reply) => Refusal::Refused(Said::new(
                &reply.error().to_string(),
                reply.error_description().map_or("", String::as_str),
                &masks,
            )),
            RequestTokenError::Request(e) => Refusal::OutOfOrder(safe(&e.to_string(), &masks)),
            RequestTokenError::Parse(..) | RequestTokenError::Other(_) => Refusal::no_token(status),
        }
    }

    pub(super) fn no_token(status: u16) -> Refusal {
        Refusal::OutOfOrder(format!(
            "the token endpoint answers with something else than a token (HTTP {status})"
        ))
    }

    /// A code, of a browser or a device, was to become a token.
    pub(super) fn for_code(self, provider: Provider) -> Error {
        let name = provider.in_sentences();
        let (said, hint) = match self {
            Refusal::OutOfOrder(what) => (what, None),
            Refusal::Refused(said) => (said.words(), said.hint_for_code()),
        };
        match hint {
            Some(hint) => {
                Error::new(Fault::NeedsUser, format!("{name} gives no token: {said}")).hint(hint)
            }
            None => Error::connection(format!("{name} gives no token now: {said}"))
                .hint(format!("{AGAIN} in a while")),
        }
    }

    /// The token of this file was to be renewed; `sign_in`: how a person signs in again. An error with
    /// `credentials_refused` says that its refresh token is dead.
    pub(super) fn for_renewal(self, file: &Path, provider: Provider, sign_in: &str) -> Error {
        let error = |fault, what: &str| Error::new(fault, format!("{}: {what}", file.display()));
        let not_now = |what: &str| {
            let what = format!("the token cannot be renewed now; {what}");
            error(Fault::Connection, &what)
        };
        let said = match self {
            Refusal::OutOfOrder(what) => return not_now(&what),
            Refusal::Refused(said) => said,
        };
        let words = format!("the server said: {}", said.words());
        let Some(hint) = said.hint_for_renewal(provider, sign_in) else {
            return not_now(&words);
        };
        let ended = said.is("invalid_grant");
        let what = if ended && provider == Provider::Google {
            "Google no longer accepts the saved sign-in (expired or withdrawn)"
        } else {
            "the token cannot be renewed"
        };
        let mut error = error(Fault::NeedsUser, &format!("{what}; {words}")).hint(hint);
        error.credentials_refused = ended;
        error
    }
}

impl Said {
    fn new(code: &str, description: &str, masks: &Masks) -> Said {
        Said {
            code: safe(code, masks),
            description: safe(sentence(description), masks),
        }
    }

    fn is(&self, code: &str) -> bool {
        self.code == code
    }

    /// `invalid_grant (Bad Request)`
    fn words(&self) -> String {
        match &*self.description {
            "" => self.code.clone(),
            description => format!("{} ({description})", self.code),
        }
    }

    /// The hint where the browser came back without a code.
    fn hint_for_answer(&self, provider: Provider) -> String {
        if let Some(hint) = self.of_microsoft(AGAIN) {
            return hint;
        }
        match &*self.code {
            "access_denied" if provider == Provider::Google => format!(
                "{AGAIN} and agree; where the client is in \"Testing\", the account must be one of its test users"
            ),
            "access_denied" | "consent_required" => format!("{AGAIN} and agree"),
            "admin_policy_enforced" | "org_internal" | "unauthorized_client" => {
                "the account's administrator must allow this client first".into()
            }
            "invalid_scope" => "this client must not ask for mail: add the scope to it".into(),
            "temporarily_unavailable" | "server_error" => format!("{AGAIN} in a while"),
            _ => AGAIN.into(),
        }
    }

    /// The hint where a code was to become a token. None: it may work later.
    fn hint_for_code(&self) -> Option<String> {
        if let Some(hint) = self.of_microsoft(AGAIN) {
            return Some(hint);
        }
        Some(match &*self.code {
            "invalid_client" | "deleted_client" | "unauthorized_client" => {
                "the OAuth client is wrong or gone: download its file anew, or make a new client".into()
            }
            "access_denied" | "authorization_declined" => format!("{AGAIN} and agree"),
            "admin_policy_enforced" | "org_internal" | "invalid_scope" => ADMINISTRATOR.into(),
            "redirect_uri_mismatch" => {
                "the client does not let the browser come back to this machine: make one of type \"Desktop app\"".into()
            }
            "expired_token" => format!("{AGAIN}; the code must be entered in time"),
            "invalid_grant" => {
                format!("the browser's answer was used before or is too old: {AGAIN}")
            }
            "server_error" | "temporarily_unavailable" | "internal_failure" => return None,
            _ => AGAIN.into(),
        })
    }

    /// The hint where a token was to be renewed; `sign_in`: how a person signs in again. None: it may work
    /// later.
    fn hint_for_renewal(&self, provider: Provider, sign_in: &str) -> Option<String> {
        if let Some(hint) = self.of_microsoft(sign_in) {
            return Some(hint);
        }
        Some(match &*self.code {
            "invalid_grant" => match provider {
                Provider::Google => format!(
                    "{sign_in}. If it ends every 7 days, your Google client is still in \"Testing\": {PUBLISH}"
                ),
                Provider::Microsoft => format!(
                    "{sign_in} (a new password, or 90 days without use, end a sign-in with Microsoft)"
                ),
                Provider::Other => sign_in.into(),
            },
            "invalid_client" | "deleted_client" | "unauthorized_client" => match provider {
                Provider::Google => format!(
                    "its OAuth client is wrong or gone: make a new one in the Google Cloud console, and {sign_in}"
                ),
                Provider::Microsoft => format!(
                    "its app registration in Microsoft Entra is wrong or gone, or its secret is: mend it or make a new one, and {sign_in}"
                ),
                Provider::Other => format!(
                    "its OAuth client is wrong or gone: make a new one with the provider, and {sign_in}"
                ),
            },
            "access_denied" | "admin_policy_enforced" | "org_internal" | "invalid_scope" => {
                ADMINISTRATOR.into()
            }
            "invalid_request"
            | "unsupported_grant_type"
            | "invalid_rapt"
            | "interaction_required"
            | "login_required"
            | "consent_required" => sign_in.into(),
            _ => return None,
        })
    }

    /// The hint for those of Microsoft's error numbers that a new sign-in alone does not mend: they are more
    /// exact than the OAuth error that they come with
    /// (learn.microsoft.com/entra/identity-platform/reference-error-codes). `again`: what a person does once
    /// the rest is mended.
    fn of_microsoft(&self, again: &str) -> Option<String> {
        let number = self.description.strip_prefix("AADSTS")?;
        let number = number.split(|c: char| !c.is_ascii_digit()).next()?;
        Some(match number {
            // The user is not assigned to the client; conditional access blocks it; consent is missing, or that
            // of an administrator.
            "50105" | "53003" | "65001" | "90094" => ADMINISTRATOR.into(),
            // Conditional access demands a device that the organisation manages or approves.
            "53000" | "53001" | "530002" | "530003" => {
                "the organisation lets only devices that it manages read its mail: its administrator must make an exception for this client (Conditional Access in Microsoft Entra); a new sign-in does not help".into()
            }
            "50057" => {
                "the account is disabled: its administrator must enable it; a new sign-in does not help before that".into()
            }
            // "The request body must contain the following parameter: 'scope'", "Application ... is
            // requesting a token for itself": the renewal named no scope.
            "900144" | "90009" => format!(
                "the token file does not say what its token is for: `\"scopes\": [\"https://outlook.office.com/IMAP.AccessAsUser.All\", \"offline_access\"]` is missing in it, or names another resource; put it there, or have that done: {again}"
            ),
            "9002331" => format!(
                "this app is for personal Microsoft accounts alone: let its registration in Microsoft Entra take accounts of organisations too, or put `\"tenant\": \"consumers\"` into the OAuth client file and {again}"
            ),
            // "The request body must contain ... client_secret".
            "7000218" => {
                let then = if again == AGAIN {
                    format!("then {AGAIN}")
                } else {
                    "a run then goes on by itself".into()
                };
                format!(
                    "switch on \"Allow public client flows\" for its app registration in Microsoft Entra; {then}"
                )
            }
            _ => return None,
        })
    }
}

/// The description without the numbers for Microsoft's support that its descriptions end with.
fn sentence(description: &str) -> &str {
    let end = [" Trace ID:", "\r\nTrace ID:", "\nTrace ID:"]
        .iter()
        .filter_map(|mark| description.find(mark))
        .min();
    description[..end.unwrap_or(description.len())].trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGN_IN: &str = "sign in again with `this`";

    fn said(code: &str, description: &str) -> Said {
        Said::new(code, description, &Masks::default())
    }

    #[test]
    fn what_comes_after_the_mend_fits_who_asks() {
        let said = said("invalid_client", "AADSTS7000218: ...");
        let begin =
            "switch on \"Allow public client flows\" for its app registration in Microsoft Entra; ";
        assert_eq!(
            said.hint_for_code(),
            Some(format!("{begin}then run the same command again"))
        );
        assert_eq!(
            said.hint_for_renewal(Provider::Microsoft, SIGN_IN),
            Some(format!("{begin}a run then goes on by itself"))
        );
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
            let hint = said(code, description).hint_for_renewal(provider, SIGN_IN);
            let hint = hint.unwrap_or_default();
            assert!(hint.contains(part), "{provider:?} {code}: {hint}");
            assert_eq!(hint.contains("Google"), provider == Google, "{hint}");
        }
        assert_eq!(
            said("temporarily_unavailable", "").hint_for_renewal(Microsoft, SIGN_IN),
            None
        );
    }

    #[test]
    fn what_microsoft_numbers_is_mended_where_it_is_wrong() {
        for (code, description, part) in [
            (
                "invalid_grant",
                "AADSTS530003: Your device is required to be managed to access this resource.",
                "only devices that it manages",
            ),
            (
                "invalid_grant",
                "AADSTS50057: The user account is disabled.",
                "the account is disabled",
            ),
            (
                "invalid_request",
                "AADSTS900144: The request body must contain the following parameter: 'scope'.",
                "`\"scopes\": [",
            ),
            (
                "invalid_request",
                "AADSTS90009: Application 'x' is requesting a token for itself.",
                "`\"scopes\": [",
            ),
            (
                "invalid_request",
                "AADSTS9002331: Application 'x' is configured for use by Microsoft Account users only. Please use the /consumers endpoint to serve this request.",
                "`\"tenant\": \"consumers\"`",
            ),
        ] {
            let said = said(code, description);
            let hints = [
                said.hint_for_renewal(Provider::Microsoft, SIGN_IN),
                said.hint_for_code(),
                Some(said.hint_for_answer(Provider::Microsoft)),
            ];
            for hint in hints {
                let hint = hint.unwrap_or_default();
                assert!(hint.contains(part), "{description}: {hint}");
                assert!(!hint.starts_with(SIGN_IN), "{hint}");
            }
        }
        // Another number that begins with the same digits.
        let other = said("invalid_grant", "AADSTS530031: ...");
        let hint = other.hint_for_renewal(Provider::Microsoft, SIGN_IN);
        assert!(hint.is_some_and(|h| h.contains("sign in again")));
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
