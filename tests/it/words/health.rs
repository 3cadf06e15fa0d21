//! `health`: one line and an exit status, of one ledger and of several.

use chrono::{TimeDelta, Utc};
use imap_to_gmail::error::{Error, Fault};
use imap_to_gmail::ledger::Look;

use super::status::book;

#[test]
fn one_line_says_whether_all_is_well() {
    let (desk, mut b) = book();
    let now = Utc::now();
    let name = "user@example.org into you@gmail.com";
    let ran = desk.run(&["health", "--state-file", "sync_state.db"]);
    ran.says(1, &format!("unhealthy: {name}: no run of it goes on\n"), "");
    b.ledger.run_begins(&["watch", "deliver"], now).unwrap();
    let look = Look {
        at: now,
        next_by: now + TimeDelta::seconds(90),
    };
    b.ledger.note_look("watch", look).unwrap();
    desk.run(&["health"])
        .says(0, &format!("healthy: {name}\n"), "");
    let refused = Error::new(Fault::NeedsUser, "the password was refused");
    b.ledger.trouble("deliver", Some(&refused), now).unwrap();
    desk.run(&["health"]).says(
        1,
        &format!("unhealthy: {name}: the password was refused\n"),
        "",
    );
    desk.run(&["health", "--state-file", "other.db"]).says(
        1,
        "unhealthy: other.db: there is no ledger here\n",
        "",
    );
}
