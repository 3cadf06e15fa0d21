//! Who answers is not always the server that was meant: it may be one of another kind, or the right one
//! spoken to in the wrong way. Told from its first words, or from its silence.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::port;
use super::socket::Socket;
use super::tls;
use crate::config::{Endpoint, Masks, Tls};
use crate::error::{Error, Result, shown};
use crate::response::StatusText;
use crate::text::span;

/// How long the rest of a first line is waited for.
const REST: Duration = Duration::from_secs(1);
/// Of a first line no more is looked at.
const LINE_MAX: usize = 512;

/// Waits for the first word of a server that is to greet in clear. One that keeps silent may be waiting for
/// TLS: after `hush` that is tried, on a connection of its own. The first one is waited for all the while: a
/// busy server takes its time. Only when that is over it is asked too: some serve one after the other.
pub(super) fn await_greeting(
    socket: &mut Socket,
    endpoint: &Endpoint,
    hush: Duration,
) -> Result<()> {
    let begun = Instant::now();
    let deadline = socket.deadline;
    let heard = |socket: &mut Socket, until| {
        let mut first = [0];
        // An error is told to nobody: whoever reads next meets the end of the connection.
        !matches!(socket.overhear(&mut first, until), Ok(None))
    };
    if heard(socket, deadline.min(begun + hush)) {
        return Ok(());
    }
    if Instant::now() < deadline && another_speaks_tls(socket, endpoint, hush) {
        return Err(wants_tls(endpoint));
    }
    if heard(socket, deadline) {
        return Ok(());
    }
    let waited = begun.elapsed();
    socket.deadline = Instant::now() + REST;
    match speaks_tls(socket, endpoint) {
        Some(true) => Err(wants_tls(endpoint)),
        Some(false) | None => Err(silent(endpoint, waited)),
    }
}

/// The first line of an IMAP server (RFC 3501 7.1), or whose it is.
pub(super) fn read_greeting(line: &[u8], endpoint: &Endpoint, masks: &Masks) -> Result<StatusText> {
    line.strip_prefix(b"* ")
        .and_then(StatusText::parse)
        .ok_or_else(|| greets_otherwise(endpoint, line, masks))
}

/// Waits for the first bytes of a server that we have said TLS's hello to.
pub(super) fn await_tls(socket: &mut Socket, endpoint: &Endpoint, masks: &Masks) -> Result<()> {
    let begun = Instant::now();
    let deadline = socket.deadline;
    match socket.overhear(&mut [0], deadline) {
        Ok(Some([first])) if !is_tls(*first) => {
            let line = first_line(socket);
            Err(in_clear(endpoint, &line, masks))
        }
        Ok(None) => Err(silent(endpoint, begun.elapsed())),
        Ok(Some(_)) | Err(_) => Ok(()),
    }
}

/// Types of TLS records (RFC 8446 5.1).
fn is_tls(first: u8) -> bool {
    (20..=24).contains(&first)
}

fn first_line(socket: &mut Socket) -> Vec<u8> {
    socket.deadline = socket.deadline.min(Instant::now() + REST);
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < LINE_MAX {
        match socket.read(&mut byte) {
            Ok(1) if byte[0] != b'\n' => line.push(byte[0]),
            _ => break,
        }
    }
    line.strip_suffix(b"\r").unwrap_or(&line).to_vec()
}

/// Does the server answer TLS's hello on a new connection?
fn another_speaks_tls(socket: &Socket, endpoint: &Endpoint, patience: Duration) -> bool {
    let deadline = socket.deadline.min(Instant::now() + patience);
    let tried = || {
        let address = socket.tcp.peer_addr().ok()?;
        let left = deadline.checked_duration_since(Instant::now())?;
        let tcp = TcpStream::connect_timeout(&address, left).ok()?;
        speaks_tls(&mut Socket::new(tcp, deadline), endpoint)
    };
    tried().unwrap_or(false)
}

/// Does it answer TLS's hello?
fn speaks_tls(socket: &mut Socket, endpoint: &Endpoint) -> Option<bool> {
    socket.write_all(&tls::hello(endpoint)?).ok()?;
    let mut buf = [0; 2];
    let deadline = socket.deadline;
    let answer = socket.overhear(&mut buf, deadline).ok()??;
    // A handshake or an alert, of version 3.something.
    Some(matches!(answer, [21 | 22] | [21 | 22, 3]))
}

