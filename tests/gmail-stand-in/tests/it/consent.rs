//! The consent page, its codes with PKCE, codes for devices, and Microsoft's rotation, asked with bare HTTP requests.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use gmail_stand_in::{
    CLIENT_ID, CLIENT_SECRET, ConsentPage, Gmail, Knobs, OUTLOOK_SCOPE, Options, SCOPE,
};
use serde_json::Value;

/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const BACK: &str = "http://127.0.0.1:9/";

/// Status, headers and body.
fn ask(gmail: &Gmail, request: &str) -> (u16, String, String) {
    let url = gmail.web("");
    let mut tcp = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    tcp.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (
        head[9..12].parse().unwrap(),
        head.to_string(),
        body.to_string(),
    )
}

fn get(gmail: &Gmail, path: &str) -> (u16, String, String) {
    ask(gmail, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
}

fn post(gmail: &Gmail, path: &str, form: &str) -> (u16, Value) {
    let (status, _, body) = ask(
        gmail,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        ),
    );
    (status, serde_json::from_str(&body).unwrap_or_default())
}

fn auth(changes: &[(&str, &str)]) -> String {
    let mut fields = vec![
        ("client_id", CLIENT_ID),
        ("response_type", "code"),
        ("redirect_uri", BACK),
        ("scope", SCOPE),
        ("state", "s1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    fields.retain(|(name, _)| !changes.iter().any(|(n, _)| n == name));
    fields.extend_from_slice(changes);
    let pairs: Vec<String> = fields
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!("/auth?{}", pairs.join("&"))
}

/// The code that a person gives who agrees.
fn code(gmail: &Gmail, changes: &[(&str, &str)]) -> String {
    let (status, _, page) = get(gmail, &auth(changes));
    assert_eq!(status, 200, "{page}");
    let link = page
        .split("href=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let (status, head, _) = get(gmail, link);
    assert_eq!(status, 302);
    let location = head
        .split("Location: ")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap();
    assert!(
        location.starts_with(&format!("{BACK}?state=s1&code=")),
        "{location}"
    );
    location
        .split("code=")
        .nth(1)
        .unwrap()
        .split('&')
        .next()
        .unwrap()
        .to_string()
}

fn exchange(gmail: &Gmail, code: &str, more: &str) -> (u16, Value) {
    let form = format!(
        "grant_type=authorization_code&client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}&code={code}&{more}"
    );
    post(gmail, "/token", &form)
}

#[test]
fn a_code_is_good_once_with_its_verifier() {
    let gmail = Gmail::start(Options::default());
    let right = format!("redirect_uri={BACK}&code_verifier={VERIFIER}");
    let given = code(&gmail, &[]);
    let (status, reply) = exchange(&gmail, &given, &right);
    assert_eq!((status, &reply["scope"]), (200, &SCOPE.into()), "{reply}");
    assert!(reply["refresh_token"].as_str().unwrap().starts_with("1//0"));
    assert_eq!(
        exchange(&gmail, &given, &right).1["error"],
        "invalid_grant",
        "a second time"
    );
    for (more, words) in [
        (format!("redirect_uri={BACK}"), "Missing code verifier."),
        (
            format!("redirect_uri={BACK}&code_verifier=another"),
            "Invalid code verifier.",
        ),
        (
            format!("redirect_uri=http://127.0.0.1:8/&code_verifier={VERIFIER}"),
            "redirect_uri does not match",
        ),
    ] {
        let (status, reply) = exchange(&gmail, &code(&gmail, &[]), &more);
        assert_eq!(
            (status, &reply["error"]),
            (400, &"invalid_grant".into()),
            "{more}"
        );
        assert_eq!(reply["error_description"], words);
    }
    let (_, reply) = exchange(&gmail, "4%2F0nothing", &right);
    assert_eq!(reply["error_description"], "Malformed auth code.");
    let old = code(&gmail, &[]);
    gmail.clock().advance(Duration::from_secs(601));
    assert_eq!(
        exchange(&gmail, &old, &right).1["error"],
        "invalid_grant",
        "too old"
    );
}

#[test]
fn requests_for_consent_that_are_wrong_or_declined() {
    let gmail = Gmail::start(Options::default());
    for change in [
        ("client_id", "nobody"),
        ("redirect_uri", "https://example.org/"),
        ("redirect_uri", "urn:ietf:wg:oauth:2.0:oob"),
        ("response_type", "token"),
        ("scope", "openid"),
        ("code_challenge_method", "plain"),
    ] {
        assert_eq!(get(&gmail, &auth(&[change])).0, 400, "{change:?}");
    }
    let page = get(&gmail, &auth(&[])).2;
    let deny = page
        .split("href=\"")
        .nth(2)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let head = get(&gmail, deny).1;
    assert!(
        head.contains("Location: http://127.0.0.1:9/?state=s1&error=access_denied\r\n"),
        "{head}"
    );
    gmail.knobs(|knobs| knobs.consent_page = ConsentPage::Agrees);
    assert_eq!(get(&gmail, &auth(&[])).0, 302, "nobody is asked");
    assert_eq!(get(&gmail, "/consent?ticket=none&answer=allow").0, 400);
    assert!(
        gmail.token_requests().is_empty(),
        "pages are not the token endpoint"
    );
}

fn microsoft() -> Gmail {
    Gmail::start(Options {
        knobs: Knobs {
            scope: OUTLOOK_SCOPE.into(),
            rotate: true,
            public_client: true,
            device_interval: Duration::from_secs(60),
            ..Knobs::default()
        },
        ..Options::default()
    })
}

#[test]
fn a_device_asks_until_the_person_has_answered() {
    let gmail = microsoft();
    let (status, device) = post(
        &gmail,
        "/devicecode",
        &format!("client_id={CLIENT_ID}&scope={OUTLOOK_SCOPE}+offline_access"),
    );
    assert_eq!((status, &device["interval"]), (200, &60.into()), "{device}");
    let poll = || {
        let form = format!(
            "grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id={CLIENT_ID}&device_code={}",
            device["device_code"].as_str().unwrap()
        );
        post(&gmail, "/token", &form)
    };
    assert_eq!(poll().1["error"], "authorization_pending");
    assert_eq!(poll().1["error"], "slow_down", "at once again");
    gmail.knobs(|knobs| knobs.device_interval = Duration::ZERO);
    let user_code = device["user_code"].as_str().unwrap();
    assert_eq!(get(&gmail, "/device?user_code=wrong&answer=allow").0, 404);
    get(
        &gmail,
        &format!("/device?user_code={user_code}&answer=deny"),
    );
    assert_eq!(poll().1["error"], "authorization_declined");
    get(
        &gmail,
        &format!("/device?user_code={user_code}&answer=allow"),
    );
    let (status, reply) = poll();
    assert_eq!(
        (status, &reply["scope"]),
        (200, &OUTLOOK_SCOPE.into()),
        "{reply}"
    );
    gmail.clock().advance(Duration::from_secs(901));
    assert_eq!(poll().1["error"], "expired_token");
    assert_eq!(
        post(
            &Gmail::start(Options::default()),
            "/devicecode",
            &format!("client_id={CLIENT_ID}")
        )
        .0,
        404
    );
}

#[test]
fn microsofts_refresh_tokens_rotate_and_the_old_one_dies() {
    let gmail = microsoft();
    let refresh = |token: &str| {
        let token = token.replace('/', "%2F");
        post(
            &gmail,
            "/token",
            &format!("grant_type=refresh_token&client_id={CLIENT_ID}&refresh_token={token}"),
        )
    };
    let (status, reply) = refresh(gmail.refresh_token());
    assert_eq!(
        (status, &reply["scope"]),
        (200, &OUTLOOK_SCOPE.into()),
        "{reply}"
    );
    let next = reply["refresh_token"].as_str().unwrap();
    assert_ne!(next, gmail.refresh_token());
    assert_eq!(refresh(gmail.refresh_token()).1["error"], "invalid_grant");
    assert_eq!(refresh(next).0, 200);
}
