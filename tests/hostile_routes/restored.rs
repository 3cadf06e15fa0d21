//! A mailbox of the target that is put back to an earlier state, as from a snapshot: its UIDVALIDITY stays, and UIDs that were
//! given since are given again, to other messages. A place of before proves nothing then, neither that a message is
//! another row's nor that ours cannot lie there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use gmail_stand_in::{Fault, Mail, On};

use super::stage::Stage;
use super::twist::{Part, Then, Twist};
use crate::common::world::Ran;

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
fn eleven() -> Stage {
    let mut stage = Stage::with_plain_target();
    stage.set("connections", 1);
    stage.mails(10);
    stage.run_until_done(1);
    stage
        .source
        .add(Mail::new(text("<10@example.org>", "one more")));
    stage.run_until_done(1);
    assert_eq!(stage.target.uids("INBOX").1, 12);
    assert_eq!(stage.one::<u32>("SELECT next_uid FROM gmail_mailbox"), 11);
    stage
}

/// The state in which it held the first five.
fn put_back(stage: &Stage) {
    let held = stage.target.mailbox("INBOX");
    for (_, id) in &held[5..] {
        stage.target.delete(*id);
    }
    let (validity, _) = stage.target.uids("INBOX");
    stage.target.renumber("INBOX", validity);
    assert_eq!(stage.target.uids("INBOX"), (validity, 6));
}

/// Mail that others bring.
fn others(stage: &Stage, count: usize) {
    for i in 0..count {
        let mail = text(&format!("<other{i}@example.org>"), "of another route");
        stage.target.add(Mail::new(mail));
    }
}

fn copies(stage: &Stage, bytes: &[u8]) -> usize {
    let held = stage.target.messages();
    held.iter().filter(|m| m.bytes == bytes).count()
}

/// Where a command waits for the test.
struct Gate {
    heard: Receiver<()>,
    open: Sender<()>,
}

impl Gate {
    fn wait(&self) {
        self.heard.recv().unwrap();
    }

    fn pass(&self) {
        self.open.send(()).unwrap();
    }
}

/// The first command for which `due` holds waits at the gate.
fn gate(due: impl Fn() -> bool + Send + Sync + 'static) -> (Gate, Part) {
    let ((heard, hears), (open, opens)) = (channel(), channel());
    let opens = Mutex::new(opens);
    let part: Part = Arc::new(move |_, _| {
        if due() {
            heard.send(()).unwrap();
            opens.lock().unwrap().recv().unwrap();
        }
        Then::Server
    });
    let (heard, open) = (hears, open);
    (Gate { heard, open }, part)
}

/// New mail is sent; `at_append` happens when its APPEND was said and not heard so far, `after` when it was stored and
/// the connection was cut, before the target is looked at again.
fn meanwhile(stage: &mut Stage, at_append: impl Fn(&Stage), after: impl Fn(&Stage)) -> Ran {
    let sent = Arc::new(AtomicBool::new(false));
    let said = Arc::clone(&sent);
    let (append, part) = gate(move || {
        said.store(true, Ordering::SeqCst);
        true
    });
    let appends = Twist::at(stage.target.port(), "APPEND", 1, part);
    let (examine, part) = gate(move || sent.swap(false, Ordering::SeqCst));
    let examines = Twist::at(appends.port, "EXAMINE", usize::MAX, part);
    stage.set("target_port", examines.port);
    let stored = true;
    stage
        .target
        .fault(On::nth(1, "APPEND"), Fault::CutAfterLiteral { stored });
    let stage = &*stage;
    thread::scope(|threads| {
        let running = threads.spawn(|| stage.run());
        append.wait();
        at_append(stage);
        append.pass();
        examine.wait();
        after(stage);
        examine.pass();
        running.join().unwrap()
    })
}

/// Whatever comes next is delivered once, and nothing is charged.
#[track_caller]
fn goes_on(stage: &Stage, held: usize) {
    stage.source.add(Mail::new(text("", "and what comes next")));
    stage.run_until_done(1);
    assert_eq!(stage.target.messages().len(), held + 1, "{}", stage.dump());
    stage.assert_nobody_charged();
}

#[test]
fn before_anybody_looked_at_what_was_delivered_last() {
    for name in [NAMED, ""] {
        let mut stage = Stage::with_plain_target();
        stage.set("connections", 1);
        // In two batches: the index was looked at before the second, and not again.
        stage.mails(10);
        stage.run_until_done(1);
        assert_eq!(stage.one::<u32>("SELECT next_uid FROM gmail_mailbox"), 6);
        put_back(&stage);
        let new = text(name, "sent when it was restored");
        stage.source.add(Mail::new(&new[..]));
        let stored = true;
        stage
            .target
            .fault(On::nth(1, "APPEND"), Fault::CutAfterLiteral { stored });
        let ran = stage.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert_eq!(
            copies(&stage, &new),
            1,
            "{name}: {}\n{}",
            ran.err,
            stage.dump()
        );
        assert!(
            ran.err.contains("went back to an earlier state"),
            "{}",
            ran.err
        );
        goes_on(&stage, 6);
    }
}

#[test]
fn between_the_look_and_the_append() {
    for name in [NAMED, ""] {
        let mut stage = eleven();
        let new = text(name, "under way when it was restored");
        stage.source.add(Mail::new(&new[..]));
        let ran = meanwhile(&mut stage, put_back, |_| ());
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert_eq!(
            copies(&stage, &new),
            1,
            "{name}: {}\n{}",
            ran.err,
            stage.dump()
        );
        goes_on(&stage, 6);
    }
}

/// As many messages came since as had gone: UIDNEXT tells nothing.
#[test]
fn and_has_grown_again_before_it_is_looked_at() {
    for name in [NAMED, ""] {
        let mut stage = eleven();
        let new = text(name, "under way when it was restored");
        stage.source.add(Mail::new(&new[..]));
        let ran = meanwhile(&mut stage, put_back, |stage| others(stage, 8));
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert_eq!(
            copies(&stage, &new),
            1,
            "{name}: {}\n{}",
            ran.err,
            stage.dump()
        );
        goes_on(&stage, 14);
    }
}

/// What somebody brings lies where a copy of ours lay.
#[test]
fn and_a_copy_that_was_brought_since_is_recognised() {
    for name in [NAMED, ""] {
        for more in [0, 8] {
            let stage = eleven();
            put_back(&stage);
            let new = text(name, "brought by hand");
            stage.target.add(Mail::new(&new[..]));
            others(&stage, more);
            stage.source.add(Mail::new(&new[..]));
            let ran = stage.run();
            assert_eq!(ran.status, 0, "{}", ran.err);
            assert_eq!(
                copies(&stage, &new),
                1,
                "{name}, {more}: {}\n{}",
                ran.err,
                stage.dump()
            );
            let proof: String = stage.one("SELECT proof FROM message ORDER BY id DESC LIMIT 1");
            assert_eq!(proof, "found");
            goes_on(&stage, 6 + more);
        }
    }
}
