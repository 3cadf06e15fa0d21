//! A plain server with several mailboxes: their names on the wire, what a test does to them, and what STATUS says.

use crate::client::{Client, mail};
use gmail_stand_in::{Closed, Gmail, Mail, Options};

const PLAIN: &str = "IMAP4rev1 LITERAL+ UIDPLUS IDLE";

fn start(options: Options) -> (Gmail, Client) {
    let server = Gmail::start(options);
    let client = Client::login(&server);
    (server, client)
}

fn put(server: &Gmail, mailbox: &str, id: &str) -> u64 {
    server.add(Mail::new(mail(id, "")).in_mailbox(mailbox))
}

#[test]
fn names_have_the_servers_delimiter_and_prefix_on_the_wire() {
    let (server, mut c) = start(Options::plain(PLAIN).with_names('.', "INBOX."));
    put(&server, "Arbeit/2024/日本語", "1@x");
    server.create("R&D");
    assert_eq!(
        c.run("NAMESPACE")[0],
        "* NAMESPACE ((\"INBOX.\" \".\")) NIL NIL"
    );
    assert_eq!(c.run("LIST \"\" \"\"")[0], "* LIST (\\Noselect) \".\" \"\"");
    assert_eq!(
        c.run("LIST \"\" *"),
        [
            "* LIST (\\HasChildren) \".\" \"INBOX\"",
            "* LIST (\\HasChildren \\Noselect) \".\" \"INBOX.Arbeit\"",
            "* LIST (\\HasChildren \\Noselect) \".\" \"INBOX.Arbeit.2024\"",
            "* LIST (\\HasNoChildren) \".\" \"INBOX.Arbeit.2024.&ZeVnLIqe-\"",
            "* LIST (\\HasNoChildren) \".\" \"INBOX.R&-D\"",
            "A OK Success",
        ]
    );
    assert_eq!(c.run("LIST \"INBOX.\" %").len(), 3);
    assert_eq!(
        c.run("EXAMINE INBOX.Arbeit.2024.&ZeVnLIqe-")[3],
        "* 1 EXISTS"
    );
    for wrong in [
        "Arbeit.2024.&ZeVnLIqe-",
        "INBOX.Arbeit.2024",
        "INBOX.Arbeit",
    ] {
        assert!(c.run(&format!("STATUS {wrong} (UIDNEXT)"))[0].starts_with("A NO [NONEXISTENT]"));
    }
    assert!(c.run("CREATE Outside")[0].starts_with("A NO [CANNOT]"));
    assert_eq!(c.run("CREATE INBOX.Neu.Tief"), ["A OK Success"]);
    assert!(server.mailboxes().contains(&"Neu/Tief".to_string()));
    assert!(c.append("INBOX.Neu.Tief", &mail("2@x", ""))[0].contains("APPENDUID"));
    assert!(c.append("INBOX.Nicht", &mail("2@x", ""))[0].starts_with("A NO [TRYCREATE]"));
    assert_eq!(c.run("RENAME INBOX.Neu INBOX.Alt"), ["A OK Success"]);
    assert_eq!(server.mailbox("Alt/Tief").len(), 1);
    // Elsewhere than at Gmail case makes another mailbox, and nothing is refused for its name.
    assert_eq!(c.run("CREATE INBOX.alt.tief"), ["A OK Success"]);
    assert_eq!(c.run("CREATE INBOX.Archive"), ["A OK Success"]);
}

#[test]
fn a_mailbox_that_is_named_anew_keeps_its_numbers_and_messages() {
    let (server, mut c) = start(Options::plain(PLAIN));
    server.number_from("INBOX", 5, 1);
    for n in 0..3 {
        put(&server, "Work", &format!("{n}@x"));
    }
    put(&server, "Work/Sub", "9@x");
    let (uids, held) = (server.uids("Work"), server.mailbox("Work"));
    server.rename("Work", "Job");
    assert_eq!((server.uids("Job"), server.mailbox("Job")), (uids, held));
    assert_eq!(server.mailbox("Job/Sub").len(), 1);
    assert!(
        !server
            .mailboxes()
            .iter()
            .any(|name| name.starts_with("Work"))
    );
    assert_eq!(c.run("EXAMINE Job")[3], "* 3 EXISTS");
    // A session that has it open goes on with it.
    server.rename("Job", "Again");
    put(&server, "Again", "10@x");
    assert_eq!(c.run("NOOP")[0], "* 4 EXISTS");
    server.empty("Again");
    assert_eq!(server.mailbox("Again"), []);
    assert_eq!(server.uids("Again"), (uids.0, 5));
    server.delete_mailbox("Again");
    assert!(c.run("EXAMINE Again")[0].starts_with("A NO [NONEXISTENT]"));
    server.create("Again");
    assert_ne!(server.uids("Again").0, uids.0);
    assert_eq!(server.messages().len(), 1, "those of the others stay");
}

