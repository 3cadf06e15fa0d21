//! What became of a message: the one rule that names it from what was seen on both sides and in the ledger. Pure, and total:
//! whatever can be seen has a name. Not for looking (`at_source`, `holdings`), nor for what is shown of it (`words`).

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The target has it.
    Delivered,
    /// The target has it, and the source no longer.
    LeftSource,
    /// It lies in the target's Spam.
    InSpam,
    /// It lies in the target's Trash: somebody threw it away there.
    InTrash,
    /// It came before `since`, and was not asked for.
    Older,
    /// The configuration leaves its folder out.
    LeftOut,
    /// A person gave it up.
    Skipped,
    /// It left the source before it was delivered.
    Gone,
    /// It was in the target, and is on neither side any more.
    GoneFromBoth,
    /// It is to be copied, and no run has recorded it.
    Unrecorded,
    /// It waits, is on its way, or was delivered so lately that it need not show yet.
    Open,
    /// The source gave its folder new UIDs, and no run has matched them yet.
    Renumbered,
    /// It was not delivered, and its folder is no longer at the source.
    FolderGone,
    Failed,
    /// It was seen in the target, and is nowhere there now, not in Trash either.
    Deleted,
    /// The target said that it took it; nobody ever saw it there, and it is nowhere.
    Lost,
    /// It was not sent, because a copy was there that somebody else had brought, or that another message's bytes vouched for;
    /// and that copy is nowhere now.
    VoucherGone,
    /// A message of its name is there, and its size is another one.
    OtherSize,
    /// It is not where we may look, and part of the target may not be looked into.
    OutOfSight,
}

/// What a message's class says of the account as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It is known where it is, or why it is nowhere.
    Accounted,
    /// A run has still to do something, and does it by itself.
    Open,
    /// A person has to look at it, and to decide.
    Person,
}

/// What was seen of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// The source has it, and the ledger no row of it.
    NoRow {
        /// It came late enough for `since`.
        wanted: bool,
        left_out: bool,
        renumbered: bool,
    },
    Row {
        source: AtSource,
        ledger: InLedger,
        target: InTarget,
    },
}

/// Where the message of a row stands at the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtSource {
    /// It is there; or nobody can tell that it is not.
    Here,
    /// A list of all that its folder holds does not have it.
    NotHere,
    /// The source has no such folder any more.
    FolderGone,
    /// The folder has other UIDs than the row.
    Renumbered,
}

/// What a row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InLedger {
    Pending,
    InFlight,
    Failed,
    Skipped,
    Gone,
    Delivered(How),
}

/// How it is known that a message was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// It was sent, and the copy was looked at.
    Seen,
    /// It was sent, the target said yes, and nobody has seen the copy.
    Unseen,
    /// So lately that the target need not show it yet.
    Lately,
    /// It was not sent: a copy that was there vouches for it.
    Vouched,
}

/// Where its copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum InTarget {
    There,
    OtherSize,
    Spam,
    Trash,
    /// Not in what may be looked into, which is not all.
    OutOfSight,
    Nowhere,
}

/// What became of a message of which this was seen.
pub(super) fn class(sight: Sight) -> Class {
    match sight {
        Sight::NoRow { left_out: true, .. } => Class::LeftOut,
        Sight::NoRow { wanted: false, .. } => Class::Older,
        Sight::NoRow {
            renumbered: true, ..
        } => Class::Renumbered,
        Sight::NoRow { .. } => Class::Unrecorded,
        Sight::Row {
            source,
            ledger,
            target,
        } => of_row(source, ledger, target),
    }
}

fn of_row(source: AtSource, ledger: InLedger, target: InTarget) -> Class {
    let left = |otherwise| match source {
        AtSource::NotHere => Class::Gone,
        AtSource::FolderGone => Class::FolderGone,
        AtSource::Here | AtSource::Renumbered => otherwise,
    };
    match ledger {
        InLedger::Pending => left(Class::Open),
        // It may be in the target: only a run finds out.
        InLedger::InFlight => Class::Open,
        InLedger::Failed => left(Class::Failed),
        InLedger::Skipped => Class::Skipped,
        // It is back, and a run takes it up again.
        InLedger::Gone if source == AtSource::Here => Class::Unrecorded,
        InLedger::Gone => Class::Gone,
        InLedger::Delivered(how) => of_delivered(source, how, target),
    }
}

