//! Greetings and sign-in.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use imap_to_gmail::config::{Secret, Tls};
use imap_to_gmail::error::Fault;
use imap_to_gmail::session::{Login, Session};

use super::script::{
    PASSWORD, Server, TOKEN, USER, assert_says, endpoint, open, password, refusal, short_times,
    signed_in, times, token, within,
};
use super::tls::Authority;

const PASS_ONLY: &str = "* OK [CAPABILITY IMAP4rev1] hello\r\n";
const NO_IR: &str = "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2] hello\r\n";
const WITH_IR: &str = "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR] hello\r\n";

/// What a refused XOAUTH2 token is answered with (docs/gmail.md 2.2).
const CHALLENGE: &str = "+ eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ==\r\n";

fn plain_response() -> String {
    STANDARD.encode(format!("\0{USER}\0{PASSWORD}"))
}

fn token_response() -> String {
    STANDARD.encode(format!("user={USER}\x01auth=Bearer {TOKEN}\x01\x01"))
}

#[test]
fn a_bye_in_place_of_the_greeting_is_no_success_and_keeps_its_words() {
    let error = refusal(&password(), |peer| {
        peer.say("* BYE Server shutting down for the night\r\n");
        peer.hears_nothing_more();
    });
    assert_says(&error, Fault::Connection, "shutting down for the night");
    let error = refusal(&password(), |peer| {
        peer.say("* BYE too many connections\r\n");
        peer.hears_nothing_more();
    });
    assert_says(&error, Fault::Throttled, "too many connections");
    // Nor may it put us to sleep until the end of time.
    let error = refusal(&password(), |peer| {
        peer.say("* BYE Request is throttled. Suggested Backoff Time: 18446744073709551615 milliseconds\r\n");
    });
    assert_says(&error, Fault::Throttled, "is throttled");
    assert!(error.delay.unwrap() <= Duration::from_secs(7 * 24 * 3600));
}

#[test]
fn a_preauth_greeting_is_not_believed() {
    let error = refusal(&password(), |peer| {
        peer.say("* PREAUTH welcome root\r\n");
        peer.hears_nothing_more();
    });
    assert_says(&error, Fault::NeedsUser, "before we said who we are");
}

#[test]
fn a_greeting_that_is_not_imap_is_shown() {
    for greeting in [
        "220 mail.example.org ESMTP\r\n",
        "+OK POP3 ready\r\n",
        "* HELLO\r\n",
        "\r\n",
        "*\r\n",
        "a1 OK early\r\n",
    ] {
        let error = refusal(&password(), move |peer| {
            peer.say(greeting);
            peer.hears_nothing_more();
        });
        assert_says(&error, Fault::Connection, greeting.trim());
        assert!(error.hint.is_some());
    }
    // What a foreign server says cannot move the cursor of the terminal.
    let error = refusal(&password(), |peer| peer.say(b"\x1b[2J\xff\xfe\r\n"));
    assert_says(&error, Fault::Connection, "\\u{1b}[2J");
}

#[test]
fn silence_and_a_dripping_greeting_end_at_the_deadline() {
    for drip in [false, true] {
        let server = Server::start(move |peer| {
            while peer.try_say(if drip { "*" } else { "" }) && drip {
                std::thread::sleep(Duration::from_millis(100));
            }
            match peer.line_or_end() {
                // It was asked whether it speaks TLS at last.
                Some(hello) if !drip => assert!(hello.starts_with('\u{16}'), "{hello}"),
                said => assert_eq!(said, None),
            }
        });
        let error = within(Duration::from_secs(4), || {
            Session::open(&endpoint(server.port), &password(), &short_times())
                .err()
                .unwrap()
        });
        let words = if drip {
            "sent no greeting: the server did not answer in time"
        } else {
            "it said nothing for 1 s"
        };
        assert_says(&error, Fault::Connection, words);
    }
}

#[test]
fn a_server_that_hangs_up_at_once_is_lost() {
    let error = refusal(&password(), |peer| peer.cut());
    assert_says(&error, Fault::Connection, "sent no greeting");
}

