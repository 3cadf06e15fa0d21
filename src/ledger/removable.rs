//! May a message be removed at the source? One pure rule over what the ledger knows and what was seen of both sides in this
//! minute; a pass asks it, and so do those who only tell what would go. Not for looking, nor for removing
//! (`engine::removal`).

use chrono::TimeDelta;

use super::row::{Place, Proof, Row};

/// A delivered message that the source has still, and all that the ledger knows of whether it may go.
#[derive(Clone, Debug)]
pub struct Removable {
    pub row: Row,
    pub proof: Proof,
    /// Its copy was looked at after its delivery.
    pub looked_at: bool,
    /// The bytes of its copy differ.
    pub altered: bool,
    /// Its copy went into Spam or Trash, or a mailbox of that use.
    pub thrown_away: bool,
    /// Its copy lacks labels.
    pub owes_labels: bool,
    /// The mailbox of the source that it is moved into and that has it already.
    pub copied_to: Option<String>,
    pub place: Option<Place>,
}

/// What was seen of it in this minute, as far as was looked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Looks {
    pub source: Option<SourceNow>,
    pub copy: Option<CopyNow>,
    /// A person wants messages removed although they are flagged.
    pub flagged_too: bool,
}

/// What bears its UID at the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceNow {
    Itself {
        flagged: bool,
    },
    /// Message-ID, Date or size are others; or it has no name, and other bytes.
    Another,
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyNow {
    /// In the target, by its number or place, and by Message-ID, Date and size, and neither in Spam nor in Trash.
    There,
    NotThere,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing speaks against it so far; what was not looked at is to be looked at.
    Look,
    Remove,
    Keep(KeptFor),
}

/// Why a message stays at the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeptFor {
    /// Nobody has seen that its copy is its own.
    NotLookedAt,
    /// Its copy was found by its name, or the predecessor vouches for it: nobody has compared bytes.
    NameAlone,
    AlteredCopy,
    ThrownAway,
    OwedLabels,
    UnknownSize,
    Flagged,
    OtherMessage,
    GoneAtSource,
    NoCopy,
}

impl KeptFor {
    /// As the ledger and the log have it.
    pub fn words(self) -> &'static str {
        match self {
            KeptFor::NotLookedAt => "its copy was not looked at yet",
            KeptFor::NameAlone => {
                "its copy is known by its name alone, nobody has compared the bytes"
            }
            KeptFor::AlteredCopy => "the bytes of its copy differ",
            KeptFor::ThrownAway => "its copy belongs into Spam or Trash, which do not last",
            KeptFor::OwedLabels => "its copy still lacks labels",
            KeptFor::UnknownSize => "the source never told its size",
            KeptFor::Flagged => "it is flagged at the source",
            KeptFor::OtherMessage => "the source has another message under its UID",
            KeptFor::GoneAtSource => {
                "the source does not have it any more, and we did not remove it"
            }
            KeptFor::NoCopy => {
                "its copy is not in the target now, outside Spam and Trash, with its Message-ID, Date and size"
            }
        }
    }

    /// How long it is left alone where only a look can show that this has changed. None: the ledger tells.
    pub fn rest(self) -> Option<TimeDelta> {
        match self {
            KeptFor::Flagged | KeptFor::OtherMessage | KeptFor::NoCopy => Some(TimeDelta::days(1)),
            KeptFor::GoneAtSource => Some(TimeDelta::days(30)),
            _ => None,
        }
    }
}

impl Removable {
    /// Does nothing that the ledger knows speak against it?
    pub fn may_go(&self) -> bool {
        self.judge(Looks::default()) == Verdict::Look
    }

    /// What is to be done with it, as far as was looked.
    pub fn judge(&self, looks: Looks) -> Verdict {
        match (self.speaks_against(), looks.source, looks.copy) {
            (Some(why), _, _) => Verdict::Keep(why),
            (_, Some(SourceNow::Nothing), _) => Verdict::Keep(KeptFor::GoneAtSource),
            (_, Some(SourceNow::Another), _) => Verdict::Keep(KeptFor::OtherMessage),
            (_, Some(SourceNow::Itself { flagged: true }), _) if !looks.flagged_too => {
                Verdict::Keep(KeptFor::Flagged)
            }
            (_, _, Some(CopyNow::NotThere)) => Verdict::Keep(KeptFor::NoCopy),
            (_, None, _) | (_, _, None) => Verdict::Look,
            (_, Some(SourceNow::Itself { .. }), Some(CopyNow::There)) => Verdict::Remove,
        }
    }

