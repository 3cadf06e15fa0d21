//! Signing in: AUTHENTICATE PLAIN, LOGIN, XOAUTH2 with and without SASL-IR, and the error challenge
//! answered; LOGIN where PLAIN is refused for nothing that it would not mend. Which refusal means
//! what is `refusal`'s affair.

use std::cell::Cell;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Heard, Login, Phase, capability_code, heard, judge, refusal};
use crate::config::{Endpoint, Intervals, Masks, Secret, Tls};
use crate::error::{Error, Fault, Result};
use crate::response::Untagged;
use crate::wire::{Answer, Wire};

/// Answers each challenge with the next of its responses, then with nothing: a refused XOAUTH2
/// token brings a challenge that wants an empty answer (docs/gmail.md 2.2).
struct Responses<'a> {
    first: Option<&'a [u8]>,
    given: Cell<bool>,
}

impl imap::Authenticator for Responses<'_> {
    type Response = Vec<u8>;

    fn process(&self, _challenge: &[u8]) -> Vec<u8> {
        match (self.first, self.given.replace(true)) {
            (Some(response), false) => response.to_vec(),
            _ => Vec::new(),
        }
    }
}

impl Login {
    /// What is sent to sign in by AUTHENTICATE (RFC 4616; docs/gmail.md 2.2).
    fn response(&self) -> Secret<String> {
        Secret::new(match self {
            Login::Password { user, password } => format!("\0{user}\0{}", password.reveal()),
            Login::Token { user, token } => {
                format!("user={user}\x01auth=Bearer {}\x01\x01", token.reveal())
            }
        })
    }

    /// What no server makes us show.
    pub(super) fn masks(&self) -> Masks {
        let (Login::Password {
            password: secret, ..
        }
        | Login::Token { token: secret, .. }) = self;
        Masks::new(secret.reveal(), self.response().reveal().as_bytes())
    }
}

pub(super) type SignedIn = (imap::Session<Wire>, Option<Vec<String>>);

pub(super) fn sign_in(
    client: imap::Client<Wire>,
    wire: &Wire,
    offered: &[String],
    login: &Login,
    times: &Intervals,
) -> Result<SignedIn> {
    let offers = |name: &str| offered.iter().any(|c| c == name);
    if offers("X-GM-EXT-1") {
        wire.known_as_gmail();
    }
    let with_response = offers("SASL-IR");
    let (mechanism, shown) = match login {
        Login::Token { .. } => ("XOAUTH2", "AUTHENTICATE XOAUTH2 (credentials)"),
        Login::Password { .. } if offers("AUTH=PLAIN") => {
            ("PLAIN", "AUTHENTICATE PLAIN (credentials)")
        }
        Login::Password { user, password } => {
            if offers("LOGINDISABLED") {
                return Err(no_password_here(
                    &wire.peer().endpoint,
                    offers("AUTH=XOAUTH2"),
                ));
            }
            return log_in(client, wire, user, password, times);
        }
    };
    wire.expect(times.command, 0);
    let (Login::Password { user, .. } | Login::Token { user, .. }) = login;
    wire.sign_in(user, shown);
    let response = login.response();
    let done = if with_response {
        let command = Secret::new(format!(
            "{mechanism} {}",
            STANDARD.encode(response.reveal())
        ));
        let nothing = Responses {
            first: None,
            given: Cell::new(false),
        };
        client.authenticate(command.reveal(), &nothing)
    } else {
        let once = Responses {
            first: Some(response.reveal().as_bytes()),
            given: Cell::new(false),
        };
        client.authenticate(mechanism, &once)
    };
    let answer = wire.take_answer();
    match (login, done) {
        // Exchange and others know PLAIN and do not let everybody in by it.
        (Login::Password { user, password }, Err((_, client)))
            if !offers("LOGINDISABLED") && login_may_do(wire, &answer) =>
        {
            let refusal = judge(wire, Phase::SignIn, answer).end;
            match (log_in(client, wire, user, password, times), refusal) {
                // It says less than the refusal before it.
                (Err(e), Err(refusal)) if !e.credentials_refused && refusal.credentials_refused => {
                    Err(refusal)
                }
                (end, _) => end,
            }
        }
        (Login::Token { .. }, done) => {
            finish_sign_in(wire, done, judge(wire, Phase::SignInByToken, answer))
        }
        (Login::Password { .. }, done) => {
            finish_sign_in(wire, done, judge(wire, Phase::SignIn, answer))
        }
    }
}

/// `token`: it takes one in place of a password.
fn no_password_here(endpoint: &Endpoint, token: bool) -> Error {
    let (called, origin) = (endpoint.called(), &endpoint.origin);
    let hint = match endpoint.tls {
        Tls::None => format!(
            "it takes one over an encrypted connection: {}",
            origin.set("tls", "\"starttls\"")
        ),
        Tls::StartTls | Tls::Implicit if token => format!(
            "it takes only a sign-in in a browser (OAuth): `{}` in {} names its token file, in place of `{}` (docs/microsoft.md)",
            origin.key("token_file"),
            origin.file(),
            origin.entry
        ),
        Tls::StartTls | Tls::Implicit => {
            "it offers no way in that this program knows: its operator must let AUTH=PLAIN or LOGIN in (over TLS)".into()
        }
    };
    Error::new(
        Fault::NeedsUser,
        format!("{called} takes no password on this connection"),
    )
    .hint(hint)
}

fn login_may_do(wire: &Wire, answer: &Answer) -> bool {
    let refused = answer.tagged.as_ref().filter(|_| answer.broken.is_none());
    refused.is_some_and(|s| refusal::login_may_do(&wire.words(&s.words)))
}

fn log_in(
    client: imap::Client<Wire>,
    wire: &Wire,
    user: &str,
    password: &Secret<String>,
    times: &Intervals,
) -> Result<SignedIn> {
    wire.expect(times.command, 0);
    wire.sign_in(user, "LOGIN (credentials)");
    let done = client.login(user, password.reveal());
    finish_sign_in(wire, done, heard(wire, Phase::SignIn))
}

fn finish_sign_in(
    wire: &Wire,
    done: std::result::Result<imap::Session<Wire>, (imap::Error, imap::Client<Wire>)>,
    heard: Heard,
) -> Result<SignedIn> {
    match done {
        Ok(imap) => {
            let pushed = heard
                .untagged
                .iter()
                .any(|u| matches!(u, Untagged::Capability(_)));
            let coded = heard
                .end
                .as_ref()
                .is_ok_and(|s| capability_code(s).is_some());
            let known = if pushed || coded {
                Some(heard.capabilities()?)
            } else {
                None
            };
            Ok((imap, known))
        }
        // Nothing was sent.
        Err((imap::Error::Validate(_), _)) => Err(Error::usage(
            "the user name or password holds characters that IMAP cannot carry",
        )),
        Err(_) => {
            heard.end?;
            Err(Error::connection(format!(
                "{} did not finish the sign-in",
                wire.name()
            )))
        }
    }
}
