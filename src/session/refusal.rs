//! A server's refusal, turned into a fault: by its words, and by what was being done.
//!
//! Words are matched without regard to case; codes of RFC 5530 where servers send them. In doubt a
//! refusal is transient. What a fault leads to is decided in `engine::settle`.

use std::time::Duration;

use super::door;
use crate::error::{Error, Fault};
use crate::response::Status;

/// A server that asks for more is asked again all the same.
const DELAY_MAX: Duration = Duration::from_secs(24 * 3600);

/// What was being done when the server refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Greeting,
    /// With a password, or on the way to it.
    SignIn,
    SignInByToken,
    Examine,
    /// FETCH, SEARCH, NOOP.
    Fetch,
    Append,
}

/// The fault behind `words`, which `server` said in a NO, BAD or BYE during `phase`.
pub fn classify(phase: Phase, status: Status, server: &str, words: &str) -> Error {
    let lower = words.to_lowercase();
    let has = |needles: &[&str]| needles.iter().any(|n| lower.contains(n));

    if let Some(error) = throttled(phase, server, words, &lower) {
        return error;
    }
    if has(&["authenticated but not connected"]) {
        return not_connected(server, words);
    }
    let temporary = is_temporary(&lower);
    let not_understood = status == Status::Bad && !door::is_of_the_credentials(&lower);
    let lost = status == Status::Bye;
    let signing_in = matches!(phase, Phase::SignIn | Phase::SignInByToken);
    match phase {
        Phase::Greeting => Error::connection(format!("{server} does not let us in now: {words}")),
        _ if lost => {
            let mut error = Error::connection(format!("{server} closed the connection: {words}"));
            error.goodbye = true;
            error
        }
        // Google's own trouble with an account (gmail.md 2.3: "Lookup failed f26mb392779289eda").
        _ if signing_in && (temporary || not_understood || has(&["lookup failed"])) => {
            Error::connection(format!("{server} could not sign us in: {words}"))
        }
        Phase::SignIn | Phase::SignInByToken => door::refused(phase, server, words, &lower),
        Phase::Examine if temporary => {
            Error::connection(format!("{server} could not open the mailbox: {words}"))
        }
        Phase::Examine
            if has(&[
                "[nonexistent]",
                "exist",
                "[noperm]",
                "[authorizationfailed]",
                "unknown mailbox",
            ]) =>
        {
            Error::new(
                Fault::NeedsUser,
                format!("{server} does not open the mailbox: {words}"),
            )
            .hint("does this account have an INBOX that its IMAP users may read?")
        }
        Phase::Examine => {
            Error::connection(format!("{server} could not open the mailbox: {words}"))
        }
        Phase::Fetch => Error::new(
            Fault::Transient,
            format!("{server} did not hand the message over: {words}"),
        ),
        Phase::Append if temporary => Error::new(
            Fault::Transient,
            format!("{server} refused the message for now: {words}"),
        ),
        Phase::Append => append_refused(server, words, &lower),
    }
}

/// A refused AUTHENTICATE PLAIN: may LOGIN do better?
pub(super) fn login_may_do(words: &str) -> bool {
    let lower = words.to_lowercase();
    throttled(Phase::SignIn, "", words, &lower).is_none()
        && !is_temporary(&lower)
        && door::may_be_of_the_mechanism(&lower)
}

fn is_temporary(lower: &str) -> bool {
    [
        "[unavailable]",
        "[inuse]",
        "[serverbug]",
        "temporar",
        "system error",
        "try again",
    ]
    .iter()
    .any(|n| lower.contains(n))
}

fn throttled(phase: Phase, server: &str, words: &str, lower: &str) -> Option<Error> {
    // Of an APPEND it may be said that the message has too many of something.
    let about_us = phase != Phase::Append
        || [
            "connect",
            "simultaneous",
            "request",
            "command",
            "session",
            "login",
        ]
        .iter()
        .any(|n| lower.contains(n));
    let too_many = about_us && lower.contains("too many");
    let too_many = too_many
        || ["command or bandwidth limits", "is throttled", "rate limit"]
            .iter()
            .any(|n| lower.contains(n));
    // Dovecot: "NO [LIMIT] Maximum number of connections from user+IP exceeded".
    let limit_at_door = matches!(
        phase,
        Phase::SignIn | Phase::SignInByToken | Phase::Greeting
    ) && (lower.contains("[limit]")
        || lower.contains("maximum number of connections"));
    if !too_many && !limit_at_door {
        return None;
    }
    let mut error = Error::new(
        Fault::Throttled,
        format!("{server} asks us to slow down: {words}"),
    );
    error.delay = stated_delay(lower);
    Some(error)
}

