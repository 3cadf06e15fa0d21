//! An IMAP client that knows only servers that do as they are told: it fills and reads mailboxes, and is what the floor
//! speaks with. It shares no code with the program.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use chrono::DateTime;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::mail::{Content, Mail};

/// APPENDs that are not answered yet, while a mailbox is filled.
const UNANSWERED_MAX: usize = 32;

pub(crate) type Trust = Option<Arc<ClientConfig>>;

pub(crate) struct Client {
    stream: Stream,
    buffer: Vec<u8>,
    at: usize,
    piece: Vec<u8>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A message as a FETCH brings it.
pub(crate) struct Fetched {
    pub(crate) flags: String,
    pub(crate) date: String,
    pub(crate) bytes: Vec<u8>,
}

/// TLS with servers whose certificates are signed by this one.
pub(crate) fn trust(ca_file: &str) -> Trust {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(ca_file).unwrap();
    roots.add(authority).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots);
    Some(Arc::new(config.with_no_client_auth()))
}

impl Client {
    /// Connects and signs in.
    pub(crate) fn open(port: u16, trust: &Trust, user: &str, password: &str) -> Client {
        let tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
        tcp.set_nodelay(true).unwrap();
        let stream = match trust {
            None => Stream::Plain(tcp),
            Some(config) => {
                let name = ServerName::try_from("localhost").unwrap();
                let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
                Stream::Tls(Box::new(StreamOwned::new(connection, tcp)))
            }
        };
        let mut client = Client {
            stream,
            buffer: Vec::new(),
            at: 0,
            piece: vec![0; 64 << 10],
        };
        client.line();
        client.send(format!("l LOGIN \"{user}\" \"{password}\"\r\n").as_bytes());
        client.until("l");
        client
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        match &mut self.stream {
            Stream::Plain(tcp) => tcp.write_all(bytes).unwrap(),
            Stream::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()).unwrap(),
        }
    }

    /// The untagged lines up to the answer, which must be OK.
    pub(crate) fn until(&mut self, tag: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            if let Some(answer) = line.strip_prefix(tag).and_then(|l| l.strip_prefix(' ')) {
                assert!(answer.starts_with("OK"), "{line}");
                return lines;
            }
            lines.push(line);
        }
    }

    pub(crate) fn line(&mut self) -> String {
        let mut looked = self.at;
        loop {
            if let Some(len) = memchr::memchr(b'\n', &self.buffer[looked..]) {
                let end = looked + len;
                let line = String::from_utf8_lossy(&self.buffer[self.at..end]);
                let line = line.trim_end().to_string();
                self.at = end + 1;
                return line;
            }
            let seen = self.buffer.len() - self.at;
            assert!(self.fill(), "the server hung up");
            looked = self.at + seen;
        }
    }

    fn literal(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            if self.at == self.buffer.len() {
                assert!(self.fill(), "the server hung up");
            }
            let n = (self.buffer.len() - self.at).min(len - bytes.len());
            bytes.extend_from_slice(&self.buffer[self.at..self.at + n]);
            self.at += n;
        }
        bytes
    }

    /// Waits for more. False when there is no more.
    fn fill(&mut self) -> bool {
        self.buffer.drain(..self.at);
        self.at = 0;
        let n = match &mut self.stream {
            Stream::Plain(tcp) => tcp.read(&mut self.piece),
            Stream::Tls(tls) => tls.read(&mut self.piece),
        };
        match n {
            Ok(n) => {
                self.buffer.extend_from_slice(&self.piece[..n]);
                n > 0
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => false,
            Err(e) => panic!("{e}"),
        }
    }

    /// The lines that are there already.
    pub(crate) fn lines_so_far(&mut self) -> Vec<String> {
        self.tcp().set_nonblocking(true).unwrap();
        while self.fill() {}
        self.tcp().set_nonblocking(false).unwrap();
        let mut lines = Vec::new();
        while self.buffer[self.at..].contains(&b'\n') {
            lines.push(self.line());
        }
        lines
    }

    fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => &tls.sock,
        }
    }

    /// How many messages INBOX holds, which is opened.
    pub(crate) fn examine(&mut self) -> usize {
        self.send(b"e EXAMINE INBOX\r\n");
        let lines = self.until("e");
        let exists = |l: &String| l.strip_prefix("* ")?.strip_suffix(" EXISTS")?.parse().ok();
        lines.iter().find_map(exists).unwrap()
    }

    /// How many messages INBOX holds, which is not opened.
    pub(crate) fn count(&mut self) -> usize {
        self.send(b"s STATUS INBOX (MESSAGES)\r\n");
        let lines = self.until("s").concat();
        let number = lines.split_once("MESSAGES ").unwrap().1;
        number.trim_end_matches(')').parse().unwrap()
    }

    /// Asks for all of these messages.
    pub(crate) fn begin_fetch(&mut self, first: usize, last: usize) {
        let command = format!("f FETCH {first}:{last} (FLAGS INTERNALDATE BODY.PEEK[])\r\n");
        self.send(command.as_bytes());
    }

    /// The next one that was asked for.
    pub(crate) fn fetched(&mut self) -> Option<Fetched> {
        loop {
            let line = self.line();
            if let Some(answer) = line.strip_prefix("f ") {
                assert!(answer.starts_with("OK"), "{line}");
                return None;
            }
            let between = |begin: &str, end: char| {
                let (_, rest) = line.split_once(begin)?;
                rest.split_once(end).map(|(value, _)| value.to_string())
            };
            let Some((_, len)) = line.strip_suffix('}').and_then(|l| l.rsplit_once('{')) else {
                continue;
            };
            let bytes = self.literal(len.parse().unwrap());
            self.line();
            return Some(Fetched {
                flags: between("FLAGS (", ')').unwrap(),
                date: between("INTERNALDATE \"", '"').unwrap(),
                bytes,
            });
        }
    }

    /// What INBOX holds, in an order of its own.
    pub(crate) fn contents(&mut self) -> Vec<Content> {
        let mut contents = Vec::new();
        let count = self.examine();
        if count > 0 {
            self.begin_fetch(1, count);
            while let Some(mail) = self.fetched() {
                let date = DateTime::parse_from_str(mail.date.trim(), "%d-%b-%Y %H:%M:%S %z");
                let flags: Vec<&str> = mail.flags.split_ascii_whitespace().collect();
                let date = date.unwrap().timestamp();
                contents.push(Content::new(&mail.bytes, date, &flags));
            }
        }
        contents.sort_unstable();
        contents
    }

    /// Puts messages into INBOX, as quickly as the server takes them.
    pub(crate) fn fill_mailbox(&mut self, mails: impl Iterator<Item = Mail>) {
        let mut unanswered = 0;
        for mail in mails {
            let (date, size) = (mail.internal_date(), mail.bytes.len());
            let mut out =
                format!("m APPEND INBOX ({}) \"{date}\" {{{size}+}}\r\n", mail.flags).into_bytes();
            out.extend_from_slice(&mail.bytes);
            out.extend_from_slice(b"\r\n");
            self.send(&out);
            unanswered += 1;
            while unanswered >= UNANSWERED_MAX {
                self.until("m");
                unanswered -= 1;
            }
        }
        for _ in 0..unanswered {
            self.until("m");
        }
        // Nobody is to find \Recent there.
        self.send(b"s SELECT INBOX\r\n");
        self.until("s");
    }
}
