//! Signing in: AUTHENTICATE PLAIN, LOGIN, XOAUTH2 with and without SASL-IR, and the error challenge
//! answered; LOGIN where PLAIN is refused for nothing that it would not mend. Which refusal means
//! what is `refusal`'s affair.

use std::time::Duration;

use super::exchange::{Heard, capability_code, judge};
use super::{Login, Phase, refusal};
use crate::config::{Endpoint, Masks, Secret, Tls};
use crate::error::{Error, Fault, Result};
use crate::response::Untagged;
use crate::wire::{Answer, Connection};

mod sham;

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

/// Signs in, and returns what the server then said unasked that it offers.
pub(super) fn sign_in(
    connection: &mut Connection,
    offered: &[String],
    login: &Login,
    limit: Duration,
) -> Result<Option<Vec<String>>> {
    let offers = |name: &str| offered.iter().any(|c| c == name);
    if offers("X-GM-EXT-1") {
        connection.known_as_gmail();
    }
    let (Login::Password { user, .. } | Login::Token { user, .. }) = login;
    connection.signs_in(user);
    let (mechanism, shown) = match login {
        Login::Token { .. } => ("XOAUTH2", "AUTHENTICATE XOAUTH2 (credentials)"),
        Login::Password { .. } if offers("AUTH=PLAIN") => {
            ("PLAIN", "AUTHENTICATE PLAIN (credentials)")
        }
        Login::Password { user, password } => {
            if offers("LOGINDISABLED") {
                return Err(no_password_here(
                    &connection.peer().endpoint,
                    offers("AUTH=XOAUTH2"),
                ));
            }
            return log_in(connection, user, password, limit);
        }
    };
    let sham::Ended { well, answer } = sham::authenticate(
        connection,
        limit,
        shown,
        mechanism,
        login.response().reveal().as_bytes(),
        offers("SASL-IR"),
    );
    match login {
        // Exchange and others know PLAIN and do not let everybody in by it.
        Login::Password { user, password }
            if !well && !offers("LOGINDISABLED") && login_may_do(connection, &answer) =>
        {
            let refusal = judge(connection, Phase::SignIn, answer).end;
            match (log_in(connection, user, password, limit), refusal) {
                // It says less than the refusal before it.
                (Err(e), Err(refusal)) if !e.credentials_refused && refusal.credentials_refused => {
                    Err(refusal)
                }
                (end, _) => end,
            }
        }
        Login::Token { .. } => {
            let heard = judge(connection, Phase::SignInByToken, answer);
            finish_sign_in(connection, well, heard)
        }
        Login::Password { .. } => {
            let heard = judge(connection, Phase::SignIn, answer);
            finish_sign_in(connection, well, heard)
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

fn login_may_do(connection: &Connection, answer: &Answer) -> bool {
    let refused = answer.tagged.as_ref().filter(|_| answer.broken.is_none());
    refused.is_some_and(|s| refusal::login_may_do(&connection.words(&s.words)))
}

fn log_in(
    connection: &mut Connection,
    user: &str,
    password: &Secret<String>,
    limit: Duration,
) -> Result<Option<Vec<String>>> {
    let shown = "LOGIN (credentials)";
    let Some(ended) = sham::login(connection, limit, shown, user, password) else {
        return Err(Error::usage(
            "the user name or password holds characters that IMAP cannot carry",
        ));
    };
    let heard = judge(connection, Phase::SignIn, ended.answer);
    finish_sign_in(connection, ended.well, heard)
}

fn finish_sign_in(
    connection: &Connection,
    well: bool,
    heard: Heard,
) -> Result<Option<Vec<String>>> {
    if !well {
        heard.end?;
        return Err(Error::connection(format!(
            "{} did not finish the sign-in",
            connection.name()
        )));
    }
    let pushed = heard
        .untagged
        .iter()
        .any(|u| matches!(u, Untagged::Capability(_)));
    let coded = heard
        .end
        .as_ref()
        .is_ok_and(|s| capability_code(s).is_some());
    if pushed || coded {
        Ok(Some(heard.capabilities()?))
    } else {
        Ok(None)
    }
}
