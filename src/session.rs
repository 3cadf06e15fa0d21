//! A signed-in IMAP session: greeting, sign-in, capabilities, fresh views, FETCH and APPEND, and
//! the server's refusals classified where its words still are.
//!
//! After any error but a tagged NO or BAD the session is of no use: its state is unknown. Not for
//! what is fetched or sent (`source`, `gmail`), nor for the reaction to an error (`engine`).

use std::time::Duration;

use log::warn;

use crate::config::{Endpoint, Intervals, Secret};
use crate::error::{Error, Fault, Result, shown};
use crate::message::UidValidity;
use crate::response::{Fetched, Status, StatusText, Untagged, untagged};
use crate::text::counted;
use crate::wire::{Answer, Wire};

mod append;
mod door;
mod greeted;
mod id;
mod listing;
mod mailboxes;
mod provider;
mod quota;
mod refusal;
mod sign_in;
mod told;

pub use crate::wire::{Peer, Sent};
pub use append::Appended;
pub use greeted::Greeted;
pub use listing::List;
pub use mailboxes::Listed;
pub use quota::{Left, Quota};
pub use refusal::{Phase, classify};
use told::{counts, fetched};

/// Warnings of a server that are shown for one command; each costs a line of the log.
const WARNINGS_MAX: usize = 5;
/// How many messages are listed with one command. Slow servers tell of a hundred in a second, and each command has its
/// limit of time.
const LISTED_MAX: u32 = 5_000;
/// A server that claims to hold more has lost its count; each would cost memory.
const MAILBOX_MAX: u32 = 10_000_000;
/// A SEARCH that finds more is not taken: the messages are listed, piece by piece.
const FOUND_MAX: usize = 2_000_000;
/// How many UIDs one command names at most: Courier resets the connection at 60 kB.
pub const SET_MAX: usize = 1000;
/// The largest message that is carried, in bytes: three times what Gmail takes.
pub const MESSAGE_MAX: u64 = 100 << 20;
/// Bytes of header fields that one message's metadata may bring.
pub const METADATA_MAX: u64 = 64 << 10;

/// What proves who we are.
#[derive(Clone, Debug)]
pub enum Login {
    Password {
        user: String,
        password: Secret<String>,
    },
    /// An OAuth 2 access token (XOAUTH2).
    Token { user: String, token: Secret<String> },
}

/// A mailbox as EXAMINE showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    pub uid_validity: UidValidity,
    /// Every message of this view has a lower UID.
    pub uid_next: u32,
    /// The server said so. Where it does not (Courier, docs/servers.md 3.8) it is one more than the
    /// highest UID, which falls when that message goes.
    pub uid_next_stated: bool,
    pub exists: u32,
}

/// What one flight showed.
#[derive(Debug)]
pub struct Look {
    /// The view that the messages are in; an older one where the mailbox was open already.
    pub view: View,
    pub found: Vec<Fetched>,
    /// UIDVALIDITY and UIDNEXT of the other mailboxes, where the server told them.
    pub moved: Vec<Option<(UidValidity, u32)>>,
}

/// What came back for one command: what was heard before it ended, and how it ended.
pub struct Heard {
    pub untagged: Vec<Untagged>,
    pub end: Result<StatusText>,
}

impl Heard {
    fn exists(&self) -> bool {
        self.untagged
            .iter()
            .any(|u| matches!(u, Untagged::Exists(_)))
    }

    /// Was everything readable that was told? What is missing must not count as not there.
    fn whole(&self, fault: Fault, wire: &Wire) -> Result<()> {
        match self
            .untagged
            .iter()
            .any(|u| matches!(u, Untagged::Unreadable))
        {
            true => Err(Error::new(
                fault,
                format!(
                    "{} answered with something that cannot be read",
                    wire.name()
                ),
            )),
            false => Ok(()),
        }
    }
}

pub struct Session {
    imap: imap::Session<Wire>,
    wire: Wire,
    capabilities: Vec<String>,
    selected: Option<(String, View)>,
    /// How many messages the open mailbox holds, as was told last.
    exists: u32,
    usable: bool,
    throttled: bool,
    /// It asks who we are (ID) and has not been told.
    untold: bool,
    /// What goes out together with the next command.
    ahead: Vec<String>,
    handed_over: u64,
    times: Intervals,
}

impl Session {
    /// Connects and signs in.
    ///
    /// # Errors
    /// `Connection`: try again. `NeedsUser`: credentials or certificate refused. `Throttled`: the
    /// server has enough of us for now.
    pub fn open(endpoint: &Endpoint, login: &Login, times: &Intervals) -> Result<Session> {
        Greeted::connect(endpoint, times, login.masks())?.sign_in(login)
    }

    /// `host:port`.
    pub fn name(&self) -> String {
        self.wire.name()
    }

