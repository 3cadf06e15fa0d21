use super::*;
use crate::config::{Endpoint, Origin, Tls};

fn peer(host: &str) -> Peer {
    Peer {
        endpoint: Endpoint {
            host: host.into(),
            port: 993,
            tls: Tls::Implicit,
            ca_file: None,
            origin: Origin::default(),
        },
        user: "m@example.test".into(),
        is_gmail: false,
    }
}

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
        // Exchange Online (docs/gmail.md 8.2).
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
        let error = classify(phase, status, &peer("host"), words);
        assert_eq!(error.fault, fault, "{phase:?} {words}: {error}");
        assert!(error.message.contains(within_a_sentence(words)), "{error}");
        assert!(!error.message.ends_with('.'), "{error}");
    }
}

#[test]
fn what_to_do_about_a_refused_sign_in_fits_what_was_shown() {
    let hint = |phase, server, words| {
        let error = classify(phase, Status::No, &peer(server), words);
        assert!(error.credentials_refused, "{words}");
        error.hint.unwrap_or_default()
    };
    let (password, token) = (Phase::SignIn, Phase::SignInByToken);
    for (phase, server, words, part) in [
        (
            password,
            "mail.x",
            "LOGIN failed.",
            "user name and password",
        ),
        (
            password,
            "outlook.office365.com",
            "LOGIN failed.",
            "\"source_token_file\"",
        ),
        (
            password,
            "imap-mail.outlook.com",
            "AUTHENTICATE failed.",
            "\"source_token_file\"",
        ),
        (
            password,
            "mail.x",
            "Basic authentication is disabled.",
            "\"source_token_file\"",
        ),
        (
            token,
            "outlook.office365.com",
            "AUTHENTICATE failed.",
            "sign in again",
        ),
        (
            token,
            "imap.gmail.com",
            "[AUTHENTICATIONFAILED] Invalid credentials (Failure)",
            "sign in again",
        ),
        (
            token,
            "mail.x",
            "Unsupported authentication mechanism.",
            "use a password",
        ),
        (
            token,
            "imap.gmail.com",
            "Your account is not enabled for IMAP use.",
            "switch IMAP on",
        ),
        (
            password,
            "imap.gmail.com",
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
        &peer("h"),
        "Request is throttled. Suggested Backoff Time: 92415 milliseconds",
    );
    assert_eq!(e.delay, Some(Duration::from_millis(92_415)));
}
