//! What `status` and `check` say of a run that was killed.

use crate::testkit::env::TestEnv;
use crate::testkit::eventually;

#[test]
fn a_run_that_was_killed_is_said_so_at_once() {
    let env = TestEnv::new();
    env.mails(1);
    let mut run = env.spawn_for_good(&[]);
    eventually("it delivers", || env.held().len() == 1);
    eventually("it is running", || env.status()["state"] == "running");
    run.kill().unwrap();
    run.wait().unwrap();
    // Its last sign of life is a moment old, and no end was recorded.
    let status = env.status();
    assert_eq!(status["state"], "not_running", "{status}");
    let said = env.command(&["status"]).out;
    assert!(said.starts_with("NOT RUNNING: "), "{said}");
    assert!(said.contains("no end of the run was recorded"), "{said}");
    let checked = env.command(&["check", "--config", "config.json"]).out;
    let plain = checked.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(plain.contains("no run is using it now"), "{checked}");
    env.run_until_done(1);
    assert!(env.command(&["status"]).out.contains("the last run ended"));
}
