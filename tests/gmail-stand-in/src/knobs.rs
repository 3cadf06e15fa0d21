//! What a test can turn: at the start with [`Options`](crate::Options), later with [`Gmail::knobs`](crate::Gmail::knobs).
//!
//! Each default is how Gmail is believed to behave. What happens once, at a chosen command, is a [`Fault`](crate::Fault).

use std::time::Duration;

use crate::consent::ConsentPage;
use crate::names::Use;
use crate::rest::ApiKnobs;
use crate::tokens::SCOPE;

/// Settings that hold until they are changed.
#[derive(Debug, Clone)]
pub struct Knobs {
    /// Shown in the tagged OK of a login (docs/gmail.md 1.3, older form).
    pub display_name: Option<String>,
    /// Sessions signed in at a time; one more is refused (docs/gmail.md 6). 15.
    pub max_connections: usize,
    /// Mailboxes that are not shown in IMAP (docs/gmail.md 5): neither LIST nor SELECT knows them.
    pub hidden: Vec<Use>,
    /// LIST shows names of labels as atoms where it can (docs/gmail.md 1.6).
    pub bare_atoms: bool,
    /// FLAGS holds atoms that RFC 3501 forbids (docs/gmail.md 1.9).
    pub odd_flags: bool,
    /// Changes by others show with the next command of any kind. Off: with NOOP, CHECK, IDLE, SELECT and EXAMINE only.
    pub visible_at_once: bool,
    /// What a session appends to its selected mailbox is in its view at once. Off: after NOOP, as Courier has it.
    pub own_appends_visible: bool,
    /// APPEND to the mailbox that the session has open by EXAMINE is refused, as Courier does. Off.
    pub read_only_blocks_append: bool,
    /// IDLE tells of changes. Off: it is accepted and says nothing.
    pub idle_pushes: bool,
    /// NOTIFY (RFC 5465) tells names in UTF-8, those that are not ASCII as literals, and a `&` as it is, whatever the
    /// names of LIST look like: so does Dovecot (docs/servers.md 3.22). Off: as LIST has them.
    pub notify_in_utf8: bool,
    /// NOTIFY tells also while nothing is under way (RFC 5465 4), as Dovecot does. Off: in IDLE and with NOOP only.
    pub notify_between: bool,
    /// Whoever would be told of something is told instead that NOTIFY is over (RFC 5465 5.8). Off.
    pub notify_overflows: bool,
    /// Names of Gmail's own are refused also as the first level of a longer one (docs/gmail.md 5.1: one program avoids
    /// them, nobody shows a refusal). Off.
    pub own_names_nowhere: bool,
    /// IDLE is cut without BYE after this much of the virtual clock (docs/gmail.md 6: about 10 min). None.
    pub idle_cut_after: Option<Duration>,
    /// `maxFolderSize` (docs/gmail.md 6): a mailbox shows at most so many messages, the newest. None.
    pub max_folder_size: Option<usize>,
    /// `autoExpunge` (docs/gmail.md 6): \Deleted acts at once. On.
    pub auto_expunge: bool,
    /// `expungeBehavior` (docs/gmail.md 6). Archive.
    pub expunge_behavior: ExpungeBehavior,
    /// What APPEND takes for the same message (docs/gmail.md 3.2).
    pub dedupe: Dedupe,
    /// APPENDLIMIT (docs/gmail.md 3.5). 35651584.
    pub append_limit: u64,
    /// What QUOTA tells of the storage: used, and all of it, in units of 1,024 bytes (docs/gmail.md 1.8). 450 of 15728640,
    /// which is 15 GB. None: the root has no limit.
    pub storage: Option<(u64, u64)>,
    /// Some: each tagged OK ends in ` [THROTTLED]` and comes so much later, for real (docs/gmail.md 2.3). None.
    pub throttled: Option<Duration>,
    /// Literal bytes that APPEND takes until the account is blocked (docs/gmail.md 6). None: no end.
    pub upload_budget: Option<u64>,
    /// How long it then is, by the virtual clock. A day.
    pub blocked_for: Duration,
    /// How it says so.
    pub overquota: OverquotaForm,
    /// SEARCH does not see a message until so long after APPEND, by the virtual clock (docs/gmail.md 4.5). None.
    pub index_lag: Duration,
    /// Percentage of Message-IDs that SEARCH HEADER does not find (docs/gmail.md 4.4); always the same ones. 0.
    pub search_misses: u8,
    /// Some: an APPEND takes so long, for real, and those of all sessions wait for each other, as on a server with one
    /// worker for an account. None.
    pub one_append_at_a_time: Option<Duration>,
    /// Each answer comes no sooner than this after its command, for real: a network to measure with. None.
    pub round_trip: Duration,
    /// When a session expires, whatever its token (docs/gmail.md 6). 24 h.
    pub session_life: Duration,
    /// `expires_in` of access tokens (docs/gmail.md 7.2). 3599 s.
    pub token_life: Duration,
    /// What tokens are given for, and the one of its scopes that the server wants to see. Google's.
    pub scope: String,
    /// Each refresh gives a new refresh token, and the old one is dead from then on, as Microsoft's may be
    /// (docs/gmail.md 8.2). Off.
    pub rotate: bool,
    /// The OAuth client has no secret, as with Microsoft's public clients. Off.
    pub public_client: bool,
    /// The OAuth client is in Testing: refresh tokens die 7 days after consent (docs/gmail.md 7.4). Off.
    pub testing: bool,
    /// The consent page (docs/gmail.md 7.1). It asks.
    pub consent_page: ConsentPage,
    /// How often a device may ask, for real. 1 s.
    pub device_interval: Duration,
    /// Those of the API.
    pub api: ApiKnobs,
}

