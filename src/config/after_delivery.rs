//! `after_delivery` and `after_days`: what becomes of a message at the source once its copy is certainly in the target.
//! Not for whether it is (`engine`), nor for how a server is told (`source`).

use serde_json::{Map, Value};

use super::{Mapping, Reader, Rules, known, text_of, value_text};
use crate::error::{Error, Result, shown};
use crate::folder::{Listed, SpecialUse, Spot, same_label};

/// What becomes of a message at the source after its delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AfterDelivery {
    pub disposal: Disposal,
    /// So many days after its delivery.
    pub after_days: u32,
    /// Also of a message that is flagged there.
    pub flagged_too: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Disposal {
    #[default]
    Keep,
    Delete,
    /// Into this mailbox of the source: a name as people read it, or a special use.
    MoveTo(Spot),
}

/// As many as `since` takes.
const DAYS_MAX: u64 = 36_500;
/// A name that is longer could not be meant.
const NAME_MAX: usize = 1000;
const KEYS: &[&str] = &["delete", "move_to", "flagged_too"];
const FORMS: &str = "\"keep\", \"delete\" or {\"move_to\": \"Archive\"}";
const FORMS_HINT: &str = "without `after_delivery` nothing is ever changed at the source; messages that are flagged there stay, unless you write {\"delete\": true, \"flagged_too\": true} or {\"move_to\": \"Archive\", \"flagged_too\": true}";
const DAYS_HINT: &str = "without `after_days` it is 0: as soon as the copy was looked at";
const MOVE_HINT: &str = "name a mailbox that is not copied, or leave it out of what is copied with `exclude`; it is made where it is missing";

impl AfterDelivery {
    /// The same, as the ledger remembers it: whatever changes in it may be a slip of the hand. None: nothing is removed.
    pub fn wanted(&self) -> Option<String> {
        let what = match &self.disposal {
            Disposal::Keep => return None,
            Disposal::Delete => "delete".to_string(),
            Disposal::MoveTo(spot) => format!("move to {spot}"),
        };
        let days = match self.after_days {
            0 => String::new(),
            1 => " after 1 day".into(),
            n => format!(" after {n} days"),
        };
        let flagged = if self.flagged_too {
            ", flagged ones too"
        } else {
            ""
        };
        Some(format!("{what}{days}{flagged}"))
    }

    /// What will have been done about messages: `deleted`, `moved to Archive`.
    pub fn done(&self) -> String {
        match &self.disposal {
            Disposal::Keep => "kept".into(),
            Disposal::Delete => "deleted".into(),
            Disposal::MoveTo(spot) => format!("moved to {spot}"),
        }
    }
}

impl Reader<'_> {
    /// `rules`: what is moved must not be copied again.
    pub(super) fn after_delivery(&self, rules: Option<&Rules>) -> Result<AfterDelivery> {
        let after_days = self.after_days()?;
        let error = |what: String| self.error("after_delivery", what).hint(FORMS_HINT);
        let wrong = |value: &Value| {
            Err(error(format!(
                "got {}, expected {FORMS}",
                value_text(value)
            )))
        };
        let (disposal, flagged_too) = match self.map.get("after_delivery") {
            None => (Disposal::Keep, false),
            Some(Value::String(word)) if word == "keep" => (Disposal::Keep, false),
            Some(Value::String(word)) if word == "delete" => (Disposal::Delete, false),
            Some(Value::Object(map)) => disposal(map, &error)?,
            Some(other) => return wrong(other),
        };
        if let (Disposal::MoveTo(spot), Some(rules)) = (&disposal, rules)
            && is_copied(spot, rules)
        {
            let what =
                format!("`folders` copies {spot}: what is moved there would be copied again");
            return Err(error(what).hint(MOVE_HINT));
        }
        Ok(AfterDelivery {
            disposal,
            after_days,
            flagged_too,
        })
    }

    fn after_days(&self) -> Result<u32> {
        let Some(value) = self.map.get("after_days") else {
            return Ok(0);
        };
        let days = value.as_u64().filter(|days| *days <= DAYS_MAX);
        days.and_then(|days| u32::try_from(days).ok())
            .ok_or_else(|| {
                let got = value_text(value);
                let what = format!("got {got}, expected a number of days from 0 to {DAYS_MAX}");
                self.error("after_days", what).hint(DAYS_HINT)
            })
    }
}

/// The object form.
fn disposal(map: &Map<String, Value>, error: &dyn Fn(String) -> Error) -> Result<(Disposal, bool)> {
    known(map, KEYS, "its keys are", &|what| error(what))?;
    let flag = |key: &str| match map.get(key) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => Err(error(format!(
            "`{key}`: got {}, expected true or false",
            value_text(other)
        ))),
    };
    let (delete, flagged_too) = (flag("delete")?, flag("flagged_too")?);
    match (delete, map.get("move_to")) {
        (true, None) => Ok((Disposal::Delete, flagged_too)),
        (false, Some(name)) => {
            let name = text_of(name, &|what| error(format!("`move_to`: {what}")))?;
            Ok((Disposal::MoveTo(spot(&name, error)?), flagged_too))
        }
        (true, Some(_)) => Err(error(
            "got both `delete` and `move_to`, expected one of them".into(),
        )),
        (false, None) => Err(error(
            "got an object without `move_to`, expected the name of a mailbox in it".into(),
        )),
    }
}

fn spot(name: &str, error: &dyn Fn(String) -> Error) -> Result<Spot> {
    let wrong = |expected: &str| {
        let name = shown(name.as_bytes());
        Err(error(format!(
            "`move_to`: got `{name}`, expected {expected}"
        )))
    };
    if name.len() > NAME_MAX {
        return wrong("the name of a mailbox");
    }
    match Spot::of(name) {
        Spot::Inbox => wrong("another mailbox than INBOX"),
        Spot::Label(name) if name.starts_with('\\') => {
            wrong("a name, or one of \\Sent, \\Drafts, \\Junk, \\Trash and \\Archive")
        }
        Spot::Label(name) if name.split('/').any(|level| level.trim().is_empty()) => {
            wrong("a name with something on each side of a /")
        }
        spot => Ok(spot),
    }
}

/// Does the configuration copy this mailbox, as far as its name tells?
fn is_copied(spot: &Spot, rules: &Rules) -> bool {
    let (name, special) = match spot {
        Spot::Inbox => return true,
        Spot::Use(special) => (special.name()[1..].to_string(), Some(*special)),
        Spot::Label(name) => (name.clone(), used_as(name)),
    };
    let mailbox = Listed {
        wire: name.clone(),
        name,
        special,
        is_virtual: false,
        selectable: true,
    };
    matches!(rules.mapping(&mailbox), Mapping::Copied { .. })
}

/// What a mailbox of this name is mostly for.
fn used_as(name: &str) -> Option<SpecialUse> {
    let mut uses = SpecialUse::ALL.into_iter();
    uses.find(|special| same_label(&special.name()[1..], name))
}
