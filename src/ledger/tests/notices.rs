//! Failures, and the mails that tell of them: each failure is on record however it came about, and is told of once.

use super::*;

impl Desk {
    /// Fails what is in flight under this UID.
    fn fail(&mut self, uid: u32) -> RowId {
        let id = self.id(1, uid);
        self.settle(id, &failed()).unwrap();
        id
    }

    /// (failures of this row on record, those that a mail tells of)
    fn failures(&self, id: RowId) -> (u64, u64) {
        let count = |what| {
            self.one(&format!(
                "SELECT count({what}) FROM failure WHERE message_id = {id}"
            ))
        };
        (count("*"), count("notice_id"))
    }

    /// Makes a mail. How many messages it tells of, and how many it shows.
    fn make(&mut self, digest: bool, shown: usize) -> Option<(u64, usize)> {
        let name = id(&format!("{NOTICE_MAIL_ID}{}@x>", fastrand::u64(..)));
        let (now, mut told) = (self.now, None);
        let write = |failures: &[Failure], all| {
            told = Some((all, failures.len()));
            b"a mail".to_vec()
        };
        let made = self.ledger.make_notice(&name, digest, shown, now, write);
        assert_eq!(made.unwrap().is_some(), told.is_some());
        told
    }

    fn begin(&mut self) -> NoticeStep {
        let notice = self.ledger.open_notices().unwrap().remove(0);
        let now = self.now;
        let step = self.ledger.begin_notice(&notice, None, now, now);
        step.unwrap()
    }
}

fn with(mails: u32) -> Desk {
    let mut desk = Desk::new();
    let found: Vec<Discovered> = (1..=mails).map(|n| mail(n, &format!("<{n}@x>"))).collect();
    desk.record(&found);
    desk.claim();
    desk
}

#[test]
fn each_failure_is_told_of_once() {
    let mut desk = with(2);
    assert_eq!(desk.ledger.untold_since().unwrap(), None);
    let a = desk.fail(1);
    assert_eq!(desk.failures(a), (1, 0));
    assert_eq!(desk.make(false, 1), Some((1, 1)));
    assert_eq!(desk.failures(a), (1, 1));
    assert_eq!(desk.make(false, 1), None, "what is failed still is no news");
    // Once more: that is another one.
    let now = desk.now;
    desk.ledger.retry_failed(&[a], false, now).unwrap();
    assert_eq!(desk.failures(a), (1, 1), "it was told of, and stays so");
    desk.ledger.wake(a).unwrap();
    desk.claim();
    desk.fail(1);
    assert_eq!(desk.failures(a), (2, 1));
    assert!(desk.ledger.untold_since().unwrap().is_some());
    // A person was faster.
    desk.ledger.retry_failed(&[a], true, now).unwrap();
    assert_eq!(desk.failures(a), (1, 1));
    assert_eq!(desk.ledger.untold_since().unwrap(), None);
    assert_eq!(desk.make(true, 9), None);
}

#[test]
fn what_an_ok_hid_is_a_failure_as_well_and_so_is_its_twin() {
    let mut desk = with(2);
    let (a, b) = (desk.id(1, 1), desk.id(1, 2));
    desk.mark(a, 7).unwrap();
    desk.mark(b, 7).unwrap();
    desk.settle(a, &delivered()).unwrap();
    let same = Change::Delivered {
        proof: Proof::Same,
        place: None,
        altered: false,
    };
    desk.settle(b, &same).unwrap();
    let not_ours = Verdict::NotOurs {
        error: Error::new(Fault::Permanent, "another one is kept"),
        sender: None,
        subject: None,
    };
    let now = desk.now;
    desk.ledger.verified(&[(a, not_ours)], now).unwrap();
    assert_eq!((desk.failures(a), desk.failures(b)), ((1, 0), (1, 0)));
    assert_eq!(desk.make(true, 1), Some((2, 1)), "one is shown, both count");
    assert_eq!((desk.failures(a), desk.failures(b)), ((1, 1), (1, 1)));
}

