//! What a test wants of a server, whichever it is, and what several of them have in common.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use crate::testkit::imap::Client;
use crate::testkit::maildir::unique_name;
use crate::testkit::route::Route;
use crate::testkit::{self, eventually};

/// How a message gets into a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// A file in a Maildir's `new`, as delivery agents do it.
    New,
    /// A file in a Maildir's `cur`, as people and other programs do it.
    Cur,
    /// `doveadm save`.
    Save,
    /// The server's own delivery program.
    Deliver,
    /// LMTP.
    Lmtp,
    /// Another client's APPEND.
    Append,
}

/// A server that runs. Every user in `USERS` has an INBOX, and the password `pw`.
pub(crate) trait Server: Send + Sync {
    fn name(&self) -> &'static str;

    /// Where it listens without TLS.
    fn port(&self) -> u16;

    /// Where it listens with TLS, and by whom its certificate is signed.
    fn tls(&self) -> Option<(u16, PathBuf)>;

    /// How messages can be brought there.
    fn ways(&self) -> &'static [Way];

    /// Brings a message into INBOX. It is there when this returns, whether clients were told or not.
    fn deliver(&self, user: &str, way: Way, mail: &[u8]);

    /// Ends it as a server goes down, and starts it again: same ports, same mail.
    fn restart(&mut self);

    /// What it logged, for the message of a failing test.
    fn log(&self) -> String;

    /// Makes it one side of a route.
    fn enter(&self, route: &mut Route, side: &str) {
        match self.tls() {
            Some((port, ca_file)) => route
                .set(&format!("{side}_ca_file"), ca_file.to_str().unwrap())
                .through(side, port),
            None => route.plain(side, self.port()),
        };
    }

    /// A session of a client that is not the program.
    fn client(&self, user: &str) -> Client {
        Client::login(self.port(), user, "pw")
    }

    /// The bytes of each message in INBOX, as the server serves them.
    fn served(&self, user: &str) -> Vec<Vec<u8>> {
        let mut client = self.client(user);
        client.command("EXAMINE INBOX");
        let there = client.command("UID SEARCH ALL");
        if there.iter().all(|found| found.line().trim() == "* SEARCH") {
            return Vec::new();
        }
        let answers = client.command("UID FETCH 1:* (UID BODY.PEEK[])");
        answers
            .iter()
            .filter_map(|answer| Some(answer.fetch_items()?.get("BODY[]")?.bytes()))
            .collect()
    }
}

pub(crate) const USERS: [&str; 2] = ["alice", "bert"];

/// Waits until an IMAP server greets on this port.
pub(crate) fn await_greeting(port: u16, log: impl Fn() -> String) {
    let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        eventually("the server greets", || Client::connect(port).is_ok());
    }));
    assert!(waited.is_ok(), "{}", log());
}

/// Another client's APPEND.
pub(crate) fn append(server: &(impl Server + ?Sized), user: &str, mail: &[u8]) {
    let now = i64::try_from(testkit::unix_now()).unwrap();
    let reply = server.client(user).append("INBOX", mail, "", now).unwrap();
    assert!(reply.is_ok(), "APPEND: {}", reply.status);
}

/// Line ends as on disk, and as a delivery program is given them.
pub(crate) fn with_lf(mail: &[u8]) -> Vec<u8> {
    mail.iter().copied().filter(|&byte| byte != b'\r').collect()
}

/// A file in a Maildir, put there in one step.
pub(crate) fn drop_file(maildir: &Path, way: Way, mail: &[u8], owner: (u32, u32)) {
    let name = unique_name();
    let (folder, flags) = if way == Way::New {
        ("new", "")
    } else {
        ("cur", ":2,S")
    };
    let temporary = maildir.join("tmp").join(&name);
    let mut file = File::create_new(&temporary).unwrap();
    file.write_all(&with_lf(mail)).unwrap();
    chown(&temporary, Some(owner.0), Some(owner.1)).unwrap();
    fs::rename(temporary, maildir.join(folder).join(name + flags)).unwrap();
}

/// A Maildir without mail.
pub(crate) fn make_maildir(maildir: &Path, owner: (u32, u32)) {
    for dir in ["", "new", "cur", "tmp"].map(|sub| maildir.join(sub)) {
        fs::create_dir_all(&dir).unwrap();
        chown(dir, Some(owner.0), Some(owner.1)).unwrap();
    }
}

/// Delivers by LMTP. The message must not have a line that begins with a dot.
pub(crate) fn lmtp(port: u16, user: &str, mail: &[u8]) {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut expect = |code: &str| {
        loop {
            let line = lines.next().expect("an answer").unwrap();
            assert!(line.starts_with(code), "LMTP: {line}, not {code}");
            if line.as_bytes().get(3) != Some(&b'-') {
                return;
            }
        }
    };
    expect("220");
    let to = format!("RCPT TO:<{user}>\r\n");
    let dialogue: [(&[u8], &str); 6] = [
        (b"LHLO localhost\r\n", "250"),
        (b"MAIL FROM:<ann@example.org>\r\n", "250"),
        (to.as_bytes(), "250"),
        (b"DATA\r\n", "354"),
        (&[mail, b".\r\n"].concat(), "250"),
        (b"QUIT\r\n", "221"),
    ];
    for (line, answer) in dialogue {
        (&stream).write_all(line).unwrap();
        expect(answer);
    }
}

/// Opens the mailbox as other mail programs do, not only to read.
pub(crate) fn select_once(server: &(impl Server + ?Sized), user: &str) {
    server.client(user).command("SELECT INBOX");
}
