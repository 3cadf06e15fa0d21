//! A source that does as it is told by a test: a small IMAP server of its own, since what it is to do wrong is more
//! than a line here and there.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const CAPABILITIES: &str = "IMAP4rev1 LITERAL+ UIDPLUS IDLE SASL-IR AUTH=PLAIN";
const DATE: &str = "14-Nov-2023 22:13:20 +0000";

#[derive(Clone)]
pub(crate) struct Mail {
    pub(crate) uid: u32,
    pub(crate) bytes: Vec<u8>,
    /// INTERNALDATE as it is told.
    pub(crate) date: String,
}

/// Told each command before it is answered; true: it has answered it, or has hung up.
type Hook = dyn Fn(&mut Talk, &str, &str) -> bool + Send + Sync;

pub(crate) struct Oddity {
    pub(crate) port: u16,
    state: Arc<State>,
}

struct State {
    mails: Mutex<Vec<Mail>>,
    heard: Mutex<Vec<String>>,
    connected: Mutex<Vec<u16>>,
    validity: Mutex<String>,
    hook: Mutex<Arc<Hook>>,
}

/// One connection.
pub(crate) struct Talk {
    out: TcpStream,
    lines: BufReader<TcpStream>,
    state: Arc<State>,
    /// What it shows in place of what there is.
    frozen: Option<Vec<Mail>>,
}

impl Oddity {
    pub(crate) fn new(
        hook: impl Fn(&mut Talk, &str, &str) -> bool + Send + Sync + 'static,
    ) -> Oddity {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            mails: Mutex::default(),
            heard: Mutex::default(),
            connected: Mutex::default(),
            validity: Mutex::new("1".into()),
            hook: Mutex::new(Arc::new(hook)),
        });
        let served = Arc::clone(&state);
        thread::spawn(move || {
            for tcp in listener.incoming().flatten() {
                let _ = tcp.set_nodelay(true);
                let mut talk = Talk {
                    lines: BufReader::new(tcp.try_clone().unwrap()),
                    out: tcp,
                    state: Arc::clone(&served),
                    frozen: None,
                };
                thread::spawn(move || {
                    let peer = talk.peer();
                    talk.state.connected.lock().unwrap().push(peer);
                    talk.serve();
                    talk.state.connected.lock().unwrap().retain(|p| *p != peer);
                    let _ = talk.out.shutdown(Shutdown::Both);
                });
            }
        });
        Oddity { port, state }
    }

    /// Which does nothing odd.
    pub(crate) fn plain() -> Oddity {
        Oddity::new(|_, _, _| false)
    }

    pub(crate) fn is_now(
        &self,
        hook: impl Fn(&mut Talk, &str, &str) -> bool + Send + Sync + 'static,
    ) {
        *self.state.hook.lock().unwrap() = Arc::new(hook);
    }

    pub(crate) fn validity(&self, validity: &str) {
        *self.state.validity.lock().unwrap() = validity.into();
    }

    /// A message under the next number, and its bytes.
    pub(crate) fn mail(&self, text: &str) -> Vec<u8> {
        self.mail_of(text, DATE)
    }

    pub(crate) fn mail_of(&self, text: &str, date: &str) -> Vec<u8> {
        let uid = self.state.uid_next();
        let bytes = format!(
            "From: Ann <ann@example.org>\r\nMessage-ID: <{uid}@odd>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\n{text}\r\n"
        )
        .into_bytes();
        self.put(uid, &bytes, date);
        bytes
    }

    pub(crate) fn put(&self, uid: u32, bytes: &[u8], date: &str) {
        let mail = Mail {
            uid,
            bytes: bytes.to_vec(),
            date: date.into(),
        };
        let mut mails = self.state.mails.lock().unwrap();
        mails.retain(|m| m.uid != uid);
        mails.push(mail);
        mails.sort_by_key(|m| m.uid);
    }

    /// Several messages at once.
    pub(crate) fn put_together(&self, put: &[(u32, &[u8], &str)]) {
        let mut mails = self.state.mails.lock().unwrap();
        for (uid, bytes, date) in put {
            mails.retain(|m| m.uid != *uid);
            mails.push(Mail {
                uid: *uid,
                bytes: bytes.to_vec(),
                date: (*date).into(),
            });
        }
        mails.sort_by_key(|m| m.uid);
    }

    /// Empties the mailbox.
    pub(crate) fn take_all(&self) -> Vec<Mail> {
        std::mem::take(&mut self.state.mails.lock().unwrap())
    }

    pub(crate) fn give_back(&self, mails: Vec<Mail>) {
        *self.state.mails.lock().unwrap() = mails;
    }

    /// How many commands had this in them.
    pub(crate) fn heard_of(&self, part: &str) -> usize {
        let heard = self.state.heard.lock().unwrap();
        heard.iter().filter(|c| c.contains(part)).count()
    }

    /// How many commands began so.
    pub(crate) fn heard(&self, begin: &str) -> usize {
        let heard = self.state.heard.lock().unwrap();
        heard.iter().filter(|c| c.starts_with(begin)).count()
    }
}

