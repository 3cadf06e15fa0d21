//! What any copier needs on this link with these servers: a copier that does nothing but copy. It keeps no account of
//! what it did, looks for no copies, survives no error, and is told apart from the program by nothing else: the same
//! connections, TLS, and the rules for literals that Gmail has.
//!
//! Each of its connections with the target has one with the source and a share of the mailbox. The source streams all of it
//! in answer to one command; each APPEND goes out with the literal of the one before, and nobody waits for its answer.
//! Literals of up to 4,096 bytes do not wait to be asked for (LITERAL-, RFC 7888), the others do.

use std::process::Command;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;

use serde::{Deserialize, Serialize};

use crate::client::{Client, Fetched, Trust, trust};

const CONNECTIONS: usize = 4;
const LITERAL_MINUS_MAX: usize = 4096;
/// Messages between the two threads of a connection.
const AHEAD: usize = 16;
/// What waits to be sent at most before it is.
const TOGETHER: usize = 64 << 10;

/// An account on one of the servers.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) ca_file: String,
}

impl Account {
    fn open(&self, trust: &Trust) -> Client {
        Client::open(self.port, trust, &self.user, &self.password)
    }
}

/// The word that makes this bench the floor.
pub(crate) const WORD: &str = "--floor";

/// A process of its own, so that what it uses is seen.
pub(crate) fn command(source: &Account, target: &Account) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let accounts = serde_json::to_string(&(source, target)).unwrap();
    command.args([WORD, &accounts]);
    command
}

/// In that process: copies.
pub(crate) fn main(accounts: &str) {
    let (source, target): (Account, Account) = serde_json::from_str(accounts).unwrap();
    let (source_trust, target_trust) = (trust(&source.ca_file), trust(&target.ca_file));
    thread::scope(|scope| {
        for share in 0..CONNECTIONS {
            let (give, take) = sync_channel(AHEAD);
            let (source, target) = (&source, &target);
            let (source_trust, target_trust) = (&source_trust, &target_trust);
            scope.spawn(move || fetch(source.open(source_trust), share, &give));
            scope.spawn(move || append(target.open(target_trust), &take));
        }
    });
}

fn fetch(mut source: Client, share: usize, give: &SyncSender<Fetched>) {
    let count = source.examine();
    let first = count * share / CONNECTIONS + 1;
    let last = count * (share + 1) / CONNECTIONS;
    if first > last {
        return;
    }
    source.begin_fetch(first, last);
    while let Some(mail) = source.fetched() {
        give.send(mail).unwrap();
    }
}

fn append(mut target: Client, take: &Receiver<Fetched>) {
    let mut answers = Answers::default();
    let mut out = Vec::new();
    while let Some(mail) = next(&mut target, take, &mut out) {
        let at_once = mail.bytes.len() <= LITERAL_MINUS_MAX;
        let flags = mail.flags.replace("\\Recent", "");
        let (size, plus) = (mail.bytes.len(), if at_once { "+" } else { "" });
        let line = format!(
            "m APPEND INBOX ({}) \"{}\" {{{size}{plus}}}\r\n",
            flags.trim(),
            mail.date
        );
        out.extend_from_slice(line.as_bytes());
        if !at_once {
            target.send(&out);
            out.clear();
            while answers.asked <= answers.literals {
                answers.hear(&target.line());
            }
            answers.literals += 1;
        }
        out.extend_from_slice(&mail.bytes);
        out.extend_from_slice(b"\r\n");
        answers.due += 1;
        if out.len() > TOGETHER {
            target.send(&out);
            out.clear();
            for line in target.lines_so_far() {
                answers.hear(&line);
            }
        }
    }
    while answers.done < answers.due {
        answers.hear(&target.line());
    }
    target.send(b"z LOGOUT\r\n");
    target.until("z");
}

/// The next message. Where it is still to come, what waits to be sent goes out meanwhile.
fn next(target: &mut Client, take: &Receiver<Fetched>, out: &mut Vec<u8>) -> Option<Fetched> {
    match take.try_recv() {
        Ok(mail) => return Some(mail),
        Err(TryRecvError::Disconnected) if out.is_empty() => return None,
        Err(_) => {}
    }
    if !out.is_empty() {
        target.send(out);
        out.clear();
    }
    take.recv().ok()
}

/// What the target has said.
#[derive(Default)]
struct Answers {
    due: usize,
    done: usize,
    /// Literals that had to be asked for and were sent.
    literals: usize,
    asked: usize,
}

impl Answers {
    fn hear(&mut self, line: &str) {
        if line.starts_with('+') {
            self.asked += 1;
        } else if let Some(answer) = line.strip_prefix("m ") {
            assert!(answer.starts_with("OK"), "{line}");
            self.done += 1;
        }
    }
}
