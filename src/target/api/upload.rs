//! A message on its way through the API: in one piece, or resumable where it is large (docs/gmail-import.md 1). Not for
//! what a refusal means (`refusal`).

use serde_json::json;

use super::answer::Receipt;
use super::http::{Lost, Reply, Request};
use super::refusal::Verdict;
use super::{Api, Asked, Imported, Mail, REPLY_MAX, Upload, pace};
use crate::config::{Masks, Secret};
use crate::error::Error;

const PATH: &str = "/upload/gmail/v1/users/me/messages/import";
/// A larger one goes by a resumable session, which can be asked what became of it.
const IN_ONE_PIECE: usize = 1 << 20;
/// How often a server may take a part of what was sent whole.
const PARTS_MAX: usize = 32;
/// A session's address is shorter.
const ADDRESS_MAX: usize = 4096;

impl Api {
    /// Imports a message.
    pub fn import(&self, token: &Secret<String>, mail: &Mail<'_>) -> Imported {
        let _turn = self.pace.enter(pace::IMPORT);
        if mail.body.len() <= IN_ONE_PIECE {
            self.in_one_piece(token, mail)
        } else {
            match self.start(token, mail) {
                Ok(upload) => self.put(token, upload, mail.body),
                Err(end) => *end,
            }
        }
    }

    fn in_one_piece(&self, token: &Secret<String>, mail: &Mail<'_>) -> Imported {
        let boundary = boundary(mail.body, random);
        let begin = format!(
            "--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{}\r\n\
             --{boundary}\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: binary\r\n\r\n",
            metadata(mail)
        );
        let end = format!("\r\n--{boundary}--\r\n");
        let kind = format!("multipart/related; boundary=\"{boundary}\"");
        let request = Request {
            method: "POST",
            address: self.to(&path("multipart", mail)),
            headers: vec![("Content-Type", kind)],
            body: vec![begin.as_bytes(), mail.body, end.as_bytes()],
            reply_max: REPLY_MAX,
            masks: Masks::default(),
        };
        match self.http.send(token, request) {
            Ok(reply) => self.imported(&reply, None),
            Err(lost) => unseen(lost, None),
        }
    }

    /// Begins a session: nothing of the message is sent yet.
    fn start(&self, token: &Secret<String>, mail: &Mail<'_>) -> Result<Upload, Box<Imported>> {
        let metadata = metadata(mail);
        let len = mail.body.len();
        let request = Request {
            method: "POST",
            address: self.to(&path("resumable", mail)),
            headers: vec![
                ("Content-Type", "application/json; charset=UTF-8".into()),
                ("X-Upload-Content-Type", "message/rfc822".into()),
                ("X-Upload-Content-Length", len.to_string()),
            ],
            body: vec![metadata.as_bytes()],
            reply_max: REPLY_MAX,
            masks: Masks::default(),
        };
        let sent = self.http.send(token, request);
        let reply = sent.map_err(|lost| Box::new(Imported::NotSent(lost.error)))?;
        if reply.status != 200 {
            return Err(Box::new(match self.verdict(&reply) {
                Verdict::Refused(means, error) => Imported::Refused(means, error),
                Verdict::Open(error) => Imported::NotSent(error),
            }));
        }
        let address = reply.location.unwrap_or_default();
        if address.len() > ADDRESS_MAX || !self.http.base.leads_to(&address) {
            let error = Error::connection("Gmail's API begins an upload that leads elsewhere");
            return Err(Box::new(Imported::NotSent(error)));
        }
        Ok(Upload {
            address: Secret::new(address),
            len: len as u64,
        })
    }

    fn put(&self, token: &Secret<String>, upload: Upload, body: &[u8]) -> Imported {
        let mut from = 0;
        for _ in 0..PARTS_MAX {
            let range = format!("bytes {from}-{}/{}", body.len() - 1, body.len());
            let rest = body.get(from..).unwrap_or_default();
            let reply = match self.http.send(token, to(&upload, range, vec![rest])) {
                Ok(reply) => reply,
                Err(lost) => return unseen(lost, Some(upload)),
            };
            if reply.status != 308 {
                return self.imported(&reply, Some(upload));
            }
            match there(&reply, upload.len) {
                Some(there) if there == upload.len => {
                    let error =
                        Error::connection("Gmail's API has the message and does not say so");
                    return Imported::Unknown(error, Some(upload));
                }
                Some(there) if there > from as u64 => from = there as usize,
                _ => break,
            }
        }
        // It has heard all that was sent, so that nothing is under way any more.
        Imported::NotSent(Error::connection(
            "Gmail's API takes a part of the message only",
        ))
    }

