//! Labels as mailboxes: which names Gmail takes, which two are one, and what is made, named anew and taken away
//! (docs/gmail.md 5.1, 4.2, 3.6).

use crate::client::{Client, mail};
use gmail_stand_in::{Gmail, Mail, Options};

const BLANKS: &str = "A NO [CANNOT] Folder contains excess whitespace (Failure)";
const NOT_ALLOWED: &str = "A NO Folder name is not allowed. (Failure)";

fn start() -> (Gmail, Client) {
    let gmail = Gmail::start(Options::default());
    let client = Client::login(&gmail);
    (gmail, client)
}

fn shown(c: &mut Client, pattern: &str) -> Vec<String> {
    let mut lines = c.run(&format!("LIST \"\" \"{pattern}\""));
    lines.pop();
    lines
}

#[test]
fn names_that_are_refused() {
    let (gmail, mut c) = start();
    let before = gmail.mailboxes();
    for name in ["\" a\"", "\"a \"", "\"a  b\"", "\"a/ b\""] {
        assert_eq!(c.run(&format!("CREATE {name}")), [BLANKS], "{name}");
    }
    for name in ["a^b", "Trash", "tOdO", "[Gmail]/Foo"] {
        assert_eq!(c.run(&format!("CREATE {name}")), [NOT_ALLOWED], "{name}");
    }
    let nothing = ["A NO [CANNOT] No folder name given. (Failure)"];
    assert_eq!(c.run("CREATE \"\""), nothing);
    assert_eq!(c.run("CREATE \"a//b\""), nothing);
    // 225 characters as people see them, whatever their length on the wire.
    let longest = "&AOQ-".repeat(225);
    assert_eq!(c.run(&format!("CREATE {longest}x")), [NOT_ALLOWED]);
    assert_eq!(gmail.mailboxes(), before);
    assert_eq!(c.run(&format!("CREATE {longest}")), ["A OK Success"]);
    assert_eq!(c.run("CREATE \"a b/&ZeVnLIqe-\""), ["A OK Success"]);
    assert!(gmail.mailboxes().contains(&"a b/日本語".to_string()));
}

#[test]
fn case_makes_no_other_label() {
    let (gmail, mut c) = start();
    assert_eq!(c.run("CREATE foo"), ["A OK Success"]);
    for twin in ["foo", "Foo", "FOO/"] {
        let answer = c.run(&format!("CREATE {twin}"));
        assert!(
            answer[0].starts_with("A NO [ALREADYEXISTS] Duplicate folder name "),
            "{answer:?}"
        );
    }
    assert_eq!(
        c.run("CREATE INBOX")[0],
        "A NO [ALREADYEXISTS] Duplicate folder name INBOX (Failure)"
    );
    // It is that label to whoever names it, and bears its own name.
    let appended = c.append("FOO", &mail("1@x", ""));
    assert!(appended[0].contains("[APPENDUID "), "{appended:?}");
    c.run("EXAMINE \"[Gmail]/All Mail\"");
    assert_eq!(
        c.run("FETCH 1 X-GM-LABELS")[0],
        "* 1 FETCH (X-GM-LABELS (foo))"
    );
    c.run("SELECT \"[Gmail]/All Mail\"");
    c.run("STORE 1 +X-GM-LABELS (Foo)");
    assert_eq!(
        c.run("FETCH 1 X-GM-LABELS")[0],
        "* 1 FETCH (X-GM-LABELS (foo))"
    );
    assert_eq!(gmail.mailbox("foo").len(), 1);
}

#[test]
fn a_parent_that_is_only_implied_becomes_real_and_goes_again() {
    let (_gmail, mut c) = start();
    c.run("CREATE a/b");
    assert_eq!(
        shown(&mut c, "a*"),
        [
            "* LIST (\\HasChildren \\Noselect) \"/\" \"a\"",
            "* LIST (\\HasNoChildren) \"/\" \"a/b\"",
        ]
    );
    assert!(c.run("EXAMINE a")[0].starts_with("A NO [NONEXISTENT]"));
    assert_eq!(
        c.append("a", &mail("1@x", "")),
        ["A NO [TRYCREATE] Folder doesn't exist. (Failure)"]
    );
    assert_eq!(c.run("CREATE a"), ["A OK Success"]);
    assert_eq!(shown(&mut c, "a")[0], "* LIST (\\HasChildren) \"/\" \"a\"");
    assert!(c.append("a", &mail("1@x", ""))[0].contains("APPENDUID"));
    c.run("DELETE a");
    assert_eq!(
        shown(&mut c, "a")[0],
        "* LIST (\\HasChildren \\Noselect) \"/\" \"a\""
    );
    c.run("DELETE a/b");
    assert!(shown(&mut c, "a*").is_empty());
}

