//! Does the target keep what it is sent? Sizes and headers of all copies are compared, the bytes of some;
//! what differs is said once for each way in which it does.

use std::collections::{HashMap, HashSet};

use chrono::Utc;
use log::warn;

use super::{Engine, lock};
use crate::ledger::{RowId, Verification};
use crate::message::{HeaderHash, Time, header_hash};
use crate::target::Copy;

/// One copy of so many is compared byte by byte, where size and header are as they were sent.
const SAMPLE: u64 = 50;
/// No bigger ones are taken for that.
const SAMPLE_MAX: u64 = 1 << 20;

/// What this run knows of the copies that it has made.
#[derive(Default)]
pub(super) struct Fidelity {
    /// The headers of messages that are being sent, by row. Those that another process sent are not known.
    headers: HashMap<RowId, HeaderHash>,
    compared: u64,
    /// The target was seen to alter texts: the bytes of every copy are compared from then on.
    doubted: bool,
    /// The ways in which copies differ that were said already.
    told: HashSet<&'static str>,
}

impl Engine {
    /// This message is about to be sent.
    pub(super) fn remember_header(&self, id: RowId, body: &[u8]) {
        let header = header_hash(body);
        lock(&self.fidelity).headers.insert(id, header);
    }

    /// Its copy has been looked at, or there is none to be looked at.
    pub(super) fn forget_header(&self, id: RowId) {
        lock(&self.fidelity).headers.remove(&id);
    }

    /// Are the bytes of the copy of this message to be compared, whatever it looks like? Every so often one is counted out as
    /// a sample.
    pub(super) fn is_sample(&self, size: Option<u64>) -> bool {
        if size.is_none_or(|size| size > SAMPLE_MAX) {
            return false;
        }
        let mut fidelity = lock(&self.fidelity);
        fidelity.compared += 1;
        fidelity.doubted || fidelity.compared % SAMPLE == 1
    }

    /// Are size and header of this copy as they were sent, so that its bytes need not be compared? `sample`: it was
    /// chosen as one.
    pub(super) fn take_as_kept(&self, sent: &Verification, copy: &Copy, sample: bool) -> bool {
        let size = sent.row.about.size;
        let fidelity = lock(&self.fidelity);
        let header = fidelity.headers.get(&sent.row.id);
        if copy.size != size || copy.header.is_none() || header != copy.header.as_ref() {
            return false;
        }
        size.is_none_or(|size| size > SAMPLE_MAX) || !(sample || fidelity.doubted)
    }

    /// Says what this copy lacks beside its bytes. True when it lacks something.
    pub(super) fn note_flags_and_date(&self, sent: &Verification, copy: &Copy) -> bool {
        let flags = sent.row.about.flags.outside_drafts();
        // Only a flag that is missing counts: whoever reads the mail may have set others meanwhile.
        let dropped = copy.flags.is_some_and(|kept| {
            (flags.seen && !kept.seen)
                || (flags.answered && !kept.answered)
                || (flags.flagged && !kept.flagged)
        });
        // Gmail replaces other dates by its own (docs/gmail.md 3.3).
        let date = sent.row.date_there();
        let redated = (Time::UNIX_EPOCH..=Utc::now()).contains(&date)
            && copy.internal_date.is_some_and(|kept| kept != date);
        if dropped {
            self.say_altered(sent, "flags");
        }
        if redated {
            self.say_altered(sent, "the date");
        }
        dropped || redated
    }

    /// Says that the target's copy has these bytes, other ones than were sent. `like`: they differ in no more than
    /// servers rewrite.
    pub(super) fn note_bytes_differ(&self, sent: &Verification, body: &[u8], like: bool) {
        let header = lock(&self.fidelity).headers.get(&sent.row.id).copied();
        let what = if like {
            "line ends"
        } else if header.is_some_and(|header| header != header_hash(body)) {
            "the header"
        } else {
            lock(&self.fidelity).doubted = true;
            "the text"
        };
        self.say_altered(sent, what);
    }

    fn say_altered(&self, sent: &Verification, what: &'static str) {
        if lock(&self.fidelity).told.insert(what) {
            warn!(
                "the target does not keep {what} as sent (message {} is the first); such messages are `altered` in the ledger, and this is said once",
                sent.row.id
            );
        }
    }
}
