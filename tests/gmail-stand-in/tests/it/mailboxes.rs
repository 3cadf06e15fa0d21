//! LIST, SELECT, STATUS, IDLE, and what a session sees of what others do (docs/gmail.md 1.6 to 1.8, 5).

use std::time::Duration;

use crate::client::{Client, mail};
use chrono::DateTime;
use gmail_stand_in::{Gmail, Locale, Mail, Options, Use};

fn start() -> (Gmail, Client) {
    let gmail = Gmail::start(Options::default());
    let client = Client::login(&gmail);
    (gmail, client)
}

#[test]
fn the_list_of_an_english_account() {
    let (gmail, mut c) = start();
    assert_eq!(
        c.run("LIST \"\" \"*\""),
        [
            "* LIST (\\HasNoChildren) \"/\" \"INBOX\"",
            "* LIST (\\HasChildren \\Noselect) \"/\" \"[Gmail]\"",
            "* LIST (\\All \\HasNoChildren) \"/\" \"[Gmail]/All Mail\"",
            "* LIST (\\Drafts \\HasNoChildren) \"/\" \"[Gmail]/Drafts\"",
            "* LIST (\\HasNoChildren \\Important) \"/\" \"[Gmail]/Important\"",
            "* LIST (\\HasNoChildren \\Sent) \"/\" \"[Gmail]/Sent Mail\"",
            "* LIST (\\HasNoChildren \\Junk) \"/\" \"[Gmail]/Spam\"",
            "* LIST (\\Flagged \\HasNoChildren) \"/\" \"[Gmail]/Starred\"",
            "* LIST (\\HasNoChildren \\Trash) \"/\" \"[Gmail]/Trash\"",
            "A OK Success",
        ]
    );
    assert_eq!(
        c.run("LIST \"\" \"\""),
        ["* LIST (\\Noselect) \"/\" \"/\"", "A OK Success"]
    );
    assert_eq!(c.run("LIST \"\" %").len(), 3);
    assert_eq!(c.run("LIST (SPECIAL-USE) \"\" *").len(), 8);
    assert_eq!(
        c.run("XLIST \"\" \"[Gmail]/A*\"")[0],
        "* XLIST (\\AllMail \\HasNoChildren) \"/\" \"[Gmail]/All Mail\""
    );
    gmail.create("+Folder");
    gmail.create("a/b c");
    gmail.knobs(|knobs| {
        knobs.hidden = vec![Use::All, Use::Junk];
        knobs.bare_atoms = true;
    });
    let list = c.run("LIST \"\" \"*\"");
    assert_eq!(
        list[1..4],
        [
            "* LIST (\\HasNoChildren) \"/\" +Folder",
            "* LIST (\\HasChildren \\Noselect) \"/\" a",
            "* LIST (\\HasNoChildren) \"/\" \"a/b c\"",
        ]
    );
    assert!(
        !list
            .iter()
            .any(|line| line.contains("\\All") || line.contains("\\Junk"))
    );
    assert_eq!(
        c.run("EXAMINE \"[Gmail]/All Mail\""),
        ["A NO [NONEXISTENT] Unknown Mailbox: [Gmail]/All Mail (Failure)"]
    );
}

#[test]
fn names_in_other_languages() {
    for (locale, line) in [
        (
            Locale::EnGb,
            "* LIST (\\HasNoChildren \\Trash) \"/\" \"[Gmail]/Bin\"",
        ),
        (
            Locale::EnGbGoogleMail,
            "* LIST (\\HasChildren \\Noselect) \"/\" \"[Google Mail]\"",
        ),
        (
            Locale::De,
            "* LIST (\\Drafts \\HasNoChildren) \"/\" \"[Gmail]/Entw&APw-rfe\"",
        ),
        (
            Locale::Fr,
            "* LIST (\\HasNoChildren \\Sent) \"/\" \"[Gmail]/Messages envoy&AOk-s\"",
        ),
        (
            Locale::Pl,
            "* LIST (\\HasNoChildren \\Sent) \"/\" \"[Gmail]/Wys&AUI-ane\"",
        ),
    ] {
        let gmail = Gmail::start(Options {
            locale,
            ..Options::default()
        });
        let mut c = Client::login(&gmail);
        let list = c.run("LIST \"\" \"*\"");
        assert!(list.iter().any(|l| l == line), "{list:?}");
    }
    let (gmail, mut c) = start();
    gmail.create("Übung");
    assert!(
        c.run("EXAMINE &ANw-bung")
            .last()
            .unwrap()
            .contains(" OK [READ-ONLY] &ANw-bung ")
    );
    let enabled = c.run("ENABLE UTF8=ACCEPT");
    assert_eq!(enabled, ["* ENABLED UTF8=ACCEPT", "A OK Success"]);
    assert_eq!(
        c.run("LIST \"\" Ü*")[0],
        "* LIST (\\HasNoChildren) \"/\" \"Übung\""
    );
}

