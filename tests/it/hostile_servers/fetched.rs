//! What comes in answer to FETCH: items of every kind, strangers in between, and messages that cannot be read.

use imap_to_gmail::error::Fault;
use imap_to_gmail::message::Uid;
use imap_to_gmail::session::Asked;

use super::answers::{EXAMINED, STRANGERS, joined};
use super::script::{assert_says, signed_in};

#[test]
fn a_fetch_is_read_whatever_else_is_in_it() {
    let items: &[&[u8]] = &[
        b"BINARY[1] ~{4}\r\n\0\xff\r\n",
        b"EMAILID (M6d99ac3275bb4e)",
        b"THREADID NIL",
        b"SAVEDATE \"17-Jul-1996 02:44:25 -0700\"",
        b"PREVIEW \"gr\xfc\xdfe\"",
        b"PREVIEW {3}\r\n)\r\n",
        b"X-GM-LABELS (\"\\\\Inbox\" {5}\r\na)(\"b \"J\xf6rg\" &AOQ-)",
        b"X-GM-MSGID 1278455344230334865",
        b"MODSEQ (624140003)",
        b"INTERNALDATE NIL",
        b"FLAGS (\\Seen $\xe4\xf6 \\*)",
        b"BODYSTRUCTURE ((\"a\" NIL) (\"b\" (\"c\")))",
    ];
    let body = b"Subject: x\r\n\r\na2 OK not a verdict\r\n* BYE\r\n+ go ahead\r\n".to_vec();
    let sent = body.clone();
    let (server, mut session) = signed_in(move |peer| {
        for item in items {
            let mut text = joined(&[b"* 1 FETCH (", item, b" BODY[] {"]);
            text.extend_from_slice(format!("{}}}\r\n", sent.len()).as_bytes());
            text.extend_from_slice(&joined(&[
                &sent,
                b" UID 7 RFC822.SIZE 55)\r\nTAG OK done\r\n",
            ]));
            peer.answer("UID FETCH 7", text);
        }
        peer.next_command_works();
    });
    for item in items {
        let (fetched, end) = session.uid_fetch("7", "(UID BODY.PEEK[])", 1000);
        end.unwrap();
        let shown = String::from_utf8_lossy(item);
        assert_eq!(fetched.len(), 1, "{shown}");
        assert_eq!(fetched[0].uid, Some(Uid(7)), "{shown}");
        assert_eq!(fetched[0].size, Some(55), "{shown}");
        assert_eq!(fetched[0].body.as_ref(), Some(&body), "{shown}");
        assert_eq!(fetched[0].internal_date, None, "{shown}");
    }
    session.noop().unwrap();
    server.finish();
}

#[test]
fn strangers_between_the_messages_of_a_fetch_take_nothing_along() {
    // Those that are no FETCH themselves: a FETCH that cannot be read is told of, see below.
    let strangers: Vec<&[u8]> = STRANGERS
        .iter()
        .copied()
        .filter(|s| !s.starts_with(b"* 7 FETCH") && !s.starts_with(b"* SEARCH"))
        .filter(|s| !s.starts_with(b"* ESEARCH"))
        .collect();
    let count = strangers.len();
    assert!(count > 20);
    let (server, mut session) = signed_in(move |peer| {
        for stranger in strangers {
            peer.answer(
                "UID FETCH",
                joined(&[
                    b"* 1 FETCH (UID 1 FLAGS ())\r\n",
                    stranger,
                    b"* 2 FETCH (UID 2 FLAGS (\\Answered))\r\nTAG OK done\r\n",
                ]),
            );
        }
        peer.next_command_works();
    });
    for _ in 0..count {
        let (fetched, end) = session.uid_fetch("1:2", "(UID FLAGS)", 0);
        end.unwrap();
        let uids: Vec<_> = fetched.iter().filter_map(|f| f.uid).collect();
        assert_eq!(uids, [Uid(1), Uid(2)]);
    }
    session.noop().unwrap();
    server.finish();
}

