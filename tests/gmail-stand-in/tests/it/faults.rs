//! Each scripted fault, the transcript and its round trips, and the server that is not Gmail.

use std::time::{Duration, Instant};

use crate::client::{Client, mail};
use gmail_stand_in::{Fault, Gmail, Mail, On, Options, SYSTEM_ERROR, Side};

fn start() -> (Gmail, Client) {
    let gmail = Gmail::start(Options::default());
    let client = Client::login(&gmail);
    (gmail, client)
}

/// Sends a whole APPEND, whatever is answered, and gives what is said until the connection ends.
fn append_to_the_end(c: &mut Client, message: &str) -> Vec<String> {
    c.announce("INBOX", message.len());
    assert_eq!(c.line(), "+ go ahead");
    c.send(format!("{message}\r\n"));
    c.rest()
}

#[test]
fn answers_instead_of_the_command() {
    let (gmail, mut c) = start();
    gmail.fault(
        On::nth(2, "NOOP").times(2),
        Fault::Answer(SYSTEM_ERROR.into()),
    );
    let heard: Vec<_> = (0..4).map(|_| c.run("NOOP").remove(0)).collect();
    let error = "A NO System Error (Failure)";
    assert_eq!(heard, ["A OK Success", error, error, "A OK Success"]);
    gmail.fault(
        On::nth(1, "APPEND"),
        Fault::Answer("* 9 EXISTS\nNO later".into()),
    );
    c.announce("INBOX", 10);
    assert_eq!(
        (c.line(), c.line()),
        ("* 9 EXISTS".into(), "A6 NO later".into())
    );
    // A literal that comes unasked is skipped.
    gmail.fault(On::nth(1, "APPEND"), Fault::Answer("NO later".into()));
    assert_eq!(c.run("APPEND INBOX {4+}\r\na: b"), ["A NO later"]);
    gmail.fault(On::nth(1, "*"), Fault::EchoCommandInBad);
    assert_eq!(
        c.run("LOGIN secret"),
        ["A BAD Could not parse command: A8 LOGIN secret"]
    );
    gmail.fault(
        On::each("UID FETCH").line_with("BODY"),
        Fault::Bye("enough".into()),
    );
    c.run("SELECT INBOX");
    assert_eq!(c.run("UID FETCH 1 (UID)"), ["A OK Success"]);
    c.start("UID FETCH 1 (BODY.PEEK[])");
    assert_eq!(c.rest(), ["* BYE enough"]);
}

#[test]
fn cuts_before_within_and_after_the_literal() {
    let (gmail, mut c) = start();
    let hits = gmail.fault(On::nth(1, "APPEND"), Fault::CutBefore);
    c.announce("INBOX", 10);
    assert!(c.rest().is_empty());
    assert_eq!(hits.count(), 1);

    let mut c = Client::login(&gmail);
    gmail.fault(On::nth(1, "APPEND"), Fault::CutInLiteral(5));
    assert!(append_to_the_end(&mut c, &mail("1@x", "")).is_empty());
    assert!(gmail.messages().is_empty());

    for (stored, count) in [(false, 0), (true, 1)] {
        let mut c = Client::login(&gmail);
        gmail.fault(On::nth(1, "APPEND"), Fault::CutAfterLiteral { stored });
        assert!(append_to_the_end(&mut c, &mail("1@x", "")).is_empty());
        assert_eq!(gmail.messages().len(), count);
    }

    let mut c = Client::login(&gmail);
    c.run("EXAMINE INBOX");
    gmail.fault(On::nth(1, "UID FETCH"), Fault::CutInLiteral(4));
    c.start("UID FETCH 1 (BODY.PEEK[])");
    let len = mail("1@x", "").len();
    assert_eq!(
        c.rest(),
        [format!("* 1 FETCH (UID 1 BODY[] {{{len}}}"), "From".into()]
    );
}

