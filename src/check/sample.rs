//! What a few commands tell about the mail that a first run takes: about how many bytes it has, and the
//! Message-IDs of the newest messages.

use crate::config::Since;
use crate::error::Result;
use crate::message::{Discovered, Time, Uid, uid_set};
use crate::response::Fetched;
use crate::session::{METADATA_MAX, SET_MAX, Session, View};
use crate::text::thousands;

/// How many messages are asked for their Message-ID.
const NEWEST: usize = 200;
const NAME: &str = "(UID INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID DATE)])";

/// The messages of the source that a first run takes.
pub(super) enum Wanted {
    /// All of the mailbox's, so many.
    All(u32),
    /// Those from this time on. The UIDs come from a SEARCH, which knows only days by the server's clock, so it
    /// asked for one day more.
    Since(Time, Vec<Uid>),
}

/// What was learned about them.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) messages: u64,
    /// Of all together, estimated.
    pub(super) bytes: u64,
    /// The newest of them.
    pub(super) newest: Vec<Discovered>,
}

impl Sample {
    /// Both together. As few Message-IDs as of one mailbox are enough.
    pub(super) fn and(mut self, other: Sample) -> Sample {
        self.messages = self.messages.saturating_add(other.messages);
        self.bytes = self.bytes.saturating_add(other.bytes);
        let room = NEWEST.saturating_sub(self.newest.len());
        self.newest.extend(other.newest.into_iter().take(room));
        self
    }
}

impl Wanted {
    pub(super) fn of(session: &mut Session, view: &View, since: Since) -> Result<Wanted> {
        if since == Since::All {
            return Ok(Wanted::All(view.exists));
        }
        let start = since.start(chrono::Utc::now());
        Ok(Wanted::Since(start, session.uids_since(view, Some(start))?))
    }

    pub(super) fn text(&self) -> String {
        match self {
            Wanted::All(_) => "all of them".into(),
            Wanted::Since(start, uids) => format!(
                "what came since {}, about {}",
                start.format("%Y-%m-%d"),
                thousands(uids.len() as u64)
            ),
        }
    }

    fn count(&self) -> usize {
        match self {
            Wanted::All(exists) => *exists as usize,
            Wanted::Since(_, uids) => uids.len(),
        }
    }

    /// Asks for the messages at these places, counted from the oldest.
    fn fetch(
        &self,
        session: &mut Session,
        places: &[usize],
        items: &str,
        literals: u64,
    ) -> Result<Vec<Fetched>> {
        match self {
            Wanted::All(_) => {
                let numbers: Vec<Uid> = places.iter().map(|n| Uid(*n as u32 + 1)).collect();
                session.numbers_fetch(&uid_set(&numbers), items, literals)
            }
            Wanted::Since(_, uids) => {
                let uids: Vec<Uid> = places
                    .iter()
                    .filter_map(|n| uids.get(*n).copied())
                    .collect();
                let (found, end) = session.uid_fetch(&uid_set(&uids), items, literals);
                end.map(|()| found)
            }
        }
    }
}

/// Asks for the newest messages and, where there are more, for the sizes of some that are spread evenly over
/// all.
pub(super) fn taken(session: &mut Session, wanted: &Wanted) -> Result<Sample> {
    let count = wanted.count();
    let newest: Vec<usize> = (count.saturating_sub(NEWEST)..count).collect();
    let mut sample = Sample {
        messages: count as u64,
        bytes: 0,
        newest: Vec::new(),
    };
    if newest.is_empty() {
        return Ok(sample);
    }
    let literals = METADATA_MAX * newest.len() as u64;
    let found = wanted.fetch(session, &newest, NAME, literals)?;
    let told = found.iter().filter(|f| f.naming().is_some());
    sample.newest = told.filter_map(Fetched::discovered).collect();
    let some = if newest.len() == count {
        found
    } else {
        wanted.fetch(session, &spread(count), "(UID RFC822.SIZE)", 0)?
    };
    sample.bytes = scaled(some.iter().filter_map(|f| f.size), count);
    Ok(sample)
}

/// Places spread evenly over so many messages, as many as one command may name.
fn spread(count: usize) -> Vec<usize> {
    (0..count).step_by(count.div_ceil(SET_MAX).max(1)).collect()
}

/// The size of all of them together, if the others are like these.
fn scaled(sizes: impl Iterator<Item = u64>, count: usize) -> u64 {
    let (mut sum, mut told) = (0_u128, 0_u128);
    for size in sizes {
        sum += u128::from(size);
        told += 1;
    }
    (sum * count as u128)
        .checked_div(told)
        .map_or(0, |bytes| u64::try_from(bytes).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_stand_for_all() {
        assert_eq!(spread(0), [0; 0]);
        assert_eq!(spread(3), [0, 1, 2]);
        assert_eq!(spread(SET_MAX).len(), SET_MAX);
        let many = spread(200_001);
        assert!(
            many.len() <= SET_MAX && many.len() > SET_MAX / 2,
            "{}",
            many.len()
        );
        assert!(many.last() > Some(&199_000));
        assert_eq!(scaled([10, 20, 30].into_iter(), 3), 60);
        assert_eq!(scaled([10, 20].into_iter(), 1_000), 15_000);
        assert_eq!(scaled([0; 0].into_iter(), 1_000), 0);
        assert_eq!(scaled([u64::MAX, u64::MAX].into_iter(), 9), u64::MAX);
    }
}
