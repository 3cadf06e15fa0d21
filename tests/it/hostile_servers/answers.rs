//! What comes in answer to EXAMINE, SEARCH and NOOP, late, never, or to something else; and a fresh look. Not for what is in a
//! FETCH: `fetched`.

use std::time::Duration;

use chrono::TimeDelta;
use imap_to_gmail::error::Fault;
use imap_to_gmail::message::{Time, Uid, UidValidity};
use imap_to_gmail::session::{Asked, View};

use super::script::{assert_says, short_times, signed_in, signed_in_with, within};

/// Each of these, within any command, panics the bare crate, puts it out of step, or is returned as
/// an error although the command was answered OK.
pub(super) const STRANGERS: &[&[u8]] = &[
    b"* NO not quite\r\n",
    b"* BAD what was that\r\n",
    b"* NO [ALERT] Postfach fast voll: 99 % belegt, J\xf6rg\r\n",
    b"* PREAUTH again\r\n",
    b"* OK gr\xfc\xdfe {70}\r\n",
    b"* OK [UNKNOWN-CTE \x80] x\r\n",
    b"* 4 FETCH (FLAGS (\\Seen))\r\n",
    b"* 4 FETCH (FLAGS (\\Seen $\xff OIB-Seen-[Gmail]/All))\r\n",
    b"* 1 EXPUNGE\r\n",
    b"* VANISHED (EARLIER) 41,43:116\r\n",
    b"* VANISHED 405\r\n",
    b"* ENABLED CONDSTORE\r\n",
    b"* CAPABILITY IMAP4rev2\r\n",
    b"* ESEARCH (TAG \"a1\") UID ALL 1\r\n",
    b"* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n",
    b"* STATUS INBOX (SIZE 12)\r\n",
    b"* LIST (\\HasNoChildren) \"/\" \"INBOX\" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n",
    b"* LIST (\\Marked \"/\" \"INBOX\r\n",
    b"* LIST () \"/\" {3}\r\na\r\n\r\n",
    b"* 7 FETCH (BODY[] {5}\r\nabcde\r\n",
    b"* 7 FETCH (X \"never closed\r\n",
    b"* 7 FETCH )(\r\n",
    b"* \r\n",
    b"* *\r\n",
    b"* 99999999999999 EXPUNGE\r\n",
    b"* -1 FETCH (UID 2)\r\n",
    b"* SEARCH 1 2 three\r\n",
    b"* \x00\x01\x02\r\n",
    b"* QUOTA \"\" (STORAGE 10 512)\n",
];

pub(super) const EXAMINED: &[u8] = b"* FLAGS (\\Seen)\r\n* 5 EXISTS\r\n* OK [UIDVALIDITY 3857529045] x\r\n* OK [UIDNEXT 4392] x\r\nTAG OK [READ-ONLY] done\r\n";

pub(super) fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn no_untagged_line_disturbs_an_examine() {
    let (server, mut session) = signed_in(|peer| {
        for stranger in STRANGERS {
            peer.answer("EXAMINE \"INBOX\"", joined(&[stranger, EXAMINED]));
        }
        peer.answer(
            "EXAMINE \"INBOX\"",
            joined(&[&STRANGERS.concat(), EXAMINED]),
        );
        peer.next_command_works();
    });
    for _ in 0..=STRANGERS.len() {
        let view = session.examine("INBOX").unwrap();
        assert_eq!(view.uid_validity, UidValidity(3_857_529_045));
        assert_eq!((view.uid_next, view.exists), (4392, 5));
    }
    session.noop().unwrap();
    server.finish();
}

#[test]
fn a_bye_within_an_examine_ends_it_with_its_words() {
    let (server, mut session) = signed_in(|peer| {
        peer.answer("EXAMINE", "* 3 EXISTS\r\n* BYE Idle for too long\r\n");
    });
    let error = session.examine("INBOX").unwrap_err();
    assert_says(&error, Fault::Connection, "Idle for too long");
    assert!(!session.usable());
    assert_eq!(session.view_of("INBOX"), None);
    server.finish();
}