#[test]
fn a_commit_after_the_connection_died() {
    let (gmail, mut c) = start();
    gmail.fault(
        On::nth(1, "APPEND"),
        Fault::CommitLate(Duration::from_millis(200)),
    );
    assert!(append_to_the_end(&mut c, &mail("1@x", "")).is_empty());
    assert!(gmail.messages().is_empty());
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(gmail.messages().len(), 1);
}

#[test]
fn stalls_delays_and_drips() {
    let (gmail, mut c) = start();
    gmail.fault(On::nth(1, "NOOP"), Fault::Delay(Duration::from_millis(100)));
    let start = Instant::now();
    c.run("NOOP");
    assert!(start.elapsed() >= Duration::from_millis(100));
    let pause = Duration::from_millis(10);
    gmail.fault(On::nth(1, "NOOP"), Fault::Drip { bytes: 1, pause });
    let start = Instant::now();
    assert_eq!(c.run("NOOP"), ["A OK Success"]);
    assert!(start.elapsed() >= 15 * pause);
    gmail.fault(On::nth(1, "NOOP"), Fault::Stall);
    c.start("NOOP");
    c.hears_nothing();
    let mut c = Client::login(&gmail);
    gmail.fault(
        On::nth(1, "APPEND"),
        Fault::StallAfterLiteral { stored: true },
    );
    let message = mail("1@x", "");
    c.announce("INBOX", message.len());
    assert_eq!(c.line(), "+ go ahead");
    c.send(format!("{message}\r\n"));
    c.hears_nothing();
    assert_eq!(gmail.messages().len(), 1);
    gmail.cut_connections();
    assert!(c.rest().is_empty());
}

#[test]
fn an_answer_after_the_literal_that_may_lie() {
    let (gmail, mut c) = start();
    let text = "NO [UNAVAILABLE] Temporary System Error (Failure)".to_string();
    let fault = Fault::AnswerAfterLiteral { text, stored: true };
    gmail.fault(On::nth(1, "APPEND"), fault);
    assert_eq!(
        c.append("INBOX", &mail("1@x", "")),
        ["A NO [UNAVAILABLE] Temporary System Error (Failure)"]
    );
    assert_eq!(gmail.messages().len(), 1);
}

#[test]
fn connections_that_do_not_come_about() {
    let gmail = Gmail::start(Options::default());
    gmail.fault(On::nth(1, "CONNECT"), Fault::CutBefore);
    gmail.fault(
        On::nth(2, "CONNECT"),
        Fault::Bye("[UNAVAILABLE] Temporary System Error".into()),
    );
    assert!(Client::connect(&gmail).rest().is_empty());
    assert_eq!(
        Client::connect(&gmail).rest(),
        ["* BYE [UNAVAILABLE] Temporary System Error"]
    );
    gmail.fault(On::nth(1, "CONNECT"), Fault::Stall);
    Client::connect(&gmail).hears_nothing();
    gmail.fault(On::each("CONNECT"), Fault::CutBefore);
    gmail.clear_faults();
    Client::login(&gmail);
}

#[test]
fn a_cut_at_any_line() {
    let gmail = Gmail::start(Options::default());
    for n in 1..=4 {
        gmail.cut_at_line(n);
        let mut c = Client::connect(&gmail);
        c.start("LOGIN user@gmail.com abcdefghijklmnop");
        c.start("NOOP");
        assert_eq!(c.rest().len(), n - 1);
    }
}

