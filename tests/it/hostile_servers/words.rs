//! What a person is told at the door, to the letter: servers of another kind, refusals. Not for certificates: `certificates`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use imap_to_gmail::config::{Endpoint, Intervals, Origin, Side, Tls};
use imap_to_gmail::error::{Error, Fault};
use imap_to_gmail::response::Status;
use imap_to_gmail::session::{Peer as Whom, Phase, Session, classify};
use rustls::{ServerConfig, ServerConnection};

use super::script::{Server, password, times};
use super::tls::Authority;

pub(super) fn endpoint(port: u16, tls: Tls, ca_file: Option<PathBuf>) -> Endpoint {
    Endpoint {
        host: "127.0.0.1".into(),
        port,
        tls,
        ca_file,
        origin: Origin {
            given: match tls {
                Tls::Implicit => Vec::new(),
                Tls::StartTls | Tls::None => vec!["source_tls".into()],
            },
            file: "/etc/mail/my config.json".into(),
            ..Origin::default()
        },
    }
}

/// The error with which opening a session there ends.
pub(super) fn error_at(endpoint: &Endpoint, times: &Intervals) -> Error {
    let error = Session::open(endpoint, &password(), times).err().unwrap();
    assert!(!error.message.ends_with('.'), "{error}");
    error
}

/// Asserts both sentences, in which PORT stands for the port.
#[track_caller]
pub(super) fn says(error: &Error, port: u16, message: &str, hint: &str) {
    let filled = |text: &str| text.replace("PORT", &port.to_string());
    assert_eq!(error.message, filled(message));
    let told = error.hint.as_deref().unwrap_or_default();
    assert_eq!(without_the_time(told), filled(hint));
}

/// What the clock says changes.
fn without_the_time(message: &str) -> String {
    const CLOCK: &str = "clock says ";
    let told = |(before, after): (&str, &str)| {
        let (_, behind) = after.split_once(": ")?;
        Some(format!("{before}{CLOCK}NOW: {behind}"))
    };
    let told = message.split_once(CLOCK).and_then(told);
    told.unwrap_or_else(|| message.into())
}

/// A server with TLS for any number of connections, that says nothing behind it.
pub(super) fn many(config: Arc<ServerConfig>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut tcp in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            std::thread::spawn(move || {
                let mut tls = ServerConnection::new(config).unwrap();
                while tls.complete_io(&mut tcp).is_ok_and(|(read, _)| read > 0) {}
            });
        }
    });
    port
}

/// What is said to do about a port of something else.
fn other_port(tls: Tls) -> String {
    let (usual, with) = match tls {
        Tls::Implicit => (993, ""),
        Tls::StartTls => (143, " with `source_tls` \"starttls\""),
        Tls::None => (143, " with `source_tls` \"none\""),
    };
    format!(
        "after the first {{ in '/etc/mail/my config.json' add `\"source_port\": {usual},`, the usual port for IMAP{with}; your provider's help pages say whether it has another"
    )
}

#[test]
fn a_server_of_another_kind_is_told_by_its_greeting() {
    for (greeting, like) in [
        (
            "220 mail.example.org ESMTP",
            "is an SMTP server (for sending mail), not an IMAP server (for reading mail)",
        ),
        (
            "220 ProFTPD Server",
            "is an FTP server (for files), not an IMAP server (for reading mail)",
        ),
        (
            "+OK Dovecot ready.",
            "is a POP3 server (an older way of fetching mail), not an IMAP server (for reading mail)",
        ),
        (
            "SSH-2.0-OpenSSH_9.2",
            "is an SSH server (for remote logins), not an IMAP server (for reading mail)",
        ),
        (
            "HTTP/1.1 400 Bad Request",
            "is a web server, not an IMAP server (for reading mail)",
        ),
        (
            "\"IMPLEMENTATION\" \"Dovecot Pigeonhole\"",
            "is a ManageSieve server (for mail filters), not an IMAP server (for reading mail)",
        ),
        ("who is there?", "does not answer as an IMAP server does"),
    ] {
        for tls in [Tls::None, Tls::StartTls, Tls::Implicit] {
            let server = Server::start(move |peer| {
                peer.say(format!("{greeting}\r\n"));
                peer.wait_for_end();
            });
            let error = Session::open(&endpoint(server.port, tls, None), &password(), &times());
            let error = error.err().unwrap();
            assert_eq!(error.fault, Fault::Connection);
            says(
                &error,
                server.port,
                &format!("the source 127.0.0.1:PORT {like}; the server said: {greeting}"),
                &other_port(tls),
            );
            server.finish();
        }
    }
}

