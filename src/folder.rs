//! A folder: a mailbox of the source, and where its messages go in the target. Data, which the ledger
//! keeps; not for opening either.

use std::fmt;

use crate::error::shown;

mod label;
mod pattern;
mod special;
mod utf7;

pub use label::{LABEL_MAX, label, label_apart, same_label};
pub use pattern::{PATTERN_MAX, Pattern};
pub use special::{Attributes, give_uses};
pub use utf7::{decoded, encoded};

/// The mailbox that every account has (RFC 3501 5.1).
pub const INBOX: &str = "INBOX";

/// The folder's row in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FolderId(pub i64);

/// A destination's row in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DestinationId(pub i64);

/// What a mailbox is for (RFC 6154).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpecialUse {
    Sent,
    Drafts,
    Junk,
    Trash,
    Archive,
}

impl SpecialUse {
    pub const ALL: [SpecialUse; 5] = [
        SpecialUse::Sent,
        SpecialUse::Drafts,
        SpecialUse::Junk,
        SpecialUse::Trash,
        SpecialUse::Archive,
    ];

    /// As RFC 6154, the configuration and the ledger have it: `\Sent`.
    pub fn name(self) -> &'static str {
        match self {
            SpecialUse::Sent => "\\Sent",
            SpecialUse::Drafts => "\\Drafts",
            SpecialUse::Junk => "\\Junk",
            SpecialUse::Trash => "\\Trash",
            SpecialUse::Archive => "\\Archive",
        }
    }

    /// The one of this name, in any case of letters.
    pub fn named(name: &str) -> Option<SpecialUse> {
        let mut all = SpecialUse::ALL.into_iter();
        all.find(|known| known.name().eq_ignore_ascii_case(name))
    }
}

/// A place in the target that messages are put into.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Spot {
    Inbox,
    /// The target's own mailbox for this use. [`SpecialUse::Archive`] is All Mail without INBOX.
    Use(SpecialUse),
    /// A label of Gmail, or a mailbox of another server: as people read it, `/` between its levels. It
    /// does not begin with `\`.
    Label(String),
}

impl Spot {
    /// As the ledger has it. No label begins with `\`, and none is called INBOX.
    pub fn text(&self) -> &str {
        match self {
            Spot::Inbox => INBOX,
            Spot::Use(special) => special.name(),
            Spot::Label(name) => name,
        }
    }

    /// The reverse of [`text`](Self::text).
    pub fn of(text: &str) -> Spot {
        match SpecialUse::named(text) {
            Some(special) => Spot::Use(special),
            None if text.eq_ignore_ascii_case(INBOX) => Spot::Inbox,
            None => Spot::Label(text.into()),
        }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spot::Label(name) => f.write_str(&shown(name.as_bytes())),
            other => f.write_str(other.text()),
        }
    }
}

/// Where messages of a folder go, and what labels they get besides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    pub spot: Spot,
    /// As people read them. Gmail alone has these.
    pub labels: Vec<String>,
    /// The labels are for copies too that the target had already.
    pub label_found: bool,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spot.fmt(f)?;
        for label in &self.labels {
            write!(f, ", {}", shown(label.as_bytes()))?;
        }
        Ok(())
    }
}

impl Destination {
    /// What mail has come to since there was a choice.
    pub fn inbox() -> Destination {
        Destination {
            spot: Spot::Inbox,
            labels: Vec::new(),
            label_found: false,
        }
    }
}

/// By which road new mail of a folder gets into the target. What was there before goes by APPEND.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// IMAP APPEND: bytes, date and flags stay what they are.
    #[default]
    Append,
    /// Gmail's API, which scans and sorts it as mail that came.
    Import {
        /// Gmail's spam filter is asked to leave it alone.
        never_mark_spam: bool,
    },
}

/// A mailbox of the source that is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    pub id: FolderId,
    /// The mailbox that is read, as its name is on the wire.
    pub source: String,
    /// As people read it, `/` between its levels.
    pub name: String,
    /// Where the mail goes that is recorded from now on.
    pub destination: DestinationId,
    pub delivery: Delivery,
}

impl Folder {
    /// Its name where it may be printed.
    pub fn shown(&self) -> String {
        shown(self.name.as_bytes())
    }
}

/// A mailbox that the source lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// As its name is on the wire.
    pub wire: String,
    /// As people read it: decoded, `/` between its levels, without the server's prefix, INBOX in capitals.
    pub name: String,
    pub special: Option<SpecialUse>,
    /// It shows messages of other mailboxes (`\All`, `\Flagged`, `\Important`), or those of other people
    /// (RFC 2342: other users' and shared mailboxes). Only who names it wants it.
    pub is_virtual: bool,
    /// It can be opened.
    pub selectable: bool,
}

impl Listed {
    /// INBOX, which is there whether a server lists it or not.
    pub fn inbox() -> Listed {
        Listed {
            wire: INBOX.into(),
            name: INBOX.into(),
            special: None,
            is_virtual: false,
            selectable: true,
        }
    }
}