#[test]
fn a_mail_of_ours_that_fails_as_source_mail_is_not_told_of() {
    let mut desk = Desk::new();
    let ours = format!("{NOTICE_MAIL_ID}65f.0@example.org>");
    // Only ours begins with that, and only with brackets as we write them.
    desk.record(&[mail(1, &ours), mail(2, "<imap-to-gmail@x>")]);
    desk.claim();
    let (ours, other) = (desk.fail(1), desk.fail(2));
    assert_eq!(
        (desk.failures(ours), desk.failures(other)),
        ((0, 0), (1, 0))
    );
    assert_eq!(desk.status(1, 1), "failed", "it is listed all the same");
}

#[test]
fn a_mail_of_which_nothing_holds_any_more_is_withdrawn() {
    let mut desk = with(3);
    let (a, b) = (desk.fail(1), desk.fail(2));
    assert_eq!(desk.make(true, 9), Some((2, 2)));
    let now = desk.now;
    desk.ledger.retry_failed(&[a], true, now).unwrap();
    assert_eq!(
        desk.begin(),
        NoticeStep::Send,
        "one of them is failed still"
    );
    let later = NoticeEnd::Later {
        at: now,
        first: None,
        error: None,
    };
    let notice = desk.ledger.open_notices().unwrap().remove(0);
    assert!(notice.begun && notice.attempts == 1);
    desk.ledger.settle_notice(notice.id, &later, now).unwrap();
    desk.ledger.retry_failed(&[b], false, now).unwrap();
    assert_eq!(desk.begin(), NoticeStep::Withdrawn);
    assert!(desk.ledger.open_notices().unwrap().is_empty());
    let kept: u64 = desk.one("SELECT count(mail) FROM notice");
    assert_eq!(kept, 0, "its sender and subject go with it");
}

#[test]
fn what_is_known_of_the_target_tells_whether_a_mail_is_there() {
    let mut desk = with(1);
    desk.fail(1);
    desk.make(false, 1);
    let notice = desk.ledger.open_notices().unwrap().remove(0);
    assert!(!desk.ledger.notice_is_there(notice.id).unwrap());
    let name: String = desk.one("SELECT mail_id FROM notice");
    let index = desk.ledger.index_mailbox("All", UidValidity(1), 5).unwrap();
    desk.ledger.index_record(&index, &[mail(7, &name)]).unwrap();
    assert!(desk.ledger.notice_is_there(notice.id).unwrap());
}

#[test]
fn who_wants_no_mail_is_told_of_nothing_also_later() {
    let mut desk = with(3);
    let (a, _) = (desk.fail(1), desk.fail(2));
    desk.make(false, 1);
    desk.begin();
    let now = desk.now;
    desk.ledger.tell_nobody(now).unwrap();
    assert!(desk.ledger.open_notices().unwrap().is_empty());
    assert_eq!(desk.ledger.untold_since().unwrap(), None);
    assert_eq!(desk.failures(a), (1, 1));
    desk.fail(3);
    assert_eq!(desk.make(true, 9), Some((1, 1)), "what fails from then on");
}

#[test]
fn its_bytes_count_in_the_days() {
    let mut desk = with(1);
    desk.fail(1);
    desk.make(false, 1);
    let notice = desk.ledger.open_notices().unwrap().remove(0);
    let (now, later) = (desk.now, desk.now + TimeDelta::hours(1));
    let size = notice.mail.len() as u64;
    let l = &mut desk.ledger;
    let small = l.begin_notice(&notice, Some(size - 1), now, later);
    assert_eq!(small.unwrap(), NoticeStep::NoRoom);
    let waits = l.open_notices().unwrap().remove(0);
    assert!(!waits.begun && waits.next_attempt_at == later);
    assert_eq!(l.uploaded(now).unwrap(), 0);
    let fits = l.begin_notice(&notice, Some(size), now, later);
    assert_eq!(fits.unwrap(), NoticeStep::Send);
    assert_eq!(l.uploaded(now).unwrap(), size);
}

#[test]
fn a_row_that_goes_takes_its_failures_with_it() {
    let mut desk = with(2);
    let (a, b) = (desk.fail(1), desk.id(1, 2));
    let now = desk.now;
    desk.make(false, 1);
    desk.ledger.retry_failed(&[a], false, now).unwrap();
    desk.ledger.wake(a).unwrap();
    desk.claim();
    // The same message, as it turns out, as one that is known by another row.
    desk.settle(b, &failed()).unwrap();
    desk.settle(a, &Change::AsBefore { row: b }).unwrap();
    assert_eq!((desk.failures(a), desk.failures(b)), ((0, 0), (1, 0)));
}
