//! What the API refuses, in which words (docs/gmail-import.md 4), how much it does (5), and how it breaks.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use chrono::{DateTime, TimeDelta, Utc};
use gmail_stand_in::{ApiFault, ApiRefusal, Gmail, On, Options, SCOPE};
use serde_json::json;

use super::request::{IMPORT, INSERT, LABELS, ask, get, head, import, multipart, post};
use crate::client::{Client, eventually, mail};

const HOUR: Duration = Duration::from_secs(3600);

fn gmail() -> Gmail {
    Gmail::start(Options::default())
}

#[test]
fn every_refusal_is_said_as_it_was_seen() {
    use ApiRefusal as R;
    let at = DateTime::parse_from_rfc3339("2026-09-11T20:00:00Z")
        .unwrap()
        .to_utc();
    let gmail = gmail();
    for (refusal, status, reason, words) in [
        (
            R::SingleFrom,
            400,
            "invalidArgument",
            "Expected a single 'From' header",
        ),
        (
            R::InvalidFrom,
            400,
            "invalidArgument",
            "Invalid From header",
        ),
        (
            R::InvalidAttachment,
            400,
            "invalidArgument",
            "Invalid attachment. Please check https://support.google.com/mail/answer/6590.",
        ),
        (
            R::BadAttachment,
            400,
            "invalidArgument",
            "BadAttachment badfile_checker:EXE_FILE_FOUND",
        ),
        (
            R::InvalidArgument,
            400,
            "invalidArgument",
            "Request contains an invalid argument.",
        ),
        (R::BadRequest, 400, "badRequest", "Bad Request"),
        (
            R::RawRequired,
            400,
            "badRequest",
            "'raw' RFC822 payload message string or uploading message via /upload/* URL required",
        ),
        (
            R::PayloadSize,
            400,
            "badRequest",
            "Request payload size exceeds the limit: 1048576 bytes.",
        ),
        (
            R::InvalidLabel("CHAT".into()),
            400,
            "invalidArgument",
            "Invalid label: CHAT",
        ),
        (
            R::InvalidLabelName,
            400,
            "invalidArgument",
            "Invalid label name",
        ),
        (
            R::LabelConflict,
            409,
            "aborted",
            "Label name exists or conflicts",
        ),
        (
            R::InvalidThread,
            400,
            "invalidArgument",
            "Invalid thread_id value",
        ),
        (
            R::MailServiceOff,
            400,
            "failedPrecondition",
            "Mail service not enabled",
        ),
        (
            R::Precondition,
            400,
            "failedPrecondition",
            "Precondition check failed.",
        ),
        (
            R::InvalidCredentials,
            401,
            "authError",
            "Invalid Credentials",
        ),
        (
            R::Scopes,
            403,
            "insufficientPermissions",
            "Request had insufficient authentication scopes.",
        ),
        (
            R::Permission,
            403,
            "insufficientPermissions",
            "Insufficient Permission",
        ),
        (
            R::DomainPolicy,
            403,
            "domainPolicy",
            "The domain administrators have disabled Gmail apps.",
        ),
        (
            R::RateLimit,
            403,
            "rateLimitExceeded",
            "Rate Limit Exceeded",
        ),
        (
            R::UserRateLimit,
            403,
            "userRateLimitExceeded",
            "User Rate Limit Exceeded",
        ),
        (
            R::RetryAfter(403, at),
            403,
            "rateLimitExceeded",
            "User-rate limit exceeded.  Retry after 2026-09-11T20:00:00.000Z",
        ),
        (
            R::RetryAfter(429, at),
            429,
            "rateLimitExceeded",
            "User-rate limit exceeded.  Retry after 2026-09-11T20:00:00.000Z",
        ),
        (
            R::DailyLimit,
            403,
            "dailyLimitExceeded",
            "Daily Limit Exceeded",
        ),
        (
            R::Concurrent,
            429,
            "rateLimitExceeded",
            "Too many concurrent requests for user",
        ),
        (
            R::NotFound,
            404,
            "notFound",
            "Requested entity was not found.",
        ),
        (R::Backend(503), 503, "backendError", "Backend Error"),
        (R::TooLarge, 413, "", ""),
        (R::BadRequestPage, 400, "", ""),
        (R::Page(502), 502, "", ""),
    ] {
        // To all, then to one message.
        gmail.api_fault(On::nth(1, "*"), ApiFault::Refuse(refusal.clone()));
        let reply = import(&gmail, &mail("1@x", "any")).unwrap();
        assert_eq!(reply.refusal(), (status, reason.into(), words.into()));
        assert_eq!(words.is_empty(), reply.body.starts_with("<!DOCTYPE html>"));
        gmail.clear_faults();
        gmail.api_fault(
            On::each("IMPORT").message_with("odd"),
            ApiFault::Refuse(refusal),
        );
        assert_eq!(import(&gmail, &mail("2@x", "any")).unwrap().status, 200);
        let odd = import(&gmail, &mail("3@x", "odd")).unwrap();
        assert_eq!((odd.status, odd.body), (status, reply.body));
        gmail.clear_faults();
    }
    assert_eq!(gmail.messages().len(), 1);
}

