//! A signed-in IMAP session: greeting, sign-in, capabilities, fresh views, FETCH and APPEND, and
//! the server's refusals classified where its words still are.
//!
//! After any error but a tagged NO or BAD the session is of no use: its state is unknown. Not for
//! what is fetched or sent (`source`, `target`), nor for the reaction to an error (`engine`).

use std::time::Duration;

use log::debug;

use crate::config::{Endpoint, Intervals, Secret};
use crate::error::{Error, Fault, Result, shown};
use crate::message::UidValidity;
use crate::response::{Fetched, Untagged};
use crate::text::counted;
use crate::wire::{Command, Connection};

mod append;
mod change;
mod door;
mod exchange;
mod greeted;
mod id;
mod listing;
mod look;
mod mailboxes;
mod provider;
mod quota;
mod refusal;
mod sign_in;
mod told;

pub use crate::wire::{Meanwhile, Peer, Sent};
pub use append::{Appended, Appending};
use exchange::{Begun, Heard};
pub use greeted::Greeted;
pub use listing::List;
pub use look::{Asked, Look, Looked, Looking};
use mailboxes::Places;
pub use mailboxes::{Mailboxes, Standing};
pub use quota::{Left, Quota};
pub use refusal::{Phase, classify};
use told::fetched;

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

impl View {
    /// Of no mailbox.
    pub fn of_nothing() -> View {
        View {
            uid_validity: UidValidity(0),
            uid_next: 1,
            uid_next_stated: false,
            exists: 0,
        }
    }
}

pub struct Session {
    connection: Connection,
    capabilities: Vec<String>,
    selected: Option<(String, View)>,
    /// The mailbox that is open once what was begun is done, where that is not heard yet; and the how many-th opening it is.
    opening: Option<(String, u32)>,
    openings: u32,
    /// Something that a look asks for came with the answer to another command.
    told_out_of_turn: bool,
    /// How many messages the open mailbox holds, as was told last.
    exists: u32,
    usable: bool,
    throttled: bool,
    /// It asks who we are (ID) and has not been told.
    untold: bool,
    /// That went out and its answer is still to be heard.
    told: Option<Begun>,
    handed_over: u64,
    /// Where its mailboxes lie, once it was asked.
    places: Option<Places>,
    /// The server tells of other mailboxes than the open one (NOTIFY, RFC 5465).
    notifies: bool,
    /// It has told of one since that was asked last.
    told_elsewhere: bool,
    times: Intervals,
}

impl Session {
    /// Connects and signs in.
    ///
    /// # Errors
    /// `Connection`: try again. `NeedsUser`: credentials or certificate refused. `Throttled`: the
    /// server has enough of us for now.
    pub fn open(endpoint: &Endpoint, login: &Login, times: &Intervals) -> Result<Session> {
        Session::open_when(endpoint, login, times, &|| Ok(()))
    }

    /// The same. `ready` is asked when the server has greeted us, before it hears who we are: an error ends it there.
    pub fn open_when(
        endpoint: &Endpoint,
        login: &Login,
        times: &Intervals,
        ready: &dyn Fn() -> Result<()>,
    ) -> Result<Session> {
        let greeted = Greeted::connect(endpoint, times, login.masks())?;
        ready()?;
        greeted.sign_in(login)
    }

    /// `host:port`.
    pub fn name(&self) -> String {
        self.connection.name().to_string()
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
        self.leave_mailbox();
        self.exists = 0;
        let command = format!("EXAMINE {}", quoted(mailbox)?);
        let heard = self.run(Phase::Examine, &command, limit, 0);
        self.opened(mailbox, heard)
    }

    /// No mailbox is open any more.
    fn leave_mailbox(&mut self) {
        (self.selected, self.opening) = (None, None);
    }

    fn opened(&mut self, mailbox: &str, heard: Heard) -> Result<View> {
        heard.end?;
        let uid_validity = self.validity(mailbox, &heard.untagged)?;
        let (mut exists, mut next) = (0, None);
        for response in &heard.untagged {
            match response {
                Untagged::Exists(n) => exists = *n,
                // 0 is no UID, and so nothing said (RFC 3501 9, nz-number).
                Untagged::Status(s) => {
                    next = s.code_number("UIDNEXT").filter(|n| *n > 0).or(next);
                }
                _ => {}
            }
        }
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
                        "{} says that {} holds {} and tells the UID of none",
                        self.name(),
                        shown(mailbox.as_bytes()),
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
        self.selected = Some((mailbox.to_string(), view));
        Ok(view)
    }

