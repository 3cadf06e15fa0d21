//! A refused sign-in: whose affair it is, and what a person can do about it, by the server's own
//! words and the codes of RFC 5530.

use super::Phase;
use crate::error::{Error, Fault};

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

pub(super) fn refused(phase: Phase, server: &str, words: &str, lower: &str) -> Error {
    let by_token = phase == Phase::SignInByToken;
    let error = Error::new(
        Fault::NeedsUser,
        format!("{server} refused the sign-in: {words}"),
    );
    if let Some(hint) = not_of_the_credentials(lower) {
        return error.hint(hint);
    }
    let mut error = error.hint(if by_token {
        token_hint(lower)
    } else {
        password_hint(server, lower)
    });
    error.credentials_refused = true;
    error
}

/// What neither another password nor another token mends.
fn not_of_the_credentials(lower: &str) -> Option<&'static str> {
    let has = |code: &str| lower.contains(code);
    if has("[privacyrequired]") {
        Some(
            "the server takes this sign-in over an encrypted connection alone: use `\"implicit\"` or `\"starttls\"`",
        )
    } else if has("[contactadmin]") {
        Some("only the administrator of the server can mend this: show them what it says")
    } else if has("[authorizationfailed]") {
        Some(
            "the server knows this user, who may not use the mailbox by IMAP: is it the user whose mailbox it is? Else ask the administrator of the server",
        )
    } else {
        None
    }
}

fn password_hint(server: &str, lower: &str) -> &'static str {
    let host = server.to_lowercase();
    // gmail.md 8.2. Exchange says "LOGIN failed." of every password, so its name must tell.
    let microsoft = lower.contains("basic authentication is disabled")
        || ["outlook.", "office365.", "hotmail."]
            .iter()
            .any(|name| host.contains(name));
    if microsoft {
        return "Microsoft takes no password here, only a sign-in with OAuth: name its token file with `source_token_file` (at the target `target_token_file`)";
    }
    if lower.contains("application-specific password") {
        return "this account has 2-Step Verification: make an app password and use that";
    }
    // mail.ru: "Application password is REQUIRED".
    let of_an_app = ["application password", "app password", "app-specific"];
    if of_an_app.iter().any(|w| lower.contains(w)) {
        return "this provider takes no account password here: make an app password in the account's security settings and use that";
    }
    if lower.contains("[expired]") {
        return "the password has run out: set a new one at the provider, and put that into the configuration";
    }
    of_the_account(lower).unwrap_or("check user name and password; nothing is lost meanwhile")
}

fn token_hint(lower: &str) -> &'static str {
    if lower.contains("mechanism") {
        return "this server takes no tokens (XOAUTH2): use a password";
    }
    of_the_account(lower).unwrap_or(
        "sign in again, with the account that the user name in the configuration says; nothing is lost meanwhile",
    )
}

fn of_the_account(lower: &str) -> Option<&'static str> {
    let imap_is_off = lower.contains("imap")
        && ["disabled", "not enabled", "yet to enable"]
            .iter()
            .any(|w| lower.contains(w));
    if lower.contains("web") && lower.contains("log") {
        Some("open the account once in a web browser and confirm that the sign-in was you")
    } else if imap_is_off && lower.contains("credentials or") {
        // Yandex does not say which.
        Some(
            "check user name and password, and whether IMAP is switched on in the account's settings",
        )
    } else if imap_is_off {
        Some("switch IMAP on in the account's settings, or ask its administrator to")
    } else {
        None
    }
}
