//! The mailboxes of the source where the configuration says something of them: how many are copied, whether those
//! open, and what may be wrong with the rules. Not for INBOX alone (`servers`).

use std::time::Instant;

use super::ledger::Before;
use super::sample::{self, Sample, Wanted};
use super::{ASK_THE_OPERATOR, Finding, PATIENCE};
use crate::config::{Mapping, Rules, Since};
use crate::error::{Again, Error, shown};
use crate::folder::{INBOX, Listed};
use crate::session::Session;
use crate::text::{counted, thousands};

pub(super) const NAME: &str = "source_folders";
/// So many mailboxes that do not open are reported one by one.
const REPORTED_MAX: usize = 5;

/// From when on INBOX is wanted. None: it is not copied, or that is not known.
pub(super) fn since_of_inbox(rules: Option<&Rules>, since: Option<Since>) -> Option<Since> {
    match rules?.mapping(&Listed::inbox()) {
        Mapping::Copied { since: own, .. } => own.or(since),
        Mapping::LeftOut(_) => None,
    }
}

/// Tries each mailbox that is copied. Gives what is known of the mail in them, INBOX's sample included.
pub(super) fn findings(
    session: &mut Session,
    rules: &Rules,
    since: Option<Since>,
    before: &Before,
    inbox: Option<Sample>,
    tell: &mut dyn FnMut(Finding),
) -> Option<Sample> {
    let mut sample = inbox;
    let (mailboxes, unreadable) = match session.folders() {
        Ok(listed) => listed,
        Err(e) => {
            tell(Finding::problem(NAME, &e, ASK_THE_OPERATOR));
            return sample;
        }
    };
    let wanted = mailboxes.iter().filter_map(|m| match rules.mapping(m) {
        Mapping::Copied { since: own, .. } => Some((m, own.or(since))),
        Mapping::LeftOut(_) => None,
    });
    let wanted: Vec<(&Listed, Option<Since>)> = wanted.collect();
    let begun = Instant::now();
    let (mut messages, mut tried, mut refused) = (0, 0, Vec::new());
    for (mailbox, since) in &wanted {
        if begun.elapsed() > PATIENCE || !session.usable() {
            break;
        }
        tried += 1;
        let first_run = (before.begun == Some(false) || before.new) && mailbox.name != INBOX;
        match opened(session, mailbox, since.filter(|_| first_run)) {
            Ok((held, more)) => {
                messages += held;
                sample = match (sample, more) {
                    (Some(all), Some(more)) => Some(all.and(more)),
                    (all, more) => all.or(more),
                };
            }
            // Asking on would make it worse.
            Err(e) if e.reaction().again == Again::AfterPause => {
                refused.push((mailbox, e));
                break;
            }
            Err(e) => refused.push((mailbox, e)),
        }
    }
    let all = mailboxes.len() + unreadable;
    let copied = match wanted.len() {
        1 => "1 is copied".to_string(),
        n => format!("{} are copied", thousands(n as u64)),
    };
    if wanted.is_empty() {
        let e = Error::usage(format!(
            "none of the source's {} is copied",
            counted(all, "mailbox")
        ));
        let hint = "`folders` names none of them, or `exclude` all that it names; `imap-to-gmail folders` shows what there is";
        tell(Finding::problem(NAME, &e, hint));
    } else {
        let not_tried = match wanted.len() - tried {
            0 => String::new(),
            n => format!(
                " ({} not tried: {})",
                thousands(n as u64),
                if begun.elapsed() > PATIENCE {
                    "it would take too long"
                } else {
                    "the server ended that"
                }
            ),
        };
        tell(Finding::ok(
            NAME,
            format!(
                "of {}, {copied}{not_tried}; they hold {}",
                counted(all, "mailbox"),
                counted(messages, "message"),
            ),
        ));
    }
    let more = refused.len().saturating_sub(REPORTED_MAX);
    for (mailbox, e) in refused.iter().take(REPORTED_MAX) {
        let name = shown(mailbox.name.as_bytes());
        let e = Error {
            message: format!("{name}: {}", e.message),
            ..e.clone()
        };
        tell(Finding::problem(
            NAME,
            &e,
            "if it holds no mail, name it in `exclude`",
        ));
    }
    if more > 0 {
        let text = format!("{more} more of them do not open");
        tell(Finding::warning(
            NAME,
            text,
            "`imap-to-gmail folders` shows each",
        ));
    }
    if unreadable > 0 {
        let text = format!(
            "the names of {} of its mailboxes cannot be read: they are left out",
            thousands(unreadable as u64)
        );
        tell(Finding::warning(
            NAME,
            text,
            "give them other names there, with a mail program or the provider's web pages",
        ));
    }
    for note in rules.doubts(&mailboxes) {
        tell(Finding::warning(NAME, note.message, note.hint));
    }
    sample
}

/// How many messages it holds, and of those that a first run takes what the target's checks need to know.
fn opened(
    session: &mut Session,
    mailbox: &Listed,
    first_run: Option<Since>,
) -> Result<(u32, Option<Sample>), Error> {
    let view = session.examine(&mailbox.wire)?;
    let Some(since) = first_run.filter(|_| view.exists > 0) else {
        return Ok((view.exists, None));
    };
    // That it does not tell of its messages keeps nobody from opening it.
    let wanted = Wanted::of(session, &view, since).ok();
    let sample = wanted.and_then(|wanted| sample::taken(session, &wanted).ok());
    Ok((view.exists, sample))
}
