//! One session: hears commands, lets the faults strike that are due, and has each command answered.
//!
//! What a command does is in the modules below, one for each group of commands; this file knows when a session ends.

mod append;
mod change;
mod fetch;
mod listing;
mod login;
mod mailboxes;
mod notify;
mod search;
mod view;

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::Kind;
use crate::faults::{Fault, SESSION_EXPIRED, TOKEN_EXPIRED};
use crate::knobs::Knobs;
use crate::names::{decode_utf7, encode_utf7};
use crate::server::Shared;
use crate::store::Store;
use crate::syntax::{Token, announced, quote, tokens};
use crate::wire::{Gone, Manner, Step, Wire};
use view::View;

pub(crate) const BAD: &str = "BAD Could not parse command";

pub(crate) struct Session {
    shared: Arc<Shared>,
    number: u32,
    wire: Wire,
    signed_in: bool,
    expires: Option<DateTime<Utc>>,
    /// After ENABLE UTF8=ACCEPT.
    utf8: bool,
    view: Option<View>,
    /// After NOTIFY SET.
    watch: Option<notify::Watch>,
    /// What strikes the command under way.
    fault: Option<Fault>,
    /// The line of the command under way.
    line: String,
}

/// A command: its tag, its name in capitals ("UID FETCH"), and the rest with its literals.
struct Command {
    tag: String,
    name: String,
    args: Vec<u8>,
    /// The message that an APPEND has announced but not yet sent.
    message: Option<(usize, bool)>,
}

impl Command {
    fn read(line: &[u8]) -> Option<Command> {
        let line_text = String::from_utf8_lossy(line);
        let mut words = line_text.splitn(3, ' ');
        let tag = words.next().filter(|tag| !tag.is_empty())?.to_string();
        let mut name = words.next()?.to_ascii_uppercase();
        let mut at = (tag.len() + 1 + name.len() + 1).min(line.len());
        if name == "UID" {
            let verb = words.next()?.split(' ').next()?.to_ascii_uppercase();
            at = (at + verb.len() + 1).min(line.len());
            name = format!("UID {verb}");
        }
        Some(Command {
            tag,
            name,
            args: line[at..].to_vec(),
            message: None,
        })
    }

    fn tokens(&self) -> Option<Vec<Token>> {
        tokens(&self.args)
    }
}

impl Session {
    pub(crate) fn run(shared: Arc<Shared>, number: u32, tcp: TcpStream) {
        let Ok(wire) = Wire::new(Arc::clone(&shared), number, tcp) else {
            return;
        };
        let mut session = Session {
            shared,
            number,
            wire,
            signed_in: false,
            expires: None,
            utf8: false,
            view: None,
            watch: None,
            fault: None,
            line: String::new(),
        };
        let Err(Gone) = session.talk();
        session.wire.cut();
    }

    fn talk(&mut self) -> Step<std::convert::Infallible> {
        self.greet()?;
        loop {
            let line = self.next_command()?;
            self.command(&line)?;
        }
    }

    fn command(&mut self, line: &[u8]) -> Step<()> {
        self.line = String::from_utf8_lossy(line).into_owned();
        let Some(mut command) = Command::read(line) else {
            self.wire.say(&format!("* {BAD}"));
            return self.flush();
        };
        let struck = self
            .shared
            .faults
            .at_line(self.number, &command.name, &self.line);
        let without_effect = command.name != "APPEND" && !struck.as_ref().is_none_or(has_effect);
        match struck {
            Some(Fault::Answer(text)) => {
                self.skip_literals(line)?;
                self.answer(&command.tag, &text);
                return self.flush();
            }
            Some(Fault::EchoCommandInBad) => {
                self.skip_literals(line)?;
                self.answer(&command.tag, &format!("{BAD}: {}", self.line));
                return self.flush();
            }
            Some(Fault::Bye(text)) => return self.bye(&text),
            Some(Fault::CutBefore) => return Err(Gone),
            Some(Fault::Stall) => return self.stall(),
            fault => self.fault = fault,
        }
        if !without_effect && self.complete(&mut command, line)? {
            if self.shared.knobs.lock().unwrap().visible_at_once {
                self.catch_up();
            }
            self.dispatch(&command)?;
        }
        self.finish(&command.tag)
    }

