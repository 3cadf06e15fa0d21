//! A minimal IMAP client, to look into a mailbox from outside and to put mail there: plain TCP, LOGIN, one command at
//! a time, literals. It knows nothing of TLS, pipelining, IDLE or servers other than Dovecot, and panics rather than
//! recover: it serves tests only, and shares no code with the program.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use chrono::DateTime;

/// Begins the tag of every command of this client, so that its traffic can be told from that of the program.
pub(crate) const TAG: &str = "fixture";

const PATIENCE: Duration = Duration::from_secs(60);
const DATE_FORMAT: &str = "%d-%b-%Y %H:%M:%S %z";

/// A connection. Dropping it logs out and waits until the server has closed the session.
#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    tags: u32,
}

/// What a command brought: the untagged responses, and the tagged line without its tag ("OK [APPENDUID 1 2] done").
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) untagged: Vec<Response>,
    pub(crate) status: String,
}

/// One response, literals and all, without the line end that closes it.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) raw: Vec<u8>,
}

/// An item of a FETCH response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Nil,
    Atom(String),
    Text(Vec<u8>),
    List(Vec<Value>),
}

impl Client {
    /// Connects to 127.0.0.1 and reads the greeting.
    pub(crate) fn connect(port: u16) -> io::Result<Client> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        let mut client = Client {
            stream: BufReader::new(socket),
            tags: 0,
        };
        client.read_response()?;
        Ok(client)
    }

    /// Connects and logs in, or panics with what the server said.
    pub(crate) fn login(port: u16, user: &str, pass: &str) -> Client {
        let mut client = Client::connect(port).unwrap();
        client.command(&format!("LOGIN {} {}", quoted(user), quoted(pass)));
        client
    }

    /// Sends a command that has to succeed; panics unless the answer is OK. Returns the untagged responses.
    pub(crate) fn command(&mut self, command: &str) -> Vec<Response> {
        let reply = self
            .attempt(command)
            .unwrap_or_else(|error| panic!("{command}: {error}"));
        assert!(reply.is_ok(), "{command}: {}", reply.status);
        reply.untagged
    }

    /// Sends a command and returns whatever comes back. A continuation request that nobody expects is answered with
    /// an empty line, which is what a refused XOAUTH2 wants.
    pub(crate) fn attempt(&mut self, command: &str) -> io::Result<Reply> {
        let tag = self.send(command)?;
        self.read_reply(&tag, b"")
    }

    /// Appends a message with these flags (`\Seen $Forwarded`) and this INTERNALDATE (unix time).
    pub(crate) fn append(
        &mut self,
        mailbox: &str,
        bytes: &[u8],
        flags: &str,
        internal_date: i64,
    ) -> io::Result<Reply> {
        let date = DateTime::from_timestamp(internal_date, 0)
            .unwrap()
            .format(DATE_FORMAT);
        let mailbox = quoted(mailbox);
        let tag = self.send(&format!(
            "APPEND {mailbox} ({flags}) \"{date}\" {{{}}}",
            bytes.len()
        ))?;
        self.read_reply(&tag, bytes)
    }

    fn send(&mut self, command: &str) -> io::Result<String> {
        self.tags += 1;
        let tag = format!("{TAG}{}", self.tags);
        self.stream
            .get_mut()
            .write_all(format!("{tag} {command}\r\n").as_bytes())?;
        Ok(tag)
    }

    /// Reads up to the tagged line; each continuation request is answered with `continuation` and a line end.
    fn read_reply(&mut self, tag: &str, continuation: &[u8]) -> io::Result<Reply> {
        let mut untagged = Vec::new();
        loop {
            let response = self.read_response()?;
            if response.raw.starts_with(b"+") {
                self.stream
                    .get_mut()
                    .write_all(&[continuation, b"\r\n"].concat())?;
            } else if response.raw.starts_with(b"* ") {
                untagged.push(response);
            } else {
                let line = response.line();
                let status = line
                    .strip_prefix(tag)
                    .unwrap_or_else(|| panic!("not the answer to {tag}: {line}"));
                return Ok(Reply {
                    untagged,
                    status: status.trim().to_owned(),
                });
            }
        }
    }

    fn read_response(&mut self) -> io::Result<Response> {
        let mut raw = Vec::new();
        loop {
            let line_start = raw.len();
            self.stream.read_until(b'\n', &mut raw)?;
            if !raw.ends_with(b"\n") {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the server closed the connection",
                ));
            }
            let Some(size) = literal_size(&raw[line_start..]) else {
                break;
            };
            let literal_start = raw.len();
            raw.resize(literal_start + size, 0);
            self.stream.read_exact(&mut raw[literal_start..])?;
        }
        let end = raw.strip_suffix(b"\r\n").map_or(raw.len() - 1, <[u8]>::len);
        raw.truncate(end);
        Ok(Response { raw })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.send("LOGOUT").is_ok() {
            let _ = self
                .stream
                .get_ref()
                .set_read_timeout(Some(Duration::from_secs(5)));
            let _ = io::copy(&mut self.stream, &mut io::sink());
        }
    }
}

impl Reply {
    /// Whether the command succeeded.
    pub(crate) fn is_ok(&self) -> bool {
        self.status.starts_with("OK")
    }

    /// The UID of the message appended, when the server told it.
    pub(crate) fn append_uid(&self) -> Option<u32> {
        let (_, rest) = self.status.split_once("[APPENDUID ")?;
        let (numbers, _) = rest.split_once(']')?;
        numbers.split_once(' ')?.1.parse().ok()
    }
}

