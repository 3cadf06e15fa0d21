//! How much room an account has left (RFC 9208, and RFC 2087 before it).

use std::collections::{HashMap, HashSet};

use super::{Phase, Session, quoted};
use crate::error::Result;
use crate::response::Untagged;

/// More is no limit that anybody runs into, in whatever unit.
const NO_LIMIT: u64 = 1 << 50;

/// What is left of a limit, and the whole of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    pub left: u64,
    pub all: u64,
}

/// The tightest limits that a mailbox is under, where the server tells of any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    pub bytes: Option<Left>,
    pub messages: Option<Left>,
}

impl Session {
    /// What the server says of the room for this mailbox.
    pub fn quota(&mut self, mailbox: &str) -> Result<Quota> {
        let command = format!("GETQUOTAROOT {}", quoted(mailbox)?);
        let heard = self.run(Phase::Fetch, &command, self.times.command, 0);
        heard.end?;
        Ok(tightest(heard.untagged))
    }
}

fn tightest(untagged: Vec<Untagged>) -> Quota {
    let mut named = None;
    let mut told = HashMap::new();
    for response in untagged {
        match response {
            Untagged::QuotaRoots(roots) => named = Some(roots),
            // What is said of a root once more is how it stands now.
            Untagged::Quota { root, resources } => {
                told.insert(root, resources);
            }
            _ => {}
        }
    }
    if let Some(named) = named {
        let named: HashSet<_> = named.into_iter().collect();
        told.retain(|root, _| named.contains(root));
    }
    let mut quota = Quota::default();
    for (name, used, all) in told.into_values().flatten() {
        let (slot, unit) = match name.to_ascii_uppercase().as_slice() {
            b"STORAGE" => (&mut quota.bytes, 1024),
            b"MESSAGE" => (&mut quota.messages, 1),
            _ => continue,
        };
        // Some servers say 0 where there is no limit.
        if all == 0 || all >= NO_LIMIT {
            continue;
        }
        let this = Left {
            left: all.saturating_sub(used) * unit,
            all: all * unit,
        };
        if slot.is_none_or(|other| this.left < other.left) {
            *slot = Some(this);
        }
    }
    quota
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(root: &str, resources: &[(&str, u64, u64)]) -> Untagged {
        Untagged::Quota {
            root: root.into(),
            resources: resources
                .iter()
                .map(|(name, used, all)| (name.as_bytes().to_vec(), *used, *all))
                .collect(),
        }
    }

    fn left(left: u64, all: u64) -> Option<Left> {
        Some(Left { left, all })
    }

    #[test]
    fn the_tightest_limit_counts() {
        let roots = |names: &[&str]| {
            Untagged::QuotaRoots(names.iter().map(|n| n.as_bytes().to_vec()).collect())
        };
        let gmail = vec![roots(&[""]), told("", &[("STORAGE", 450, 15_728_640)])];
        assert_eq!(
            tightest(gmail).bytes,
            left(15_728_190 * 1024, 15_728_640 * 1024)
        );
        let several = vec![
            roots(&["user", "domain"]),
            told("user", &[("storage", 10, 100), ("MESSAGE", 7, 9)]),
            told("domain", &[("STORAGE", 95, 100), ("X-ODD", 1, 1)]),
            told("another's", &[("STORAGE", 100, 100)]),
        ];
        assert_eq!(
            tightest(several),
            Quota {
                bytes: left(5 * 1024, 100 * 1024),
                messages: left(2, 9)
            }
        );
        // Over the limit, none, and figures that nobody can mean.
        let over = vec![told("", &[("STORAGE", u64::MAX, 1)])];
        assert_eq!(tightest(over).bytes, left(0, 1024));
        for none in [(0, 0), (5, 0), (0, u64::MAX), (u64::MAX, u64::MAX)] {
            let told = vec![told("", &[("STORAGE", none.0, none.1)])];
            assert_eq!(tightest(told), Quota::default());
        }
        assert_eq!(tightest(Vec::new()), Quota::default());
    }
}
