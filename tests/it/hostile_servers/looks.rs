//! Looks in one flight, also behind messages that are on their way, and servers that tell of several commands at once.

use std::sync::Arc;

use imap_to_gmail::error::Fault;
use imap_to_gmail::message::Flags;
use imap_to_gmail::session::{Appended, Asked, Sent, Session};

use super::script::{Peer, assert_says, signed_in_with, times};

const SMALL_AT_ONCE: &str = "IMAP4rev1 AUTH=PLAIN SASL-IR UIDPLUS UNSELECT LITERAL-";
const VIEW: &str = "* 3 EXISTS\r\n* OK [UIDVALIDITY 5] x\r\n* OK [UIDNEXT 9] x\r\n";
const NAMED: &str =
    "* 3 FETCH (UID 8 BODY[HEADER.FIELDS (MESSAGE-ID DATE)] {19}\r\nMessage-ID: <a@x>\r\n)\r\n";

fn asked() -> [Asked; 2] {
    [
        Asked::new("3", "(UID RFC822.SIZE)", 0),
        Asked::new(
            "7:*",
            "(UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID DATE)])",
            100,
        ),
    ]
}

fn append(session: &mut Session, text: &str) -> imap_to_gmail::session::Appending {
    let body = Arc::new(text.as_bytes().to_vec());
    let begun = session.begin_append("INBOX", Flags::default(), None, body);
    begun.unwrap()
}

/// The tag of an APPEND whose literal went along.
fn appended(peer: &mut Peer, text: &str) -> String {
    let tag = peer.command("APPEND");
    assert_eq!(peer.literal(text.len()), text.as_bytes());
    assert_eq!(peer.line(), "");
    tag
}

/// Dovecot 2.3 begins the second FETCH before it ends the first.
#[test]
fn what_is_told_before_the_end_of_another_fetch_counts() {
    let (server, mut session) = signed_in_with(SMALL_AT_ONCE, &times(), |peer| {
        let examine = peer.command("EXAMINE");
        let (first, second) = (peer.command("UID FETCH 3 "), peer.command("UID FETCH 7:*"));
        peer.say(format!("{VIEW}{examine} OK done\r\n"));
        peer.say(format!(
            "* 1 FETCH (UID 3 RFC822.SIZE 10)\r\n{NAMED}{first} OK done\r\n{second} OK done\r\n"
        ));
    });
    let look = session.look("INBOX", &asked(), &[]).unwrap();
    let told = look.found.iter().map(|f| (f.uid.unwrap().0, f.size));
    assert_eq!(told.collect::<Vec<_>>(), [(3, Some(10)), (8, None)]);
    assert!(look.found[1].naming().is_some());
    drop(session);
    server.finish();
}

/// What is missing in the answer counts as not there.
#[test]
fn what_is_told_with_the_answer_to_something_else_voids_the_look() {
    for to_append in [true, false] {
        let (server, mut session) = signed_in_with(SMALL_AT_ONCE, &times(), move |peer| {
            let before = appended(peer, "a\r\n");
            let examine = peer.command("EXAMINE");
            let (first, second) = (peer.command("UID FETCH 3 "), peer.command("UID FETCH 7:*"));
            let unselect = peer.command("UNSELECT");
            let behind = appended(peer, "b\r\n");
            peer.say(format!("{before} OK done\r\n{VIEW}"));
            let told = |here: bool| if here { NAMED } else { "" };
            peer.say(format!("{}{examine} OK done\r\n", told(!to_append)));
            peer.say(format!("{first} OK done\r\n{second} OK done\r\n"));
            peer.say(format!(
                "{unselect} OK\r\n{}{behind} OK\r\n",
                told(to_append)
            ));
        });
        let before = append(&mut session, "a\r\n");
        let looking = session.begin_look(&[("INBOX", &asked())], &[]).unwrap();
        let behind = append(&mut session, "b\r\n");
        let hear = |session: &mut Session, one| session.hear_append(one);
        assert!(matches!(hear(&mut session, before), Appended::Done(None)));
        if to_append {
            assert!(matches!(hear(&mut session, behind), Appended::Done(None)));
        }
        let error = session.end_look(looking).unwrap_err();
        assert_says(&error, Fault::Transient, "mixes the answers");
        assert!(session.usable());
        drop(session);
        server.finish();
    }
}

/// A mailbox that the session has open takes no message in Courier, so it is closed; and then it is not open.
#[test]
fn what_is_sent_behind_a_look_closes_its_mailbox_first() {
    let (server, mut session) = signed_in_with(SMALL_AT_ONCE, &times(), |peer| {
        peer.answer("EXAMINE", format!("{VIEW}TAG OK done\r\n"));
        peer.answer("UID FETCH 3 ", "TAG OK done\r\n");
        peer.answer("UID FETCH 7:*", "TAG OK done\r\n");
        peer.answer("UNSELECT", "TAG OK done\r\n");
        let tag = appended(peer, "a\r\n");
        peer.say(format!("{tag} OK [APPENDUID 5 9] done\r\n"));
        // As of then, and not in the view that is closed.
        peer.answer("EXAMINE", format!("{VIEW}TAG OK done\r\n"));
    });
    let looking = session.begin_look(&[("INBOX", &asked())], &[]).unwrap();
    let behind = append(&mut session, "a\r\n");
    assert_eq!(session.end_look(looking).unwrap().view.uid_next, 9);
    assert!(session.view_of("INBOX").is_none());
    assert!(matches!(
        session.hear_append(behind),
        Appended::Done(Some(_))
    ));
    session.examine("INBOX").unwrap();
    assert!(session.view_of("INBOX").is_some());
    drop(session);
    server.finish();
}

/// The answers to what went out before are kept, whatever becomes of the session afterwards.
#[test]
fn an_answer_that_came_before_the_session_was_lost_holds() {
    let (server, mut session) = signed_in_with(SMALL_AT_ONCE, &times(), |peer| {
        let (one, two) = (appended(peer, "a\r\n"), appended(peer, "b\r\n"));
        let three = appended(peer, "c\r\n");
        peer.command("EXAMINE");
        peer.say(format!(
            "{one} OK [APPENDUID 5 9] done\r\n{two} NO not this one\r\n"
        ));
        peer.say(format!("{three} OK [APPENDUID 5 10] done\r\n"));
        peer.cut();
    });
    let sent = ["a\r\n", "b\r\n", "c\r\n"].map(|text| append(&mut session, text));
    let looking = session.begin_look(&[("INBOX", &asked())], &[]).unwrap();
    let behind = append(&mut session, "d\r\n");
    assert_says(
        &session.end_look(looking).unwrap_err(),
        Fault::Connection,
        "lost",
    );
    assert!(!session.usable());
    let [one, two, three] = sent.map(|one| session.hear_append(one));
    assert!(matches!(one, Appended::Done(Some(_))), "{one:?}");
    assert!(
        matches!(&two, Appended::Refused(e, Sent::Whole) if e.message.contains("not this one")),
        "{two:?}"
    );
    assert!(matches!(three, Appended::Done(Some(_))), "{three:?}");
    let behind = session.hear_append(behind);
    assert!(matches!(behind, Appended::Lost(..)), "{behind:?}");
    assert!(!session.usable());
    drop(session);
    server.finish();
}
