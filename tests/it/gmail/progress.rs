//! What a run says of how far it has come: in the log, on a terminal, and at its end.

use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use gmail_stand_in::{Mail, Refusal};

use crate::testkit::env::{DATE, TestEnv, mail};
use crate::testkit::eventually;
use crate::testkit::terminal::terminal;

/// The sentences of a log, without their times.
fn sentences(log: &str) -> Vec<&str> {
    log.lines()
        .filter_map(|l| l.split_once("Z INFO  ").or(l.split_once("Z WARN  ")))
        .map(|(_, sentence)| sentence)
        .collect()
}

#[test]
fn a_run_sums_up_what_it_did() {
    let env = TestEnv::new();
    env.mails(3);
    let there = env.mail("<there@x>", "copied by hand");
    env.target.add(Mail::new(&there));
    env.target.knobs(|k| k.append_limit = 1000);
    env.source
        .add(Mail::new(mail("<big@x>", DATE, &"x".repeat(2000))));
    let ran = env.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    let all = sentences(&ran.err);
    let begin = all
        .iter()
        .position(|s| s.starts_with("delivered 3"))
        .unwrap();
    let bytes = 3 * mail("<0@example.org>", DATE, "text 0").len();
    assert!(
        all[begin].starts_with(&format!("delivered 3 messages ({bytes} bytes) in ")),
        "{}",
        ran.err
    );
    let big = mail("<big@x>", DATE, &"x".repeat(2000)).len();
    assert_eq!(
        all[begin + 1..],
        [
            "already there: 1 message".to_string(),
            format!(
                "failed: 1 message: the message has {big} bytes, the target takes at most 1000"
            ),
            format!(
                "ended with 0 messages waiting and 1 failed; `imap-to-gmail status --failed --config {}` says why",
                env.config_file().display()
            ),
        ]
    );
    // Another run has done nothing, and says so.
    let ran = env.run();
    let all = sentences(&ran.err);
    assert_eq!(
        all[1..],
        [
            "nothing waits, 4 messages delivered before, 1 failed".to_string(),
            "no new messages in INBOX".to_string(),
            "delivered no messages".to_string(),
            format!(
                "ended with 0 messages waiting and 1 failed; `imap-to-gmail status --failed --config {}` says why",
                env.config_file().display()
            ),
        ]
    );
}

#[test]
fn a_dry_run_says_how_long_it_would_take() {
    let mut env = TestEnv::new();
    env.mails(3);
    let dry = |env: &TestEnv| {
        let ran = env.run_with(&["--dry-run"]);
        assert_eq!(ran.status, 0, "{}", ran.err);
        let (_, said) = ran.out.split_once("would send ").unwrap();
        said.to_string()
    };
    let one = mail("<0@example.org>", DATE, "text 0").len();
    let sent = format!("3 messages ({} bytes) to user@gmail.com\n", 3 * one);
    assert_eq!(
        dry(&env),
        format!(
            "{sent}\
Google names a limit of 500 MB a day for uploads over IMAP to a Workspace
  account; under it all of it may go at once
with `--debug` each message is listed
"
        )
    );
    for (limit, takes) in [
        // A tenth of it is kept for new mail.
        (4 * one, "all of it may go at once"),
        (
            3 * one,
            "2 messages may go at once, the last of it\n  goes after about a day",
        ),
        (
            2 * one,
            "1 message may go at once, the last of it\n  goes after about 2 days",
        ),
        (
            one,
            "1 message may go at once, the last of it\n  goes after about 2 days",
        ),
    ] {
        env.set("upload_limit_per_day", limit.to_string());
        assert_eq!(
            dry(&env),
            format!(
                "{sent}upload limit: {limit} bytes in 24 hours: {takes}\nwith `--debug` each message is listed\n"
            )
        );
    }
    // A day's budget, spent; what is left to send is none of it.
    assert_eq!(env.run().status, 3);
    assert_eq!(
        dry(&env),
        format!(
            "2 messages ({} bytes) to user@gmail.com
upload limit: {one} bytes in 24 hours, {one} bytes of which are used: 0 messages may
  go at once, the last of it goes after about 2 days
with `--debug` each message is listed\n",
            2 * one
        )
    );
}

