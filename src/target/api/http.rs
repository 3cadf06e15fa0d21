//! One exchange with the API: bounded in time and size, redirected nowhere, and always with an answer to the question
//! whether all of a request may have left us. Not for what a reply means.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use chrono::DateTime;
use ureq::http;
use ureq::tls::{Certificate, RootCerts};
use ureq::{Agent, AsSendBody, SendBody};

use crate::config::{Address, Endpoint, Intervals, Masks, Secret};
use crate::error::{Error, Fault, Result, shown};
use crate::http::{Limits, agent};
use crate::message::Time;
use crate::wire::authorities;

/// Bytes of a second that an upload has at least: 150 MB then take some hours at most.
const SLOWEST: u64 = 16 << 10;
/// Bytes that a reply may have: all but the list of labels have some hundred.
pub(super) const REPLY_MAX: u64 = 64 << 10;
/// Steps of an exchange that wait for the server: connection, head, answer, and its body.
const STEPS: u32 = 4;

pub(super) struct Http {
    agent: Agent,
    pub(super) base: Address,
    /// How long each step of an exchange is waited for.
    per_step: Duration,
}

pub(super) struct Request<'a> {
    pub(super) method: &'static str,
    pub(super) address: String,
    pub(super) headers: Vec<(&'static str, String)>,
    /// One behind the other; no copy is made.
    pub(super) body: Vec<&'a [u8]>,
    /// Bytes that a good reply may have. Another one has [`REPLY_MAX`] at most.
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
            per_step: times.api,
        })
    }

    /// When an exchange that sends so many bytes, and begins now, must be over.
    pub(super) fn deadline(&self, len: u64) -> Instant {
        Instant::now() + STEPS * self.per_step + Duration::from_secs(len / SLOWEST)
    }

    pub(super) fn send(
        &self,
        token: &Secret<String>,
        request: Request<'_>,
    ) -> std::result::Result<Reply, Lost> {
        let len = request.body.iter().map(|part| part.len() as u64).sum();
        self.send_by(self.deadline(len), token, request)
    }

    /// ureq hears nothing while the body goes out. A refusal that comes before all of it is out (a 413, a token that ended)
    /// is therefore lost where the server hangs up after it: that is told as `whole: false` and as a broken connection, and
    /// whoever tries again may meet the same.
    pub(super) fn send_by(
        &self,
        end: Instant,
        token: &Secret<String>,
        request: Request<'_>,
    ) -> std::result::Result<Reply, Lost> {
        let masks = Masks::new(token.reveal(), b"").and(request.masks);
        let len: u64 = request.body.iter().map(|part| part.len() as u64).sum();
        let mut body = Parts {
            left: len,
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
            self.run(asked.body(()), end)
        } else {
            let asked = asked.header("Content-Length", len);
            self.run(asked.body(SendBody::from_reader(&mut body)), end)
        };
        let lost = |error, whole| Lost { error, whole };
        let (parts, reply) = match answered {
            Ok(answered) => answered.into_parts(),
            Err(e) => return Err(lost(unanswered(&e, &masks), body.left == 0)),
        };
        let header = |name: &str| {
            let value = parts.headers.get(name)?;
            Some(value.to_str().ok()?.trim().to_string())
        };
        let status = parts.status.as_u16();
        let good = (200..300).contains(&status);
        let reply_max = if good { request.reply_max } else { REPLY_MAX };
        let read = reply.into_with_config().limit(reply_max).read_to_vec();
        let body = match read {
            Ok(body) => body,
            // Of any other refusal its words say what it means.
            Err(_) if matches!(status, 401 | 413 | 429) => Vec::new(),
            Err(e) => return Err(lost(cut_short(status, &e, &masks), true)),
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

    fn run<B: AsSendBody>(
        &self,
        request: http::Result<http::Request<B>>,
        end: Instant,
    ) -> std::result::Result<http::Response<ureq::Body>, ureq::Error> {
        let left = end.saturating_duration_since(Instant::now());
        let request = self.agent.configure_request(request?);
        self.agent.run(request.timeout_global(Some(left)).build())
    }
}

/// A body in several parts, which are read once and not copied together.
struct Parts<'a> {
    parts: Vec<&'a [u8]>,
    /// Bytes that nobody has read yet.
    left: u64,
}

impl Read for Parts<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
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

fn unanswered(e: &ureq::Error, masks: &Masks) -> Error {
    let rustls = match e {
        ureq::Error::Rustls(e) => Some(e),
        ureq::Error::Io(e) => e.get_ref().and_then(|inner| inner.downcast_ref()),
        _ => None,
    };
    if let Some(rustls::Error::InvalidCertificate(why)) = rustls {
        // Its names are whatever somebody has written into it.
        let why = masks.apply(&shown(why.to_string().as_bytes()));
        return Error::new(
            Fault::NeedsUser,
            format!("the certificate of Gmail's API (its proof of identity) is not trusted: {why}"),
        )
        .hint("is this machine's clock right? If it is, somebody intercepts the connection: where that is your own proxy, put its authority into the file of `target_ca_file`");
    }
    Error::connection(format!("no answer of Gmail's API: {}", words(e, masks)))
}

fn cut_short(status: u16, e: &ureq::Error, masks: &Masks) -> Error {
    Error::connection(format!(
        "the answer of Gmail's API (HTTP {status}) could not be read whole: {}",
        words(e, masks)
    ))
}

fn words(e: &ureq::Error, masks: &Masks) -> String {
    if let ureq::Error::Io(e) = e
        && e.kind() == io::ErrorKind::UnexpectedEof
    {
        // rustls sends people to a page for programmers.
        return "the connection was cut".into();
    }
    masks.apply(&shown(e.to_string().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_parts_is_read_as_one() {
        let mut body = Parts {
            parts: vec![b"ab", b"", b"cde"],
            left: 5,
        };
        let mut two = [0; 2];
        assert!(body.read(&mut two).is_ok_and(|n| n == 2) && body.left == 3);
        let mut rest = Vec::new();
        assert!(body.read_to_end(&mut rest).is_ok());
        assert_eq!((rest.as_slice(), body.left), (&b"cde"[..], 0));
    }

    #[test]
    fn names_in_a_certificate_are_bounded_and_show_no_secret() {
        let token = "ya29.a-token-that-nobody-sees";
        let why = rustls::CertificateError::NotValidForNameContext {
            expected: rustls::pki_types::ServerName::from(std::net::Ipv4Addr::LOCALHOST),
            presented: (0..1000).map(|n| format!("DnsName({n}-{token})")).collect(),
        };
        let error = ureq::Error::Rustls(rustls::Error::InvalidCertificate(why));
        let error = unanswered(&error, &Masks::new(token, b""));
        assert!(error.message.contains("is not trusted"), "{error}");
        assert!(error.message.contains("***") && error.message.len() < 1000);
        assert!(!error.message.contains("nobody"), "{error}");
    }
}
