//! What `status` and `check` say of a run that was killed.

use crate::testkit::env::TestEnv;
use crate::testkit::eventually;

#[test]
fn a_run_that_was_killed_is_said_so_at_once() {
    let stage = TestEnv::new();
    stage.mails(1);
    let mut run = stage.spawn_for_good(&[]);
    eventually("it delivers", || stage.held().len() == 1);
    eventually("it is running", || stage.status()["state"] == "running");
    run.kill().unwrap();
    run.wait().unwrap();
    // Its last sign of life is a moment old, and no end was recorded.
    let status = stage.status();
    assert_eq!(status["state"], "not_running", "{status}");
    let said = stage.command(&["status"]).out;
    assert!(said.starts_with("NOT RUNNING: "), "{said}");
    assert!(said.contains("no end of the run was recorded"), "{said}");
    let checked = stage.command(&["check", "--config", "config.json"]).out;
    let plain = checked.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(plain.contains("no run is using it now"), "{checked}");
    stage.run_until_done(1);
    assert!(
        stage
            .command(&["status"])
            .out
            .contains("the last run ended")
    );
}
