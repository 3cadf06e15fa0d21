//! A server as either side meets it: address, encryption, sign-in; and the source from there on.

use std::sync::mpsc::Receiver;
use std::time::Duration;

use chrono::{TimeDelta, Utc};

use super::folders;
use super::ledger::Before;
use super::removal;
use super::sample::{self, Sample, Wanted};
use super::{ASK_THE_OPERATOR, Access, Finding};
use crate::config::{Draft, Endpoint, Intervals, Key, Masks, Since};
use crate::error::{Error, shown};
use crate::folder::INBOX;
use crate::session::{Greeted, Login, Session, View};
use crate::text::counted;
use crate::wire::{self, Protection, Voucher};

/// How long a name server may take.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(10);
/// A certificate that ends sooner should have been renewed: the usual authorities do so a month
/// before.
const SOON: TimeDelta = TimeDelta::days(14);
/// How long IDLE is held: long enough for the server to agree to it.
const IDLE_TRIED: Duration = Duration::from_millis(300);
/// At most so many addresses are named.
const ADDRESSES_MAX: usize = 4;

const MISCONFIGURED: &str = "the configuration does not say how to get there";

/// Tries the source, as far as it goes. Gives what the target's checks need to know of the mail in it.
pub(super) fn source(
    draft: &Draft,
    times: &Intervals,
    before: &Before,
    access: &Receiver<Access>,
    tell: &mut dyn FnMut(Finding),
) -> Option<Sample> {
    let (user, key) = (draft.source_user.as_ref(), draft.source_key.as_ref());
    let endpoint = draft.source.as_ref();
    // Where nobody wrote anything of mailboxes, there is nothing to find out about them.
    let rules = draft.rules.as_ref().filter(|rules| !rules.is_default());
    let session = enter("source", endpoint, user, key, times, access, tell);
    let Ok(mut session) = session else {
        let ours = rules.map(|_| folders::NAME);
        for name in ["source_mailbox", "source_idle"].into_iter().chain(ours) {
            tell(Finding::skipped(name, "there is no sign-in"));
        }
        removal::finding(draft, None).into_iter().for_each(tell);
        return None;
    };
    let since = folders::since_of_inbox(draft.rules.as_ref(), draft.since);
    let (finding, wanted) = mailbox(&mut session, since, before);
    tell(finding);
    tell(if session.usable() {
        idle(&mut session)
    } else {
        Finding::skipped("source_idle", "the connection was lost")
    });
    removal::finding(draft, Some(&session))
        .into_iter()
        .for_each(&mut *tell);
    let mut sample = wanted.and_then(|wanted| sample::taken(&mut session, &wanted).ok());
    if let Some(rules) = rules {
        if session.usable() {
            sample = folders::findings(&mut session, rules, draft.since, before, sample, tell);
        } else {
            tell(Finding::skipped(folders::NAME, "the connection was lost"));
        }
    }
    session.logout();
    sample
}

/// Connects to a server and signs in. `access`: where the access token comes from, if the side uses one.
pub(super) fn enter(
    side: &str,
    endpoint: Option<&Endpoint>,
    user: Option<&String>,
    key: Option<&Key>,
    times: &Intervals,
    access: &Receiver<Access>,
    tell: &mut dyn FnMut(Finding),
) -> Result<Session, ()> {
    let masks = match key {
        Some(Key::Password(password)) => Masks::new(password.reveal(), b""),
        Some(Key::TokenFile(_)) | None => Masks::default(),
    };
    let greeted = reach(side, endpoint, masks, times, tell);
    let nobody = || "the configuration does not say as whom".to_string();
    let login = match (user.cloned(), key) {
        (_, None) | (None, Some(Key::Password(_))) => Err(nobody()),
        (Some(user), Some(Key::Password(password))) => Ok(Login::Password {
            user,
            password: password.clone(),
        }),
        (None, Some(Key::TokenFile(_))) => Err(nobody()),
        (Some(user), Some(Key::TokenFile(_))) => match access.recv() {
            Ok(token) => token.map(|token| Login::Token { user, token }),
            Err(_) => Err("there is no token".into()),
        },
    };
    sign_in(side, greeted, login, tell)
}

