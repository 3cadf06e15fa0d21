//! A connection with a server: TCP, TLS, STARTTLS, deadlines, bounds, literals, the tags of commands, and
//! what of it all may be logged.
//!
//! A [`Connection`] is told commands and says how each was answered. Several may be under way: what is
//! begun before an answer is waited for goes out together, and each answer is known by its tag. Not for
//! what responses mean: that is `response` and `session`.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use log::debug;

use crate::config::{Endpoint, Masks};
use crate::error::shown;
use crate::response::{Part, Status, StatusText, word};

mod certificate;
mod command;
mod framing;
mod greeting;
mod idle;
mod literal;
mod port;
mod socket;
mod starttls;
mod stranger;
mod stream;
mod tls;
mod unreachable;

pub use command::{Answer, Command, Tag};
use command::{Continuation, UnderWay};
pub use idle::Meanwhile;
pub use literal::Sent;
pub use socket::addresses;
use stream::Stream;
pub use tls::{Protection, Voucher, authorities};

/// What one command may be sent beyond what its caller expects in literals.
const LITERAL_SLACK: u64 = 4 << 20;
/// Sign-in asks to hear more twice at most (token, then the empty answer to a refusal).
const CHALLENGES_MAX: usize = 3;

/// How long a server that hangs up while we talk is listened to.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long a server that has said goodbye may take to hang up.
const PARTING: Duration = Duration::from_secs(3);
/// Warnings of a server that are remembered, so as not to repeat them.
const WARNED_MAX: usize = 50;

/// The other end of a connection, for words about it.
#[derive(Clone, Debug)]
pub struct Peer {
    pub endpoint: Endpoint,
    /// Whom it was asked to let in.
    pub user: String,
    /// By what it offers, whatever its name is.
    pub is_gmail: bool,
}

/// A connection to a server that has greeted us.
pub struct Connection {
    stream: Stream,
    /// Which server this is, for people: `imap.example.org:993`.
    name: String,
    peer: Peer,
    inbox: Vec<u8>,
    inbox_at: usize,
    /// What the server's bytes are read into, while there are any to wait for.
    piece: Vec<u8>,
    /// The command begun last.
    last: Tag,
    /// The command whose answer is being heard, or was heard last.
    current: UnderWay,
    /// Those begun behind it, oldest first.
    begun: VecDeque<UnderWay>,
    /// Answers that came before those that were waited for, and that nobody has asked for yet.
    kept: Vec<(Tag, Answer)>,
    /// A literal is out and not answered: the connection is not to outlive us.
    literal_out: bool,
    /// Does the server ask for literals that went along with their commands? None: it has not been seen yet.
    asks_in_vain: Option<bool>,
    /// It has asked for the literal of the command behind the current one, before it answered that.
    asked_early: bool,
    /// Why the connection cannot go on. Whoever has lost his place could take a line of a mail for
    /// a verdict, so nothing is read or sent any more.
    over: Option<String>,
    /// BYE was heard: nothing more is said, and little waited for.
    goodbye: bool,
    warned: Vec<Vec<u8>>,
    text_bytes: usize,
    literal_budget: u64,
    masks: Masks,
}

impl Connection {
    fn new(stream: Stream, endpoint: &Endpoint, masks: Masks) -> Connection {
        Connection {
            stream,
            name: endpoint.name(),
            peer: Peer {
                endpoint: endpoint.clone(),
                user: String::new(),
                is_gmail: false,
            },
            inbox: Vec::new(),
            inbox_at: 0,
            piece: Vec::new(),
            last: Tag::NONE,
            current: UnderWay::none(Tag::NONE),
            begun: VecDeque::new(),
            kept: Vec::new(),
            literal_out: false,
            asks_in_vain: None,
            asked_early: false,
            over: None,
            goodbye: false,
            warned: Vec::new(),
            text_bytes: 0,
            literal_budget: LITERAL_SLACK,
            masks,
        }
    }

    /// Puts a command behind those that are under way. It goes out when an answer is waited for.
    pub fn begin(&mut self, command: Command) -> Tag {
        if matches!(command.continuation, Continuation::Idle(_)) {
            self.piece = Vec::new();
        }
        self.last = self.last.next();
        self.begun.push_back(UnderWay::new(self.last, command));
        self.last
    }

    /// Waits for the answer to this command. Its time begins now, or when those to the commands before it have come: they
    /// are kept until they are asked for.
    ///
    /// Servers may answer in another order where they think that it makes no difference (RFC 3501 5.5).
    /// To us it does: what is not told of before the tagged line counts as absent. One that does so is left.
    pub fn answer(&mut self, tag: Tag) -> Answer {
        if let Some(at) = self.kept.iter().position(|(kept, _)| *kept == tag) {
            return self.kept.swap_remove(at).1;
        }
        let is_to_come = self.begun.iter().any(|next| next.tag == tag);
        while is_to_come
            && let Some(earlier) = self.begun.front().map(|next| next.tag)
            && earlier != tag
        {
            let answer = self.next_answer(earlier);
            self.kept.push((earlier, answer));
        }
        self.next_answer(tag)
    }

