//! The `imap` crate at the door: it quotes what LOGIN is given and keeps the turns of AUTHENTICATE, and is
//! done with when the server has answered.
//!
//! It speaks into a [`Sham`] of a stream. What it writes is handed to the connection; what it reads was written
//! for it: that the server wants to hear more, or whether it answered OK, NO or BAD. So its parser, which panics,
//! overflows its stack or loses its place on lines that real servers send, never meets a server's byte.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::Secret;
use crate::response::{Status, word};
use crate::wire::{Answer, Command, Connection, Tag};

/// How a sign-in ended.
pub(super) struct Ended {
    /// The crate is content with it.
    pub(super) well: bool,
    pub(super) answer: Answer,
}

/// AUTHENTICATE: the response goes with the command where `at_once` is set (SASL-IR, RFC 4959), else when it
/// is asked for.
pub(super) fn authenticate(
    connection: &mut Connection,
    limit: Duration,
    shown: &'static str,
    mechanism: &str,
    response: &[u8],
    at_once: bool,
) -> Ended {
    let mut sham = Sham::new(connection, limit, shown);
    let client = imap::Client::new(&mut sham);
    let done = if at_once {
        let response = STANDARD.encode(response);
        let command = Secret::new(format!("{mechanism} {response}"));
        client.authenticate(command.reveal(), &Responses::new(None))
    } else {
        client.authenticate(mechanism, &Responses::new(Some(response)))
    };
    let well = done.is_ok();
    drop(done);
    sham.ended(well)
}

/// LOGIN. None where it cannot carry what it is given: then nothing was said.
pub(super) fn login(
    connection: &mut Connection,
    limit: Duration,
    shown: &'static str,
    user: &str,
    password: &Secret<String>,
) -> Option<Ended> {
    let mut sham = Sham::new(connection, limit, shown);
    let done = imap::Client::new(&mut sham).login(user, password.reveal());
    if matches!(&done, Err((imap::Error::Validate(_), _))) {
        return None;
    }
    let well = done.is_ok();
    drop(done);
    Some(sham.ended(well))
}

/// Answers each challenge with the next of its responses, then with nothing: a refused XOAUTH2
/// token brings a challenge that wants an empty answer (docs/gmail.md 2.2).
struct Responses<'a> {
    first: Cell<Option<&'a [u8]>>,
}

impl<'a> Responses<'a> {
    fn new(first: Option<&'a [u8]>) -> Responses<'a> {
        Responses {
            first: Cell::new(first),
        }
    }
}

impl imap::Authenticator for Responses<'_> {
    type Response = Vec<u8>;

    fn process(&self, _challenge: &[u8]) -> Vec<u8> {
        self.first.take().unwrap_or_default().to_vec()
    }
}

/// What the crate takes for a connection to a server.
struct Sham<'a> {
    connection: &'a mut Connection,
    limit: Duration,
    shown: &'static str,
    /// What the crate has written and not yet flushed.
    written: Vec<u8>,
    /// What it is to read next.
    unread: io::Cursor<Vec<u8>>,
    /// The command that it said: by the connection's tag, and by its own.
    said: Option<(Tag, Vec<u8>)>,
    answer: Option<Answer>,
}

impl<'a> Sham<'a> {
    fn new(connection: &'a mut Connection, limit: Duration, shown: &'static str) -> Sham<'a> {
        Sham {
            connection,
            limit,
            shown,
            written: Vec::new(),
            unread: io::Cursor::default(),
            said: None,
            answer: None,
        }
    }

    /// What the server means, in the words that the crate knows. Nothing where it means nothing more.
    fn next_word(&mut self) -> Vec<u8> {
        let (None, Some((tag, own))) = (&self.answer, &self.said) else {
            return Vec::new();
        };
        if self.connection.asks(*tag) {
            return b"+ \r\n".to_vec();
        }
        let answer = self.connection.answer(*tag);
        let verdict = answer.tagged.as_ref().map(|answered| answered.status);
        self.answer = Some(answer);
        let verdict: &[u8] = match verdict {
            Some(Status::Ok) => b"OK",
            Some(Status::No) => b"NO",
            Some(_) => b"BAD",
            None => return Vec::new(),
        };
        [own, b" ".as_slice(), verdict, b" answered\r\n"].concat()
    }

    fn ended(self, well: bool) -> Ended {
        Ended {
            well,
            answer: self.answer.unwrap_or_default(),
        }
    }
}

impl Read for Sham<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.unread.position() == self.unread.get_ref().len() as u64 {
            self.unread = io::Cursor::new(self.next_word());
        }
        self.unread.read(buf)
    }
}

impl Write for Sham<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.written.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.written);
        if line.is_empty() {
            return Ok(());
        }
        if self.said.is_some() {
            self.connection.say(&line);
        } else {
            let (own, command) = word(line.trim_ascii_end());
            let command = Command::sign_in(command, self.limit, self.shown);
            self.said = Some((self.connection.begin(command), own.to_vec()));
        }
        Ok(())
    }
}
