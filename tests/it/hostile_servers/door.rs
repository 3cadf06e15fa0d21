//! Servers that want to know who we are (ID), that take the password by LOGIN alone, and that say in
//! their own words what a person has to do.

use std::sync::Arc;

use imap_to_gmail::error::{Error, Fault};
use imap_to_gmail::message::Flags;
use imap_to_gmail::session::{Appended, Asked};

use super::script::{
    Peer, assert_says, open, password, refusal, signed_in, signed_in_with, times, token,
};

const WITH_LOGIN: &str = "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hello\r\n";
const WITH_ID: &str = "IMAP4rev1 AUTH=PLAIN SASL-IR UIDPLUS ID";
const LOGIN: &str = r#"LOGIN "user@example.org" "correct\"horse\\battery-staple""#;
const VIEW: &str = "* 0 EXISTS\r\n* OK [UIDVALIDITY 1] .\r\n* OK [UIDNEXT 1] .\r\n";

fn id() -> String {
    format!(
        r#"ID ("name" "imap-to-gmail" "version" "{}")"#,
        env!("CARGO_PKG_VERSION")
    )
}

/// What NetEase (163.com, 126.com, yeah.net) says to who has not told.
const UNSAFE: &str = "TAG NO EXAMINE Unsafe Login. Please contact kefu@188.com for help\r\n";

#[test]
fn a_server_that_wants_to_know_who_we_are_is_told_with_the_first_command() {
    for answer in [
        "* ID (\"name\" \"Coremail Imap\" \"vendor\" \"Mailtech\")\r\nTAG OK ID completed\r\n",
        "* ID NIL\r\nTAG OK ID completed\r\n",
        "TAG OK nothing to tell\r\n",
        "TAG NO not for you\r\n",
        "TAG BAD what\r\n",
        "* ID {3}\r\n(((\r\nTAG OK odd\r\n",
    ] {
        let (server, mut session) = signed_in_with(WITH_ID, &times(), move |peer| {
            let (first, second) = (peer.line(), peer.line());
            let told = first.split_once(' ').unwrap();
            assert_eq!(told.1, id());
            let (tag, command) = second.split_once(' ').unwrap();
            assert_eq!(command, "EXAMINE \"INBOX\"");
            peer.say(answer.replace("TAG", told.0));
            peer.say(format!("{VIEW}{tag} OK [READ-ONLY] done\r\n"));
            // Once is enough.
            peer.next_command_works();
        });
        session.examine("INBOX").unwrap();
        session.noop().unwrap();
        server.finish();
    }
}

#[test]
fn where_it_is_offered_only_before_the_sign_in_it_is_told_too_and_elsewhere_it_is_not() {
    let greeted = |before: &'static str, after: &'static str| {
        move |peer: &mut Peer| {
            peer.say(format!("* OK [CAPABILITY {before}] hello\r\n"));
            peer.answer(
                "AUTHENTICATE PLAIN ",
                format!("TAG OK [CAPABILITY {after}] in\r\n"),
            );
            let line = peer.line();
            let (tag, command) = line.split_once(' ').unwrap();
            if !command.starts_with("ID ") {
                peer.say(UNSAFE.replace("TAG", tag));
                return;
            }
            peer.say(format!("{tag} OK done\r\n"));
            peer.answer("EXAMINE", format!("{VIEW}TAG OK done\r\n"));
        }
    };
    let before = "IMAP4rev1 AUTH=PLAIN SASL-IR ID";
    let mut session = open(&password(), greeted(before, "IMAP4rev1")).unwrap();
    session.examine("INBOX").unwrap();
    let without = "IMAP4rev1 AUTH=PLAIN SASL-IR";
    let mut session = open(&password(), greeted(without, "IMAP4rev1 X-ID")).unwrap();
    let error = session.examine("INBOX").unwrap_err();
    assert_says(&error, Fault::Connection, "Unsafe Login");
}

#[test]
fn it_is_told_before_an_append_and_in_front_of_a_flight() {
    let (server, mut session) = signed_in_with(WITH_ID, &times(), |peer| {
        peer.answer(&id(), "TAG OK done\r\n");
        let tag = peer.command("APPEND \"INBOX\"");
        peer.say("+ go on\r\n");
        assert_eq!(peer.literal(4), b"mail");
        peer.line();
        peer.say(format!("{tag} OK [APPENDUID 1 7] done\r\n"));
    });
    let end = session.append("INBOX", Flags::default(), None, Arc::new(b"mail".to_vec()));
    assert!(matches!(end, Appended::Done(Some(_))), "{end:?}");
    server.finish();

    let (server, mut session) = signed_in_with(WITH_ID, &times(), |peer| {
        let lines: Vec<String> = (0..4).map(|_| peer.line()).collect();
        let answers = [
            "",
            VIEW,
            "",
            "* STATUS \"Junk\" (UIDNEXT 3 UIDVALIDITY 2)\r\n",
        ];
        for (line, answer) in lines.iter().zip(answers) {
            let tag = line.split(' ').next().unwrap();
            peer.say(format!("{answer}{tag} OK done\r\n"));
        }
    });
    let look = session.look("INBOX", &[Asked::new("1:*", "(UID)", 0)], &["Junk".into()]);
    assert_eq!(look.unwrap().moved.len(), 1);
    server.finish();
}