    /// Of the oldest command that is under way.
    fn next_answer(&mut self, tag: Tag) -> Answer {
        while self.asks(tag) {}
        if self.begun.is_empty() {
            (self.inbox, self.piece) = (self.inbox.split_off(self.inbox_at), Vec::new());
            self.inbox_at = 0;
        }
        std::mem::replace(&mut self.current, UnderWay::none(Tag::NONE)).answer
    }

    /// Waits as [`answer`](Self::answer) does, and ends with true also when the server asks for credentials:
    /// [`say`](Self::say) them, and wait again. False when the answer is there to be taken.
    pub fn asks(&mut self, tag: Tag) -> bool {
        let is_next = self.current.tag != tag;
        if is_next {
            self.turn_to(tag);
        }
        if self.current.is_over() {
            return false;
        }
        self.unless_over(|connection| {
            if is_next {
                connection.send_begun()?;
            }
            if is_next && std::mem::take(&mut connection.asked_early) {
                connection.continue_request()?;
            }
            connection.listen()
        })
    }

    /// Says credentials that the server asked for.
    pub fn say(&mut self, credentials: &[u8]) {
        self.unless_over(|connection| {
            connection.log("C:", b"(credentials)");
            connection.send(credentials)?;
            Ok(false)
        });
    }

    /// Is no command under way?
    pub fn is_idle(&self) -> bool {
        self.begun.is_empty()
    }

    /// Nothing more is said or heard. What was begun has got no further than it has.
    pub fn give_up(&mut self, why: &str) {
        self.over.get_or_insert_with(|| why.into());
    }

    /// The next command signs this user in.
    pub fn signs_in(&mut self, user: &str) {
        self.peer.user = user.to_string();
    }

    /// Its capabilities are Gmail's.
    pub fn known_as_gmail(&mut self) {
        self.peer.is_gmail = true;
    }

    /// Has the server warned of this before? Some do at each command.
    pub fn has_warned(&mut self, words: &[u8]) -> bool {
        let before = self.warned.iter().any(|w| w == words);
        if !before && self.warned.len() < WARNED_MAX {
            self.warned.push(words.to_vec());
        }
        before
    }

    /// `host:port`.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What protects the connection to this endpoint, if anything does.
    pub fn protection(&self, endpoint: &Endpoint) -> Option<Protection> {
        match &self.stream {
            Stream::Plain(_) => None,
            Stream::Tls(tls) => Some(tls::protection(tls, endpoint)),
        }
    }

    /// A server's words as they may be shown: escaped, bounded, without what we sent to sign in.
    pub fn words(&self, words: &[u8]) -> String {
        self.masks.apply(&shown(words))
    }

    /// Takes a step, and remembers for ever why it failed.
    fn unless_over(&mut self, step: impl FnOnce(&mut Connection) -> io::Result<bool>) -> bool {
        let result = match &self.over {
            Some(why) => Err(broken(why.clone())),
            None => step(self),
        };
        result.unwrap_or_else(|e| {
            let why = self.over.get_or_insert_with(|| e.to_string());
            self.current
                .answer
                .broken
                .get_or_insert_with(|| why.clone());
            false
        })
    }

    fn turn_to(&mut self, tag: Tag) {
        self.current = match self.begun.pop_front() {
            Some(next) if next.tag == tag => next,
            _ => {
                self.over
                    .get_or_insert_with(|| "the answer to another command was due".into());
                UnderWay::none(tag)
            }
        };
    }

    /// Gives the current command its time, and sends what has been begun and can go out now. A command is logged
    /// when its answer is waited for: in the log the two stand together.
    fn send_begun(&mut self) -> io::Result<()> {
        let UnderWay { tag, command, .. } = &self.current;
        let line = match command.logged_as {
            Some(shown) => shown.as_bytes(),
            None => command.line.trim_ascii_end(),
        };
        self.log("C:", &[format!("{tag} ").as_bytes(), line].concat());
        *self.stream.deadline() = Instant::now() + command.limit;
        self.literal_budget = command.literals.saturating_add(LITERAL_SLACK);
        self.text_bytes = 0;
        self.goodbye = false;
        self.send_ahead(Vec::new(), 0)
    }

    /// Sends this, and what else may go out now, from this one of the commands under way on (0: the current one):
    /// lines, and literals that go along with them. Behind a literal that the server has to ask for nothing else may
    /// come; nor may such a one behind the first ones of a connection that went along, since a server may ask for those all
    /// the same, and it is to be clear for which one it does.
    fn send_ahead(&mut self, mut out: Vec<u8>, first: usize) -> io::Result<()> {
        for at in first.. {
            let Some(next) = self.under_way(at) else {
                break;
            };
            if !std::mem::replace(&mut next.is_out, true) {
                let line = [
                    format!("{} ", next.tag).as_bytes(),
                    &next.command.line,
                    b"\r\n",
                ]
                .concat();
                out.extend(line);
            }
            let literal = next.command.take_literal_at_once();
            if let Some(literal) = literal {
                out = self.send_body(at, out, &literal)?;
            }
            let went_along = |u: &mut UnderWay| u.command.literal_went_along();
            let unclear = self.asks_in_vain != Some(false)
                && self.under_way(at).is_some_and(went_along)
                && self
                    .under_way(at + 1)
                    .is_some_and(|u| u.command.is_to_be_asked());
            let waits = self
                .under_way(at)
                .is_some_and(|u| u.command.announces_a_literal());
            if waits || unclear {
                break;
            }
        }
        if out.is_empty() {
            Ok(())
        } else {
            self.send(&out)
        }
    }

