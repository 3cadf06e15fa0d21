//! A server that plays a script: a closure that says and hears lines on one connection.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use imap_to_gmail::config::{Endpoint, Intervals, Origin, Secret, Tls};
use imap_to_gmail::error::{Error, Fault, Result};
use imap_to_gmail::session::{Login, Session};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub(crate) const USER: &str = "user@example.org";
/// With what a quoted string must escape, and pieces long enough to be searched for.
pub(crate) const PASSWORD: &str = "correct\"horse\\battery-staple";
pub(crate) const TOKEN: &str = "ya29.a0AfH6SMBx-token_that_must_never_be_shown";

/// What most scripts offer. No LITERAL-, so that an APPEND waits for its `+`.
pub(crate) const PLAIN: &str = "IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR UIDPLUS";

/// The longest that a server waits for a client that says nothing: a test then fails, not hangs.
const PATIENCE: Duration = Duration::from_secs(25);

/// A server for one connection, on a thread of its own.
pub(crate) struct Server {
    pub(crate) port: u16,
    thread: Option<JoinHandle<()>>,
    connection: Arc<Mutex<Option<TcpStream>>>,
}

impl Server {
    pub(crate) fn start(script: impl FnOnce(&mut Peer) + Send + 'static) -> Server {
        Server::start_with(None, script)
    }

    /// With `tls` the connection is protected before the script begins.
    pub(crate) fn start_with(
        tls: Option<Arc<ServerConfig>>,
        script: impl FnOnce(&mut Peer) + Send + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let connection = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&connection);
        let thread = std::thread::spawn(move || {
            let (tcp, _) = listener.accept().unwrap();
            tcp.set_read_timeout(Some(PATIENCE)).unwrap();
            tcp.set_write_timeout(Some(PATIENCE)).unwrap();
            tcp.set_nodelay(true).unwrap();
            *kept.lock().unwrap() = Some(tcp.try_clone().unwrap());
            let mut peer = Peer {
                stream: Some(Stream::Plain(tcp)),
                inbox: Vec::new(),
            };
            if let Some(config) = tls {
                peer.protect(config);
            }
            script(&mut peer);
            peer.leave();
        });
        Server {
            port,
            thread: Some(thread),
            connection,
        }
    }

    /// Waits for the script to end; a failed assertion in it fails the test.
    pub(crate) fn finish(mut self) {
        self.join();
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take()
            && let Err(panic) = thread.join()
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The test has failed already: its server need not wait for the rest of the script.
            if let Some(tcp) = self.connection.lock().unwrap().as_ref() {
                let _ = tcp.shutdown(Shutdown::Both);
            }
            return;
        }
        self.join();
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

/// The server's end of the connection.
pub(crate) struct Peer {
    stream: Option<Stream>,
    inbox: Vec<u8>,
}

impl Peer {
    /// Says these bytes. A client that has hung up meanwhile is no fault of the script.
    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.try_say(bytes);
    }

    /// False when the client is gone.
    pub(crate) fn try_say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let bytes = bytes.as_ref();
        match self.stream.as_mut().unwrap() {
            Stream::Plain(tcp) => tcp.write_all(bytes).is_ok(),
            Stream::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()).is_ok(),
        }
    }

    /// Says this until the client has had enough and hangs up.
    pub(crate) fn say_for_ever(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let block = bytes.repeat((64 << 10) / bytes.len() + 1);
        while self.try_say(&block) {}
    }

    /// The next line of the client; None when it hung up.
    pub(crate) fn line_or_end(&mut self) -> Option<String> {
        loop {
            if let Some(len) = self.inbox.iter().position(|&b| b == b'\n') {
                let line: Vec<u8> = self.inbox.drain(..=len).collect();
                return Some(String::from_utf8_lossy(&line).trim_end().to_string());
            }
            if !self.receive() {
                return None;
            }
        }
    }

    pub(crate) fn line(&mut self) -> String {
        self.line_or_end().expect("the client hung up too early")
    }

    /// Exactly so many bytes of a literal.
    pub(crate) fn literal(&mut self, len: usize) -> Vec<u8> {
        while self.inbox.len() < len {
            assert!(self.receive(), "the client hung up within its literal");
        }
        self.inbox.drain(..len).collect()
    }

    /// Waits for a command that begins so, and returns its tag.
    pub(crate) fn command(&mut self, begin: &str) -> String {
        let line = self.line();
        let (tag, command) = line.split_once(' ').unwrap_or((&line, ""));
        assert!(
            command.starts_with(begin),
            "expected `{begin}`, the client sent `{line}`"
        );
        tag.to_string()
    }

    /// Waits for this command and answers it; `TAG ` at the start of a line becomes its tag.
    pub(crate) fn answer(&mut self, begin: &str, text: impl AsRef<[u8]>) {
        let tag = self.command(begin);
        self.say(with_tag(text.as_ref(), &tag));
    }

    /// Nothing more is sent: the client hangs up, or is still silent after a moment.
    pub(crate) fn hears_nothing_more(&mut self) {
        if let Some(Stream::Plain(tcp)) = &self.stream {
            tcp.set_read_timeout(Some(Duration::from_millis(300)))
                .unwrap();
        }
        self.receive();
        assert!(
            self.inbox.is_empty(),
            "nothing was to be sent, the client sent {:?}",
            String::from_utf8_lossy(&self.inbox)
        );
    }

    /// Waits until the client hangs up.
    pub(crate) fn wait_for_end(&mut self) {
        while self.receive() {
            self.inbox.clear();
        }
    }

    /// The greeting and a sign-in that nothing happens to.
    pub(crate) fn welcome(&mut self, capabilities: &str) {
        self.say(format!("* OK [CAPABILITY {capabilities}] hello\r\n"));
        self.answer(
            "AUTHENTICATE PLAIN ",
            format!("TAG OK [CAPABILITY {capabilities}] welcome\r\n"),
        );
    }

    /// The same for a token.
    pub(crate) fn welcome_token(&mut self) {
        self.say(format!("* OK [CAPABILITY {PLAIN}] hello\r\n"));
        self.answer(
            "AUTHENTICATE XOAUTH2 ",
            "TAG OK [CAPABILITY IMAP4rev1] in\r\n",
        );
    }

    /// Proves that the session is in step: it sends this and is answered.
    pub(crate) fn next_command_works(&mut self) {
        self.answer("NOOP", "TAG OK still here\r\n");
    }

    /// Begins TLS from here on. A client that refuses the handshake ends the script's talk.
    pub(crate) fn protect(&mut self, config: Arc<ServerConfig>) {
        let Some(Stream::Plain(mut tcp)) = self.stream.take() else {
            panic!("already protected");
        };
        let mut tls = ServerConnection::new(config).unwrap();
        // Whatever was sent in clear behind STARTTLS would be lost here: nothing may have been.
        assert!(self.inbox.is_empty());
        while tls.is_handshaking() {
            if tls.complete_io(&mut tcp).is_err() {
                break;
            }
        }
        self.stream = Some(Stream::Tls(Box::new(StreamOwned::new(tls, tcp))));
    }

    /// Hangs up without a word of TLS, as a process that is killed does.
    pub(crate) fn cut(&mut self) {
        let _ = self.tcp().shutdown(Shutdown::Both);
    }

    /// Says no more, but leaves what was said to be read.
    fn leave(&mut self) {
        let _ = self.tcp().shutdown(Shutdown::Write);
        let _ = self
            .tcp()
            .set_read_timeout(Some(Duration::from_millis(100)));
        while self.receive() {
            self.inbox.clear();
        }
    }

    fn tcp(&self) -> &TcpStream {
        match self.stream.as_ref().unwrap() {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => &tls.sock,
        }
    }

    /// False at the end.
    fn receive(&mut self) -> bool {
        let mut buf = [0; 16 << 10];
        let n = match self.stream.as_mut().unwrap() {
            Stream::Plain(tcp) => tcp.read(&mut buf),
            Stream::Tls(tls) => tls.read(&mut buf),
        };
        let n = n.unwrap_or(0);
        self.inbox.extend_from_slice(&buf[..n]);
        n > 0
    }
}

