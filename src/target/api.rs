//! The API of Gmail, as far as it brings mail in: what is imported, Gmail scans and sorts as if it had come by SMTP
//! (docs/gmail-import.md 3.3). HTTP, and what its answers mean; it knows no rows, and looks at nothing afterwards: that is
//! done over IMAP, whatever the road.
//!
//! ```text
//! http     one exchange, bounded
//! answer   what a reply says
//! refusal  what a refusal means
//! pace     how fast it may be asked
//! labels   labels by name
//! upload   a message on its way
//! ```

use chrono::Utc;
use serde_json::json;

use crate::config::{Address, Endpoint, Intervals, Masks, Origin, Secret};
use crate::error::{Error, Result};

mod answer;
mod http;
mod labels;
mod pace;
mod refusal;
mod upload;

pub use answer::{Label, Receipt};
pub use refusal::{Answered, DELAY_MAX, Means, Verdict, verdict};

/// The API of one account. All who use that account share one: it keeps the pace.
pub struct Api {
    http: http::Http,
    pace: pace::Pace,
    origin: Origin,
}

/// A message to be imported.
#[derive(Clone, Copy, Debug)]
pub struct Mail<'a> {
    pub body: &'a [u8],
    /// Ids of labels. Without `INBOX` it is archived, without `UNREAD` read (docs/gmail-import.md 3.5).
    pub labels: &'a [String],
    pub never_mark_spam: bool,
}

/// A resumable session with a message in it. Whoever has its address may write into it.
#[derive(Clone, Debug)]
pub struct Upload {
    address: Secret<String>,
    len: u64,
}

/// How an import ended.
#[derive(Debug)]
pub enum Imported {
    /// Gmail has the message: as a new one, or as one that it had before.
    Done(Receipt),
    /// Gmail has answered that it does not take it, and does not have it.
    Refused(Means, Error),
    /// Nobody knows. A session can be asked later.
    Unknown(Error, Option<Upload>),
    /// Gmail cannot have the whole of it: no request that held the end of it went out whole.
    NotSent(Error),
}

/// What a resumable session says of its message.
#[derive(Debug)]
pub enum Asked {
    /// Gmail has it.
    Done(Receipt),
    /// So many bytes of it are there, which is not all. Like an absence this counts only when what was sent cannot be
    /// under way any more.
    Part(u64),
    Unknown(Error),
}

/// What proved that the API can be used.
#[derive(Debug)]
pub enum Proof {
    Labels(Vec<Label>),
    /// It takes messages; the labels cannot be listed with this token.
    Import,
}

impl Api {
    /// # Errors
    /// `Usage`: the file with the target's authorities cannot be read.
    pub fn new(base: Address, target: &Endpoint, times: &Intervals) -> Result<Api> {
        Ok(Api {
            http: http::Http::new(base, target, times)?,
            pace: pace::Pace::new(),
            origin: target.origin.clone(),
        })
    }

    /// Tries the road without sending mail: the labels are listed or, where the token is for messages alone, a message
    /// is sent that is none (docs/gmail-import.md 1.1).
    ///
    /// # Errors
    /// Of two that are there, the one about messages: that of the labels says only that this token may not list them.
    pub fn prove(&self, token: &Secret<String>) -> Result<Proof> {
        let listed = self.list(token)?;
        if listed.status == 200 {
            return labels::parsed(&listed).map(Proof::Labels);
        }
        if !refusal::may_be_of_labels_alone(listed.status, &listed.body) {
            return Err(self.refusal(&listed));
        }
        let _turn = self.pace.enter(pace::IMPORT);
        let body = json!({}).to_string();
        let request = http::Request {
            method: "POST",
            address: self.to("/gmail/v1/users/me/messages/import"),
            headers: vec![("Content-Type", "application/json; charset=UTF-8".into())],
            body: vec![body.as_bytes()],
            reply_max: http::REPLY_MAX,
            masks: Masks::default(),
        };
        let reply = self.http.send(token, request).map_err(|lost| lost.error)?;
        if reply.status == 400 && says_no_message(&reply.body) {
            Ok(Proof::Import)
        } else {
            Err(self.refusal(&reply))
        }
    }

    fn to(&self, path: &str) -> String {
        self.http.base.to(path)
    }

    fn verdict(&self, reply: &http::Reply) -> Verdict {
        let answered = Answered {
            status: reply.status,
            body: &reply.body,
            retry_after: reply.retry_after,
            now: reply.date.unwrap_or_else(Utc::now),
            masks: &reply.masks,
        };
        verdict(&answered, &self.origin)
    }

    /// Of a request that brings no message.
    fn refusal(&self, reply: &http::Reply) -> Error {
        match self.verdict(reply) {
            Verdict::Refused(_, error) | Verdict::Open(error) => error,
        }
    }
}

fn says_no_message(body: &[u8]) -> bool {
    let words = answer::Said::parse(body).words.to_lowercase();
    words.contains("'raw' rfc822 payload")
}
