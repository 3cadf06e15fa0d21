//! What a token file says, in each form that programs write it (docs/gmail.md 7.5), whose tokens they are, and
//! what their age says (7.4). Not for reading or writing the file: that is for `token_file`.

use std::path::Path;

use chrono::{DateTime, Datelike as _, NaiveDateTime, TimeDelta};
use oauth2::TokenUrl;
use serde_json::{Map, Value};

use super::http::is_token;
use super::provider::{GOOGLE_SCOPE, PUBLISH, Provider, TESTING_LIFE};
use crate::config::Secret;
use crate::error::{Error, Fault};
use crate::message::{Sha256, Time};
use crate::text::minute;

/// How long before the end of a sign-in a person is told.
const WARNING: TimeDelta = TimeDelta::days(2);
const GOOGLE_TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// Scopes that say nothing about mail. Microsoft's replies leave out the first (docs/gmail.md 8.2).
const ASIDE: &[&str] = &["offline_access", "openid", "profile", "email"];

pub(super) struct Contents {
    pub(super) map: Map<String, Value>,
    /// The hash of the file's bytes.
    pub(super) hash: Sha256,
    pub(super) token: Option<Secret<String>>,
    pub(super) expiry: Option<Time>,
}

impl Contents {
    /// The error is what is wrong with the file.
    pub(super) fn new(map: Map<String, Value>, hash: Sha256) -> Result<Contents, String> {
        let token = match map.get("token") {
            None => None,
            Some(Value::String(t)) if is_token(t) => Some(Secret::new(t.clone())),
            Some(_) => return Err("`token` is not an access token".into()),
        };
        let contents = Contents {
            expiry: time(&map, "expiry"),
            token,
            map,
            hash,
        };
        if contents.token.is_none() && !contents.can_renew() {
            let makes = contents.renewal_keys().map(|k| format!("`{k}`"));
            return Err(format!(
                "there is no `token` in it, nor what makes one ({})",
                makes.collect::<Vec<_>>().join(", ")
            ));
        }
        Ok(contents)
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        match self.map.get(key) {
            Some(Value::String(s)) if !s.is_empty() => Some(s.clone()),
            _ => None,
        }
    }

    pub(super) fn token_uri(&self) -> String {
        self.text("token_uri")
            .unwrap_or_else(|| GOOGLE_TOKEN_URI.into())
    }

    /// The keys without which there is no renewal. A public client, as Microsoft's are for programs like this
    /// one, has no secret; Google gives every client one.
    fn renewal_keys(&self) -> impl Iterator<Item = &'static str> + use<> {
        let secret = (self.provider() == Provider::Google).then_some("client_secret");
        ["refresh_token", "client_id"].into_iter().chain(secret)
    }

    pub(super) fn can_renew(&self) -> bool {
        self.lacks().is_none()
    }

    /// The first key without which it cannot be renewed.
    pub(super) fn lacks(&self) -> Option<&'static str> {
        self.renewal_keys().find(|k| self.text(k).is_none())
    }

    /// When a person last consented, where the file says so.
    pub(super) fn consented_at(&self) -> Option<Time> {
        time(&self.map, "consented_at")
    }

    pub(super) fn provider(&self) -> Provider {
        let url = TokenUrl::new(self.token_uri()).ok();
        let host = url.as_ref().and_then(|u| u.url().host_str());
        let of = |domains: &[&str]| {
            host.is_some_and(|host| {
                domains.iter().any(|d| {
                    host.strip_suffix(d)
                        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
                })
            })
        };
        let scopes = self.scopes();
        let grants = |part: &str| scopes.iter().any(|s| s.contains(part));
        if of(&["google.com", "googleapis.com"]) || grants("//mail.google.com") {
            Provider::Google
        } else if of(&[
            "microsoftonline.com",
            "microsoftonline.us",
            "microsoftonline.cn",
            "login.live.com",
        ]) || grants("//outlook.office")
        {
            Provider::Microsoft
        } else {
            Provider::Other
        }
    }

    /// A list, or one string with blanks in between.
    pub(super) fn scopes(&self) -> Vec<String> {
        match self.map.get("scopes") {
            Some(Value::Array(items)) => items
                .iter()
                .filter_map(|v| v.as_str().map(str::to_string))
                .collect(),
            Some(Value::String(s)) => s.split_whitespace().map(str::to_string).collect(),
            _ => Vec::new(),
        }
    }

    /// Scopes of which a renewed token must have one. If there are none, only the mail server can judge the
    /// token.
    pub(super) fn wanted(&self) -> Vec<String> {
        match self.provider() {
            Provider::Google => vec![GOOGLE_SCOPE.into()],
            Provider::Microsoft | Provider::Other => {
                let mut scopes = self.scopes();
                scopes.retain(|s| !ASIDE.contains(&&**s));
                scopes
            }
        }
    }
}

