//! What a test can turn of the API; like the other [`Knobs`](crate::Knobs) they hold until they are changed.
//!
//! Each default is how Gmail is believed to behave (docs/gmail-import.md 3, 5); what nobody knows says so.

use std::time::Duration;

/// Settings of the API.
#[derive(Debug, Clone)]
pub struct ApiKnobs {
    /// The API is enabled in the Cloud project of the OAuth client. On.
    pub enabled: bool,
    /// The administrators of the domain let apps in. On.
    pub domain_allows: bool,
    /// The account has Gmail. On.
    pub mail_service: bool,
    /// What import puts in front of a message (docs/gmail-import.md 3.1). On.
    pub trace_lines: bool,
    /// A message that holds one of these is spam to the scan. None is.
    pub spam: Vec<String>,
    /// Spam is spam whatever `neverMarkSpam` says (docs/gmail-import.md 3.3). Off.
    pub never_mark_spam_ignored: bool,
    /// Spam goes to Spam when [`Gmail::classify`](crate::Gmail::classify) says so, some time after the answer
    /// (docs/gmail-import.md 3.3). Off: at once.
    pub classified_on_command: bool,
    /// The reply to an import of what goes to Spam at once says so. Unknown of Gmail; on.
    pub reply_tells_spam: bool,
    /// Filters of the user that run over imported mail. None.
    pub filters: Vec<ApiFilter>,
    /// JSON requests may have so many bytes; one more is answered 413 (docs/gmail-import.md 4). 5,000,000.
    pub json_limit: usize,
    /// Uploads may have so many (docs/gmail-import.md 1). 157,286,400.
    pub upload_limit: u64,
    /// Units that a minute has (docs/gmail-import.md 5). 6,000. None: no end.
    pub units_per_minute: Option<u32>,
    /// Requests that may be under way at a time; one more is refused. Unknown of Gmail. None: no end.
    pub concurrent: Option<usize>,
    /// Bytes of messages that may come until the account is blocked, whatever came over IMAP. None: no end.
    pub upload_budget: Option<u64>,
    /// How long it then is, by the virtual clock. A day.
    pub blocked_for: Duration,
    /// Whoever asks while the account is blocked makes that so much longer (docs/gmail-import.md 4). A minute.
    pub moves_out: Duration,
    /// The HTTP status with which a block is told: 403 and 429 were seen. 429.
    pub block_status: u16,
    /// Resumable sessions are forgotten at once: whoever asks for one is answered 404. Off.
    pub forgets_sessions: bool,
}

/// A filter: what it looks for, and what it does.
#[derive(Debug, Clone)]
pub struct ApiFilter {
    /// It takes messages that hold this.
    pub holds: String,
    /// They get this label.
    pub label: Option<String>,
    /// They are archived.
    pub skip_inbox: bool,
}

impl Default for ApiKnobs {
    fn default() -> Self {
        ApiKnobs {
            enabled: true,
            domain_allows: true,
            mail_service: true,
            trace_lines: true,
            spam: Vec::new(),
            never_mark_spam_ignored: false,
            classified_on_command: false,
            reply_tells_spam: true,
            filters: Vec::new(),
            json_limit: 5_000_000,
            upload_limit: 157_286_400,
            units_per_minute: Some(6_000),
            concurrent: None,
            upload_budget: None,
            blocked_for: Duration::from_secs(24 * 3600),
            moves_out: Duration::from_secs(60),
            block_status: 429,
            forgets_sessions: false,
        }
    }
}
