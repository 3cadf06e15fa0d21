//! What the API answers where it refuses: each row of docs/gmail-import.md 4, in the shape in which it is on the wire.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;

use super::http::Answer;

/// A refusal of the API (docs/gmail-import.md 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiRefusal {
    /// 400: "Expected a single 'From' header"
    SingleFrom,
    /// 400: "Invalid From header"
    InvalidFrom,
    /// 400: "Invalid attachment. Please check https://support.google.com/mail/answer/6590."
    InvalidAttachment,
    /// 400: "BadAttachment badfile_checker:EXE_FILE_FOUND", the older form.
    BadAttachment,
    /// 400: "Request contains an invalid argument."
    InvalidArgument,
    /// 400: "Bad Request"
    BadRequest,
    /// 400 with a page of HTML.
    BadRequestPage,
    /// 400: no message in the request.
    RawRequired,
    /// 400: "Request payload size exceeds the limit: 1048576 bytes."
    PayloadSize,
    /// 400: "Invalid label: ..."
    InvalidLabel(String),
    /// 400: "Invalid label name"
    InvalidLabelName,
    /// 400: two of INBOX, SPAM and TRASH. The words are a guess.
    ConflictingLabels,
    /// 400: "Invalid thread_id value"
    InvalidThread,
    /// 409: "Label name exists or conflicts"
    LabelConflict,
    /// 400: "Mail service not enabled"
    MailServiceOff,
    /// 400: "Precondition check failed."
    Precondition,
    /// 401: "Invalid Credentials"
    InvalidCredentials,
    /// 403: "Request had insufficient authentication scopes."
    Scopes,
    /// 403: "Insufficient Permission", the older form.
    Permission,
    /// 403: "Gmail API has not been used in project ... before or it is disabled."
    NotEnabled,
    /// 403: "The domain administrators have disabled Gmail apps."
    DomainPolicy,
    /// 403: "Rate Limit Exceeded"
    RateLimit,
    /// 403: "User Rate Limit Exceeded"
    UserRateLimit,
    /// This status: "User-rate limit exceeded.  Retry after ..." with this moment.
    RetryAfter(u16, DateTime<Utc>),
    /// 403: "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute per user' ..."
    QueriesPerMinute,
    /// 403: "Daily Limit Exceeded"
    DailyLimit,
    /// 429: "Too many concurrent requests for user"
    Concurrent,
    /// 404: "Requested entity was not found."
    NotFound,
    /// 404 with a page of HTML.
    NoSuchPage,
    /// 413 with a page of HTML.
    TooLarge,
    /// This status: "Backend Error"
    Backend(u16),
    /// This status with a page of HTML.
    Page(u16),
}

/// The number of the Cloud project that is named.
const PROJECT: &str = "407408718192";

impl ApiRefusal {
    pub(crate) fn answer(&self) -> Answer {
        use ApiRefusal as R;
        let argument = |message: &str| error(400, "invalidArgument", message);
        match self {
            R::SingleFrom => argument("Expected a single 'From' header"),
            R::InvalidFrom => argument("Invalid From header"),
            R::InvalidAttachment => argument(
                "Invalid attachment. Please check https://support.google.com/mail/answer/6590.",
            ),
            R::BadAttachment => argument("BadAttachment badfile_checker:EXE_FILE_FOUND"),
            R::InvalidArgument => argument("Request contains an invalid argument."),
            R::BadRequest => error(400, "badRequest", "Bad Request"),
            R::RawRequired => error(
                400,
                "badRequest",
                "'raw' RFC822 payload message string or uploading message via /upload/* URL required",
            ),
            R::PayloadSize => error(
                400,
                "badRequest",
                "Request payload size exceeds the limit: 1048576 bytes.",
            ),
            R::InvalidLabel(label) => argument(&format!("Invalid label: {label}")),
            R::InvalidLabelName => argument("Invalid label name"),
            R::ConflictingLabels => argument("Cannot apply these labels together"),
            R::InvalidThread => argument("Invalid thread_id value"),
            R::LabelConflict => error(409, "aborted", "Label name exists or conflicts"),
            R::MailServiceOff => error(400, "failedPrecondition", "Mail service not enabled"),
            R::Precondition => error(400, "failedPrecondition", "Precondition check failed."),
            R::InvalidCredentials => error(401, "authError", "Invalid Credentials"),
            R::Scopes => detailed(
                "insufficientPermissions",
                "Request had insufficient authentication scopes.",
                "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
            ),
            R::Permission => error(403, "insufficientPermissions", "Insufficient Permission"),
            R::NotEnabled => detailed(
                "accessNotConfigured",
                &format!(
                    "Gmail API has not been used in project {PROJECT} before or it is disabled. Enable it by visiting https://console.developers.google.com/apis/api/gmail.googleapis.com/overview?project={PROJECT} then retry."
                ),
                "SERVICE_DISABLED",
            ),
            R::DomainPolicy => error(
                403,
                "domainPolicy",
                "The domain administrators have disabled Gmail apps.",
            ),
            R::RateLimit => error(403, "rateLimitExceeded", "Rate Limit Exceeded"),
            R::UserRateLimit => error(403, "userRateLimitExceeded", "User Rate Limit Exceeded"),
            R::RetryAfter(status, at) => error(
                *status,
                "rateLimitExceeded",
                // Two blanks (docs/gmail-import.md 4).
                &format!(
                    "User-rate limit exceeded.  Retry after {}",
                    at.to_rfc3339_opts(SecondsFormat::Millis, true)
                ),
            ),
            R::QueriesPerMinute => error(
                403,
                "rateLimitExceeded",
                &format!(
                    "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute per user' of service 'gmail.googleapis.com' for consumer 'project_number:{PROJECT}'."
                ),
            ),
            R::DailyLimit => error(403, "dailyLimitExceeded", "Daily Limit Exceeded"),
            R::Concurrent => error(
                429,
                "rateLimitExceeded",
                "Too many concurrent requests for user",
            ),
            R::NotFound => error(404, "notFound", "Requested entity was not found."),
            R::Backend(status) => error(*status, "backendError", "Backend Error"),
            R::BadRequestPage => Answer::page(400),
            R::NoSuchPage => Answer::page(404),
            R::TooLarge => Answer::page(413),
            R::Page(status) => Answer::page(*status),
        }
    }
}

/// As the API says it: twice, once for older clients.
fn error(status: u16, reason: &str, message: &str) -> Answer {
    let usage = reason.ends_with("LimitExceeded");
    let domain = if usage { "usageLimits" } else { "global" };
    let body = json!({"error": {
        "code": status,
        "message": message,
        "errors": [{"message": message, "domain": domain, "reason": reason}],
        "status": name(status),
    }});
    Answer::json(status, &body)
}

fn detailed(reason: &str, message: &str, detail: &str) -> Answer {
    let body = json!({"error": {
        "code": 403,
        "message": message,
        "errors": [{"message": message, "domain": "global", "reason": reason}],
        "status": name(403),
        "details": [{
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": detail,
            "domain": "googleapis.com",
        }],
    }});
    Answer::json(403, &body)
}

fn name(status: u16) -> &'static str {
    match status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        _ => "INTERNAL",
    }
}