#[test]
fn plain_goes_with_the_command_only_where_sasl_ir_is_offered() {
    open(&password(), |peer| {
        peer.say(WITH_IR);
        peer.answer(
            &format!("AUTHENTICATE PLAIN {}", plain_response()),
            "TAG OK [CAPABILITY IMAP4rev1] in\r\n",
        );
    })
    .unwrap();
    open(&password(), |peer| {
        peer.say(NO_IR);
        let tag = peer.command("AUTHENTICATE PLAIN");
        peer.say("+ \r\n");
        assert_eq!(peer.line(), plain_response());
        peer.say(format!("{tag} OK [CAPABILITY IMAP4rev1] in\r\n"));
    })
    .unwrap();
}

#[test]
fn xoauth2_goes_with_the_command_only_where_sasl_ir_is_offered() {
    open(&token(), |peer| {
        peer.say(WITH_IR);
        peer.answer(
            &format!("AUTHENTICATE XOAUTH2 {}", token_response()),
            "* CAPABILITY IMAP4rev1\r\nTAG OK in\r\n",
        );
    })
    .unwrap();
    open(&token(), |peer| {
        peer.say(NO_IR);
        let tag = peer.command("AUTHENTICATE XOAUTH2");
        peer.say("+\r\n");
        assert_eq!(peer.line(), token_response());
        peer.say(format!("{tag} OK [CAPABILITY IMAP4rev1] in\r\n"));
    })
    .unwrap();
}

#[test]
fn a_refused_token_answers_the_challenge_with_an_empty_line_and_keeps_the_words() {
    for greeting in [WITH_IR, NO_IR] {
        // The third is no base64, the last not even text: the bare crate gives up there.
        for challenge in [
            CHALLENGE.as_bytes(),
            b"+\r\n",
            b"+ {\"status\":\"400\"}\r\n",
            b"+ \xff\xfe\r\n",
        ] {
            let error = refusal(&token(), move |peer| {
                peer.say(greeting);
                let tag = peer.command("AUTHENTICATE XOAUTH2");
                if greeting == NO_IR {
                    peer.say("+ \r\n");
                    assert_eq!(peer.line(), token_response());
                }
                peer.say(challenge);
                assert_eq!(peer.line(), "");
                peer.say(format!(
                    "{tag} NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)\r\n"
                ));
            });
            assert_says(
                &error,
                Fault::NeedsUser,
                "[AUTHENTICATIONFAILED] Invalid credentials (Failure)",
            );
        }
    }
}

#[test]
fn login_quotes_where_plain_is_not_offered() {
    open(&password(), |peer| {
        peer.say(PASS_ONLY);
        peer.answer(
            r#"LOGIN "user@example.org" "correct\"horse\\battery-staple""#,
            "TAG OK [CAPABILITY IMAP4rev1] in\r\n",
        );
    })
    .unwrap();
}

#[test]
fn login_disabled_sends_no_password() {
    let operator = "its operator must let AUTH=PLAIN or LOGIN in";
    let authority = Authority::new("a CA");
    for (tls, ways, hint) in [
        (Tls::None, "", "it takes one over an encrypted connection"),
        (Tls::Implicit, "", operator),
        (Tls::Implicit, " AUTH=SCRAM-SHA-256", operator),
        (
            Tls::Implicit,
            " AUTH=XOAUTH2",
            "a sign-in in a browser (OAuth)",
        ),
    ] {
        let protection = (tls == Tls::Implicit).then(|| authority.server("127.0.0.1"));
        let server = Server::start_with(protection, move |peer| {
            peer.say(format!(
                "* OK [CAPABILITY IMAP4rev1 LOGINDISABLED{ways}] hello\r\n"
            ));
            peer.hears_nothing_more();
        });
        let mut endpoint = endpoint(server.port);
        (endpoint.tls, endpoint.ca_file) = (tls, Some(authority.file()));
        let error = Session::open(&endpoint, &password(), &times())
            .err()
            .unwrap();
        server.finish();
        assert_says(&error, Fault::NeedsUser, "takes no password");
        assert!(error.hint.clone().unwrap().contains(hint), "{error:?}");
    }
}