impl Response {
    /// The response as text, for matching and messages.
    pub(crate) fn line(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }

    /// The number that follows `name`, as in `* OK [UIDVALIDITY 12] ...` or `* STATUS INBOX (UIDVALIDITY 12)`.
    pub(crate) fn number_after(&self, name: &str) -> Option<u32> {
        let line = self.line();
        let (_, rest) = line.split_once(&format!("{name} "))?;
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    }

    /// The items of a FETCH response by name, as the server spelled it; None for any other response.
    pub(crate) fn fetch_items(&self) -> Option<HashMap<String, Value>> {
        let mut words = self.raw.splitn(4, |&byte| byte == b' ').skip(2);
        if words.next()? != b"FETCH" {
            return None;
        }
        let Value::List(items) = Parser {
            rest: words.next()?,
        }
        .value() else {
            panic!("not a list: {}", self.line())
        };
        Some(
            items
                .chunks(2)
                .map(|pair| (pair[0].text(), pair[1].clone()))
                .collect(),
        )
    }
}

impl Value {
    /// The bytes of a string or an atom; none for NIL.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Value::Nil => Vec::new(),
            Value::Atom(atom) => atom.clone().into_bytes(),
            Value::Text(bytes) => bytes.clone(),
            Value::List(_) => panic!("a list where a string belongs: {self:?}"),
        }
    }

    /// The same as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// The elements of a list, as text.
    pub(crate) fn texts(&self) -> Vec<String> {
        let Value::List(values) = self else {
            panic!("not a list: {self:?}")
        };
        values.iter().map(Value::text).collect()
    }
}

/// Reads the values of a FETCH response from the front of `rest`.
struct Parser<'a> {
    rest: &'a [u8],
}

impl Parser<'_> {
    fn value(&mut self) -> Value {
        match self.rest.first() {
            Some(b'(') => self.list(),
            Some(b'"') => Value::Text(self.quoted()),
            Some(b'{') => Value::Text(self.literal()),
            _ => self.atom(),
        }
    }

    fn list(&mut self) -> Value {
        let mut values = Vec::new();
        self.rest = &self.rest[1..];
        loop {
            match self.rest.first().expect("a list without end") {
                b')' => break,
                b' ' => self.rest = &self.rest[1..],
                _ => values.push(self.value()),
            }
        }
        self.rest = &self.rest[1..];
        Value::List(values)
    }

    fn quoted(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut at = 1;
        while self.rest[at] != b'"' {
            at += usize::from(self.rest[at] == b'\\');
            bytes.push(self.rest[at]);
            at += 1;
        }
        self.rest = &self.rest[at + 1..];
        bytes
    }

    fn literal(&mut self) -> Vec<u8> {
        let line_end = self.rest.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        let size = literal_size(&self.rest[..line_end]).unwrap();
        let bytes = self.rest[line_end..line_end + size].to_vec();
        self.rest = &self.rest[line_end + size..];
        bytes
    }

    /// An atom; a section such as `BODY[HEADER.FIELDS (DATE)]` belongs to it, blanks and all.
    fn atom(&mut self) -> Value {
        let mut in_section = false;
        let end = self.rest.iter().position(|&byte| {
            in_section = byte == b'[' || (in_section && byte != b']');
            !in_section && (byte == b' ' || byte == b')')
        });
        let (atom, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        let atom = String::from_utf8_lossy(atom).into_owned();
        if atom == "NIL" {
            Value::Nil
        } else {
            Value::Atom(atom)
        }
    }
}

/// The size of the literal that a line announces at its end: `{12}`, `{12+}` or `{12-}` before the line end.
pub(crate) fn literal_size(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"\n")?;
    let line = line
        .strip_suffix(b"\r")
        .unwrap_or(line)
        .strip_suffix(b"}")?;
    let open = line.iter().rposition(|&byte| byte == b'{')?;
    let size = std::str::from_utf8(&line[open + 1..]).ok()?;
    size.trim_end_matches(['+', '-']).parse().ok()
}

/// A mailbox name or password as a quoted string.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A level of a mailbox's name in modified UTF-7 (RFC 3501 5.1.3).
pub(crate) fn utf7(name: &str) -> String {
    let mut out = String::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        if (' '..='~').contains(&first) {
            out.push(first);
            if first == '&' {
                out.push('-');
            }
            rest = &rest[1..];
            continue;
        }
        let end = rest
            .find(|c| (' '..='~').contains(&c))
            .unwrap_or(rest.len());
        let units = rest[..end].encode_utf16();
        let bytes: Vec<u8> = units.flat_map(u16::to_be_bytes).collect();
        // Its alphabet has a comma where that of base64 has a slash.
        let coded = BASE64_STANDARD_NO_PAD.encode(bytes).replace('/', ",");
        out += &format!("&{coded}-");
        rest = &rest[end..];
    }
    out
}

/// The unix time of an INTERNALDATE such as ` 1-Jan-2024 00:00:00 +0000`.
pub(crate) fn unix_time(internal_date: &str) -> i64 {
    let date = DateTime::parse_from_str(internal_date.trim(), DATE_FORMAT);
    date.unwrap_or_else(|error| panic!("INTERNALDATE {internal_date}: {error}"))
        .timestamp()
}