    /// The commands under way, the current one first.
    fn under_way(&mut self, at: usize) -> Option<&mut UnderWay> {
        match at {
            0 => Some(&mut self.current),
            behind => self.begun.get_mut(behind - 1),
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
                self.current.answer.untagged.push(vec![Part::Text(line)]);
                return;
            }
        }
    }

    /// Reads until the current command is answered (false) or the server asks for credentials (true).
    fn listen(&mut self) -> io::Result<bool> {
        loop {
            let line = self.line()?;
            self.log("S:", &line);
            if line.starts_with(b"+") {
                if self.continue_request()? {
                    return Ok(true);
                }
                continue;
            }
            if line.starts_with(b"* ") {
                let (count, status) = (idle::count(&line), StatusText::parse(&line[2..]));
                let parts = self.with_literals(line, status.is_some())?;
                self.count(1)?;
                self.current.answer.untagged.push(parts);
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
            self.tagged(&line)?;
            return Ok(false);
        }
    }

    /// The IDLE that is under way.
    fn idle(&mut self) -> Option<&mut idle::Idle> {
        match &mut self.current.command.continuation {
            Continuation::Idle(idle) => Some(idle),
            _ => None,
        }
    }

    /// Takes note of what happened during an IDLE and ends it when it is time to. True when DONE was
    /// said just now.
    fn mind_idle(&mut self, note: impl FnOnce(&mut idle::Idle)) -> io::Result<bool> {
        let goodbye = self.goodbye;
        let Some(idle) = self.idle() else {
            return Ok(false);
        };
        note(idle);
        if !(idle.begun && idle.news) || idle.done || goodbye {
            return Ok(false);
        }
        idle.done = true;
        let grace = idle.grace;
        *self.stream.deadline() = Instant::now() + grace;
        self.log("C:", b"DONE");
        self.send(b"DONE\r\n")?;
        Ok(true)
    }

    /// The server wants to hear more. True when it is credentials.
    fn continue_request(&mut self) -> io::Result<bool> {
        let continuation = &mut self.current.command.continuation;
        if matches!(continuation, Continuation::Idle(_)) {
            // Servers word it as they like (docs/gmail.md 1.8).
            self.mind_idle(|idle| idle.begun = true)?;
            return Ok(false);
        }
        let continuation = std::mem::replace(continuation, Continuation::Refuse);
        let next = self.begun.front();
        let next_waits = next.is_some_and(|next| next.is_out && next.command.announces_a_literal());
        match continuation {
            Continuation::Literal(literal) => {
                // The next command goes out with it.
                let out = self.send_body(0, Vec::new(), &literal)?;
                self.send_ahead(out, 1)?;
                Ok(false)
            }
            Continuation::Challenge(n) if n < CHALLENGES_MAX => {
                self.current.command.continuation = Continuation::Challenge(n + 1);
                Ok(true)
            }
            _ if next_waits && !self.asked_early => {
                self.asked_early = true;
                Ok(false)
            }
            Continuation::LiteralSent => {
                self.asks_in_vain = Some(true);
                Ok(false)
            }
            // For one that went along behind this one.
            _ if self.begun.iter().any(|u| u.command.literal_went_along()) => {
                self.asks_in_vain = Some(true);
                Ok(false)
            }
            _ => Err(broken(
                "the server asked for more where nothing was left to say",
            )),
        }
    }

    fn tagged(&mut self, line: &[u8]) -> io::Result<()> {
        let (tag, rest) = word(line);
        if tag != self.current.tag.to_string().as_bytes() {
            return Err(broken(
                "the server answered something else than our command",
            ));
        }
        let status = StatusText::parse(rest)
            .filter(|s| matches!(s.status, Status::Ok | Status::No | Status::Bad))
            .ok_or_else(|| broken("the server's answer is neither OK nor NO nor BAD"))?;
        let taken = status.status == Status::Ok;
        self.current.answer.tagged = Some(status);
        let before =
            std::mem::replace(&mut self.current.command.continuation, Continuation::Refuse);
        // What it refuses it may refuse before it asks.
        if let (Continuation::LiteralSent, true) = (before, taken) {
            self.asks_in_vain.get_or_insert(false);
        }
        self.literal_is_answered();
        Ok(())
    }

    fn log(&self, who: &str, line: &[u8]) {
        debug!(target: "imap_to_gmail::protocol", "{} {who} {}", self.name, self.masks.apply(&shown(line)));
    }
}

fn broken(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}