#[test]
fn what_import_refuses_by_itself() {
    let gmail = gmail();
    let body = "Message-ID: <1@x>\r\n\r\ntext\r\n";
    for (letter, words) in [
        (body.to_string(), "Expected a single 'From' header"),
        (
            format!("From: a@x\r\nFrom: b@x\r\n{body}"),
            "Expected a single 'From' header",
        ),
        (format!("From: nobody\r\n{body}"), "Invalid From header"),
        (format!("From: a@x, b@x\r\n{body}"), "Invalid From header"),
        (
            format!("From: a@x\r\n{body}Content-Type: x/y; name=\"Setup.EXE\"\r\n"),
            "Invalid attachment.",
        ),
        (String::new(), "'raw' RFC822 payload"),
    ] {
        let refused = import(&gmail, &letter).unwrap().refusal().2;
        assert!(refused.starts_with(words), "{refused}");
    }
    assert!(multipart(&gmail, INSERT, &[], body).unwrap().status == 200);
    assert!(
        post(&gmail, IMPORT, &json!({}))
            .unwrap()
            .refusal()
            .2
            .starts_with("'raw' RFC822")
    );
    let large = json!({"raw": URL_SAFE.encode(vec![b'x'; 4_000_000])});
    let refused = post(&gmail, IMPORT, &large).unwrap();
    assert!(refused.status == 413 && refused.body.contains("<title>"));
}

#[test]
fn who_may_ask() {
    let gmail = gmail();
    let with = |token: &str, path: &str| {
        let method = if path == LABELS { "GET" } else { "POST" };
        ask(&gmail, &head(method, path, token, "", 0), "")
            .unwrap()
            .refusal()
    };
    let issued = |scope: &str| gmail.issue_token_for(gmail.account(), scope, HOUR);
    assert_eq!(with("ya29.none", LABELS).2, "Invalid Credentials");
    let other = gmail.issue_token_for("other@gmail.com", SCOPE, HOUR);
    assert_eq!(with(&other, LABELS).0, 401);
    let insert = issued("https://www.googleapis.com/auth/gmail.insert");
    assert_eq!(with(&insert, LABELS).0, 403);
    assert!(with(&insert, IMPORT).2.starts_with("'raw'"));
    let labels = issued("https://www.googleapis.com/auth/gmail.labels");
    assert!(
        with(&labels, IMPORT)
            .2
            .starts_with("Request had insufficient")
    );
    assert_eq!(with(&labels, LABELS).0, 200);
    gmail.clock().advance(2 * HOUR);
    assert_eq!(with(&labels, LABELS).0, 401);
    for (turn, words) in [
        (0, "Gmail API has not been used in project"),
        (1, "The domain administrators"),
        (2, "Mail service not enabled"),
    ] {
        gmail.knobs(|knobs| {
            knobs.api.enabled = turn != 0;
            knobs.api.domain_allows = turn != 1;
            knobs.api.mail_service = turn != 2;
        });
        assert!(get(&gmail, LABELS).refusal().2.starts_with(words));
    }
}

