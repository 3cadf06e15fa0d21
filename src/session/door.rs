//! A refused sign-in: whose affair it is, and what a person can do about it, by the server's own
//! words, the codes of RFC 5530 and what is known of its provider.

use super::Phase;
use super::provider::{self, Entry};
use crate::error::{Error, Fault, shown};
use crate::wire::Peer;

/// Refusals that say why: another way of saying the password changes nothing.
const REASONS: &[&str] = &[
    "[authenticationfailed]",
    "[authorizationfailed]",
    "[expired]",
    "[contactadmin]",
    "[privacyrequired]",
];

/// So the password or token itself is called wrong, also by servers that say BAD to it.
pub(super) fn is_of_the_credentials(lower: &str) -> bool {
    let so_called = [
        "[authenticationfailed]",
        "authentication failed",
        "authenticate failed",
        "login failed",
    ];
    let wrong = ["invalid", "wrong", "incorrect", "bad", "error"];
    let of_them = ["password", "credentials"];
    let has = |words: &[&str]| words.iter().any(|w| lower.contains(w));
    has(&so_called) || (has(&wrong) && has(&of_them))
}

/// May a refused AUTHENTICATE PLAIN have been refused for the way it was said?
pub(super) fn may_be_of_the_mechanism(lower: &str) -> bool {
    !REASONS.iter().any(|code| lower.contains(code))
}

pub(super) fn refused(phase: Phase, peer: &Peer, words: &str, lower: &str) -> Error {
    let by_token = phase == Phase::SignInByToken;
    let (endpoint, origin) = (&peer.endpoint, &peer.endpoint.origin);
    let entry = match by_token {
        // `auth` tries one also where the configuration has a password yet.
        true => origin.key("token_file"),
        false => origin.entry.into(),
    };
    let error = Error::new(
        Fault::NeedsUser,
        format!(
            "{} refused the sign-in of {} (`{entry}`); the server said: {words}",
            endpoint.whose(),
            shown(peer.user.as_bytes())
        ),
    );
    if let Some(hint) = not_of_the_credentials(peer, lower) {
        return error.hint(hint);
    }
    let mut error = error.hint(if by_token {
        token_hint(peer, lower)
    } else {
        password_hint(peer, lower)
    });
    error.credentials_refused = true;
    error
}

/// What neither another password nor another token mends.
fn not_of_the_credentials(peer: &Peer, lower: &str) -> Option<String> {
    let origin = &peer.endpoint.origin;
    let has = |code: &str| lower.contains(code);
    if has("[privacyrequired]") {
        Some(format!(
            "the server takes this sign-in only over an encrypted connection: {} (or `\"implicit\"` for port 993)",
            origin.set("tls", "\"starttls\"")
        ))
    } else if has("[contactadmin]") {
        Some("only the administrator of the server can mend this: show them what it said".into())
    } else if has("[authorizationfailed]") {
        Some(format!(
            "the server knows this user, who may not use the mailbox by IMAP: is `{}` in {} the user whose mailbox it is? If it is, ask the administrator of the server",
            origin.key("user"),
            origin.file()
        ))
    } else {
        None
    }
}

/// Gmail has other names, too.
pub(super) fn is_gmail(peer: &Peer) -> bool {
    peer.is_gmail || provider::is_gmail(&peer.endpoint.host)
}

fn provider_of(peer: &Peer) -> Option<Entry> {
    if peer.is_gmail {
        Some(provider::GMAIL)
    } else {
        provider::of(&peer.endpoint.host)
    }
}

fn password_hint(peer: &Peer, lower: &str) -> String {
    let origin = &peer.endpoint.origin;
    let (entry, file) = (origin.entry, origin.file());
    let known = provider_of(peer);
    // docs/gmail.md 8.2. Exchange says "LOGIN failed." of every password, so its name must tell.
    if lower.contains("basic authentication is disabled") || known == Some(Entry::Microsoft) {
        return format!(
            "Microsoft takes no password here, only a sign-in in a browser: put `\"{0}\": \"{1}\"` into {file} in place of `{entry}` and its value, then {2}",
            origin.key("token_file"),
            format_args!("{}_token.json", origin.side.name()),
            origin.sign_in(Some("microsoft"))
        );
    }
    let of_the_account = of_the_account(peer, lower);
    if let Some(Entry::Password(advice)) = known
        && of_the_account.is_none()
    {
        return format!("{advice}, and put it into {file} (`{entry}`)");
    }
    let use_it = format!("use that in {file} (`{entry}`)");
    // mail.ru: "Application password is REQUIRED".
    let of_an_app = [
        "application-specific password",
        "application password",
        "app password",
        "app-specific",
    ];
    if of_an_app.iter().any(|w| lower.contains(w)) {
        return format!(
            "this provider does not take the account's own password here: make an app password in the account's security settings and {use_it}"
        );
    }
    if lower.contains("[expired]") {
        return format!(
            "the password has run out: set a new one at the provider, and put that into {file} (`{entry}`)"
        );
    }
    let check = format!(
        "check user name and password in {file} (`{}`, `{entry}`)",
        origin.key("user")
    );
    match (of_the_account, known) {
        (Some(OfTheAccount::Unsure), _) => {
            format!("{check}, and whether IMAP is switched on in the account's settings")
        }
        (Some(OfTheAccount::Certain(hint)), _) => hint.into(),
        (None, Some(Entry::SwitchedOn(advice))) => format!("{check}, and {advice}"),
        (None, _) => format!("{check}; {}", provider::MANY),
    }
}

fn token_hint(peer: &Peer, lower: &str) -> String {
    let origin = &peer.endpoint.origin;
    if lower.contains("mechanism") {
        return format!(
            "this server does not take a sign-in with a token (XOAUTH2): use a password, `{}` in {}",
            origin.key("pass"),
            origin.file()
        );
    }
    if let Some(OfTheAccount::Certain(hint)) = of_the_account(peer, lower) {
        return hint.into();
    }
    format!(
        "sign in again, with the account of `{}` in {}: {}; nothing is lost meanwhile",
        origin.key("user"),
        origin.file(),
        origin.sign_in(None)
    )
}

/// What lies in the account's settings.
enum OfTheAccount {
    Certain(&'static str),
    /// Yandex does not say which of both it is.
    Unsure,
}

fn of_the_account(peer: &Peer, lower: &str) -> Option<OfTheAccount> {
    let imap_is_off = lower.contains("imap")
        && ["disabled", "not enabled", "yet to enable"]
            .iter()
            .any(|w| lower.contains(w));
    let gmail = is_gmail(peer);
    if lower.contains("web") && lower.contains("log") {
        Some(OfTheAccount::Certain(if gmail {
            "open https://mail.google.com in a web browser, sign in as this user, and confirm there that the sign-in was you"
        } else {
            "open the account once in a web browser and confirm there that the sign-in was you"
        }))
    } else if imap_is_off && lower.contains("credentials or") {
        Some(OfTheAccount::Unsure)
    } else if imap_is_off {
        Some(OfTheAccount::Certain(match gmail {
            // Personal accounts have had no such switch since January 2025: there IMAP is on.
            true => {
                "switch IMAP on: in Gmail in a web browser, Settings (the gear), \"See all settings\", \"Forwarding and POP/IMAP\", \"Enable IMAP\", \"Save Changes\"; for an account of work or school that does not show it, ask its administrator to"
            }
            false => "switch IMAP on in the account's settings, or ask its administrator to",
        }))
    } else {
        None
    }
}
