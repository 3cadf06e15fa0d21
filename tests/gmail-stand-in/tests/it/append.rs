//! APPEND (docs/gmail.md 3): refusals to the letter, de-duplication in all its variants, dates and flags, bandwidth.

use std::time::Duration;

use crate::client::{Client, mail};
use chrono::DateTime;
use gmail_stand_in::{
    DedupeKey, ExpungeBehavior, Fault, Gmail, Mail, On, Options, OverquotaForm, Place, SameMailbox,
    UNABLE_TO_APPEND,
};

fn start() -> (Gmail, Client) {
    let gmail = Gmail::start(Options::default());
    gmail.create("Work");
    let client = Client::login(&gmail);
    (gmail, client)
}

/// UIDVALIDITY and UID of a successful APPEND.
fn appenduid(lines: &[String]) -> (u32, u32) {
    let last = lines.last().unwrap();
    let inner = last
        .strip_prefix("A OK [APPENDUID ")
        .and_then(|rest| rest.strip_suffix("] (Success)"))
        .unwrap_or_else(|| panic!("{last}"));
    let (validity, uid) = inner.split_once(' ').unwrap();
    (validity.parse().unwrap(), uid.parse().unwrap())
}

#[test]
fn a_message_is_stored_byte_for_byte_with_its_flags_and_date() {
    let (gmail, mut c) = start();
    let text = mail("1@x", "hello");
    let date = "17-Jul-2019 09:40:08 +0200";
    let done = c.append(
        &format!("\"Work\" (\\Seen $Forwarded \\Recent) \"{date}\""),
        &text,
    );
    let (validity, uid) = appenduid(&done);
    assert_eq!((validity, uid), (gmail.uids("Work").0, 1));
    assert_eq!(done.len(), 1, "{done:?}");
    let stored = gmail.messages().remove(0);
    assert_eq!(stored.bytes, text.as_bytes());
    assert_eq!(
        stored.internal_date,
        DateTime::parse_from_rfc3339("2019-07-17T07:40:08Z").unwrap()
    );
    assert_eq!(
        stored.flags.iter().map(String::as_str).collect::<Vec<_>>(),
        ["$Forwarded", "\\Seen"]
    );
    assert_eq!(stored.labels.into_iter().collect::<Vec<_>>(), ["Work"]);
    assert_eq!(stored.id >> 20, 1_563_349_208_000);
    assert_eq!(gmail.mailbox("[Gmail]/All Mail").len(), 1);
    assert!(gmail.mailbox("INBOX").is_empty());
}

#[test]
fn a_selected_mailbox_tells_of_the_new_message_first() {
    let (_gmail, mut c) = start();
    c.run("SELECT Work");
    assert_eq!(
        c.append("Work", &mail("1@x", "")),
        ["* 1 EXISTS", "A OK [APPENDUID 10 1] (Success)"]
    );
}

#[test]
fn literals_without_waiting_end_at_4096_bytes() {
    let (gmail, mut c) = start();
    let text = mail("1@x", "hello");
    let done = c.run(&format!("APPEND InBox {{{}+}}\r\n{text}", text.len()));
    assert_eq!(done, ["A OK [APPENDUID 1 1] (Success)"]);
    assert_eq!(gmail.mailbox("INBOX").len(), 1);
    c.start("APPEND INBOX {4097+}");
    assert_eq!(c.rest(), ["A3 BAD Could not parse command"]);
}

#[test]
fn refusals() {
    let (gmail, mut c) = start();
    let unparsable = ["A BAD Invalid Arguments: Unable to parse message"];
    assert_eq!(c.append("INBOX", "4"), unparsable);
    assert_eq!(c.append("INBOX", ""), unparsable);
    assert_eq!(
        c.append("Nowhere", &mail("1@x", "")),
        ["A NO [TRYCREATE] Folder doesn't exist. (Failure)"]
    );
    c.announce("INBOX", 35_651_585);
    assert_eq!(
        c.line(),
        "A5 BAD [TOOBIG] Message too large. https://support.google.com/mail/answer/6584#limit"
    );
    let on = On::nth(1, "APPEND").message_with("poison");
    let hits = gmail.fault(on, Fault::Answer(UNABLE_TO_APPEND.into()));
    assert!(c.append("INBOX", &mail("1@x", "fine"))[0].contains(" OK "));
    assert_eq!(
        c.append("INBOX", &mail("2@x", "poison")),
        ["A NO Unable to append message to folder (Failure)"]
    );
    assert_eq!(hits.count(), 1);
    assert_eq!(gmail.messages().len(), 1);
    c.announce("INBOX", 6);
    assert_eq!(c.line(), "+ go ahead");
    c.send(b"A: \0b\n\r\n");
    assert_eq!(c.rest(), ["* BYE Invalid character in literal"]);
}

