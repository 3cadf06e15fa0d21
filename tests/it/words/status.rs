//! What `status` says of ledgers in every state, to people and to programs.

use std::path::{Path, PathBuf};

use chrono::{TimeDelta, TimeZone, Timelike, Utc};
use imap_to_gmail::error::{Error, Fault};
use imap_to_gmail::folder::FolderId;
use imap_to_gmail::ledger::{Change, Claim, Ledger, Progress, Proof, RowId};
use imap_to_gmail::message::{Discovered, Flags, MessageId, Time, Uid, UidValidity, time_text};
use rusqlite::Connection;
use serde_json::Value;

use super::ledger::route;
use super::{Ran, WorkDir};

/// A ledger that is filled by the program's own verbs, at times of the test's choosing.
pub(crate) struct Book {
    pub(crate) ledger: Ledger,
    pub(crate) path: PathBuf,
    uid: u32,
}

/// Days of November 2024, at ten.
pub(crate) fn day(n: u32) -> Time {
    Utc.with_ymd_and_hms(2024, 11, n, 10, 0, 0).unwrap()
}

impl Book {
    pub(crate) fn new(path: &Path) -> Book {
        let mut ledger = Ledger::open_or_create(path, true).unwrap();
        ledger.belong_to(&route(), day(1)).unwrap();
        ledger
            .first_look(FolderId(1), UidValidity(1), 1, "7d", day(1))
            .unwrap();
        // Nothing was there.
        let mailbox = ledger.present_mailbox(FolderId(1)).unwrap();
        ledger
            .record(mailbox.id, &[], Progress::HistoryDone, day(1))
            .unwrap();
        Book {
            ledger,
            path: path.into(),
            uid: 0,
        }
    }

    /// A message that waits since `found`.
    pub(crate) fn pending(&mut self, message_id: &str, size: Option<u64>, found: Time) -> RowId {
        self.uid += 1;
        let mailbox = self.ledger.present_mailbox(FolderId(1)).unwrap();
        let message = Discovered {
            uid: Uid(self.uid),
            message_id: MessageId::parse(message_id.as_bytes()),
            date: None,
            internal_date: Some(found),
            size,
            flags: Flags::default(),
            gm_msgid: None,
        };
        let progress = Progress::NextUid(self.uid + 1);
        self.ledger
            .record(mailbox.id, &[message], progress, found)
            .unwrap();
        RowId(self.uid.into())
    }

    /// It, claimed. Whatever else waits must have been tried.
    pub(crate) fn claimed(&mut self, message_id: &str, size: Option<u64>, found: Time) -> RowId {
        let id = self.pending(message_id, size, found);
        let claim = Claim {
            count: 1,
            bytes: u64::MAX,
            once: true,
        };
        let rows = self.ledger.claim(claim, found).unwrap();
        assert_eq!(rows.iter().map(|r| r.id).collect::<Vec<_>>(), [id]);
        id
    }

    /// It, with this end a minute later.
    pub(crate) fn settled(&mut self, message_id: &str, found: Time, change: &Change) -> RowId {
        let id = self.claimed(message_id, Some(2048), found);
        let then = found + TimeDelta::minutes(1);
        self.ledger.settle(id, change, then).unwrap();
        id
    }

    /// It, failed: as delivery writes it, with what came from the mail and the server made safe.
    pub(crate) fn failed(&mut self, found: Time, words: &str) -> RowId {
        let n = self.uid + 1;
        self.settled(&format!("<{n}@example.org>"), found, &refusal(words))
    }
}

fn refusal(words: &str) -> Change {
    Change::Failed {
        error: Error::new(Fault::Permanent, words),
        sender: Some("Ann <ann@example.org>".into()),
        subject: Some("Holiday pictures".into()),
    }
}

fn delivered(proof: Proof) -> Change {
    Change::Delivered {
        proof,
        place: None,
        altered: false,
    }
}

/// A desk with a ledger of the usual name.
pub(crate) fn book() -> (WorkDir, Book) {
    let desk = WorkDir::new();
    let book = Book::new(&desk.path("sync_state.db"));
    (desk, book)
}

pub(super) fn ago(seconds: i64) -> Time {
    Utc::now() - TimeDelta::seconds(seconds)
}

/// `status --json`'s only route.
pub(super) fn json(desk: &WorkDir) -> Value {
    let mut all: Value = serde_json::from_str(desk.run(&["status", "--json"]).out()).unwrap();
    all["routes"][0].take()
}

