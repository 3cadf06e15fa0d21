//! The token endpoint over plain HTTP on 127.0.0.1: codes and refreshes (docs/gmail.md 7.2), its errors (7.3) and its bad
//! days. The pages that a person sees are in `consent`.
//!
//! One request per connection.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::consent::{self, Agreed};
use crate::server::Shared;
use crate::tokens::{CLIENT_ID, CLIENT_SECRET};
use crate::wire::TICK;

const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// What happens to the next requests to the token endpoint.
#[derive(Debug, Clone)]
pub enum TokenTrouble {
    /// `invalid_grant` (400): "Token has been expired or revoked."
    ExpiredOrRevoked,
    /// `invalid_grant` (400): "Bad Request"
    BadGrant,
    /// `invalid_grant` (400): "Account has been deleted"
    AccountDeleted,
    /// `invalid_grant` (400) with `error_subtype` `invalid_rapt`: session control wants the person again.
    InvalidRapt,
    /// `invalid_client` (401): "The OAuth client was not found."
    InvalidClient,
    /// `deleted_client` (401): "The OAuth client was deleted."
    DeletedClient,
    /// `unauthorized_client` (401): "Unauthorized"
    UnauthorizedClient,
    /// `admin_policy_enforced` (400)
    AdminPolicy,
    /// `org_internal` (403)
    OrgInternal,
    /// `access_denied` (403)
    AccessDenied,
    /// `invalid_scope` (400)
    InvalidScope,
    /// `invalid_request` (400): "Missing required parameter: refresh_token"
    InvalidRequest,
    /// `internal_failure` (500)
    InternalFailure,
    /// `server_error` (500)
    ServerError,
    /// `temporarily_unavailable` (503)
    TemporarilyUnavailable,
    /// 429, with this Retry-After in seconds.
    TooManyRequests(Option<u32>),
    /// This status with this body, as JSON or not.
    Status(u16, String),
    /// 502 with a page of HTML.
    Html,
    /// 200 with a page of HTML, as a captive portal has it.
    HtmlOk,
    /// The answer comes this much later, for real.
    Slow(Duration),
    /// The request is heard and never answered.
    Hang,
    /// The connection is closed without an answer.
    Close,
    /// The connection is closed within the answer.
    CutInBody,
    /// A token of another account.
    OtherAccount(String),
    /// A token with this scope, and the reply says so.
    Scope(String),
    /// The reply holds a new refresh token (as Microsoft's do); the old one stays good.
    Rotate,
    /// The reply holds no `expires_in`.
    NoExpiry,
    /// The reply to a code holds no refresh token.
    NoRefresh,
    /// The reply holds this `refresh_token_expires_in`, in seconds (docs/gmail.md 7.2).
    RefreshExpiresIn(u64),
}

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    /// `POST /token HTTP/1.1`
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The form's fields, decoded.
    pub form: Vec<(String, String)>,
}

impl TokenRequest {
    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        let (_, value) = self.form.iter().find(|(n, _)| n == name)?;
        Some(value)
    }
}

pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Response {
    fn json(status: u16, body: &Value) -> Response {
        Response {
            status,
            headers: vec![("Content-Type", "application/json; charset=utf-8".into())],
            body: format!("{body:#}"),
        }
    }

    fn error(status: u16, error: &str, description: &str) -> Response {
        Response::json(
            status,
            &json!({"error": error, "error_description": description}),
        )
    }

    fn html(status: u16) -> Response {
        Response::page(status, "<title>Error</title><p>That's all we know.")
    }

    pub(crate) fn page(status: u16, content: &str) -> Response {
        Response {
            status,
            headers: vec![("Content-Type", "text/html; charset=UTF-8".into())],
            body: format!("<!DOCTYPE html>\n<html>{content}</html>\n"),
        }
    }
}

pub(crate) fn serve(shared: &Arc<Shared>, listener: &TcpListener) {
    for tcp in listener.incoming() {
        if shared.over.load(Ordering::SeqCst) {
            return;
        }
        let Ok(tcp) = tcp else { continue };
        let shared = Arc::clone(shared);
        std::thread::spawn(move || answer(&shared, tcp));
    }
}

fn answer(shared: &Shared, mut tcp: TcpStream) -> Option<()> {
    let patience = Some(Duration::from_secs(20));
    tcp.set_read_timeout(patience).ok()?;
    let request = read_request(&mut tcp)?;
    if let Some(target) = request.line.strip_prefix("GET ") {
        let target = target.split(' ').next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if ["/auth", "/consent", "/device"].contains(&path) {
            return say(shared, &mut tcp, &consent::page(shared, path, query), false);
        }
    }
    shared.token_requests.lock().unwrap().push(request.clone());
    let trouble = shared.next_token_trouble();
    let response = match &trouble {
        Some(TokenTrouble::Close) => return None,
        Some(TokenTrouble::Hang) => {
            wait(shared, Duration::MAX, &tcp);
            return None;
        }
        Some(TokenTrouble::Slow(time)) => {
            wait(shared, *time, &tcp);
            reply(shared, &request, None)
        }
        Some(trouble) => {
            troubled(trouble).unwrap_or_else(|| reply(shared, &request, Some(trouble)))
        }
        None => reply(shared, &request, None),
    };
    let cut = matches!(trouble, Some(TokenTrouble::CutInBody));
    say(shared, &mut tcp, &response, cut)
}

