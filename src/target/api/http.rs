//! One exchange with the API: bounded in time and size, redirected nowhere, and always with an answer to the question
//! whether all of a request may have left us. Not for what a reply means.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use chrono::DateTime;
use ureq::http;
use ureq::tls::{Certificate, RootCerts};
use ureq::{Agent, SendBody};

use crate::config::{Address, Endpoint, Intervals, Masks, Secret};
use crate::error::{Error, Fault, Result, shown};
use crate::http::{Limits, agent};
use crate::message::Time;
use crate::wire::authorities;

/// Bytes of a second that an upload has at least: 150 MB then take some hours at most.
const SLOWEST: u64 = 16 << 10;

pub(super) struct Http {
    agent: Agent,
    pub(super) base: Address,
    /// From the last byte of a request to its answer, and for the rest of that.
    limit: Duration,
}

pub(super) struct Request<'a> {
    pub(super) method: &'static str,
    pub(super) address: String,
    pub(super) headers: Vec<(&'static str, String)>,
    /// One behind the other; no copy is made.
    pub(super) body: Vec<&'a [u8]>,
    /// Bytes that the reply may have.
    pub(super) reply_max: u64,
    /// What else must not be shown.
    pub(super) masks: Masks,
}

pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) location: Option<String>,
    pub(super) range: Option<String>,
    /// In seconds.
    pub(super) retry_after: Option<u64>,
    /// What time it is there.
    pub(super) date: Option<Time>,
    pub(super) body: Vec<u8>,
    pub(super) masks: Masks,
}

/// No reply came, or not all of it.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) error: Error,
    /// All of the request may have left us.
    pub(super) whole: bool,
}

impl Http {
    /// # Errors
    /// `Usage`: the file with the target's authorities cannot be read.
    pub(super) fn new(base: Address, target: &Endpoint, times: &Intervals) -> Result<Http> {
        let authorities = match authorities(target)? {
            None => RootCerts::WebPki,
            Some(own) => RootCerts::from(own.iter().map(|c| Certificate::from_der(c).to_owned())),
        };
        let limits = Limits {
            whole: None,
            connect: Some(times.connect),
            step: Some(times.api),
        };
        // A proxy would carry the token off this machine.
        let by_proxy = !base.is_local();
        Ok(Http {
            agent: agent(limits, authorities, by_proxy),
            base,
            limit: times.api,
        })
    }

    pub(super) fn send(
        &self,
        token: &Secret<String>,
        request: Request<'_>,
    ) -> std::result::Result<Reply, Lost> {
        let masks = Masks::new(token.reveal(), b"").and(request.masks);
        let len: u64 = request.body.iter().map(|part| part.len() as u64).sum();
        let mut body = Parts {
            left: len,
            end: Instant::now() + self.limit + Duration::from_secs(len / SLOWEST),
            parts: request.body,
        };
        let asked = http::Request::builder()
            .method(request.method)
            .uri(&request.address)
            .header("Authorization", format!("Bearer {}", token.reveal()));
        let asked = request
            .headers
            .into_iter()
            .fold(asked, |asked, (name, value)| asked.header(name, value));
        let answered = if request.method == "GET" {
            let asked = asked.body(()).map_err(ureq::Error::from);
            asked.and_then(|asked| self.agent.run(asked))
        } else {
            let asked = asked
                .header("Content-Length", len)
                .body(SendBody::from_reader(&mut body));
            let asked = asked.map_err(ureq::Error::from);
            asked.and_then(|asked| self.agent.run(asked))
        };
        let lost = |error, whole| Lost { error, whole };
        let (parts, reply) = match answered {
            Ok(answered) => answered.into_parts(),
            Err(e) => return Err(lost(unreachable(&e, &masks), body.left == 0)),
        };
        let header = |name: &str| {
            let value = parts.headers.get(name)?;
            Some(value.to_str().ok()?.trim().to_string())
        };
        let status = parts.status.as_u16();
        let read = reply
            .into_with_config()
            .limit(request.reply_max)
            .read_to_vec();
        let body = match read {
            Ok(body) => body,
            // The status says enough of a refusal.
            Err(_) if status >= 400 => Vec::new(),
            Err(e) => return Err(lost(unreachable(&e, &masks), true)),
        };
        let date = header("date").and_then(|d| DateTime::parse_from_rfc2822(&d).ok());
        Ok(Reply {
            status,
            location: header("location"),
            range: header("range"),
            retry_after: header("retry-after").and_then(|seconds| seconds.parse().ok()),
            date: date.map(|date| date.to_utc()),
            body,
            masks,
        })
    }
}

/// A body in several parts, which are read once and not copied together.
struct Parts<'a> {
    parts: Vec<&'a [u8]>,
    /// Bytes that nobody has read yet.
    left: u64,
    /// When all of it must have been read.
    end: Instant,
}

impl Read for Parts<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if Instant::now() > self.end {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the upload took too long",
            ));
        }
        while let Some(part) = self.parts.first_mut() {
            if part.is_empty() {
                self.parts.remove(0);
                continue;
            }
            let read = part.read(buf)?;
            self.left -= read as u64;
            return Ok(read);
        }
        Ok(0)
    }
}

fn unreachable(e: &ureq::Error, masks: &Masks) -> Error {
    let rustls = match e {
        ureq::Error::Rustls(e) => Some(e),
        ureq::Error::Io(e) => e.get_ref().and_then(|inner| inner.downcast_ref()),
        _ => None,
    };
    if let Some(rustls::Error::InvalidCertificate(why)) = rustls {
        let why = shown(why.to_string().as_bytes());
        return Error::new(
            Fault::NeedsUser,
            format!("the certificate of Gmail's API (its proof of identity) is not trusted: {why}"),
        )
        .hint("is this machine's clock right? If it is, somebody intercepts the connection: where that is your own proxy, put its authority into the file of `target_ca_file`");
    }
    let words = masks.apply(&shown(e.to_string().as_bytes()));
    Error::connection(format!("no answer of Gmail's API: {words}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_parts_is_read_as_one_and_in_time() {
        let (end, late) = (
            Instant::now() + Duration::from_secs(60),
            Instant::now() - Duration::from_secs(1),
        );
        let parts = |end| Parts {
            parts: vec![b"ab", b"", b"cde"],
            left: 5,
            end,
        };
        let mut body = parts(end);
        let mut two = [0; 2];
        assert!(body.read(&mut two).is_ok_and(|n| n == 2) && body.left == 3);
        let mut rest = Vec::new();
        assert!(body.read_to_end(&mut rest).is_ok());
        assert_eq!((rest.as_slice(), body.left), (&b"cde"[..], 0));
        assert!(parts(late).read(&mut two).is_err());
    }
}
