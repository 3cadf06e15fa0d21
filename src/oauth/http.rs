//! One exchange with a provider: where secrets may be sent, how much of a reply is read, and what in it counts as
//! a token. Not for what a reply means: that is for `refusal`, `renew` and `sign_in`.

use std::cell::Cell;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use oauth2::{HttpRequest, HttpResponse, TokenUrl};
use serde_json::Value;
use ureq::tls::RootCerts;

use crate::http::{self, Limits};

/// At most so much of a reply is read; a token endpoint's has some hundred bytes.
const REPLY_MAX: u64 = 64 << 10;

/// One endpoint's HTTP, and the status of its last answer.
pub(super) struct Http {
    agent: ureq::Agent,
    status: Cell<u16>,
    ahead: Cell<Option<TimeDelta>>,
}

impl Http {
    pub(super) fn new(limit: Duration) -> Http {
        let limits = Limits {
            whole: Some(limit),
            ..Limits::default()
        };
        Http {
            agent: http::agent(limits, RootCerts::WebPki, true),
            status: Cell::new(0),
            ahead: Cell::new(None),
        }
    }

    /// The HTTP status of the last answer; 0: there was none.
    pub(super) fn status(&self) -> u16 {
        self.status.get()
    }

    /// How far the endpoint's clock was ahead of ours at its last answer, where it told its time.
    pub(super) fn ahead(&self) -> Option<TimeDelta> {
        self.ahead.get()
    }

    pub(super) fn send(&self, request: HttpRequest) -> Result<HttpResponse, ureq::Error> {
        self.status.set(0);
        let (parts, mut body) = self.agent.run(request)?.into_parts();
        self.status.set(parts.status.as_u16());
        let said = parts.headers.get("date").and_then(|d| d.to_str().ok());
        let said = said.and_then(|d| DateTime::parse_from_rfc2822(d).ok());
        self.ahead.set(said.map(|t| t.to_utc() - Utc::now()));
        let body = body.with_config().limit(REPLY_MAX).read_to_vec()?;
        Ok(HttpResponse::from_parts(parts, with_numbers(body)))
    }
}

/// RFC 6749 wants a number for the life of a token; Microsoft's older endpoint puts it into quotation marks.
fn with_numbers(body: Vec<u8>) -> Vec<u8> {
    let Ok(Value::Object(mut reply)) = serde_json::from_slice(&body) else {
        return body;
    };
    let life = reply.get("expires_in").and_then(Value::as_str);
    match life.and_then(|text| text.trim().parse::<u64>().ok()) {
        Some(life) => {
            reply.insert("expires_in".into(), life.into());
            Value::Object(reply).to_string().into_bytes()
        }
        None => body,
    }
}

/// May secrets be sent there?
pub(super) fn is_safe(url: &TokenUrl) -> bool {
    let url = url.url();
    http::is_safe(url.scheme(), url.host_str().unwrap_or_default())
}

/// Can it stand in a SASL response (RFC 6750 2.1)?
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_over_https_or_stay_on_this_machine() {
        let safe = |u: &str| TokenUrl::new(u.into()).is_ok_and(|u| is_safe(&u));
        assert!(safe("https://oauth2.googleapis.com/token"));
        assert!(
            safe("http://127.0.0.1:8080/token")
                && safe("http://[::1]/t")
                && safe("http://localhost/t")
        );
        assert!(
            !safe("http://example.org/token")
                && !safe("ftp://127.0.0.1/")
                && !safe("file:///etc/passwd")
        );
        assert!(!safe("http://localhost.example.org/"));
    }
}