#[test]
fn answers_that_are_lost_late_or_wrong() {
    let gmail = gmail();
    let stored = || gmail.messages().len();
    let mut sent = 0;
    let mut send = || {
        sent += 1;
        import(&gmail, &mail(&format!("{sent}@x"), "text"))
    };
    for (fault, answered, kept) in [
        (ApiFault::CutBefore, None, 0),
        (ApiFault::CutInBody(50), None, 0),
        (ApiFault::CutAfter { stored: false }, None, 0),
        (ApiFault::CutAfter { stored: true }, None, 1),
        (ApiFault::CutInAnswer, None, 1),
        (
            ApiFault::RefuseAfter(ApiRefusal::Backend(503)),
            Some(503),
            1,
        ),
        (
            ApiFault::Answer {
                status: 200,
                body: "{}".into(),
                stored: true,
            },
            Some(200),
            1,
        ),
        (
            ApiFault::Answer {
                status: 302,
                body: String::new(),
                stored: false,
            },
            Some(302),
            0,
        ),
    ] {
        let before = stored();
        gmail.api_fault(On::nth(1, "IMPORT"), fault.clone());
        let reply = send();
        assert_eq!(reply.map(|reply| reply.status), answered, "{fault:?}");
        assert_eq!(stored() - before, kept, "{fault:?}");
    }
    gmail.api_fault(
        On::nth(1, "IMPORT"),
        ApiFault::Delay(Duration::from_millis(300)),
    );
    let start = Instant::now();
    assert_eq!(send().unwrap().status, 200);
    assert!(start.elapsed() >= Duration::from_millis(300));
    let before = stored();
    gmail.api_fault(
        On::nth(1, "IMPORT"),
        ApiFault::CommitLate(Duration::from_secs(3)),
    );
    assert_eq!(send(), None);
    assert_eq!(stored(), before);
    eventually("it is stored late", || stored() == before + 1);
    gmail.api_fault(On::nth(1, "IMPORT"), ApiFault::CommitOnCommand);
    assert_eq!(send(), None);
    assert_eq!(stored(), before + 1);
    assert_eq!((gmail.commit_held(), gmail.commit_held()), (1, 0));
    assert_eq!(stored(), before + 2);
}

#[test]
fn a_refusal_that_is_cut_short_is_none_and_stores_nothing() {
    let gmail = gmail();
    let cut = ApiFault::CutInRefusal(ApiRefusal::InvalidFrom);
    gmail.api_fault(On::nth(1, "IMPORT"), cut);
    assert_eq!(import(&gmail, &mail("1@x", "text")), None);
    assert!(gmail.messages().is_empty());
}

#[test]
fn an_answer_waits_for_a_word() {
    let gmail = gmail();
    gmail.api_fault(On::nth(1, "IMPORT"), ApiFault::AnswerOnCommand);
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| import(&gmail, &mail("1@x", "text")));
        eventually("the answer is ready", || gmail.answers_held() == 1);
        assert_eq!(
            (gmail.messages().len(), gmail.api_log()[0].status),
            (1, None)
        );
        gmail.release_answers();
        assert_eq!(asked.join().unwrap().unwrap().status, 200);
    });
    assert_eq!(
        (gmail.answers_held(), gmail.api_log()[0].status),
        (0, Some(200))
    );
}

/// One message meets each kind of loss; the mail before and after it does not.
#[test]
fn whatever_breaks_can_be_for_one_message() {
    for (fault, stored) in [
        (ApiFault::Refuse(ApiRefusal::InvalidFrom), 0),
        (ApiFault::CutBefore, 0),
        (ApiFault::CutAfter { stored: false }, 0),
        (ApiFault::CutAfter { stored: true }, 1),
        (ApiFault::RefuseAfter(ApiRefusal::Backend(503)), 1),
        (ApiFault::CommitOnCommand, 0),
    ] {
        let gmail = gmail();
        let on = On::each("IMPORT").message_with("Subject: odd");
        let hits = gmail.api_fault(on, fault.clone());
        let odd = format!("Subject: odd\r\n{}", mail("odd@x", "text"));
        let mails = [mail("1@x", "text"), odd, mail("2@x", "text")];
        let taken = mails.each_ref().map(|mail| import(&gmail, mail));
        let taken = taken.map(|reply| reply.is_some_and(|reply| reply.status == 200));
        assert_eq!(taken, [true, false, true], "{fault:?}");
        assert_eq!(hits.count(), 1, "{fault:?}");
        let times = mails.each_ref().map(|mail| gmail.imports_stored(mail));
        assert_eq!(times, [1, stored, 1], "{fault:?}");
        assert_eq!(gmail.imports_received(), 3, "{fault:?}");
    }
}