fn say(shared: &Shared, tcp: &mut TcpStream, response: &Response, cut: bool) -> Option<()> {
    let mut head = format!(
        "HTTP/1.1 {} {}\r\nDate: {}\r\n",
        response.status,
        reason(response.status),
        shared.clock.now().format("%a, %d %b %Y %H:%M:%S GMT")
    );
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!(
        "Cache-Control: no-cache, no-store\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        response.body.len()
    ));
    tcp.write_all(head.as_bytes()).ok()?;
    let mut body = response.body.as_bytes();
    if cut {
        body = &body[..body.len() / 2];
    }
    tcp.write_all(body).ok()?;
    tcp.shutdown(Shutdown::Write).ok()
}

/// Until the time is over, or the client or the stand-in gone.
fn wait(shared: &Shared, time: Duration, mut tcp: &TcpStream) {
    let start = Instant::now();
    let _ = tcp.set_read_timeout(Some(TICK));
    while start.elapsed() < time && !shared.over.load(Ordering::SeqCst) {
        if matches!(tcp.read(&mut [0; 64]), Ok(0)) {
            return;
        }
    }
}

pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        302 => "Found",
        308 => "Resume Incomplete",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        413 => "Request Entity Too Large",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Something",
    }
}

/// The answer that stands instead of any other.
fn troubled(trouble: &TokenTrouble) -> Option<Response> {
    let error = Response::error;
    Some(match trouble {
        TokenTrouble::ExpiredOrRevoked => {
            error(400, "invalid_grant", "Token has been expired or revoked.")
        }
        TokenTrouble::BadGrant => error(400, "invalid_grant", "Bad Request"),
        TokenTrouble::AccountDeleted => error(400, "invalid_grant", "Account has been deleted"),
        TokenTrouble::InvalidRapt => Response::json(
            400,
            &json!({"error": "invalid_grant", "error_description": "reauth related error (invalid_rapt)",
                "error_uri": "https://support.google.com/a/answer/9368756", "error_subtype": "invalid_rapt"}),
        ),
        TokenTrouble::InvalidClient => {
            error(401, "invalid_client", "The OAuth client was not found.")
        }
        TokenTrouble::DeletedClient => {
            error(401, "deleted_client", "The OAuth client was deleted.")
        }
        TokenTrouble::UnauthorizedClient => error(401, "unauthorized_client", "Unauthorized"),
        TokenTrouble::AdminPolicy => error(
            400,
            "admin_policy_enforced",
            "Access to this account's data is restricted by policies within your organization.",
        ),
        TokenTrouble::OrgInternal => error(
            403,
            "org_internal",
            "This client is restricted to users within its organization.",
        ),
        TokenTrouble::AccessDenied => error(403, "access_denied", "Account restricted"),
        TokenTrouble::InvalidScope => error(400, "invalid_scope", "Bad Request"),
        TokenTrouble::InvalidRequest => error(
            400,
            "invalid_request",
            "Missing required parameter: refresh_token",
        ),
        TokenTrouble::InternalFailure => Response::json(500, &json!({"error": "internal_failure"})),
        TokenTrouble::ServerError => Response::json(500, &json!({"error": "server_error"})),
        TokenTrouble::TemporarilyUnavailable => {
            Response::json(503, &json!({"error": "temporarily_unavailable"}))
        }
        TokenTrouble::TooManyRequests(after) => {
            let mut response = error(429, "rate_limit_exceeded", "Rate Limit Exceeded");
            if let Some(after) = after {
                response.headers.push(("Retry-After", after.to_string()));
            }
            response
        }
        TokenTrouble::Status(status, body) => Response {
            status: *status,
            headers: Vec::new(),
            body: body.clone(),
        },
        TokenTrouble::Html => Response::html(502),
        TokenTrouble::HtmlOk => Response::html(200),
        _ => return None,
    })
}

