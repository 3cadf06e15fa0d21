//! Resumable uploads (docs/gmail-import.md 1.3): a session takes the message in pieces, tells how far it came, and
//! keeps the reply once the message is stored.

use std::collections::HashMap;

use serde_json::Value;

use super::http::{Answer, Head};
use super::import::{self, Wish};
use super::refusals::ApiRefusal;

#[derive(Debug, Default)]
pub(crate) struct Uploads {
    open: HashMap<String, Upload>,
    serial: u64,
}

#[derive(Debug)]
struct Upload {
    wish: Wish,
    len: usize,
    bytes: Vec<u8>,
    done: Option<Value>,
}

/// What a PUT amounts to.
#[derive(Debug)]
pub(super) enum Put {
    Answer(Answer),
    /// The message is whole, and is to be stored now.
    Whole(Wish, Vec<u8>),
}

impl Uploads {
    /// A new session; its id.
    pub(super) fn start(&mut self, wish: Wish, len: usize) -> String {
        self.serial += 1;
        let id = format!("AEnB2Ur-stand-in-upload-{:06}", self.serial);
        let upload = Upload {
            wish,
            len,
            bytes: Vec::new(),
            done: None,
        };
        self.open.insert(id.clone(), upload);
        id
    }

    pub(super) fn forget(&mut self) {
        self.open.clear();
    }

    /// Bytes that came so far, of all sessions that are not done.
    pub(crate) fn waiting(&self) -> usize {
        let open = self.open.values().filter(|upload| upload.done.is_none());
        open.map(|upload| upload.bytes.len()).sum()
    }

    /// Takes these bytes, or tells how far it came.
    pub(super) fn put(&mut self, id: &str, head: &Head, body: &[u8]) -> Result<Put, ApiRefusal> {
        let upload = self.open.get_mut(id).ok_or(ApiRefusal::NotFound)?;
        if let Some(done) = &upload.done {
            return Ok(Put::Answer(import::done(done)));
        }
        let range = head.header("content-range").unwrap_or_default();
        let (range, len) = range
            .strip_prefix("bytes ")
            .and_then(|range| range.split_once('/'))
            .ok_or(ApiRefusal::BadRequest)?;
        if len.parse() != Ok(upload.len) {
            return Err(ApiRefusal::BadRequest);
        }
        if range != "*" {
            let from = range.split_once('-').and_then(|(a, _)| a.parse().ok());
            if from != Some(upload.bytes.len()) {
                return Err(ApiRefusal::BadRequest);
            }
            upload.bytes.extend_from_slice(body);
            if upload.bytes.len() == upload.len {
                return Ok(Put::Whole(upload.wish.clone(), upload.bytes.clone()));
            }
        }
        Ok(Put::Answer(incomplete(upload.bytes.len())))
    }

    /// What the session answers from now on.
    pub(super) fn done(&mut self, id: &str, reply: &Value) {
        if let Some(upload) = self.open.get_mut(id) {
            upload.done = Some(reply.clone());
            upload.bytes = Vec::new();
        }
    }

    /// The message was refused: the session is over.
    pub(super) fn over(&mut self, id: &str) {
        self.open.remove(id);
    }
}

/// 308, and how far it came: no Range stands for nothing.
fn incomplete(bytes: usize) -> Answer {
    let mut headers = Vec::new();
    if bytes > 0 {
        headers.push(("Range", format!("bytes=0-{}", bytes - 1)));
    }
    Answer::empty(308, headers)
}