#[test]
fn imap_without_encryption_where_tls_was_to_begin() {
    let server = Server::start(|peer| {
        peer.say("* OK \x1b[2J ready\r\n");
        peer.wait_for_end();
    });
    let error = error_at(&endpoint(server.port, Tls::Implicit, None), &times());
    says(
        &error,
        server.port,
        "the source 127.0.0.1:PORT begins unencrypted, and the configuration (`source_tls`) expects encryption from the start",
        "let the encryption begin after the server's greeting: after the first { in '/etc/mail/my config.json' add `\"source_tls\": \"starttls\",`; or use the port that is encrypted from the start: after the first { in '/etc/mail/my config.json' add `\"source_port\": 993,`",
    );
    server.finish();
}

#[test]
fn a_server_that_waits_for_tls_is_asked_whether_it_does() {
    let authority = Authority::new("a CA");
    let port = many(authority.server("127.0.0.1"));
    let times = Intervals {
        hush: Duration::from_millis(100),
        ..times()
    };
    for (tls, name) in [(Tls::StartTls, "starttls"), (Tls::None, "none")] {
        let error = error_at(&endpoint(port, tls, None), &times);
        assert_eq!(error.fault, Fault::Connection);
        says(
            &error,
            port,
            &format!(
                "the source 127.0.0.1:PORT encrypts from the start, and `source_tls` is \"{name}\", which begins unencrypted"
            ),
            "change `source_tls` in '/etc/mail/my config.json' to `\"implicit\"`, or delete that line: without it the connection is encrypted from the start",
        );
    }
}

#[test]
fn nor_does_one_hide_it_that_serves_one_after_the_other() {
    let authority = Authority::new("a CA");
    let config = authority.server("127.0.0.1");
    let server = Server::start(|peer| peer.protect(config));
    let times = Intervals {
        greeting: Duration::from_millis(300),
        hush: Duration::from_millis(100),
        ..times()
    };
    let error = error_at(&endpoint(server.port, Tls::StartTls, None), &times);
    says(
        &error,
        server.port,
        "the source 127.0.0.1:PORT encrypts from the start, and `source_tls` is \"starttls\", which begins unencrypted",
        "change `source_tls` in '/etc/mail/my config.json' to `\"implicit\"`, or delete that line: without it the connection is encrypted from the start",
    );
    server.finish();
}

#[test]
fn a_server_that_only_takes_its_time_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut first, _) = listener.accept().unwrap();
        // It is asked whether it speaks TLS, does not know what that is, and has time for the first one then.
        let (mut asked, _) = listener.accept().unwrap();
        let mut hello = [0; 3];
        asked.read_exact(&mut hello).unwrap();
        assert_eq!(hello[0], 22);
        drop(asked);
        say(&mut first, "* OK [CAPABILITY IMAP4rev1] hello\r\n");
        let tag = heard(&mut first);
        say(
            &mut first,
            &format!("{tag} OK [CAPABILITY IMAP4rev1] in\r\n"),
        );
        first
    });
    let times = Intervals {
        hush: Duration::from_millis(100),
        ..times()
    };
    Session::open(&endpoint(port, Tls::None, None), &password(), &times).unwrap();
    server.join().unwrap();
}

fn say(tcp: &mut TcpStream, line: &str) {
    tcp.write_all(line.as_bytes()).unwrap();
}

/// The tag of the next command.
fn heard(tcp: &mut TcpStream) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while tcp.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    let line = String::from_utf8(line).unwrap();
    line.split(' ').next().unwrap().into()
}

#[test]
fn a_server_that_says_nothing_is_left_in_its_time() {
    let authority = Authority::new("a CA");
    let config = authority.server("127.0.0.1");
    let times = Intervals {
        greeting: Duration::from_millis(300),
        hush: Duration::from_millis(100),
        ..times()
    };
    // In clear, to the hello of TLS, and behind it, as a web server does.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let web = many(config);
    for (port, tls) in [
        (port, Tls::None),
        (port, Tls::StartTls),
        (port, Tls::Implicit),
        (web, Tls::Implicit),
    ] {
        let error = error_at(&endpoint(port, tls, Some(authority.file())), &times);
        assert_eq!(error.fault, Fault::Connection);
        says(
            &error,
            port,
            "the source 127.0.0.1:PORT does not answer as an IMAP server does (it said nothing for 1 s)",
            "are `source_port` (usually 993, or 143 where `source_tls` is \"starttls\") and `source_server` right in '/etc/mail/my config.json'? If they are, the server may be too busy now: try again later (a `run` that goes on does so by itself)",
        );
    }
}