/// Who may ask, and for what; then the token.
fn reply(shared: &Shared, request: &TokenRequest, trouble: Option<&TokenTrouble>) -> Response {
    let mut words = request.line.split(' ');
    let (method, path) = (words.next(), words.next());
    let field = |name| request.field(name).unwrap_or_default();
    let knobs = shared.knobs.lock().unwrap().clone();
    let (life, public) = (knobs.token_life, knobs.public_client);
    let now = shared.clock.now();
    match (method, path) {
        (Some("POST"), Some("/token")) => {}
        (Some("POST"), Some("/devicecode")) if public && field("client_id") == CLIENT_ID => {
            return Response::json(200, &consent::device(shared, field("scope")));
        }
        _ => return Response::html(404),
    }
    let grant_type = field("grant_type");
    let what = match grant_type {
        "authorization_code" => "code",
        DEVICE_GRANT => "device_code",
        _ => "refresh_token",
    };
    let secret = (!public).then_some("client_secret");
    for name in ["grant_type", "client_id", what].into_iter().chain(secret) {
        if field(name).is_empty() {
            let missing = format!("Missing required parameter: {name}");
            return Response::error(400, "invalid_request", &missing);
        }
    }
    if !["refresh_token", "authorization_code", DEVICE_GRANT].contains(&grant_type) {
        let invalid = format!("Invalid grant_type: {grant_type}");
        return Response::error(400, "unsupported_grant_type", &invalid);
    }
    if field("client_id") != CLIENT_ID {
        return Response::error(401, "invalid_client", "The OAuth client was not found.");
    }
    if public && request.field("client_secret").is_some() {
        let public = "AADSTS700025: Client is public so neither 'client_assertion' nor 'client_secret' should be presented.";
        return Response::error(401, "invalid_client", public);
    }
    if !public && field("client_secret") != CLIENT_SECRET {
        let invalid = "The provided client secret is invalid.";
        return Response::error(401, "invalid_client", invalid);
    }
    let agreed = match grant_type {
        "authorization_code" => {
            let mut consents = shared.consents.lock().unwrap();
            consents
                .exchange(
                    field("code"),
                    field("redirect_uri"),
                    field("code_verifier"),
                    now,
                )
                .map_err(|words| Response::error(400, "invalid_grant", words))
        }
        DEVICE_GRANT => {
            let mut consents = shared.consents.lock().unwrap();
            let account = &shared.options.account;
            consents
                .poll(field("device_code"), account, knobs.device_interval, now)
                .map_err(|error| Response::error(400, error, "AADSTS: see the error"))
        }
        _ => {
            let mut tokens = shared.tokens.lock().unwrap();
            match tokens.use_refresh(field("refresh_token"), now, knobs.testing) {
                Ok(account) => Ok(Agreed {
                    account,
                    scope: knobs.scope.clone(),
                }),
                Err(known) => {
                    let dead = "Token has been expired or revoked.";
                    let words = if known { dead } else { "Bad Request" };
                    Err(Response::error(400, "invalid_grant", words))
                }
            }
        }
    };
    let Agreed {
        mut account,
        mut scope,
    } = match agreed {
        Ok(agreed) => agreed,
        Err(response) => return response,
    };
    // Microsoft names the scope of the access token alone.
    scope = scope.replace(" offline_access", "");
    match trouble {
        Some(TokenTrouble::OtherAccount(other)) => account = other.clone(),
        Some(TokenTrouble::Scope(shortened)) => scope = shortened.clone(),
        _ => {}
    }
    let mut tokens = shared.tokens.lock().unwrap();
    let token = tokens.issue(&account, &scope, now, life);
    let mut reply = json!({"access_token": token, "expires_in": life.as_secs(), "scope": scope,
        "token_type": "Bearer"});
    let first = what != "refresh_token";
    if first || matches!(trouble, Some(TokenTrouble::Rotate)) {
        reply["refresh_token"] = tokens.grant(&account, now).into();
    } else if knobs.rotate {
        reply["refresh_token"] = tokens.rotate(field("refresh_token"), &account, now).into();
    }
    let without = match trouble {
        Some(TokenTrouble::NoExpiry) => "expires_in",
        Some(TokenTrouble::NoRefresh) => "refresh_token",
        _ => "",
    };
    reply.as_object_mut().map(|reply| reply.remove(without));
    if let Some(TokenTrouble::RefreshExpiresIn(seconds)) = trouble {
        reply["refresh_token_expires_in"] = (*seconds).into();
    }
    Response::json(200, &reply)
}

fn read_request(tcp: &mut TcpStream) -> Option<TokenRequest> {
    let mut bytes = Vec::new();
    let head_len = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        receive(tcp, &mut bytes)?;
    };
    let head = String::from_utf8_lossy(&bytes[..head_len]).into_owned();
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next()?.to_string();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_string()))
        .collect();
    let len = headers.iter().find(|(name, _)| name == "content-length");
    let len: usize = len.map_or(Some(0), |(_, len)| len.parse().ok())?;
    while bytes.len() < head_len + len {
        receive(tcp, &mut bytes)?;
    }
    let body = String::from_utf8_lossy(&bytes[head_len..head_len + len]).into_owned();
    Some(TokenRequest {
        line,
        headers,
        form: pairs(&body),
    })
}

/// The fields of a form or a query.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

fn receive(tcp: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut buf = [0; 4096];
    let n = tcp.read(&mut buf).ok().filter(|&n| n > 0)?;
    bytes.extend_from_slice(&buf[..n]);
    (bytes.len() < 1 << 20).then_some(())
}

/// `application/x-www-form-urlencoded`, one value.
fn decoded(value: &str) -> String {
    let mut out = Vec::new();
    let bytes = value.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let hex = value.get(at + 1..at + 3);
        match (
            bytes[at],
            hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()),
        ) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}