fn of_delivered(source: AtSource, how: How, target: InTarget) -> Class {
    let left = matches!(source, AtSource::NotHere | AtSource::FolderGone);
    match (target, how) {
        (InTarget::There, _) if left => Class::LeftSource,
        (InTarget::There, _) => Class::Delivered,
        (InTarget::OtherSize, _) => Class::OtherSize,
        (InTarget::Spam, _) => Class::InSpam,
        (InTarget::Trash, _) => Class::InTrash,
        (InTarget::OutOfSight | InTarget::Nowhere, How::Lately) => Class::Open,
        (InTarget::OutOfSight, _) => Class::OutOfSight,
        // Also where the source has it no longer: nobody ever saw that it arrived.
        (InTarget::Nowhere, How::Unseen) => Class::Lost,
        (InTarget::Nowhere, _) if left => Class::GoneFromBoth,
        (InTarget::Nowhere, How::Seen) => Class::Deleted,
        (InTarget::Nowhere, How::Vouched) => Class::VoucherGone,
    }
}

impl Class {
    /// Those that need nobody first, in the order in which they are told.
    pub const ALL: [Class; 19] = [
        Class::Delivered,
        Class::LeftSource,
        Class::InSpam,
        Class::InTrash,
        Class::Older,
        Class::LeftOut,
        Class::Skipped,
        Class::Gone,
        Class::GoneFromBoth,
        Class::Unrecorded,
        Class::Open,
        Class::Renumbered,
        Class::FolderGone,
        Class::Failed,
        Class::Deleted,
        Class::Lost,
        Class::VoucherGone,
        Class::OtherSize,
        Class::OutOfSight,
    ];

    pub fn standing(self) -> Standing {
        match self {
            Class::Delivered
            | Class::LeftSource
            | Class::InSpam
            | Class::InTrash
            | Class::Older
            | Class::LeftOut
            | Class::Skipped
            | Class::Gone
            | Class::GoneFromBoth => Standing::Accounted,
            Class::Unrecorded | Class::Open | Class::Renumbered | Class::FolderGone => {
                Standing::Open
            }
            Class::Failed
            | Class::Deleted
            | Class::Lost
            | Class::VoucherGone
            | Class::OtherSize
            | Class::OutOfSight => Standing::Person,
        }
    }

    /// Is each message of it told of by itself? Of the others there are as many as the account has.
    pub fn is_listed(self) -> bool {
        !matches!(
            self,
            Class::Delivered | Class::LeftSource | Class::Older | Class::LeftOut
        )
    }

    /// Can a message of it be queued again? A run would then find nothing of it in the target, and send it.
    pub fn is_repairable(self) -> bool {
        matches!(
            self,
            Class::Failed | Class::Skipped | Class::Deleted | Class::Lost | Class::VoucherGone
        )
    }

    /// As `--json` and `--repair` have it; it never changes.
    pub fn name(self) -> &'static str {
        match self {
            Class::Delivered => "delivered",
            Class::LeftSource => "left_source",
            Class::InSpam => "in_spam",
            Class::InTrash => "in_trash",
            Class::Older => "older",
            Class::LeftOut => "left_out",
            Class::Skipped => "skipped",
            Class::Gone => "gone",
            Class::GoneFromBoth => "gone_from_both",
            Class::Unrecorded => "unrecorded",
            Class::Open => "open",
            Class::Renumbered => "renumbered",
            Class::FolderGone => "folder_gone",
            Class::Failed => "failed",
            Class::Deleted => "deleted",
            Class::Lost => "lost",
            Class::VoucherGone => "voucher_gone",
            Class::OtherSize => "other_size",
            Class::OutOfSight => "out_of_sight",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Class> {
        Class::ALL.into_iter().find(|class| class.name() == name)
    }
}

/// More lines than these nobody puts in front of a message on its way into the target.
const LINES_IN_FRONT: u64 = 16 << 10;

/// What the size of a copy proves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// None: not told.
    pub(super) source: Option<u64>,
    pub(super) target: Option<u64>,
    /// Gmail puts lines of its own in front of what is imported or fetched by POP.
    pub(super) lines_in_front: bool,
    /// The bytes of both were compared, and differ in no more than line ends.
    pub(super) compared: bool,
}