    /// Sends what was said, or whatever the fault makes of it.
    fn finish(&mut self, tag: &str) -> Step<()> {
        let mut manner = Manner::default();
        let throttled = self.shared.knobs.lock().unwrap().throttled;
        self.wire.rest(throttled.unwrap_or_default())?;
        match self.fault.take() {
            Some(Fault::CutAfterLiteral { .. } | Fault::CommitLate(_)) => return Err(Gone),
            Some(Fault::StallAfterLiteral { .. }) => return self.stall(),
            Some(Fault::AnswerAfterLiteral { text, .. }) => {
                self.wire.unsay();
                self.answer(tag, &text);
            }
            Some(Fault::ByeAfterLiteral { text, .. }) => {
                self.wire.unsay();
                return self.bye(&text);
            }
            Some(Fault::Delay(time)) => self.wire.rest(time)?,
            Some(Fault::CutInLiteral(bytes)) => manner.cut_in_literal = Some(bytes),
            Some(Fault::Drip { bytes, pause }) => manner.drip = Some((bytes, pause)),
            _ => {}
        }
        self.wire.flush(manner)
    }

    fn dispatch(&mut self, command: &Command) -> Step<()> {
        let tag = command.tag.as_str();
        let Some(args) = command.tokens() else {
            self.answer(tag, BAD);
            return Ok(());
        };
        match command.name.as_str() {
            "CAPABILITY" => self.capability(tag),
            "NOOP" | "CHECK" => {
                self.catch_up();
                self.tell_watched();
                self.ok(tag, "OK Success");
            }
            "LOGOUT" => {
                self.wire.say("* BYE LOGOUT Requested");
                self.answer(tag, "OK 73 good day (Success)");
                self.flush()?;
                self.wire.close();
                return Err(Gone);
            }
            "ID" => self.id(tag),
            "LOGIN" if !self.signed_in => return self.login(tag, &args),
            "AUTHENTICATE" if !self.signed_in => return self.authenticate(tag, &args),
            _ if !self.signed_in => self.answer(tag, BAD),
            "NAMESPACE" => {
                let options = &self.shared.options;
                let own = format!("(({} \"{}\"))", quote(&options.prefix), options.delimiter);
                self.wire.say(&format!("* NAMESPACE {own} NIL NIL"));
                self.ok(tag, "OK Success");
            }
            "ENABLE" => self.enable(tag, &args),
            "LIST" | "LSUB" | "XLIST" => self.list(tag, &command.name, &args),
            "SELECT" => self.select(tag, &args, false),
            "EXAMINE" => self.select(tag, &args, true),
            "STATUS" => self.status(tag, &args),
            "CREATE" => self.create(tag, &args),
            "DELETE" => self.delete(tag, &args),
            "RENAME" => self.rename(tag, &args),
            "NOTIFY" if self.offers("NOTIFY") => self.notify(tag, &args),
            "SUBSCRIBE" | "UNSUBSCRIBE" => self.ok(tag, "OK Success"),
            "GETQUOTAROOT" | "GETQUOTA" => self.quota(tag, &command.name),
            "IDLE" if self.offers("IDLE") => return self.idle(tag),
            "APPEND" => return self.append(tag, &args, command.message),
            "CLOSE" | "UNSELECT" if self.view.is_some() => self.leave(tag, &command.name),
            "FETCH" | "UID FETCH" if self.view.is_some() => return self.fetch(command, &args),
            "SEARCH" | "UID SEARCH" if self.view.is_some() => self.search(command, &args),
            "STORE" | "UID STORE" if self.view.is_some() => self.store_flags(command, &args),
            "EXPUNGE" | "UID EXPUNGE" if self.view.is_some() => self.expunge(command, &args),
            "COPY" | "UID COPY" | "MOVE" | "UID MOVE" if self.view.is_some() => {
                self.copy(command, &args);
            }
            _ => self.answer(tag, BAD),
        }
        Ok(())
    }

