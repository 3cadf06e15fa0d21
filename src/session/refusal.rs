//! A server's refusal, turned into a fault: by its words, and by what was being done.
//!
//! Words are matched without regard to case; codes of RFC 5530 where servers send them. In doubt a
//! refusal is transient. What a fault leads to is said in `error::fault`.

use std::time::Duration;

use super::door;
use crate::error::{Error, Fault, shown};
use crate::response::Status;
use crate::wire::Peer;

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
    /// CREATE, COPY, STORE: of the target, beside its messages.
    Change,
}

/// The fault behind `words`, which `peer` said in a NO, BAD or BYE during `phase`.
pub fn classify(phase: Phase, status: Status, peer: &Peer, words: &str) -> Error {
    let lower = words.to_lowercase();
    let words = within_a_sentence(words);
    let server = &*peer.endpoint.name();
    let has = |needles: &[&str]| needles.iter().any(|n| lower.contains(n));

    if let Some(error) = throttled(phase, server, words, &lower) {
        return error;
    }
    if has(&["authenticated but not connected"]) {
        return not_connected(peer, words);
    }
    let temporary = is_temporary(&lower);
    let not_understood = status == Status::Bad && !door::is_of_the_credentials(&lower);
    let lost = status == Status::Bye;
    let signing_in = matches!(phase, Phase::SignIn | Phase::SignInByToken);
    match phase {
        Phase::Greeting => Error::connection(format!(
            "{} does not let us in now; the server said: {words}",
            peer.endpoint.called()
        )),
        _ if lost => {
            let mut error = Error::connection(format!("{server} closed the connection: {words}"));
            error.goodbye = true;
            error
        }
        // Google's own trouble with an account (docs/gmail.md 2.3: "Lookup failed f26mb392779289eda").
        _ if signing_in && (temporary || not_understood || has(&["lookup failed"])) => {
            Error::connection(format!(
                "{} could not sign {} in; the server said: {words}",
                peer.endpoint.called(),
                shown(peer.user.as_bytes())
            ))
        }
        Phase::SignIn | Phase::SignInByToken => door::refused(phase, peer, words, &lower),
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
        Phase::Change if temporary => {
            Error::connection(format!("{server} does not do it now: {words}"))
        }
        Phase::Change => Error::new(Fault::Permanent, format!("{server} refuses it: {words}")),
        Phase::Append if temporary => Error::new(
            Fault::Transient,
            format!("{server} refused the message for now: {words}"),
        ),
        Phase::Append => append_refused(peer, words, &lower),
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

/// Exchange (docs/gmail.md 8.2): the token is good, the mailbox does not open with it. It says so of any
/// command, and now and then for no reason of ours.
fn not_connected(peer: &Peer, words: &str) -> Error {
    let (endpoint, origin) = (&peer.endpoint, &peer.endpoint.origin);
    let user = origin.key("user");
    let error = Error::new(
        Fault::NeedsUser,
        format!(
            "{} knows the sign-in and does not open the mailbox; the server said: {words}",
            endpoint.called()
        ),
    );
    error.hint(format!(
        "it may pass by itself; if not, switch IMAP on for the account that `{user}` in {} says, and sign in with that: {}",
        origin.file(),
        origin.sign_in(None)
    ))
}

/// A server's words as a part of one of ours: without its full stop.
fn within_a_sentence(words: &str) -> &str {
    match words.strip_suffix('.') {
        Some(rest) if !rest.ends_with('.') => rest,
        _ => words,
    }
}

fn append_refused(peer: &Peer, words: &str, lower: &str) -> Error {
    let server = &*peer.endpoint.name();
    let has = |needles: &[&str]| needles.iter().any(|n| lower.contains(n));
    if is_of_a_full_account(lower) {
        return Error::new(
            Fault::NeedsUser,
            format!("the target account is full; the server said: {words}"),
        )
        .hint(format!(
            "free some space in it{}; a run that goes on then delivers by itself, and one with --once you start again",
            if door::is_gmail(peer) {
                ": https://one.google.com/storage shows what takes up the space, and what is in Gmail's Trash counts until that is emptied"
            } else {
                ""
            }
        ));
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
mod tests;
