//! What a configuration says of its route, as far as it is right: for commands that only look at a ledger. No
//! password is read and no command is run.

use std::path::{Path, PathBuf};

use serde_json::Map;

use super::draft::right;
use super::{Endpoint, NotifyCommand, Reader, key, place, read_object};
use crate::error::Error;
use crate::message::Time;

/// User and host.
type Side = (String, String);

pub struct Outline {
    /// Why a run would refuse it.
    pub mistakes: Vec<Error>,
    pub source: Option<Side>,
    pub target: Option<Side>,
    pub upload_limit_per_day: Option<u64>,
    /// Who is told of trouble.
    pub notify_command: Option<NotifyCommand>,
    /// Where its ledger seems to lie, even where nothing else in it can be read.
    pub probable_ledger: Option<PathBuf>,
}

impl Outline {
    pub fn of(path: &Path, now: Time) -> Outline {
        let mut mistakes = Vec::new();
        let m = &mut mistakes;
        let map = right(read_object(path), m);
        let whole = map.is_some();
        let map = map.unwrap_or_else(Map::new);
        let read = Reader { path, map: &map };
        let probable_ledger = place::probable_ledger(path);
        if !whole {
            return Outline {
                mistakes,
                source: None,
                target: None,
                upload_limit_per_day: None,
                notify_command: None,
                probable_ledger,
            };
        }
        right(read.known_keys(), m);
        let host = |endpoint: Endpoint| endpoint.host;
        let source = right(read.user("source_user"), m).zip(right(read.source().map(host), m));
        let target = right(read.user("target_user"), m).zip(right(read.target().map(host), m));
        for forms in [key::SOURCE, key::TARGET] {
            right(read.one_of(forms), m);
        }
        right(read.since(now), m);
        let rules = right(read.rules(now), m);
        right(read.after_delivery(rules.as_ref()), m);
        right(read.connections(), m);
        right(read.notices(), m);
        right(read.ledger(), m);
        right(read.ping_url(), m);
        Outline {
            notify_command: right(read.notify_command(), m).flatten(),
            source,
            target,
            upload_limit_per_day: right(read.upload_limit(), m).flatten(),
            probable_ledger,
            mistakes,
        }
    }
}
