//! What a person does in a browser: the consent page and its redirect (docs/gmail.md 7.1), the page for a device's code, and
//! the codes that come of them until they are exchanged.
//!
//! A page is plain HTML whose links are the buttons: `/consent?ticket=...&answer=allow`.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest as _, Sha256};

use crate::oauth::{Response, pairs};
use crate::server::Shared;
use crate::tokens::CLIENT_ID;

/// How long a code is good; Google does not say, RFC 6749 4.1.2 wants ten minutes at most.
const CODE_LIFE: TimeDelta = TimeDelta::minutes(10);
const DEVICE_LIFE: TimeDelta = TimeDelta::minutes(15);

/// What the consent page does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsentPage {
    /// It asks, and its links answer.
    Asks,
    /// It sends the browser on at once, as if the person had agreed.
    Agrees,
}

/// All that waits for a person or for an exchange.
#[derive(Debug, Default)]
pub(crate) struct Consents {
    asked: Vec<Asked>,
    codes: Vec<Code>,
    devices: Vec<Device>,
    serial: u64,
}

/// An authorization request whose page is open.
#[derive(Debug, Clone)]
struct Asked {
    ticket: String,
    redirect_uri: String,
    state: Option<String>,
    challenge: Option<String>,
    scope: String,
}

#[derive(Debug)]
struct Code {
    code: String,
    account: String,
    asked: Asked,
    at: DateTime<Utc>,
    used: bool,
}

#[derive(Debug)]
struct Device {
    code: String,
    user_code: String,
    scope: String,
    at: DateTime<Utc>,
    asked_at: Option<Instant>,
    answer: Option<bool>,
}

/// A code that was exchanged as it should be.
pub(crate) struct Agreed {
    pub(crate) account: String,
    pub(crate) scope: String,
}

impl Consents {
    fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// `Err` holds the description of an `invalid_grant`.
    pub(crate) fn exchange(
        &mut self,
        code: &str,
        redirect_uri: &str,
        verifier: &str,
        now: DateTime<Utc>,
    ) -> Result<Agreed, &'static str> {
        let known = self.codes.iter_mut().find(|c| c.code == code);
        let known = known.ok_or("Malformed auth code.")?;
        if std::mem::replace(&mut known.used, true) || now - known.at > CODE_LIFE {
            return Err("Bad Request");
        }
        if known.asked.redirect_uri != redirect_uri {
            return Err("redirect_uri does not match");
        }
        match &known.asked.challenge {
            Some(_) if verifier.is_empty() => return Err("Missing code verifier."),
            Some(challenge) if *challenge != challenge_of(verifier) => {
                return Err("Invalid code verifier.");
            }
            _ => {}
        }
        Ok(Agreed {
            account: known.account.clone(),
            scope: known.asked.scope.clone(),
        })
    }

    /// What a device hears that asks for its token; `Err` is the name of the error (RFC 8628 3.5).
    pub(crate) fn poll(
        &mut self,
        code: &str,
        account: &str,
        interval: Duration,
        now: DateTime<Utc>,
    ) -> Result<Agreed, &'static str> {
        let device = self.devices.iter_mut().find(|d| d.code == code);
        let device = device.ok_or("bad_verification_code")?;
        if now - device.at > DEVICE_LIFE {
            return Err("expired_token");
        }
        // Some slack: two clocks measure here.
        let early = |at: Instant| at.elapsed() + Duration::from_millis(200) < interval;
        if device.asked_at.replace(Instant::now()).is_some_and(early) {
            return Err("slow_down");
        }
        match device.answer {
            None => Err("authorization_pending"),
            // Microsoft's name for it.
            Some(false) => Err("authorization_declined"),
            Some(true) => Ok(Agreed {
                account: account.to_string(),
                scope: device.scope.clone(),
            }),
        }
    }
}

fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

/// The answer to a GET of one of a person's pages.
pub(crate) fn page(shared: &Shared, path: &str, query: &str) -> Response {
    let fields = pairs(query);
    let field = |name: &str| {
        let (_, value) = fields.iter().find(|(n, _)| n == name)?;
        Some(value.as_str())
    };
    let text = |name: &str| field(name).unwrap_or_default().to_string();
    match path {
        "/auth" => asked(shared, &field, &text),
        "/consent" => {
            let account = field("account").unwrap_or(&shared.options.account);
            answered(shared, &text("ticket"), &text("answer"), account)
        }
        _ => device_page(shared, &text("user_code"), &text("answer")),
    }
}