    /// Does the server offer this, now that we are signed in?
    pub fn offers(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|c| c == capability)
    }

    /// The largest message that the server takes, in bytes, where it says so (RFC 7889).
    pub fn append_limit(&self) -> Option<u64> {
        self.capabilities
            .iter()
            .find_map(|c| c.strip_prefix("APPENDLIMIT="))
            .and_then(|n| n.parse().ok())
    }

    /// Did the last OK say [THROTTLED]: a success that asks for patience (docs/gmail.md 2.3)?
    pub fn throttled(&self) -> bool {
        self.throttled
    }

    /// False once an error has left the session in an unknown state.
    pub fn usable(&self) -> bool {
        self.usable
    }

    /// The view that is open, when it is of this mailbox.
    pub fn view_of(&self, mailbox: &str) -> Option<View> {
        self.selected
            .as_ref()
            .filter(|(name, _)| name == mailbox)
            .map(|(_, view)| *view)
    }

    /// Opens a mailbox for reading, afresh even when it is open already: the view that comes is of
    /// this moment.
    pub fn examine(&mut self, mailbox: &str) -> Result<View> {
        self.examine_within(mailbox, self.times.command)
    }

    /// As [`examine`](Self::examine), with a limit of its own: All Mail may take minutes.
    pub fn examine_within(&mut self, mailbox: &str, limit: Duration) -> Result<View> {
        self.selected = None;
        let command = format!("EXAMINE {}", quoted(mailbox)?);
        let heard = self.run(Phase::Examine, &command, limit, 0);
        self.opened(mailbox, heard)
    }

    fn opened(&mut self, mailbox: &str, heard: Heard) -> Result<View> {
        heard.end?;
        let mut exists = 0;
        let (mut validity, mut next) = (None, None);
        for response in &heard.untagged {
            match response {
                Untagged::Exists(n) => exists = *n,
                Untagged::Status(s) => {
                    let told = s.code_args("UIDVALIDITY").and_then(UidValidity::parse);
                    validity = told.or(validity);
                    // 0 is no UID, and so nothing said (RFC 3501 9, nz-number).
                    next = s.code_number("UIDNEXT").filter(|n| *n > 0).or(next);
                }
                _ => {}
            }
        }
        let uid_validity = validity.ok_or_else(|| {
            Error::connection(format!("{} gave no UIDVALIDITY for {mailbox}", self.name()))
        })?;
        let uid_next = match next {
            Some(n) => n,
            None if exists == 0 => 1,
            None => {
                let (last, end) = self.uid_fetch("*", "(UID)", 0);
                end?;
                let last = last.iter().filter_map(|f| f.uid).map(|u| u.0).max();
                // A guess would leave out what the mailbox holds, and nobody would know.
                last.map(|n| n.saturating_add(1)).ok_or_else(|| {
                    Error::connection(format!(
                        "{} says that {mailbox} holds {} and tells the UID of none",
                        self.name(),
                        counted(exists, "message")
                    ))
                })?
            }
        };
        let view = View {
            uid_validity,
            uid_next,
            uid_next_stated: next.is_some(),
            exists,
        };
        self.exists = exists;
        self.selected = Some((mailbox.to_string(), view));
        Ok(view)
    }

    /// The mailboxes with these special uses (RFC 6154: `\All`, `\Junk` ...), in their order, where
    /// the server has them. They are found by attribute: their names are in the account's language.
    pub fn special_use(&mut self, uses: &[&str]) -> Result<Vec<Option<String>>> {
        let heard = self.run(Phase::Fetch, "LIST \"\" \"*\"", self.times.command, 0);
        heard.end?;
        let mut found = vec![None; uses.len()];
        for response in heard.untagged {
            let Untagged::List {
                attributes, name, ..
            } = response
            else {
                continue;
            };
            for (slot, wanted) in found.iter_mut().zip(uses) {
                // Cyrus writes them in lower case (docs/servers.md 3.5).
                let has = attributes
                    .iter()
                    .any(|a| a.eq_ignore_ascii_case(wanted.as_bytes()));
                if has && slot.is_none() {
                    // We say it in commands, errors and the ledger: what cannot be shown as it is
                    // (nothing, line breaks, megabytes) is no name for us.
                    *slot = Some(shown(&name)).filter(|s| !s.is_empty() && s.as_bytes() == name);
                }
            }
        }
        Ok(found)
    }

    /// Where the mailboxes `others` stand, and what `set` of `mailbox` holds, both of this moment,
    /// in one flight: EXAMINE, if another mailbox is open, and UID FETCH, NOOP and STATUS together.
    pub fn look(
        &mut self,
        mailbox: &str,
        set: &str,
        items: &str,
        literals: u64,
        others: &[String],
    ) -> Result<Look> {
        let open = self.view_of(mailbox);
        let fetch = format!("UID FETCH {set} {items}");
        let mut flight = match open {
            Some(_) => vec![fetch.clone(), "NOOP".into()],
            None => vec![format!("EXAMINE {}", quoted(mailbox)?), fetch.clone()],
        };
        if open.is_none() {
            // Also a refused EXAMINE closes what was open (RFC 3501 6.3.1).
            self.selected = None;
        }
        for other in others {
            flight.push(format!("STATUS {} (UIDNEXT UIDVALIDITY)", quoted(other)?));
        }
        self.ahead = flight[1..].to_vec();
        let mut heard = Vec::with_capacity(flight.len());
        for (i, command) in flight.iter().enumerate() {
            let phase = match (open, i) {
                (None, 0) => Phase::Examine,
                _ => Phase::Fetch,
            };
            heard.push(self.run(phase, command, self.times.command, literals));
            if !self.usable {
                break;
            }
        }
        let moved = heard.iter().skip(2).map(|h| counts(&h.untagged)).collect();
        let lost = || Error::connection("the connection was lost");
        let mut heard = heard.into_iter();
        let (first, second) = (heard.next().ok_or_else(lost)?, heard.next());
        let (companion, fetching) = match open {
            Some(_) => (second, first),
            None if first.end.is_err() => return first.end.and(Err(lost())),
            None => (Some(first), second.ok_or_else(lost)?),
        };
        let more_came =
            open.is_some() && (fetching.exists() || companion.as_ref().is_some_and(Heard::exists));
        let whole = fetching.whole(Fault::Transient, &self.wire);
        fetching.end.and(whole)?;
        let companion = companion.ok_or_else(lost)?;
        let view = match open {
            Some(view) => companion.end.map(|_| view)?,
            None => self.opened(mailbox, companion)?,
        };
        let fetched_now = fetched(fetching.untagged);
        for rest in heard {
            rest.end?;
        }
        let found = match more_came {
            false => fetched_now,
            // The view was an old one and is new now (Dovecot answers, then says EXISTS).
            true => {
                let (again, end) = self.uid_fetch(set, items, literals);
                end?;
                again
            }
        };
        Ok(Look { view, found, moved })
    }

    /// What the server tells of these messages, as far as it came: a connection that dies in the
    /// middle does not take along what was there. `literals`: how many bytes may come. An error
    /// with a session that is still usable: refused, or the answer for a message cannot be read.
    pub fn uid_fetch(
        &mut self,
        set: &str,
        items: &str,
        literals: u64,
    ) -> (Vec<Fetched>, Result<()>) {
        let command = format!("UID FETCH {set} {items}");
        let heard = self.run(Phase::Fetch, &command, self.times.command, literals);
        let whole = heard.whole(Fault::Transient, &self.wire);
        let end = heard.end.and(whole);
        (fetched(heard.untagged), end)
    }

    /// Waits in the open mailbox until the server tells of new mail, `limit` at the most (RFC 2177).
    /// True when it told of some, also before: it does not tell of it again.
    pub fn idle(&mut self, limit: Duration) -> Result<bool> {
        self.in_step()?;
        let seen = self.selected.as_ref().map_or(0, |(_, view)| view.exists);
        if self.exists > seen {
            return Ok(true);
        }
        self.tell_who_we_are(&[])?;
        self.wire.expect(limit, 0);
        // A server that is there answers DONE at once: with the look every 90 s one that is not is
        // noticed within two minutes.
        let grace = self.times.command.min(Duration::from_secs(30));
        self.wire.idle(limit, grace, self.exists);
        let _ = self.imap.run("IDLE");
        let heard = self.listen(Phase::Fetch);
        heard.end?;
        Ok(heard
            .untagged
            .iter()
            .any(|u| matches!(u, Untagged::Exists(_))))
    }

    /// As [`uid_fetch`](Self::uid_fetch), in a view that is brought up to now first: NOOP goes ahead
    /// of it in the same flight. True where the view grew meanwhile: Dovecot (2.3 and 2.4, seen 2026)
    /// answers the FETCH from the old view when both come in one segment, and says EXISTS only then.
    pub fn uid_fetch_now(
        &mut self,
        set: &str,
        items: &str,
        literals: u64,
    ) -> (Vec<Fetched>, bool, Result<()>) {
        let command = format!("UID FETCH {set} {items}");
        self.ahead = vec![command.clone()];
        let noop = self.run(Phase::Fetch, "NOOP", self.times.command, 0);
        if let (Err(e), false) = (&noop.end, self.usable) {
            return (Vec::new(), false, Err(e.clone()));
        }
        let heard = self.run(Phase::Fetch, &command, self.times.command, literals);
        let grew = noop.exists() || heard.exists();
        let whole = heard.whole(Fault::Transient, &self.wire);
        (fetched(heard.untagged), grew, heard.end.and(whole))
    }

    /// Is the other side still there?
    pub fn noop(&mut self) -> Result<()> {
        self.run(Phase::Fetch, "NOOP", self.times.command, 0)
            .end
            .map(|_| ())
    }

    /// Says goodbye; whether it is heard does not matter.
    pub fn logout(mut self) {
        self.untold = false;
        if self.usable {
            let _ = self.run(Phase::Fetch, "LOGOUT", Duration::from_secs(5), 0);
        }
    }

    fn run(&mut self, phase: Phase, command: &str, limit: Duration, literals: u64) -> Heard {
        if let Err(e) = self.in_step() {
            return Heard {
                untagged: Vec::new(),
                end: Err(e),
            };
        }
        let ahead = std::mem::take(&mut self.ahead);
        if self.untold {
            let flight = [&[command.to_string()], &ahead[..]].concat();
            if let Err(e) = self.tell_who_we_are(&flight) {
                return Heard {
                    untagged: Vec::new(),
                    end: Err(e),
                };
            }
        } else if !ahead.is_empty() {
            self.wire.send_ahead(ahead);
        }
        // Unless an answer is heard to its end: also a panic on the way leaves it out of step.
        self.usable = false;
        self.wire.expect(limit, literals);
        let _ = self.imap.run(command);
        self.listen(phase)
    }

    /// Of a session in an unknown state nothing more is asked: the next answer might be to the last
    /// question.
    fn in_step(&self) -> Result<()> {
        if self.usable {
            Ok(())
        } else {
            Err(Error::connection(format!(
                "the session with {} is out of step",
                self.name()
            )))
        }
    }

    /// What the wire heard. The crate's own verdict is not needed: it saw the same answer.
    fn listen(&mut self, phase: Phase) -> Heard {
        let answer = self.wire.take_answer();
        self.usable = answer.tagged.is_some() && answer.broken.is_none();
        self.throttled = answer
            .tagged
            .as_ref()
            .is_some_and(|s| s.status == Status::Ok && s.words.ends_with(b"[THROTTLED]"));
        let heard = judge(&self.wire, phase, answer);
        for response in &heard.untagged {
            match response {
                Untagged::Exists(n) => self.exists = *n,
                Untagged::Expunge => self.exists = self.exists.saturating_sub(1),
                _ => {}
            }
        }
        heard
    }
}