#[test]
fn a_password_that_login_cannot_carry_is_the_users_affair() {
    let login = Login::Password {
        user: USER.into(),
        password: Secret::new("two\rlines".into()),
    };
    let error = refusal(&login, |peer| {
        peer.say(PASS_ONLY);
        peer.hears_nothing_more();
    });
    assert_says(&error, Fault::Usage, "cannot carry");
}

#[test]
fn eight_bit_welcomes_and_strange_untagged_lines_do_not_fail_the_sign_in() {
    for (login, command) in [(password(), "AUTHENTICATE"), (token(), "AUTHENTICATE")] {
        let session = open(&login, move |peer| {
            peer.say(b"* OK Willkommen, J\xf6rg\r\n");
            peer.answer(
                "CAPABILITY",
                b"* NO [ALERT] na\xefve\r\n* BAD what\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR X-\xff\r\nTAG OK f\xfcr Sie\r\n",
            );
            peer.answer(
                command,
                b"* NO not so fast\r\n* BAD odd\r\n* ENABLED X\r\n* 3 EXPUNGE\r\n* VANISHED 1:3\r\n* 1 FETCH (FLAGS (\xe4))\r\nTAG OK login OK Willkommen, J\xf6rg\r\n",
            );
            peer.answer("CAPABILITY", "* CAPABILITY IMAP4rev1 UIDPLUS\r\nTAG OK done\r\n");
        })
        .unwrap();
        assert!(session.offers("UIDPLUS") && !session.offers("SASL-IR"));
    }
}

#[test]
fn capabilities_are_those_of_the_signed_in_state() {
    for (answer, asked) in [
        ("TAG OK [CAPABILITY IMAP4rev1 AFTER] in\r\n", false),
        ("* CAPABILITY IMAP4rev1 AFTER\r\nTAG OK in\r\n", false),
        ("TAG OK in\r\n", true),
    ] {
        let session = open(&password(), move |peer| {
            peer.say("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR BEFORE] hello\r\n");
            peer.answer("AUTHENTICATE PLAIN", answer);
            if asked {
                peer.answer("CAPABILITY", "* CAPABILITY IMAP4rev1 AFTER\r\nTAG OK x\r\n");
            }
        })
        .unwrap();
        assert!(session.offers("AFTER") && !session.offers("BEFORE"));
    }
}

#[test]
fn a_sign_in_is_not_ended_by_another_tag_or_an_unknown_word() {
    for answer in [
        "a999 OK in\r\n",
        "TAG OKAY in\r\n",
        "TAG PREAUTH in\r\n",
        "TAG BYE in\r\n",
        "OK in\r\n",
        "TAG\r\n",
    ] {
        let error = refusal(&password(), move |peer| {
            peer.say(WITH_IR);
            peer.answer("AUTHENTICATE PLAIN", answer);
            peer.hears_nothing_more();
        });
        assert_says(&error, Fault::Connection, "answer");
    }
}

#[test]
fn a_server_that_wants_to_hear_more_and_more_is_left() {
    for (login, greeting) in [
        (password(), WITH_IR),
        (password(), PASS_ONLY),
        (token(), NO_IR),
    ] {
        let error = within(Duration::from_secs(3), || {
            refusal(&login, move |peer| {
                peer.say(greeting);
                peer.line();
                peer.say_for_ever("+ \r\n");
            })
        });
        assert_says(&error, Fault::Connection, "asked for more");
    }
}

#[test]
fn a_bye_during_sign_in_keeps_its_words() {
    let error = refusal(&password(), |peer| {
        peer.say(WITH_IR);
        peer.answer(
            "AUTHENTICATE PLAIN",
            "* BYE Account is locked for maintenance\r\n",
        );
    });
    assert_says(&error, Fault::Connection, "locked for maintenance");
}

#[test]
fn logging_out_does_not_wait_for_manners() {
    let (server, session) = signed_in(|peer| {
        peer.command("LOGOUT");
        peer.cut();
    });
    within(Duration::from_secs(2), || session.logout());
    server.finish();
}