#[test]
fn a_bye_before_the_command_is_heard_too() {
    let (server, mut session) = signed_in(|peer| {
        peer.say("* BYE [OVERQUOTA] Account exceeded command or bandwidth limits.\r\n");
    });
    // The server has long gone when we speak next.
    std::thread::sleep(Duration::from_millis(100));
    let error = session.noop().unwrap_err();
    assert_says(&error, Fault::Throttled, "bandwidth limits");
    server.finish();
}

#[test]
fn a_refused_examine_keeps_its_words_and_the_session() {
    let (server, mut session) = signed_in(|peer| {
        peer.answer(
            "EXAMINE \"a\\\"b\\\\c\"",
            b"TAG NO [NONEXISTENT] Ordner gibt's nicht, J\xf6rg\r\n",
        );
        peer.next_command_works();
    });
    let error = session.examine("a\"b\\c").unwrap_err();
    assert_says(&error, Fault::NeedsUser, "[NONEXISTENT] Ordner");
    assert!(session.usable());
    session.noop().unwrap();
    // Nor does a mailbox name bring a second command.
    let error = session.examine("x\"\r\na9 DELETE INBOX").unwrap_err();
    assert_eq!(error.fault, Fault::Usage);
    server.finish();
}

#[test]
fn a_mailbox_without_uidnext_is_asked_for_its_last_message() {
    let (server, mut session) = signed_in(|peer| {
        // Courier (docs/servers.md 3.8).
        peer.answer(
            "EXAMINE",
            "* 2 EXISTS\r\n* OK [UIDVALIDITY 7] Ok\r\nTAG OK [READ-ONLY] Ok\r\n",
        );
        peer.answer("UID FETCH * (UID)", "* 2 FETCH (UID 41)\r\nTAG OK done\r\n");
        peer.answer(
            "EXAMINE",
            "* 0 EXISTS\r\n* OK [UIDVALIDITY 8] Ok\r\nTAG OK [READ-ONLY] Ok\r\n",
        );
        peer.answer("EXAMINE", "* 0 EXISTS\r\nTAG OK [READ-ONLY] Ok\r\n");
    });
    assert_eq!(session.examine("INBOX").unwrap().uid_next, 42);
    assert_eq!(session.examine("INBOX").unwrap().uid_next, 1);
    let error = session.examine("INBOX").unwrap_err();
    assert_says(&error, Fault::Connection, "UIDVALIDITY");
    assert_eq!(session.view_of("INBOX"), None);
    server.finish();
}

#[test]
fn a_mailbox_that_tells_no_uids_is_not_taken_for_an_empty_one() {
    let (server, mut session) = signed_in(|peer| {
        for uid_next in ["", "* OK [UIDNEXT 0] Ok\r\n"] {
            peer.answer(
                "EXAMINE",
                format!("* 2 EXISTS\r\n* OK [UIDVALIDITY 7] Ok\r\n{uid_next}TAG OK Ok\r\n"),
            );
            peer.answer("UID FETCH * (UID)", "TAG OK done\r\n");
        }
    });
    for _ in 0..2 {
        let error = session.examine("INBOX").unwrap_err();
        assert_says(&error, Fault::Connection, "tells the UID of none");
        assert_eq!(session.view_of("INBOX"), None);
    }
    server.finish();
}

/// A view of five messages, and the start that makes a SEARCH for them.
fn five() -> (View, Option<Time>) {
    let view = View {
        uid_validity: UidValidity(1),
        uid_next: 900,
        uid_next_stated: false,
        exists: 5,
    };
    (view, Some(Time::UNIX_EPOCH + TimeDelta::days(2)))
}

#[test]
fn a_search_is_read_with_modseq_in_several_lines_and_among_strangers() {
    let (server, mut session) = signed_in(|peer| {
        peer.answer(
            "UID SEARCH SINCE 02-Jan-1970",
            b"* SEARCH 882 2 (MODSEQ 917162500)\r\n* NO hm\r\n* 9 EXPUNGE\r\n* SEARCH\r\n* search 84 2 \r\n* OK f\xfcr dich\r\nTAG OK done\r\n",
        );
        peer.next_command_works();
    });
    let (view, since) = five();
    let uids = session.uids_since(&view, since).unwrap();
    assert_eq!(uids, [Uid(2), Uid(84), Uid(882)]);
    session.noop().unwrap();
    server.finish();
}