fn time(map: &Map<String, Value>, key: &str) -> Option<Time> {
    map.get(key).and_then(Value::as_str).and_then(expiry)
}

/// `2026-01-02T03:04:05.123456Z`, without the fraction, without the Z, or with an offset. None for what
/// cannot be read or has an absurd year: such a token counts as expired.
fn expiry(text: &str) -> Option<Time> {
    let naive = text.trim_end_matches('Z');
    NaiveDateTime::parse_from_str(naive, "%Y-%m-%dT%H:%M:%S%.f")
        .map(|t| t.and_utc())
        .or_else(|_| DateTime::parse_from_rfc3339(text).map(|t| t.to_utc()))
        .ok()
        .filter(|t| (1970..=9999).contains(&t.year()))
}

/// As google-auth writes and reads it: naive UTC and a Z.
pub(super) fn time_text(time: Time) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// A warning about a sign-in with Google that may end soon, from two days before: the end is the one that
/// Google stated, else the seventh day, on which the sign-in ends if the client is left in "Testing". A token
/// that works after that day shows that the client is not. `sign_in`: the command with which a person signs
/// in again.
pub(super) fn ends_soon(
    name: &Path,
    map: &Map<String, Value>,
    sign_in: &str,
    now: Time,
) -> Option<Error> {
    let time = |key: &str| time(map, key);
    let google = match map.get("scopes") {
        Some(Value::Array(scopes)) => scopes.iter().any(|s| s == GOOGLE_SCOPE),
        Some(Value::String(scopes)) => scopes.split_whitespace().any(|s| s == GOOGLE_SCOPE),
        _ => false,
    };
    if !google {
        return None;
    }
    let stated = time("refresh_token_expires_at");
    let end = stated.or_else(|| time("consented_at")?.checked_add_signed(TESTING_LIFE))?;
    if !(end.checked_sub_signed(WARNING)?..end).contains(&now) {
        return None;
    }
    let day = minute(end);
    let name = name.display();
    let error = |what: String| Error::new(Fault::NeedsUser, what);
    Some(match stated {
        Some(_) => error(format!("{name}: Google ends this sign-in on {day}")).hint(format!(
            "sign in again before that with {sign_in}; if the client is in \"Testing\": {PUBLISH} first"
        )),
        None => error(format!(
            "{name}: if its Google client is still in \"Testing\", this sign-in ends on {day}"
        ))
        .hint(format!(
            "{PUBLISH}, and then sign in once more with {sign_in}; if it is published already, this warning goes by itself"
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::provider::same_scope;
    use serde_json::json;

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

    fn contents(value: Value) -> Contents {
        let Value::Object(map) = value else {
            panic!("no object")
        };
        Contents::new(map, Sha256([0; 32])).unwrap_or_else(|what| panic!("{what}"))
    }

    #[test]
    fn whose_tokens_they_are_is_told_by_the_endpoint_and_else_by_the_scopes() {
        use Provider::{Google, Microsoft, Other};
        let outlook = "https://outlook.office.com/IMAP.AccessAsUser.All offline_access";
        for (uri, scopes, provider) in [
            (None, "", Google),
            (Some("https://oauth2.googleapis.com/token"), "", Google),
            (
                Some("https://accounts.google.com/o/oauth2/token"),
                "",
                Google,
            ),
            (
                Some("https://login.microsoftonline.com/common/oauth2/v2.0/token"),
                "",
                Microsoft,
            ),
            (Some("http://127.0.0.1:8000/token"), outlook, Microsoft),
            (Some("http://127.0.0.1:8000/token"), GOOGLE_SCOPE, Google),
            (Some("https://id.example.org/token"), "mail", Other),
            (Some("https://notgoogle.com/token"), "", Other),
            (Some("https://google.com.example.org/token"), "", Other),
        ] {
            let mut file = json!({"token": "x", "scopes": scopes});
            if let Some(uri) = uri {
                file["token_uri"] = uri.into();
            }
            assert_eq!(contents(file).provider(), provider, "{uri:?} {scopes}");
        }
    }

    #[test]
    fn a_scope_is_known_however_it_is_written() {
        assert!(same_scope(
            "https://outlook.office.com/IMAP.AccessAsUser.All",
            "https://outlook.office365.com/imap.accessasuser.all"
        ));
        assert!(same_scope("IMAP.AccessAsUser.All", "imap.accessasuser.all"));
        assert!(!same_scope(
            "https://outlook.office.com/SMTP.Send",
            "openid"
        ));
        let file = contents(
            json!({"token": "x", "token_uri": "https://id.example.org/t",
            "scopes": ["mail", "offline_access", "openid"]}),
        );
        assert_eq!(file.wanted(), ["mail"]);
    }

    /// In the local time of the machine that runs this test.
    fn here(time: &str) -> String {
        expiry(time).map(minute).unwrap_or_default()
    }

    fn said(token: Value, now: &str) -> Option<String> {
        let Value::Object(map) = token else {
            return None;
        };
        ends_soon(Path::new("t.json"), &map, "", expiry(now)?).map(|e| e.message)
    }

    #[test]
    fn a_sign_in_that_may_end_by_itself_is_told_of_two_days_before() {
        let token = |scopes: Value| json!({"scopes": scopes, "consented_at": "2026-01-01T12:00:00.000000Z"});
        let google = token(json!([GOOGLE_SCOPE]));
        let testing = format!(
            "t.json: if its Google client is still in \"Testing\", this sign-in ends on {}",
            here("2026-01-08T12:00:00Z")
        );
        for (now, told) in [
            ("2025-12-31T00:00:00Z", false),
            ("2026-01-01T12:00:00Z", false),
            ("2026-01-06T11:59:59Z", false),
            ("2026-01-06T12:00:00Z", true),
            ("2026-01-08T11:59:59Z", true),
            // Still good: it is not in Testing.
            ("2026-01-08T12:00:00Z", false),
            ("2026-03-01T00:00:00Z", false),
        ] {
            let want = told.then(|| testing.clone());
            assert_eq!(said(google.clone(), now), want, "{now}");
        }
        let sixth = "2026-01-07T00:00:00Z";
        assert!(said(token(json!(format!("openid {GOOGLE_SCOPE}"))), sixth).is_some());
        // Other providers do not end a sign-in so; the age of a file that another program made is not known.
        assert_eq!(said(token(json!(["mail"])), sixth), None);
        assert_eq!(said(token(json!(null)), sixth), None);
        assert_eq!(said(json!({"scopes": [GOOGLE_SCOPE]}), sixth), None);
        for odd in ["soon", "+262142-12-31T00:00:00", "-262143-01-01T00:00:00"] {
            let token = json!({"scopes": [GOOGLE_SCOPE], "consented_at": odd, "refresh_token_expires_at": odd});
            assert_eq!(said(token, sixth), None, "{odd}");
        }
    }

    #[test]
    fn what_google_says_itself_goes_before_what_is_guessed() {
        let token = json!({"scopes": [GOOGLE_SCOPE], "consented_at": "2026-01-01T12:00:00Z",
            "refresh_token_expires_at": "2026-02-01T12:00:00Z"});
        assert_eq!(said(token.clone(), "2026-01-07T00:00:00Z"), None);
        assert_eq!(
            said(token, "2026-01-31T00:00:00Z"),
            Some(format!(
                "t.json: Google ends this sign-in on {}",
                here("2026-02-01T12:00:00Z")
            ))
        );
    }
}
