//! A command: its tag, the bounds of its answer, and what it says when the server wants to hear more. No bytes
//! are moved here.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::idle::{Idle, Meanwhile};
use super::literal::Sent;
use crate::response::{Part, StatusText};

/// What a command and its answer know each other by: `a7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(u32);

impl Tag {
    /// No command has it.
    pub(super) const NONE: Tag = Tag(0);

    pub(super) fn next(self) -> Tag {
        Tag(self.0 + 1)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a{}", self.0)
    }
}

/// What the server may ask for while a command runs.
pub(super) enum Continuation {
    /// Nothing: a `+` is a fault.
    Refuse,
    /// The credentials, so many times so far. Whoever began the command has them.
    Challenge(usize),
    /// A message.
    Literal(Arc<Vec<u8>>),
    /// A message that went along with its command. Some servers ask for it all the same: what they then read
    /// is on its way already.
    LiteralSent,
    /// Nothing for a while: IDLE (RFC 2177).
    Idle(Idle),
}

/// A command without its tag, and what its answer may take.
pub struct Command {
    pub(super) line: Vec<u8>,
    /// Within what time it must be answered. Each byte of a literal, either way, earns the time it takes
    /// on a slow link: a big message has hours, one that stops does not.
    pub(super) limit: Duration,
    /// How many bytes of literals its answer may bring.
    pub(super) literals: u64,
    pub(super) continuation: Continuation,
    /// What the line is logged as when it holds a secret.
    pub(super) logged_as: Option<&'static str>,
}

impl Command {
    pub fn new(line: impl Into<Vec<u8>>, limit: Duration, literals: u64) -> Command {
        Command {
            line: line.into(),
            limit,
            literals,
            continuation: Continuation::Refuse,
            logged_as: None,
        }
    }

    /// Ends in this literal. With `at_once` the server is not asked whether it wants it (RFC 7888).
    pub fn literal(mut self, body: Arc<Vec<u8>>, at_once: bool) -> Command {
        let plus = if at_once { "+" } else { "" };
        self.line
            .extend_from_slice(format!("{{{}{plus}}}", body.len()).as_bytes());
        self.continuation = Continuation::Literal(body);
        self
    }

    /// IDLE: it ends when there are no longer `exists` messages, after `limit` at the latest, and `grace`
    /// later if the server does not say so. With `elsewhere` also when the server tells of another mailbox.
    pub fn idle(limit: Duration, grace: Duration, exists: u32, elsewhere: bool) -> Command {
        Command {
            continuation: Continuation::Idle(Idle::new(grace, exists, elsewhere)),
            ..Command::new("IDLE", limit, 0)
        }
    }

    /// Of an IDLE: what is done again and again until it ends.
    pub fn meanwhile(mut self, act: Option<Meanwhile>) -> Command {
        if let Continuation::Idle(idle) = &mut self.continuation {
            idle.meanwhile = act;
        }
        self
    }

    /// Signs in: it is logged as `shown`, and the server may ask for more.
    pub fn sign_in(line: impl Into<Vec<u8>>, limit: Duration, shown: &'static str) -> Command {
        Command {
            continuation: Continuation::Challenge(0),
            logged_as: Some(shown),
            ..Command::new(line, limit, 0)
        }
    }

    pub(super) fn announces_a_literal(&self) -> bool {
        matches!(self.continuation, Continuation::Literal(_))
    }

    /// Its literal waits until the server asks for it.
    pub(super) fn is_to_be_asked(&self) -> bool {
        self.announces_a_literal() && !self.line.ends_with(b"+}")
    }

    /// It went along with its command, and the answer is still to come.
    pub(super) fn literal_went_along(&self) -> bool {
        matches!(self.continuation, Continuation::LiteralSent)
    }

    /// The literal that goes along with its command. It is there once: whoever has it would take it for commands
    /// the second time.
    pub(super) fn take_literal_at_once(&mut self) -> Option<Arc<Vec<u8>>> {
        let Continuation::Literal(body) = &self.continuation else {
            return None;
        };
        if !self.line.ends_with(b"+}") {
            return None;
        }
        let body = Arc::clone(body);
        self.continuation = Continuation::LiteralSent;
        Some(body)
    }
}

/// A command that was begun and is not answered yet.
pub(super) struct UnderWay {
    pub(super) tag: Tag,
    pub(super) command: Command,
    /// Its line has left us; its literal, if any, has not for that reason.
    pub(super) is_out: bool,
    /// As far as it came.
    pub(super) answer: Answer,
}

impl UnderWay {
    pub(super) fn new(tag: Tag, command: Command) -> UnderWay {
        UnderWay {
            tag,
            command,
            is_out: false,
            answer: Answer::default(),
        }
    }

    /// No command: nothing is sent for it.
    pub(super) fn none(tag: Tag) -> UnderWay {
        UnderWay::new(tag, Command::new("", Duration::ZERO, 0))
    }

    /// Nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        self.answer.tagged.is_some() || self.answer.broken.is_some()
    }
}

/// What the server said to one command, and what it got with it.
#[derive(Default)]
pub struct Answer {
    pub untagged: Vec<Vec<Part>>,
    pub tagged: Option<StatusText>,
    /// Why the connection cannot go on, if so.
    pub broken: Option<String>,
    /// How much of the command's literal the server may have.
    pub sent: Sent,
    /// Bytes of it that were handed to the system, or were about to be.
    pub handed_over: u64,
}
