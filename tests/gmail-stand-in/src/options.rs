//! What a stand-in starts with, and mail as a test puts it in and finds it.

use std::collections::BTreeSet;

use chrono::{DateTime, FixedOffset, NaiveDate, Utc};

use crate::knobs::Knobs;
use crate::message::{Message, Place};

/// How a stand-in starts.
#[derive(Debug, Clone)]
pub struct Options {
    /// Gmail, or another server.
    pub kind: Kind,
    /// Language of the special mailboxes (docs/gmail.md 5).
    pub locale: Locale,
    /// The one account.
    pub account: String,
    /// Its app password, blanks or not (docs/gmail.md 8.1); in plain mode its password.
    pub password: String,
    /// TLS from the first byte. On.
    pub tls: bool,
    /// The names in its certificate.
    pub names: Vec<String>,
    /// The day on which its certificate ends, at midnight. Far off.
    pub certificate_ends: Option<NaiveDate>,
    /// What the virtual clock shows at the start. Real time.
    pub now: Option<DateTime<Utc>>,
    /// What stands between the levels of a name on the wire. `/`; another one only where it is not Gmail.
    pub delimiter: char,
    /// What all names but INBOX begin with on the wire. Nothing.
    pub prefix: String,
    /// Settings.
    pub knobs: Knobs,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            kind: Kind::Gmail,
            locale: Locale::EnUs,
            account: "user@gmail.com".into(),
            password: "abcd efgh ijkl mnop".into(),
            tls: true,
            names: ["localhost", "127.0.0.1", "imap.gmail.com"]
                .map(str::to_owned)
                .into(),
            certificate_ends: None,
            now: None,
            delimiter: '/',
            prefix: String::new(),
            knobs: Knobs::default(),
        }
    }
}

impl Options {
    /// A server with these capabilities that is not Gmail: plain mailboxes, no de-duplication.
    pub fn plain(capabilities: &str) -> Options {
        Options {
            kind: Kind::Plain {
                capabilities: capabilities.to_string(),
            },
            account: "user@example.org".into(),
            password: "correct horse battery staple".into(),
            ..Options::default()
        }
    }

    /// Names on the wire have this between their levels, and all but INBOX begin with this: `'.'` and `"INBOX."`, as
    /// Courier has it.
    pub fn with_names(self, delimiter: char, prefix: &str) -> Options {
        Options {
            delimiter,
            prefix: prefix.to_string(),
            ..self
        }
    }

    /// Outlook's, as far as signing in to a source goes (docs/gmail.md 8.2): XOAUTH2 with tokens of a public client, whose
    /// refresh tokens rotate and whose sessions end with their token.
    pub fn outlook() -> Options {
        let mut options = Options::plain(
            "IMAP4 IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR UIDPLUS ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+",
        );
        options.account = "user@outlook.com".into();
        options.knobs.scope = OUTLOOK_SCOPE.into();
        options.knobs.rotate = true;
        options.knobs.public_client = true;
        options
    }
}

/// What Outlook's IMAP takes (docs/gmail.md 8.2).
pub const OUTLOOK_SCOPE: &str = "https://outlook.office.com/IMAP.AccessAsUser.All";

/// Whose server is played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Gmail's.
    Gmail,
    /// A plain one.
    Plain {
        /// As in its greeting: `IMAP4rev1 LITERAL+ UIDPLUS IDLE`.
        capabilities: String,
    },
}

/// Why a mailbox of a plain server cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// LIST shows it with `\Noselect`, and it is not there for anything else.
    Noselect,
    /// LIST shows it as before, and whoever opens it or asks for its STATUS is answered this: `NO [NOPERM] ...`.
    Refused(String),
}

/// Names of the special mailboxes (docs/gmail.md 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locale {
    /// `[Gmail]/Trash`
    EnUs,
    /// `[Gmail]/Bin`
    EnGb,
    /// `[Google Mail]/Bin`
    EnGbGoogleMail,
    /// `[Gmail]/Alle Nachrichten`
    De,
    /// `[Google Mail]/Alle Nachrichten`
    DeGoogleMail,
    /// `[Gmail]/Tous les messages`
    Fr,
    /// `[Gmail]/Wszystkie`
    Pl,
}

/// A message that is put into a mailbox by hand.
#[derive(Debug, Clone)]
pub struct Mail {
    pub(crate) bytes: Vec<u8>,
    pub(crate) mailbox: String,
    pub(crate) flags: BTreeSet<String>,
    pub(crate) labels: BTreeSet<String>,
    pub(crate) date: Option<DateTime<FixedOffset>>,
    pub(crate) uid: Option<u32>,
}

impl Mail {
    /// A message for INBOX, unread, of this moment.
    pub fn new(bytes: impl AsRef<[u8]>) -> Mail {
        Mail {
            bytes: bytes.as_ref().to_vec(),
            mailbox: "INBOX".into(),
            flags: BTreeSet::new(),
            labels: BTreeSet::new(),
            date: None,
            uid: None,
        }
    }

    /// In this mailbox (UTF-8; made if there is none) instead of INBOX.
    pub fn in_mailbox(mut self, name: &str) -> Mail {
        self.mailbox = name.to_string();
        self
    }

    /// With this flag, too.
    pub fn flag(mut self, flag: &str) -> Mail {
        self.flags.insert(flag.to_string());
        self
    }

    /// Read.
    pub fn seen(self) -> Mail {
        self.flag("\\Seen")
    }

    /// With this label, too (`Work`, `\Important`).
    pub fn label(mut self, label: &str) -> Mail {
        self.labels.insert(label.to_string());
        self
    }

    /// With this INTERNALDATE.
    pub fn at(mut self, date: DateTime<FixedOffset>) -> Mail {
        self.date = Some(date);
        self
    }

    /// With this UID in its mailbox, which must not be below the UIDNEXT there.
    pub fn uid(mut self, uid: u32) -> Mail {
        self.uid = Some(uid);
        self
    }
}

/// A message as the stand-in holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// X-GM-MSGID; in plain mode just a number.
    pub id: u64,
    /// X-GM-THRID.
    pub thread: u64,
    /// All of it.
    pub bytes: Vec<u8>,
    /// `\Inbox`, `Work`; in plain mode the mailbox.
    pub labels: BTreeSet<String>,
    /// `\Seen`, `$Forwarded`
    pub flags: BTreeSet<String>,
    /// INTERNALDATE.
    pub internal_date: DateTime<FixedOffset>,
    /// In All Mail, Spam or Trash.
    pub place: Place,
}

impl From<&Message> for Stored {
    fn from(message: &Message) -> Stored {
        Stored {
            id: message.id,
            thread: message.thread,
            bytes: message.bytes.to_vec(),
            labels: message.labels.clone(),
            flags: message.flags.clone(),
            internal_date: message.internal_date,
            place: message.place,
        }
    }
}
