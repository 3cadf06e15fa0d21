//! Greeting, capabilities, the ways to sign in and to be refused (docs/gmail.md 1.1 to 1.5, 2), and the ends of a session.

use std::time::Duration;

use crate::client::{Client, mail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gmail_stand_in::{Fault, Gmail, On, Options, Refusal, SESSION_EXPIRED};

const HOUR: Duration = Duration::from_secs(3600);
const BEFORE: &str = "* CAPABILITY IMAP4rev1 UNSELECT IDLE NAMESPACE QUOTA ID XLIST CHILDREN X-GM-EXT-1 XYZZY SASL-IR \
                      AUTH=XOAUTH2 AUTH=PLAIN AUTH=PLAIN-CLIENTTOKEN AUTH=OAUTHBEARER";
const AFTER: &str = "* CAPABILITY IMAP4rev1 UNSELECT IDLE NAMESPACE QUOTA ID XLIST CHILDREN X-GM-EXT-1 UIDPLUS \
                     COMPRESS=DEFLATE ENABLE MOVE CONDSTORE ESEARCH UTF8=ACCEPT LIST-EXTENDED LIST-STATUS LITERAL- \
                     SPECIAL-USE APPENDLIMIT=35651584";
const CHALLENGE: &str = "+ eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ==";
const REFUSED: &str = "A NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)";

fn start() -> (Gmail, Client) {
    let gmail = Gmail::start(Options::default());
    let mut client = Client::connect(&gmail);
    let greeting = client.line();
    assert!(
        greeting.starts_with("* OK Gimap ready for requests from 127.0.0.1 "),
        "{greeting}"
    );
    (gmail, client)
}

fn xoauth2(user: &str, token: &str) -> String {
    STANDARD.encode(format!("user={user}\x01auth=Bearer {token}\x01\x01"))
}

#[test]
fn capabilities_before_and_after() {
    let (_gmail, mut c) = start();
    let before = c.run("CAPABILITY");
    assert_eq!(before[0], BEFORE);
    assert!(before[1].starts_with("A OK Thats all she wrote! "));
    assert_eq!(
        c.run("LOGIN user@gmail.com abcdefghijklmnop"),
        [AFTER, "A OK user@gmail.com authenticated (Success)"]
    );
    assert_eq!(c.run("CAPABILITY"), [AFTER, "A OK Success"]);
    assert_eq!(
        c.run("NAMESPACE"),
        ["* NAMESPACE ((\"\" \"/\")) NIL NIL", "A OK Success"]
    );
    assert!(c.run("ID NIL")[0].starts_with("* ID (\"name\" \"GImap\" \"vendor\" \"Google, Inc.\""));
    c.start("LOGOUT");
    assert_eq!(
        c.rest(),
        ["* BYE LOGOUT Requested", "A6 OK 73 good day (Success)"]
    );
}

#[test]
fn passwords() {
    let (gmail, mut c) = start();
    gmail.knobs(|knobs| knobs.display_name = Some("Ann Example".into()));
    assert_eq!(c.run("LOGIN user@gmail.com wrong"), [REFUSED]);
    assert_eq!(c.run("NOOP"), ["A OK Success"]);
    let plain = STANDARD.encode("\0user@gmail.com\0abcd efgh ijkl mnop");
    assert_eq!(
        c.run(&format!("AUTHENTICATE PLAIN {plain}"))[1],
        "A OK user@gmail.com Ann Example authenticated (Success)"
    );
    let mut c = Client::connect(&gmail);
    c.line();
    let tag = c.start("AUTHENTICATE PLAIN");
    assert_eq!(c.line(), "+ ");
    c.send(format!("{plain}\r\n"));
    assert!(c.answer(&tag)[1].starts_with("A OK "));
    let mut c = Client::connect(&gmail);
    c.line();
    let tag = c.start("LOGIN user@gmail.com {16}");
    assert_eq!(c.line(), "+ go ahead");
    c.send("abcdefghijklmnop\r\n");
    assert!(c.answer(&tag)[1].starts_with("A OK "));
}

#[test]
fn tokens_with_and_without_initial_response() {
    let (gmail, mut c) = start();
    let token = gmail.issue_token(HOUR);
    let response = xoauth2("user@gmail.com", &token);
    assert_eq!(
        c.run(&format!("AUTHENTICATE XOAUTH2 {response}")),
        [AFTER, "A OK user@gmail.com authenticated (Success)"]
    );
    let mut c = Client::connect(&gmail);
    c.line();
    let tag = c.start("AUTHENTICATE XOAUTH2");
    assert_eq!(c.line(), "+ ");
    c.send(format!("{response}\r\n"));
    assert_eq!(c.answer(&tag)[0], AFTER);
    let mut c = Client::connect(&gmail);
    c.line();
    let bearer =
        format!("n,a=user@gmail.com,\x01host=h\x01port=993\x01auth=Bearer {token}\x01\x01");
    let done = c.run(&format!(
        "AUTHENTICATE OAUTHBEARER {}",
        STANDARD.encode(bearer)
    ));
    assert_eq!(done[0], AFTER);
}

#[test]
fn a_bad_token_is_challenged_and_the_empty_line_refused() {
    let (gmail, mut c) = start();
    let short = gmail.issue_token(HOUR);
    let elsewhere = gmail.issue_token_for("other@gmail.com", gmail_stand_in::SCOPE, HOUR);
    let modify = "https://www.googleapis.com/auth/gmail.modify";
    let modify = gmail.issue_token_for("user@gmail.com", modify, HOUR);
    gmail.clock().advance(HOUR);
    for (user, token) in [
        ("user@gmail.com", "ya29.unknown"),
        ("user@gmail.com", short.as_str()),
        ("other@gmail.com", elsewhere.as_str()),
        ("user@gmail.com", elsewhere.as_str()),
        ("user@gmail.com", modify.as_str()),
    ] {
        let tag = c.start(&format!("AUTHENTICATE XOAUTH2 {}", xoauth2(user, token)));
        assert_eq!(c.line(), CHALLENGE);
        c.hears_nothing();
        c.send("\r\n");
        assert_eq!(c.answer(&tag), [REFUSED]);
    }
    let tag = c.start(&format!(
        "AUTHENTICATE XOAUTH2 {}",
        xoauth2("user@gmail.com", "no")
    ));
    c.line();
    c.send("*\r\n");
    assert!(c.answer(&tag)[0].starts_with("A BAD Invalid SASL argument. "));
    let tag = c.start("AUTHENTICATE OAUTHBEARER bixhPXVzZXJAZ21haWwuY29tLAFhdXRoPUJlYXJlciBubwEB");
    assert_eq!(c.line(), CHALLENGE);
    c.send("AQ==\r\n");
    assert_eq!(c.answer(&tag), [REFUSED]);
    assert!(c.run("AUTHENTICATE XOAUTH2 !!!")[0].starts_with("A BAD Invalid SASL argument. "));
}

#[test]
fn one_connection_too_many() {
    let (gmail, mut c) = start();
    gmail.knobs(|knobs| knobs.max_connections = 2);
    let (one, _two) = (Client::login(&gmail), Client::login(&gmail));
    let refused = "A NO [ALERT] Too many simultaneous connections. (Failure)";
    assert_eq!(c.run("LOGIN user@gmail.com abcdefghijklmnop"), [refused]);
    let token = gmail.issue_token(HOUR);
    let response = xoauth2("user@gmail.com", &token);
    let tag = c.start(&format!("AUTHENTICATE XOAUTH2 {response}"));
    assert_eq!(c.line(), CHALLENGE);
    c.send("\r\n");
    assert_eq!(c.answer(&tag), [refused]);
    drop(one);
    while gmail.signed_in() > 1 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(c.run(&format!("AUTHENTICATE XOAUTH2 {response}"))[1].contains(" OK "));
}

#[test]
fn refusals_to_the_letter() {
    let gmail = Gmail::start(Options::default());
    let tagged: &[(Refusal, &str)] = &[
        (Refusal::InvalidCredentials, REFUSED),
        (
            Refusal::InvalidCredentialsAlert,
            "A NO [ALERT] Invalid credentials (Failure)",
        ),
        (
            Refusal::AppPasswordRequired,
            "A NO [ALERT] Application-specific password required: \
             https://support.google.com/accounts/answer/185833 (Failure)",
        ),
        (
            Refusal::ImapDisabled,
            "A NO [ALERT] Your account is not enabled for IMAP use. Please visit your Gmail settings page and enable \
             your account for IMAP access. (Failure)",
        ),
        (
            Refusal::DomainDisabled,
            "A NO [ALERT] IMAP access is disabled for your domain. Please contact your domain administrator for \
             questions about this feature. (Failure)",
        ),
        (
            Refusal::OverquotaAlert,
            "A NO [ALERT] Account exceeded command or bandwidth limits. (Failure)",
        ),
        (
            Refusal::Other("NO [INUSE] later".into()),
            "A NO [INUSE] later",
        ),
    ];
    let mut c = Client::connect(&gmail);
    c.line();
    for (refusal, words) in tagged {
        gmail.refuse_login(refusal.clone(), 1);
        assert_eq!(c.run("LOGIN user@gmail.com abcdefghijklmnop"), [*words]);
    }
    gmail.refuse_login(Refusal::LookupFailed, 1);
    assert!(c.run("LOGIN a b")[0].starts_with("A NO Lookup failed "));
    gmail.refuse_login(Refusal::WebLoginRequired, 1);
    let web = c.run("LOGIN a b");
    assert!(web[0].starts_with("* NO [WEBALERT https://accounts.google.com/signin/continue?"));
    assert!(web[0].ends_with("] Web login required."));
    assert_eq!(
        web[1],
        "A NO [ALERT] Please log in via your web browser: https://support.google.com/mail/accounts/answer/78754 \
         (Failure)"
    );
    gmail.refuse_login(Refusal::UnavailableBye, 2);
    c.start("LOGIN user@gmail.com abcdefghijklmnop");
    assert_eq!(c.rest(), ["* BYE [UNAVAILABLE] Temporary System Error"]);
    let mut c = Client::connect(&gmail);
    c.line();
    c.start(&format!("AUTHENTICATE XOAUTH2 {}", xoauth2("a", "b")));
    assert_eq!(c.rest(), ["* BYE [UNAVAILABLE] Temporary System Error"]);
    Client::login(&gmail);
}

#[test]
fn a_session_ends_with_its_token_or_after_a_day() {
    let bye = "* BYE Session expired, please login again.";
    let gmail = Gmail::start(Options::default());
    let with_token = || {
        let token = gmail.issue_token(HOUR);
        let mut c = Client::connect(&gmail);
        c.line();
        c.run(&format!(
            "AUTHENTICATE XOAUTH2 {}",
            xoauth2("user@gmail.com", &token)
        ));
        c
    };
    // Between commands, while in IDLE, after `+ go ahead`, within the literal.
    let mut password = Client::login(&gmail);
    let (mut between, mut idle, mut ahead, mut within) =
        (with_token(), with_token(), with_token(), with_token());
    idle.run("SELECT INBOX");
    idle.start("IDLE");
    assert_eq!(idle.line(), "+ idling");
    for c in [&mut ahead, &mut within] {
        c.announce("INBOX", 100);
        assert_eq!(c.line(), "+ go ahead");
    }
    within.send("Subject: half");
    gmail.clock().advance(HOUR - Duration::from_secs(30));
    assert_eq!(between.run("NOOP"), ["A OK Success"]);
    gmail.clock().advance(Duration::from_secs(31));
    for c in [&mut between, &mut idle, &mut ahead, &mut within] {
        assert_eq!(c.rest(), [bye]);
    }
    assert_eq!(password.run("NOOP"), ["A OK Success"]);
    gmail.clock().advance(23 * HOUR);
    assert_eq!(password.rest(), [bye]);

    // After the literal, before the tagged OK: whether the message is there is another question.
    for stored in [true, false] {
        let mut c = Client::login(&gmail);
        let text = SESSION_EXPIRED.to_string();
        gmail.fault(
            On::nth(1, "APPEND"),
            Fault::ByeAfterLiteral { text, stored },
        );
        let before = gmail.messages().len();
        let message = mail(&format!("{stored}@x"), "");
        c.announce("INBOX", message.len());
        c.line();
        c.send(format!("{message}\r\n"));
        assert_eq!(c.rest(), [bye]);
        assert_eq!(gmail.messages().len() - before, usize::from(stored));
    }
    let mut c = Client::login(&gmail);
    gmail.fault(
        On::nth(1, "APPEND"),
        Fault::ByeAfterGoAhead(SESSION_EXPIRED.into()),
    );
    c.announce("INBOX", 100);
    assert_eq!(c.rest(), ["+ go ahead", bye]);
}
