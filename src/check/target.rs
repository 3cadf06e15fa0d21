//! The target from its token to what it can do. Nothing is added to it: EXAMINE and LIST only.

use super::Finding;
use super::servers::{enter, holds};
use crate::config::{Draft, Intervals};
use crate::gmail::{COPIES, DELIVERY, all_mail_hidden};
use crate::session::Session;
use crate::text::bytes_text;

/// Mail of this size is common; what takes less refuses some.
const COMMON_SIZE: u64 = 25_000_000;
const TRY_AGAIN: &str = "try again; if it stays so, the operator of the server knows more";

/// The target, as far as one gets.
pub(super) fn findings(draft: &Draft, times: &Intervals, tell: &mut dyn FnMut(Finding)) {
    let (user, key) = (draft.target_user.as_ref(), draft.target_key.as_ref());
    let session = enter("target", draft.target.as_ref(), user, key, times, tell);
    let rest = [
        "target_mailbox",
        "target_copies",
        "target_uidplus",
        "target_size_limit",
    ];
    let Ok(mut session) = session else {
        for name in rest {
            tell(Finding::skipped(name, "there is no sign-in"));
        }
        return;
    };
    tell(match session.examine(DELIVERY) {
        Ok(view) => Finding::ok(rest[0], holds(&view)),
        Err(e) => Finding::problem(rest[0], &e, TRY_AGAIN),
    });
    tell(match session.usable() {
        true => copies(rest[1], &mut session),
        false => Finding::skipped(rest[1], "the connection was lost"),
    });
    tell(uidplus(rest[2], &session));
    tell(size_limit(rest[3], &session));
    session.logout();
}

/// Where copies are looked for that are there already.
fn copies(name: &str, session: &mut Session) -> Finding {
    if !session.offers("X-GM-EXT-1") {
        let text = format!("not Gmail: what is there already is looked for in {DELIVERY} alone");
        return Finding::ok(name, text);
    }
    let found = match session.special_use(&COPIES) {
        Ok(found) => found,
        Err(e) => return Finding::problem(name, &e, TRY_AGAIN),
    };
    if found[0].is_none() {
        return Finding::only_warning(name, &all_mail_hidden());
    }
    let hidden: Vec<&str> = ["All Mail", "Spam", "Trash"]
        .into_iter()
        .zip(&found)
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

fn uidplus(name: &str, session: &Session) -> Finding {
    match session.offers("UIDPLUS") {
        true => Finding::ok(name, "the server says where it puts a message (UIDPLUS)"),
        false => Finding::warning(
            name,
            "the server does not say where it puts a message (no UIDPLUS), so a copy is not looked at once more after it was sent",
            "nothing need be done; if the server is yours, see whether UIDPLUS can be switched on",
        ),
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
