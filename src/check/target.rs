//! The target, from the sign-in to what the server can do. Nothing is changed there: mailboxes are only
//! listed and opened with EXAMINE.

use std::path::Path;
use std::sync::mpsc::Receiver;

use super::delivery;
use super::ledger::Before;
use super::room::{self, Coming};
use super::sample::Sample;
use super::servers::{enter, holds};
use super::{ASK_THE_OPERATOR, Access, Finding};
use crate::config::{Draft, Intervals, Rules};
use crate::error::Error;
use crate::folder::INBOX;
use crate::ledger::Overlap;
use crate::session::Session;
use crate::target::{COPIES, Policy, all_mail_hidden};
use crate::text::bytes_text;

/// Mail of this size is common: a server with a lower limit refuses some of it.
const COMMON_SIZE: u64 = 25_000_000;
const LOST: &str = "the connection was lost";
const QUOTA: &str = "target_quota";

/// Tries the target, as far as it goes. `coming`: what is known of the mail that the source has for it.
pub(super) fn findings(
    draft: &Draft,
    times: &Intervals,
    before: &Before,
    access: &Receiver<Access>,
    coming: &Receiver<Sample>,
    tell: &mut dyn FnMut(Finding),
) {
    let (user, key) = (draft.target_user.as_ref(), draft.target_key.as_ref());
    let endpoint = draft.target.as_ref();
    let session = enter("target", endpoint, user, key, times, access, tell);
    let rest = [
        "target_mailbox",
        "target_copies",
        "target_uidplus",
        "target_size_limit",
        QUOTA,
    ];
    let Ok(mut session) = session else {
        for name in rest {
            tell(Finding::skipped(name, "there is no sign-in"));
        }
        return;
    };
    let policy = Policy::of(&session, times);
    let labels = draft.rules.as_ref().and_then(Rules::gmail_only);
    if let Some(key) = labels.filter(|_| !policy.labels) {
        tell(no_labels(key));
    }
    tell(match session.examine(INBOX) {
        Ok(view) => Finding::ok(rest[0], holds(&view)),
        Err(e) => Finding::problem(rest[0], &e, ASK_THE_OPERATOR),
    });
    let mut all_mail = None;
    tell(if session.usable() {
        let (finding, found) = copies(rest[1], &mut session, &policy);
        all_mail = found;
        finding
    } else {
        Finding::skipped(rest[1], LOST)
    });
    tell(uidplus(rest[2], &session));
    tell(size_limit(rest[3], &session));
    if policy.labels {
        let access = access.recv().ok();
        delivery::finding(draft, times, access).map(&mut *tell);
    }
    let all_mail = all_mail.as_deref().unwrap_or(INBOX);
    let (user, ledger) = (
        user.map_or("", |u| u),
        draft.ledger.as_ref().map(|l| &*l.path),
    );
    room(
        &mut session,
        &policy,
        all_mail,
        before,
        coming,
        tell,
        &|overlap| {
            Finding::warning(
                "target_overlap",
                overlap.sentence(user),
                Overlap::hint(ledger.unwrap_or(Path::new("sync_state.db"))),
            )
        },
    );
    session.logout();
}

/// Is there room, and is it needed? A new ledger may have been made by mistake while the target has the mail
/// already. A server that does not answer this, or not as it promised, is no problem for a run.
fn room(
    session: &mut Session,
    policy: &Policy,
    all_mail: &str,
    before: &Before,
    coming: &Receiver<Sample>,
    tell: &mut dyn FnMut(Finding),
    warn: &dyn Fn(&Overlap) -> Finding,
) {
    // The thread that tries the source always ends, and so does this wait.
    let sample = coming.recv().ok();
    let quota = match (session.offers("QUOTA"), session.usable()) {
        (true, true) => Some(session.quota(INBOX)),
        _ => None,
    };
    let overlap = match &sample {
        Some(sample) if before.new && session.usable() => {
            room::overlap(session, all_mail, sample).ok()
        }
        _ => None,
    };
    match quota {
        Some(Ok(quota)) => {
            let coming = Coming::of(before, sample.as_ref(), overlap);
            tell(room::left(QUOTA, quota, coming, policy.make_room));
        }
        Some(Err(_)) => tell(Finding::skipped(
            QUOTA,
            "the server did not say what is left",
        )),
        None if session.offers("QUOTA") => tell(Finding::skipped(QUOTA, LOST)),
        None => {}
    }
    if let Some(overlap) = overlap.filter(Overlap::is_telling) {
        tell(warn(&overlap));
    }
}

/// The mailboxes in which copies are looked for, and the name of All Mail.
fn copies(name: &str, session: &mut Session, policy: &Policy) -> (Finding, Option<String>) {
    if !policy.labels {
        let text = "not Gmail: what is there already is looked for only in the mailbox that a message goes into";
        return (Finding::ok(name, text), None);
    }
    match session.special_use(&COPIES) {
        Ok(mut found) => (shown_copies(name, &found), found.swap_remove(0)),
        Err(e) => (Finding::problem(name, &e, ASK_THE_OPERATOR), None),
    }
}

fn shown_copies(name: &str, found: &[Option<String>]) -> Finding {
    if found[0].is_none() {
        return Finding::only_warning(name, &all_mail_hidden());
    }
    let hidden: Vec<&str> = ["All Mail", "Spam", "Trash"]
        .into_iter()
        .zip(found)
        .filter_map(|(name, found)| found.is_none().then_some(name))
        .collect();
    match hidden[..] {
        [] => Finding::ok(
            name,
            "All Mail, Spam and Trash are open: what is there is not sent again",
        ),
        _ => Finding::warning(
            name,
            format!(
                "Gmail's {} hidden from IMAP: what you deleted there would be sent again",
                match hidden[..] {
                    [one] => format!("{one} is"),
                    _ => format!("{} are", hidden.join(" and ")),
                }
            ),
            "in Gmail's settings, under Labels, tick \"Show in IMAP\" for it",
        ),
    }
}

/// `key` puts labels on messages.
fn no_labels(key: &str) -> Finding {
    let e = Error::usage(format!(
        "`{key}` of the configuration needs Gmail: this server knows no labels (X-GM-EXT-1)"
    ));
    let hint =
        "delete it; a mailbox of its own for what is copied is given with `target` in `folders`";
    Finding::problem("target_labels", &e, hint)
}

fn uidplus(name: &str, session: &Session) -> Finding {
    if session.offers("UIDPLUS") {
        Finding::ok(name, "the server says where it puts a message (UIDPLUS)")
    } else {
        Finding::warning(
            name,
            "the server does not say where it puts a message (no UIDPLUS), so a copy is not looked at once more after it was sent",
            "nothing need be done; if the server is yours, see whether UIDPLUS can be switched on",
        )
    }
}

fn size_limit(name: &str, session: &Session) -> Finding {
    match session.append_limit() {
        None => Finding::ok(name, "the server states no limit for the size of a message"),
        Some(n) if n < COMMON_SIZE => Finding::warning(
            name,
            format!("messages of more than {} are refused", bytes_text(n)),
            "bigger ones will be listed as failed; if the server is yours, raise its limit",
        ),
        Some(n) => Finding::ok(
            name,
            format!("messages of up to {} are taken", bytes_text(n)),
        ),
    }
}