#[test]
fn a_server_that_hangs_up_on_it_is_lost_with_its_words() {
    let (server, mut session) = signed_in_with(WITH_ID, &times(), |peer| {
        peer.answer("ID ", "* BYE I do not like you\r\n");
        peer.cut();
    });
    let error = session.examine("INBOX").unwrap_err();
    assert_says(&error, Fault::Connection, "I do not like you");
    assert!(!session.usable());
    server.finish();
}

#[test]
fn where_plain_is_refused_login_is_tried_once() {
    for answer in [
        "TAG NO AUTHENTICATE failed.\r\n",
        "TAG NO [CANNOT] Unsupported authentication mechanism.\r\n",
        "TAG BAD Command Error. 12\r\n",
        "TAG BAD Unsupported authentication mechanism\r\n",
    ] {
        open(&password(), move |peer| {
            peer.say(WITH_LOGIN);
            peer.answer("AUTHENTICATE PLAIN ", answer);
            peer.answer(LOGIN, "TAG OK [CAPABILITY IMAP4rev1] in\r\n");
        })
        .unwrap();
    }
    // Its words are the last ones.
    let error = refusal(&password(), |peer| {
        peer.say(WITH_LOGIN);
        peer.answer("AUTHENTICATE PLAIN ", "TAG NO AUTHENTICATE failed.\r\n");
        peer.answer("LOGIN ", "TAG NO LOGIN failed.\r\n");
        peer.hears_nothing_more();
    });
    assert_says(&error, Fault::NeedsUser, "LOGIN failed");
    assert!(error.credentials_refused);
    // A second try that is not answered says less than the refusal before it.
    let error = refusal(&password(), |peer| {
        peer.say(WITH_LOGIN);
        peer.answer("AUTHENTICATE PLAIN ", "TAG NO AUTHENTICATE failed.\r\n");
        peer.command("LOGIN ");
        peer.cut();
    });
    assert_says(&error, Fault::NeedsUser, "AUTHENTICATE failed");
}

#[test]
fn login_is_not_tried_where_it_could_not_help() {
    let disabled = "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR LOGINDISABLED] hello\r\n";
    for (greeting, words, fault) in [
        (disabled, "NO AUTHENTICATE failed", Fault::NeedsUser),
        (
            WITH_LOGIN,
            "NO [AUTHENTICATIONFAILED] Invalid credentials",
            Fault::NeedsUser,
        ),
        (
            WITH_LOGIN,
            "NO [LIMIT] Maximum number of connections from user+IP exceeded",
            Fault::Throttled,
        ),
        (WITH_LOGIN, "NO [UNAVAILABLE] try later", Fault::Connection),
        (WITH_LOGIN, "NO [EXPIRED] set a new one", Fault::NeedsUser),
        (WITH_LOGIN, "NO [CONTACTADMIN] locked", Fault::NeedsUser),
        (
            WITH_LOGIN,
            "BAD Request is throttled. Suggested Backoff Time: 100 milliseconds",
            Fault::Throttled,
        ),
    ] {
        let error = refusal(&password(), move |peer| {
            peer.say(greeting);
            peer.answer("AUTHENTICATE PLAIN ", format!("TAG {words}\r\n"));
            peer.hears_nothing_more();
        });
        assert_says(&error, fault, words.split_once(' ').unwrap().1);
    }
    // Nor is a token said as a password.
    let error = refusal(&token(), |peer| {
        peer.say("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR] hello\r\n");
        peer.answer("AUTHENTICATE XOAUTH2 ", "TAG NO AUTHENTICATE failed.\r\n");
        peer.hears_nothing_more();
    });
    assert_says(&error, Fault::NeedsUser, "AUTHENTICATE failed");
}

/// The error of a sign-in that is refused so.
fn refused(words: &'static str) -> Error {
    refusal(&password(), move |peer| {
        peer.say("* OK [CAPABILITY IMAP4rev1] hello\r\n");
        peer.answer("LOGIN ", format!("TAG {words}\r\n"));
    })
}

