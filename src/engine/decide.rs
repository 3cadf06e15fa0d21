//! What is to be done with a row before anybody has looked at its bytes: one pure rule, which delivery and
//! the dry run ask. Not for what only the bytes tell (`deliver`).

use super::budget::too_big;
use super::dedup::{Copies, by_name};
use super::whose::Rivals;
use crate::error::{Error, Result};
use crate::ledger::{Ledger, Place, Row};

/// What is known of a row's message beside its own metadata.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// What the index showed of it, confirmed in this session.
    copies: Option<&'a Copies>,
    rivals: Rivals,
    /// An imported id vouches for it.
    imported: bool,
}

/// Adds what the ledger knows to what the index showed. It is asked for no more than the decision takes.
pub(super) fn known<'a>(
    ledger: &Ledger,
    row: &Row,
    copies: Option<&'a Copies>,
) -> Result<Known<'a>> {
    let shown = copies.is_some_and(|c| !c.named.is_empty());
    let rivals = if shown && ledger.has_rivals(row)? {
        Rivals::Unknown
    } else {
        Rivals::None
    };
    Ok(Known {
        copies,
        rivals,
        // Where the target holds messages of this name, their bytes decide, and not the imported id.
        imported: !shown && ledger.imported_vouches(row.id)?,
    })
}

/// What may be sent of a message, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) takes: u64,
    pub(super) a_day: Option<u64>,
}

#[derive(Debug)]
pub(super) enum Decision {
    /// The target has it, and this copy vouches for it.
    Found(Place),
    /// The predecessor had copied it.
    Imported,
    Refuse(Error),
    /// Its bytes are to be fetched, and sent unless they are there already. `copies`: the target holds messages that
    /// may have these bytes.
    Fetch {
        copies: bool,
    },
}

/// `size`: as the source tells it.
pub(super) fn decide(size: Option<u64>, known: Known<'_>, limits: Limits) -> Decision {
    if let Some(place) = known.copies.and_then(|c| by_name(c, known.rivals)) {
        return Decision::Found(place);
    }
    if known.imported {
        return Decision::Imported;
    }
    if let Some(error) = too_big(size.unwrap_or(0), limits.takes, limits.a_day) {
        return Decision::Refuse(error);
    }
    Decision::Fetch {
        copies: known
            .copies
            .is_some_and(|c| !(c.named.is_empty() && c.alike.is_empty())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::IndexId;
    use crate::message::{Uid, UidValidity};

    #[test]
    fn what_is_to_be_done() {
        let place = |uid| Place {
            mailbox: IndexId(1),
            uid_validity: UidValidity(1),
            uid: Uid(uid),
            gm_msgid: None,
        };
        let copies = |named: &[u32], alike: &[u32]| Copies {
            named: named.iter().map(|uid| place(*uid)).collect(),
            alike: alike.iter().map(|uid| place(*uid)).collect(),
        };
        let (none, one, two) = (copies(&[], &[]), copies(&[7], &[]), copies(&[7, 8], &[]));
        let alike = copies(&[], &[9]);
        let limits = Limits {
            takes: 100,
            a_day: Some(50),
        };
        let unlimited = Limits {
            takes: 100,
            a_day: None,
        };
        let (alone, rivals) = (Rivals::None, Rivals::Unknown);
        // Copies, rivals, imported, size, limits, and what follows.
        let table = [
            (None, alone, false, 10, limits, "fetch"),
            (Some(&none), alone, false, 10, limits, "fetch"),
            (Some(&one), alone, false, 10, limits, "found 7"),
            (Some(&two), alone, false, 10, limits, "found 7"),
            // It is there, whatever its size.
            (Some(&one), alone, false, 101, limits, "found 7"),
            (Some(&one), rivals, false, 10, limits, "fetch, copies"),
            (Some(&alike), alone, false, 10, limits, "fetch, copies"),
            (None, alone, true, 10, limits, "imported"),
            (Some(&alike), alone, true, 10, limits, "imported"),
            (None, alone, true, 101, limits, "imported"),
            (None, alone, false, 50, limits, "fetch"),
            (
                None,
                alone,
                false,
                51,
                limits,
                "refuse: upload_limit_per_day",
            ),
            (None, alone, false, 51, unlimited, "fetch"),
            (None, alone, false, 100, unlimited, "fetch"),
            (
                None,
                alone,
                false,
                101,
                unlimited,
                "refuse: the target takes",
            ),
            (None, alone, false, 101, limits, "refuse: the target takes"),
            (
                Some(&one),
                rivals,
                false,
                101,
                limits,
                "refuse: the target takes",
            ),
        ];
        for (n, (copies, rivals, imported, size, limits, wanted)) in table.into_iter().enumerate() {
            let known = Known {
                copies,
                rivals,
                imported,
            };
            let decision = decide(Some(size), known, limits);
            let told = match &decision {
                Decision::Found(place) => format!("found {}", place.uid),
                Decision::Imported => "imported".into(),
                Decision::Fetch { copies: true } => "fetch, copies".into(),
                Decision::Fetch { copies: false } => "fetch".into(),
                Decision::Refuse(e) => match wanted.strip_prefix("refuse: ") {
                    Some(why) if e.message.contains(why) => wanted.into(),
                    _ => e.message.clone(),
                },
            };
            assert_eq!(told, wanted, "row {n}");
        }
        let unknown = Known {
            copies: None,
            rivals: alone,
            imported: false,
        };
        assert!(matches!(
            decide(None, unknown, limits),
            Decision::Fetch { copies: false }
        ));
    }
}
