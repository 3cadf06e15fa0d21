//! A command that does not do its work harms nobody but itself.

use std::fs;
use std::path::Path;

use super::{script, told};
use crate::gmail::told::Told;
use crate::testkit::env::TestEnv;
use crate::testkit::eventually;

/// A run whose command does this, with something to tell.
fn telling(lines: &str) -> (TestEnv, Told) {
    let mut env = TestEnv::new();
    script(env.dir.path(), "tell.sh", lines);
    env.set("notify_command", vec!["./tell.sh", "--key", "HUSHHUSH"]);
    // The sign-in will end: mail flows, and a person is told.
    env.set("target_pass", serde_json::Value::Null);
    super::sign_in_age::write_old_token(&mut env, 6);
    let run = Told::by(&env, &[]);
    (env, run)
}

fn is_running(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat"));
    // One that waits to be buried by its parent runs no more.
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn one_that_never_ends_is_ended_with_all_it_started_and_holds_up_no_mail() {
    let (env, run) = telling("sleep 600 & echo $! > pid; echo begun; exec sleep 600");
    let pid = env.dir.path().join("pid");
    eventually("it is run", || {
        fs::read_to_string(&pid).is_ok_and(|p| p.ends_with('\n'))
    });
    let pid = fs::read_to_string(&pid).unwrap();
    // It is stuck while mail comes.
    env.mail("<1@x>", "new mail");
    eventually("it is delivered", || env.held().len() == 1);
    let said = run.says("it had not done its work");
    assert!(said.contains("it printed: begun"), "{said}");
    eventually("nothing of it is left", || !is_running(&pid));
    assert_eq!(run.end().0, Some(0));
}

#[test]
fn one_that_prints_without_end_fills_no_log() {
    let (env, run) = telling("cat >/dev/null; yes HUSHHUSH; echo");
    let said = run.says("it had not done its work");
    assert!(said.len() < 1500 && !said.contains("HUSH"), "{said}");
    env.mail("<1@x>", "new mail");
    eventually("it is delivered", || env.held().len() == 1);
    run.end();
}

#[test]
fn one_that_fails_is_tried_again_and_what_it_said_is_logged() {
    let (env, run) = telling("echo no way >&2; test -e works || exit 7; exec cat >> told.json");
    let said = run.says("ended with exit status: 7; it printed: no way");
    assert!(said.starts_with("WARN "), "{said}");
    fs::write(env.dir.path().join("works"), "").unwrap();
    eventually("it is told", || told(env.dir.path()).len() == 1);
    run.says("was told the trouble");
    run.end();
}

#[test]
fn one_that_reads_nothing_and_ends_has_done_its_work() {
    let (env, run) = telling("exec <&-; echo done > done");
    run.says("was told the trouble");
    assert!(env.dir.path().join("done").exists());
    run.end();
}

#[test]
fn one_that_leaves_a_program_behind_is_not_waited_for() {
    let (env, run) = telling("cat > /dev/null; sleep 30 & echo $! > pid");
    run.says("was told the trouble");
    let pid = fs::read_to_string(env.dir.path().join("pid")).unwrap();
    assert!(is_running(&pid), "it may go on");
    let _ = std::process::Command::new("kill").arg(pid.trim()).status();
    run.end();
}

#[test]
fn one_that_does_not_end_when_the_program_ends_is_ended_with_it() {
    let (env, run) = telling("echo $$ > pid; exec sleep 600");
    let pid = env.dir.path().join("pid");
    eventually("it is run", || {
        fs::read_to_string(&pid).is_ok_and(|p| p.ends_with('\n'))
    });
    let pid = fs::read_to_string(&pid).unwrap();
    assert_eq!(run.end().0, Some(0));
    assert!(!is_running(&pid));
}
