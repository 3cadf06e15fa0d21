//! FETCH: Gmail gives the items in its own order (docs/gmail.md 4.1). No ENVELOPE, no BODYSTRUCTURE, no MIME parts.

use std::sync::Arc;

use super::view::Row;
use super::{BAD, Command, Session};
use crate::message::{Message, header_fields, split};
use crate::poison::{Harm, Reach};
use crate::syntax::{Token, atom_or_quoted, quote, tokens};
use crate::wire::{Gone, Reply, Step};

/// In the order of the answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    Thread,
    Id,
    Labels,
    Uid,
    Size,
    ModSeq,
    Date,
    Flags,
    Body(Body),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Body {
    /// As it is given back: `BODY[HEADER.FIELDS (Date)]<0>`.
    label: String,
    section: Section,
    partial: Option<(usize, usize)>,
    peek: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Section {
    Whole,
    Header,
    Text,
    Fields { names: Vec<String>, wanted: bool },
}

/// What is sent before the answer to a large FETCH is complete.
const BLOCK: usize = 256 << 10;

impl Session {
    pub(super) fn fetch(&mut self, command: &Command, args: &[Token]) -> Step<()> {
        let by_uid = command.name.starts_with("UID");
        let chosen = args.first().and_then(Token::text);
        let view = self.view.as_ref().expect("only with a mailbox selected");
        let chosen = chosen.and_then(|set| view.chosen(&set, by_uid));
        let (Some(chosen), Some((items, changed_since))) = (chosen, self.items(args, by_uid))
        else {
            self.answer(&command.tag, BAD);
            return Ok(());
        };
        for at in chosen {
            // Nothing that is said here moves the rows.
            let Some(row) = self.view.as_ref().and_then(|v| v.rows.get(at)).cloned() else {
                break;
            };
            if changed_since.is_some_and(|since| row.message.modseq <= since) {
                continue;
            }
            let (row, items) = self.mark_seen(at, row, &items);
            match self.shared.poisons.strikes(row.message.id, reach(&items)) {
                None => {}
                Some(Harm::Cut) => {
                    self.flush()?;
                    return Err(Gone);
                }
                Some(Harm::Bye(text)) => return self.bye(&text),
                Some(Harm::Answer(text)) => {
                    self.answer(&command.tag, &text);
                    return Ok(());
                }
                Some(Harm::Garbled) => {
                    self.wire.say(&format!(
                        "* {} FETCH (UID {} X \"never closed",
                        at + 1,
                        row.uid
                    ));
                    continue;
                }
                Some(Harm::Silence) => continue,
            }
            let reply = self.fetched(at, &row, &items);
            self.wire.reply(reply);
            if self.wire.unsent() > BLOCK && self.fault.is_none() {
                self.flush()?;
            }
        }
        self.ok(&command.tag, "OK Success");
        Ok(())
    }

    /// A body that is fetched without PEEK is read.
    fn mark_seen(&mut self, at: usize, row: Row, items: &[Item]) -> (Row, Vec<Item>) {
        let mut items = items.to_vec();
        let reads = items.iter().any(|i| matches!(i, Item::Body(b) if !b.peek));
        let view = self.view.as_mut().expect("only with a mailbox selected");
        if !reads || view.read_only || row.message.flags.contains("\\Seen") {
            return (row, items);
        }
        let mut flags = row.message.flags.clone();
        flags.insert("\\Seen".into());
        let mut store = self.shared.store.lock().unwrap();
        if store.set_flags(row.message.id, self.number, flags) {
            view.rows[at].message = Arc::clone(&store.messages[&row.message.id]);
        }
        if !items.contains(&Item::Flags) {
            items.push(Item::Flags);
            items.sort();
        }
        (view.rows[at].clone(), items)
    }

    pub(super) fn fetched(&self, at: usize, row: &Row, items: &[Item]) -> Reply {
        let message = &row.message;
        let mut reply = Reply::default();
        reply.text(&format!("* {} FETCH (", at + 1));
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                reply.text(" ");
            }
            match item {
                Item::Thread => reply.text(&format!("X-GM-THRID {}", message.thread)),
                Item::Id => reply.text(&format!("X-GM-MSGID {}", message.id)),
                Item::Labels => {
                    reply.text(&format!("X-GM-LABELS ({})", self.labels(message)));
                }
                Item::Uid => reply.text(&format!("UID {}", row.uid)),
                Item::Size => {
                    let claimed = self.shared.poisons.claimed_size(message.id);
                    let size = claimed.unwrap_or(message.bytes.len() as u64);
                    reply.text(&format!("RFC822.SIZE {size}"));
                }
                Item::ModSeq => reply.text(&format!("MODSEQ ({})", message.modseq)),
                Item::Date => reply.text(&format!(
                    "INTERNALDATE \"{}\"",
                    message.internal_date.format("%d-%b-%Y %H:%M:%S %z")
                )),
                Item::Flags => {
                    let flags: Vec<&str> = message.flags.iter().map(String::as_str).collect();
                    reply.text(&format!("FLAGS ({})", flags.join(" ")));
                }
                Item::Body(body) => {
                    reply.text(&format!("{} ", body.label));
                    reply.literal(&body.of(message));
                }
            }
        }
        reply.text(")");
        reply
    }

    /// Without the label of the selected mailbox (docs/gmail.md 4.1).
    fn labels(&self, message: &Message) -> String {
        let store = self.shared.store.lock().unwrap();
        let own = self.view.as_ref().map(|view| {
            let mailbox = &store.mailboxes[view.mailbox];
            let label = mailbox.purpose.label().unwrap_or(&mailbox.name);
            label.to_string()
        });
        let labels = message
            .labels
            .iter()
            .filter(|label| Some(*label) != own.as_ref());
        let labels = labels.map(|label| {
            if label.starts_with('\\') {
                quote(label)
            } else {
                atom_or_quoted(&self.encoded(label))
            }
        });
        labels.collect::<Vec<_>>().join(" ")
    }

    /// The items asked for in the order of the answer, and CHANGEDSINCE.
    fn items(&self, args: &[Token], by_uid: bool) -> Option<(Vec<Item>, Option<u64>)> {
        let (asked, modifiers) = args.get(1..)?.split_first()?;
        let mut items = Vec::new();
        for word in asked.members() {
            items.extend(self.item(&word.text()?)?);
        }
        let mut changed_since = None;
        match modifiers {
            [] => {}
            [Token::List(words)] if words.first()?.is_atom("CHANGEDSINCE") => {
                changed_since = Some(words.get(1)?.text()?.parse().ok()?);
                items.push(Item::ModSeq);
            }
            _ => return None,
        }
        if by_uid {
            items.push(Item::Uid);
        }
        items.sort();
        items.dedup();
        Some((items, changed_since))
    }

    fn item(&self, word: &str) -> Option<Vec<Item>> {
        let gmail = self.shared.gmail();
        let body = |section, label: &str, peek| {
            Item::Body(Body {
                label: label.to_string(),
                section,
                partial: None,
                peek,
            })
        };
        Some(match word.to_ascii_uppercase().as_str() {
            "FAST" => vec![Item::Flags, Item::Date, Item::Size],
            "UID" => vec![Item::Uid],
            "FLAGS" => vec![Item::Flags],
            "INTERNALDATE" => vec![Item::Date],
            "RFC822.SIZE" => vec![Item::Size],
            "MODSEQ" if self.offers("CONDSTORE") => vec![Item::ModSeq],
            "X-GM-MSGID" if gmail => vec![Item::Id],
            "X-GM-THRID" if gmail => vec![Item::Thread],
            "X-GM-LABELS" if gmail => vec![Item::Labels],
            "RFC822" => vec![body(Section::Whole, "RFC822", false)],
            "RFC822.HEADER" => vec![body(Section::Header, "RFC822.HEADER", true)],
            "RFC822.TEXT" => vec![body(Section::Text, "RFC822.TEXT", false)],
            _ => vec![Item::Body(Body::read(word)?)],
        })
    }
}