#[test]
fn a_search_that_cannot_be_read_is_not_believed_in_part() {
    // To believe half a SEARCH is to lose mail: the messages are listed instead.
    for answer in [
        "* SEARCH 1 2 three\r\n",
        "* SEARCH 1 2\r\n* SEARCH 3 99999999999\r\n",
        "* SEARCH 1 2\r\n* ESEARCH (TAG \"a2\") UID ALL 3:9\r\n",
        "",
    ] {
        let (server, mut session) = signed_in(move |peer| {
            peer.answer("UID SEARCH", format!("{answer}TAG OK done\r\n"));
            peer.answer(
                "FETCH 1:5 (UID INTERNALDATE)",
                "* 1 FETCH (UID 1)\r\n* 2 FETCH (UID 4)\r\nTAG OK done\r\n",
            );
            peer.answer("UID SEARCH", "* SEARCH\r\nTAG OK done\r\n");
            // Nor is half a list.
            peer.answer(
                "FETCH 1:5",
                "* 1 FETCH (UID 1)\r\n* 2 FETCH (UID 4\r\nTAG OK done\r\n",
            );
            peer.next_command_works();
        });
        let (view, since) = five();
        let uids = session.uids_since(&view, since).unwrap();
        assert_eq!(uids, [Uid(1), Uid(4)]);
        let error = session.uids_since(&view, since).unwrap_err();
        assert_says(&error, Fault::Connection, "cannot be read");
        session.noop().unwrap();
        server.finish();
    }
}

#[test]
fn four_billion_messages_are_not_listed() {
    let (server, mut session) = signed_in(|peer| {
        peer.answer("UID SEARCH", "TAG OK done\r\n");
        peer.next_command_works();
    });
    let (view, since) = five();
    let view = View {
        exists: u32::MAX,
        ..view
    };
    let error = session.uids_since(&view, since).unwrap_err();
    assert_says(&error, Fault::Connection, "4294967295 messages");
    session.noop().unwrap();
    server.finish();
}

#[test]
fn an_answer_to_something_else_ends_the_session() {
    for line in [
        "a999 OK done\r\n",
        "garbage\r\n",
        " \r\n",
        "OK\r\n",
        "*\r\n",
    ] {
        let (server, mut session) = signed_in(move |peer| {
            peer.answer("NOOP", line);
            peer.hears_nothing_more();
        });
        let error = session.noop().unwrap_err();
        assert_says(&error, Fault::Connection, "something else");
        assert!(!session.usable());
        drop(session);
        server.finish();
    }
}

#[test]
fn a_late_answer_is_not_taken_for_the_next_one() {
    let (server, mut session) = signed_in_with(super::script::PLAIN, &short_times(), |peer| {
        let tag = peer.command("UID FETCH");
        peer.say("* 1 FETCH (UID 1 BODY[] {200}\r\n");
        std::thread::sleep(Duration::from_millis(600));
        // The rest of the message: it holds what could be the verdict on the next command.
        let next: u32 = tag[1..].parse::<u32>().unwrap() + 1;
        peer.say(format!("a{next} OK done\r\n").repeat(20));
        peer.hears_nothing_more();
    });
    let (_, end) = within(Duration::from_secs(2), || {
        session.uid_fetch("1", "(BODY.PEEK[])", 200)
    });
    assert_says(&end.unwrap_err(), Fault::Connection, "in time");
    std::thread::sleep(Duration::from_millis(400));
    session.noop().unwrap_err();
    assert!(!session.usable());
    drop(session);
    server.finish();
}

#[test]
fn a_server_that_never_answers_or_only_drips_ends_at_the_deadline() {
    for drip in [&b""[..], b"x", b"* 1 EXISTS\r\n"] {
        let (server, mut session) =
            signed_in_with(super::script::PLAIN, &short_times(), move |peer| {
                peer.command("NOOP");
                while !drip.is_empty() && peer.try_say(drip) {
                    std::thread::sleep(Duration::from_millis(50));
                }
                peer.wait_for_end();
            });
        let error = within(Duration::from_secs(2), || session.noop().unwrap_err());
        assert_says(&error, Fault::Connection, "in time");
        assert!(!session.usable());
        drop(session);
        server.finish();
    }
}