#[test]
fn the_transcript_and_its_round_trips() {
    let (gmail, mut c) = start();
    let before = gmail.lines();
    let text = mail("1@x", "");
    c.append("INBOX", &text);
    // Two commands that do not wait for each other are one flight; the message after `+` is another.
    c.send("X1 NOOP\r\nX2 STATUS INBOX (MESSAGES)\r\n");
    c.answer("X2");
    let said = gmail.transcript().after(before);
    assert_eq!(said.flights(), 3);
    assert_eq!(
        said.client(),
        [
            format!("A2 APPEND INBOX {{{}}}", text.len()),
            format!("{{{} bytes}}", text.len()),
            String::new(),
            "X1 NOOP".into(),
            "X2 STATUS INBOX (MESSAGES)".into(),
        ]
    );
    assert_eq!(said.server()[0], "+ go ahead");
    assert_eq!(said.commands("append inbox"), 1);
    c.run("EXAMINE INBOX");
    c.run("UID FETCH 1 (BODY.PEEK[])");
    let all = gmail.transcript().session(1);
    let fetched = format!("* 1 FETCH (UID 1 BODY[] {{{} bytes}})", text.len());
    assert!(
        all.lines()
            .iter()
            .any(|l| l.side == Side::Server && l.text == fetched)
    );
    assert!(all.to_string().starts_with("1 S: * OK Gimap ready"));
    assert!(gmail.transcript().session(2).lines().is_empty());
}

#[test]
fn a_round_trip_takes_its_time_once_for_a_flight() {
    let (gmail, mut c) = start();
    let trip = Duration::from_millis(100);
    gmail.knobs(|knobs| knobs.round_trip = trip);
    let start = Instant::now();
    c.send("X1 NOOP\r\nX2 NOOP\r\n");
    std::thread::sleep(Duration::from_millis(20));
    c.send("X3 NOOP\r\n");
    c.answer("X3");
    assert!(
        start.elapsed() >= trip && start.elapsed() < 2 * trip,
        "{:?}",
        start.elapsed()
    );
    assert_eq!(gmail.flights(), 2);
}

#[test]
fn a_server_that_is_not_gmail() {
    let gmail = Gmail::start(Options::plain("IMAP4rev1 LITERAL+ AUTH=PLAIN IDLE"));
    gmail.number_from("INBOX", 4_000_000_000, 7);
    gmail.add(Mail::new(mail("1@x", "")).seen());
    gmail.add(Mail::new(mail("1@x", "")).uid(100));
    gmail.add(Mail::new(mail("2@x", "")).in_mailbox("Archive"));
    let mut c = Client::connect(&gmail);
    assert_eq!(
        c.line(),
        "* OK [CAPABILITY IMAP4rev1 LITERAL+ AUTH=PLAIN IDLE] ready"
    );
    let done = c.run("LOGIN user@example.org \"correct horse battery staple\"");
    assert_eq!(
        done,
        ["A OK [CAPABILITY IMAP4rev1 LITERAL+ AUTH=PLAIN IDLE] Logged in"]
    );
    let examine = c.run("EXAMINE INBOX");
    assert!(examine.contains(&"* OK [UIDVALIDITY 4000000000] UIDs valid.".to_string()));
    assert!(!examine.iter().any(|line| line.contains("HIGHESTMODSEQ")));
    assert_eq!(
        c.run("UID FETCH 1:* (FLAGS)")[..2],
        [
            "* 1 FETCH (UID 7 FLAGS (\\Seen))",
            "* 2 FETCH (UID 100 FLAGS ())"
        ]
    );
    assert_eq!(
        c.run("UID SEARCH HEADER Message-ID @X")[0],
        "* SEARCH 7 100"
    );
    assert_eq!(
        c.run("UID FETCH 1:* (X-GM-MSGID)"),
        ["A BAD Could not parse command"]
    );
    let text = mail("1@x", &"x".repeat(5000));
    let done = c.run(&format!("APPEND INBOX {{{}+}}\r\n{text}", text.len()));
    assert_eq!(done, ["* 3 EXISTS", "A OK (Success)"]);
    assert_eq!(gmail.messages().len(), 4);
    let list = c.run("LIST \"\" *");
    assert_eq!(list[1], "* LIST (\\HasNoChildren) \"/\" \"Archive\"");
    gmail.delete(gmail.mailbox("INBOX")[0].1);
    assert_eq!(c.run("NOOP"), ["* 1 EXPUNGE", "A OK Success"]);
}
