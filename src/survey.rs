//! What `folders` shows: the mailboxes of the source, what each holds, what becomes of it, and which rule says so. It
//! looks (LIST, EXAMINE, SEARCH) and changes nothing, not even a token file. Not for copying (`engine`).

use std::time::{Duration, Instant};

use chrono::Utc;
use serde_json::{Value, json};

use crate::config::{Config, Intervals, Key, Mapping, Rules, Since};
use crate::error::{Again, Error, Fault, Note, Result, shown};
use crate::folder::{INBOX, Listed};
use crate::message::{Time, time_text};
use crate::oauth::Tokens;
use crate::session::{Login, Session};

mod row;
mod text;

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
    rules: Rules,
    /// INBOX first.
    all: Vec<Mailbox>,
    /// So many more there are, and their names cannot be read.
    unreadable: usize,
    /// What may be wrong with the rules.
    doubts: Vec<Note>,
}

#[derive(Debug)]
struct Mailbox {
    listed: Listed,
    mapping: Mapping,
    /// From when on its messages are wanted.
    since: Option<Time>,
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
        let now = Utc::now();
        let start = |since: Since| (since != Since::All).then(|| since.start(now));
        let begun = Instant::now();
        let mut session = open()?;
        let (listed, unreadable) = session.folders()?;
        let doubts = config.rules.doubts(&listed);
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
            let mapping = config.rules.mapping(&listed);
            let own = match &mapping {
                Mapping::Copied { since, .. } => *since,
                Mapping::LeftOut(_) => None,
            };
            let since = start(own.unwrap_or(config.since));
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
                listed,
                mapping,
                since,
                holds,
            });
        }
        session.logout();
        all.sort_by_cached_key(|m| {
            let name = &m.listed.name;
            (name != INBOX, name.to_lowercase(), name.clone())
        });
        Ok(Survey {
            source: format!("{} at {}", config.source_user, config.source.host),
            target: config.target_user.clone(),
            since: start(config.since),
            rules: config.rules.clone(),
            all,
            unreadable,
            doubts,
        })
    }

    pub fn json(&self) -> Value {
        let mailboxes = self.all.iter().map(|m| m.json(&self.rules));
        let doubts = self
            .doubts
            .iter()
            .map(|note| json!({"message": note.message, "hint": note.hint}));
        let listed: Vec<Listed> = self.all.iter().map(|m| m.listed.clone()).collect();
        let one_label = self
            .rules
            .collapses(&listed)
            .into_iter()
            .map(|(label, names)| {
                let names = names.iter().map(|name| shown(name.as_bytes()));
                json!({"label": shown(label.as_bytes()), "mailboxes": names.collect::<Vec<_>>()})
            });
        json!({
            "source": shown(self.source.as_bytes()),
            "target": shown(self.target.as_bytes()),
            "since": self.since.map(time_text),
            "mailboxes": mailboxes.collect::<Vec<_>>(),
            "unreadable": self.unreadable,
            "become_one_label": one_label.collect::<Vec<_>>(),
            "doubts": doubts.collect::<Vec<_>>(),
        })
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

fn holds(session: &mut Session, listed: &Listed, since: Option<Time>) -> Result<Holds> {
    if !listed.selectable {
        return Ok(Holds::Nothing);
    }
    let view = session.examine(&listed.wire)?;
    let all = u64::from(view.exists);
    let since = match since {
        Some(since) if all > 0 => session.searched(since)?.len() as u64,
        Some(_) | None => all,
    };
    Ok(Holds::Messages { all, since })
}