    /// Reads the literals of a command up to the message of an APPEND. False when it was refused.
    fn complete(&mut self, command: &mut Command, line: &[u8]) -> Step<bool> {
        let mut announcement = announced(line);
        while let Some((len, at_once)) = announcement {
            if command.name == "APPEND" && names_a_mailbox(&command.args) {
                let start = command.args.iter().rposition(|&b| b == b'{').unwrap_or(0);
                command.args.truncate(start);
                command.message = Some((len, at_once));
                return Ok(true);
            }
            if !self.invite(&command.tag, len, at_once)? {
                return Ok(false);
            }
            let literal = self.read_literal(len)?;
            let rest = self.read_line()?;
            command.args.extend_from_slice(b"\r\n");
            command.args.extend_from_slice(&literal);
            command.args.extend_from_slice(&rest);
            announcement = announced(&rest);
        }
        Ok(true)
    }

    /// Answers the announcement of a literal: `+ go ahead`, unless it comes unasked. LITERAL- ends at 4,096 bytes; what
    /// Gmail does beyond is a guess (docs/gmail.md 1.4): `BAD` and the end.
    fn invite(&mut self, tag: &str, len: usize, at_once: bool) -> Step<bool> {
        let allowed = if self.offers("LITERAL+") {
            usize::MAX
        } else {
            4096
        };
        if at_once && (len > allowed || !(self.offers("LITERAL-") || self.offers("LITERAL+"))) {
            self.answer(tag, BAD);
            self.flush()?;
            self.wire.close();
            return Err(Gone);
        }
        if len > 64 << 20 {
            self.answer(tag, BAD);
            return Ok(false);
        }
        if !at_once {
            self.wire.say("+ go ahead");
            self.flush()?;
        }
        Ok(true)
    }

    /// Takes what was sent without waiting, behind a command line that is not looked at.
    fn skip_literals(&mut self, line: &[u8]) -> Step<()> {
        let mut announcement = announced(line);
        while let Some((len, true)) = announcement {
            self.read_literal(len)?;
            announcement = announced(&self.read_line()?);
        }
        Ok(())
    }

    /// While the client says nothing, what it wants to be notified of is said.
    fn next_command(&mut self) -> Step<Vec<u8>> {
        while !self.wire.has_line() {
            self.expire()?;
            let quiet = !self.wire.poll()? && self.shared.knobs.lock().unwrap().notify_between;
            if quiet && self.tell_watched() {
                self.flush()?;
            }
        }
        self.read_line()
    }

    fn read_line(&mut self) -> Step<Vec<u8>> {
        loop {
            self.expire()?;
            if let Some(line) = self.wire.take_line() {
                return Ok(line);
            }
            self.wire.poll()?;
        }
    }

    fn read_literal(&mut self, len: usize) -> Step<Vec<u8>> {
        loop {
            self.expire()?;
            if let Some(literal) = self.wire.take_literal(len) {
                return Ok(literal);
            }
            self.wire.poll()?;
        }
    }

    /// Ends the session if its time is over (docs/gmail.md 6).
    fn expire(&mut self) -> Step<()> {
        match self.expires {
            Some(expires) if expires <= self.shared.clock.now() => self.bye(self.expired()),
            _ => Ok(()),
        }
    }

