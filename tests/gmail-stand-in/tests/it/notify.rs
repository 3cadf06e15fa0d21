//! NOTIFY (RFC 5465) as Dovecot 2.3.19 and 2.4.1 were seen to answer it (docs/servers.md 3.22).

use crate::client::{Client, mail};
use gmail_stand_in::{Closed, Gmail, Mail, Options};

const CAPABILITIES: &str = "IMAP4rev1 LITERAL+ UIDPLUS IDLE NOTIFY LIST-EXTENDED LIST-STATUS";
const ALL: &str = "NOTIFY SET (selected (MessageNew MessageExpunge)) (personal (MessageNew MessageExpunge MailboxName))";

/// A session that has INBOX open and wants to hear of everything.
fn watching(options: Options) -> (Gmail, Client) {
    let server = Gmail::start(options);
    for name in ["Work", "Work/Sub", "A&B", "日本語"] {
        server.create(name);
    }
    let mut client = Client::login(&server);
    assert_eq!(client.run(ALL), ["A OK NOTIFY completed"]);
    client.run("EXAMINE INBOX");
    (server, client)
}

fn put(server: &Gmail, mailbox: &str, id: &str) -> u64 {
    server.add(Mail::new(mail(id, "")).in_mailbox(mailbox))
}

fn status(server: &Gmail, name: &str, mailbox: &str, with_validity: bool) -> String {
    let (validity, next) = server.uids(mailbox);
    let validity = if with_validity {
        format!(" UIDVALIDITY {validity}")
    } else {
        String::new()
    };
    let n = server.mailbox(mailbox).len();
    format!("* STATUS {name} (MESSAGES {n} UIDNEXT {next}{validity} UNSEEN {n})")
}

#[test]
fn news_of_other_mailboxes_comes_during_idle() {
    let (server, mut c) = watching(Options::plain(CAPABILITIES));
    let tag = c.start("IDLE");
    c.line();
    let id = put(&server, "Work", "1@x");
    assert_eq!(c.line(), status(&server, "Work", "Work", true));
    put(&server, "Work", "2@x");
    // UIDVALIDITY was told, and is not repeated.
    assert_eq!(c.line(), status(&server, "Work", "Work", false));
    put(&server, "INBOX", "3@x");
    assert_eq!(c.line(), "* 1 EXISTS");
    // Names are in UTF-8, whatever LIST has.
    put(&server, "日本語", "4@x");
    assert_eq!(c.line(), "* STATUS {9}");
    assert_eq!(
        format!("* STATUS {}", c.line()),
        status(&server, "日本語", "日本語", true)
    );
    put(&server, "A&B", "5@x");
    assert_eq!(c.line(), status(&server, "A&B", "A&B", true));
    server.set_flags(id, &["\\Seen"]);
    c.hears_nothing();
    server.delete(id);
    assert_eq!(c.line(), status(&server, "Work", "Work", false));
    c.send("DONE\r\n");
    assert_eq!(c.answer(&tag), ["A OK IDLE terminated (Success)"]);
}

#[test]
fn and_of_their_names() {
    let (server, mut c) = watching(Options::plain(CAPABILITIES).with_names('.', "INBOX."));
    c.start("IDLE");
    c.line();
    server.create("Neu");
    assert_eq!(c.line(), "* LIST () \".\" INBOX.Neu");
    server.rename("Work", "Job");
    let both = [c.line(), c.line()];
    assert_eq!(
        both,
        [
            "* LIST () \".\" INBOX.Job (\"OLDNAME\" (INBOX.Work))",
            "* LIST () \".\" INBOX.Job.Sub (\"OLDNAME\" (INBOX.Work.Sub))",
        ]
    );
    server.delete_mailbox("Job/Sub");
    assert_eq!(c.line(), "* LIST (\\NonExistent) \".\" INBOX.Job.Sub");
    server.close("Job", Closed::Noselect);
    assert_eq!(c.line(), "* LIST (\\Noselect) \".\" INBOX.Job");
    put(&server, "Neu", "1@x");
    assert_eq!(c.line(), status(&server, "INBOX.Neu", "Neu", true));
}