fn asked<'a>(
    shared: &Shared,
    field: &impl Fn(&str) -> Option<&'a str>,
    text: &impl Fn(&str) -> String,
) -> Response {
    let wrong = |error: &str| Response::page(400, &format!("<h1>Error 400: {error}</h1>"));
    let (wanted, page) = {
        let knobs = shared.knobs.lock().unwrap();
        (knobs.scope.clone(), knobs.consent_page)
    };
    if text("client_id") != CLIENT_ID {
        return wrong("invalid_client: The OAuth client was not found.");
    }
    let redirect_uri = text("redirect_uri");
    let loopback = ["http://127.0.0.1:", "http://localhost:"];
    if !loopback.iter().any(|l| redirect_uri.starts_with(l)) {
        return wrong("redirect_uri_mismatch");
    }
    if text("response_type") != "code" {
        return wrong("invalid_request: response_type");
    }
    if !text("scope").split(' ').any(|s| s == wanted) {
        return wrong("invalid_scope");
    }
    let challenge = field("code_challenge").map(str::to_string);
    if challenge.is_some() && field("code_challenge_method") != Some("S256") {
        return wrong("invalid_request: code_challenge_method");
    }
    let ticket = {
        let mut consents = shared.consents.lock().unwrap();
        let ticket = format!("ticket-{:04}", consents.serial());
        consents.asked.push(Asked {
            ticket: ticket.clone(),
            redirect_uri,
            state: field("state").map(str::to_string),
            challenge,
            scope: text("scope"),
        });
        ticket
    };
    let account = field("login_hint").unwrap_or(&shared.options.account);
    match page {
        ConsentPage::Agrees => answered(shared, &ticket, "allow", &shared.options.account),
        ConsentPage::Asks => Response::page(
            200,
            &format!(
                "<h1>imap-to-gmail wants access to {account}</h1>\n<a href=\"/consent?ticket={ticket}&answer=allow\">Allow</a>\n\
                 <a href=\"/consent?ticket={ticket}&answer=deny\">Deny</a>"
            ),
        ),
    }
}

fn answered(shared: &Shared, ticket: &str, answer: &str, account: &str) -> Response {
    let now = shared.clock.now();
    let mut consents = shared.consents.lock().unwrap();
    let asked = consents.asked.iter().find(|a| a.ticket == ticket).cloned();
    let Some(asked) = asked else {
        return Response::page(400, "<h1>Error 400: the page has expired</h1>");
    };
    let mut location = asked.redirect_uri.clone();
    if !location["http://".len()..].contains('/') {
        location.push('/');
    }
    location.push('?');
    if let Some(state) = &asked.state {
        location.push_str(&format!("state={state}&"));
    }
    if answer == "allow" {
        // With a slash, as Google's.
        let code = format!("4/0stand-in-code-{:06}", consents.serial());
        location.push_str(&format!("code={}", code.replace('/', "%2F")));
        location.push_str(&format!("&scope={}", asked.scope.replace(' ', "%20")));
        consents.codes.push(Code {
            code,
            account: account.to_string(),
            asked,
            at: now,
            used: false,
        });
    } else {
        location.push_str("error=access_denied");
    }
    Response {
        status: 302,
        headers: vec![("Location", location)],
        body: String::new(),
    }
}

/// A device asks for a code.
pub(crate) fn device(shared: &Shared, scope: &str) -> serde_json::Value {
    let (now, interval) = {
        let knobs = shared.knobs.lock().unwrap();
        (shared.clock.now(), knobs.device_interval)
    };
    let mut consents = shared.consents.lock().unwrap();
    let serial = consents.serial();
    let (code, user_code) = (
        format!("device-code-{serial:06}"),
        format!("STND-{serial:04}"),
    );
    let reply = serde_json::json!({
        "device_code": code,
        "user_code": user_code,
        "verification_uri": "https://microsoft.com/devicelogin",
        "expires_in": DEVICE_LIFE.num_seconds(),
        "interval": interval.as_secs(),
        "message": format!("To sign in, use a web browser to open the page https://microsoft.com/devicelogin and enter the code {user_code} to authenticate."),
    });
    consents.devices.push(Device {
        code,
        user_code,
        scope: scope.to_string(),
        at: now,
        asked_at: None,
        answer: None,
    });
    reply
}

fn device_page(shared: &Shared, user_code: &str, answer: &str) -> Response {
    let mut consents = shared.consents.lock().unwrap();
    let device = consents
        .devices
        .iter_mut()
        .find(|d| d.user_code == user_code);
    match device {
        None => Response::page(404, "<h1>That code didn't work</h1>"),
        Some(device) => {
            device.answer = Some(answer == "allow");
            Response::page(200, "<h1>You may close this window</h1>")
        }
    }
}
