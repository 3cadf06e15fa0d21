//! APPEND: what is refused before the literal and what after it, and what a hit of the de-duplication says (docs/gmail.md 3).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, FixedOffset};

use super::{BAD, Session};
use crate::faults::Fault;
use crate::knobs::OverquotaForm;
use crate::message::has_header;
use crate::refusal::OVERQUOTA_ALERT;
use crate::session::has_effect;
use crate::store::Append;
use crate::syntax::Token;
use crate::wire::{Gone, Step};

/// What stands before the literal.
struct Arguments {
    mailbox: String,
    flags: BTreeSet<String>,
    date: Option<DateTime<FixedOffset>>,
}

impl Session {
    pub(super) fn append(
        &mut self,
        tag: &str,
        args: &[Token],
        message: Option<(usize, bool)>,
    ) -> Step<()> {
        let (Some(arguments), Some((len, at_once))) = (arguments(args), message) else {
            if let Some((_, true)) = message {
                let line = self.line.clone();
                self.skip_literals(line.as_bytes())?;
            }
            self.answer(tag, BAD);
            return Ok(());
        };
        if self.over_budget() {
            if self.knobs().overquota == OverquotaForm::Bye {
                return self.bye(crate::OVERQUOTA);
            }
            let line = self.line.clone();
            self.skip_literals(line.as_bytes())?;
            self.answer(tag, OVERQUOTA_ALERT);
            return Ok(());
        }
        if self.knobs().read_only_blocks_append && self.has_open_read_only(&arguments.mailbox) {
            let line = self.line.clone();
            self.skip_literals(line.as_bytes())?;
            self.answer(tag, "NO Current box is selected READ-ONLY.");
            return Ok(());
        }
        if len as u64 > self.knobs().append_limit && self.shared.gmail() {
            self.answer(
                tag,
                "BAD [TOOBIG] Message too large. https://support.google.com/mail/answer/6584#limit",
            );
            return Ok(());
        }
        if !self.invite(tag, len, at_once)? {
            return Ok(());
        }
        if let Some(Fault::ByeAfterGoAhead(text)) = &self.fault {
            let text = text.clone();
            return self.bye(&text);
        }
        let bytes = self.read_message(len)?;
        self.shared.upload.lock().unwrap().add(len);
        // A second message would follow here, but MULTIAPPEND is not offered.
        if !self.read_line()?.is_empty() {
            self.answer(tag, BAD);
            return Ok(());
        }
        self.strike_message(&bytes);
        if let Some(Fault::CommitLate(time)) = self.fault {
            self.commit_late(arguments, bytes, time);
            return Ok(());
        }
        if self.fault.as_ref().is_none_or(has_effect) {
            return self.store_message(tag, arguments, bytes);
        }
        Ok(())
    }

    /// Reads the literal, or as much of it as the fault allows.
    fn read_message(&mut self, len: usize) -> Step<Vec<u8>> {
        if let Some(Fault::CutInLiteral(bytes)) = self.fault
            && bytes < len
        {
            self.read_literal(bytes)?;
            return Err(Gone);
        }
        self.read_literal(len)
    }

    /// A fault for a certain message strikes now; what would have come before its literal comes after it.
    fn strike_message(&mut self, bytes: &[u8]) {
        let faults = &self.shared.faults;
        let Some(fault) = faults.at_message(self.number, "APPEND", &self.line, bytes) else {
            return;
        };
        let stored = false;
        self.fault = Some(match fault {
            Fault::Answer(text) => Fault::AnswerAfterLiteral { text, stored },
            Fault::EchoCommandInBad => Fault::AnswerAfterLiteral {
                text: format!("{BAD}: {}", self.line),
                stored,
            },
            Fault::Bye(text) | Fault::ByeAfterGoAhead(text) => {
                Fault::ByeAfterLiteral { text, stored }
            }
            Fault::CutBefore | Fault::CutInLiteral(_) => Fault::CutAfterLiteral { stored },
            Fault::Stall => Fault::StallAfterLiteral { stored },
            other => other,
        });
    }