#[test]
fn with_noop_between_commands_and_with_no_other_command() {
    let (server, mut c) = watching(Options::plain(CAPABILITIES));
    put(&server, "Work", "1@x");
    assert_eq!(
        c.line(),
        status(&server, "Work", "Work", true),
        "while nothing is under way"
    );
    server.knobs(|knobs| knobs.notify_between = false);
    put(&server, "Work", "2@x");
    put(&server, "Work/Sub", "3@x");
    c.hears_nothing();
    assert_eq!(
        c.run("UID SEARCH ALL"),
        ["* SEARCH", "A OK SEARCH completed (Success)"]
    );
    assert_eq!(
        c.run("NOOP"),
        [
            status(&server, "Work", "Work", false),
            status(&server, "Work/Sub", "Work/Sub", true),
            "A OK Success".into(),
        ]
    );
    assert_eq!(c.run("NOOP"), ["A OK Success"]);
}

#[test]
fn what_is_open_is_told_of_as_such_and_afterwards_as_another() {
    let (server, mut c) = watching(Options::plain(CAPABILITIES));
    server.knobs(|knobs| knobs.notify_between = false);
    put(&server, "INBOX", "1@x");
    // It was not told yet when another one is opened.
    c.run("EXAMINE Work");
    assert_eq!(c.run("NOOP")[0], status(&server, "INBOX", "INBOX", true));
    put(&server, "Work", "2@x");
    assert_eq!(c.run("NOOP"), ["* 1 EXISTS", "A OK Success"]);
    c.run("EXAMINE INBOX");
    assert_eq!(c.run("NOOP"), ["A OK Success"]);
    // Without `selected` nothing is said of what is open (RFC 5465 5).
    c.run("NOTIFY SET (personal (MessageNew MessageExpunge))");
    put(&server, "INBOX", "3@x");
    server.create("Unsaid");
    assert_eq!(c.run("NOOP"), ["A OK Success"]);
    c.run("NOTIFY NONE");
    put(&server, "Work", "4@x");
    assert_eq!(c.run("NOOP"), ["* 2 EXISTS", "A OK Success"]);
}

#[test]
fn which_mailboxes_and_what_cannot_be_asked_for() {
    let (server, mut c) = watching(Options::plain(CAPABILITIES));
    server.knobs(|knobs| knobs.notify_between = false);
    let events = "(MessageNew MessageExpunge)";
    let told = c.run(&format!(
        "NOTIFY SET STATUS (selected {events}) (subtree Work {events})"
    ));
    let sub = status(&server, "Work/Sub", "Work/Sub", true);
    assert_eq!(
        told,
        [
            status(&server, "Work", "Work", true),
            sub,
            "A OK NOTIFY completed".into()
        ]
    );
    put(&server, "A&B", "1@x");
    put(&server, "Work/Sub", "2@x");
    assert_eq!(c.run("NOOP").len(), 2);
    c.run(&format!(
        "NOTIFY SET (mailboxes (A&-B Work) {events}) (inboxes {events})"
    ));
    put(&server, "A&B", "3@x");
    put(&server, "Work/Sub", "4@x");
    assert_eq!(c.run("NOOP").len(), 2);
    for wrong in [
        "NOTIFY",
        "NOTIFY SET",
        "NOTIFY SET (selected MessageNew)",
        "NOTIFY SET (subtree (MessageNew))",
    ] {
        assert_eq!(c.run(wrong), ["A BAD Could not parse command"], "{wrong}");
    }
    assert!(c.run("NOTIFY SET (personal (MessageNew))")[0].starts_with("A BAD "));
    assert_eq!(
        c.run("NOTIFY SET (personal (MailboxMetadataChange))"),
        ["A NO [BADEVENT MailboxMetadataChange] Unsupported NOTIFY events"]
    );
}

#[test]
fn names_as_list_has_them_and_an_end_of_it() {
    let (server, mut c) = watching(Options::plain(CAPABILITIES));
    server.knobs(|knobs| (knobs.notify_in_utf8, knobs.notify_between) = (false, false));
    put(&server, "日本語", "1@x");
    put(&server, "A&B", "2@x");
    assert_eq!(
        c.run("NOOP")[..2],
        [
            status(&server, "A&-B", "A&B", true),
            status(&server, "&ZeVnLIqe-", "日本語", true),
        ]
    );
    server.knobs(|knobs| knobs.notify_overflows = true);
    put(&server, "Work", "3@x");
    assert!(c.run("NOOP")[0].starts_with("* OK [NOTIFICATIONOVERFLOW]"));
    put(&server, "Work", "4@x");
    assert_eq!(c.run("NOOP"), ["A OK Success"]);
}