#[test]
fn what_was_asked_and_what_came_of_it_is_counted() {
    let gmail = gmail();
    let letter = mail("1@x", "text");
    let first = import(&gmail, &letter).unwrap().id();
    assert_eq!(import(&gmail, &letter).unwrap().id(), first);
    let other = mail("1@x", "another text");
    assert_eq!(import(&gmail, &other).unwrap().id(), first);
    multipart(&gmail, INSERT, &[], &letter).unwrap();
    get(&gmail, LABELS);
    let merged: Vec<bool> = gmail.imports().iter().map(|import| import.merged).collect();
    assert_eq!(merged, [false, true, true]);
    assert!(gmail.imports().iter().all(|import| import.id == first));
    assert_eq!(
        (gmail.imports_stored(&letter), gmail.imports_stored(&other)),
        (1, 0)
    );
    assert_eq!(gmail.imports_received(), 3);
    let log = gmail.api_log();
    let names: Vec<&str> = log.iter().map(|request| request.name).collect();
    assert_eq!(
        names,
        ["IMPORT", "IMPORT", "IMPORT", "INSERT", "LABELS.LIST"]
    );
    assert!(log[0].bytes > letter.len() && log[4].bytes == 0);
    assert!(log.iter().all(|request| request.status == Some(200)));
    assert!(log[4].line.starts_with("GET /gmail/v1/users/me/labels"));
}

#[test]
fn a_minute_has_so_many_units() {
    let gmail = gmail();
    gmail.knobs(|knobs| knobs.api.units_per_minute = Some(51));
    assert_eq!(import(&gmail, &mail("1@x", "")).unwrap().status, 200);
    assert_eq!(import(&gmail, &mail("2@x", "")).unwrap().status, 200);
    let refused = import(&gmail, &mail("3@x", "")).unwrap().refusal();
    assert!(refused.0 == 403 && refused.2.starts_with("Quota exceeded for quota metric"));
    assert_eq!(get(&gmail, LABELS).status, 200);
    gmail.clock().advance(Duration::from_secs(61));
    assert_eq!(import(&gmail, &mail("3@x", "")).unwrap().status, 200);
}

#[test]
fn so_many_requests_at_a_time() {
    let gmail = gmail();
    gmail.knobs(|knobs| knobs.api.concurrent = Some(0));
    let refused = import(&gmail, &mail("1@x", "")).unwrap().refusal();
    assert_eq!(
        (refused.0, refused.2.as_str()),
        (429, "Too many concurrent requests for user")
    );
    gmail.knobs(|knobs| knobs.api.concurrent = Some(1));
    assert_eq!(import(&gmail, &mail("1@x", "")).unwrap().status, 200);
    assert_eq!(gmail.busiest(), 1);
}

#[test]
fn a_block_moves_out_when_it_is_hit_early_and_is_none_of_imaps() {
    let gmail = gmail();
    gmail.knobs(|knobs| {
        knobs.api.upload_budget = Some(50);
        knobs.api.blocked_for = HOUR;
        knobs.api.block_status = 403;
    });
    assert_eq!(import(&gmail, &mail("1@x", "text")).unwrap().status, 200);
    let until = |refused: (u16, String, String)| -> DateTime<Utc> {
        let (_, time) = refused.2.split_once("Retry after ").unwrap();
        assert_eq!((refused.0, refused.1.as_str()), (403, "rateLimitExceeded"));
        time.parse().unwrap()
    };
    let first = until(import(&gmail, &mail("2@x", "text")).unwrap().refusal());
    let again = until(import(&gmail, &mail("2@x", "text")).unwrap().refusal());
    assert_eq!(again - first, TimeDelta::minutes(1));
    assert_eq!(gmail.early_requests(), 1);
    let mut imap = Client::login(&gmail);
    assert!(
        imap.append("INBOX", &mail("3@x", "text"))
            .concat()
            .contains("OK")
    );
    assert!(gmail.api_uploaded() > 50 && gmail.uploaded() > 0);
    gmail.clock().advance(HOUR + Duration::from_secs(61));
    assert_eq!(import(&gmail, &mail("2@x", "text")).unwrap().status, 200);
    gmail.block_api(HOUR);
    assert_eq!(get(&gmail, LABELS).status, 403);
}
