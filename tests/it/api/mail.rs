//! Messages that arrive: both ways, merged, as spam, and labels by name.

use gmail_stand_in::{ApiFault, ApiRefusal, Mail as Put, On, Place};
use imap_to_gmail::error::Fault;
use imap_to_gmail::target::api::{Imported, Label, Mail};

use super::{LARGE, letter, road};
use crate::testkit::eventually;

#[test]
fn small_and_large_mail_arrives_with_nothing_behind_it() {
    let road = road();
    for (n, size) in [0, 100, 1 << 20, LARGE].into_iter().enumerate() {
        let body = letter(&format!("{n}@x"), "ä\0\u{1}--", size);
        let receipt = road.done(&body);
        let stored = road.gmail.message(receipt.msgid).unwrap();
        assert!(stored.bytes.ends_with(&body), "{size}");
        assert!(stored.bytes.starts_with(b"Delivered-To: "));
        assert_eq!(
            stored.internal_date.to_rfc3339(),
            "2025-07-01T10:00:00+00:00"
        );
        assert!(stored.labels.contains("\\Inbox") && !stored.flags.contains("\\Seen"));
    }
    let asked = road.gmail.transcript();
    assert_eq!(road.gmail.api_requests("uploadType=multipart"), 2);
    assert_eq!(asked.commands("PUT /upload"), 2);
    for part in [
        "neverMarkSpam=false",
        "processForCalendar=false",
        "internalDateSource=dateHeader",
        "fields=id,threadId,labelIds",
    ] {
        // Of a session its address repeats none of this.
        assert_eq!(asked.commands(&format!("&{part}")), 4, "{part}");
    }
    // One connection does for all of them.
    assert_eq!(asked.lines().iter().map(|line| line.session).max(), Some(1));
}

#[test]
fn a_message_that_was_there_has_its_old_number() {
    let road = road();
    let body = letter("1@x", "text", 10);
    let first = road.gmail.add(Put::new(&body));
    assert_eq!(road.done(&body).msgid, first);
    assert_eq!(road.gmail.messages().len(), 1);
}

#[test]
fn spam_is_delivered_too_and_spared_where_that_is_asked_for() {
    let road = road();
    road.gmail
        .knobs(|knobs| knobs.api.spam = vec!["lottery".into()]);
    let receipt = road.done(&letter("1@x", "lottery", 10));
    assert!(receipt.labels.contains(&"SPAM".to_string()));
    let body = letter("2@x", "lottery", LARGE);
    let labels = ["INBOX".to_string()];
    let mail = Mail {
        body: &body,
        labels: &labels,
        never_mark_spam: true,
    };
    let Imported::Done(receipt) = road.api.import(&road.token, &mail) else {
        panic!("it was not taken");
    };
    assert_eq!(
        road.gmail.message(receipt.msgid).unwrap().place,
        Place::Live
    );
}

#[test]
fn labels_are_found_and_made_by_name() {
    let road = road();
    let made = road.api.make_label(&road.token, "Work/Ä").unwrap();
    let again = road.api.make_label(&road.token, "WORK/ä").unwrap();
    assert_eq!(made, again);
    let all = road.api.labels(&road.token).unwrap();
    assert_eq!(Label::find(&all, "work/Ä"), Some(&made));
    assert!(all.iter().any(|label| label.system && label.id == "INBOX"));
    assert_eq!(Label::find(&all, "inbox"), None);
    // Something has the name, and it is none of the labels.
    let conflict = ApiFault::Refuse(ApiRefusal::LabelConflict);
    road.gmail.api_fault(On::nth(1, "LABELS.CREATE"), conflict);
    let lists = || road.gmail.api_requests("GET /gmail/v1/users/me/labels");
    let before = lists();
    let refused = road.api.make_label(&road.token, "Ghost").unwrap_err();
    assert_eq!((refused.fault, lists()), (Fault::Permanent, before + 1));
    assert!(refused.message.contains("`Ghost`") && refused.hint.is_some());
    let refused = road.api.make_label(&road.token, "Muted").unwrap_err();
    assert!(refused.message.contains("Invalid label name") && refused.hint.is_some());
    let body = letter("1@x", "text", 10);
    let mail = Mail {
        body: &body,
        labels: &[made.id],
        never_mark_spam: false,
    };
    let Imported::Done(receipt) = road.api.import(&road.token, &mail) else {
        panic!("it was not taken");
    };
    let stored = road.gmail.message(receipt.msgid).unwrap();
    assert!(stored.labels.contains("Work/Ä") && stored.flags.contains("\\Seen"));
}

#[test]
fn at_most_four_are_under_way_together() {
    let road = road();
    let first = On::nth(1, "IMPORT").times(4);
    road.gmail.api_fault(first, ApiFault::AnswerOnCommand);
    std::thread::scope(|scope| {
        for n in 0..10 {
            let road = &road;
            scope.spawn(move || road.done(&letter(&format!("{n}@x"), "text", 10)));
        }
        let four = || road.gmail.answers_held() == 4;
        eventually("four are under way", four);
        road.gmail.release_answers();
    });
    assert_eq!(road.gmail.messages().len(), 10);
    let (mut under_way, mut most) = (0, 0);
    for line in road.gmail.transcript().lines() {
        under_way += i32::from(line.text.ends_with(" HTTP/1.1"));
        under_way -= i32::from(line.text.starts_with("HTTP/1.1 "));
        most = most.max(under_way);
    }
    assert_eq!((under_way, most), (0, 4));
}