#[test]
fn a_ledger_that_no_run_has_used() {
    let desk = WorkDir::new();
    drop(Ledger::open_or_create(&desk.path("sync_state.db"), true).unwrap());
    desk.run(&["status"]).prints(
        "\
NOT RUNNING: sync_state.db
  no run has used this ledger yet

  delivered          0
  pending            0
  failed             0
",
    );
    says_today(
        &desk.run(&["status", "--failed", "--json"]),
        "{\"routes\":[{\"source\":null,\"target\":null,\"state_file\":\"sync_state.db\",\"running\":false,\
         \"pending\":0,\"in_flight\":0,\"delivered\":0,\"failed\":0,\"skipped\":0,\"gone\":0,\
         \"oldest_pending\":null,\"last_delivered_at\":null,\"last_sign_of_life\":null,\"last_look\":null,\"unhealthy\":\"no run of it goes on\",\"trouble\":null,\
         \"troubles\":[],\"state\":\"not_running\",\"running_since\":null,\
         \"delivered_today\":0,\"today_since\":\"TODAY\",\"in_spam\":0,\"pending_bytes\":0,\"backoff\":0,\"next_attempt_at\":null,\"import\":null,\"after_delivery\":null,\
         \"failure_reasons\":0,\"failures\":[],\
         \"failed_messages\":[],\"put_off_messages\":[]}]}\n",
    );
}

#[test]
fn an_empty_ledger_of_a_route() {
    let (desk, book) = book();
    drop(book);
    desk.run(&["status"]).prints(
        "\
NOT RUNNING: user@example.org into you@gmail.com
  no run has used this ledger yet

  delivered          0
  pending            0
  failed             0
",
    );
    says_today(
        &desk.run(&["status", "--json"]),
        "{\"routes\":[{\"source\":\"user@example.org\",\"target\":\"you@gmail.com\",\"state_file\":\"sync_state.db\",\
         \"running\":false,\"pending\":0,\"in_flight\":0,\"delivered\":0,\"failed\":0,\"skipped\":0,\"gone\":0,\
         \"oldest_pending\":null,\"last_delivered_at\":null,\"last_sign_of_life\":null,\"last_look\":null,\"unhealthy\":\"no run of it goes on\",\"trouble\":null,\
         \"troubles\":[],\"state\":\"not_running\",\"running_since\":null,\
         \"delivered_today\":0,\"today_since\":\"TODAY\",\"in_spam\":0,\"pending_bytes\":0,\"backoff\":0,\"next_attempt_at\":null,\"import\":null,\"after_delivery\":null,\
         \"failure_reasons\":0,\"failures\":[]}]}\n",
    );
}

/// Where the clocks show UTC, as in these tests.
fn says_today(ran: &Ran, out: &str) {
    let today = time_text(Utc::now()).split('T').next().unwrap().to_string();
    ran.prints(&out.replace("TODAY", &format!("{today}T00:00:00Z")));
}

/// One message in each state, and what an older incarnation knew, which does not count.
pub(crate) fn everything() -> WorkDir {
    let (desk, mut b) = book();
    b.ledger.run_begins(&["run"], day(1)).unwrap();
    b.settled("<1@x>", day(1), &delivered(Proof::Appended));
    b.settled("<2@x>", day(3), &delivered(Proof::Appended));
    b.settled("<3@x>", day(4), &delivered(Proof::Found));
    b.settled("<4@x>", day(4), &delivered(Proof::Same));
    let retry = Change::Retry {
        error: Error::new(Fault::Transient, "imap.gmail.com:993 refused the message"),
        first: day(5),
        at: Utc::now() + TimeDelta::seconds(210),
    };
    b.settled("<5@x>", day(6), &retry);
    b.settled("<6@x>", day(5), &retry);
    b.settled("<7@x>", day(7), &Change::Gone);
    b.failed(
        day(8),
        "the message has 40000000 bytes, the target takes at most 36700160",
    );
    b.failed(
        day(9),
        "imap.gmail.com:993 refuses this message: [CANNOT] no",
    );
    let skipped = b.failed(day(10), "never mind");
    b.ledger.retry_failed(&[skipped], true, day(11)).unwrap();
    let old = b.settled("<8@x>", day(2), &delivered(Proof::Appended));
    Connection::open(&b.path)
        .unwrap()
        .execute("UPDATE message SET superseded_by = 1 WHERE id = ?1", [old])
        .unwrap();
    b.claimed("<9@x>", None, day(12));
    b.ledger.beat(&["run"], day(12)).unwrap();
    let error = Error::new(
        Fault::NeedsUser,
        "imap.gmail.com:993 refused the sign-in: no",
    )
    .hint("sign in again");
    b.ledger.trouble("run", Some(&error), day(11)).unwrap();
    b.ledger.trouble("run", Some(&error), day(12)).unwrap();
    desk
}