#[test]
fn without_a_good_date_it_is_of_now() {
    let (gmail, mut c) = start();
    for (at, date) in [
        "\"01-Jan-1969 00:00:00 +0000\" ",
        "\"01-Jan-2999 00:00:00 +0000\" ",
        "",
        "\" 1-Jan-1970 00:00:00 +0000\" ",
    ]
    .iter()
    .enumerate()
    {
        appenduid(&c.append(
            format!("INBOX {date}").trim_end(),
            &mail(&format!("{at}@x"), ""),
        ));
    }
    let now = gmail.clock().now().timestamp();
    let ages: Vec<bool> = gmail
        .messages()
        .iter()
        .map(|message| now - message.internal_date.timestamp() < 60)
        .collect();
    assert_eq!(ages, [false, true, true, true]);
    assert_eq!(gmail.messages()[0].internal_date.timestamp(), 0);
}

#[test]
fn the_same_message_in_another_label_is_one_message() {
    let (gmail, mut c) = start();
    let date = "\"17-Jul-2019 09:40:08 +0000\"";
    appenduid(&c.append(&format!("INBOX (\\Seen) {date}"), &mail("1@x", "first")));
    c.run("SELECT INBOX");
    // The body differs: the key does not see it.
    let done = c.append("Work (\\Answered)", &mail("1@x", "another body"));
    assert_eq!(appenduid(&done), (gmail.uids("Work").0, 1));
    assert!(done[0].starts_with("* 1 FETCH (UID 1 MODSEQ ("), "{done:?}");
    assert!(done[0].ends_with(") FLAGS (\\Seen))"), "{done:?}");
    let messages = gmail.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].bytes, mail("1@x", "first").as_bytes());
    assert_eq!(messages[0].internal_date.timestamp(), 1_563_356_408);
    assert_eq!(gmail.mailbox("INBOX")[0].1, gmail.mailbox("Work")[0].1);
}

#[test]
fn the_same_message_in_the_same_mailbox() {
    let (gmail, mut c) = start();
    c.run("SELECT INBOX");
    c.append("INBOX", &mail("1@x", ""));
    let done = c.append("INBOX", &mail("1@x", ""));
    assert_eq!(
        done,
        [
            "* 1 EXPUNGE",
            "* 1 EXISTS",
            "A OK [APPENDUID 1 2] (Success)"
        ]
    );
    gmail.knobs(|knobs| knobs.dedupe.same_mailbox = SameMailbox::Silent);
    let done = c.append("INBOX", &mail("1@x", ""));
    assert_eq!(done, ["A OK [APPENDUID 1 2] (Success)"]);
    assert_eq!(gmail.messages().len(), 1);
}

#[test]
fn what_is_taken_for_the_same_message() {
    for (key, other_body, other_subject) in [
        (DedupeKey::Off, 2, 2),
        (DedupeKey::MessageIdDate, 1, 1),
        (DedupeKey::MessageIdDateFromSubject, 1, 2),
        (DedupeKey::WholeMessage, 2, 2),
    ] {
        for (other, expected) in [
            (mail("1@x", "other"), other_body),
            (
                mail("1@x", "one").replace("Subject: s", "Subject: t"),
                other_subject,
            ),
            (mail("1@x", "one").replace("2025", "2024"), 2),
            (mail("2@x", "one"), 2),
        ] {
            let (gmail, mut c) = start();
            gmail.knobs(|knobs| knobs.dedupe.key = key);
            c.append("INBOX", &mail("1@x", "one"));
            c.append("INBOX", &other);
            assert_eq!(gmail.messages().len(), expected, "{key:?} {other}");
        }
    }
}

#[test]
fn without_message_id_every_append_is_a_message() {
    let (gmail, mut c) = start();
    c.append("INBOX", &mail("", "one"));
    c.append("INBOX", &mail("", "one"));
    assert_eq!(gmail.messages().len(), 2);
}

#[test]
fn a_copy_in_trash_comes_back() {
    let (gmail, mut c) = start();
    let id = gmail.add(Mail::new(mail("1@x", "old")).seen());
    gmail.trash(id);
    assert_eq!(gmail.mailbox("[Gmail]/Trash").len(), 1);
    assert!(gmail.mailbox("[Gmail]/All Mail").is_empty());
    appenduid(&c.append("INBOX", &mail("1@x", "new")));
    let messages = gmail.messages();
    assert_eq!((messages.len(), messages[0].id), (1, id));
    assert_eq!(messages[0].place, Place::Live);
    assert!(gmail.mailbox("[Gmail]/Trash").is_empty());
    // Deleted for good, it is forgotten.
    gmail.delete(id);
    appenduid(&c.append("INBOX", &mail("1@x", "new")));
    assert_eq!(gmail.messages()[0].bytes, mail("1@x", "new").as_bytes());
}

