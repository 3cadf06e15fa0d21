//! The bytes under the `imap` crate: TCP, TLS, STARTTLS, deadlines, bounds, literals, and what of
//! it all may be logged.
//!
//! [`Wire`] is the stream that `imap::Client` reads and writes. What a server says is framed here
//! and kept for `session`; the crate itself is shown only that its command has been answered OK, NO
//! or BAD, or that the server wants to hear more. So the crate's parser, which panics, overflows
//! its stack or loses its place on lines that real servers send, never meets a server's byte.
//! Not for what responses mean: that is `response` and `session`.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use log::debug;

use crate::config::{Endpoint, Intervals, Masks, Tls};
use crate::error::{Error, Result, shown};
use crate::response::{Part, Status, StatusText, announced_literal, word};

mod certificate;
mod idle;
mod literal;
mod port;
mod socket;
mod starttls;
mod stranger;
mod stream;
mod tls;
mod unreachable;

use idle::Idle;
pub use literal::Sent;
use socket::Socket;
pub use socket::addresses;
use stream::Stream;
pub use tls::{Protection, Voucher};

/// A line longer than this is an attack or a fault: a SEARCH of 1,000,000 UIDs has 8 MB.
const LINE_MAX: usize = 16 << 20;
/// Responses to one command, literals apart.
const RESPONSES_MAX: usize = 500_000;
/// Bytes of responses to one command, literals apart: three times what a list of 50,000 messages or
/// a SEARCH of 1,000,000 takes.
const TEXT_MAX: usize = 32 << 20;
/// What one command may be sent beyond what its caller expects in literals.
const LITERAL_SLACK: u64 = 4 << 20;
/// Sign-in asks to hear more twice at most (token, then the empty answer to a refusal).
const CHALLENGES_MAX: usize = 3;
/// The slowest link that is still waited for, in bytes per second.
const SLOWEST: u64 = 8 << 10;

/// How long a server that hangs up while we talk is listened to.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long a server that has said goodbye may take to hang up.
const PARTING: Duration = Duration::from_secs(3);
/// Warnings of a server that are remembered, so as not to repeat them.
const WARNED_MAX: usize = 50;

/// What the server may ask for while a command runs.
enum Continuation {
    /// Nothing: a `+` is a fault.
    Refuse,
    /// The credentials (the crate has them).
    Challenge(usize),
    /// The message of an APPEND.
    Literal(Arc<Vec<u8>>),
    /// Nothing for a while: IDLE (RFC 2177).
    Idle(Idle),
}

/// The other end of a connection, for words about it.
#[derive(Clone, Debug)]
pub struct Peer {
    pub endpoint: Endpoint,
    /// Whom it was asked to let in.
    pub user: String,
    /// By what it offers, whatever its name is.
    pub is_gmail: bool,
}

/// What a server said to one command, beside the tagged line.
#[derive(Default)]
pub struct Answer {
    pub untagged: Vec<Vec<Part>>,
    pub tagged: Option<StatusText>,
    /// Why the connection cannot go on, if so.
    pub broken: Option<String>,
}

/// A stream for `imap::Client`, and with its clones the handle by which `session` steers it.
#[derive(Clone)]
pub struct Wire(Arc<Mutex<Core>>);

struct Core {
    stream: Stream,
    /// Which server this is, for people: `imap.example.org:993`.
    name: String,
    peer: Peer,
    inbox: Vec<u8>,
    inbox_at: usize,
    /// What the crate has written and not yet flushed.
    outbox: Vec<u8>,
    /// What the crate is to read next.
    for_crate: Vec<u8>,
    for_crate_at: usize,
    tag: Vec<u8>,
    continuation: Continuation,
    sent: Sent,
    /// Bytes of the last literal that were handed to the system, or were about to be.
    handed_over: u64,
    /// A literal is out and not answered: the connection is not to outlive us.
    literal_out: bool,
    answer: Answer,
    /// Why the connection cannot go on. Whoever has lost his place could take a line of a mail for
    /// a verdict, so nothing is read or sent any more.
    over: Option<String>,
    /// BYE was heard: nothing more is said, and little waited for.
    goodbye: bool,
    warned: Vec<Vec<u8>>,
    text_bytes: usize,
    literal_budget: u64,
    /// Commands to be sent behind the next one without waiting, and those already sent.
    ahead: Vec<String>,
    already_sent: Vec<Vec<u8>>,
    masks: Masks,
    /// What the next command line is logged as, when it holds a secret.
    logged_as: Option<&'static str>,
}