#[test]
fn everything_at_once() {
    let desk = everything();
    desk.run(&["status"]).prints(
        "\
NOT RUNNING: user@example.org into you@gmail.com
  the last sign of life came 2024-11-12 10:00 UTC, and no end of the run was
  recorded. Was it killed? Start it again: nothing is lost

  delivered          4    last sent 2024-11-03 10:01 UTC
    today            0    since midnight (UTC)
  pending            2
    put off          2    next attempt in 3 min; `imap-to-gmail status --failed`
                          says why
  in flight          1
  failed             2    `imap-to-gmail status --failed` says which
  skipped            1
  gone               1

why messages failed:
                     1    imap.gmail.com:993 refuses this message: [CANNOT] no
                     1    the message has 40000000 bytes, the target takes at
                          most 36700160

trouble (began 2024-11-11 10:00 UTC): imap.gmail.com:993 refused the sign-in: no
hint: sign in again
",
    );
    let status = desk.run(&["status", "--json"]);
    let next = json(&desk)["next_attempt_at"].to_string();
    assert!(next.starts_with("\"20"), "{next}");
    says_today(
        &status,
        &"{\"routes\":[{\"source\":\"user@example.org\",\"target\":\"you@gmail.com\",\"state_file\":\"sync_state.db\",\
         \"running\":false,\"pending\":2,\"in_flight\":1,\"delivered\":4,\"failed\":2,\"skipped\":1,\"gone\":1,\
         \"oldest_pending\":\"2024-11-05T10:00:00Z\",\"last_delivered_at\":\"2024-11-03T10:01:00Z\",\
         \"last_sign_of_life\":\"2024-11-12T10:00:00Z\",\"last_look\":null,\"unhealthy\":\"no run of it goes on\",\"trouble\":{\"kind\":\"needs_user\",\
         \"message\":\"imap.gmail.com:993 refused the sign-in: no\",\"hint\":\"sign in again\",\
         \"since\":\"2024-11-11T10:00:00Z\"},\"troubles\":[{\"kind\":\"needs_user\",\
         \"message\":\"imap.gmail.com:993 refused the sign-in: no\",\"hint\":\"sign in again\",\
         \"since\":\"2024-11-11T10:00:00Z\",\"part\":\"run\"}],\"state\":\"not_running\",\"running_since\":null,\
         \"delivered_today\":0,\"today_since\":\"TODAY\",\"in_spam\":0,\"pending_bytes\":4096,\"backoff\":2,\"next_attempt_at\":NEXT,\"import\":null,\"after_delivery\":null,\
         \"failure_reasons\":2,\"failures\":[{\"error\":\"imap.gmail.com:993 refuses this message: [CANNOT] no\",\"messages\":1},\
         {\"error\":\"the message has 40000000 bytes, the target takes at most 36700160\",\"messages\":1}]}]}\n"
            .replace("NEXT", &next),
    );
    let text = desk.run(&["status", "--failed"]);
    for line in text.out().lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn failures_with_their_reasons_newest_first() {
    let desk = everything();
    let status = desk.run(&["status", "--failed"]);
    let (counts, failures) = status.out().split_once("\nhint: sign in again\n").unwrap();
    assert!(
        counts
            .contains("  failed             2    `imap-to-gmail retry-failed` tries them again\n"),
        "{counts}"
    );
    assert_eq!(
        failures,
        "
id 9, 2024-11-09 10:00 UTC, 2.0 kB
  from       Ann <ann@example.org>
  subject    Holiday pictures
  message-id <9@example.org>
  reason     imap.gmail.com:993 refuses this message: [CANNOT] no

id 8, 2024-11-08 10:00 UTC, 2.0 kB
  from       Ann <ann@example.org>
  subject    Holiday pictures
  message-id <8@example.org>
  reason     the message has 40000000 bytes, the target takes at most 36700160

id 5, 2024-11-06 10:00 UTC, 2.0 kB
  put off    next attempt in 3 min, after 1 attempt
  message-id <5@x>
  reason     imap.gmail.com:993 refused the message

id 6, 2024-11-05 10:00 UTC, 2.0 kB
  put off    next attempt in 3 min, after 1 attempt
  message-id <6@x>
  reason     imap.gmail.com:993 refused the message
"
    );
    let mut all: Value =
        serde_json::from_str(desk.run(&["status", "--failed", "--json"]).out()).unwrap();
    let first = all["routes"][0]["failed_messages"][0].take();
    assert_eq!(
        first.to_string(),
        "{\"id\":9,\"date\":\"2024-11-09T10:00:00Z\",\"size\":2048,\"sender\":\"Ann <ann@example.org>\",\
         \"subject\":\"Holiday pictures\",\"message_id\":\"<9@example.org>\",\
         \"error\":\"imap.gmail.com:993 refuses this message: [CANNOT] no\"}"
    );
}

#[test]
fn what_is_not_known_of_a_failure_is_left_out() {
    let (desk, mut b) = book();
    let id = b.claimed("", None, day(3));
    let change = Change::Failed {
        error: Error::new(Fault::Permanent, "no"),
        sender: None,
        subject: None,
    };
    b.ledger.settle(id, &change, day(3)).unwrap();
    let status = desk.run(&["status", "--failed"]);
    let failure = &status.out()[status.out().find("id 1,").unwrap()..];
    assert_eq!(
        failure,
        "id 1, 2024-11-03 10:00 UTC, size unknown\n  reason     no\n"
    );
    let mut all: Value =
        serde_json::from_str(desk.run(&["status", "--failed", "--json"]).out()).unwrap();
    assert_eq!(
        all["routes"][0]["failed_messages"][0].take().to_string(),
        "{\"id\":1,\"date\":\"2024-11-03T10:00:00Z\",\"size\":null,\"sender\":null,\"subject\":null,\
         \"message_id\":null,\"error\":\"no\"}"
    );
}

#[test]
fn today_is_the_day_where_it_is_asked() {
    let (desk, mut b) = book();
    b.settled("<1@x>", ago(4 * 86_400), &delivered(Proof::Appended));
    b.settled("<2@x>", ago(120), &delivered(Proof::Found));
    // East or west enough that the day is two hours old.
    let hours = |zone: i64| match zone {
        0.. => format!("TST-{zone}"),
        _ => format!("TST{}", -zone),
    };
    let now = Utc::now();
    let hour = i64::from(now.hour());
    let zone = if hour <= 12 { 2 - hour } else { 26 - hour };
    let began = (now - TimeDelta::hours(2)).format("%Y-%m-%dT%H:00:00Z");
    let json = |zone: &str| -> Value {
        let ran = desk.run_with(&["status", "--json"], &[("TZ", zone)]);
        serde_json::from_str::<Value>(ran.out()).unwrap()["routes"][0].take()
    };
    let today = json(&hours(zone));
    assert_eq!(today["today_since"], began.to_string());
    assert_eq!(today["delivered_today"], 1);
    let text = desk.run_with(&["status"], &[("TZ", &hours(zone))]);
    let midnight = match (hour + 22) % 24 {
        0 => "since midnight (UTC)".into(),
        h => format!("since midnight ({h:02}:00 UTC)"),
    };
    let line = format!("    today            1    {midnight}\n");
    assert!(text.out().contains(&line), "{}", text.out());
}

#[test]
fn the_commonest_reasons_are_told_and_the_others_counted() {
    let (desk, mut b) = book();
    for (n, words) in ["a", "b", "c", "d", "e", "f", "g", "a", "g", "a"]
        .iter()
        .enumerate()
    {
        b.failed(day(2 + n as u32), words);
    }
    let status = desk.run(&["status"]);
    let (_, reasons) = status.out().split_once("why messages failed:\n").unwrap();
    assert_eq!(
        reasons,
        "                     3    a
                     2    g
                     1    f
                     1    e
                     1    d
                     2    for 2 other reasons
"
    );
    let all = json(&desk);
    assert_eq!(all["failure_reasons"], 7);
    assert_eq!(all["failures"].as_array().unwrap().len(), 5);
    assert_eq!(all["failures"][1]["messages"], 2);
}

#[test]
fn what_waits_says_when_it_is_tried() {
    let (desk, mut b) = book();
    b.pending("<1@x>", Some(1), day(2));
    let line = || {
        let status = desk.run(&["status"]);
        status
            .out()
            .lines()
            .find(|l| l.starts_with("  pending"))
            .unwrap()
            .to_string()
    };
    assert_eq!(line(), "  pending            1    the next run tries it");
    b.ledger.run_begins(&["run"], ago(0)).unwrap();
    assert_eq!(line(), "  pending            1    due now");
}

#[test]
fn other_files_are_looked_at_when_asked_for() {
    let desk = WorkDir::new();
    drop(Book::new(&desk.path("elsewhere.db")));
    let config = super::config::with("state_file", "elsewhere.db");
    desk.file("config.json", config.to_string());
    for args in [
        &["status", "--state-file", "elsewhere.db", "--json"][..],
        &["status", "--config", "config.json", "--json"],
    ] {
        let all: Value = serde_json::from_str(desk.run(args).out()).unwrap();
        assert_eq!(all["routes"][0]["state_file"], "elsewhere.db");
    }
}