#[test]
fn select_and_its_kin_to_the_letter() {
    let (gmail, mut c) = start();
    gmail.number_from("INBOX", 1, 5227);
    gmail.add(Mail::new(mail("1@x", "")).seen());
    gmail.add(Mail::new(mail("2@x", "")).flag("$Forwarded"));
    let select = c.run("SELECT inbox");
    assert_eq!(
        select[..6],
        [
            "* FLAGS (\\Answered \\Flagged \\Draft \\Deleted \\Seen $NotPhishing $Phishing $Forwarded)",
            "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Draft \\Deleted \\Seen $NotPhishing $Phishing $Forwarded \
             \\*)] Flags permitted.",
            "* OK [UIDVALIDITY 1] UIDs valid.",
            "* 2 EXISTS",
            "* 0 RECENT",
            "* OK [UIDNEXT 5229] Predicted next UID.",
        ]
    );
    assert!(select[6].starts_with("* OK [HIGHESTMODSEQ "));
    assert_eq!(select[7], "A OK [READ-WRITE] inbox selected. (Success)");
    assert_eq!(
        c.run("CLOSE"),
        ["A OK Returned to authenticated state. (Success)"]
    );
    let examine = c.run("EXAMINE INBOX");
    assert_eq!(examine[1], "* OK [PERMANENTFLAGS ()] Flags permitted.");
    assert_eq!(examine[7], "A OK [READ-ONLY] INBOX selected. (Success)");
    assert_eq!(
        c.run("STATUS INBOX (UIDNEXT UIDVALIDITY MESSAGES UNSEEN APPENDLIMIT)"),
        [
            "* STATUS \"INBOX\" (UIDNEXT 5229 UIDVALIDITY 1 MESSAGES 2 UNSEEN 1 APPENDLIMIT 35651584)",
            "A OK Success"
        ]
    );
    assert_eq!(
        c.run("SELECT [Gmail]"),
        ["A NO [NONEXISTENT] Unknown Mailbox: [Gmail] (now in authenticated state) (Failure)"]
    );
    assert_eq!(
        c.run("SELECT foo"),
        ["A NO [NONEXISTENT] Unknown Mailbox: foo (Failure)"]
    );
    assert_eq!(
        c.run("UID FETCH 1:* (UID)"),
        ["A BAD Could not parse command"]
    );
    assert_eq!(c.run("NOTIFY NONE"), ["A BAD Could not parse command"]);
    gmail.knobs(|knobs| knobs.odd_flags = true);
    assert!(
        c.run("EXAMINE INBOX")[0]
            .ends_with(" OIB-Seen-OIB/Social Networking OIB-Seen-[Gmail]/All Mail)")
    );
}

#[test]
fn a_label_made_anew_has_another_uidvalidity() {
    let (gmail, mut c) = start();
    assert_eq!(c.run("CREATE Work"), ["A OK Success"]);
    let id = gmail.add(Mail::new(mail("1@x", "")).in_mailbox("Work"));
    let (first, _) = gmail.uids("Work");
    assert_eq!(c.run("DELETE Work"), ["A OK Success"]);
    assert!(gmail.message(id).unwrap().labels.is_empty());
    c.run("CREATE Work");
    assert_ne!(gmail.uids("Work").0, first);
    gmail.renumber("INBOX", 77);
    assert_eq!(gmail.uids("INBOX"), (77, 1));
}

