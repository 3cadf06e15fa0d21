use chrono::TimeDelta;

use super::*;
use crate::config::Side;
use crate::error::{Again, Charge, Scope};

fn now() -> Time {
    Time::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn json(status: u16, reason: &str, message: &str) -> Vec<u8> {
    serde_json::json!({"error": {"code": status, "message": message,
        "errors": [{"message": message, "domain": "global", "reason": reason}]}})
    .to_string()
    .into_bytes()
}

fn judged(status: u16, body: &[u8]) -> Verdict {
    let answered = Answered {
        status,
        body,
        retry_after: None,
        now: now(),
        masks: &Masks::new("ya29.secret-token", b""),
    };
    let origin = Origin {
        side: Side::Target,
        ..Origin::default()
    };
    verdict(&answered, &origin)
}

fn refused(status: u16, reason: &str, message: &str) -> (Means, Error) {
    match judged(status, &json(status, reason, message)) {
        Verdict::Refused(means, error) => (means, error),
        open => panic!("{message}: {open:?}"),
    }
}

/// Each row of docs/gmail-import.md 4 that is a refusal: what it is about, its fault, its wait, and a word of its hint.
#[test]
fn each_refusal_has_its_reaction() {
    use Fault::{Connection, NeedsUser, Permanent, Throttled, Transient};
    use Means::{Account, Label, Message};
    const QUERIES: &str = "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute per user' of service 'gmail.googleapis.com' for consumer 'project_number:1'.";
    #[rustfmt::skip]
    let rows = [
        (400, "invalidArgument", "Expected a single 'From' header", Message, Permanent, None, ""),
        (400, "invalidArgument", "Invalid From header", Message, Permanent, None, ""),
        (400, "invalidArgument", "Invalid attachment. Please check https://support.google.com/mail/answer/6590.", Message, Permanent, None, ""),
        (400, "invalidArgument", "BadAttachment badfile_checker:EXE_FILE_FOUND", Message, Permanent, None, ""),
        (400, "invalidArgument", "Request contains an invalid argument.", Message, Permanent, None, ""),
        (400, "badRequest", "Bad Request", Message, Transient, None, ""),
        (400, "badRequest", "'raw' RFC822 payload message string or uploading message via /upload/* URL required", Message, Permanent, None, ""),
        (400, "badRequest", "Request payload size exceeds the limit: 1048576 bytes.", Message, Permanent, None, ""),
        (400, "invalidArgument", "Invalid label: CHAT", Label, Connection, None, ""),
        (400, "invalidArgument", "Invalid label name", Account, Permanent, None, "choose another"),
        (400, "", "Invalid thread_id value", Message, Permanent, None, ""),
        (400, "failedPrecondition", "Mail service not enabled", Account, NeedsUser, None, "Service status"),
        (400, "failedPrecondition", "Precondition check failed.", Account, NeedsUser, None, "Service status"),
        (401, "authError", "Invalid Credentials", Account, NeedsUser, None, "imap-to-gmail auth --credentials"),
        (403, "insufficientPermissions", "Request had insufficient authentication scopes.", Account, NeedsUser, None, "ticked"),
        (403, "insufficientPermissions", "Insufficient Permission", Account, NeedsUser, None, "ticked"),
        (403, "accessNotConfigured", "Gmail API has not been used in project 4711 before or it is disabled.", Account, NeedsUser, None, "gmail.googleapis.com?project=4711,"),
        (403, "domainPolicy", "The domain administrators have disabled Gmail apps.", Account, NeedsUser, None, "API controls"),
        (403, "rateLimitExceeded", "Rate Limit Exceeded", Account, Throttled, None, ""),
        (403, "userRateLimitExceeded", "User Rate Limit Exceeded", Account, Throttled, None, ""),
        (403, "rateLimitExceeded", "User-rate limit exceeded.  Retry after 2024-10-04T00:10:00.000Z", Account, Throttled, Some(600), ""),
        (429, "rateLimitExceeded", "User-rate limit exceeded.  Retry after 2024-10-04T00:00:07.001Z", Account, Throttled, Some(8), ""),
        (403, "", QUERIES, Account, Throttled, Some(60), ""),
        (403, "dailyLimitExceeded", "Daily Limit Exceeded", Account, Throttled, Some(3600), "/quotas"),
        (429, "rateLimitExceeded", "Too many concurrent requests for user", Account, Throttled, Some(30), ""),
        (429, "", "something new", Account, Throttled, None, ""),
        (403, "somethingNew", "Forbidden", Account, NeedsUser, None, "all that is known"),
        (404, "notFound", "Requested entity was not found.", Label, Connection, None, ""),
        (413, "", "Request Entity Too Large", Message, Permanent, None, ""),
    ];
    for (status, reason, message, means, fault, delay, hint) in rows {
        let (meant, error) = refused(status, reason, message);
        assert_eq!((meant, error.fault), (means, fault), "{message}");
        assert_eq!(error.delay, delay.map(Duration::from_secs), "{message}");
        let told = error.hint.clone().unwrap_or_default();
        assert_eq!(told.is_empty(), hint.is_empty(), "{message}: {told}");
        assert!(told.contains(hint), "{message}: {told}");
        assert!(
            error.message.contains(message.trim_end_matches('.')),
            "{error}"
        );
        assert_eq!(error.credentials_refused, status == 401, "{message}");
        // A message is charged only for what is about it.
        let charged = error.reaction().charge != Charge::Nothing;
        assert!(!charged || means == Message || message == "Invalid label name");
    }
}

#[test]
fn what_a_failure_leaves_open_is_not_refused() {
    for status in [500, 502, 503, 504, 408, 409, 499, 200, 302, 308, 0] {
        for body in [
            &b"<html>sorry"[..],
            &json(status, "backendError", "Backend Error"),
            b"",
        ] {
            match judged(status, body) {
                Verdict::Open(error) => assert_eq!(error.scope(), Scope::Session, "{status}"),
                refused => panic!("{status}: {refused:?}"),
            }
        }
    }
    let body = json(503, "", "Busy. Retry after 2024-10-04T00:00:10Z.");
    match judged(503, &body) {
        Verdict::Open(error) => {
            assert_eq!(error.delay, Some(Duration::from_secs(10)));
            assert_eq!(error.reaction().again, Again::AfterPause);
        }
        refused => panic!("{refused:?}"),
    }
}

#[test]
fn pages_of_html_are_told_by_their_status_and_not_repeated() {
    for (status, means) in [
        (400, Means::Message),
        (413, Means::Message),
        (401, Means::Account),
        (403, Means::Account),
        (404, Means::Account),
        (429, Means::Account),
    ] {
        let page = b"<!DOCTYPE html><title>y&#97;29.secret-token</title>";
        let Verdict::Refused(meant, error) = judged(status, page) else {
            panic!("{status}")
        };
        assert_eq!(meant, means);
        assert!(
            error.message.ends_with(&format!(": HTTP {status}")),
            "{error}"
        );
    }
}

#[test]
fn a_time_is_obeyed_whatever_the_status_and_within_reason() {
    for (status, time, seconds) in [
        (400, "2024-10-04T00:00:30Z", 30),
        (401, "2024-10-04T00:00:30Z", 30),
        (403, "2024-10-04T02:00:30.5+02:00", 31),
        (418, "2024-10-04T00:00:30Z", 30),
        (429, "9999-12-31T00:00:00Z", DELAY_MAX.as_secs()),
        (429, "2020-01-01T00:00:00Z", 1),
    ] {
        let body = json(
            status,
            "",
            &format!("Slow down. retry AFTER {time}, please"),
        );
        let (Verdict::Refused(_, error) | Verdict::Open(error)) = judged(status, &body);
        assert_eq!(error.delay, Some(Duration::from_secs(seconds)), "{time}");
        assert_eq!(error.fault, Fault::Throttled);
    }
    for none in ["", "soon", "2024-10-04", "ä"] {
        let (_, error) = refused(429, "", &format!("ÄÖ Retry after {none}"));
        assert_eq!(error.delay, None, "{none}");
    }
}

#[test]
fn a_token_that_comes_back_is_not_shown() {
    for clothes in [
        "ya29.secret-token",
        "\\u0079a29.secret-token",
        "Bearer eWEyOS5zZWNyZXQtdG9rZW4=",
        "YXV0aD15YTI5LnNlY3JldC10b2tlbg==",
        "ya29%2Esecret%2Dtoken",
        "x\\u001b[2Jya29.secret-token",
    ] {
        for status in [400, 401, 403, 429, 503] {
            let body = format!("{{\"error\":{{\"message\":\"no: {clothes}\"}}}}");
            let (Verdict::Refused(_, e) | Verdict::Open(e)) = judged(status, body.as_bytes());
            assert!(e.message.contains("***"), "{clothes}: {e}");
            for piece in ["secret", "token=", "zZWNyZ", "YTI5Ln"] {
                assert!(!e.message.contains(piece), "{clothes}: {e}");
            }
            assert!(!e.message.contains('\u{1b}'));
        }
    }
}
