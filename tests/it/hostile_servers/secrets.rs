//! What we sent to sign in is shown nowhere, not even when a server echoes it.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use imap_to_gmail::config::Tls;
use imap_to_gmail::session::Session;

use super::script::{PASSWORD, Peer, Server, TOKEN, USER, endpoint, password, times, token};
use super::tls::Authority;
use crate::testkit;

const PORT: &str = "HOSTILE_ECHO_PORT";
const LOGIN: &str = "HOSTILE_ECHO_LOGIN";
const CA: &str = "HOSTILE_ECHO_CA";

/// Everything that anybody logs in this process, at every level.
struct Captured(Mutex<Vec<String>>);

static CAPTURED: Captured = Captured(Mutex::new(Vec::new()));

impl log::Log for Captured {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {} {}", record.level(), record.target(), record.args());
        self.0.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}

/// The client of the tests below: signs in, does one thing, and prints all that could be shown of
/// it. Does nothing when it is run as a test like any other. A process of its own, since there is
/// but one logger in a process.
#[test]
fn client_in_a_process_of_its_own() {
    let Ok(port) = std::env::var(PORT) else {
        return;
    };
    log::set_logger(&CAPTURED).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let mut endpoint = endpoint(port.parse().unwrap());
    if let Ok(ca) = std::env::var(CA) {
        endpoint.tls = Tls::Implicit;
        endpoint.ca_file = Some(ca.into());
    }
    let login = match std::env::var(LOGIN).unwrap().as_str() {
        "token" => token(),
        _ => password(),
    };
    let mut shown = format!("{endpoint:?} {login:?}\n");
    let error = match Session::open(&endpoint, &login, &times()) {
        Err(e) => e,
        Ok(mut session) => session.examine("INBOX").unwrap_err(),
    };
    shown.push_str(&format!("{error:?}\n{error}\n"));
    shown.push_str(&CAPTURED.0.lock().unwrap().join("\n"));
    let mut out = std::io::stdout();
    out.write_all(shown.as_bytes()).unwrap();
}

/// All that a client shows which signs in so to this server.
fn shown(
    login: &str,
    tls: Option<&Authority>,
    script: impl FnOnce(&mut Peer) + Send + 'static,
) -> String {
    let server = Server::start_with(tls.map(|a| a.server("127.0.0.1")), script);
    let mut command = testkit::again("hostile_servers::secrets::client_in_a_process_of_its_own");
    command
        .env(PORT, server.port.to_string())
        .env(LOGIN, login)
        .stderr(Stdio::inherit());
    if let Some(authority) = tls {
        command.env(CA, authority.file());
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    server.finish();
    // The log was captured at all, or the assertions below mean nothing.
    assert!(text.contains("C: a"), "{text}");
    text
}

/// Every secret in every form in which it is on the wire or a server could say it.
fn forms() -> Vec<String> {
    let plain = format!("\0{USER}\0{PASSWORD}");
    let xoauth2 = format!("user={USER}\x01auth=Bearer {TOKEN}\x01\x01");
    let mut forms = vec![
        PASSWORD.to_string(),
        PASSWORD.replace('\\', "\\\\").replace('"', "\\\""),
        TOKEN.to_string(),
    ];
    forms.extend([&plain, &xoauth2, PASSWORD, TOKEN].map(|s| STANDARD.encode(s)));
    forms
}

/// Not even eight bytes in a row of any form are shown.
#[track_caller]
fn assert_no_secret(text: &str) {
    for form in forms() {
        for piece in form.as_bytes().windows(8) {
            let piece = std::str::from_utf8(piece).unwrap();
            if let Some(at) = text.find(piece) {
                let line = text[..at].lines().count();
                panic!(
                    "`{piece}` is shown: {}",
                    text.lines().nth(line.saturating_sub(1)).unwrap_or_default()
                );
            }
        }
    }
}

/// What an echoing server says of a command: in each of its refusals, and long after.
fn echo(peer: &mut Peer, what: &str, tag: &str, verdict: &str) {
    peer.say(format!(
        "* NO [ALERT] {what}\r\n* BAD {what}\r\n* X {what}\r\n"
    ));
    peer.say(format!("{tag} {verdict} in: {what}\r\n"));
    if verdict.starts_with("OK") {
        let line = peer.line();
        let tag = line.split(' ').next().unwrap();
        peer.say(format!("* OK [ALERT] {what}\r\n{tag} NO {what}\r\n"));
    }
}

const REFUSED: &str = "BAD Error";
const ACCEPTED: &str = "OK [CAPABILITY IMAP4rev1] Welcome";

#[test]
fn an_echoed_login_is_masked() {
    for verdict in [REFUSED, ACCEPTED] {
        let text = shown("password", None, move |peer| {
            peer.say("* OK [CAPABILITY IMAP4rev1] hello\r\n");
            let line = peer.line();
            assert!(line.contains("battery-staple"));
            let tag = line.split(' ').next().unwrap().to_string();
            echo(peer, &format!("{line} and {PASSWORD}"), &tag, verdict);
        });
        assert!(text.contains("LOGIN (credentials)"), "{text}");
        assert!(text.contains("***"), "{text}");
        assert_no_secret(&text);
    }
}

#[test]
fn an_echoed_response_is_masked_with_and_without_the_command() {
    for (login, secret) in [("password", PASSWORD), ("token", TOKEN)] {
        for capabilities in ["AUTH=PLAIN SASL-IR", "AUTH=PLAIN"] {
            for verdict in [REFUSED, ACCEPTED] {
                let text = shown(login, None, move |peer| {
                    peer.say(format!(
                        "* OK [CAPABILITY IMAP4rev1 {capabilities}] hello\r\n"
                    ));
                    let line = peer.line();
                    let (tag, mut response) = line.split_once(' ').unwrap();
                    let answer;
                    if !capabilities.contains("SASL-IR") {
                        peer.say("+ \r\n");
                        answer = peer.line();
                        response = &answer;
                    }
                    assert!(response.len() > 60);
                    let base64 = STANDARD.encode(secret);
                    // Also cut short, as servers do that bound their texts.
                    let half = &response[..response.len() * 2 / 3];
                    let what = format!("{response} {half} {secret} {base64}");
                    peer.say(format!("+ {base64}\r\n"));
                    assert_eq!(peer.line(), "");
                    echo(peer, &what, tag, verdict);
                });
                assert!(text.contains("(credentials)"), "{text}");
                assert!(text.contains("***"), "{text}");
                assert_no_secret(&text);
            }
        }
    }
}

#[test]
fn an_echo_that_ends_the_connection_is_masked() {
    for end in ["* BYE ", "", "TAG OKAY ", "a999 OK ", "+ "] {
        let text = shown("token", None, move |peer| {
            peer.say("* OK [CAPABILITY IMAP4rev1 SASL-IR] hello\r\n");
            let line = peer.line();
            let tag = line.split(' ').next().unwrap();
            let end = end.replace("TAG", tag);
            for _ in 0..4 {
                peer.say(format!("{end}{line} {TOKEN}\r\n"));
            }
        });
        assert_no_secret(&text);
    }
}

#[test]
fn nothing_below_logs_what_tls_protects() {
    let authority = Authority::new("a CA");
    let text = shown("token", Some(&authority), |peer| {
        peer.welcome_token();
        peer.answer("EXAMINE", "TAG NO [SERVERBUG] no\r\n");
    });
    assert!(text.contains("rustls"), "{text}");
    assert_no_secret(&text);
}
