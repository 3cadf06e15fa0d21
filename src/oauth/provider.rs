//! Who gives the tokens, and what each provider's mail wants (docs/gmail.md 7.1 and 8.2). Not for what one
//! client file or token file says.

use chrono::TimeDelta;

/// Whose sign-in it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    Google,
    Microsoft,
    /// The client file or token file says all that there is to know.
    Other,
}

/// The one scope that Google's IMAP takes (docs/gmail.md 7.1).
pub(super) const GOOGLE_SCOPE: &str = "https://mail.google.com/";
/// Without this scope Microsoft's IMAP takes no token (docs/gmail.md 8.2).
pub(super) const MICROSOFT_SCOPE: &str = "https://outlook.office.com/IMAP.AccessAsUser.All";

/// While a Google client is left in "Testing", each sign-in with it ends after this time.
pub const TESTING_LIFE: TimeDelta = TimeDelta::days(7);
/// How a person takes a Google client out of "Testing".
pub const PUBLISH: &str = "in the Google Cloud console, under Google Auth Platform, Audience, choose \"Publish app\"; for your own mail it needs no verification";

impl Provider {
    /// As `auth --provider` knows it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Provider::Google => "google",
            Provider::Microsoft => "microsoft",
            Provider::Other => "other",
        }
    }

    /// As sentences name it.
    pub(super) fn in_sentences(self) -> &'static str {
        match self {
            Provider::Google => "Google",
            Provider::Microsoft => "Microsoft",
            Provider::Other => "the provider",
        }
    }

    /// The scope without which a token is of no use, where we know it.
    pub(super) fn mail_scope(self) -> Option<&'static str> {
        match self {
            Provider::Google => Some(GOOGLE_SCOPE),
            Provider::Microsoft => Some(MICROSOFT_SCOPE),
            Provider::Other => None,
        }
    }
}

/// Do these name one scope? Microsoft writes them in different cases and under different hosts.
pub(super) fn same_scope(a: &str, b: &str) -> bool {
    let last = |s: &str| {
        let s = s.trim_end_matches('/').to_lowercase();
        s.rsplit('/').next().unwrap_or_default().to_string()
    };
    last(a) == last(b)
}
