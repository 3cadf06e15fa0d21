//! A target that holds most of what waits already, beside a ledger that has delivered nothing: somebody else
//! has copied it, and that may have been another ledger of the same accounts.

use std::path::Path;

use rusqlite::params;

use super::open::Ledger;
use crate::error::Result;
use crate::message::{Time, time_text};
use crate::text::thousands;

/// Fewer are no sign of anything: a family's mail goes to two of its addresses now and then.
const FEWEST: u64 = 3;

/// Messages that wait, beside what the target is known to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overlap {
    pub waiting: u64,
    /// The target has their Message-ID and Date.
    pub held: u64,
    /// They have no Message-ID.
    pub nameless: u64,
    /// More waits than was compared: these are the newest.
    pub part: bool,
}

impl Overlap {
    /// Is it worth a word? More than half of what waits: who had mail forwarded or fetched for a while
    /// sees less in common, and a second ledger nearly all.
    pub fn is_telling(&self) -> bool {
        self.held >= FEWEST && self.held * 2 > self.waiting
    }

    pub fn sentence(&self, target: &str) -> String {
        let newest = if self.part { "newest " } else { "" };
        let mut out = format!(
            "this ledger has delivered nothing yet, and {target} already holds {} of the {} {newest}messages that wait, by Message-ID and date: they are not sent again",
            thousands(self.held),
            thousands(self.waiting),
        );
        let others = self.waiting.saturating_sub(self.held);
        let n = thousands(others);
        out += &match (others, self.nameless) {
            (0, _) => String::new(),
            (1, 0) => "; the other one is sent".into(),
            (_, 0) => format!("; the other {n} are sent"),
            (1, _) => "; the other one has no Message-ID: only its bytes tell whether it is there, and if the target changed those it is sent again".into(),
            (_, 1) => format!(
                "; of the other {n}, 1 has no Message-ID: only its bytes tell whether it is there, and if the target changed those it is sent again"
            ),
            (_, nameless) => format!(
                "; of the other {n}, {} have no Message-ID: only their bytes tell whether they are there, and what the target changed of them is sent again",
                thousands(nameless)
            ),
        };
        out
    }

    /// `ledger`: the one that has delivered nothing.
    pub fn hint(ledger: &Path) -> String {
        format!(
            "is there another ledger of these accounts (a `sync_state.db` in another folder)? Then stop, and name that one as `state_file` in the configuration: it knows what was copied, also what was deleted in the target since. If there is none, nothing need be done; this ledger is {}",
            ledger.display()
        )
    }
}

impl Ledger {
    /// Has no row been delivered with it, and nothing imported?
    pub fn has_delivered_nothing(&self) -> Result<bool> {
        self.read(|db| {
            db.query_row(
                "SELECT NOT EXISTS (SELECT 1 FROM message WHERE status = 'delivered' AND superseded_by IS NULL)
                    AND NOT EXISTS (SELECT 1 FROM imported)",
                [],
                |r| r.get(0),
            )
        })
    }

    /// The rows that wait or are under way and came at this moment or later, beside what the index knows.
    pub fn overlap(&self, since: Time) -> Result<Overlap> {
        self.read(|db| {
            db.query_row(
                "SELECT count(*), count(*) FILTER (WHERE held), count(*) FILTER (WHERE message_id_hash IS NULL AND size IS NOT NULL),
                        EXISTS (SELECT 1 FROM message WHERE status IN ('pending', 'in_flight') AND internal_date < ?1)
                   FROM (SELECT m.message_id_hash, m.size,
                                EXISTS (SELECT 1 FROM gmail_message g
                                         WHERE g.message_id_hash = m.message_id_hash AND g.date_header IS m.date_header) AS held
                           FROM message m WHERE m.status IN ('pending', 'in_flight') AND m.internal_date >= ?1)",
                params![time_text(since)],
                |r| {
                    Ok(Overlap {
                        waiting: r.get(0)?,
                        held: r.get(1)?,
                        nameless: r.get(2)?,
                        part: r.get(3)?,
                    })
                },
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_in_common_are_no_sign() {
        for (held, waiting, telling) in [
            (0, 0, false),
            (2, 2, false),
            (3, 3, true),
            (3, 6, false),
            (4, 7, true),
            (68, 70, true),
        ] {
            let overlap = Overlap {
                waiting,
                held,
                ..Overlap::default()
            };
            assert_eq!(overlap.is_telling(), telling, "{held} of {waiting}");
        }
    }
}