impl Wire {
    /// Connects, protects the connection and reads the greeting, each in its time. What the masks know
    /// is shown of nothing that the server says.
    ///
    /// # Errors
    /// `Connection` when the server is out of reach; `NeedsUser` when its certificate is refused
    /// or it has no STARTTLS.
    pub fn connect(
        endpoint: &Endpoint,
        times: &Intervals,
        masks: Masks,
    ) -> Result<(Wire, StatusText)> {
        let last = Instant::now() + times.connect;
        let tls = match endpoint.tls {
            Tls::None => None,
            Tls::Implicit | Tls::StartTls => Some(tls::Client::new(endpoint)?),
        };
        let tcp = socket::dial(endpoint, last)?;
        let reached = Instant::now();
        let mut socket = Socket {
            tcp,
            deadline: last.min(reached + times.greeting),
        };
        if endpoint.tls != Tls::Implicit {
            stranger::await_greeting(&mut socket, endpoint, times.hush)?;
        }
        let mut greeting = None;
        let stream = match (endpoint.tls, tls) {
            (Tls::Implicit, Some(tls)) => {
                Stream::Tls(Box::new(tls.handshake(socket, endpoint, &masks)?))
            }
            (Tls::StartTls, Some(tls)) => {
                let first = greeting.insert(starttls::starttls(&mut socket, endpoint, &masks)?);
                match first.status {
                    Status::Ok => Stream::Tls(Box::new(tls.handshake(socket, endpoint, &masks)?)),
                    // It has not begun TLS: `session` says why and goes no further.
                    _ => Stream::Plain(socket),
                }
            }
            _ => Stream::Plain(socket),
        };
        let mut core = Core::new(stream, endpoint, masks);
        let greeting = match greeting {
            Some(greeting) => greeting,
            None => core.greeting(reached)?,
        };
        Ok((Wire(Arc::new(Mutex::new(core))), greeting))
    }

    /// Prepares for one command: within what time it must be answered, how many bytes of literals
    /// it may bring. Each byte of a literal, either way, earns the time it takes on a slow link: a
    /// big message has hours, one that stops does not.
    pub fn expect(&self, limit: Duration, literals: u64) {
        let mut core = self.core();
        *core.stream.deadline() = Instant::now() + limit;
        core.literal_budget = literals.saturating_add(LITERAL_SLACK);
        core.answer = Answer::default();
        core.text_bytes = 0;
        core.goodbye = false;
        core.continuation = Continuation::Refuse;
        core.sent = Sent::Nothing;
        core.handed_over = 0;
    }

    /// The next command ends in the announcement of this literal; with `at_once` it goes out with
    /// the command, else when the server asks for it.
    pub fn send_literal(&self, literal: Arc<Vec<u8>>) {
        self.core().continuation = Continuation::Literal(literal);
    }

    /// The next command is IDLE: it ends when there are no longer `exists` messages, after `limit` at the
    /// latest, and `grace` later if the server does not say so.
    pub fn idle(&self, limit: Duration, grace: Duration, exists: u32) {
        let mut core = self.core();
        *core.stream.deadline() = Instant::now() + limit;
        core.continuation = Continuation::Idle(Idle::new(grace, exists));
    }

    /// The next command signs this user in: it is logged as `shown` and may be asked for more.
    pub fn sign_in(&self, user: &str, shown: &'static str) {
        let mut core = self.core();
        core.peer.user = user.to_string();
        core.continuation = Continuation::Challenge(0);
        core.logged_as = Some(shown);
    }

    /// Its capabilities are Gmail's.
    pub fn known_as_gmail(&self) {
        self.core().peer.is_gmail = true;
    }

    /// These commands are sent together with the next one; each must then be run in this order.
    pub fn send_ahead(&self, commands: Vec<String>) {
        self.core().ahead = commands;
    }

    /// What the server said to the last command.
    pub fn take_answer(&self) -> Answer {
        std::mem::take(&mut self.core().answer)
    }

    /// Has the server warned of this before? Some do at each command.
    pub fn has_warned(&self, words: &[u8]) -> bool {
        let mut core = self.core();
        let before = core.warned.iter().any(|w| w == words);
        if !before && core.warned.len() < WARNED_MAX {
            core.warned.push(words.to_vec());
        }
        before
    }

    /// How much of the last literal the server may have.
    pub fn sent(&self) -> Sent {
        self.core().sent
    }

    /// How many bytes of the last literal may have left us.
    pub fn handed_over(&self) -> u64 {
        self.core().handed_over
    }

