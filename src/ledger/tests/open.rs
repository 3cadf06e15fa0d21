//! The file itself: its names, whose it is, and what its constraints refuse.

use super::*;

#[test]
fn the_ledger_itself_refuses_what_can_never_be() {
    let mut desk = Desk::new();
    desk.record(&[mail(1, "<1@x>")]);
    for (change, constraint) in [
        ("status = 'delivered'", "delivered_has_proof"),
        ("proof = 'found', delivered_at = 'x'", "delivered_has_proof"),
        ("status = 'failed'", "failed_has_reason"),
        ("status = 'in_flight'", "in_flight_since_when"),
        ("mark_id = 1", "mark_until_seen"),
        (
            "mark_id = 1, status = 'in_flight', in_flight_since = 'x'",
            "mark_until_seen",
        ),
        ("message_id = NULL", "hash_with_message_id"),
        ("message_id_hash = NULL", "hash_with_message_id"),
        ("status = 'lost'", "FOREIGN KEY"),
        ("fault = 'bad luck'", "FOREIGN KEY"),
        ("mailbox_id = 77", "FOREIGN KEY"),
        ("size = 'big'", "cannot store TEXT value in INTEGER column"),
    ] {
        let refused = desk
            .ledger
            .db
            .execute(&format!("UPDATE message SET {change}"), [])
            .unwrap_err();
        assert!(
            refused.to_string().contains(constraint),
            "{change}: {refused}"
        );
    }
    let twice = "INSERT INTO message (mailbox_id, source_uid, internal_date, flags, next_attempt_at, discovered_at)
                 SELECT mailbox_id, source_uid, '', '', '', '' FROM message";
    assert!(desk.ledger.db.execute(twice, []).is_err());
    let route = "INSERT INTO route VALUES (2, 'a', 'b', 'c', 'd', 'e')";
    assert!(desk.ledger.db.execute(route, []).is_err());
}

#[test]
fn a_ledger_with_two_names_is_one_ledger() {
    let desk = Desk::new();
    let (real, link) = (
        desk.dir.path().join("l.db"),
        desk.dir.path().join("link.db"),
    );
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let held = lock(&real).unwrap();
    assert!(lock(&link).is_err());
    drop(held);
    let _held = lock(&link).unwrap();
    assert!(lock(&real).is_err());
    // What is not yet in the file itself is in the log beside it.
    let scratch = tempfile::tempdir().unwrap();
    let copy = Ledger::open_scratch(&link, scratch.path()).unwrap();
    assert!(copy.mailbox(INBOX).unwrap().is_some());
}

#[test]
fn a_ledger_is_untouched_until_a_look_or_an_import() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open_or_create(&dir.path().join("l.db"), false).unwrap();
    let now = parse_time("2024-05-01T12:00:00Z").unwrap();
    assert!(ledger.is_untouched().unwrap());
    ledger
        .belong_to(&Route::new("a", "b", "c", "d"), now)
        .unwrap();
    ledger.import(&[], now).unwrap();
    assert!(ledger.is_untouched().unwrap());
    // A name that was mistyped is mended.
    let mended = Route::new("a", "b", "c", "e");
    ledger.belong_to(&mended, now).unwrap();
    assert_eq!(ledger.route().unwrap(), Some(mended));
    ledger.import(&[id("<a@x>")], now).unwrap();
    assert!(!ledger.is_untouched().unwrap());
    // The ids are those of these accounts: for others they would vouch for mail that nobody copied.
    let others = Route::new("z", "b", "c", "e");
    assert!(ledger.belong_to(&others, now).is_err());
    assert!(!Desk::new().ledger.is_untouched().unwrap());
}
