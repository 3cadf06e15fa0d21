//! A message on its way through the API: in one piece, or resumable where it is large (docs/gmail-import.md 1). Not for
//! what a refusal means (`refusal`).

use std::time::Instant;

use serde_json::json;

use super::answer::Receipt;
use super::http::{Lost, REPLY_MAX, Reply, Request};
use super::refusal::{Means, Verdict};
use super::{Api, Asked, Imported, Mail, Upload, pace};
use crate::config::{Masks, Secret};
use crate::error::Error;

const PATH: &str = "/upload/gmail/v1/users/me/messages/import";
/// A larger one goes by a resumable session, which can be asked what became of it.
const IN_ONE_PIECE: usize = 1 << 20;
/// How often a message is sent, or the rest of it, to a server that says it kept a part. Google's keep all that comes; one
/// that keeps a little each time would have it sent for ever.
const PARTS_MAX: usize = 4;
/// Words that the address of every session has. Whoever knows the others can write into the session
/// (docs/gmail-import.md 1.3).
const COMMON: [&str; 3] = ["resumable", "uploadType", "upload_id"];
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
                Ok(upload) => {
                    let end = self.http.deadline(upload.len);
                    self.put(token, upload, mail.body, end)
                }
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

    fn put(&self, token: &Secret<String>, upload: Upload, body: &[u8], end: Instant) -> Imported {
        let mut from = 0;
        for round in 0..PARTS_MAX {
            // Then all of it was heard once, and may have been stored whatever is said now.
            let heard = round > 0;
            let range = format!("bytes {from}-{}/{}", body.len() - 1, body.len());
            let rest = body.get(from..).unwrap_or_default();
            let request = put_request(&upload, range, vec![rest]);
            let reply = match self.http.send_by(end, token, request) {
                Ok(reply) => reply,
                Err(lost) if heard => return Imported::Unknown(lost.error, Some(upload)),
                Err(lost) => return unseen(lost, Some(upload)),
            };
            if reply.status != 308 {
                return match self.imported(&reply, Some(upload.clone())) {
                    // It is about this request, not about the message.
                    Imported::Refused(Means::Account, error) if heard => {
                        Imported::Unknown(error, Some(upload))
                    }
                    end => end,
                };
            }
            match there(&reply, upload.len) {
                Some(there) if (from as u64 + 1..upload.len).contains(&there) => {
                    from = there as usize;
                }
                _ => break,
            }
        }
        let error = "Gmail's API has heard all of a message and does not say what became of it";
        Imported::Unknown(Error::connection(error), Some(upload))
    }

    /// What became of a message that was sent by a resumable session (docs/gmail-import.md 1.3).
    pub fn ask(&self, token: &Secret<String>, upload: &Upload) -> Asked {
        let _turn = self.pace.enter(pace::NOTHING);
        let range = format!("bytes */{}", upload.len);
        let request = put_request(upload, range, Vec::new());
        let reply = match self.http.send(token, request) {
            Ok(reply) => reply,
            Err(lost) => return Asked::Unknown(lost.error),
        };
        const ODD: &str = "Gmail's API does not say what became of an upload";
        let odd = || Error::connection(ODD);
        match reply.status {
            200 | 201 => {
                Receipt::parse(&reply.body).map_or_else(|| Asked::Unknown(odd()), Asked::Done)
            }
            308 => match there(&reply, upload.len) {
                Some(there) if there < upload.len => Asked::Part(there),
                _ => Asked::Unknown(odd()),
            },
            404 | 410 => Asked::Unknown(forgotten()),
            _ => Asked::Unknown(match self.verdict(&reply) {
                Verdict::Refused(Means::Account, error) | Verdict::Open(error) => error,
                // No message was in this request.
                Verdict::Refused(_, error) => {
                    Error::connection(format!("{ODD}: {}", error.message))
                }
            }),
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
            // It is the session that is not there, not a label.
            404 | 410 if upload.is_some() => Imported::Unknown(forgotten(), upload),
            _ => match self.verdict(reply) {
                Verdict::Refused(means, error) => Imported::Refused(means, error),
                Verdict::Open(error) => Imported::Unknown(error, upload),
            },
        }
    }
}