    fn speaks_against(&self) -> Option<KeptFor> {
        match self.proof {
            Proof::Found | Proof::Imported => return Some(KeptFor::NameAlone),
            // The ledger has compared the hash of its bytes, or they were compared when the copy was looked at.
            Proof::Same => {}
            Proof::Appended | Proof::ImportedByApi | Proof::Merged if self.looked_at => {}
            Proof::Appended | Proof::ImportedByApi | Proof::Merged => {
                return Some(KeptFor::NotLookedAt);
            }
        }
        if self.altered {
            Some(KeptFor::AlteredCopy)
        } else if self.thrown_away {
            Some(KeptFor::ThrownAway)
        } else if self.owes_labels {
            Some(KeptFor::OwedLabels)
        } else if self.row.about.size.is_none() || self.row.sha256.is_none() {
            Some(KeptFor::UnknownSize)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::DestinationId;
    use crate::ledger::{MailboxId, RowId};
    use crate::message::{Discovered, Sha256, Time, Uid};

    /// Appended, looked at, and nothing speaks against it.
    fn good() -> Removable {
        let about = Discovered {
            size: Some(100),
            ..Discovered::nothing_told(Uid(1))
        };
        Removable {
            row: Row {
                id: RowId(1),
                mailbox_id: MailboxId(1),
                about,
                internal_date: Time::UNIX_EPOCH,
                attempt: 1,
                unseen: 0,
                first_failed_at: None,
                due_at: Time::UNIX_EPOCH,
                sha256: Some(Sha256([1; 32])),
                canonical: None,
                mark: None,
                destination: DestinationId(1),
                by_import: false,
                refused_by: None,
                detour: None,
            },
            proof: Proof::Appended,
            looked_at: true,
            altered: false,
            thrown_away: false,
            owes_labels: false,
            copied_to: None,
            place: None,
        }
    }

    #[test]
    fn whether_it_may_go() {
        use KeptFor::*;
        let itself = |flagged| Some(SourceNow::Itself { flagged });
        let (other, nothing) = (Some(SourceNow::Another), Some(SourceNow::Nothing));
        let (there, not_there) = (Some(CopyNow::There), Some(CopyNow::NotThere));
        let keep = Verdict::Keep;
        // What bears its UID at the source, its copy, whether flagged ones are wanted too, and what follows.
        let table = [
            (None, None, false, Verdict::Look),
            (itself(false), None, false, Verdict::Look),
            (None, there, false, Verdict::Look),
            (itself(false), there, false, Verdict::Remove),
            (itself(true), there, false, keep(Flagged)),
            (itself(true), None, false, keep(Flagged)),
            (itself(true), there, true, Verdict::Remove),
            (itself(true), not_there, true, keep(NoCopy)),
            (itself(false), not_there, false, keep(NoCopy)),
            (None, not_there, false, keep(NoCopy)),
            (other, there, true, keep(OtherMessage)),
            (other, not_there, true, keep(OtherMessage)),
            (nothing, there, true, keep(GoneAtSource)),
            (nothing, None, true, keep(GoneAtSource)),
        ];
        for (source, copy, flagged_too, verdict) in table {
            let looks = Looks {
                source,
                copy,
                flagged_too,
            };
            assert_eq!(good().judge(looks), verdict, "{looks:?}");
        }
    }

    /// Whatever was seen of it on both sides.
    #[test]
    fn what_the_ledger_knows_comes_first() {
        use KeptFor::*;
        type Change = fn(&mut Removable);
        let table: [(&str, Change, Option<KeptFor>); 13] = [
            ("appended", |_| {}, None),
            (
                "imported by the API",
                |r| r.proof = Proof::ImportedByApi,
                None,
            ),
            ("merged", |r| r.proof = Proof::Merged, None),
            // Its voucher is judged in its place.
            (
                "same, never looked at",
                |r| (r.proof, r.looked_at) = (Proof::Same, false),
                None,
            ),
            ("found", |r| r.proof = Proof::Found, Some(NameAlone)),
            (
                "of the predecessor",
                |r| r.proof = Proof::Imported,
                Some(NameAlone),
            ),
            ("not looked at", |r| r.looked_at = false, Some(NotLookedAt)),
            (
                "imported, not looked at",
                |r| (r.proof, r.looked_at) = (Proof::ImportedByApi, false),
                Some(NotLookedAt),
            ),
            ("altered", |r| r.altered = true, Some(AlteredCopy)),
            ("into Spam", |r| r.thrown_away = true, Some(ThrownAway)),
            (
                "without a label",
                |r| r.owes_labels = true,
                Some(OwedLabels),
            ),
            ("of no size", |r| r.row.about.size = None, Some(UnknownSize)),
            (
                "of unknown bytes",
                |r| r.row.sha256 = None,
                Some(UnknownSize),
            ),
        ];
        let seen = Looks {
            source: Some(SourceNow::Itself { flagged: false }),
            copy: Some(CopyNow::There),
            flagged_too: true,
        };
        for (name, change, why) in table {
            let mut one = good();
            change(&mut one);
            let verdict = why.map_or(Verdict::Remove, Verdict::Keep);
            assert_eq!(one.judge(seen), verdict, "{name}");
            assert_eq!(one.may_go(), why.is_none(), "{name}");
        }
    }
}
