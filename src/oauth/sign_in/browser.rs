//! The sign-in in a browser: the address to open, and the answer that comes back, by the browser
//! itself or pasted (RFC 8252, with PKCE of RFC 7636).
//!
//! Not for what is exchanged for the answer (`grant`) nor for what is said to the person (the caller).

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Read};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use oauth2::url::Url;
use oauth2::{CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope};

use super::client_file::Client;
use super::grant::Code;
use super::redirect::{self, Answer, Awaited, Heard, Page};
use crate::config::Secret;
use crate::error::{Error, Fault, Result};
use crate::oauth::provider::Provider;
use crate::oauth::refusal;
use crate::text::counted;

/// The most that is read of a pasted address. Terminals pass on lines of at most a quarter of this.
const LINE_MAX: u64 = 16 << 10;
const AGAIN: &str = "run the same command again";

/// A sign-in that waits for a person.
pub struct Consent {
    client: Client,
    url: String,
    listener: TcpListener,
    awaited: Awaited,
    verifier: PkceCodeVerifier,
}

impl Consent {
    /// Listens on 127.0.0.1, and makes the address to open.
    ///
    /// # Errors
    /// `Usage` when the port cannot be listened on.
    pub fn begin(client: &Client, port: Option<u16>, login_hint: Option<&str>) -> Result<Consent> {
        let port = match (client.redirect.port, port) {
            (Some(registered), Some(port)) if registered != port => {
                return Err(Error::usage(format!(
                    "`--port`: got {port}, but this client is registered for port {registered}"
                ))
                .hint("leave --port away"));
            }
            (registered, port) => registered.or(port),
        };
        let bound = redirect::bind(port).and_then(|l| Ok((l.local_addr()?.port(), l)));
        let (port, listener) = bound.map_err(|e| {
            let place = match port {
                Some(port) => format!("port {port} of 127.0.0.1"),
                None => "a port of 127.0.0.1".into(),
            };
            Error::usage(format!("{place} cannot be listened on: {e}"))
                .hint("another --port, or none, which takes one that is free")
        })?;
        let redirect_uri = client.redirect.uri(port);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let oauth = client.oauth()?.set_redirect_uri(
            RedirectUrl::new(redirect_uri.clone())
                .map_err(|e| Error::fatal(format!("{redirect_uri} is no address: {e}")))?,
        );
        let mut request = oauth
            .authorize_url(CsrfToken::new_random)
            .add_scopes(client.scopes.iter().cloned().map(Scope::new))
            .set_pkce_challenge(challenge);
        if client.provider == Provider::Google {
            // Without these, a second sign-in of the same account brings no refresh token
            // (docs/gmail.md 7.1).
            request = request
                .add_extra_param("access_type", "offline")
                .add_extra_param("prompt", "consent");
        }
        if let Some(user) = login_hint {
            request = request.add_extra_param("login_hint", user);
        }
        let (url, state) = request.url();
        Ok(Consent {
            client: client.clone(),
            url: url.into(),
            listener,
            awaited: Awaited {
                redirect_uri,
                state: Secret::new(state.into_secret()),
                over: AtomicBool::new(false),
            },
            verifier,
        })
    }

    /// The address for the browser.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the browser comes back to.
    pub fn redirect_uri(&self) -> &str {
        &self.awaited.redirect_uri
    }

    /// Waits until the browser comes back, or until a person pastes the address at which it ended as a line of
    /// `typed`. `tell` is told what went wrong without ending the wait.
    pub fn wait(
        self,
        typed: impl Read + Send + 'static,
        limit: Duration,
        tell: impl Fn(&str),
    ) -> (Result<Code>, Option<Page>) {
        let until = Instant::now() + limit;
        let awaited = Arc::new(self.awaited);
        let (sender, inbox) = channel();
        let (served, heard) = (Arc::clone(&awaited), sender.clone());
        // Both threads run until the process ends: a browser that comes back late is told that it is too late.
        thread::spawn(move || redirect::serve(&self.listener, served, heard));
        thread::spawn(move || read_lines(typed, &sender));
        let mut told = HashSet::new();
        let mut tell_once = |what: &'static str, words: &str| {
            if told.insert(what) {
                tell(words);
            }
        };
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let (answer, page) = match inbox.recv_timeout(left) {
                Ok(Heard::Answered(answer, page)) => (answer, page),
                Ok(Heard::Pasted(line)) => match pasted(&line, &awaited.state) {
                    Answer::None => {
                        tell(&format!(
                            "this is not the address at which the browser ended: expected one that begins with {} and has `code=` in it",
                            awaited.redirect_uri
                        ));
                        continue;
                    }
                    Answer::WrongState => {
                        tell(
                            "this address is the answer to another sign-in (its `state` is not ours): open the address above and paste where that one ends",
                        );
                        continue;
                    }
                    // The browser was faster: its answer is about to arrive.
                    _ if awaited.over.swap(true, Ordering::SeqCst) => continue,
                    answer => (answer, None),
                },
                Ok(Heard::WrongState) => {
                    tell_once(
                        "state",
                        "an answer to another sign-in came (its `state` is not ours) and was refused; still waiting",
                    );
                    continue;
                }
                Ok(Heard::WrongHost(host)) => {
                    tell_once(
                        "host",
                        &format!(
                            "a request for the host `{host}`, which is not ours, was refused; still waiting"
                        ),
                    );
                    continue;
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    awaited.over.store(true, Ordering::SeqCst);
                    return (Err(too_late(limit)), None);
                }
            };
            let code = match answer {
                Answer::Code(code) => Ok(Code {
                    code,
                    verifier: self.verifier,
                    redirect_uri: awaited.redirect_uri.clone(),
                }),
                Answer::Refused { error, description } => {
                    let sent = [
                        Secret::new(awaited.state.reveal().clone()),
                        Secret::new(self.verifier.secret().clone()),
                    ];
                    let sent = self.client.secrets(&sent);
                    let provider = self.client.provider;
                    Err(refusal::of_answer(&error, &description, sent, provider))
                }
                Answer::WrongState | Answer::None => continue,
            };
            return (code, page);
        }
    }
}

/// Reads a pasted address, with or without quotes around it.
fn pasted(line: &Secret<String>, state: &Secret<String>) -> Answer {
    let text = line.reveal().trim().trim_matches(['"', '\'', '<', '>']);
    match Url::parse(text) {
        Ok(url) => Answer::read(&url, state),
        Err(_) => Answer::None,
    }
}

fn read_lines(typed: impl Read, sender: &Sender<Heard>) {
    let mut typed = BufReader::new(typed);
    loop {
        let mut line = Vec::new();
        match (&mut typed).take(LINE_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = Secret::new(String::from_utf8_lossy(&line).into_owned());
        if !line.reveal().trim().is_empty() && sender.send(Heard::Pasted(line)).is_err() {
            return;
        }
    }
}

fn too_late(limit: Duration) -> Error {
    let time = match limit.as_secs() {
        s if s >= 60 => counted(s / 60, "minute"),
        s => format!("{s} s"),
    };
    Error::new(
        Fault::NeedsUser,
        format!("nobody has signed in within {time}"),
    )
    .hint(format!("{AGAIN} when you are at a browser"))
}
