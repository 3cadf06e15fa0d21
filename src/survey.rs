//! What `folders` shows: the mailboxes of the source, what each holds, and what becomes of it. It looks
//! (EXAMINE, SEARCH) and changes nothing, not even a token file. Not for copying (`engine`).

use std::time::{Duration, Instant};

use chrono::Utc;
use serde_json::{Value, json};

use crate::config::{Config, Intervals, Key, Since};
use crate::error::{Again, Error, Fault, Result, shown};
use crate::folder::{self, INBOX};
use crate::message::{Time, time_text};
use crate::oauth::Tokens;
use crate::session::{Listed, Login, Session};
use crate::text::{Page, minute, thousands};

/// So many connections may be lost over one mailbox after the other before no more is asked.
const LOST_MAX: u32 = 3;
/// A person waits: what is not known by then is not asked for any more.
const PATIENCE: Duration = Duration::from_secs(300);

/// The source's mailboxes at one moment.
#[derive(Debug)]
pub struct Survey {
    source: String,
    target: String,
    /// From when on messages are wanted. None: from all times.
    since: Option<Time>,
    /// INBOX first.
    all: Vec<Mailbox>,
    /// So many more there are, and their names cannot be read.
    unreadable: usize,
}

#[derive(Debug)]
struct Mailbox {
    /// As people read it, `/` between its levels; what cannot be decoded as it is on the wire, escaped.
    name: String,
    listed: Listed,
    holds: Holds,
}

#[derive(Clone, Debug)]
enum Holds {
    Messages {
        all: u64,
        /// As the server's SEARCH tells: it goes by days, and may leave some out.
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
    /// The source lets us not in, or does not tell of its mailboxes.
    pub fn of(config: &Config, times: &Intervals) -> Result<Survey> {
        let login = login(config, times)?;
        let open = || Session::open(&config.source, &login, times);
        let since = match config.since {
            Since::All => None,
            since => Some(since.start(Utc::now())),
        };
        let begun = Instant::now();
        let mut session = open()?;
        let prefix = session.prefix()?;
        let (listed, unreadable) = session.mailboxes()?;
        let mut all = Vec::with_capacity(listed.len());
        let mut lost = 0;
        // Why the others are not asked about any more.
        let mut over: Option<String> = None;
        let not_asked =
            |e: &Error| Some(format!("not asked after: {}", shown(e.message.as_bytes())));
        for listed in listed {
            if begun.elapsed() > PATIENCE {
                over.get_or_insert_with(|| "not asked: it took too long".into());
            }
            let holds = match &over {
                Some(why) if listed.selectable => Holds::Unknown(why.clone()),
                _ => holds(&mut session, &listed, since).unwrap_or_else(|e| {
                    if !session.usable() {
                        lost += 1;
                        match open() {
                            Ok(another) if lost <= LOST_MAX => session = another,
                            Ok(_) | Err(_) => over = not_asked(&e),
                        }
                    } else if e.reaction().again == Again::AfterPause {
                        // Asking on would make it worse. Any other refusal is this mailbox's.
                        over = not_asked(&e);
                    }
                    Holds::Unknown(shown(e.message.as_bytes()))
                }),
            };
            if matches!(holds, Holds::Messages { .. }) {
                lost = 0;
            }
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
            unreadable,
        })
    }

    pub fn json(&self) -> Value {
        let mailboxes: Vec<Value> = self.all.iter().map(Mailbox::json).collect();
        json!({
            "source": shown(self.source.as_bytes()),
            "target": shown(self.target.as_bytes()),
            "since": self.since.map(time_text),
            "mailboxes": mailboxes,
            "unreadable": self.unreadable,
        })
    }

    /// For a screen of so many columns.
    pub fn text(&self, columns: usize) -> String {
        let mut page = Page::new(columns);
        let since = match self.since {
            Some(since) => format!(
                "`since` takes what came from {} on (counted by whole days here)",
                minute(since)
            ),
            None => "`since` takes all of it".into(),
        };
        page.add(
            "",
            "",
            &format!(
                "{} has {}. INBOX alone is copied, to {}; {since}.",
                shown(self.source.as_bytes()),
                match self.all.len() + self.unreadable {
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
                page.add("            ", "            ", why);
            }
        }
        match self.unreadable {
            0 => {}
            1 => page.line("and 1 whose name cannot be read"),
            n => page.line(&format!(
                "and {} whose names cannot be read",
                thousands(n as u64)
            )),
        }
        page.text()
    }
}

/// What the source is entered with. A token is not renewed where that could use up what is in its file: that is
/// for a run, which keeps what comes.
fn login(config: &Config, times: &Intervals) -> Result<Login> {
    let user = config.source_user.clone();
    let path = match &config.source_key {
        Key::Password(password) => {
            return Ok(Login::Password {
                user,
                password: password.clone(),
            });
        }
        Key::TokenFile(path) => path,
    };
    let tokens = Tokens::new(path, times.command).named_by(&config.source.origin);
    let proof = tokens.prove(Utc::now())?;
    let access = proof.access.ok_or_else(|| {
        Error::new(
            Fault::NeedsUser,
            format!("{}: its access token has ended", path.display()),
        )
        .hint(format!(
            "a run renews it and keeps what comes: start one, then ask again. Where none gets in: {}",
            proof.sign_in
        ))
    })?;
    Ok(Login::Token {
        user,
        token: access.token,
    })
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
            "messages_since_about": since,
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
        Some(since) if all > 0 => session.searched(since)?.len() as u64,
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