#[test]
fn a_message_appended_as_deleted_vanishes() {
    let (gmail, mut c) = start();
    let (_, uid) = appenduid(&c.append("INBOX (\\Deleted)", &mail("1@x", "")));
    c.run("EXAMINE INBOX");
    assert_eq!(c.run(&format!("UID FETCH {uid} (UID)")), ["A OK Success"]);
    assert_eq!(gmail.mailbox("[Gmail]/All Mail").len(), 1);
    gmail.knobs(|knobs| knobs.expunge_behavior = ExpungeBehavior::DeleteForever);
    appenduid(&c.append("INBOX (\\Deleted)", &mail("2@x", "")));
    assert_eq!(gmail.messages().len(), 1);
}

#[test]
fn the_star_is_a_flag_and_the_draft_a_mailbox() {
    let (gmail, mut c) = start();
    appenduid(&c.append("INBOX (\\Flagged)", &mail("1@x", "")));
    appenduid(&c.append("[Gmail]/Drafts (\\Draft)", &mail("2@x", "")));
    let starred = gmail.mailbox("[Gmail]/Starred");
    assert_eq!(starred.len(), 1);
    gmail.set_flags(starred[0].1, &[]);
    assert!(gmail.mailbox("[Gmail]/Starred").is_empty());
    assert_eq!(gmail.mailbox("[Gmail]/Drafts").len(), 1);
}

#[test]
fn answers_join_their_thread() {
    let (gmail, mut c) = start();
    c.append("INBOX", &mail("1@x", ""));
    let answer = format!("In-Reply-To: <1@x>\r\n{}", mail("2@x", ""));
    c.append("INBOX", &answer);
    let messages = gmail.messages();
    assert_eq!(messages[0].thread, messages[0].id);
    assert_eq!(messages[1].thread, messages[0].id);
}

#[test]
fn an_upload_budget_ends_in_bye_until_the_clock_moves_on() {
    let (gmail, mut c) = start();
    let text = mail("1@x", "hello");
    gmail.knobs(|knobs| knobs.upload_budget = Some(text.len() as u64));
    appenduid(&c.append("INBOX", &text));
    assert_eq!(gmail.uploaded(), text.len() as u64);
    let bye = "* BYE [OVERQUOTA] Account exceeded command or bandwidth limits.";
    c.announce("INBOX", text.len());
    assert_eq!(c.rest(), [bye]);
    let mut again = Client::connect(&gmail);
    again.line();
    again.start("LOGIN user@gmail.com abcdefghijklmnop");
    assert_eq!(again.rest(), [bye]);
    gmail.clock().advance(Duration::from_secs(24 * 3600 + 1));
    let mut later = Client::login(&gmail);
    appenduid(&later.append("INBOX", &mail("2@x", "hello")));
}

#[test]
fn the_older_form_of_the_block_keeps_the_session() {
    let (gmail, mut c) = start();
    gmail.knobs(|knobs| knobs.overquota = OverquotaForm::NoAlert);
    gmail.block(Duration::from_secs(3600));
    let alert = "A NO [ALERT] Account exceeded command or bandwidth limits. (Failure)";
    assert_eq!(c.append("INBOX", &mail("1@x", "")), [alert]);
    let text = mail("1@x", "");
    let done = c.run(&format!("APPEND INBOX {{{}+}}\r\n{text}", text.len()));
    assert_eq!(done, [alert]);
    assert_eq!(c.run("NOOP"), ["A OK Success"]);
    gmail.clock().advance(Duration::from_secs(3601));
    appenduid(&c.append("INBOX", &text));
}

#[test]
fn throttling_shows_in_every_ok() {
    let (gmail, mut c) = start();
    gmail.knobs(|knobs| knobs.throttled = Some(Duration::from_millis(50)));
    let start = std::time::Instant::now();
    assert_eq!(c.run("NOOP"), ["A OK Success [THROTTLED]"]);
    assert!(start.elapsed() >= Duration::from_millis(50));
    assert_eq!(
        c.run("EXAMINE \"[Gmail]/All Mail\"").last().unwrap(),
        "A OK [READ-ONLY] [Gmail]/All Mail selected. (Success) [THROTTLED]"
    );
}