#[test]
fn a_run_that_breaks_off_says_what_it_did_before() {
    let env = TestEnv::new();
    env.mails(8);
    env.target.knobs(|k| k.upload_budget = Some(500));
    let ran = env.run();
    let at = |begin: &str| ran.err.find(begin).unwrap_or_else(|| panic!("{}", ran.err));
    assert!(at("INFO  delivered ") < at("error: "), "{}", ran.err);
    assert!(at("INFO  waiting: ") < at("error: "), "{}", ran.err);
    let held = env.held().len();
    let rows: i64 = env.one("SELECT count(*) FROM message WHERE status = 'delivered'");
    assert_eq!(held as i64, rows);
    assert!(
        ran.err.contains(&format!("INFO  delivered {held} message")),
        "{}",
        ran.err
    );
}

/// How many of `all` messages the lines of a log say are done.
fn counts(log: &str, all: usize) -> Vec<u64> {
    let of = format!(" of {all} messages, ");
    sentences(log)
        .iter()
        .filter_map(|s| s.split_once(&of))
        .map(|(n, _)| n.parse().unwrap())
        .collect()
}

#[test]
fn the_log_says_how_far_it_is_and_at_rest_nothing() {
    let env = TestEnv::new();
    env.mails(24);
    env.target
        .knobs(|k| k.round_trip = Duration::from_millis(150));
    let mut child = env.spawn_for_good(&[]);
    let log = follow(child.stderr.take().unwrap());
    let text = || log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    eventually("all is delivered", || env.held().len() == 24);
    eventually("nothing is under way", || env.status()["delivered"] == 24);
    let before = counts(&text(), 24);
    assert!(!before.is_empty(), "{}", text());
    assert!(before.is_sorted_by(|a, b| a < b), "{}", text());
    // Several times what lies between two lines.
    thread::sleep(Duration::from_millis(1500));
    let after = counts(&text(), 24);
    assert!(after.len() <= before.len() + 1, "{}", text());
    end(&mut child);
    let text = log
        .1
        .join()
        .map(|()| log.0.lock().unwrap().clone())
        .unwrap();
    assert!(text.contains("INFO  delivered 24 messages ("), "{text}");
    assert!(
        text.ends_with("INFO  stopped; the next run goes on from here\n"),
        "{text}"
    );
}

type Followed = (Arc<Mutex<String>>, JoinHandle<()>);

/// What comes, as it comes.
fn follow(mut from: impl std::io::Read + Send + 'static) -> Followed {
    let text = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&text);
    let thread = thread::spawn(move || {
        let mut buffer = [0; 4096];
        // A terminal whose last user has gone fails.
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            into.lock()
                .unwrap()
                .push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    });
    (text, thread)
}

fn end(child: &mut Child) {
    let _ = Command::new("kill").arg(child.id().to_string()).status();
    assert!(child.wait().unwrap().success());
}

/// The program on a terminal.
fn on_terminal(env: &TestEnv, extra: &[&str], term: &str) -> (Child, Followed) {
    let (master, slave) = terminal(24, 80);
    let mut command = env.child(extra);
    command
        .env("TERM", term)
        .stdin(slave.try_clone().unwrap())
        .stdout(slave.try_clone().unwrap())
        .stderr(slave);
    let child = command.spawn().unwrap();
    // Our own copies of its end would keep the terminal open.
    drop(command);
    (child, follow(master))
}

/// What a terminal shows after these bytes, as far as a line at its bottom needs it.
fn screen(bytes: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let (mut row, mut column) = (0, 0);
    let mut rest = bytes.chars();
    while let Some(c) = rest.next() {
        match c {
            '\r' => column = 0,
            '\n' => {
                row += 1;
                lines.resize(lines.len().max(row + 1), String::new());
            }
            '\x1b' => {
                assert_eq!(rest.next(), Some('['), "{bytes:?}");
                let mut figures = String::new();
                let command = rest
                    .find(|c| {
                        figures.push(*c);
                        c.is_ascii_alphabetic()
                    })
                    .unwrap();
                let n: usize = figures.trim_end_matches(command).parse().unwrap_or(1);
                match command {
                    'A' => row -= n,
                    'K' if n == 2 => lines[row].clear(),
                    'K' => lines[row].truncate(column),
                    other => panic!("{other} in {bytes:?}"),
                }
            }
            c => {
                let mut line: Vec<char> = lines[row].chars().collect();
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                column += 1;
                lines[row] = line.into_iter().collect();
            }
        }
    }
    lines.iter().map(|l| l.trim_end().to_string()).collect()
}