fn with_tag(text: &[u8], tag: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for line in text.split_inclusive(|&b| b == b'\n') {
        match line.strip_prefix(b"TAG ") {
            Some(rest) => {
                out.extend_from_slice(tag.as_bytes());
                out.push(b' ');
                out.extend_from_slice(rest);
            }
            None => out.extend_from_slice(line),
        }
    }
    out
}

/// Waits that are long for a loopback connection and short for a test.
pub(crate) fn times() -> Intervals {
    Intervals {
        connect: Duration::from_secs(10),
        command: Duration::from_secs(10),
        append: Duration::from_secs(10),
        ..Intervals::default()
    }
}

/// For servers that are waited for in vain.
pub(crate) fn short_times() -> Intervals {
    let short = Duration::from_millis(400);
    Intervals {
        connect: short,
        command: short,
        append: short,
        ..Intervals::default()
    }
}

pub(crate) fn password() -> Login {
    Login::Password {
        user: USER.into(),
        password: Secret::new(PASSWORD.into()),
    }
}

pub(crate) fn token() -> Login {
    Login::Token {
        user: USER.into(),
        token: Secret::new(TOKEN.into()),
    }
}

pub(crate) fn endpoint(port: u16) -> Endpoint {
    Endpoint {
        host: "127.0.0.1".into(),
        port,
        tls: Tls::None,
        ca_file: None,
        origin: Origin::default(),
    }
}

/// Opens a session with a server that plays this script from the greeting on.
pub(crate) fn open(
    login: &Login,
    script: impl FnOnce(&mut Peer) + Send + 'static,
) -> Result<Session> {
    let server = Server::start(script);
    let result = Session::open(&endpoint(server.port), login, &times());
    if result.is_err() {
        server.finish();
    } else {
        // The script may end only when the session does.
        std::mem::forget(server);
    }
    result
}

/// The error with which opening such a session ends.
pub(crate) fn refusal(login: &Login, script: impl FnOnce(&mut Peer) + Send + 'static) -> Error {
    open(login, script).err().expect("no session was to come")
}

/// A session that is signed in, with a server that plays this script from there on.
pub(crate) fn signed_in(script: impl FnOnce(&mut Peer) + Send + 'static) -> (Server, Session) {
    signed_in_with(PLAIN, &times(), script)
}

pub(crate) fn signed_in_with(
    capabilities: &'static str,
    times: &Intervals,
    script: impl FnOnce(&mut Peer) + Send + 'static,
) -> (Server, Session) {
    let server = Server::start(move |peer| {
        peer.welcome(capabilities);
        script(peer);
    });
    let session = Session::open(&endpoint(server.port), &password(), times).unwrap();
    (server, session)
}

/// Asserts the fault, and that these words are in the message.
#[track_caller]
pub(crate) fn assert_says(error: &Error, fault: Fault, words: &str) {
    assert_eq!(error.fault, fault, "{error}");
    assert!(
        error.message.contains(words),
        "`{words}` is not in `{error}`"
    );
}

/// Runs `f`, which must end within `limit`.
#[track_caller]
pub(crate) fn within<T>(limit: Duration, f: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let out = f();
    let took = start.elapsed();
    assert!(took < limit, "took {took:?}, at most {limit:?} expected");
    out
}