/// `Suggested Backoff Time: 92415 milliseconds` (Exchange Online, seen 2024).
fn stated_delay(lower: &str) -> Option<Duration> {
    let (_, rest) = lower.split_once("backoff time:")?;
    let digits: String = rest
        .trim_start()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    Some(Duration::from_millis(digits.parse().ok()?).min(DELAY_MAX))
}

/// Exchange (gmail.md 8.2): the token is good, the mailbox does not open with it. It says so of any
/// command, and now and then for no reason of ours.
fn not_connected(server: &str, words: &str) -> Error {
    Error::new(
        Fault::NeedsUser,
        format!("{server} knows the sign-in and does not open the mailbox: {words}"),
    )
    .hint("it may pass by itself; else sign in with the account that the user name in the configuration says, and switch IMAP on for it")
}

fn append_refused(server: &str, words: &str, lower: &str) -> Error {
    let has = |needles: &[&str]| needles.iter().any(|n| lower.contains(n));
    if is_of_a_full_account(lower) {
        return Error::new(
            Fault::NeedsUser,
            format!("the target account is full: {words}"),
        )
        .hint("free some space there; delivery goes on by itself");
    }
    let permanent = has(&[
        "[toobig]",
        "[cannot]",
        "invalid arguments",
        "unable to parse",
        "zero byte",
        "could not parse command",
    ]) || has(&[
        "bare newline",
        "invalid header",
        "nul character",
        "contains nul",
        "invalid character",
    ]) || is_of_its_size(lower);
    if permanent {
        return Error::new(
            Fault::Permanent,
            format!("{server} refuses this message: {words}"),
        );
    }
    let mut refused = Error::new(
        Fault::Transient,
        format!("{server} refused the message: {words}"),
    );
    let missing = has(&["[nonexistent]", "exist"]) && !has(&["already exist", "[alreadyexists]"]);
    if has(&["[trycreate]"]) || missing {
        // GNU imap4d says [TRYCREATE] of each message that it does not like: who asked looks whether
        // the mailbox is there.
        refused.perhaps_missing = true;
    }
    refused
}

/// Whatever its code; the code alone says it where the words speak of nothing else.
fn is_of_a_full_account(lower: &str) -> bool {
    let said = lower.replace("[overquota]", "");
    let has = |needles: &[&str]| needles.iter().any(|n| said.contains(n));
    has(&[
        "quota",
        "mailbox size",
        "mailbox is full",
        "mailbox full",
        "account is full",
        "storage space",
        "storage limit",
        "enough storage",
        "insufficient storage",
        "out of storage",
        "disk space",
    ]) || (said != lower && !is_of_its_size(lower))
}

