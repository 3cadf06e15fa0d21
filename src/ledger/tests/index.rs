//! What is known of the target.

use super::*;

#[test]
fn a_name_that_is_known_is_not_forgotten_when_it_cannot_be_read() {
    let mut desk = Desk::new();
    let index = desk.ledger.index_mailbox("All", UidValidity(1), 1).unwrap();
    let known = mail(7, "<7@x>");
    desk.ledger
        .index_record(&index, std::slice::from_ref(&known))
        .unwrap();
    let unreadable = Discovered {
        message_id: None,
        date: None,
        size: None,
        ..known.clone()
    };
    desk.ledger.index_record(&index, &[unreadable]).unwrap();
    let hits = desk
        .ledger
        .index_hits(&id("<7@x>"), known.date.as_deref())
        .unwrap();
    assert_eq!(hits.len(), 1);
    assert!(!desk.ledger.index_ends_nameless(index.id).unwrap());
}