#[test]
fn a_fresh_look_sends_both_commands_at_once_and_looks_again_when_mail_came() {
    let (server, mut session) = signed_in(|peer| {
        peer.answer("EXAMINE", EXAMINED);
        // Neither command is answered before both are there.
        let (fetch, noop) = (peer.command("UID FETCH 5:*"), peer.command("NOOP"));
        peer.say(format!("* 5 FETCH (UID 5)\r\n{fetch} OK done\r\n"));
        peer.say(format!("* 6 EXISTS\r\n{noop} OK done\r\n"));
        peer.answer(
            "UID FETCH 5:*",
            "* 5 FETCH (UID 5)\r\n* 6 FETCH (UID 6)\r\nTAG OK done\r\n",
        );
        peer.next_command_works();
    });
    session.examine("INBOX").unwrap();
    let look = session
        .look("INBOX", &[Asked::new("5:*", "(UID)", 0)], &[])
        .unwrap();
    assert_eq!(look.found.len(), 2);
    session.noop().unwrap();
    server.finish();
}

#[test]
fn a_fresh_look_that_is_refused_leaves_the_session_in_step() {
    let (server, mut session) = signed_in(|peer| {
        peer.answer("EXAMINE", EXAMINED);
        peer.answer("UID FETCH", "TAG NO [SERVERBUG] oops\r\n");
        peer.answer("NOOP", "TAG OK done\r\n");
        peer.answer("UID FETCH", "* 1 FETCH (UID 1)\r\nTAG OK done\r\n");
        peer.answer("NOOP", "TAG BAD oops again\r\n");
        peer.next_command_works();
    });
    session.examine("INBOX").unwrap();
    let error = session
        .look("INBOX", &[Asked::new("1", "(UID)", 0)], &[])
        .unwrap_err();
    assert_says(&error, Fault::Transient, "[SERVERBUG] oops");
    let error = session
        .look("INBOX", &[Asked::new("1", "(UID)", 0)], &[])
        .unwrap_err();
    assert_says(&error, Fault::Transient, "oops again");
    session.noop().unwrap();
    server.finish();
}

#[test]
fn a_mailbox_that_never_rests_is_not_looked_at_for_ever() {
    let (server, mut session) = signed_in(|peer| {
        // Some servers tell of EXISTS at each NOOP.
        peer.answer("EXAMINE", EXAMINED);
        for _ in 0..2 {
            peer.answer(
                "UID FETCH",
                "* 5 EXISTS\r\n* 5 FETCH (UID 5)\r\nTAG OK done\r\n",
            );
            if let Some(line) = peer.line_or_end()
                && let Some((tag, "NOOP")) = line.split_once(' ')
            {
                peer.say(format!("* 6 EXISTS\r\n{tag} OK done\r\n"));
            }
        }
    });
    let look = within(Duration::from_secs(5), || {
        session.examine("INBOX").unwrap();
        session
            .look("INBOX", &[Asked::new("1:*", "(UID)", 0)], &[])
            .unwrap()
    });
    assert_eq!(look.found.len(), 1);
    drop(session);
    server.finish();
}

#[test]
fn a_literal_that_stops_is_left_at_the_deadline_and_one_that_goes_on_is_not() {
    const PIECE: usize = 64 << 10;
    for stops in [true, false] {
        let (server, mut session) =
            signed_in_with(super::script::PLAIN, &short_times(), move |peer| {
                let tag = peer.command("UID FETCH");
                peer.say(format!("* 1 FETCH (UID 1 BODY[] {{{}}}\r\n", 10 * PIECE));
                for _ in 0..if stops { 1 } else { 10 } {
                    peer.say(vec![b'x'; if stops { 100 } else { PIECE }]);
                    std::thread::sleep(Duration::from_millis(80));
                }
                if !stops {
                    peer.say(format!(")\r\n{tag} OK done\r\n"));
                }
                peer.wait_for_end();
            });
        // What may come is much more than what does.
        let (fetched, end) = within(Duration::from_secs(2), || {
            session.uid_fetch("1", "(BODY.PEEK[])", 100 << 20)
        });
        if stops {
            assert_says(&end.unwrap_err(), Fault::Connection, "in time");
        } else {
            end.unwrap();
            assert_eq!(fetched.len(), 1);
        }
        drop(session);
        server.finish();
    }
}
