//! What an audit found, and the same as JSON: keys may be added, never renamed. Not for people (`text`).

use std::collections::HashSet;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::class::{Class, Standing};
use crate::error::{Error, shown};
use crate::ledger::{RowId, Status};
use crate::message::{Time, Uid, time_text};

/// How many messages there are of each class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals([u64; Class::ALL.len()]);

impl Totals {
    pub(super) fn add(&mut self, class: Class) {
        self.add_many(class, 1);
    }

    pub(super) fn add_many(&mut self, class: Class, messages: u64) {
        self.0[class as usize] += messages;
    }

    pub fn of(&self, class: Class) -> u64 {
        self.0[class as usize]
    }

    /// Messages of this standing.
    pub fn standing(&self, standing: Standing) -> u64 {
        let all = Class::ALL.into_iter();
        all.filter(|class| class.standing() == standing)
            .map(|class| self.of(class))
            .sum()
    }

    fn json(&self) -> Value {
        let counts = Class::ALL.map(|class| (class.name().to_string(), self.of(class).into()));
        Value::Object(Map::from_iter(counts))
    }
}

/// A message that a person may want to know of.
#[derive(Clone, Debug)]
pub struct Difference {
    pub class: Class,
    /// Its row. None: the ledger does not know it.
    pub row: Option<RowId>,
    /// Which of the audit's folders it is in.
    pub folder: usize,
    pub uid: Uid,
    /// The source has it now.
    pub(super) at_source: bool,
    pub date: Option<Time>,
    pub size: Option<u64>,
    pub message_id: Option<String>,
    pub status: Option<Status>,
    /// What was last said of it.
    pub error: Option<String>,
    pub(super) delivered_at: Option<Time>,
}

impl Difference {
    pub(super) fn rowless(class: Class, folder: usize, uid: Uid, date: Option<Time>) -> Difference {
        Difference {
            class,
            row: None,
            folder,
            uid,
            at_source: true,
            date,
            size: None,
            message_id: None,
            status: None,
            error: None,
            delivered_at: None,
        }
    }
}

/// What was queued again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    pub queued: Vec<RowId>,
    /// Of these, rows that nobody named: they have the bytes of one that was named, and would vouch for it otherwise.
    pub with_them: usize,
    /// They were named by their class, and the source has them no longer: nobody can send them.
    pub not_at_source: usize,
    /// They have changed since they were looked at.
    pub changed: usize,
}

/// A folder of the source.
#[derive(Debug)]
pub struct Audited {
    pub name: String,
    /// How many messages it holds, as far as that is known.
    pub messages: Option<u64>,
    /// The configuration leaves it out.
    pub left_out: bool,
    /// The source has it no longer.
    pub gone: bool,
    pub totals: Totals,
    /// Why it could not be looked into.
    pub trouble: Option<Error>,
}

/// One route, audited.
#[derive(Debug)]
pub struct Audit {
    pub source: String,
    pub target: String,
    pub state_file: PathBuf,
    pub at: Time,
    pub(super) gmail: bool,
    /// All of the target could be looked into.
    pub(super) whole: bool,
    pub folders: Vec<Audited>,
    pub totals: Totals,
    /// The gravest first.
    pub differences: Vec<Difference>,
}

impl Audit {
    /// Every message of the source is accounted for.
    pub fn is_whole(&self) -> bool {
        self.exit_status() == 0
    }

    /// 1: not all of the source could be looked at; 4: a person has to look; 3: a run has still to do something.
    pub fn exit_status(&self) -> u8 {
        self.exit_status_after(&Repaired::default())
    }

    /// The same once these have been queued again.
    pub fn exit_status_after(&self, repaired: &Repaired) -> u8 {
        let troubles = || self.folders.iter().filter_map(|f| f.trouble.as_ref());
        let needs_person = troubles().any(|e| e.reaction().needs_person);
        if troubles().next().is_some() && !needs_person {
            1
        } else if needs_person || self.left_to_a_person(repaired) > 0 {
            4
        } else if self.totals.standing(Standing::Open) > 0 || !repaired.queued.is_empty() {
            3
        } else {
            0
        }
    }

    fn left_to_a_person(&self, repaired: &Repaired) -> u64 {
        let queued: HashSet<RowId> = repaired.queued.iter().copied().collect();
        let mended = self.differences.iter().filter(|difference| {
            let queued = difference.row.is_some_and(|row| queued.contains(&row));
            queued && difference.class.standing() == Standing::Person
        });
        let all = self.totals.standing(Standing::Person);
        all.saturating_sub(mended.count() as u64)
    }

    /// Messages that the source holds in folders that are copied, as far as it could be looked into.
    pub fn messages(&self) -> u64 {
        let copied = self.folders.iter().filter(|folder| !folder.left_out);
        copied.filter_map(|folder| folder.messages).sum()
    }

    pub fn json(&self) -> Value {
        let folders = self.folders.iter().map(|folder| {
            json!({
                "name": folder.name,
                "messages": folder.messages,
                "left_out": folder.left_out,
                "gone": folder.gone,
                "classes": folder.totals.json(),
                "trouble": folder.trouble.as_ref().map(trouble),
            })
        });
        let differences = self.differences.iter().map(|difference| {
            let text = |text: &Option<String>| text.as_ref().map(|text| shown(text.as_bytes()));
            json!({
                "class": difference.class.name(),
                "id": difference.row.map(|row| row.0),
                "folder": self.folders[difference.folder].name,
                "uid": difference.uid.0,
                "message_id": text(&difference.message_id),
                "date": difference.date.map(time_text),
                "size": difference.size,
                "status": difference.status.map(Status::name),
                "error": text(&difference.error),
            })
        });
        json!({
            "source": shown(self.source.as_bytes()),
            "target": shown(self.target.as_bytes()),
            "state_file": shown(self.state_file.display().to_string().as_bytes()),
            "audited_at": time_text(self.at),
            "accounted_for": self.is_whole(),
            "exit_status": self.exit_status(),
            "messages": self.messages(),
            "all_of_target_seen": self.whole,
            "classes": self.totals.json(),
            "folders": folders.collect::<Vec<_>>(),
            "differences": differences.collect::<Vec<_>>(),
        })
    }
}

fn trouble(e: &Error) -> Value {
    json!({"message": shown(e.message.as_bytes()), "hint": e.hint})
}