impl Sizes {
    /// May these be sizes of one message?
    pub(super) fn agree(self) -> bool {
        let (Some(source), Some(target)) = (self.source, self.target) else {
            return true;
        };
        source == target
            || self.compared
            || self.lines_in_front
                && (source..=source.saturating_add(LINES_IN_FRONT)).contains(&target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AtSource::{FolderGone, Here, NotHere, Renumbered};
    use How::{Lately, Seen, Unseen, Vouched};
    use InLedger::{Delivered, Failed, Gone, InFlight, Pending, Skipped};
    use InTarget::{Nowhere, OtherSize, OutOfSight, Spam, There, Trash};

    const SOURCES: [AtSource; 4] = [Here, NotHere, FolderGone, Renumbered];
    const HOWS: [How; 4] = [Seen, Unseen, Lately, Vouched];
    const TARGETS: [InTarget; 6] = [There, OtherSize, Spam, Trash, OutOfSight, Nowhere];

    fn row(source: AtSource, ledger: InLedger, target: InTarget) -> Class {
        class(Sight::Row {
            source,
            ledger,
            target,
        })
    }

    /// In the order of `SOURCES`: here, not here, its folder gone, renumbered.
    #[test]
    fn what_has_not_been_delivered() {
        let table = [
            (Pending, ["open", "gone", "folder_gone", "open"]),
            (InFlight, ["open", "open", "open", "open"]),
            (Failed, ["failed", "gone", "folder_gone", "failed"]),
            (Skipped, ["skipped", "skipped", "skipped", "skipped"]),
            (Gone, ["unrecorded", "gone", "gone", "gone"]),
        ];
        for (ledger, wanted) in table {
            // Nobody asks where a copy of it is.
            for target in TARGETS {
                let named = SOURCES.map(|source| row(source, ledger, target).name());
                assert_eq!(named, wanted, "{ledger:?} {target:?}");
            }
        }
    }

    #[test]
    fn what_has_been_delivered() {
        let (kept, left) = (["delivered"; 4], ["left_source"; 4]);
        let gone = "gone_from_both";
        // In the order of `HOWS`: seen there, never seen there, lately, not sent.
        let table = [
            (There, kept, left),
            (OtherSize, ["other_size"; 4], ["other_size"; 4]),
            (Spam, ["in_spam"; 4], ["in_spam"; 4]),
            (Trash, ["in_trash"; 4], ["in_trash"; 4]),
            (
                OutOfSight,
                ["out_of_sight", "out_of_sight", "open", "out_of_sight"],
                ["out_of_sight", "out_of_sight", "open", "out_of_sight"],
            ),
            (
                Nowhere,
                ["deleted", "lost", "open", "voucher_gone"],
                [gone, "lost", "open", gone],
            ),
        ];
        for (target, at_source, not_there) in table {
            for source in SOURCES {
                let named = HOWS.map(|how| row(source, Delivered(how), target).name());
                let wanted = match source {
                    Here | Renumbered => at_source,
                    NotHere | FolderGone => not_there,
                };
                assert_eq!(named, wanted, "{source:?} {target:?}");
            }
        }
    }

    #[test]
    fn what_has_no_row() {
        // Wanted, left out, renumbered.
        let table = [
            (true, false, false, "unrecorded"),
            (true, false, true, "renumbered"),
            (false, false, false, "older"),
            (false, false, true, "older"),
            (true, true, false, "left_out"),
            (true, true, true, "left_out"),
            (false, true, false, "left_out"),
            (false, true, true, "left_out"),
        ];
        for (wanted, left_out, renumbered, name) in table {
            let sight = Sight::NoRow {
                wanted,
                left_out,
                renumbered,
            };
            assert_eq!(class(sight).name(), name, "{sight:?}");
        }
    }

    /// Whatever else the rule says: what the source has and the target has not is accounted for only where a person or the
    /// configuration wants it so.
    #[test]
    fn nothing_that_is_missing_is_accounted_for() {
        let ledgers = [Pending, InFlight, Failed, Gone];
        let ledgers = ledgers.into_iter().chain(HOWS.map(Delivered));
        for ledger in ledgers {
            for target in [Nowhere, OutOfSight] {
                let class = row(Here, ledger, target);
                assert!(
                    class.standing() > Standing::Accounted,
                    "{ledger:?} {class:?}"
                );
            }
        }
        // And one that nobody ever saw there is not, even where the source has it no longer.
        for source in SOURCES {
            let class = row(source, Delivered(Unseen), Nowhere);
            assert_eq!(class.standing(), Standing::Person, "{source:?}");
        }
    }

    #[test]
    fn each_class_has_a_name_of_its_own() {
        for (n, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(Class::named(class.name()), Some(class));
            assert_eq!(class as usize, n, "{class:?}");
        }
        assert_eq!(Class::named("nothing"), None);
    }

    #[test]
    fn sizes_that_agree() {
        let agree = |source, target, lines_in_front, compared| {
            let sizes = Sizes {
                source,
                target,
                lines_in_front,
                compared,
            };
            sizes.agree()
        };
        let (ours, most) = (Some(100), Some(100 + (16 << 10)));
        assert!(agree(ours, ours, false, false));
        assert!(agree(None, Some(7), false, false) && agree(ours, None, false, false));
        assert!(!agree(ours, Some(101), false, false) && !agree(ours, Some(99), true, false));
        assert!(agree(ours, most, true, false) && !agree(ours, most.map(|n| n + 1), true, false));
        assert!(agree(ours, Some(98), false, true));
    }
}