/// Address, connection and encryption.
fn reach(
    side: &str,
    endpoint: Option<&Endpoint>,
    masks: Masks,
    times: &Intervals,
    tell: &mut dyn FnMut(Finding),
) -> Result<Greeted, String> {
    let (address, connection) = (format!("{side}_address"), format!("{side}_connection"));
    let Some(endpoint) = endpoint else {
        for name in [&address, &connection] {
            tell(Finding::skipped(name, MISCONFIGURED));
        }
        return Err(MISCONFIGURED.into());
    };
    match wire::addresses(endpoint, ADDRESS_PATIENCE) {
        Ok(found) => {
            let named: Vec<String> = found
                .iter()
                .take(ADDRESSES_MAX)
                .map(ToString::to_string)
                .collect();
            let more = match found.len().saturating_sub(ADDRESSES_MAX) {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            let host = shown(endpoint.host.as_bytes());
            let text = format!("{host} is {}{more}", named.join(", "));
            tell(Finding::ok(&address, text));
        }
        Err(e) => {
            let hint = format!(
                "is the name right (`{side}_server`), and does this machine reach a name server?"
            );
            tell(Finding::problem(&address, &e, &hint));
            let why = format!("{} has no address", endpoint.name());
            tell(Finding::skipped(&connection, &why));
            return Err(why);
        }
    }
    match Greeted::connect(endpoint, times, masks) {
        Ok(greeted) => {
            let protection = greeted.protection(endpoint);
            tell(encryption(&connection, side, endpoint, protection));
            Ok(greeted)
        }
        Err(e) => {
            let hint = format!(
                "is the server up, is {} its port (`{side}_port`), and is this machine online?",
                endpoint.port
            );
            tell(Finding::problem(&connection, &e, &hint));
            Err("there is no connection".into())
        }
    }
}

fn encryption(
    name: &str,
    side: &str,
    endpoint: &Endpoint,
    protection: Option<Protection>,
) -> Finding {
    let server = endpoint.name();
    let Some(Protection {
        version,
        voucher,
        ends,
    }) = protection
    else {
        return Finding::ok(name, format!("{server} answers, without encryption"));
    };
    let whose = match voucher {
        Voucher::Public => "its certificate is of a public authority",
        Voucher::Own => &*format!("its certificate is of an authority in `{side}_ca_file`"),
        Voucher::Itself => &*format!("its certificate is the very one in `{side}_ca_file`"),
    };
    let text = format!("{server} answers with {version}; {whose}");
    let Some(ends) = ends else {
        return Finding::ok(name, text);
    };
    let left = ends - Utc::now();
    let days = counted(left.num_days().unsigned_abs(), "day");
    let day = ends.format("%Y-%m-%d");
    match voucher {
        // A certificate that is itself in the CA file is accepted whatever its dates.
        Voucher::Itself => Finding::ok(name, text),
        _ if left < SOON => Finding::warning(
            name,
            format!("{text} and ends in {days}, on {day}"),
            "its operator must renew it before that day; from then on it is not trusted",
        ),
        _ => Finding::ok(name, format!("{text} and lasts {days}, until {day}")),
    }
}

/// Signs in, or says why that was not tried.
fn sign_in(
    side: &str,
    greeted: Result<Greeted, String>,
    login: Result<Login, String>,
    tell: &mut dyn FnMut(Finding),
) -> Result<Session, ()> {
    let name = format!("{side}_sign_in");
    let (greeted, login) = match (greeted, login) {
        (Ok(greeted), Ok(login)) => (greeted, login),
        (Err(why), _) | (_, Err(why)) => {
            tell(Finding::skipped(&name, &why));
            return Err(());
        }
    };
    let (user, means) = match &login {
        Login::Password { user, .. } => (user, "a password"),
        Login::Token { user, .. } => (user, "a token"),
    };
    let text = format!("{} with {means}", shown(user.as_bytes()));
    match greeted.sign_in(&login) {
        Ok(session) => {
            tell(Finding::ok(&name, text));
            Ok(session)
        }
        Err(e) => {
            tell(Finding::problem(&name, &e, ASK_THE_OPERATOR));
            Err(())
        }
    }
}

/// How much mail there is, and how much of it the first run takes.
fn mailbox(
    session: &mut Session,
    since: Option<Since>,
    before: &Before,
) -> (Finding, Option<Wanted>) {
    let name = "source_mailbox";
    let failed = |e: &Error| (Finding::problem(name, e, ASK_THE_OPERATOR), None);
    let view = match session.examine(INBOX) {
        Ok(view) => view,
        Err(e) => return failed(&e),
    };
    let mut text = holds(&view);
    let mut wanted = None;
    if let Some(since) = since
        && (before.begun == Some(false) || before.new)
        && view.exists > 0
    {
        match Wanted::of(session, &view, since) {
            Ok(found) => {
                if before.begun == Some(false) {
                    text.push_str(&format!("; the first run takes {}", found.text()));
                }
                wanted = Some(found);
            }
            Err(e) => return failed(&e),
        }
    }
    match session.examine(INBOX) {
        Ok(again) if again.uid_validity != view.uid_validity => {
            let finding = Finding::warning(
                name,
                format!(
                    "{INBOX} has other UIDs each time it is opened (UIDVALIDITY {}, then {}): its messages are told apart by Message-ID and date",
                    view.uid_validity, again.uid_validity
                ),
                "open it once with a mail program: some servers settle its UIDs only then",
            );
            (finding, None)
        }
        Ok(_) => (Finding::ok(name, text), wanted),
        Err(e) => failed(&e),
    }
}

pub(super) fn holds(view: &View) -> String {
    format!("{INBOX} holds {}", counted(view.exists, "message"))
}

fn idle(session: &mut Session) -> Finding {
    let name = "source_idle";
    let hint = "nothing need be done: it looks every --poll-interval seconds instead (60)";
    if !session.offers("IDLE") {
        return Finding::warning(name, "the server does not tell of new mail by itself", hint);
    }
    match session.idle(IDLE_TRIED, None) {
        Ok(_) => Finding::ok(name, "the server tells of new mail as it comes"),
        Err(e) => Finding::problem(
            name,
            &e,
            "the server offers IDLE and does not keep to it: `--no-idle` does without",
        ),
    }
}
