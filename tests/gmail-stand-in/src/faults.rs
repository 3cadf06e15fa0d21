//! Scripted faults: what goes wrong, once or a few times, at a chosen command.
//!
//! A fault says where in the command it strikes; what a server does all the time is a knob.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// `* BYE` text of a session that ran out (docs/gmail.md 2.3).
pub const SESSION_EXPIRED: &str = "Session expired, please login again.";
/// `* BYE` text of Microsoft for a session that ends with its token (docs/gmail.md 8.2).
pub const TOKEN_EXPIRED: &str = "Session invalidated - AccessTokenExpired";
/// `* BYE` text of a block for bandwidth (docs/gmail.md 2.3).
pub const OVERQUOTA: &str = "[OVERQUOTA] Account exceeded command or bandwidth limits.";
/// `* BYE` text of an outage (docs/gmail.md 2.3).
pub const UNAVAILABLE: &str = "[UNAVAILABLE] Temporary System Error";
/// Tagged answer to any command (docs/gmail.md 2.3).
pub const SYSTEM_ERROR: &str = "NO System Error (Failure)";
/// Tagged answer to APPEND (docs/gmail.md 3.6).
pub const UNABLE_TO_APPEND: &str = "NO Unable to append message to folder (Failure)";

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This tagged answer ("NO ...") instead of doing anything; for APPEND in place of `+`. Lines that begin with `* `
    /// are sent untagged.
    Answer(String),
    /// `* BYE` with this text instead of doing anything, and the end of the connection.
    Bye(String),
    /// The connection is cut when the command line was heard.
    CutBefore,
    /// The connection is cut after so many bytes of the literal: the client's, or the first that the answer holds.
    CutInLiteral(usize),
    /// The connection is cut instead of the answer. `stored`: whether the command was carried out.
    CutAfterLiteral {
        /// Whether the command was carried out.
        stored: bool,
    },
    /// APPEND: the connection is cut after the literal, and the message is stored this much later, for real.
    CommitLate(Duration),
    /// The command line is heard, and nothing is said any more.
    Stall,
    /// Nothing is said after the literal (docs/gmail.md 3.9).
    StallAfterLiteral {
        /// Whether the command was carried out.
        stored: bool,
    },
    /// The answer comes in pieces of so many bytes.
    Drip {
        /// Bytes at a time.
        bytes: usize,
        /// The pause after each piece.
        pause: Duration,
    },
    /// `BAD` with the whole command line in it, secrets and all.
    EchoCommandInBad,
    /// The command is carried out at once, and answered this much later, for real.
    Delay(Duration),
    /// This tagged answer after the literal.
    AnswerAfterLiteral {
        /// "NO ..." or whatever.
        text: String,
        /// Whether the command was carried out all the same.
        stored: bool,
    },
    /// `+ go ahead`, and then at once `* BYE` with this text.
    ByeAfterGoAhead(String),
    /// `* BYE` with this text instead of the tagged answer.
    ByeAfterLiteral {
        /// Text of the BYE.
        text: String,
        /// Whether the command was carried out all the same.
        stored: bool,
    },
}

/// Which commands a fault strikes.
#[derive(Debug, Clone)]
pub struct On {
    command: String,
    first: usize,
    times: usize,
    session: Option<u32>,
    line: Option<String>,
    literal: Option<Vec<u8>>,
}

impl On {
    /// The `n`th (from 1) command of this name from now on, on any connection: `"APPEND"`, `"UID FETCH"`, `"*"` for any.
    /// `"CONNECT"` stands for the greeting (only cut, BYE, stall and delay make sense there), `"DONE"` for the end of
    /// IDLE.
    pub fn nth(n: usize, command: &str) -> On {
        On {
            command: command.to_ascii_uppercase(),
            first: n,
            times: 1,
            session: None,
            line: None,
            literal: None,
        }
    }

    /// Every such command.
    pub fn each(command: &str) -> On {
        On {
            times: usize::MAX,
            ..On::nth(1, command)
        }
    }

    /// So many in a row, instead of one.
    pub fn times(self, times: usize) -> On {
        On { times, ..self }
    }

    /// Only on this connection (from 1).
    pub fn in_session(self, session: u32) -> On {
        let session = Some(session);
        On { session, ..self }
    }

    /// Only where the command line holds this.
    pub fn line_with(self, part: &str) -> On {
        let line = Some(part.to_string());
        On { line, ..self }
    }

    /// Only where the message that is brought holds this. Such a fault strikes after the literal at the earliest.
    pub fn message_with(self, part: impl AsRef<[u8]>) -> On {
        let literal = Some(part.as_ref().to_vec());
        On { literal, ..self }
    }
}

/// Tells how often a fault struck.
#[derive(Debug, Clone)]
pub struct Hits(Arc<AtomicUsize>);

impl Hits {
    /// How often.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
struct Rule<F> {
    on: On,
    fault: F,
    seen: usize,
    hits: Hits,
}

/// Faults of one kind of server, and where each strikes.
#[derive(Debug)]
pub(crate) struct Faults<F>(Mutex<Vec<Rule<F>>>);

impl<F> Default for Faults<F> {
    fn default() -> Self {
        Faults(Mutex::default())
    }
}

impl<F: Clone> Faults<F> {
    pub(crate) fn add(&self, on: On, fault: F) -> Hits {
        let hits = Hits(Arc::new(AtomicUsize::new(0)));
        self.0.lock().unwrap().push(Rule {
            on,
            fault,
            seen: 0,
            hits: hits.clone(),
        });
        hits
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    /// What strikes when a command line was heard.
    pub(crate) fn at_line(&self, session: u32, command: &str, line: &str) -> Option<F> {
        self.strike(|on| {
            on.literal.is_none()
                && (on.command == "*" || on.command == command)
                && on.session.is_none_or(|s| s == session)
                && on.line.as_ref().is_none_or(|part| line.contains(part))
        })
    }

    /// What strikes when the message that a command brings was heard.
    pub(crate) fn at_message(
        &self,
        session: u32,
        command: &str,
        line: &str,
        message: &[u8],
    ) -> Option<F> {
        self.strike(|on| {
            on.literal.as_ref().is_some_and(|part| holds(message, part))
                && (on.command == "*" || on.command == command)
                && on.session.is_none_or(|s| s == session)
                && on.line.as_ref().is_none_or(|part| line.contains(part))
        })
    }

    /// Every rule counts what matches it; the first that is due decides.
    fn strike(&self, matches: impl Fn(&On) -> bool) -> Option<F> {
        let mut due = None;
        for rule in self.0.lock().unwrap().iter_mut() {
            if !matches(&rule.on) {
                continue;
            }
            rule.seen += 1;
            let on = &rule.on;
            if due.is_none() && rule.seen >= on.first && rule.seen - on.first < on.times {
                rule.hits.0.fetch_add(1, Ordering::SeqCst);
                due = Some(rule.fault.clone());
            }
        }
        due
    }
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}
