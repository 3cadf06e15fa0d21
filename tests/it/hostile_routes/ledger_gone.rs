//! The ledger's file, taken away while it is written.

use super::found::{Running, from, held};
use super::oddity::Oddity;
use crate::testkit::eventually;

/// github.com/pbek/QOwnNotes/issues/1589, github.com/yapstudios/YapDatabase/issues/189: a person or a program that keeps
/// folders alike deletes or replaces the database of a running program, which goes on writing where nobody will read.
#[test]
fn a_ledger_that_is_taken_away_ends_the_run_in_words() {
    for replaced in [false, true] {
        let odd = Oddity::plain();
        odd.mail("one");
        let env = from(&odd);
        let mut running = Running::new(env.spawn_for_good(&["--poll-interval", "1"]));
        eventually("it is delivered", || held(&env).len() == 1);
        let ledger = env.ledger_file();
        std::fs::rename(&ledger, ledger.with_extension("old")).unwrap();
        if replaced {
            std::fs::copy(ledger.with_extension("old"), &ledger).unwrap();
        }
        eventually("it has ended", || running.has_ended().is_some());
        assert_eq!(running.has_ended(), Some(1));
        let err = running.end();
        assert!(
            err.contains("another file was put in the place of the ledger"),
            "{err}"
        );
    }
}