    fn store_message(&mut self, tag: &str, arguments: Arguments, bytes: Vec<u8>) -> Step<()> {
        if self.shared.gmail() && bytes.contains(&0) {
            return self.bye("Invalid character in literal");
        }
        if self.shared.gmail() && !has_header(&bytes) {
            self.answer(tag, "BAD Invalid Arguments: Unable to parse message");
            return Ok(());
        }
        let knobs = self.knobs();
        let shared = Arc::clone(&self.shared);
        if let Some(time) = knobs.one_append_at_a_time {
            let _turn = shared.append_turn.lock();
            std::thread::sleep(time);
        }
        let mut store = shared.store.lock().unwrap();
        let Some(mailbox) = self.find(&store, &arguments.mailbox) else {
            drop(store);
            self.answer(tag, "NO [TRYCREATE] Folder doesn't exist. (Failure)");
            return Ok(());
        };
        let append = Append {
            mailbox,
            bytes: bytes.into(),
            flags: arguments.flags,
            date: arguments.date,
            now: self.shared.clock.now(),
        };
        let appended = store.append(append, &knobs);
        drop(store);
        // A session whose time ended meanwhile has stored the message and cannot say so (docs/gmail.md 6).
        let now = self.shared.clock.now();
        if self.expires.is_some_and(|expires| expires <= now) {
            return self.bye(self.expired());
        }
        if knobs.own_appends_visible {
            self.catch_up();
        }
        let done = if self.offers("UIDPLUS") {
            format!(
                "OK [APPENDUID {} {}] (Success)",
                appended.uid_validity, appended.uid
            )
        } else {
            "OK (Success)".to_string()
        };
        self.ok(tag, &done);
        Ok(())
    }

    /// Cuts the connection now and stores the message later, as a server does whose queue is long.
    fn commit_late(&self, arguments: Arguments, bytes: Vec<u8>, time: Duration) {
        let mailbox = self.find(&self.shared.store.lock().unwrap(), &arguments.mailbox);
        let shared = Arc::clone(&self.shared);
        let Some(mailbox) = mailbox else { return };
        std::thread::spawn(move || {
            std::thread::sleep(time);
            let knobs = shared.knobs.lock().unwrap().clone();
            let append = Append {
                mailbox,
                bytes: bytes.into(),
                flags: arguments.flags,
                date: arguments.date,
                now: shared.clock.now(),
            };
            shared.store.lock().unwrap().append(append, &knobs);
        });
    }

    fn has_open_read_only(&self, mailbox: &str) -> bool {
        let store = self.shared.store.lock().unwrap();
        let view = self.view.as_ref().filter(|view| view.read_only);
        view.is_some_and(|view| self.find(&store, mailbox) == Some(view.mailbox))
    }

    fn over_budget(&self) -> bool {
        let knobs = self.knobs();
        let mut upload = self.shared.upload.lock().unwrap();
        upload.blocked(
            knobs.upload_budget,
            self.shared.clock.now(),
            knobs.blocked_for,
        )
    }
}

/// mailbox [(flags)] ["date"]
fn arguments(args: &[Token]) -> Option<Arguments> {
    let (mailbox, mut rest) = args.split_first()?;
    let mut arguments = Arguments {
        mailbox: mailbox.text()?,
        flags: BTreeSet::new(),
        date: None,
    };
    if let [Token::List(flags), after @ ..] = rest {
        arguments.flags = flags.iter().map(Token::text).collect::<Option<_>>()?;
        rest = after;
    }
    if let [Token::Text(date), after @ ..] = rest {
        let date = String::from_utf8_lossy(date);
        let parsed = DateTime::parse_from_str(date.trim_start(), "%d-%b-%Y %H:%M:%S %z");
        arguments.date = Some(parsed.ok()?);
        rest = after;
    }
    rest.is_empty().then_some(arguments)
}
