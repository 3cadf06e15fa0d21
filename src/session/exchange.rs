//! Commands and what is heard to them: which go out together, what each answer amounts to, and whether
//! the session is in step afterwards.

use std::time::Duration;

use log::warn;

use super::{Phase, Session, classify};
use crate::error::{Error, Fault, Result};
use crate::response::{Status, StatusText, Untagged, untagged};
use crate::wire::{Answer, Command, Connection, Sent, Tag};

/// Warnings of a server that are shown for one command; each costs a line of the log.
const WARNINGS_MAX: usize = 5;

/// A command that was begun. Its refusal is read as one of this phase.
#[derive(Clone, Copy)]
pub(super) struct Begun {
    phase: Phase,
    tag: Tag,
}

impl Begun {
    pub(super) fn new(phase: Phase, tag: Tag) -> Begun {
        Begun { phase, tag }
    }
}

/// What came back for one command: what was heard before it ended, and how it ended.
pub(super) struct Heard {
    pub(super) untagged: Vec<Untagged>,
    pub(super) end: Result<StatusText>,
    /// The server has ended it, with whatever words.
    pub(super) answered: bool,
    /// How much of its literal the server may have.
    pub(super) sent: Sent,
    /// Bytes of it that may have left us.
    pub(super) handed_over: u64,
}

impl Heard {
    fn nothing(why: Error) -> Heard {
        Heard {
            untagged: Vec::new(),
            end: Err(why),
            answered: false,
            sent: Sent::Nothing,
            handed_over: 0,
        }
    }

    pub(super) fn exists(&self) -> bool {
        self.untagged
            .iter()
            .any(|u| matches!(u, Untagged::Exists(_)))
    }

    /// Was everything readable that was told? What is missing must not count as not there.
    pub(super) fn whole(&self, fault: Fault, connection: &Connection) -> Result<()> {
        match self
            .untagged
            .iter()
            .any(|u| matches!(u, Untagged::Unreadable))
        {
            true => Err(Error::new(
                fault,
                format!(
                    "{} answered with something that cannot be read",
                    connection.name()
                ),
            )),
            false => Ok(()),
        }
    }

    pub(super) fn capabilities(self) -> Result<Vec<String>> {
        let end = self.end?;
        let listed = self.untagged.into_iter().rev().find_map(|u| match u {
            Untagged::Capability(list) => Some(list),
            Untagged::Status(s) => capability_code(&s),
            _ => None,
        });
        Ok(capability_code(&end).or(listed).unwrap_or_default())
    }
}

impl Session {
    /// Runs one command and hears its answer.
    pub(super) fn run(
        &mut self,
        phase: Phase,
        command: &str,
        limit: Duration,
        literals: u64,
    ) -> Heard {
        match self.begin(phase, Command::new(command, limit, literals)) {
            Ok(begun) => self.hear(begun),
            Err(e) => Heard::nothing(e),
        }
    }

    /// Begins a command, behind those that are begun already: they go out together when the first of
    /// their answers is heard.
    pub(super) fn begin(&mut self, phase: Phase, command: Command) -> Result<Begun> {
        self.in_step()?;
        self.begin_to_tell_who_we_are();
        let tag = self.connection.begin(command);
        Ok(Begun::new(phase, tag))
    }

    /// Hears what the server says to a command that was begun. A session that is of no use
    /// afterwards hears no other.
    pub(super) fn hear(&mut self, begun: Begun) -> Heard {
        let ready = self.in_step().and_then(|()| self.hear_that_we_are_known());
        if let Err(e) = ready {
            return Heard::nothing(e);
        }
        self.listen(begun)
    }

    /// What became of a command that was begun in a session which is of no use any more: how much of it the server may
    /// have.
    pub(super) fn hear_no_more(&mut self, begun: Begun) -> Heard {
        self.connection.give_up("the session is out of step");
        self.listen(begun)
    }

    /// Of a session in an unknown state nothing more is asked: the next answer might be to the last
    /// question.
    pub(super) fn in_step(&self) -> Result<()> {
        if self.usable {
            Ok(())
        } else {
            Err(Error::connection(format!(
                "the session with {} is out of step",
                self.connection.name()
            )))
        }
    }

    pub(super) fn listen(&mut self, Begun { phase, tag }: Begun) -> Heard {
        // Unless an answer is heard to its end: also a panic on the way leaves it out of step.
        let usable = std::mem::replace(&mut self.usable, false);
        let answer = self.connection.answer(tag);
        self.usable = usable && answer.tagged.is_some() && answer.broken.is_none();
        self.throttled = answer
            .tagged
            .as_ref()
            .is_some_and(|s| s.status == Status::Ok && s.words.ends_with(b"[THROTTLED]"));
        let heard = judge(&mut self.connection, phase, answer);
        for response in &heard.untagged {
            match response {
                Untagged::Exists(n) => self.exists = *n,
                Untagged::Expunge => self.exists = self.exists.saturating_sub(1),
                // Where it was asked for, whoever did says so.
                Untagged::Counts { .. } => self.told_elsewhere |= self.notifies,
                told => {
                    let asked = matches!(phase, Phase::Fetch);
                    self.told_out_of_turn |= !asked && answers_a_fetch(told);
                }
            }
        }
        heard
    }
}

/// Is it what a look asks for, and no news of flags that came unasked?
pub(super) fn answers_a_fetch(told: &Untagged) -> bool {
    matches!(told, Untagged::Fetch(f) if f.naming().is_some() || f.body.is_some())
}

/// What an answer amounts to, with the server's warnings logged.
pub(super) fn judge(connection: &mut Connection, phase: Phase, answer: Answer) -> Heard {
    let mut untagged_responses = Vec::new();
    let mut bye = None;
    let mut warnings = 0;
    for parts in answer.untagged {
        match untagged(parts) {
            Some(Untagged::Status(s)) if s.status == Status::Bye => bye = Some(s),
            Some(Untagged::Status(s))
                if matches!(s.status, Status::No | Status::Bad)
                    || s.code_args("ALERT").is_some() =>
            {
                warnings += 1;
                if warnings <= WARNINGS_MAX && !connection.has_warned(&s.words) {
                    let words = connection.words(&s.words);
                    warn!("{} says: {words}", connection.name());
                }
            }
            Some(response) => untagged_responses.push(response),
            // One response that cannot be read is as if it had not come; the next ones are fine.
            None => {}
        }
    }
    let answered = answer.tagged.is_some() && answer.broken.is_none();
    let end = match answer.tagged {
        Some(status) if status.status == Status::Ok => Ok(status),
        Some(status) => Err(refused(connection, phase, &status)),
        None => Err(match bye {
            Some(status) => refused(connection, phase, &status),
            None => Error::connection(format!(
                "the connection to {} was lost: {}",
                connection.name(),
                answer.broken.as_deref().unwrap_or("no answer came")
            )),
        }),
    };
    Heard {
        untagged: untagged_responses,
        end,
        answered,
        sent: answer.sent,
        handed_over: answer.handed_over,
    }
}

pub(super) fn refused(connection: &Connection, phase: Phase, status: &StatusText) -> Error {
    let words = connection.words(&status.words);
    classify(phase, status.status, connection.peer(), &words)
}

pub(super) fn capability_code(status: &StatusText) -> Option<Vec<String>> {
    let list = status.code_args("CAPABILITY")?;
    Some(
        list.split(|&b| b == b' ')
            .map(|w| String::from_utf8_lossy(w).to_ascii_uppercase())
            .collect(),
    )
}
