//! A raw client over TLS: it sends lines and reads lines, and knows nothing more of IMAP than tags.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gmail_stand_in::Gmail;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

pub(crate) struct Client {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
    tags: u32,
}

impl Client {
    /// Connects, and leaves the greeting to be read.
    pub(crate) fn connect(gmail: &Gmail) -> Client {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(gmail.ca_file()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tcp = TcpStream::connect(("127.0.0.1", gmail.port())).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        tcp.set_nodelay(true).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        Client {
            stream: BufReader::new(StreamOwned::new(tls, tcp)),
            tags: 0,
        }
    }

    /// Connects and signs in with the password.
    pub(crate) fn login(gmail: &Gmail) -> Client {
        let mut client = Client::connect(gmail);
        client.line();
        let (user, password) = (gmail.account(), gmail.password());
        let done = client.run(&format!("LOGIN \"{user}\" \"{password}\""));
        assert!(done.last().unwrap().contains(" OK "), "{done:?}");
        client
    }

    pub(crate) fn send(&mut self, text: impl AsRef<[u8]>) {
        // A server that has hung up shows in what is read next.
        let _ = self.stream.get_mut().write_all(text.as_ref());
        let _ = self.stream.get_mut().flush();
    }

    /// The next line, without its end; None when the connection is over. What a cut left of a line is one, too.
    pub(crate) fn line_or_end(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let read = self.stream.read_until(b'\n', &mut line);
        if read.is_err_and(|e| e.kind() == ErrorKind::WouldBlock) {
            panic!("the server says nothing");
        }
        let text = String::from_utf8_lossy(&line).into_owned();
        (!line.is_empty()).then(|| text.trim_end_matches(['\r', '\n']).to_string())
    }

    pub(crate) fn line(&mut self) -> String {
        self.line_or_end().expect("the server hung up")
    }

    /// What is said until the end of the connection.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.line_or_end()).collect()
    }

    /// Sends a command and reads up to its tagged answer, whose tag becomes `A`.
    pub(crate) fn run(&mut self, command: &str) -> Vec<String> {
        let tag = self.start(command);
        self.answer(&tag)
    }

    /// Sends a command and returns its tag.
    pub(crate) fn start(&mut self, command: &str) -> String {
        self.tags += 1;
        let tag = format!("A{}", self.tags);
        self.send(format!("{tag} {command}\r\n"));
        tag
    }

    pub(crate) fn answer(&mut self, tag: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            match line.strip_prefix(&format!("{tag} ")) {
                Some(rest) => {
                    lines.push(format!("A {rest}"));
                    return lines;
                }
                None => lines.push(line),
            }
        }
    }

    /// Appends with a literal that waits for its `+`, and returns what is said after it.
    pub(crate) fn append(&mut self, arguments: &str, message: &str) -> Vec<String> {
        let tag = self.announce(arguments, message.len());
        let go = self.line();
        if !go.starts_with('+') {
            return vec![go.replacen(&tag, "A", 1)];
        }
        assert_eq!(go, "+ go ahead");
        self.send(format!("{message}\r\n"));
        self.answer(&tag)
    }

    pub(crate) fn announce(&mut self, arguments: &str, len: usize) -> String {
        self.start(&format!("APPEND {arguments} {{{len}}}"))
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Nothing is said for a moment.
    pub(crate) fn hears_nothing(&mut self) {
        let tcp = self.stream.get_ref().sock.try_clone().unwrap();
        tcp.set_read_timeout(Some(Duration::from_millis(150)))
            .unwrap();
        let heard = self.stream.fill_buf().map(<[u8]>::to_vec);
        assert!(heard.is_err(), "{heard:?}");
        tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    }
}

/// Waits for what is bound to happen, as long as a slow machine may need.
#[track_caller]
pub(crate) fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < Duration::from_secs(60), "not yet: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A message with this Message-ID (none if empty) and body.
pub(crate) fn mail(id: &str, body: &str) -> String {
    let id = match id {
        "" => String::new(),
        id => format!("Message-ID: <{id}>\r\n"),
    };
    format!(
        "From: a@example.org\r\nSubject: s\r\nDate: Tue, 1 Jul 2025 10:00:00 +0000\r\n{id}\r\n{body}\r\n"
    )
}