impl State {
    fn uid_next(&self) -> u32 {
        self.mails.lock().unwrap().last().map_or(1, |m| m.uid + 1)
    }
}

impl Talk {
    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.out.write_all(bytes.as_ref());
    }

    pub(crate) fn hang_up(&mut self) {
        let _ = self.out.shutdown(Shutdown::Both);
    }

    pub(crate) fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        match self.lines.read_until(b'\n', &mut line) {
            Ok(n @ 1..) if n > 0 => Some(String::from_utf8_lossy(&line).trim_end().to_string()),
            _ => None,
        }
    }

    /// The client's port.
    pub(crate) fn peer(&self) -> u16 {
        self.out.peer_addr().map_or(0, |at| at.port())
    }

    pub(crate) fn is_connected(&self, peer: u16) -> bool {
        self.state.connected.lock().unwrap().contains(&peer)
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.frozen.clone().unwrap_or_else(|| self.there())
    }

    /// What there is now, whatever this connection shows.
    pub(crate) fn there(&self) -> Vec<Mail> {
        self.state.mails.lock().unwrap().clone()
    }

    /// Shows from now on what there is at this moment.
    pub(crate) fn freeze(&mut self) {
        self.frozen = Some(self.there());
    }

    fn serve(&mut self) {
        self.say(format!("* OK [CAPABILITY {CAPABILITIES}] odd\r\n"));
        while let Some(line) = self.line() {
            let (tag, command) = line.split_once(' ').unwrap_or((&line, ""));
            self.state.heard.lock().unwrap().push(command.to_string());
            let hook = Arc::clone(&self.state.hook.lock().unwrap());
            if !hook(self, tag, command) && !self.answer(tag, command) {
                return;
            }
        }
    }

    /// As a good server does. False at the end of the connection.
    fn answer(&mut self, tag: &str, command: &str) -> bool {
        let word = command.split(' ').next().unwrap_or_default();
        match word {
            "AUTHENTICATE" => self.say(format!("{tag} OK [CAPABILITY {CAPABILITIES}] in\r\n")),
            "EXAMINE" => {
                let (count, next) = (self.mails().len(), self.state.uid_next());
                let validity = self.state.validity.lock().unwrap().clone();
                self.say(format!(
                    "* {count} EXISTS\r\n* OK [UIDVALIDITY {validity}] .\r\n* OK [UIDNEXT {next}] .\r\n{tag} OK [READ-ONLY] open\r\n"
                ));
            }
            "NOOP" => {
                let count = self.mails().len();
                self.say(format!("* {count} EXISTS\r\n{tag} OK noop\r\n"));
            }
            "IDLE" => {
                self.say("+ idling\r\n");
                return self.idle(tag);
            }
            "UID" if command.starts_with("UID SEARCH") => self.say(format!("{tag} BAD what\r\n")),
            "FETCH" | "UID" => self.fetch(tag, command, |_, told| told),
            "LOGOUT" => {
                self.say(format!("* BYE\r\n{tag} OK\r\n"));
                return false;
            }
            _ => self.say(format!("{tag} BAD what\r\n")),
        }
        true
    }

    /// Tells of mail that comes until DONE.
    pub(crate) fn idle(&mut self, tag: &str) -> bool {
        let mut known = self.there().len();
        self.out
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let mut said = Vec::new();
        let mut byte = [0; 64];
        while !said.ends_with(b"DONE\r\n") {
            match self.lines.read(&mut byte) {
                Ok(0) => return false,
                Ok(n) => said.extend_from_slice(&byte[..n]),
                Err(_) => {}
            }
            let count = self.there().len();
            if count != std::mem::replace(&mut known, count) {
                self.say(format!("* {count} EXISTS\r\n"));
            }
        }
        self.out.set_read_timeout(None).unwrap();
        self.say(format!("{tag} OK idled\r\n"));
        true
    }

    /// FETCH and UID FETCH; each response as `change` leaves it.
    pub(crate) fn fetch(
        &mut self,
        tag: &str,
        command: &str,
        change: impl Fn(&Mail, Vec<u8>) -> Vec<u8>,
    ) {
        let by_uid = command.starts_with("UID ");
        let mut words = command.splitn(if by_uid { 4 } else { 3 }, ' ');
        let (set, items) = (
            words
                .nth(usize::from(by_uid) + 1)
                .unwrap_or_default()
                .to_string(),
            words.next().unwrap_or_default().to_string(),
        );
        let mails = self.mails();
        let last = if by_uid {
            mails.last().map_or(0, |m| m.uid)
        } else {
            mails.len() as u32
        };
        for (i, mail) in mails.iter().enumerate() {
            let number = i as u32 + 1;
            if names(&set, if by_uid { mail.uid } else { number }, last) {
                let told = change(mail, told(number, mail, &items));
                self.say(told);
            }
        }
        self.say(format!("{tag} OK fetched\r\n"));
    }
}