    fn validity(&self, mailbox: &str, told: &[Untagged]) -> Result<UidValidity> {
        let told = told.iter().rev().find_map(|u| match u {
            Untagged::Status(s) => s.code_args("UIDVALIDITY").and_then(UidValidity::parse),
            _ => None,
        });
        told.ok_or_else(|| {
            let mailbox = shown(mailbox.as_bytes());
            Error::connection(format!("{} gave no UIDVALIDITY for {mailbox}", self.name()))
        })
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
        let whole = heard.whole(Fault::Transient, &self.connection);
        let end = heard.end.and(whole);
        (fetched(heard.untagged), end)
    }

    /// Waits in the open mailbox until the server tells of new mail, `limit` at the most (RFC 2177). `meanwhile`: what is
    /// done again and again until then. True when it told of some, also before: it does not tell of it again.
    pub fn idle(&mut self, limit: Duration, meanwhile: Option<Meanwhile>) -> Result<bool> {
        self.in_step()?;
        let seen = self.selected.as_ref().map_or(0, |(_, view)| view.exists);
        if self.exists > seen || std::mem::take(&mut self.told_elsewhere) {
            return Ok(true);
        }
        self.tell_who_we_are()?;
        // A server that is there answers DONE at once: with the look every 90 s one that is not is
        // noticed within two minutes.
        let grace = self.times.command.min(Duration::from_secs(30));
        let idle = Command::idle(limit, grace, self.exists, self.notifies).meanwhile(meanwhile);
        let idle = self.begin(Phase::Fetch, idle)?;
        let heard = self.hear(idle);
        let told = heard.exists() || std::mem::take(&mut self.told_elsewhere);
        heard.end.map(|_| told)
    }

    /// Has the server tell of mail that comes to any of our mailboxes, while it is waited for and before (RFC 5465).
    /// False where it does not.
    pub fn notify(&mut self) -> Result<bool> {
        if !self.offers("NOTIFY") {
            return Ok(false);
        }
        // Delayed: numbers of messages must not change while they are asked about.
        let command = "NOTIFY SET (selected-delayed (MessageNew MessageExpunge)) (personal (MessageNew MessageExpunge))";
        let heard = self.run(Phase::Change, command, self.times.command, 0);
        match heard.end {
            Err(e) if !self.usable => Err(e),
            Err(e) => {
                debug!("{}", e.then("asking about each mailbox"));
                Ok(false)
            }
            Ok(_) => {
                self.notifies = true;
                Ok(true)
            }
        }
    }

    /// Does it tell of other mailboxes than the open one?
    pub fn notifies(&self) -> bool {
        self.notifies
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
        let limit = self.times.command;
        let fetch = format!("UID FETCH {set} {items}");
        let (noop, fetch) = match (
            self.begin(Phase::Fetch, Command::new("NOOP", limit, 0)),
            self.begin(Phase::Fetch, Command::new(fetch, limit, literals)),
        ) {
            (Ok(noop), Ok(fetch)) => (noop, fetch),
            (Err(e), _) | (_, Err(e)) => return (Vec::new(), false, Err(e)),
        };
        let noop = self.hear(noop);
        if let (Err(e), false) = (&noop.end, self.usable) {
            return (Vec::new(), false, Err(e.clone()));
        }
        let heard = self.hear(fetch);
        let grew = noop.exists() || heard.exists();
        let whole = heard.whole(Fault::Transient, &self.connection);
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
}

/// A mailbox name as a quoted string.
///
/// # Errors
/// `Usage`: a name with line breaks in it.
pub fn quoted(name: &str) -> Result<String> {
    if name.contains(['\r', '\n', '\0']) {
        return Err(Error::usage("a mailbox name cannot hold line breaks"));
    }
    Ok(format!(
        "\"{}\"",
        name.replace('\\', "\\\\").replace('"', "\\\"")
    ))
}
