//! Whose copy is it? The one rule by which a message of the target counts as a row's, wherever that is
//! asked: before the row is sent, when nobody saw how its APPEND ended, and when that was answered OK.
//! Not for finding out what the rule asks for (`dedup`, `resolve`, `verify`).

/// How the bytes of a message of the target compare with a row's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bytes {
    Equal,
    /// Equal, behind fields that Gmail has put in front, as it does with what is imported.
    Behind,
    /// Equal but for what servers rewrite: line ends, NULs.
    Like,
    Other,
    /// Nobody has compared them.
    Unknown,
}

/// Other rows of this ledger with the row's Message-ID and Date: a copy may be theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rivals {
    None,
    /// There are some, and the bytes of each are known: a copy with other bytes is not theirs.
    Known,
    /// There are some, and not all of their bytes are known.
    Unknown,
}

/// What is known of a message of the target beside a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    pub(super) bytes: Bytes,
    /// It has the row's Message-ID and Date.
    pub(super) named: bool,
    /// It vouches for another row of this ledger.
    pub(super) taken: bool,
    /// Its bytes are exactly another row's.
    pub(super) anothers_bytes: bool,
    pub(super) rivals: Rivals,
    /// The target took the row's message and keeps this one for it: there will be no other copy.
    pub(super) kept: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Its bytes say so.
    Ours {
        altered: bool,
    },
    /// It has our content and vouches for another row: the target put both together.
    Shared {
        altered: bool,
    },
    /// Its name says so, and nobody else can claim it.
    ByName {
        altered: bool,
    },
    NotOurs,
    /// It may be ours or another's: only its bytes can tell.
    Undecided,
}

impl Bytes {
    /// Can they be exactly another row's all the same?
    pub(super) fn may_be_anothers(self) -> bool {
        matches!(self, Bytes::Behind | Bytes::Like | Bytes::Other)
    }
}

pub(super) fn whose(copy: &Sight) -> Whose {
    let altered = !matches!(copy.bytes, Bytes::Equal | Bytes::Behind);
    match copy.bytes {
        Bytes::Equal | Bytes::Behind | Bytes::Like if copy.taken => Whose::Shared { altered },
        _ if copy.taken => Whose::NotOurs,
        Bytes::Equal => Whose::Ours { altered },
        Bytes::Behind | Bytes::Like if copy.kept => Whose::Ours { altered },
        // Bytes that are exactly another row's make it that row's copy. Its place need not show that: the target may
        // have given no UID for it, or new ones since, or nobody saw how that row's delivery ended either.
        _ if copy.anothers_bytes => Whose::NotOurs,
        Bytes::Behind | Bytes::Like => Whose::Ours { altered },
        Bytes::Other if copy.named && copy.kept && copy.rivals != Rivals::Unknown => {
            Whose::ByName { altered }
        }
        Bytes::Other if copy.named && copy.rivals == Rivals::None => Whose::ByName { altered },
        Bytes::Other => Whose::NotOurs,
        Bytes::Unknown if copy.named && copy.rivals == Rivals::None => {
            Whose::ByName { altered: false }
        }
        Bytes::Unknown => Whose::Undecided,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Sight = Sight {
        bytes: Bytes::Unknown,
        named: true,
        taken: false,
        anothers_bytes: false,
        rivals: Rivals::None,
        kept: false,
    };

    #[test]
    fn whose_copy_it_is() {
        use Bytes::{Behind, Equal, Like, Other, Unknown};
        let nameless = Sight {
            named: false,
            ..FREE
        };
        let taken = Sight {
            taken: true,
            ..FREE
        };
        let anothers = Sight {
            anothers_bytes: true,
            ..FREE
        };
        let rivals = Sight {
            rivals: Rivals::Unknown,
            ..FREE
        };
        let told = Sight {
            rivals: Rivals::Known,
            ..FREE
        };
        let kept = |s: Sight| Sight { kept: true, ..s };
        let ours = |altered| Whose::Ours { altered };
        let shared = |altered| Whose::Shared { altered };
        let by_name = |altered| Whose::ByName { altered };
        let (not, open) = (Whose::NotOurs, Whose::Undecided);
        // What is known of it, and what follows from its bytes: Equal, Like, Other, Unknown.
        let table = [
            (
                "free",
                FREE,
                [ours(false), ours(true), by_name(true), by_name(false)],
            ),
            ("nameless", nameless, [ours(false), ours(true), not, open]),
            (
                "another's by place",
                taken,
                [shared(false), shared(true), not, not],
            ),
            ("another's by bytes", anothers, [ours(false), not, not, not]),
            ("rivals", rivals, [ours(false), ours(true), not, open]),
            (
                "rivals whose bytes are known",
                told,
                [ours(false), ours(true), not, open],
            ),
            (
                "kept",
                kept(FREE),
                [ours(false), ours(true), by_name(true), by_name(false)],
            ),
            (
                "kept, nameless",
                kept(nameless),
                [ours(false), ours(true), not, open],
            ),
            (
                "kept, another's by place",
                kept(taken),
                [shared(false), shared(true), not, not],
            ),
            (
                "kept, another's by bytes",
                kept(anothers),
                [ours(false), ours(true), not, not],
            ),
            (
                "kept, rivals",
                kept(rivals),
                [ours(false), ours(true), not, open],
            ),
            (
                "kept, rivals known",
                kept(told),
                [ours(false), ours(true), by_name(true), open],
            ),
        ];
        for (name, copy, verdicts) in table {
            for (bytes, verdict) in [Equal, Like, Other, Unknown].into_iter().zip(verdicts) {
                let copy = Sight { bytes, ..copy };
                assert_eq!(whose(&copy), verdict, "{name}, {bytes:?}");
                // What lies behind Gmail's lines is ours as far as what a server rewrites is, and not altered.
                if bytes == Like {
                    let behind = whose(&Sight {
                        bytes: Behind,
                        ..copy
                    });
                    let wanted = match verdict {
                        Whose::Ours { .. } => ours(false),
                        Whose::Shared { .. } => shared(false),
                        other => other,
                    };
                    assert_eq!(behind, wanted, "{name}, Behind");
                }
            }
        }
    }
}
