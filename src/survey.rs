//! What `folders` shows: the mailboxes of the source, what each holds, and what becomes of it. It looks
//! (EXAMINE, SEARCH) and changes nothing. Not for copying (`engine`).

use chrono::Utc;
use serde_json::{Value, json};

use crate::config::{Config, Intervals, Since};
use crate::credentials::Credentials;
use crate::error::{Result, shown};
use crate::folder::{self, INBOX};
use crate::message::{Time, time_text};
use crate::session::{Listed, Session};
use crate::text::{Page, minute, thousands};

/// So many connections in a row may be lost over one mailbox after the other.
const LOST_MAX: u32 = 3;

/// The source's mailboxes at one moment.
#[derive(Debug)]
pub struct Survey {
    source: String,
    target: String,
    /// From when on messages are wanted. None: from all times.
    since: Option<Time>,
    /// INBOX first.
    all: Vec<Mailbox>,
}

#[derive(Debug)]
struct Mailbox {
    /// As people read it, `/` between its levels; what cannot be decoded as it is on the wire, escaped.
    name: String,
    listed: Listed,
    holds: Holds,
}

#[derive(Debug)]
enum Holds {
    Messages {
        all: u64,
        since: u64,
    },
    /// It is a mere name above others.
    Nothing,
    /// Why that is not known.
    Unknown(String),
}

impl Survey {
    /// Looks into each mailbox of the source.
    ///
    /// # Errors
    /// The source lets us not in, or loses the connection again and again.
    pub fn of(config: &Config, times: &Intervals) -> Result<Survey> {
        let origin = &config.source.origin;
        let source = Credentials::new(
            &config.source_user,
            &config.source_key,
            origin,
            times.command,
            &[],
        );
        let open = || source.enter(|login, _| Session::open(&config.source, login, times));
        let since = match config.since {
            Since::All => None,
            since => Some(since.start(Utc::now())),
        };
        let mut session = open()?;
        let prefix = session.prefix()?;
        let listed = session.mailboxes()?;
        let mut all = Vec::with_capacity(listed.len());
        let mut lost = 0;
        for listed in listed {
            let holds = holds(&mut session, &listed, since);
            let holds = match holds {
                Ok(holds) => holds,
                Err(e) if session.usable() => Holds::Unknown(e.message),
                Err(e) if lost == LOST_MAX => return Err(e),
                Err(e) => {
                    lost += 1;
                    session = open()?;
                    Holds::Unknown(e.message)
                }
            };
            all.push(Mailbox {
                name: name(&listed, &prefix),
                listed,
                holds,
            });
        }
        session.logout();
        all.sort_by_cached_key(|m| (!m.is_inbox(), m.name.to_lowercase(), m.name.clone()));
        Ok(Survey {
            source: format!("{} at {}", config.source_user, config.source.host),
            target: config.target_user.clone(),
            since,
            all,
        })
    }

    pub fn json(&self) -> Value {
        let mailboxes: Vec<Value> = self.all.iter().map(Mailbox::json).collect();
        json!({
            "source": shown(self.source.as_bytes()),
            "target": shown(self.target.as_bytes()),
            "since": self.since.map(time_text),
            "mailboxes": mailboxes,
        })
    }

    /// For a screen of so many columns.
    pub fn text(&self, columns: usize) -> String {
        let mut page = Page::new(columns);
        let since = match self.since {
            Some(since) => format!("`since` takes what came from {} on", minute(since)),
            None => "`since` takes all of it".into(),
        };
        page.add(
            "",
            "",
            &format!(
                "{} has {}. INBOX alone is copied, to {}; {since}.",
                shown(self.source.as_bytes()),
                match self.all.len() {
                    1 => "1 mailbox".into(),
                    n => format!("{} mailboxes", thousands(n as u64)),
                },
                shown(self.target.as_bytes()),
            ),
        );
        page.blank();
        page.line("  messages   since then   becomes    mailbox");
        for mailbox in &self.all {
            let (all, since) = match mailbox.holds {
                Holds::Messages { all, since } => (thousands(all), thousands(since)),
                Holds::Nothing => ("-".into(), "-".into()),
                Holds::Unknown(_) => ("?".into(), "?".into()),
            };
            let becomes = if mailbox.is_inbox() {
                "copied"
            } else {
                "left out"
            };
            page.line(&format!(
                "{all:>10}   {since:>10}   {becomes:<9}  {}",
                mailbox.name
            ));
            if let Holds::Unknown(why) = &mailbox.holds {
                page.add("             ", "             ", why);
            }
        }
        page.text()
    }
}

impl Mailbox {
    fn is_inbox(&self) -> bool {
        self.listed.name.eq_ignore_ascii_case(INBOX.as_bytes())
    }

    fn json(&self) -> Value {
        let (messages, since, trouble) = match &self.holds {
            Holds::Messages { all, since } => (Some(all), Some(since), None),
            Holds::Nothing => (None, None, None),
            Holds::Unknown(why) => (None, None, Some(why)),
        };
        json!({
            "name": self.name,
            "on_the_wire": shown(&self.listed.name),
            "can_be_opened": self.listed.selectable,
            "messages": messages,
            "messages_since": since,
            "copied": self.is_inbox(),
            "trouble": trouble,
        })
    }
}

fn holds(session: &mut Session, listed: &Listed, since: Option<Time>) -> Result<Holds> {
    if !listed.selectable {
        return Ok(Holds::Nothing);
    }
    let Ok(name) = std::str::from_utf8(&listed.name) else {
        return Ok(Holds::Unknown(
            "its name is neither UTF-7 nor UTF-8, so it cannot be asked for".into(),
        ));
    };
    let view = session.examine(name)?;
    let all = u64::from(view.exists);
    let since = match since {
        Some(since) if all > 0 => session.uids_since(&view, Some(since))?.len() as u64,
        Some(_) | None => all,
    };
    Ok(Holds::Messages { all, since })
}

/// The name as people read it.
fn name(listed: &Listed, prefix: &[u8]) -> String {
    let own = listed.name.strip_prefix(prefix).filter(|n| !n.is_empty());
    let own = own.unwrap_or(&listed.name);
    let decoded = folder::decoded(own).or_else(|| String::from_utf8(own.to_vec()).ok());
    let Some(decoded) = decoded else {
        return shown(own);
    };
    let levelled = match listed.delimiter {
        Some(delimiter) => decoded.replace(char::from(delimiter), "/"),
        None => decoded,
    };
    shown(levelled.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_as_people_read_them() {
        for (wire, delimiter, prefix, read) in [
            (&b"INBOX"[..], Some(b'.'), &b"INBOX."[..], "INBOX"),
            (b"INBOX.Entw&APw-rfe", Some(b'.'), b"INBOX.", "Entwürfe"),
            (b"INBOX.a.b", Some(b'.'), b"INBOX.", "a/b"),
            (b"INBOX.a.b", Some(b'.'), b"", "INBOX/a/b"),
            (b"a\\b", Some(b'\\'), b"", "a/b"),
            (b"a.b", None, b"", "a.b"),
            ("Entwürfe".as_bytes(), Some(b'/'), b"", "Entwürfe"),
            // No modified UTF-7: as it is.
            (b"AT&T", Some(b'/'), b"", "AT&T"),
            (b"Entw\xfcrfe", Some(b'/'), b"", "Entw\u{fffd}rfe"),
            (b"&ABs-[2J", Some(b'/'), b"", "\\u{1b}[2J"),
        ] {
            let listed = Listed {
                name: wire.to_vec(),
                delimiter,
                selectable: true,
            };
            assert_eq!(name(&listed, prefix), read);
        }
    }
}
