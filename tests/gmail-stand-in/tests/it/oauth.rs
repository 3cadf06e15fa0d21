//! The token endpoint (docs/gmail.md 7.2 to 7.4), asked with a bare HTTP request.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use gmail_stand_in::{CLIENT_ID, CLIENT_SECRET, Gmail, Options, SCOPE, TokenTrouble};
use serde_json::{Value, json};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Status and body of an answer; None if there was none.
fn post(gmail: &Gmail, form: &str) -> Option<(u16, String)> {
    let url = gmail.token_url();
    let (host, path) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let mut tcp = TcpStream::connect(host).unwrap();
    tcp.set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let request = format!(
        "POST /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    );
    tcp.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).ok()?;
    let status = answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    assert!(head.contains("Content-Length: "));
    Some((status, body.to_string()))
}

fn form(token: &str) -> String {
    let token = token.replace('/', "%2F");
    format!(
        "grant_type=refresh_token&client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}&refresh_token={token}"
    )
}

fn refresh(gmail: &Gmail) -> (u16, Value) {
    let (status, body) = post(gmail, &form(gmail.refresh_token())).unwrap();
    (status, serde_json::from_str(&body).unwrap())
}

fn refused(gmail: &Gmail) -> (u16, String, String) {
    let (status, body) = refresh(gmail);
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_string();
    (status, text("error"), text("error_description"))
}

#[test]
fn a_refresh() {
    let gmail = Gmail::start(Options::default());
    let (status, body) = refresh(&gmail);
    let token = body["access_token"].as_str().unwrap();
    assert!(token.starts_with("ya29."));
    assert_eq!(status, 200);
    assert_eq!(
        body,
        json!({"access_token": token, "expires_in": 3599, "scope": SCOPE, "token_type": "Bearer"})
    );
    gmail.knobs(|knobs| knobs.token_life = Duration::from_secs(5));
    assert_eq!(refresh(&gmail).1["expires_in"], 5);
    let requests = gmail.token_requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(
        requests[0].field("refresh_token"),
        Some(gmail.refresh_token())
    );
    assert_eq!(requests[0].line, "POST /token HTTP/1.1");
}

#[test]
fn requests_that_are_wrong() {
    let gmail = Gmail::start(Options::default());
    let good = form(gmail.refresh_token());
    for (form, status, error) in [
        (form("1//0unknown"), 400, "invalid_grant"),
        (good.replace(CLIENT_ID, "nobody"), 401, "invalid_client"),
        (good.replace(CLIENT_SECRET, "wrong"), 401, "invalid_client"),
        (
            good.replace("grant_type=refresh_token", "grant_type=password"),
            400,
            "unsupported_grant_type",
        ),
        ("grant_type=refresh_token".into(), 400, "invalid_request"),
    ] {
        let (got, body) = post(&gmail, &form).unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (got, body["error"].as_str().unwrap()),
            (status, error),
            "{body}"
        );
    }
}

#[test]
fn every_error_once_and_then_well_again() {
    let gmail = Gmail::start(Options::default());
    let cases = [
        (
            TokenTrouble::ExpiredOrRevoked,
            400,
            "invalid_grant",
            "Token has been expired or revoked.",
        ),
        (TokenTrouble::BadGrant, 400, "invalid_grant", "Bad Request"),
        (
            TokenTrouble::AccountDeleted,
            400,
            "invalid_grant",
            "Account has been deleted",
        ),
        (
            TokenTrouble::InvalidClient,
            401,
            "invalid_client",
            "The OAuth client was not found.",
        ),
        (
            TokenTrouble::DeletedClient,
            401,
            "deleted_client",
            "The OAuth client was deleted.",
        ),
        (
            TokenTrouble::UnauthorizedClient,
            401,
            "unauthorized_client",
            "Unauthorized",
        ),
        (TokenTrouble::InternalFailure, 500, "internal_failure", ""),
        (TokenTrouble::ServerError, 500, "server_error", ""),
        (
            TokenTrouble::TemporarilyUnavailable,
            503,
            "temporarily_unavailable",
            "",
        ),
        (
            TokenTrouble::TooManyRequests(Some(7)),
            429,
            "rate_limit_exceeded",
            "Rate Limit Exceeded",
        ),
    ];
    for (trouble, ..) in &cases {
        gmail.token_trouble(trouble.clone(), 1);
    }
    for (_, status, error, description) in cases {
        assert_eq!(refused(&gmail), (status, error.into(), description.into()));
    }
    gmail.token_trouble(TokenTrouble::InvalidRapt, 2);
    for _ in 0..2 {
        assert_eq!(refresh(&gmail).1["error_subtype"], "invalid_rapt");
    }
    assert_eq!(refresh(&gmail).0, 200);
}

