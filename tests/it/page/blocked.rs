//! Ledgers that do not answer, that cannot be read, and very many of them.

use std::time::{Duration, Instant};

use super::{get, served, watched};
use crate::testkit::eventually;
use crate::words::status::everything;

/// As when its disk hangs: whoever reads waits. The ledger has no write-ahead log, so that a writer keeps readers out.
#[test]
fn a_ledger_that_does_not_answer_keeps_nobody_waiting() {
    let (desk, other) = (everything(), everything());
    let (slow, quick) = (desk.path("sync_state.db"), other.path("sync_state.db"));
    let db = rusqlite::Connection::open(&slow).unwrap();
    let mode =
        db.pragma_update_and_check(None, "journal_mode", "TRUNCATE", |r| r.get::<_, String>(0));
    assert_eq!(mode.unwrap(), "truncate");
    let (a, b) = (slow.clone(), quick.clone());
    let server = served(move || vec![watched("slow", &a), watched("quick", &b)]);
    let at = server.address();
    assert!(
        get(at, "/route?name=slow")
            .body
            .contains("<dt>Waiting</dt><dd><b>2</b>")
    );
    db.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let elsewhere = rusqlite::Connection::open(&quick).unwrap();
    elsewhere
        .execute(
            "UPDATE message SET status = 'skipped' WHERE status = 'failed'",
            [],
        )
        .unwrap();
    drop(elsewhere);
    // Each look is answered at once, with what is new of the one, and what was last known of the other.
    eventually("the other one is read", || {
        let begun = Instant::now();
        let page = get(at, "/route?name=quick").body;
        assert!(
            begun.elapsed() < Duration::from_secs(4),
            "{:?}",
            begun.elapsed()
        );
        page.contains("<dt>Failed</dt><dd><b>0</b>")
    });
    let page = get(at, "/route?name=slow").body;
    assert!(page.contains("<dt>Waiting</dt><dd><b>2</b>"), "{page}");
    // SQLite gives up after a while, and then it is said what it is.
    let said = "another program keeps the ledger locked";
    eventually("it is said", || {
        let begun = Instant::now();
        let page = get(at, "/route?name=slow").body;
        assert!(
            begun.elapsed() < Duration::from_secs(4),
            "{:?}",
            begun.elapsed()
        );
        page.contains(said)
            && page.contains("What follows was read")
            && page.contains("<dt>Waiting</dt><dd><b>2</b>")
    });
    assert!(
        get(at, "/healthz").body.starts_with("quick: ") || get(at, "/healthz").body.contains(said)
    );
    db.execute_batch("COMMIT").unwrap();
    eventually("it is read again", || {
        !get(at, "/route?name=slow").body.contains(said)
    });
}

#[test]
fn a_ledger_that_is_not_there_or_none_is_said_to_be_so() {
    let desk = everything();
    desk.file("garbage.db", "no ledger at all ".repeat(1000));
    let (none, garbage) = (desk.path("none.db"), desk.path("garbage.db"));
    let server = served(move || vec![watched("none", &none), watched("garbage", &garbage)]);
    let page = get(server.address(), "/").body;
    for words in [
        "there is no ledger here",
        "the ledger is damaged",
        "<h1 class=\"ill\">2 of 2 routes need you</h1>",
    ] {
        assert!(page.contains(words), "{words}\n{page}");
    }
    assert_eq!(get(server.address(), "/healthz").status, 503);
    assert_eq!(get(server.address(), "/metrics").status, 200);
    // Nothing is made by looking.
    assert!(!desk.path("none.db").exists());
}

/// A thousand routes: the page, and everything beside it, at once.
#[test]
fn a_thousand_routes_are_shown_at_once() {
    let desk = everything();
    let ledger = desk.path("sync_state.db");
    let server = served(move || {
        (0..1000)
            .map(|n| watched(&format!("r{n:04}"), &ledger))
            .collect()
    });
    let at = server.address();
    // Until each was read once.
    eventually("all are read", || {
        !get(at, "/").body.contains("Not known yet")
    });
    for path in [
        "/",
        "/route?name=r0999",
        "/metrics",
        "/healthz",
        "/status.json",
    ] {
        let ask = || {
            let begun = Instant::now();
            (get(at, path), begun.elapsed())
        };
        // A machine that is busy with others is asked again.
        let mut tries = (0..5).map(|_| ask());
        let soon = tries.find(|(_, took)| *took < Duration::from_secs(4));
        let (answer, _) = soon.unwrap_or_else(|| panic!("{path}: more than 4 s, five times"));
        assert!(
            answer.body.len() < 3_000_000,
            "{path}: {}",
            answer.body.len()
        );
    }
    let page = get(at, "/").body;
    assert_eq!(page.matches("<article").count(), 20);
    assert!(
        page.contains("And 980 more routes that need attention"),
        "no 980"
    );
}