/// What a side that is entered so is told when it is refused.
fn refusal(
    side: Side,
    entry: &'static str,
    host: &str,
    phase: Phase,
    words: &str,
) -> (String, String) {
    let whom = Whom {
        endpoint: Endpoint {
            host: host.into(),
            port: 993,
            tls: Tls::Implicit,
            ca_file: None,
            origin: Origin {
                side,
                entry,
                file: "config.json".into(),
                ..Origin::default()
            },
        },
        user: "m@example.test".into(),
        is_gmail: false,
    };
    let error = classify(phase, Status::No, &whom, words);
    assert_eq!(error.fault, Fault::NeedsUser, "{error}");
    (error.message, error.hint.unwrap())
}

#[test]
fn a_refusal_names_side_account_and_key() {
    use Phase::{SignIn, SignInByToken};
    use Side::{Source, Target};
    let failed = "[AUTHENTICATIONFAILED] Authentication failed.";
    let check = |entry: &str| {
        format!("check user name and password in config.json (`source_user`, `{entry}`)")
    };
    let many = "many providers take only an app password, made in the account's settings (Gmail, iCloud, Yahoo), or want IMAP switched on there first (GMX, Zoho)";
    let microsoft = "Microsoft takes no password here, only a sign-in in a browser: put `\"source_token_file\": \"source_token.json\"` into config.json in place of `source_pass` and its value, then `imap-to-gmail auth --provider microsoft --device --credentials microsoft.json --config config.json`, where microsoft.json is the OAuth client file for Microsoft (docs/microsoft.md says how to make it)";
    for (side, entry, host, phase, message, hint) in [
        (
            Source,
            "source_pass",
            "mail.example.test",
            SignIn,
            "the source refused the sign-in of m@example.test (`source_pass`); the server said: ",
            format!("{}; {many}", check("source_pass")),
        ),
        (
            Source,
            "source_pass_file",
            "mail.example.test",
            SignIn,
            "the source refused the sign-in of m@example.test (`source_pass_file`); the server said: ",
            format!("{}; {many}", check("source_pass_file")),
        ),
        (
            Source,
            "source_pass_command",
            "imap.gmx.net",
            SignIn,
            "the source refused the sign-in of m@example.test (`source_pass_command`); the server said: ",
            format!(
                "{}, and switch IMAP on in GMX's settings (\"POP3 & IMAP\"), which it is not at first; with 2-factor sign-in GMX takes only an app password",
                check("source_pass_command")
            ),
        ),
        (
            Source,
            "source_pass",
            "imap.mail.me.com",
            SignIn,
            "the source refused the sign-in of m@example.test (`source_pass`); the server said: ",
            "iCloud takes only an app-specific password here, not the account's own: make one at https://account.apple.com, under \"Sign-In and Security\", and put it into config.json (`source_pass`)".into(),
        ),
        (
            Source,
            "source_pass",
            "outlook.office365.com",
            SignIn,
            "the source refused the sign-in of m@example.test (`source_pass`); the server said: ",
            microsoft.into(),
        ),
        (
            Target,
            "target_pass",
            "imap.gmail.com",
            SignIn,
            "Gmail refused the sign-in of m@example.test (`target_pass`); the server said: ",
            "Gmail takes only an app password here (16 letters), not the account's own password: make one at https://myaccount.google.com/apppasswords (2-Step Verification must be on), and put it into config.json (`target_pass`)".into(),
        ),
        (
            Target,
            "target_token_file",
            "imap.gmail.com",
            SignInByToken,
            "Gmail refused the sign-in of m@example.test (`target_token_file`); the server said: ",
            "sign in again, with the account of `target_user` in config.json: `imap-to-gmail auth --credentials client_secret.json --config config.json`, where client_secret.json is the OAuth client file from Google (docs/google-client.md says how to get it); nothing is lost meanwhile".into(),
        ),
        (
            Target,
            "target_pass_file",
            "mail.example.test",
            SignIn,
            "the target refused the sign-in of m@example.test (`target_pass_file`); the server said: ",
            format!("check user name and password in config.json (`target_user`, `target_pass_file`); {many}"),
        ),
    ] {
        let (said, mend) = refusal(side, entry, host, phase, failed);
        assert_eq!(said, format!("{message}[AUTHENTICATIONFAILED] Authentication failed"));
        assert_eq!(mend, hint, "{host}");
    }
}