#[test]
fn a_message_that_cannot_be_read_is_told_of_and_the_others_are_kept() {
    // A message that is silently missing would count as expunged.
    let nested = format!(
        "* 7 FETCH (UID 7 BODYSTRUCTURE {})\r\n",
        "(".repeat(100_000)
    );
    for broken in [
        &b"* 7 FETCH (UID 7 BODY[] {5}\r\nabcdefgh)\r\n"[..],
        b"* 7 FETCH (UID 7 X \"never closed)\r\n",
        b"* 7 FETCH )(\r\n",
        b"* 7 FETCH\r\n",
        nested.as_bytes(),
    ] {
        let answer = joined(&[
            b"* 1 FETCH (UID 1)\r\n",
            broken,
            b"* 2 FETCH (UID 2)\r\nTAG OK done\r\n",
        ]);
        let (server, mut session) = signed_in(move |peer| {
            peer.answer("UID FETCH", &answer);
            peer.answer("EXAMINE", EXAMINED);
            peer.answer("UID FETCH", &answer);
            peer.answer("NOOP", "TAG OK done\r\n");
            peer.next_command_works();
        });
        let (fetched, end) = session.uid_fetch("1:7", "(UID)", 0);
        let uids: Vec<_> = fetched.iter().filter_map(|f| f.uid).collect();
        assert_eq!(uids, [Uid(1), Uid(2)]);
        assert_says(&end.unwrap_err(), Fault::Transient, "cannot be read");
        session.examine("INBOX").unwrap();
        let fresh = session.look("INBOX", &[Asked::new("1:7", "(UID)", 0)], &[]);
        assert_says(&fresh.unwrap_err(), Fault::Transient, "cannot be read");
        assert!(session.usable());
        session.noop().unwrap();
        server.finish();
    }
}

#[test]
fn unasked_updates_are_no_results() {
    let (server, mut session) = signed_in(|peer| {
        peer.answer(
            "UID FETCH 9",
            "* 3 FETCH (FLAGS (\\Seen))\r\n* 4 FETCH (BODY[] NIL UID 9)\r\nTAG OK done\r\n",
        );
    });
    let (fetched, end) = session.uid_fetch("9", "(UID BODY.PEEK[])", 0);
    end.unwrap();
    assert_eq!(fetched.len(), 1);
    assert_eq!((fetched[0].uid, &fetched[0].body), (Some(Uid(9)), &None));
    server.finish();
}

#[test]
fn a_change_of_flags_in_the_middle_of_an_answer_takes_nothing_of_it_away() {
    let update = "* 1 FETCH (UID 7 FLAGS (\\Seen))\r\n";
    let answer = "* 1 FETCH (UID 7 FLAGS () RFC822.SIZE 55 BODY[HEADER.FIELDS (MESSAGE-ID)] {19}\r\nMessage-ID: <a@b>\r\n)\r\n";
    for order in [[update, answer], [answer, update]] {
        let (server, mut session) = signed_in(move |peer| {
            peer.answer("UID FETCH 7", format!("{}TAG OK done\r\n", order.concat()));
        });
        let (fetched, end) = session.uid_fetch("7", "(UID RFC822.SIZE)", 100);
        end.unwrap();
        assert_eq!(fetched.len(), 1, "{order:?}");
        let found = fetched[0].discovered().unwrap();
        assert_eq!(found.message_id.unwrap().text, "<a@b>", "{order:?}");
        assert_eq!(found.size, Some(55), "{order:?}");
        server.finish();
    }
}

#[test]
fn what_came_before_a_cut_is_kept() {
    let (server, mut session) = signed_in(|peer| {
        peer.answer(
            "UID FETCH 1:3",
            "* 1 FETCH (UID 1 BODY[] {3}\r\none)\r\n* 2 FETCH (UID 2 BODY[] {3}\r\ntwo)\r\n* 3 FETCH (UID 3 BODY[] {5}\r\nthr",
        );
    });
    let (fetched, end) = session.uid_fetch("1:3", "(UID BODY.PEEK[])", 100);
    let bodies: Vec<_> = fetched.iter().filter_map(|f| f.body.as_deref()).collect();
    assert_eq!(bodies, [b"one", b"two"]);
    assert_says(&end.unwrap_err(), Fault::Connection, "closed");
    assert!(!session.usable());
    server.finish();
}
