//! APPEND: when a message counts as delivered, refused, or sent with an end that nobody saw.

use std::sync::Arc;
use std::time::Duration;

use imap_to_gmail::error::{Error, Fault};
use imap_to_gmail::message::{Flags, Uid, UidValidity};
use imap_to_gmail::session::{Appended, Session};
use imap_to_gmail::wire::Sent;

use super::script::{PLAIN, Server, assert_says, short_times, signed_in, signed_in_with, within};

const BODY: &[u8] = b"Subject: x\r\n\r\nz9 DELETE INBOX\r\n";

fn append(session: &mut Session) -> Appended {
    append_body(session, BODY.to_vec())
}

fn append_body(session: &mut Session, body: Vec<u8>) -> Appended {
    session.append("INBOX", Flags::parse("\\Seen"), None, Arc::new(body))
}

#[track_caller]
fn refused(outcome: Appended) -> (Error, Sent) {
    match outcome {
        Appended::Refused(error, sent) => (error, sent),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[track_caller]
fn lost(outcome: Appended) -> (Error, Sent) {
    match outcome {
        Appended::Lost(error, sent) => (error, sent),
        other => panic!("expected a lost end, got {other:?}"),
    }
}

#[track_caller]
fn done(outcome: Appended) -> Option<(UidValidity, Uid)> {
    match outcome {
        Appended::Done(at) => at,
        other => panic!("expected success, got {other:?}"),
    }
}

/// The command, with its `+` asked for: the tag, when the message has come.
fn take_message(peer: &mut super::script::Peer) -> String {
    let tag = peer.command("APPEND \"INBOX\" (\\Seen) {31}");
    peer.say("+ go ahead\r\n");
    assert_eq!(peer.literal(BODY.len()), BODY);
    assert_eq!(peer.line(), "");
    tag
}

#[test]
fn a_refusal_in_place_of_the_plus_keeps_its_words_and_sends_no_literal() {
    for (answer, fault, words) in [
        (
            // Whether it is so is looked for by who asked.
            "TAG NO [TRYCREATE] Mailbox doesn't exist: INBOX",
            Fault::Transient,
            "[TRYCREATE] Mailbox",
        ),
        (
            "TAG NO [OVERQUOTA] Quota exceeded (mailbox for user is full)",
            Fault::NeedsUser,
            "[OVERQUOTA] Quota",
        ),
        (
            "TAG BAD [TOOBIG] Message too large.",
            Fault::Permanent,
            "[TOOBIG] Message too large",
        ),
        (
            "* NO [ALERT] nearly full\r\n* 4 EXISTS\r\nTAG NO [UNAVAILABLE] later",
            Fault::Transient,
            "[UNAVAILABLE] later",
        ),
    ] {
        let (server, mut session) = signed_in(move |peer| {
            peer.answer("APPEND", format!("{answer}\r\n"));
            // Not the message: the next command.
            peer.next_command_works();
        });
        let (error, sent) = refused(append(&mut session));
        assert_says(&error, fault, words);
        assert_eq!(error.perhaps_missing, answer.contains("TRYCREATE"));
        assert_eq!(sent, Sent::Nothing);
        session.noop().unwrap();
        server.finish();
    }
}

#[test]
fn a_refusal_after_the_literal_says_that_the_server_had_it() {
    let (server, mut session) = signed_in(|peer| {
        let tag = take_message(peer);
        peer.say(format!("{tag} NO Unable to append message (Failure)\r\n"));
        peer.next_command_works();
    });
    let (error, sent) = refused(append(&mut session));
    assert_says(&error, Fault::Transient, "Unable to append");
    assert_eq!(sent, Sent::Whole);
    session.noop().unwrap();
    server.finish();
}

#[test]
fn untagged_lines_before_the_plus_and_before_the_ok_change_nothing() {
    let (server, mut session) = signed_in(|peer| {
        let tag = peer.command("APPEND");
        peer.say(b"* 5 EXISTS\r\n* NO [ALERT] J\xf6rg\r\n* 1 FETCH (FLAGS ())\r\n+\r\n");
        assert_eq!(peer.literal(BODY.len() + 2), [BODY, b"\r\n"].concat());
        peer.say("* NO almost full\r\n* BAD hm\r\n* PREAUTH x\r\n* 6 EXISTS\r\n* VANISHED 1\r\n");
        peer.say(format!(
            "{tag} OK [APPENDUID 38505 3955] APPEND completed\r\n"
        ));
        peer.next_command_works();
    });
    assert_eq!(
        done(append(&mut session)),
        Some((UidValidity(38505), Uid(3955)))
    );
    session.noop().unwrap();
    server.finish();
}

#[test]
fn appenduid_is_read_in_every_spelling_and_never_invented() {
    for (words, at) in [
        (
            "[APPENDUID 641429830 111](Success)",
            Some((641_429_830, 111)),
        ),
        (
            "[APPENDUID 641429830 111] (Success)",
            Some((641_429_830, 111)),
        ),
        ("[appenduid 1 2] f\u{fc}r dich", Some((1, 2))),
        (
            "[APPENDUID 4294967295 4294967295] x",
            Some((u32::MAX, u32::MAX)),
        ),
        // Milliseconds: as EXAMINE tells it, so APPENDUID does.
        ("[APPENDUID 4294967296 1] x", Some((5, 1))),
        ("[APPENDUID 1 4294967296] x", None),
        ("[APPENDUID 18446744073709551616 1] x", None),
        ("[APPENDUID 1 2,3] x", None),
        ("[APPENDUID 1 0] x", None),
        ("[APPENDUID 1] x", None),
        ("[APPENDUID", None),
        ("APPENDUID 1 2", None),
        ("", None),
    ] {
        let (server, mut session) = signed_in(move |peer| {
            let tag = take_message(peer);
            peer.say(format!("{tag} OK {words}\r\n"));
        });
        let expected = at.map(|(v, u)| (UidValidity(v), Uid(u)));
        assert_eq!(done(append(&mut session)), expected, "{words}");
        server.finish();
    }
}

#[test]
fn an_ok_before_the_message_was_asked_for_is_no_delivery() {
    let (server, mut session) = signed_in(|peer| {
        peer.answer("APPEND", "TAG OK [APPENDUID 1 2] done\r\n");
        peer.hears_nothing_more();
    });
    let (error, sent) = lost(append(&mut session));
    assert_says(&error, Fault::Connection, "before");
    assert_eq!(sent, Sent::Nothing);
    assert!(!session.usable());
    drop(session);
    server.finish();
}

#[test]
fn only_a_tagged_ok_is_a_delivery() {
    for answer in [
        "* OK [APPENDUID 1 2] done\r\n",
        "a999 OK [APPENDUID 1 2] done\r\n",
        "TAG PREAUTH [APPENDUID 1 2] done\r\n",
        "TAG OKAY [APPENDUID 1 2] done\r\n",
        "TAG [APPENDUID 1 2] done\r\n",
        "+ OK done\r\n",
        "* BYE [APPENDUID 1 2] done\r\n",
        "TAG BYE [APPENDUID 1 2] done\r\n",
        "TAG OK [APPENDUID 1 2] no line end",
        "",
    ] {
        let (server, mut session) = signed_in(move |peer| {
            let tag = take_message(peer);
            peer.say(answer.replace("TAG ", &format!("{tag} ")));
        });
        let (error, sent) = lost(append(&mut session));
        assert_eq!((error.fault, sent), (Fault::Connection, Sent::Whole));
        assert!(!session.usable());
        drop(session);
        server.finish();
    }
}

#[test]
fn a_bye_after_the_literal_is_an_end_that_nobody_saw() {
    let (server, mut session) = signed_in(|peer| {
        take_message(peer);
        peer.say("* BYE Session expired, please login again.\r\n");
    });
    let (error, sent) = lost(append(&mut session));
    assert_says(&error, Fault::Connection, "Session expired");
    assert_eq!(sent, Sent::Whole);
    server.finish();
}

#[test]
fn a_cut_before_the_plus_sent_nothing() {
    for answer in ["", "* BYE bad moment\r\n", "+ go"] {
        let (server, mut session) = signed_in(move |peer| peer.answer("APPEND", answer));
        let (error, sent) = lost(append(&mut session));
        assert_eq!((error.fault, sent), (Fault::Connection, Sent::Nothing));
        server.finish();
    }
}

#[test]
fn silence_before_the_plus_sent_nothing_and_after_the_literal_all() {
    for asks in [false, true] {
        let (server, mut session) = signed_in_with(PLAIN, &short_times(), move |peer| {
            if asks {
                take_message(peer);
            } else {
                peer.command("APPEND");
            }
            peer.wait_for_end();
        });
        let (error, sent) = within(Duration::from_secs(2), || lost(append(&mut session)));
        assert_says(&error, Fault::Connection, "in time");
        let expected = if asks { Sent::Whole } else { Sent::Nothing };
        assert_eq!(sent, expected);
        drop(session);
        server.finish();
    }
}

/// More than the buffers of a loopback connection take.
const BIG: usize = 48 << 20;

#[test]
fn a_cut_within_the_literal_sent_a_part() {
    let (server, mut session) = signed_in(|peer| {
        peer.command("APPEND");
        peer.say("+ go ahead\r\n");
        peer.literal(1000);
        peer.cut();
    });
    let (error, sent) = lost(append_body(&mut session, vec![b'x'; BIG]));
    assert_eq!((error.fault, sent), (Fault::Connection, Sent::Part));
    assert!(!session.usable());
    server.finish();
}

#[test]
fn a_bye_before_the_plus_explains_a_literal_cut_short() {
    let (server, mut session) = signed_in(|peer| {
        peer.command("APPEND");
        peer.say("* BYE [OVERQUOTA] Account exceeded command or bandwidth limits.\r\n+ go\r\n");
        peer.literal(1000);
        peer.cut();
    });
    let (error, sent) = lost(append_body(&mut session, vec![b'x'; BIG]));
    assert_says(&error, Fault::Throttled, "bandwidth limits");
    assert_eq!(sent, Sent::Part);
    server.finish();
}

#[test]
fn a_bye_within_the_literal_keeps_its_words() {
    let (server, mut session) = signed_in(|peer| {
        let tag = peer.command("APPEND");
        peer.say("+ go ahead\r\n");
        peer.literal(1000);
        peer.say(format!(
            "* BYE [OVERQUOTA] Account exceeded command or bandwidth limits.\r\n{tag} OK [APPENDUID 1 2] and yet\r\n"
        ));
        peer.cut();
    });
    let (error, sent) = lost(append_body(&mut session, vec![b'x'; BIG]));
    assert_says(&error, Fault::Throttled, "bandwidth limits");
    assert_eq!(sent, Sent::Part);
    server.finish();
}

#[test]
fn a_second_plus_does_not_bring_the_message_again() {
    let (server, mut session) = signed_in(|peer| {
        take_message(peer);
        peer.say("+ more\r\n");
        peer.hears_nothing_more();
    });
    let (error, sent) = lost(append(&mut session));
    assert_says(&error, Fault::Connection, "asked for more");
    assert_eq!(sent, Sent::Whole);
    drop(session);
    server.finish();
}

#[test]
fn a_plus_that_nobody_waits_for_ends_the_session() {
    let (server, mut session) = signed_in(|peer| {
        peer.answer("NOOP", "+ well?\r\n");
        peer.hears_nothing_more();
    });
    let error = session.noop().unwrap_err();
    assert_says(&error, Fault::Connection, "asked for more");
    // Not even a command that could be answered is sent any more.
    let (_, sent) = lost(append(&mut session));
    assert_eq!(sent, Sent::Nothing);
    drop(session);
    server.finish();
}

#[test]
fn small_literals_go_along_where_that_is_offered() {
    let offers_minus = "IMAP4rev1 AUTH=PLAIN SASL-IR LITERAL-";
    let offers_plus = "IMAP4rev1 AUTH=PLAIN SASL-IR LITERAL+";
    for (capabilities, size, at_once) in [
        (offers_minus, 4096, true),
        (offers_minus, 4097, false),
        (offers_plus, 4097, true),
        (PLAIN, 10, false),
    ] {
        let (server, mut session) = signed_in_with(capabilities, &short_times(), move |peer| {
            let plus = if at_once { "+" } else { "" };
            let tag = peer.command(&format!("APPEND \"INBOX\" (\\Seen) {{{size}{plus}}}"));
            if !at_once {
                peer.say("+ \r\n");
            }
            assert_eq!(peer.literal(size), vec![b'x'; size]);
            assert_eq!(peer.line(), "");
            peer.say(format!("{tag} OK [APPENDUID 1 2] done\r\n"));
            peer.next_command_works();
        });
        assert_eq!(
            done(append_body(&mut session, vec![b'x'; size])),
            Some((UidValidity(1), Uid(2)))
        );
        session.noop().unwrap();
        server.finish();
    }
}

#[test]
fn a_literal_that_went_along_may_have_been_taken_whatever_follows() {
    let (server, mut session) = signed_in_with(
        "IMAP4rev1 AUTH=PLAIN SASL-IR LITERAL-",
        &short_times(),
        |peer| {
            peer.command("APPEND");
            peer.cut();
        },
    );
    let (_, sent) = lost(append(&mut session));
    assert_eq!(sent, Sent::Whole);
    server.finish();
}

#[test]
fn a_literal_that_went_along_is_not_sent_again_when_it_is_asked_for() {
    for asked in [1, 2] {
        let (server, mut session) = signed_in_with(
            "IMAP4rev1 AUTH=PLAIN SASL-IR LITERAL-",
            &short_times(),
            move |peer| {
                let tag = peer.command("APPEND");
                assert_eq!(peer.literal(BODY.len() + 2), [BODY, b"\r\n"].concat());
                // To whoever has the message, what comes now is a command.
                peer.say("+ go ahead\r\n".repeat(asked));
                if asked == 1 {
                    peer.say(format!("{tag} OK [APPENDUID 1 2] done\r\n"));
                    peer.next_command_works();
                } else {
                    peer.hears_nothing_more();
                }
            },
        );
        let outcome = append(&mut session);
        if asked == 1 {
            assert_eq!(done(outcome), Some((UidValidity(1), Uid(2))));
            session.noop().unwrap();
        } else {
            let (error, sent) = lost(outcome);
            assert_says(&error, Fault::Connection, "asked for more");
            assert_eq!(sent, Sent::Whole);
        }
        drop(session);
        server.finish();
    }
}

#[test]
fn an_odd_mailbox_name_brings_no_second_command() {
    let (server, mut session): (Server, Session) = signed_in(|peer| peer.next_command_works());
    let outcome = session.append(
        "INBOX\" {1+}\r\nx\r\na9 DELETE \"INBOX",
        Flags::default(),
        None,
        Arc::new(BODY.to_vec()),
    );
    let (error, sent) = lost(outcome);
    assert_eq!((error.fault, sent), (Fault::Usage, Sent::Nothing));
    session.noop().unwrap();
    server.finish();
}