fn wants_tls(endpoint: &Endpoint) -> Error {
    let key = endpoint.origin.key("tls");
    let given = tls_name(endpoint.tls);
    Error::connection(format!(
        "{} encrypts from the start, and `{key}` is \"{given}\", which begins unencrypted",
        endpoint.called()
    ))
    .hint(format!(
        "{}, or delete that line: without it the connection is encrypted from the start",
        endpoint.origin.set("tls", "\"implicit\"")
    ))
}

fn tls_name(tls: Tls) -> &'static str {
    match tls {
        Tls::Implicit => "implicit",
        Tls::StartTls => "starttls",
        Tls::None => "none",
    }
}

/// It took the connection and said nothing.
pub(super) fn silent(endpoint: &Endpoint, waited: Duration) -> Error {
    let waited = span((waited.as_secs_f64().round() as u64).max(1));
    let origin = &endpoint.origin;
    Error::connection(format!(
        "{} does not answer as an IMAP server does (it said nothing for {waited})",
        endpoint.called()
    ))
    .hint(format!(
        "{}are `{}` ({}) and `{}` right in {}? If they are, the server may be too busy now: try again later (a `run` that goes on does so by itself)",
        port::notice(endpoint),
        origin.key("port"),
        port::usual(endpoint),
        origin.key("server"),
        origin.file()
    ))
}

/// It spoke first where we had begun TLS.
fn in_clear(endpoint: &Endpoint, line: &[u8], masks: &Masks) -> Error {
    let origin = &endpoint.origin;
    match kind(line) {
        Some(Kind::Imap) => {
            let other_port = match endpoint.port {
                993 => String::new(),
                _ => format!(
                    "; or use the port that is encrypted from the start: {}",
                    origin.set("port", "993")
                ),
            };
            Error::connection(format!(
                "{} begins unencrypted, and the configuration (`{}`) expects encryption from the start",
                endpoint.called(),
                origin.key("tls")
            ))
            .hint(format!(
                "let the encryption begin after the server's greeting: {}{other_port}",
                origin.set("tls", "\"starttls\"")
            ))
        }
        other => another(endpoint, other, &masks.apply(&shown(line))),
    }
}

/// Its greeting is none of IMAP.
fn greets_otherwise(endpoint: &Endpoint, line: &[u8], masks: &Masks) -> Error {
    let words = masks.apply(&shown(line));
    another(endpoint, kind(line), &words)
}

fn another(endpoint: &Endpoint, kind: Option<Kind>, words: &str) -> Error {
    let what = match kind {
        Some(kind) => format!("is {}, not an IMAP server (for reading mail)", kind.name()),
        None => "does not answer as an IMAP server does".into(),
    };
    Error::connection(format!(
        "{} {what}; the server said: {words}",
        endpoint.called()
    ))
    .hint(port::another(endpoint))
}

/// A server that greets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Imap,
    Smtp,
    Ftp,
    Pop,
    Ssh,
    Web,
    Sieve,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Imap => "an IMAP server",
            Kind::Smtp => "an SMTP server (for sending mail)",
            Kind::Ftp => "an FTP server (for files)",
            Kind::Pop => "a POP3 server (an older way of fetching mail)",
            Kind::Ssh => "an SSH server (for remote logins)",
            Kind::Web => "a web server",
            Kind::Sieve => "a ManageSieve server (for mail filters)",
        }
    }
}

fn kind(line: &[u8]) -> Option<Kind> {
    let lower = line.to_ascii_lowercase();
    let begins = |with: &str| lower.starts_with(with.as_bytes());
    let holds = |part: &str| lower.windows(part.len()).any(|w| w == part.as_bytes());
    Some(match () {
        () if begins("* ok") || begins("* preauth") || begins("* bye") => Kind::Imap,
        () if begins("220") && holds("ftp") => Kind::Ftp,
        () if ["220", "421", "554"].iter().any(|code| begins(code)) => Kind::Smtp,
        () if begins("+ok") || begins("-err") => Kind::Pop,
        () if begins("ssh-") => Kind::Ssh,
        () if begins("http/") || begins("<html") || begins("<!doctype") => Kind::Web,
        () if begins("\"implementation\"") => Kind::Sieve,
        () => return None,
    })
}