#[test]
fn a_mailbox_may_not_be_opened() {
    let (server, mut c) = start(Options::plain("IMAP4rev1 LIST-EXTENDED LIST-STATUS"));
    for name in ["Gone", "Private"] {
        put(&server, name, &format!("{name}@x"));
    }
    server.close("Gone", Closed::Noselect);
    server.close("Private", Closed::Refused("NO [NOPERM] not for you".into()));
    assert_eq!(
        c.run("LIST \"\" * RETURN (STATUS (MESSAGES))"),
        [
            "* LIST (\\HasNoChildren) \"/\" \"INBOX\"",
            "* STATUS \"INBOX\" (MESSAGES 0)",
            "* LIST (\\HasNoChildren \\Noselect) \"/\" \"Gone\"",
            "* LIST (\\HasNoChildren) \"/\" \"Private\"",
            "A OK Success",
        ]
    );
    for command in ["EXAMINE", "SELECT"] {
        assert!(c.run(&format!("{command} Gone"))[0].starts_with("A NO [NONEXISTENT]"));
        assert_eq!(
            c.run(&format!("{command} Private")),
            ["A NO [NOPERM] not for you"]
        );
    }
    assert_eq!(
        c.run("STATUS Private (MESSAGES)"),
        ["A NO [NOPERM] not for you"]
    );
    server.open("Private");
    server.open("Gone");
    assert_eq!(c.run("EXAMINE Private")[3], "* 1 EXISTS");
    assert_eq!(c.run("EXAMINE Gone")[3], "* 1 EXISTS");
}

#[test]
fn what_is_not_offered_is_not_understood() {
    let (server, mut c) = start(Options::plain(PLAIN));
    server.special_use("Gesendet", "\\Sent");
    for command in [
        "LIST \"\" * RETURN (STATUS (MESSAGES))",
        "LIST (SUBSCRIBED) \"\" *",
        "STATUS INBOX (HIGHESTMODSEQ)",
        "NOTIFY NONE",
    ] {
        assert_eq!(
            c.run(command),
            ["A BAD Could not parse command"],
            "{command}"
        );
    }
    assert_eq!(
        c.run("LIST \"\" G*")[0],
        "* LIST (\\HasNoChildren) \"/\" \"Gesendet\""
    );
    let (server, mut c) = start(Options::plain("IMAP4rev1 SPECIAL-USE"));
    server.special_use("Gesendet", "\\Sent");
    assert_eq!(
        c.run("LIST \"\" G*")[0],
        "* LIST (\\HasNoChildren \\Sent) \"/\" \"Gesendet\""
    );
    assert_eq!(c.run("LIST (SPECIAL-USE) \"\" *").len(), 2);
    assert_eq!(
        c.run("LIST \"\" * RETURN (STATUS (MESSAGES))"),
        ["A BAD Could not parse command"]
    );
}

#[test]
fn highestmodseq_is_a_mailboxes_own() {
    let (server, mut c) = start(Options::plain("IMAP4rev1 CONDSTORE"));
    let id = put(&server, "A", "1@x");
    server.create("B");
    let mut highest = |name: &str| {
        let line = c.run(&format!(
            "STATUS {name} (MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ)"
        ));
        let (_, number) = line[0].rsplit_once(' ').unwrap();
        number.trim_end_matches(')').parse::<u64>().unwrap()
    };
    let (a, b) = (highest("A"), highest("B"));
    server.set_flags(id, &["\\Seen"]);
    assert!(highest("A") > a && highest("B") == b);
    let a = highest("A");
    server.delete(id);
    assert!(highest("A") > a && highest("B") == b);
    put(&server, "B", "2@x");
    assert!(highest("B") > b);
}