    /// What became of a message that was sent by a resumable session (docs/gmail-import.md 1.3).
    pub fn ask(&self, token: &Secret<String>, upload: &Upload) -> Asked {
        let _turn = self.pace.enter(pace::NOTHING);
        let range = format!("bytes */{}", upload.len);
        let reply = match self.http.send(token, to(upload, range, Vec::new())) {
            Ok(reply) => reply,
            Err(lost) => return Asked::Unknown(lost.error),
        };
        let odd = || Error::connection("Gmail's API does not say what became of an upload");
        match reply.status {
            200 | 201 => {
                Receipt::parse(&reply.body).map_or_else(|| Asked::Unknown(odd()), Asked::Done)
            }
            308 => match there(&reply, upload.len) {
                Some(there) if there < upload.len => Asked::Part(there),
                _ => Asked::Unknown(odd()),
            },
            _ => Asked::Unknown(self.refusal(&reply)),
        }
    }

    /// What the answer to all of a message means.
    fn imported(&self, reply: &Reply, upload: Option<Upload>) -> Imported {
        match reply.status {
            200 | 201 => match Receipt::parse(&reply.body) {
                Some(receipt) => Imported::Done(receipt),
                None => {
                    let error = "Gmail's API took a message and does not say which one it is";
                    Imported::Unknown(Error::connection(error), upload)
                }
            },
            // The session, not a label: what was sent came to nothing.
            404 | 410 if upload.is_some() => Imported::NotSent(Error::connection(
                "Gmail's API has forgotten an upload that it began",
            )),
            _ => match self.verdict(reply) {
                Verdict::Refused(means, error) => Imported::Refused(means, error),
                Verdict::Open(error) => Imported::Unknown(error, upload),
            },
        }
    }
}

fn unseen(lost: Lost, upload: Option<Upload>) -> Imported {
    if lost.whole {
        Imported::Unknown(lost.error, upload)
    } else {
        Imported::NotSent(lost.error)
    }
}

fn path(kind: &str, mail: &Mail<'_>) -> String {
    format!(
        "{PATH}?uploadType={kind}&internalDateSource=dateHeader&neverMarkSpam={}&processForCalendar=false&fields=id,threadId,labelIds",
        mail.never_mark_spam
    )
}

fn metadata(mail: &Mail<'_>) -> String {
    json!({"labelIds": mail.labels}).to_string()
}

fn to<'a>(upload: &Upload, range: String, body: Vec<&'a [u8]>) -> Request<'a> {
    let address = upload.address.reveal().clone();
    let (_, id) = address.split_once("upload_id=").unwrap_or_default();
    let masks = Masks::new(id, b"");
    Request {
        method: "PUT",
        address,
        headers: vec![("Content-Range", range)],
        body,
        reply_max: REPLY_MAX,
        masks,
    }
}

/// How many bytes are there, of so many. None: it says something else.
fn there(reply: &Reply, len: u64) -> Option<u64> {
    let Some(range) = &reply.range else {
        return Some(0);
    };
    let last: u64 = range.strip_prefix("bytes=0-")?.parse().ok()?;
    last.checked_add(1).filter(|there| *there <= len)
}

fn random() -> String {
    std::iter::repeat_with(fastrand::alphanumeric)
        .take(40)
        .collect()
}

/// A line that is nowhere in the message.
fn boundary(body: &[u8], mut draw: impl FnMut() -> String) -> String {
    loop {
        let boundary = draw();
        let found = body
            .windows(boundary.len())
            .any(|w| w == boundary.as_bytes());
        if !found {
            return boundary;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_that_is_in_the_message_is_drawn_again() {
        let mut drawn = ["one", "two", "three"].into_iter();
        let draw = || drawn.next().unwrap_or_default().to_string();
        assert_eq!(boundary(b"--one\r\ntwone two\r\n", draw), "three");
        let random = random();
        assert!(random.len() == 40 && random.bytes().all(|b| b.is_ascii_alphanumeric()));
    }

    #[test]
    fn a_range_says_how_far_it_came() {
        let with = |range: Option<&str>| {
            let reply = Reply {
                status: 308,
                location: None,
                range: range.map(str::to_string),
                retry_after: None,
                date: None,
                body: Vec::new(),
                masks: Masks::default(),
            };
            there(&reply, 10)
        };
        assert_eq!(with(None), Some(0));
        assert_eq!(with(Some("bytes=0-0")), Some(1));
        assert_eq!(with(Some("bytes=0-9")), Some(10));
        for odd in [
            "bytes=0-10",
            "bytes=1-2",
            "bytes=0-18446744073709551615",
            "0-5",
            "bytes=0-",
        ] {
            assert_eq!(with(Some(odd)), None, "{odd}");
        }
    }
}
