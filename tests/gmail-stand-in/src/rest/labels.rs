//! Labels over the API (docs/gmail-import.md 6): their ids, the list, a new one.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::http::Answer;
use super::refusals::ApiRefusal;
use crate::labels;
use crate::message::{Message, Place};
use crate::names::Use;
use crate::store::{Marks, Store};

/// Labels of Gmail's own: their ids are their names.
const SYSTEM: [&str; 14] = [
    "INBOX",
    "SPAM",
    "TRASH",
    "UNREAD",
    "STARRED",
    "IMPORTANT",
    "SENT",
    "DRAFT",
    "CHAT",
    "CATEGORY_PERSONAL",
    "CATEGORY_SOCIAL",
    "CATEGORY_PROMOTIONS",
    "CATEGORY_UPDATES",
    "CATEGORY_FORUMS",
];

/// Those that are labels over IMAP too (docs/gmail.md 4.1).
const OVER_IMAP: [(&str, &str); 5] = [
    ("INBOX", "\\Inbox"),
    ("STARRED", "\\Starred"),
    ("IMPORTANT", "\\Important"),
    ("SENT", "\\Sent"),
    ("DRAFT", "\\Draft"),
];

fn id_of(index: usize) -> String {
    format!("Label_{index}")
}

fn users(store: &Store) -> impl Iterator<Item = (usize, &str)> {
    let all = store.mailboxes.iter().enumerate();
    all.filter(|(_, mailbox)| mailbox.purpose == Use::Label && !mailbox.deleted)
        .map(|(index, mailbox)| (index, mailbox.name.as_str()))
}

fn of_user(index: usize, name: &str) -> Value {
    json!({
        "id": id_of(index),
        "name": name,
        "messageListVisibility": "show",
        "labelListVisibility": "labelShow",
        "type": "user",
    })
}

pub(super) fn list(store: &Store) -> Answer {
    let system = SYSTEM.map(|name| json!({"id": name, "name": name, "type": "system"}));
    let users = users(store).map(|(index, name)| of_user(index, name));
    let all: Vec<Value> = system.into_iter().chain(users).collect();
    Answer::json(200, &json!({"labels": all}))
}

pub(super) fn create(store: &mut Store, body: &[u8]) -> Result<Answer, ApiRefusal> {
    let asked: Value = serde_json::from_slice(body).map_err(|_| ApiRefusal::BadRequest)?;
    let name = asked["name"].as_str().ok_or(ApiRefusal::InvalidArgument)?;
    if users(store).any(|(_, there)| labels::same(there, name)) {
        return Err(ApiRefusal::LabelConflict);
    }
    if labels::refused(name, false).is_some() {
        return Err(ApiRefusal::InvalidLabelName);
    }
    let index = store.create(name);
    Ok(Answer::json(200, &of_user(index, name)))
}

/// What these ids mean for a message.
pub(super) fn marks(store: &Store, ids: &[String]) -> Result<Marks, ApiRefusal> {
    let mut marks = Marks {
        place: Place::Live,
        labels: BTreeSet::new(),
        flags: BTreeSet::from(["\\Seen".to_string()]),
    };
    let mut places = 0;
    for id in ids {
        places += usize::from(["INBOX", "SPAM", "TRASH"].contains(&id.as_str()));
        match id.as_str() {
            "SPAM" => marks.place = Place::Spam,
            "TRASH" => marks.place = Place::Trash,
            "UNREAD" => {
                marks.flags.remove("\\Seen");
            }
            "CHAT" => return Err(ApiRefusal::InvalidLabel(id.clone())),
            category if category.starts_with("CATEGORY_") && SYSTEM.contains(&category) => {}
            id => {
                let own = OVER_IMAP.iter().find(|(api, _)| *api == id);
                let user = users(store).find(|(index, _)| id_of(*index) == id);
                let label = match (own, user) {
                    (Some((_, label)), _) => *label,
                    (None, Some((_, name))) => name,
                    (None, None) => return Err(ApiRefusal::InvalidLabel(id.to_string())),
                };
                marks.labels.insert(label.to_string());
            }
        }
    }
    // docs/gmail-import.md 3.5.
    if places > 1 {
        return Err(ApiRefusal::ConflictingLabels);
    }
    Ok(marks)
}

/// The ids of what a message has.
pub(super) fn ids_of(store: &Store, message: &Message) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    let mut add = |id: &str| ids.push(id.to_string());
    match message.place {
        Place::Spam => add("SPAM"),
        Place::Trash => add("TRASH"),
        Place::Live => {}
    }
    if !message.flags.contains("\\Seen") {
        add("UNREAD");
    }
    for (id, label) in OVER_IMAP {
        if message.labels.contains(label) {
            add(id);
        }
    }
    for (index, name) in users(store) {
        if message.labels.contains(name) {
            ids.push(id_of(index));
        }
    }
    ids
}