    /// `host:port`.
    pub fn name(&self) -> String {
        self.core().name.clone()
    }

    pub fn peer(&self) -> Peer {
        self.core().peer.clone()
    }

    /// What protects the connection to this endpoint, if anything does.
    pub fn protection(&self, endpoint: &Endpoint) -> Option<Protection> {
        match &self.core().stream {
            Stream::Plain(_) => None,
            Stream::Tls(tls) => Some(tls::protection(tls, endpoint)),
        }
    }

    /// A server's words as they may be shown: escaped, bounded, without what we sent to sign in.
    pub fn words(&self, words: &[u8]) -> String {
        self.core().masks.apply(&shown(words))
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        // A panic of another thread in here leaves a connection that ends at its next error.
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut core = self.core();
        if core.for_crate_at == core.for_crate.len() {
            core.unless_over(Core::answer_for_crate)?;
        }
        let rest = &core.for_crate[core.for_crate_at..];
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        core.for_crate_at += n;
        Ok(n)
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.core().outbox.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.core().unless_over(Core::send_command)
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

impl Core {
    fn new(stream: Stream, endpoint: &Endpoint, masks: Masks) -> Core {
        Core {
            stream,
            name: endpoint.name(),
            peer: Peer {
                endpoint: endpoint.clone(),
                user: String::new(),
                is_gmail: false,
            },
            inbox: Vec::new(),
            inbox_at: 0,
            outbox: Vec::new(),
            for_crate: Vec::new(),
            for_crate_at: 0,
            tag: Vec::new(),
            continuation: Continuation::Refuse,
            sent: Sent::Nothing,
            handed_over: 0,
            literal_out: false,
            answer: Answer::default(),
            over: None,
            goodbye: false,
            warned: Vec::new(),
            text_bytes: 0,
            literal_budget: LITERAL_SLACK,
            ahead: Vec::new(),
            already_sent: Vec::new(),
            masks,
            logged_as: None,
        }
    }

    fn unless_over(&mut self, step: fn(&mut Core) -> io::Result<()>) -> io::Result<()> {
        let result = match &self.over {
            Some(why) => Err(broken(why.clone())),
            None => step(self),
        };
        result.inspect_err(|e| {
            let why = self.over.get_or_insert_with(|| e.to_string());
            self.answer.broken.get_or_insert_with(|| why.clone());
        })
    }

    fn greeting(&mut self, reached: Instant) -> Result<StatusText> {
        let endpoint = self.peer.endpoint.clone();
        let line = match self.line() {
            Ok(line) => line,
            Err(e) if e.kind() == io::ErrorKind::TimedOut && self.inbox.is_empty() => {
                return Err(stranger::silent(&endpoint, reached.elapsed()));
            }
            Err(e) => {
                let called = endpoint.called();
                return Err(Error::connection(format!("{called} sent no greeting: {e}")));
            }
        };
        self.log("S:", &line);
        read_greeting(&line, &endpoint, &self.masks)
    }

    /// Sends what the crate flushed: a command line, or an answer to a challenge.
    fn send_command(&mut self) -> io::Result<()> {
        let out = std::mem::take(&mut self.outbox);
        if out.is_empty() {
            return Ok(());
        }
        let is_challenge_answer = matches!(self.continuation, Continuation::Challenge(n) if n > 0);
        if is_challenge_answer {
            self.log("C:", b"(credentials)");
            return self.send(&out);
        }
        let (tag, command) = word(out.trim_ascii_end());
        self.tag = tag.to_vec();
        match self.logged_as.take() {
            Some(shown) => self.log(
                "C:",
                format!("{} {shown}", String::from_utf8_lossy(tag)).as_bytes(),
            ),
            None => self.log("C:", out.trim_ascii_end()),
        }
        if !self.already_sent.is_empty() {
            // Ours to keep in step: a command sent ahead is run next or the connection is of no use.
            if self.already_sent.remove(0) != command {
                return Err(io::Error::other("a command was sent ahead and not run"));
            }
            return match &self.continuation {
                Continuation::Literal(literal) if out.ends_with(b"+}\r\n") => {
                    let literal = Arc::clone(literal);
                    self.send_body(b"", &literal)
                }
                _ => Ok(()),
            };
        }
        let mut out = out.clone();
        let mut number = tag_number(tag);
        for command in std::mem::take(&mut self.ahead) {
            number += 1;
            out.extend_from_slice(format!("a{number} {command}\r\n").as_bytes());
            self.already_sent.push(command.into_bytes());
        }
        let at_once = announced_literal(out.trim_ascii_end()).is_some() && out.ends_with(b"+}\r\n");
        match &self.continuation {
            Continuation::Literal(literal) if at_once => {
                let literal = Arc::clone(literal);
                self.send_body(&out, &literal)
            }
            _ => self.send(&out),
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let result = self.stream.send(bytes);
        if result.is_err() {
            self.hear_farewell();
        }
        result
    }

    /// A server that hangs up while we talk has often said why. A verdict is not looked for: it
    /// would be one on something that we did not finish saying.
    fn hear_farewell(&mut self) {
        let deadline = self.stream.deadline();
        *deadline = (*deadline).min(Instant::now() + FAREWELL);
        while let Ok(line) = self.line() {
            self.log("S:", &line);
            let bye = line.strip_prefix(b"* ").and_then(StatusText::parse);
            if bye.is_some_and(|s| s.status == Status::Bye) {
                self.answer.untagged.push(vec![Part::Text(line)]);
                return;
            }
        }
    }

    /// Reads until the crate has something to do: a tagged line, or a `+` that is its affair.
    fn answer_for_crate(&mut self) -> io::Result<()> {
        self.for_crate.clear();
        self.for_crate_at = 0;
        loop {
            let line = self.line()?;
            self.log("S:", &line);
            if line.starts_with(b"+") {
                if self.continue_request()? {
                    return Ok(());
                }
                continue;
            }
            if line.starts_with(b"* ") {
                let (count, status) = (idle::count(&line), StatusText::parse(&line[2..]));
                let parts = self.with_literals(line, status.is_some())?;
                self.keep(parts)?;
                if status.is_some_and(|s| s.status == Status::Bye) {
                    // Not each server hangs up then (Yandex, 2019).
                    self.goodbye = true;
                    let deadline = self.stream.deadline();
                    *deadline = (*deadline).min(Instant::now() + PARTING);
                }
                self.mind_idle(|idle| idle.is_told(count))?;
                continue;
            }
            if line.is_empty() {
                // No line of the protocol; some servers send one behind a literal.
                self.count(1)?;
                continue;
            }
            return self.tagged(&line);
        }
    }

    /// The server wants to hear more. True when the crate is to answer.
    fn continue_request(&mut self) -> io::Result<bool> {
        if matches!(self.continuation, Continuation::Idle(_)) {
            // Servers word it as they like (docs/gmail.md 1.8).
            self.mind_idle(|idle| idle.begun = true)?;
            return Ok(false);
        }
        match std::mem::replace(&mut self.continuation, Continuation::Refuse) {
            Continuation::Literal(literal) => {
                self.send_body(b"", &literal)?;
                Ok(false)
            }
            Continuation::Challenge(n) if n < CHALLENGES_MAX => {
                self.continuation = Continuation::Challenge(n + 1);
                self.for_crate.extend_from_slice(b"+ \r\n");
                Ok(true)
            }
            _ => Err(broken(
                "the server asked for more where nothing was left to say",
            )),
        }
    }

    /// Takes note of what happened during an IDLE and ends it when it is time to. True when DONE was
    /// said just now.
    fn mind_idle(&mut self, note: impl FnOnce(&mut Idle)) -> io::Result<bool> {
        let Continuation::Idle(idle) = &mut self.continuation else {
            return Ok(false);
        };
        note(idle);
        if !(idle.begun && idle.news) || idle.done || self.goodbye {
            return Ok(false);
        }
        idle.done = true;
        let grace = idle.grace;
        *self.stream.deadline() = Instant::now() + grace;
        self.log("C:", b"DONE");
        self.send(b"DONE\r\n")?;
        Ok(true)
    }

    fn tagged(&mut self, line: &[u8]) -> io::Result<()> {
        let (tag, rest) = word(line);
        if tag != self.tag {
            return Err(broken(
                "the server answered something else than our command",
            ));
        }
        let Some(status) = StatusText::parse(rest) else {
            return Err(broken("the server's answer is neither OK nor NO nor BAD"));
        };
        let verdict = match status.status {
            Status::Ok => "OK",
            Status::No => "NO",
            Status::Bad => "BAD",
            Status::Bye | Status::PreAuth => {
                return Err(broken("the server's answer is neither OK nor NO nor BAD"));
            }
        };
        self.answer.tagged = Some(status);
        self.continuation = Continuation::Refuse;
        self.literal_is_answered();
        self.for_crate.extend_from_slice(
            format!("{} {verdict} answered\r\n", String::from_utf8_lossy(tag)).as_bytes(),
        );
        Ok(())
    }

    /// The rest of an untagged response: its literals and the lines between them. A status text is
    /// free text: what looks like a literal there is none.
    fn with_literals(&mut self, line: Vec<u8>, free_text: bool) -> io::Result<Vec<Part>> {
        let of_a_message = line[2..].first().is_some_and(u8::is_ascii_digit);
        let mut announced = announced_literal(&line).filter(|_| !free_text);
        let mut parts = vec![Part::Text(line)];
        while let Some(len) = announced {
            if len > self.literal_budget {
                return Err(broken(format!(
                    "the server announced {len} bytes where at most {} were expected",
                    self.literal_budget
                )));
            }
            self.literal_budget -= len;
            parts.push(Part::Literal(self.exactly(len as usize)?));
            let mut line = self.line()?;
            while of_a_message && line.is_empty() {
                // Its parenthesis is still open.
                self.count(1)?;
                line = self.line()?;
            }
            announced = announced_literal(&line);
            parts.push(Part::Text(line));
            self.count(1)?;
        }
        Ok(parts)
    }

    fn keep(&mut self, parts: Vec<Part>) -> io::Result<()> {
        self.count(1)?;
        self.answer.untagged.push(parts);
        Ok(())
    }

    /// A server that answers for ever is cut off.
    fn count(&mut self, responses: usize) -> io::Result<()> {
        self.text_bytes += responses * (TEXT_MAX / RESPONSES_MAX);
        if self.text_bytes > TEXT_MAX {
            Err(broken("the server's answer has no end"))
        } else {
            Ok(())
        }
    }

    /// One line, its line end dropped. A bare LF ends a line too.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut looked = self.inbox_at;
        loop {
            if let Some(len) = self.inbox[looked..].iter().position(|&b| b == b'\n') {
                let line = &self.inbox[self.inbox_at..looked + len];
                let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
                self.inbox_at = looked + len + 1;
                self.text_bytes += line.len();
                self.count(0)?;
                return Ok(line);
            }
            if self.inbox.len() - self.inbox_at > LINE_MAX {
                return Err(broken("the server's line has no end"));
            }
            let seen = self.inbox.len() - self.inbox_at;
            self.fill()?;
            looked = self.inbox_at + seen;
        }
    }

    /// The next `len` bytes. Memory grows with what comes, not with what was announced.
    fn exactly(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(len.min(1 << 20));
        while out.len() < len {
            if self.inbox_at == self.inbox.len() {
                self.fill()?;
            }
            let n = (self.inbox.len() - self.inbox_at).min(len - out.len());
            if out.capacity() - out.len() < n {
                out.reserve_exact((out.len() / 2).max(n).min(len - out.len()));
            }
            out.extend_from_slice(&self.inbox[self.inbox_at..self.inbox_at + n]);
            self.inbox_at += n;
            *self.stream.deadline() += earned(n);
        }
        Ok(out)
    }

    fn fill(&mut self) -> io::Result<()> {
        self.inbox.drain(..self.inbox_at);
        self.inbox_at = 0;
        let old = self.inbox.len();
        self.inbox.resize(old + (64 << 10), 0);
        let n = self.stream.receive(&mut self.inbox[old..]);
        self.inbox.truncate(old + *n.as_ref().unwrap_or(&0));
        let quiet = n
            .as_ref()
            .is_err_and(|e| e.kind() == io::ErrorKind::TimedOut);
        if quiet && !self.goodbye && self.mind_idle(|idle| idle.news |= idle.begun)? {
            return Ok(());
        }
        match n? {
            0 => Err(broken("the server closed the connection")),
            _ => Ok(()),
        }
    }

    fn log(&self, who: &str, line: &[u8]) {
        debug!(target: "imap_to_gmail::protocol", "{} {who} {}", self.name, self.masks.apply(&shown(line)));
    }
}

fn earned(bytes: usize) -> Duration {
    Duration::from_micros(bytes as u64 * 1_000_000 / SLOWEST)
}

/// The crate numbers its tags: `a7`.
fn tag_number(tag: &[u8]) -> u32 {
    std::str::from_utf8(tag.get(1..).unwrap_or_default())
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

fn broken(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

fn read_greeting(line: &[u8], endpoint: &Endpoint, masks: &Masks) -> Result<StatusText> {
    line.strip_prefix(b"* ")
        .and_then(StatusText::parse)
        .ok_or_else(|| stranger::greets_otherwise(endpoint, line, masks))
}
