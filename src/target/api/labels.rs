//! Labels by name, through the API: the list of them, and a new one (docs/gmail-import.md 6).

use serde_json::json;

use super::answer::Label;
use super::http::{REPLY_MAX, Reply, Request};
use super::{Api, pace};
use crate::config::{Masks, Secret};
use crate::error::{Error, Fault, Result, shown};

const PATH: &str = "/gmail/v1/users/me/labels";
/// 10,000 labels with the longest names in characters of four bytes are not more.
const LIST_MAX: u64 = 16 << 20;

impl Api {
    /// All labels of the account.
    pub fn labels(&self, token: &Secret<String>) -> Result<Vec<Label>> {
        let reply = self.list(token)?;
        if reply.status == 200 {
            parsed(&reply)
        } else {
            Err(self.refusal(&reply))
        }
    }

    /// Asks for all labels.
    pub(super) fn list(&self, token: &Secret<String>) -> Result<Reply> {
        let _turn = self.pace.enter(pace::LIST);
        let request = Request {
            method: "GET",
            address: self.to(&format!("{PATH}?fields=labels(id,name,type)")),
            headers: Vec::new(),
            body: Vec::new(),
            reply_max: LIST_MAX,
            masks: Masks::default(),
        };
        self.http.send(token, request).map_err(|lost| lost.error)
    }

    /// Makes a label of this name, or finds the one that is there, in whatever case. Levels above it are the caller's.
    ///
    /// # Errors
    /// `Permanent`: Gmail does not take the name.
    pub fn make_label(&self, token: &Secret<String>, name: &str) -> Result<Label> {
        let turn = self.pace.enter(pace::CREATE);
        let body = json!({
            "name": name,
            "labelListVisibility": "labelShow",
            "messageListVisibility": "show",
        });
        let body = body.to_string();
        let request = Request {
            method: "POST",
            address: self.to(&format!("{PATH}?fields=id,name,type")),
            headers: vec![("Content-Type", "application/json; charset=UTF-8".into())],
            body: vec![body.as_bytes()],
            reply_max: REPLY_MAX,
            masks: Masks::default(),
        };
        let reply = self.http.send(token, request).map_err(|lost| lost.error)?;
        drop(turn);
        match reply.status {
            200 | 201 => Label::parse(&reply.body).ok_or_else(unreadable),
            // It is there under a name that is the same to Gmail, or was made meanwhile.
            409 => {
                let all = self.labels(token)?;
                let there = Label::find(&all, name).cloned();
                there.ok_or_else(|| conflict(name))
            }
            _ => Err(self.refusal(&reply)),
        }
    }
}

pub(super) fn parsed(reply: &Reply) -> Result<Vec<Label>> {
    Label::parse_list(&reply.body).ok_or_else(unreadable)
}

fn conflict(name: &str) -> Error {
    let name = shown(name.as_bytes());
    Error::new(
        Fault::Permanent,
        format!("Gmail's API says that there is a label `{name}`, or one too much like it, and lists none of that name"),
    )
    .hint("choose another name for it; which labels there are is shown at https://mail.google.com/mail/#settings/labels")
}

fn unreadable() -> Error {
    Error::connection("Gmail's API answered with something else than labels")
}