    fn expired(&self) -> &'static str {
        if self.shared.gmail() {
            SESSION_EXPIRED
        } else {
            TOKEN_EXPIRED
        }
    }

    fn bye(&mut self, text: &str) -> Step<()> {
        self.wire.say(&format!("* BYE {text}"));
        self.flush()?;
        self.wire.close();
        Err(Gone)
    }

    /// Says nothing more until the client goes.
    fn stall(&mut self) -> Step<()> {
        loop {
            self.wire.poll()?;
        }
    }

    /// Says a tagged answer; lines that begin with `* ` come before it, untagged.
    fn answer(&mut self, tag: &str, text: &str) {
        for line in text.lines() {
            if line.starts_with("* ") {
                self.wire.say(line)
            } else {
                self.wire.say(&format!("{tag} {line}"))
            }
        }
    }

    /// A tagged OK, which tells of throttling (docs/gmail.md 2.3).
    fn ok(&mut self, tag: &str, text: &str) {
        let throttled = self.shared.knobs.lock().unwrap().throttled.is_some();
        let throttled = if throttled { " [THROTTLED]" } else { "" };
        self.answer(tag, &format!("{text}{throttled}"));
    }

    fn flush(&mut self) -> Step<()> {
        self.wire.flush(Manner::default())
    }

    fn knobs(&self) -> Knobs {
        self.shared.knobs.lock().unwrap().clone()
    }

    fn offers(&self, capability: &str) -> bool {
        match &self.shared.options.kind {
            Kind::Gmail => login::AFTER_LOGIN.split(' ').any(|c| c == capability),
            Kind::Plain { capabilities } => capabilities
                .split(' ')
                .any(|c| c.eq_ignore_ascii_case(capability)),
        }
    }

    /// The mailbox of this name as the client wrote it, if it is shown.
    fn find(&self, store: &Store, name: &str) -> Option<usize> {
        let name = self.own_name(name)?;
        let hidden = &self.shared.knobs.lock().unwrap().hidden;
        let index = store.find(&name)?;
        let mailbox = &store.mailboxes[index];
        (mailbox.selectable() && !hidden.contains(&mailbox.purpose)).then_some(index)
    }

    /// A name of a mailbox as it is in the store, from the one on the wire. None where it lacks the prefix.
    fn own_name(&self, name: &str) -> Option<String> {
        let name = self.decoded(name);
        if name.eq_ignore_ascii_case("INBOX") {
            return Some(name);
        }
        let options = &self.shared.options;
        let name = name.strip_prefix(&options.prefix)?;
        Some(name.replace(options.delimiter, "/"))
    }

    /// The same in the other direction.
    fn wire_name(&self, name: &str) -> String {
        self.encoded(&self.shown_name(name))
    }

    /// As on the wire, but in UTF-8.
    fn shown_name(&self, name: &str) -> String {
        if name == "INBOX" {
            return name.into();
        }
        let options = &self.shared.options;
        let levels = name.replace('/', &options.delimiter.to_string());
        format!("{}{levels}", options.prefix)
    }

    fn decoded(&self, name: &str) -> String {
        if self.utf8 {
            name.to_string()
        } else {
            decode_utf7(name).unwrap_or_else(|| name.to_string())
        }
    }

    fn encoded(&self, name: &str) -> String {
        if self.utf8 {
            name.to_string()
        } else {
            encode_utf7(name)
        }
    }

    /// Noise as Gmail puts it at the end of some lines.
    fn noise(&self) -> String {
        format!("c9mb226016{:02}ltc", self.number)
    }
}

/// Whether the command is carried out although this strikes it.
fn has_effect(fault: &Fault) -> bool {
    !matches!(
        fault,
        Fault::CutAfterLiteral { stored: false }
            | Fault::StallAfterLiteral { stored: false }
            | Fault::AnswerAfterLiteral { stored: false, .. }
            | Fault::ByeAfterLiteral { stored: false, .. }
            | Fault::CommitLate(_)
    )
}

/// Whether the first argument is there, so that a literal at the end is the message.
fn names_a_mailbox(args: &[u8]) -> bool {
    let start = args.iter().rposition(|&b| b == b'{').unwrap_or(args.len());
    tokens(&args[..start]).is_some_and(|words| !words.is_empty())
}

/// Whether the limit, if there is one, has passed.
fn passed(since: DateTime<Utc>, now: DateTime<Utc>, limit: Option<Duration>) -> bool {
    limit.is_some_and(|limit| now - since >= crate::clock::delta(limit))
}