/// Of the message. [LIMIT] alone may be one of anything (RFC 9051 7.1).
fn is_of_its_size(lower: &str) -> bool {
    let has = |needles: &[&str]| needles.iter().any(|n| lower.contains(n));
    has(&[
        "message too large",
        "message is too large",
        "message too big",
        "message is too big",
        "message size exceeds",
        "mail size is larger",
    ]) || (has(&["[limit]", "[overquota]"]) && has(&["size", "too large", "too big", "larger"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_is_known_by_its_words_and_the_phase() {
        use Fault::{Connection, NeedsUser, Permanent, Throttled, Transient};
        use Phase::{Append, Examine, Fetch, Greeting, SignIn, SignInByToken};
        use Status::{Bad, Bye, No};
        for (phase, status, words, fault) in [
            (Greeting, Bye, "too many connections", Throttled),
            (Greeting, Bye, "disconnected for inactivity", Connection),
            (
                SignIn,
                No,
                "[AUTHENTICATIONFAILED] Invalid credentials (Failure)",
                NeedsUser,
            ),
            (SignIn, No, "LOGIN failed.", NeedsUser),
            (
                SignIn,
                No,
                "[UNAVAILABLE] Temporary authentication failure",
                Connection,
            ),
            (
                SignIn,
                No,
                "[LIMIT] Maximum number of connections from user+IP exceeded",
                Throttled,
            ),
            (
                SignIn,
                No,
                "[ALERT] Too many simultaneous connections. (Failure)",
                Throttled,
            ),
            (
                SignIn,
                Bad,
                "Request is throttled. Suggested Backoff Time: 92415 milliseconds",
                Throttled,
            ),
            (SignIn, Bad, "Could not parse command", Connection),
            // Exchange Online (gmail.md 8.2).
            (SignIn, No, "Basic authentication is disabled.", NeedsUser),
            (SignInByToken, No, "AUTHENTICATE failed.", NeedsUser),
            (
                SignInByToken,
                Bad,
                "User is authenticated but not connected.",
                NeedsUser,
            ),
            (
                Examine,
                Bad,
                "User is authenticated but not connected.",
                NeedsUser,
            ),
            (
                Fetch,
                Bad,
                "User is authenticated but not connected.",
                NeedsUser,
            ),
            (
                Append,
                Bad,
                "User is authenticated but not connected.",
                NeedsUser,
            ),
            (
                SignInByToken,
                Bad,
                "Request is throttled. Suggested Backoff Time: 92415 milliseconds",
                Throttled,
            ),
            (
                Examine,
                Bad,
                "Request is throttled. Suggested Backoff Time: 92415 milliseconds",
                Throttled,
            ),
            (
                Append,
                Bad,
                "Request is throttled. Suggested Backoff Time: 92415 milliseconds",
                Throttled,
            ),
            (
                SignInByToken,
                No,
                "[LIMIT] Maximum number of connections from user+IP exceeded",
                Throttled,
            ),
            (
                SignInByToken,
                No,
                "[UNAVAILABLE] Temporary System Problem (Failure)",
                Connection,
            ),
            (
                Fetch,
                Bye,
                "Session invalidated - AccessTokenExpired",
                Connection,
            ),
            (SignInByToken, Bye, "Connection is closed. 13", Connection),
            (
                Examine,
                No,
                "[NONEXISTENT] Mailbox doesn't exist: INBOX",
                NeedsUser,
            ),
            (Examine, No, "System Error (Failure)", Connection),
            (Fetch, No, "[SERVERBUG] Internal error occurred", Transient),
            (
                Fetch,
                Bye,
                "[OVERQUOTA] Account exceeded command or bandwidth limits.",
                Throttled,
            ),
            (
                Append,
                No,
                "[LIMIT] Mail size is larger than the maximum size allowed by server",
                Permanent,
            ),
            (
                Append,
                No,
                "[OVERQUOTA] Quota exceeded (mailbox for user is full)",
                NeedsUser,
            ),
            (Append, No, "[OVERQUOTA] message too large", Permanent),
            (
                Append,
                No,
                "[TRYCREATE] Mailbox doesn't exist: INBOX",
                Transient,
            ),
            (
                Append,
                No,
                "[ALREADYEXISTS] Message already exists",
                Transient,
            ),
            (Append, No, "Too many MIME parts", Transient),
            (Append, No, "Too many simultaneous requests", Throttled),
            (Append, Bad, "[TOOBIG] Message too large.", Permanent),
            (
                Append,
                Bad,
                "Invalid Arguments: Unable to parse message",
                Permanent,
            ),
            (Append, No, "Can't save a zero byte message.", Permanent),
            (
                Append,
                No,
                "[UNAVAILABLE] Temporary System Problem",
                Transient,
            ),
            (
                Append,
                No,
                "Unable to append message to folder (Failure)",
                Transient,
            ),
            (
                Append,
                Bye,
                "Session expired, please login again.",
                Connection,
            ),
        ] {
            let error = classify(phase, status, "host:993", words);
            assert_eq!(error.fault, fault, "{phase:?} {words}: {error}");
            assert!(error.message.contains(words), "{error}");
        }
    }

    #[test]
    fn what_to_do_about_a_refused_sign_in_fits_what_was_shown() {
        let hint = |phase, server, words| {
            let error = classify(phase, Status::No, server, words);
            assert!(error.credentials_refused, "{words}");
            error.hint.unwrap_or_default()
        };
        let (password, token) = (Phase::SignIn, Phase::SignInByToken);
        for (phase, server, words, part) in [
            (
                password,
                "mail.x:993",
                "LOGIN failed.",
                "user name and password",
            ),
            (
                password,
                "outlook.office365.com:993",
                "LOGIN failed.",
                "`source_token_file`",
            ),
            (
                password,
                "imap-mail.outlook.com:993",
                "AUTHENTICATE failed.",
                "`source_token_file`",
            ),
            (
                password,
                "mail.x:993",
                "Basic authentication is disabled.",
                "`source_token_file`",
            ),
            (
                token,
                "outlook.office365.com:993",
                "AUTHENTICATE failed.",
                "sign in again",
            ),
            (
                token,
                "imap.gmail.com:993",
                "[AUTHENTICATIONFAILED] Invalid credentials (Failure)",
                "sign in again",
            ),
            (
                token,
                "mail.x:993",
                "Unsupported authentication mechanism.",
                "use a password",
            ),
            (
                token,
                "imap.gmail.com:993",
                "Your account is not enabled for IMAP use.",
                "switch IMAP on",
            ),
            (
                password,
                "imap.gmail.com:993",
                "Application-specific password required",
                "app password",
            ),
        ] {
            let hint = hint(phase, server, words);
            assert!(hint.contains(part), "{server} {words}: {hint}");
        }
    }

    #[test]
    fn a_stated_delay_is_kept() {
        let e = classify(
            Phase::Fetch,
            Status::Bad,
            "h",
            "Request is throttled. Suggested Backoff Time: 92415 milliseconds",
        );
        assert_eq!(e.delay, Some(Duration::from_millis(92_415)));
    }
}