#[test]
fn others_are_not_seen_before_noop() {
    let (gmail, mut c) = start();
    let old = gmail.add(Mail::new(mail("1@x", "old")));
    gmail.add(Mail::new(mail("2@x", "")));
    c.run("EXAMINE INBOX");
    let new = gmail.add(Mail::new(mail("3@x", "")));
    gmail.delete(old);
    let fetched = c.run("UID FETCH 1:* (UID)");
    assert_eq!(
        fetched,
        ["* 1 FETCH (UID 1)", "* 2 FETCH (UID 2)", "A OK Success"]
    );
    assert_eq!(c.run("UID SEARCH ALL")[0], "* SEARCH 1 2");
    // STATUS is of this moment.
    assert!(c.run("STATUS INBOX (MESSAGES UIDNEXT)")[0].ends_with("(MESSAGES 2 UIDNEXT 4)"));
    assert_eq!(c.run("NOOP"), ["* 1 EXPUNGE", "* 2 EXISTS", "A OK Success"]);
    assert_eq!(
        c.run("UID FETCH 3:* (UID)"),
        ["* 2 FETCH (UID 3)", "A OK Success"]
    );
    gmail.set_flags(new, &["\\Seen"]);
    let noop = c.run("NOOP");
    assert!(noop[0].starts_with("* 2 FETCH (UID 3 MODSEQ ("), "{noop:?}");
    assert!(noop[0].ends_with(") FLAGS (\\Seen))"), "{noop:?}");
    gmail.knobs(|knobs| knobs.visible_at_once = true);
    gmail.trash(new);
    assert_eq!(c.run("UID FETCH 3 (UID)"), ["* 2 EXPUNGE", "A OK Success"]);
    gmail.spam(new);
    assert_eq!(gmail.mailbox("[Gmail]/Spam").len(), 1);
    gmail.restore(new);
    assert_eq!(gmail.mailbox("[Gmail]/All Mail").len(), 2);
    assert_eq!(gmail.mailbox("INBOX").len(), 1);
}

#[test]
fn own_appends_may_be_late_as_well() {
    let (gmail, mut c) = start();
    gmail.knobs(|knobs| knobs.own_appends_visible = false);
    c.run("SELECT INBOX");
    assert_eq!(
        c.append("INBOX", &mail("1@x", "")),
        ["A OK [APPENDUID 1 1] (Success)"]
    );
    assert_eq!(c.run("UID FETCH 1 (UID)"), ["A OK Success"]);
    assert_eq!(c.run("NOOP"), ["* 1 EXISTS", "A OK Success"]);
}

#[test]
fn idle_tells_of_what_happens() {
    let (gmail, mut c) = start();
    c.run("EXAMINE INBOX");
    let tag = c.start("IDLE");
    assert_eq!(c.line(), "+ idling");
    let id = gmail.add(Mail::new(mail("1@x", "")));
    assert_eq!(c.line(), "* 1 EXISTS");
    gmail.delete(id);
    assert_eq!(c.line(), "* 1 EXPUNGE");
    c.send("DONE\r\n");
    assert_eq!(c.answer(&tag), ["A OK IDLE terminated (Success)"]);
    gmail.knobs(|knobs| knobs.idle_pushes = false);
    c.start("IDLE");
    c.line();
    gmail.add(Mail::new(mail("2@x", "")));
    c.hears_nothing();
    gmail.knobs(|knobs| knobs.idle_cut_after = Some(Duration::from_secs(600)));
    gmail.clock().advance(Duration::from_secs(601));
    assert!(c.rest().is_empty());
}

#[test]
fn a_full_folder_hides_the_oldest() {
    let (gmail, mut c) = start();
    for (at, year) in [2019, 2021, 2020].iter().enumerate() {
        let date = DateTime::parse_from_rfc3339(&format!("{year}-01-01T00:00:00Z")).unwrap();
        gmail.add(Mail::new(mail(&format!("{at}@x"), "")).at(date));
    }
    gmail.knobs(|knobs| knobs.max_folder_size = Some(2));
    assert_eq!(c.run("EXAMINE INBOX")[3], "* 2 EXISTS");
    assert_eq!(c.run("UID SEARCH ALL")[0], "* SEARCH 2 3");
    // An old message that is appended to a full folder is not to be seen there.
    c.append("INBOX \"01-Jan-2018 00:00:00 +0000\"", &mail("9@x", ""));
    assert_eq!(c.run("UID FETCH 4 (UID)"), ["A OK Success"]);
    assert_eq!(gmail.messages().len(), 4);
}
