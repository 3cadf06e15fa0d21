//! What is asked together, and what is kept in memory.

use super::*;

fn mapped(name: &str) -> Mapped {
    Mapped {
        wire: name.into(),
        name: name.into(),
        destination: Destination::inbox(),
        delivery: Delivery::Append,
    }
}

#[test]
fn a_view_sees_one_state_of_the_ledger() {
    let Desk { ledger, now, dir } = Desk::new();
    let ledger = Shared::new(ledger);
    let mut other = Ledger::open_existing(&dir.path().join("l.db")).unwrap();
    let id = MessageId::parse(b"<a@x>").unwrap();
    let vouched = |l: &Ledger| {
        let count = "SELECT count(*) FROM imported";
        l.read(|db| db.query_row(count, [], |r| r.get::<_, u64>(0)))
    };
    let seen = ledger.view(|l| {
        let before = vouched(l)?;
        other.import(std::slice::from_ref(&id), now)?;
        Ok((before, vouched(l)?))
    });
    assert_eq!(seen.unwrap(), (0, 0));
    assert_eq!(ledger.view(vouched).unwrap(), 1, "and the next one is new");
}

#[test]
fn a_view_that_goes_wrong_is_over() {
    let Desk {
        ledger,
        now,
        dir: _dir,
    } = Desk::new();
    let ledger = Shared::new(ledger);
    let wrong = ledger.view(|_| Err::<(), _>(Error::new(Fault::Transient, "x")));
    assert_eq!(wrong.unwrap_err().message, "x");
    let panics = || ledger.view::<()>(|_| panic!("in a view"));
    let panics = std::panic::AssertUnwindSafe(panics);
    assert!(std::panic::catch_unwind(panics).is_err());
    // Within another transaction none could begin.
    ledger.step(|l| l.book(1, now)).unwrap();
}

#[test]
fn a_folder_that_a_run_knows_is_as_it_was_last_listed() {
    let Desk { ledger, now, dir } = Desk::new();
    let lock = lock(&dir.path().join("l.db")).unwrap();
    let mut ledger = ledger.locked_by(lock);
    let mailbox = ledger.present_mailbox(INBOX).unwrap();
    let name = |l: &Ledger, id| l.folder_of(id).unwrap().name;
    assert_eq!(name(&ledger, mailbox.id), "INBOX");
    ledger.rename_folder(INBOX, &mapped("Posteingang")).unwrap();
    assert_eq!(name(&ledger, mailbox.id), "Posteingang");
    let listed = Mapped {
        wire: "Posteingang".into(),
        ..mapped("Inbox")
    };
    ledger
        .take_listing(&[listed], &HashSet::new(), now)
        .unwrap();
    assert_eq!(name(&ledger, mailbox.id), "Inbox");
}

#[test]
fn a_mailbox_that_has_the_number_of_one_that_is_no_more_is_of_its_own_folder() {
    let mut desk = Desk::new();
    desk.record(&[mail(1, "<a@x>")]);
    let Desk { ledger, now, dir } = desk;
    let lock = lock(&dir.path().join("l.db")).unwrap();
    let mut ledger = ledger.locked_by(lock);
    let wanted = [mapped("INBOX"), mapped("other")];
    let news = ledger.take_listing(&wanted, &HashSet::new(), now).unwrap();
    let FolderNews::New(other) = &news[0] else {
        panic!("{news:?}")
    };
    for validity in [2, 3] {
        let present = ledger.present_mailbox(INBOX).unwrap();
        let validity = UidValidity(validity);
        ledger.new_incarnation(&present, validity, 9, now).unwrap();
    }
    let last = ledger.present_mailbox(INBOX).unwrap().id;
    for validity in [2, 1] {
        assert_eq!(ledger.folder_of(last).unwrap().name, "INBOX");
        let present = ledger.present_mailbox(INBOX).unwrap();
        let back = ledger.reopen_incarnation(&present, UidValidity(validity), 9, now);
        assert!(back.unwrap());
    }
    ledger
        .first_look(other.id, UidValidity(1), 1, "all", now)
        .unwrap();
    assert_eq!(ledger.present_mailbox(other.id).unwrap().id, last);
    assert_eq!(ledger.folder_of(last).unwrap().name, "other");
}

#[test]
fn who_looks_beside_a_run_sees_a_folder_as_it_is() {
    let Desk { ledger, dir, .. } = Desk::new();
    let beside = Ledger::open_existing(&dir.path().join("l.db")).unwrap();
    let mailbox = beside.present_mailbox(INBOX).unwrap();
    assert_eq!(beside.folder_of(mailbox.id).unwrap().name, "INBOX");
    let mut run = ledger;
    run.rename_folder(INBOX, &mapped("Posteingang")).unwrap();
    assert_eq!(beside.folder_of(mailbox.id).unwrap().name, "Posteingang");
}
