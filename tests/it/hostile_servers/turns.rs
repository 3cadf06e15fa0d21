//! Several commands under way at once, and the answers to each.

use std::time::Duration;

use imap_to_gmail::config::Masks;
use imap_to_gmail::error::Fault;
use imap_to_gmail::response::Status;
use imap_to_gmail::session::Asked;
use imap_to_gmail::wire::{Command, Connection};

use super::script::{Server, assert_says, endpoint, signed_in, times};

/// What was not told of before the tagged line counts as absent: it must not be another command's.
#[test]
fn an_answer_that_comes_before_its_turn_ends_the_session() {
    let (server, mut session) = signed_in(|peer| {
        peer.answer(
            "EXAMINE",
            "* 1 EXISTS\r\n* OK [UIDVALIDITY 5] x\r\n* OK [UIDNEXT 7] x\r\nTAG OK done\r\n",
        );
        let (_, noop) = (peer.command("UID FETCH"), peer.command("NOOP"));
        peer.say(format!("{noop} OK done\r\n"));
        peer.hears_nothing_more();
    });
    session.examine("INBOX").unwrap();
    let error = session
        .look("INBOX", &[Asked::new("1", "(UID)", 0)], &[])
        .unwrap_err();
    assert_says(&error, Fault::Connection, "something else");
    assert!(!session.usable());
    drop(session);
    server.finish();
}

#[test]
fn commands_may_be_begun_while_others_are_under_way_and_are_answered_in_turn() {
    let server = Server::start(|peer| {
        peer.say("* OK hello\r\n");
        let (one, two) = (peer.command("ONE"), peer.command("TWO"));
        assert_eq!((one.as_str(), two.as_str()), ("a1", "a2"));
        peer.say("* 1 EXISTS\r\na1 OK one\r\n");
        // It goes out while the second is waited for.
        assert_eq!(peer.command("THREE"), "a3");
        assert_eq!(peer.command("FOUR"), "a4");
        peer.say(
            "* 2 EXISTS\r\n* 3 EXISTS\r\na2 NO two\r\na3 BAD three\r\n* 4 EXISTS\r\na4 NO four\r\n",
        );
        peer.hears_nothing_more();
    });
    let (mut connection, _) =
        Connection::open(&endpoint(server.port), &times(), Masks::default()).unwrap();
    let command = |line: &str| Command::new(line, Duration::from_secs(10), 0);
    let (one, two) = (
        connection.begin(command("ONE")),
        connection.begin(command("TWO")),
    );
    let heard = |connection: &mut Connection, tag| {
        let answer = connection.answer(tag);
        let status = answer.tagged.map(|s| s.status);
        (answer.untagged.len(), status, answer.broken.is_some())
    };
    assert_eq!(heard(&mut connection, one), (1, Some(Status::Ok), false));
    let three = connection.begin(command("THREE"));
    let four = connection.begin(command("FOUR"));
    assert_eq!(heard(&mut connection, two), (2, Some(Status::No), false));
    // What comes before it is kept until it is asked for.
    assert_eq!(heard(&mut connection, four), (1, Some(Status::No), false));
    assert_eq!(heard(&mut connection, three), (0, Some(Status::Bad), false));
    // It was heard: whoever asks again has lost his place.
    assert_eq!(heard(&mut connection, three), (0, None, true));
    drop(connection);
    server.finish();
}