#[test]
fn labels_that_store_makes_follow_the_same_rules() {
    let (gmail, mut c) = start();
    let id = gmail.add(Mail::new(mail("1@x", "")));
    gmail.create("Work/Sub");
    c.run("SELECT INBOX");
    let told = c.run("UID STORE 1 +X-GM-LABELS (&AOQA9g- Work \"a b\")");
    assert_eq!(told.last().unwrap(), "A OK Success");
    for name in ["Work", "äö", "a b"] {
        assert_eq!(gmail.mailbox(name).len(), 1, "{name}");
    }
    let labels = gmail.message(id).unwrap().labels;
    for (names, refusal) in [
        ("(\"x  y\")", BLANKS),
        ("(good a^b)", NOT_ALLOWED),
        ("(Archive)", NOT_ALLOWED),
        ("(Inbox)", NOT_ALLOWED),
    ] {
        assert_eq!(
            c.run(&format!("UID STORE 1 +X-GM-LABELS {names}")),
            [refusal]
        );
    }
    assert_eq!(
        gmail.message(id).unwrap().labels,
        labels,
        "nothing of it was done"
    );
    assert!(!gmail.mailboxes().contains(&"good".to_string()));
    assert_eq!(
        c.run("UID STORE 1 -X-GM-LABELS.SILENT (a^b)"),
        ["A OK Success"]
    );
}

#[test]
fn the_label_of_the_open_mailbox_is_not_told() {
    let (gmail, mut c) = start();
    let mail = Mail::new(mail("1@x", ""))
        .in_mailbox("Work/Sub")
        .label("\\Inbox")
        .label("Other");
    gmail.add(mail);
    let labels = |c: &mut Client, mailbox: &str| {
        c.run(&format!("EXAMINE \"{mailbox}\""));
        c.run("FETCH 1 X-GM-LABELS")[0].clone()
    };
    assert_eq!(
        labels(&mut c, "Work/Sub"),
        "* 1 FETCH (X-GM-LABELS (Other \"\\\\Inbox\"))"
    );
    assert_eq!(
        labels(&mut c, "INBOX"),
        "* 1 FETCH (X-GM-LABELS (Other Work/Sub))"
    );
    assert_eq!(
        labels(&mut c, "[Gmail]/All Mail"),
        "* 1 FETCH (X-GM-LABELS (Other Work/Sub \"\\\\Inbox\"))"
    );
}

#[test]
fn a_label_is_named_anew_with_what_is_below_it() {
    let (gmail, mut c) = start();
    let id = gmail.add(
        Mail::new(mail("1@x", ""))
            .in_mailbox("Work")
            .label("Work/Sub"),
    );
    let uids = gmail.uids("Work");
    assert_eq!(c.run("RENAME Work Job"), ["A OK Success"]);
    let labels = gmail.message(id).unwrap().labels;
    assert_eq!(labels.iter().collect::<Vec<_>>(), ["Job", "Job/Sub"]);
    assert_eq!(gmail.uids("Job"), uids);
    assert_eq!(gmail.mailbox("Job/Sub").len(), 1);
    assert_eq!(c.run("RENAME Job JOB"), ["A OK Success"]);
    assert_eq!(
        c.run("RENAME Work Job")[0],
        "A NO [NONEXISTENT] Unknown folder.Work (Failure)"
    );
    assert!(c.run("RENAME INBOX Old")[0].starts_with("A NO "));
    assert_eq!(c.run("RENAME JOB \"a  b\""), [BLANKS]);
    assert!(c.run("RENAME JOB job/sub")[0].starts_with("A NO [ALREADYEXISTS]"));
}