impl Default for Knobs {
    fn default() -> Self {
        Knobs {
            display_name: None,
            max_connections: 15,
            hidden: Vec::new(),
            bare_atoms: false,
            odd_flags: false,
            visible_at_once: false,
            own_appends_visible: true,
            read_only_blocks_append: false,
            idle_pushes: true,
            notify_in_utf8: true,
            notify_between: true,
            notify_overflows: false,
            own_names_nowhere: false,
            idle_cut_after: None,
            max_folder_size: None,
            auto_expunge: true,
            expunge_behavior: ExpungeBehavior::Archive,
            dedupe: Dedupe::default(),
            append_limit: 35_651_584,
            storage: Some((450, 15_728_640)),
            throttled: None,
            upload_budget: None,
            blocked_for: Duration::from_secs(24 * 3600),
            overquota: OverquotaForm::Bye,
            index_lag: Duration::ZERO,
            search_misses: 0,
            one_append_at_a_time: None,
            round_trip: Duration::ZERO,
            session_life: Duration::from_secs(24 * 3600),
            token_life: Duration::from_secs(3599),
            scope: SCOPE.into(),
            rotate: false,
            public_client: false,
            testing: false,
            consent_page: ConsentPage::Asks,
            device_interval: Duration::from_secs(1),
            api: ApiKnobs::default(),
        }
    }
}

/// Gmail's silent de-duplication (docs/gmail.md 3.2). A message without Message-ID is never taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dedupe {
    /// What two messages must share to be one.
    pub key: DedupeKey,
    /// What happens when the message is in that very mailbox.
    pub same_mailbox: SameMailbox,
    /// Whether the flags of the second APPEND are added. Unknown of Gmail; off.
    pub merge_flags: bool,
}

impl Default for Dedupe {
    fn default() -> Self {
        Dedupe {
            key: DedupeKey::MessageIdDate,
            same_mailbox: SameMailbox::Replace,
            merge_flags: false,
        }
    }
}

/// What two messages must share to be one (docs/gmail.md 3.2; the true key is not known).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DedupeKey {
    /// Every APPEND makes a message.
    Off,
    /// Message-ID and Date, whatever the body: two different messages may collapse into one.
    MessageIdDate,
    /// From and Subject as well.
    MessageIdDateFromSubject,
    /// Every byte.
    WholeMessage,
}

/// What becomes of a message that is appended to a mailbox it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameMailbox {
    /// `* n EXPUNGE`, `* n EXISTS` and a new UID.
    Replace,
    /// Nothing; APPENDUID is the old UID.
    Silent,
}

/// What EXPUNGE means outside Trash and Spam (docs/gmail.md 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpungeBehavior {
    /// The label goes, the message stays in All Mail.
    Archive,
    /// It goes to Trash.
    Trash,
    /// It is deleted for good.
    DeleteForever,
}

/// How a block for bandwidth is worded (docs/gmail.md 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverquotaForm {
    /// `* BYE [OVERQUOTA] Account exceeded command or bandwidth limits.`
    Bye,
    /// `NO [ALERT] Account exceeded command or bandwidth limits. (Failure)`, the older one; the session goes on.
    NoAlert,
}