#[test]
fn bad_days_of_the_endpoint() {
    let gmail = Gmail::start(Options::default());
    let ask = || post(&gmail, &form(gmail.refresh_token()));
    gmail.token_trouble(TokenTrouble::Html, 1);
    let (status, body) = ask().unwrap();
    assert!(status == 502 && body.starts_with("<!DOCTYPE html>"));
    gmail.token_trouble(TokenTrouble::Close, 1);
    assert_eq!(ask(), None);
    gmail.token_trouble(TokenTrouble::Hang, 1);
    assert_eq!(ask(), None);
    gmail.token_trouble(TokenTrouble::Slow(Duration::from_millis(100)), 1);
    let start = Instant::now();
    assert_eq!(ask().unwrap().0, 200);
    assert!(start.elapsed() >= Duration::from_millis(100));
    gmail.token_trouble(TokenTrouble::CutInBody, 1);
    assert!(serde_json::from_str::<Value>(&ask().unwrap().1).is_err());
    gmail.token_trouble(TokenTrouble::Status(418, "tea".into()), 1);
    assert_eq!(ask(), Some((418, "tea".into())));
    gmail.token_trouble(TokenTrouble::Scope("openid".into()), 1);
    assert_eq!(refresh(&gmail).1["scope"], "openid");
    gmail.token_trouble(TokenTrouble::NoExpiry, 1);
    assert!(refresh(&gmail).1.get("expires_in").is_none());
    gmail.token_trouble(TokenTrouble::Rotate, 1);
    assert!(refresh(&gmail).1["refresh_token"].is_string());
}

#[test]
fn how_refresh_tokens_die() {
    let dead = || {
        (
            400,
            "invalid_grant".into(),
            "Token has been expired or revoked.".into(),
        )
    };
    let gmail = Gmail::start(Options::default());
    gmail.clock().advance(8 * DAY);
    assert_eq!(refresh(&gmail).0, 200);
    gmail.clock().advance(182 * DAY);
    assert_eq!(refresh(&gmail).0, 200);
    gmail.clock().advance(184 * DAY);
    assert_eq!(refused(&gmail), dead());

    let gmail = Gmail::start(Options::default());
    gmail.knobs(|knobs| knobs.testing = true);
    assert_eq!(refresh(&gmail).0, 200);
    gmail.clock().advance(7 * DAY + Duration::from_secs(1));
    assert_eq!(refused(&gmail), dead());

    let gmail = Gmail::start(Options::default());
    for _ in 0..99 {
        gmail.grant();
    }
    assert_eq!(refresh(&gmail).0, 200);
    let last = gmail.grant();
    assert_eq!(refused(&gmail), dead());
    assert_eq!(post(&gmail, &form(&last)).unwrap().0, 200);
    gmail.revoke(&last);
    assert_eq!(post(&gmail, &form(&last)).unwrap().0, 400);
}

#[test]
fn the_token_file() {
    let gmail = Gmail::start(Options::default());
    let file: Value = serde_json::from_str(&gmail.token_json("ya29.x", DAY)).unwrap();
    assert_eq!(file["token_uri"], gmail.token_url());
    assert_eq!(file["refresh_token"], gmail.refresh_token());
    assert!(file["expiry"].as_str().unwrap().ends_with('Z'));
}