/// `last`: what `*` stands for.
fn names(set: &str, number: u32, last: u32) -> bool {
    let one = |text: &str| match text {
        "*" => last,
        text => text.parse().unwrap(),
    };
    set.split(',').any(|range| {
        let (a, b) = range.split_once(':').unwrap_or((range, range));
        let (a, b) = (one(a), one(b));
        (a.min(b)..=a.max(b)).contains(&number)
    })
}

fn told(number: u32, mail: &Mail, items: &str) -> Vec<u8> {
    let mut out = format!("* {number} FETCH (UID {}", mail.uid).into_bytes();
    if items.contains("FLAGS") {
        out.extend_from_slice(b" FLAGS ()");
    }
    if items.contains("INTERNALDATE") {
        out.extend_from_slice(format!(" INTERNALDATE \"{}\"", mail.date).as_bytes());
    }
    if items.contains("RFC822.SIZE") {
        out.extend_from_slice(format!(" RFC822.SIZE {}", mail.bytes.len()).as_bytes());
    }
    if items.contains("HEADER.FIELDS") {
        let text = String::from_utf8_lossy(&mail.bytes);
        let head = text.split("\r\n\r\n").next().unwrap_or_default();
        let wanted = |line: &&str| {
            ["message-id:", "date:"]
                .iter()
                .any(|n| line.to_lowercase().starts_with(n))
        };
        let mut head = head
            .split("\r\n")
            .filter(wanted)
            .collect::<Vec<_>>()
            .join("\r\n");
        head.push_str("\r\n\r\n");
        out.extend_from_slice(
            format!(
                " BODY[HEADER.FIELDS (MESSAGE-ID DATE)] {{{}}}\r\n{head}",
                head.len()
            )
            .as_bytes(),
        );
    }
    if items.contains("BODY.PEEK[]") {
        out.extend_from_slice(format!(" BODY[] {{{}}}\r\n", mail.bytes.len()).as_bytes());
        out.extend_from_slice(&mail.bytes);
    }
    out.extend_from_slice(b")\r\n");
    out
}