fn forgotten() -> Error {
    Error::connection(
        "Gmail's API has forgotten an upload, and so does not say whether its message was stored",
    )
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

fn put_request<'a>(upload: &Upload, range: String, body: Vec<&'a [u8]>) -> Request<'a> {
    let address = upload.address.reveal().clone();
    Request {
        method: "PUT",
        headers: vec![("Content-Range", range)],
        body,
        reply_max: REPLY_MAX,
        masks: masks(&address),
        address,
    }
}

/// For whatever in the address of a session is its own.
fn masks(address: &str) -> Masks {
    let pieces = address.split(['/', '?', '&', '=', ';', '#']);
    // The scheme, nothing, and the host.
    let own = pieces.skip(3).filter(|piece| {
        let common = COMMON.contains(piece) || PATH.split('/').any(|word| word == *piece);
        !common
    });
    own.fold(Masks::default(), |masks, piece| {
        masks.and(Masks::new(piece, b""))
    })
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
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;
    use crate::config::{Address, Endpoint, Intervals, Origin, Tls};

    /// One that takes ten bytes of the first PUT, and then says nothing.
    fn half_deaf() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        std::thread::spawn(move || {
            let Some(Ok(mut tcp)) = listener.incoming().next() else {
                return;
            };
            let (mut heard, mut buf) = (Vec::new(), [0; 4096]);
            while !heard.ends_with(b"end") {
                match tcp.read(&mut buf) {
                    Ok(n) if n > 0 => heard.extend_from_slice(&buf[..n]),
                    _ => return,
                }
            }
            let part = b"HTTP/1.1 308 More\r\nRange: bytes=0-9\r\nContent-Length: 0\r\n\r\n";
            let _ = tcp.write_all(part);
            while tcp.read(&mut buf).is_ok_and(|n| n > 0) {}
        });
        url
    }

    #[test]
    fn all_rounds_of_an_upload_have_one_deadline() {
        let url = half_deaf();
        let target = Endpoint {
            host: "imap.gmail.com".into(),
            port: 993,
            tls: Tls::Implicit,
            ca_file: None,
            origin: Origin::default(),
        };
        let base = Address::parse(&url).expect("an address");
        let api = Api::new(base, &target, &Intervals::default()).expect("a client");
        let body = b"a message, and its end";
        let upload = Upload {
            address: Secret::new(format!("{url}/upload?upload_id=1")),
            len: body.len() as u64,
        };
        let start = Instant::now();
        let end = start + Duration::from_secs(2);
        let end = api.put(&Secret::new("token".into()), upload, body, end);
        assert!(matches!(end, Imported::Unknown(..)), "{end:?}");
        assert!(start.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn a_boundary_that_is_in_the_message_is_drawn_again() {
        let mut drawn = ["one", "two", "three"].into_iter();
        let draw = || drawn.next().unwrap_or_default().to_string();
        assert_eq!(boundary(b"--one\r\ntwone two\r\n", draw), "three");
        let random = random();
        assert!(random.len() == 40 && random.bytes().all(|b| b.is_ascii_alphanumeric()));
    }

    #[test]
    fn what_opens_a_session_is_masked_wherever_it_stands_in_its_address() {
        let masks = masks(
            "https://host.example/upload/gmail/v1/capab1lity/messages;v=0therOne?uploadType=resumable&upload_id=Th1rd-One#4ourth",
        );
        let said =
            "messages at host.example: capab1lity 0therOne (Th1rd-One) 4ourth upload_id=Th1rd-On";
        assert_eq!(
            masks.apply(said),
            "messages at host.example: *** *** (***) *** upload_id=***"
        );
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