impl Heard {
    fn capabilities(self) -> Result<Vec<String>> {
        let end = self.end?;
        let listed = self.untagged.into_iter().rev().find_map(|u| match u {
            Untagged::Capability(list) => Some(list),
            Untagged::Status(s) => capability_code(&s),
            _ => None,
        });
        Ok(capability_code(&end).or(listed).unwrap_or_default())
    }
}

fn heard(wire: &Wire, phase: Phase) -> Heard {
    judge(wire, phase, wire.take_answer())
}

fn judge(wire: &Wire, phase: Phase, answer: Answer) -> Heard {
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
                if warnings <= WARNINGS_MAX && !wire.has_warned(&s.words) {
                    warn!("{} says: {}", wire.name(), wire.words(&s.words));
                }
            }
            Some(response) => untagged_responses.push(response),
            // One response that cannot be read is as if it had not come; the next ones are fine.
            None => {}
        }
    }
    let end = match answer.tagged {
        Some(status) if status.status == Status::Ok => Ok(status),
        Some(status) => Err(refused(wire, phase, &status)),
        None => Err(match bye {
            Some(status) => refused(wire, phase, &status),
            None => Error::connection(format!(
                "the connection to {} was lost: {}",
                wire.name(),
                answer.broken.as_deref().unwrap_or("no answer came")
            )),
        }),
    };
    Heard {
        untagged: untagged_responses,
        end,
    }
}

fn refused(wire: &Wire, phase: Phase, status: &StatusText) -> Error {
    let words = wire.words(&status.words);
    classify(phase, status.status, &wire.peer(), &words)
}

fn capability_code(status: &StatusText) -> Option<Vec<String>> {
    let list = status.code_args("CAPABILITY")?;
    Some(
        list.split(|&b| b == b' ')
            .map(|w| String::from_utf8_lossy(w).to_ascii_uppercase())
            .collect(),
    )
}

/// A mailbox name as a quoted string.
fn quoted(name: &str) -> Result<String> {
    if name.contains(['\r', '\n', '\0']) {
        return Err(Error::usage("a mailbox name cannot hold line breaks"));
    }
    Ok(format!(
        "\"{}\"",
        name.replace('\\', "\\\\").replace('"', "\\\"")
    ))
}