/// How much of a message is asked for; None: its UID alone.
fn reach(items: &[Item]) -> Option<Reach> {
    let asks = |wanted: fn(&Item) -> bool| items.iter().any(wanted);
    if asks(|i| matches!(i, Item::Body(b) if b.section == Section::Whole)) {
        Some(Reach::Body)
    } else if asks(|i| matches!(i, Item::Body(_))) {
        Some(Reach::Header)
    } else {
        asks(|i| *i != Item::Uid).then_some(Reach::Anything)
    }
}

impl Body {
    /// `BODY.PEEK[HEADER.FIELDS (Date)]<0.100>`
    fn read(word: &str) -> Option<Body> {
        let (name, rest) = word.split_once('[')?;
        let (inner, partial) = rest.rsplit_once(']')?;
        let peek = match name.to_ascii_uppercase().as_str() {
            "BODY" => false,
            "BODY.PEEK" => true,
            _ => return None,
        };
        let words = tokens(inner.as_bytes())?;
        let names = || {
            let names = words.get(1)?.members().iter().map(Token::text);
            names.collect::<Option<Vec<String>>>()
        };
        let section = match words.first().and_then(Token::text) {
            None => Section::Whole,
            Some(word) => match word.to_ascii_uppercase().as_str() {
                "HEADER" => Section::Header,
                "TEXT" => Section::Text,
                "HEADER.FIELDS" | "HEADER.FIELDS.NOT" => Section::Fields {
                    names: names()?,
                    wanted: !word.to_ascii_uppercase().ends_with(".NOT"),
                },
                _ => return None,
            },
        };
        let mut label = format!("BODY[{inner}]");
        let partial = match partial {
            "" => None,
            range => {
                let range = range.strip_prefix('<')?.strip_suffix('>')?;
                let (from, len) = range.split_once('.')?;
                label.push_str(&format!("<{from}>"));
                Some((from.parse().ok()?, len.parse().ok()?))
            }
        };
        Some(Body {
            label,
            section,
            partial,
            peek,
        })
    }

    fn of(&self, message: &Message) -> Vec<u8> {
        let bytes = &message.bytes;
        let mut out = match &self.section {
            Section::Whole => bytes.to_vec(),
            Section::Header => split(bytes).0.to_vec(),
            Section::Text => split(bytes).1.to_vec(),
            Section::Fields { names, wanted } => header_fields(bytes, names, *wanted),
        };
        if let Some((from, len)) = self.partial {
            out.drain(..from.min(out.len()));
            out.truncate(len);
        }
        out
    }
}
