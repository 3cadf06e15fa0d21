//! A mailbox of the target that is put back to an earlier state, as from a snapshot: its UIDVALIDITY stays, and UIDs that were
//! given since are given again, to other messages. A place of before proves nothing then, neither that a message is
//! another row's nor that ours cannot lie there.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use gmail_stand_in::{Fault, Mail, On};

use crate::testkit::env::TestEnv;
use crate::testkit::route::Ran;
use crate::testkit::scripted_proxy::{Part, Then, Twist};

const NAMED: &str = "<new@example.org>";

fn text(id: &str, text: &str) -> Vec<u8> {
    let name = match id {
        "" => String::new(),
        id => format!("Message-ID: {id}\r\n"),
    };
    format!("From: Ann <ann@example.org>\r\n{name}Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\n{text}\r\n")
        .into_bytes()
}

/// Eleven messages were delivered, by one connection and in two runs: the index knows ten of them, the ledger the
/// places of all.
fn eleven() -> TestEnv {
    let mut env = super::into_any_server();
    env.set("connections", 1);
    env.old_mails(10);
    env.run_until_done(1);
    env.source
        .add(Mail::new(text("<10@example.org>", "one more")));
    env.run_until_done(1);
    assert_eq!(env.target.uids("INBOX").1, 12);
    knows_less(&env, 11);
    env
}

/// As if the run had ended before it looked at what it delivered last.
fn knows_less(env: &TestEnv, next: u32) {
    let forget = format!(
        "DELETE FROM gmail_message WHERE uid >= {next}; UPDATE gmail_mailbox SET next_uid = {next}"
    );
    env.sql().execute_batch(&forget).unwrap();
}

/// The state in which it held the first five.
pub(super) fn put_back(env: &TestEnv) {
    let held = env.target.mailbox("INBOX");
    for (_, id) in &held[5..] {
        env.target.delete(*id);
    }
    let (validity, _) = env.target.uids("INBOX");
    env.target.renumber("INBOX", validity);
    assert_eq!(env.target.uids("INBOX"), (validity, 6));
}

/// Mail that others bring.
fn others(env: &TestEnv, count: usize) {
    for i in 0..count {
        let mail = text(&format!("<other{i}@example.org>"), "of another route");
        env.target.add(Mail::new(mail));
    }
}

/// The run was content, and the target has this message once.
#[track_caller]
fn is_there_once(env: &TestEnv, ran: &Ran, bytes: &[u8]) {
    assert_eq!(ran.status, 0, "{}", ran.err);
    let held = env.target.messages();
    let copies = held.iter().filter(|m| m.bytes == bytes).count();
    let mail = String::from_utf8_lossy(bytes);
    assert_eq!(copies, 1, "{mail}\n{}\n{}", ran.err, env.dump());
}

/// Where a command waits for the test.
struct Gate {
    heard: Receiver<()>,
    open: Sender<()>,
}

impl Gate {
    fn wait(&self) {
        self.heard.recv_timeout(Duration::from_secs(20)).unwrap();
    }

    fn pass(&self) {
        self.open.send(()).unwrap();
    }
}

/// The first command for which `due` holds waits at the gate, before `then`.
fn gate(then: Then, due: impl Fn() -> bool + Send + Sync + 'static) -> (Gate, Part) {
    let ((heard, hears), (open, opens)) = (channel(), channel());
    let opens = Mutex::new(opens);
    let part: Part = Arc::new(move |_, _| {
        if due() {
            heard.send(()).unwrap();
            opens.lock().unwrap().recv().unwrap();
            return then;
        }
        Then::Server
    });
    let (heard, open) = (hears, open);
    (Gate { heard, open }, part)
}

/// New mail is sent; `at_append` happens when its APPEND was said and not heard so far, `after` when it was stored and
/// the connection was cut, before the target is looked at again.
fn meanwhile(env: &mut TestEnv, at_append: impl Fn(&TestEnv), after: impl Fn(&TestEnv)) -> Ran {
    let sent = Arc::new(AtomicBool::new(false));
    let said = Arc::clone(&sent);
    let (append, part) = gate(Then::Server, move || {
        said.store(true, Ordering::SeqCst);
        true
    });
    let appends = Twist::at(env.target.port(), "APPEND", 1, part);
    let (examine, part) = gate(Then::Server, move || sent.swap(false, Ordering::SeqCst));
    let examines = Twist::at(appends.port, "EXAMINE", usize::MAX, part);
    env.set("target_port", examines.port);
    let stored = true;
    env.target
        .fault(On::nth(1, "APPEND"), Fault::CutAfterLiteral { stored });
    let env = &*env;
    thread::scope(|threads| {
        let running = threads.spawn(|| env.run());
        append.wait();
        at_append(env);
        append.pass();
        examine.wait();
        after(env);
        examine.pass();
        running.join().unwrap()
    })
}

