//! A configuration that is read again while the program runs: which ledger it names, and what may fail by the way.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use gmail_stand_in::Refusal;
use imap_to_gmail::config::Intervals;
use serde_json::{Value, json};

use super::sign_in::{Daemon, trouble};
use super::told::Told;
use crate::testkit::env::TestEnv;
use crate::testkit::{eventually, route};

const GOES_ON: &str = "the configuration has changed: going on with it";
const UNUSED: &str = "is not used";

fn said(told: &Told, words: &str) -> usize {
    told.lines().iter().filter(|l| l.contains(words)).count()
}

fn is_taken(told: &Told, times: usize) {
    eventually("the configuration is read again", || {
        said(told, GOES_ON) + said(told, UNUSED) >= times
    });
    assert_eq!(said(told, UNUSED), 0, "{:#?}", told.lines());
}

#[test]
fn the_ledger_in_use_may_be_named_by_another_name() {
    let mut env = TestEnv::new();
    let ledger = env.ledger_file();
    let told = Told::by(&env, &[]);
    told.says("watching INBOX");
    let folder = env.dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let link = folder.join("link.db");
    symlink(&ledger, &link).unwrap();
    let about = folder.join("..").join(ledger.file_name().unwrap());
    for (n, name) in [&link, &about, &ledger].into_iter().enumerate() {
        env.set("state_file", name.to_str().unwrap());
        is_taken(&told, n + 1);
    }
    let other = folder.join("other.db");
    env.set("state_file", other.to_str().unwrap());
    told.says("its `state_file` is another ledger");
    env.set("state_file", ledger.to_str().unwrap());
    told.end();
}

#[test]
fn what_we_advise_to_write_as_state_file_can_be_written_while_it_runs() {
    let mut env = TestEnv::new();
    // Where earlier versions had it: in the folder in which the program was started.
    let started_in = env.dir.path().join("home");
    fs::create_dir(&started_in).unwrap();
    let whole = started_in.join("ledger.db");
    env.set("state_file", whole.to_str().unwrap());
    env.run_until_done(1);
    env.set("state_file", "ledger.db");
    let mut child = env.child(&[]);
    child
        .current_dir(&started_in)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let told = Told::of(child.spawn().unwrap());
    told.says("write its whole path as `state_file`");
    told.says("watching INBOX");
    env.set("state_file", whole.to_str().unwrap());
    is_taken(&told, 1);
    env.set("state_file", "ledger.db");
    is_taken(&told, 2);
    told.end();
}

#[test]
fn where_the_command_line_names_the_ledger_the_configuration_may_say_anything() {
    let mut env = TestEnv::new();
    let given = env.dir.path().join("given.db");
    let told = Told::by(&env, &["--state-file", given.to_str().unwrap()]);
    told.says("watching INBOX");
    let other = env.dir.path().join("other.db");
    env.set("state_file", other.to_str().unwrap());
    is_taken(&told, 1);
    // Other accounts are another thing, and `state_file` would not help there.
    env.set("source_user", "somebody.else@example.org");
    let unused = told.says("it names other accounts or servers");
    assert!(unused.contains("with another `--state-file`"), "{unused}");
    assert!(!other.exists());
    told.end();
}

/// What a person is waited for may have been mended by any file that the configuration names, so it is read again now
/// and then. What fails by that says nothing of the configuration.
#[test]
fn a_password_that_cannot_be_had_for_a_moment_is_no_fault_of_a_configuration_that_nobody_changed() {
    let mut env = TestEnv::new();
    env.target.refuse_login(Refusal::InvalidCredentials, 999);
    let (password, asked) = (env.dir.path().join("pass"), env.dir.path().join("asked"));
    fs::write(&password, env.source.password()).unwrap();
    let command = format!("echo >> {}; cat {}", asked.display(), password.display());
    env.set("source_pass", Value::Null);
    env.set("source_pass_command", json!(["sh", "-c", command]));
    let times = Intervals {
        needs_user: Duration::from_millis(300),
        ..route::quick()
    };
    let count = || fs::read(&asked).map_or(0, |asked| asked.len());
    let daemon = Daemon::start(&mut env, times, |_| {});
    eventually("a person is asked for", || {
        trouble(&env)["kind"] == "needs_user"
    });
    let of_config =
        || -> Option<String> { env.one("SELECT trouble FROM heartbeat WHERE part = 'config'") };
    fs::remove_file(&password).unwrap();
    let before = count();
    eventually("it is asked for in vain", || count() >= before + 3);
    assert_eq!(of_config(), None);
    // In a configuration that was changed it is one, for as long as it lasts.
    env.set("connections", 2);
    let of_config =
        || -> Option<String> { env.one("SELECT trouble FROM heartbeat WHERE part = 'config'") };
    eventually("it is told", || {
        of_config().is_some_and(|t| t.contains(UNUSED))
    });
    let before = count();
    eventually("it is asked for in vain", || count() >= before + 3);
    assert!(of_config().is_some());
    fs::write(&password, env.source.password()).unwrap();
    eventually("it is taken", || of_config().is_none());
    drop(daemon);
}
