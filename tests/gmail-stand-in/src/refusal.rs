//! How Gmail refuses a login (docs/gmail.md 2.3), to the letter.

/// A login that fails whatever the credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// `NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)`
    InvalidCredentials,
    /// `NO [ALERT] Invalid credentials (Failure)`, the older form.
    InvalidCredentialsAlert,
    /// A plain password where an app password is needed.
    AppPasswordRequired,
    /// `* NO [WEBALERT ...] Web login required.` and then `NO [ALERT] Please log in via your web browser: ...`
    WebLoginRequired,
    /// IMAP is switched off in the settings.
    ImapDisabled,
    /// IMAP is switched off by the domain's administrator.
    DomainDisabled,
    /// What the 16th connection hears.
    TooManyConnections,
    /// `NO Lookup failed <token>`
    LookupFailed,
    /// `* BYE [UNAVAILABLE] Temporary System Error`
    UnavailableBye,
    /// `NO [UNAVAILABLE] Temporary System Problem (Failure)`
    Unavailable,
    /// `* BYE [OVERQUOTA] Account exceeded command or bandwidth limits.`
    OverquotaBye,
    /// `NO [ALERT] Account exceeded command or bandwidth limits. (Failure)`
    OverquotaAlert,
    /// This tagged answer.
    Other(String),
}

impl Refusal {
    /// What comes before the tagged answer, and that; no tagged answer means that the untagged line ends the connection.
    pub(crate) fn words(&self, token: &str) -> (Option<String>, Option<String>) {
        let tagged = |text: &str| (None, Some(text.to_string()));
        let bye = |text: &str| (Some(format!("* BYE {text}")), None);
        match self {
            Refusal::InvalidCredentials => {
                tagged("NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)")
            }
            Refusal::InvalidCredentialsAlert => tagged("NO [ALERT] Invalid credentials (Failure)"),
            Refusal::AppPasswordRequired => tagged(
                "NO [ALERT] Application-specific password required: \
                 https://support.google.com/accounts/answer/185833 (Failure)",
            ),
            Refusal::WebLoginRequired => (
                Some(
                    "* NO [WEBALERT https://accounts.google.com/signin/continue?sarp=1&scc=1&plt=AKgnsbt] \
                     Web login required."
                        .into(),
                ),
                Some(
                    "NO [ALERT] Please log in via your web browser: \
                     https://support.google.com/mail/accounts/answer/78754 (Failure)"
                        .into(),
                ),
            ),
            Refusal::ImapDisabled => tagged(
                "NO [ALERT] Your account is not enabled for IMAP use. Please visit your Gmail settings page \
                 and enable your account for IMAP access. (Failure)",
            ),
            Refusal::DomainDisabled => tagged(
                "NO [ALERT] IMAP access is disabled for your domain. Please contact your domain administrator \
                 for questions about this feature. (Failure)",
            ),
            Refusal::TooManyConnections => {
                tagged("NO [ALERT] Too many simultaneous connections. (Failure)")
            }
            Refusal::LookupFailed => tagged(&format!("NO Lookup failed {token}")),
            Refusal::UnavailableBye => bye(crate::UNAVAILABLE),
            Refusal::Unavailable => tagged("NO [UNAVAILABLE] Temporary System Problem (Failure)"),
            Refusal::OverquotaBye => bye(crate::OVERQUOTA),
            Refusal::OverquotaAlert => tagged(OVERQUOTA_ALERT),
            Refusal::Other(text) => tagged(text),
        }
    }
}

/// The older form of a block for bandwidth.
pub(crate) const OVERQUOTA_ALERT: &str =
    "NO [ALERT] Account exceeded command or bandwidth limits. (Failure)";