#[test]
fn the_line_at_the_bottom_shares_the_terminal_with_the_log_and_goes() {
    let env = TestEnv::new();
    env.mails(12);
    env.target
        .knobs(|k| k.round_trip = Duration::from_millis(150));
    let (mut child, (text, thread)) = on_terminal(&env, &[], "xterm");
    let seen = || screen(&text.lock().unwrap());
    eventually("it says how far it is", || {
        seen()
            .last()
            .is_some_and(|l| l.contains(" of 12 messages, 0.0 of 0.0 MB"))
    });
    eventually("it says that it watches", || {
        seen().last().is_some_and(|l| l == "watching; 12 delivered")
    });
    // As the terminal echoes Ctrl-C.
    text.lock().unwrap().push_str("^C");
    end(&mut child);
    thread.join().unwrap();
    let end = seen();
    assert!(!end.iter().any(|l| l.contains("^C")), "{end:#?}");
    let lines: Vec<&String> = end
        .iter()
        .filter(|l| l.contains("INFO") || l.contains("WARN"))
        .collect();
    assert_eq!(
        lines.last().unwrap().split_once("INFO  ").unwrap().1,
        "stopped; the next run goes on from here"
    );
    for line in &lines {
        // Whole lines of the log, each from its beginning.
        assert!(
            line.starts_with("20") && line.as_bytes()[19] == b'Z',
            "{end:#?}"
        );
    }
    let delivered = lines
        .iter()
        .filter(|l| l.contains("INFO  delivered the mail of "))
        .count();
    assert_eq!(delivered, 12, "{end:#?}");
    assert!(!end.iter().any(|l| l.contains("watching;")), "{end:#?}");
    assert!(
        !end.iter().any(|l| l.contains(" of 12 messages")),
        "{end:#?}"
    );
    assert_eq!(end.last().unwrap(), "", "{end:#?}");
}

#[test]
fn an_error_after_the_line_stands_alone_and_the_log_may_be_elsewhere() {
    let env = TestEnv::new();
    env.mails(4);
    env.target
        .knobs(|k| k.round_trip = Duration::from_millis(150));
    env.target.knobs(|k| k.append_limit = 1);
    let log = env.dir.path().join("log");
    let log = log.to_str().unwrap();
    let (mut child, (text, thread)) = on_terminal(&env, &["--once", "--log", log], "xterm");
    assert_eq!(child.wait().unwrap().code(), Some(3));
    thread.join().unwrap();
    let end = printed(&text.lock().unwrap());
    let begin = end
        .iter()
        .position(|l| l == "delivered no messages")
        .unwrap();
    assert_eq!(begin, 0, "{end:#?}");
    // Where lines are broken depends on how long the path is.
    let without_blanks = |text: &str| text.split_whitespace().collect::<String>();
    assert_eq!(
        without_blanks(&end[begin + 1..].join(" ")),
        without_blanks(&format!(
            "failed: 4 messages: the message has 124 bytes, the target takes at most 1 \
             ended with 0 messages waiting and 4 failed; `imap-to-gmail status --failed --config {}` says why",
            env.config_file().display()
        ))
    );
    env.target.refuse_login(Refusal::InvalidCredentials, 99);
    env.mails(1);
    env.source.add(Mail::new(mail("<new@x>", DATE, "new")));
    let (mut child, (text, thread)) = on_terminal(&env, &["--once", "--log", log], "xterm");
    assert_eq!(child.wait().unwrap().code(), Some(4));
    thread.join().unwrap();
    let end = printed(&text.lock().unwrap());
    assert!(
        end.join(" ").starts_with("error: the target refused the sign-in of user@gmail.com (`target_pass`); the server said: "),
        "{end:#?}"
    );
    assert!(end[1..].iter().any(|l| l.starts_with("hint: ")), "{end:#?}");
    let lines = end.iter().filter(|l| l.contains("messages"));
    assert_eq!(lines.count(), 0, "{end:#?}");
}

/// What is on the screen in the end, without what the test binary itself says first.
fn printed(bytes: &str) -> Vec<String> {
    let mut lines = screen(bytes);
    lines.retain(|l| !l.is_empty() && l != "running 1 test");
    lines
}

#[test]
fn a_terminal_that_can_only_print_gets_no_line() {
    let env = TestEnv::new();
    env.mails(4);
    let (mut child, (text, thread)) = on_terminal(&env, &["--once"], "dumb");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    thread.join().unwrap();
    let text = text.lock().unwrap();
    assert!(!text.contains('\x1b'), "{text:?}");
    assert!(text.contains("delivered 4 messages"), "{text}");
}
