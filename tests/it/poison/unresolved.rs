//! One message that nobody can tell the fate of, and a source whose mailbox has new UIDs: what is held up is said, and
//! not for ever.

use gmail_stand_in::{Harm, Reach};

use super::target::{left_in_flight, the_last};
use crate::testkit::env::TestEnv;

/// It may be a message of the target that nobody can read, and the source gives its messages new UIDs.
fn held_up() -> (TestEnv, u64) {
    let env = left_in_flight(false, true);
    let hidden = the_last(&env);
    env.target.poison(hidden, Reach::Anything, Harm::Cut);
    let (validity, _) = env.source.uids("INBOX");
    env.source.renumber("INBOX", validity + 1);
    env.mails(3);
    (env, hidden)
}

#[test]
fn what_holds_up_a_route_is_said() {
    let (env, hidden) = held_up();
    let ran = env.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    let trouble = env.status()["trouble"].clone();
    let message = trouble["message"].as_str().unwrap_or_default();
    assert!(message.contains("cannot be read"), "{trouble}\n{}", ran.err);
    assert!(message.contains("message 1"), "{trouble}\n{}", ran.err);
    env.target.cure(hidden);
    env.run_until_done(1);
    assert_eq!(env.target.messages().len(), 5);
    assert!(env.status()["trouble"].is_null());
}

#[test]
fn after_a_day_it_is_listed_as_failed_and_the_rest_goes_on() {
    let (env, hidden) = held_up();
    assert_eq!(env.run().status, 3);
    assert_eq!(env.status()["in_flight"], 1);
    // The day passes while nothing runs, or in many runs.
    env
        .sql()
        .execute_batch("UPDATE message SET in_flight_since = '2023-11-15T00:00:00Z' WHERE status = 'in_flight'")
        .unwrap();
    let ran = env.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    let status = env.status();
    assert_eq!(status["in_flight"], 0, "{}", ran.err);
    assert_eq!(status["failed"], 1, "{}\n{}", ran.err, env.dump());
    let failed = env.command(&["status", "--failed"]).out;
    let failed = failed.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(failed.contains("may be there"), "{failed}");
    assert_eq!(env.target.messages().len(), 5, "{}", env.dump());
    assert!(env.status()["trouble"].is_null(), "{status}");
    // Nothing is sent blindly, also when it can be read again.
    env.target.cure(hidden);
    assert_eq!(env.run().status, 3);
    assert_eq!(env.target.messages().len(), 5);
}