#[test]
fn a_refused_password_is_one_also_by_bad() {
    for words in [
        "BAD Invalid username or password",
        "BAD [AUTHENTICATIONFAILED] no",
        "BAD LOGIN failed: wrong password",
        "BAD authentication failed",
        "BAD Login Error or password error",
    ] {
        let error = refused(words);
        assert_says(&error, Fault::NeedsUser, words.split_once(' ').unwrap().1);
        assert!(error.credentials_refused, "{words}");
    }
    assert_says(&refused("BAD Syntax error"), Fault::Connection, "Syntax");
}

#[test]
fn what_to_do_follows_the_servers_own_words() {
    for (words, part) in [
        (
            "NO [AUTHENTICATIONFAILED] NEOBHODIM parol prilozheniya https://help.mail.ru/mail/security/protection/external / Application password is REQUIRED",
            "make an app password",
        ),
        (
            "NO [ALERT] Application-specific password required: https://support.google.com/accounts/answer/185833 (Failure)",
            "make an app password",
        ),
        (
            "NO [AUTHENTICATIONFAILED] Use an app password to sign in",
            "make an app password",
        ),
        (
            "NO [ALERT] You are yet to enable IMAP for your account. Please contact your administrator (Failure)",
            "switch IMAP on",
        ),
        (
            "NO [AUTHENTICATIONFAILED] LOGIN invalid credentials or IMAP is disabled sc=x",
            "(`source_user`, `source_pass`), and whether IMAP is switched on",
        ),
        ("NO [EXPIRED] too old", "set a new one"),
        ("NO [CONTACTADMIN] locked", "only the administrator"),
        (
            "NO [PRIVACYREQUIRED] no",
            "add `\"source_tls\": \"starttls\",` (or `\"implicit\"` for port 993)",
        ),
        ("NO [AUTHORIZATIONFAILED] not for you", "may not use"),
    ] {
        let error = refused(words);
        assert_says(&error, Fault::NeedsUser, words.split_once(' ').unwrap().1);
        let hint = error.hint.unwrap_or_default();
        assert!(hint.contains(part), "{words}: {hint}");
    }
}

#[test]
fn a_token_is_not_renewed_for_what_a_new_one_does_not_mend() {
    let error = |words: &'static str| {
        refusal(&token(), move |peer| {
            peer.say("* OK [CAPABILITY IMAP4rev1 AUTH=XOAUTH2 SASL-IR] hello\r\n");
            peer.answer("AUTHENTICATE XOAUTH2 ", format!("TAG NO {words}\r\n"));
        })
    };
    for words in ["[CONTACTADMIN] locked", "[PRIVACYREQUIRED] no"] {
        let error = error(words);
        assert!(!error.credentials_refused, "{words}");
        assert!(!error.hint.unwrap_or_default().contains("sign in again"));
    }
    let expired = error("[EXPIRED] over");
    assert!(expired.credentials_refused);
    assert!(expired.hint.unwrap_or_default().contains("sign in again"));
}

/// How an APPEND that is refused so is taken.
fn append_refused(words: &'static str) -> Error {
    let (server, mut session) = signed_in(move |peer| {
        let tag = peer.command("APPEND");
        peer.say(format!("{tag} {words}\r\n"));
    });
    let end = session.append("INBOX", Flags::default(), None, Arc::new(b"mail".to_vec()));
    server.finish();
    match end {
        Appended::Refused(error, _) => error,
        end => panic!("{words}: {end:?}"),
    }
}

#[test]
fn a_full_account_is_one_whatever_the_code() {
    for words in [
        "NO [OVERQUOTA] Mailbox size limit exceeded",
        "NO [OVERQUOTA] The maximum mailbox size was reached",
        "NO user@example.org: maximum mailbox size reached",
        "NO Mailbox is full",
        "NO [LIMIT] mailbox full",
        "NO Over quota",
        "NO Mailbox over quota",
        "NO user has exceeded its quota",
        "NO [LIMIT] Account has exceeded the quota",
        "NO Not enough disk quota",
        "NO [OVERQUOTA] no",
        "BAD [OVERQUOTA] Quota exceeded",
        "NO Requested message size would exceed the quota",
        "NO Not enough storage space left for this account",
    ] {
        let error = append_refused(words);
        assert_says(&error, Fault::NeedsUser, "the target account is full");
    }
}

#[test]
fn a_limit_is_the_messages_only_where_its_size_is_spoken_of() {
    for words in [
        "NO [LIMIT] Mail size is larger than the maximum size allowed by server",
        "NO [LIMIT] Message too large",
        "NO [OVERQUOTA] message too large",
        "NO [TOOBIG] no",
        "NO Message size exceeds fixed maximum message size",
    ] {
        assert_eq!(append_refused(words).fault, Fault::Permanent, "{words}");
    }
    for words in [
        "NO [LIMIT] no",
        "NO [LIMIT] Mailbox has too many keywords",
        "NO [LIMIT] maximum number of messages in this mailbox",
    ] {
        assert_eq!(append_refused(words).fault, Fault::Transient, "{words}");
    }
}