/// Whatever comes next is delivered once, and nothing is charged.
#[track_caller]
fn goes_on(env: &TestEnv, held: usize) {
    env.source.add(Mail::new(text("", "and what comes next")));
    env.run_until_done(1);
    assert_eq!(env.target.messages().len(), held + 1, "{}", env.dump());
    env.assert_nobody_charged();
}

#[test]
fn before_anybody_looked_at_what_was_delivered_last() {
    for name in [NAMED, ""] {
        let mut env = super::into_any_server();
        env.set("connections", 1);
        env.old_mails(10);
        env.run_until_done(1);
        knows_less(&env, 6);
        put_back(&env);
        let new = text(name, "sent when it was restored");
        env.source.add(Mail::new(&new[..]));
        let stored = true;
        env.target
            .fault(On::nth(1, "APPEND"), Fault::CutAfterLiteral { stored });
        let ran = env.run();
        is_there_once(&env, &ran, &new);
        assert!(
            ran.err.contains("went back to an earlier state"),
            "{}",
            ran.err
        );
        goes_on(&env, 6);
    }
}

#[test]
fn between_the_look_and_the_append() {
    for name in [NAMED, ""] {
        let mut env = eleven();
        let new = text(name, "under way when it was restored");
        env.source.add(Mail::new(&new[..]));
        let ran = meanwhile(&mut env, put_back, |_| ());
        is_there_once(&env, &ran, &new);
        goes_on(&env, 6);
    }
}

/// As many messages came since as had gone: UIDNEXT tells nothing.
#[test]
fn and_has_grown_again_before_it_is_looked_at() {
    for name in [NAMED, ""] {
        let mut env = eleven();
        let new = text(name, "under way when it was restored");
        env.source.add(Mail::new(&new[..]));
        let ran = meanwhile(&mut env, put_back, |env| others(env, 8));
        is_there_once(&env, &ran, &new);
        goes_on(&env, 14);
    }
}

/// What somebody brings lies where a copy of ours lay.
#[test]
fn and_a_copy_that_was_brought_since_is_recognised() {
    for name in [NAMED, ""] {
        for more in [0, 8] {
            let env = eleven();
            put_back(&env);
            let new = text(name, "brought by hand");
            env.target.add(Mail::new(&new[..]));
            others(&env, more);
            env.source.add(Mail::new(&new[..]));
            let ran = env.run();
            is_there_once(&env, &ran, &new);
            let proof: String = env.one("SELECT proof FROM message ORDER BY id DESC LIMIT 1");
            assert_eq!(proof, "found");
            goes_on(&env, 6 + more);
        }
    }
}

/// And a connection is lost with it, whatever was about to be asked: what somebody brought meanwhile, where copies of
/// ours lay, is recognised all the same.
#[test]
fn at_any_moment_of_a_run_whose_connection_is_lost_with_it() {
    let mut restored = 0;
    for nth in 1.. {
        let mut env = super::into_any_server();
        env.set("connections", 1);
        env.old_mails(40);
        let asked = AtomicUsize::new(0);
        let (lost, part) = gate(Then::End, move || {
            asked.fetch_add(1, Ordering::SeqCst) + 1 == nth
        });
        let fetches = Twist::at(env.target.port(), "UID FETCH", usize::MAX, part);
        env.set("target_port", fetches.port);
        let mut brought = Vec::new();
        let (ran, reached) = thread::scope(|threads| {
            let running = threads.spawn(|| env.run());
            while !running.is_finished() {
                if lost.heard.recv_timeout(Duration::from_millis(20)).is_ok() {
                    brought = put_back_to_two(&env);
                    lost.pass();
                }
            }
            (running.join().unwrap(), fetches.struck() >= nth)
        });
        assert_eq!(ran.status, 0, "{nth}: {}", ran.err);
        for mail in &brought {
            is_there_once(&env, &ran, mail);
        }
        restored += usize::from(!brought.is_empty());
        if !reached {
            break;
        }
    }
    assert!(restored > 2, "{restored}");
}

/// The state in which it held the first two, and then what somebody brought: messages that we have not sent so far.
fn put_back_to_two(env: &TestEnv) -> Vec<Vec<u8>> {
    let held = env.target.mailbox("INBOX");
    let there: Vec<Vec<u8>> = env.target.messages().into_iter().map(|m| m.bytes).collect();
    let source = env.source.messages().into_iter().map(|m| m.bytes);
    let brought: Vec<Vec<u8>> = source.filter(|m| !there.contains(m)).take(2).collect();
    if held.len() < 5 || brought.is_empty() {
        return Vec::new();
    }
    for (_, id) in &held[2..] {
        env.target.delete(*id);
    }
    let (validity, _) = env.target.uids("INBOX");
    env.target.renumber("INBOX", validity);
    for mail in &brought {
        env.target.add(Mail::new(&mail[..]));
    }
    brought
}
