//! One mailbox in `folders`: what becomes of it, in words and as JSON. Not for the page around it (`text`).

use serde_json::{Value, json};

use super::{Holds, Mailbox};
use crate::config::{Mapping, Rules, Why};
use crate::error::shown;
use crate::folder::{SpecialUse, Spot};
use crate::message::time_text;

impl Mailbox {
    pub(super) fn is_copied(&self) -> bool {
        matches!(self.mapping, Mapping::Copied { .. })
    }

    pub(super) fn name(&self) -> String {
        shown(self.listed.name.as_bytes())
    }

    /// `INBOX`, `Spam`, `label Work`, `left out`, and why.
    pub(super) fn becomes(&self, rules: &Rules) -> String {
        let decided = rules.decided(&self.mapping);
        let pattern = decided
            .map(|named| shown(named.pattern.as_bytes()))
            .unwrap_or_default();
        match &self.mapping {
            Mapping::Copied { destination, .. } => {
                let (place, own) = match &destination.spot {
                    Spot::Inbox => ("INBOX", None),
                    Spot::Use(special) => (place(*special), None),
                    Spot::Label(name) => ("", Some(name)),
                };
                let labels = own.into_iter().chain(&destination.labels);
                let labels: Vec<String> = labels.map(|l| shown(l.as_bytes())).collect();
                let labels = match &labels[..] {
                    [] => String::new(),
                    [one] => format!("label {one}"),
                    more => format!("labels {}", more.join(", ")),
                };
                let parts = [place, &*labels].into_iter().filter(|p| !p.is_empty());
                let text = parts.collect::<Vec<_>>().join(", ");
                if rules.is_default() {
                    text
                } else {
                    format!("{text} (by {pattern})")
                }
            }
            Mapping::LeftOut(Why::Excluded(_)) => format!("left out (excluded by {pattern})"),
            Mapping::LeftOut(Why::Virtual) => "left out (shows mail of others)".into(),
            Mapping::LeftOut(Why::CannotBeOpened) => "left out (holds no mail)".into(),
            Mapping::LeftOut(Why::Unmatched) => "left out".into(),
        }
    }

    pub(super) fn json(&self, rules: &Rules) -> Value {
        let (messages, since, trouble) = match &self.holds {
            Holds::Messages { all, since } => (Some(all), Some(since), None),
            Holds::Nothing => (None, None, None),
            Holds::Unknown(why) => (None, None, Some(why)),
        };
        let (target, labels, why) = match &self.mapping {
            Mapping::Copied { destination, .. } => {
                let target = match &destination.spot {
                    Spot::Use(SpecialUse::Archive) => "archive".into(),
                    spot => spot.to_string(),
                };
                let labels = destination.labels.iter();
                let labels: Vec<String> = labels.map(|l| shown(l.as_bytes())).collect();
                (Some(target), labels, None)
            }
            Mapping::LeftOut(why) => (None, Vec::new(), Some(word(*why))),
        };
        let rule = rules
            .decided(&self.mapping)
            .map(|named| json!({"key": named.key, "pattern": shown(named.pattern.as_bytes())}));
        json!({
            "name": self.name(),
            "on_the_wire": shown(self.listed.wire.as_bytes()),
            "use": self.listed.special.map(SpecialUse::name),
            "can_be_opened": self.listed.selectable,
            "messages": messages,
            "since": self.since.map(time_text),
            "messages_since_about": since,
            "copied": self.is_copied(),
            "target": target,
            "labels": labels,
            "left_out": why,
            "rule": rule,
            "trouble": trouble,
        })
    }
}

/// As Gmail calls it.
fn place(special: SpecialUse) -> &'static str {
    match special {
        SpecialUse::Sent => "Sent",
        SpecialUse::Drafts => "Drafts",
        SpecialUse::Junk => "Spam",
        SpecialUse::Trash => "Trash",
        SpecialUse::Archive => "archived",
    }
}

fn word(why: Why) -> &'static str {
    match why {
        Why::Excluded(_) => "excluded",
        Why::Unmatched => "unmatched",
        Why::Virtual => "virtual",
        Why::CannotBeOpened => "cannot_be_opened",
    }
}
