//! What the untagged responses to one command amount to.

use std::collections::HashMap;

use crate::message::{Uid, UidValidity};
use crate::response::{Fetched, Untagged};

/// UIDVALIDITY and UIDNEXT, where STATUS tells both.
pub(super) fn counts(untagged: &[Untagged]) -> Option<(UidValidity, u32)> {
    untagged.iter().find_map(|u| match u {
        Untagged::Counts {
            uid_validity: Some(validity),
            uid_next: Some(next),
            ..
        } => Some((UidValidity(*validity), *next)),
        _ => None,
    })
}

/// One item per message. A message may be told of in several responses: in pieces, or once more when
/// somebody changes its flags while we look (Gmail then sends UID and FLAGS alone, docs/gmail.md 3.2). What
/// one of them leaves out is not therefore gone.
pub(super) fn fetched(untagged: Vec<Untagged>) -> Vec<Fetched> {
    let mut out: Vec<Fetched> = Vec::new();
    let mut places: HashMap<Uid, usize> = HashMap::new();
    for response in untagged {
        // Without UID it is an update of something that nobody asked for (RFC 3501 7.4.2).
        let Untagged::Fetch(f) = response else {
            continue;
        };
        let Some(uid) = f.uid else { continue };
        match places.get(&uid) {
            Some(&at) => out[at].complete(*f),
            None => {
                places.insert(uid, out.len());
                out.push(*f);
            }
        }
    }
    out
}
