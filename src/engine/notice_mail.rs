//! The mail that tells a person of messages which failed: its header and its words, in a form that every mail program reads
//! (RFC 5322, 2045, 2047). Whatever of it comes from a mail or a server is bounded and escaped, and
//! none of it stands where a header could begin. Not for sending it (`notices`).

use std::net::IpAddr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::{shown, shown_within};
use crate::ledger::{Failure, NOTICE_MAIL_ID};
use crate::message::{MessageId, Time};
use crate::text::{Page, bytes_text, minute, shell_word, thousands};

/// The messages that one mail lists; the others are counted.
pub(super) const LISTED: usize = 50;
/// Columns of a mail's text.
const WIDTH: usize = 72;
/// Characters of a message's subject in the subject of the mail about it.
const SUBJECT_MAX: usize = 60;
/// Characters of each field of a message in a list.
const FIELD_MAX: usize = 160;
/// Characters of the domain of a Message-ID.
const DOMAIN_MAX: usize = 150;
/// Bytes of a line before its line end at most (RFC 5322 2.1.1).
const LINE_MAX: usize = 998;
/// Bytes of text in one encoded word: with what stands around it, and the name of the header, a line stays below 78.
const ENCODED_MAX: usize = 36;
/// Bytes whose Base64 fills one line (RFC 2045 6.8).
const BASE64_LINE: usize = 57;

/// Between whom and about what.
pub(super) struct Sheet<'a> {
    /// Whose INBOX it goes into, as the configuration has the name, and the host where that is.
    pub(super) account: &'a str,
    pub(super) host: &'a str,
    /// Where the messages are.
    pub(super) source: &'a str,
    pub(super) ledger: &'a Path,
    pub(super) made_at: Time,
}

impl Sheet<'_> {
    /// A Message-ID that no other mail has.
    pub(super) fn new_mail_id(&self) -> Option<MessageId> {
        let address = self.address();
        let domain = address.rsplit('@').next();
        // What is longer is cut short where it is kept.
        let domain = domain
            .filter(|d| d.len() <= DOMAIN_MAX)
            .unwrap_or("localhost");
        let (time, chance) = (self.made_at.timestamp(), fastrand::u64(..));
        MessageId::parse(format!("{NOTICE_MAIL_ID}{time:x}.{chance:016x}@{domain}>").as_bytes())
    }

    /// About one message.
    pub(super) fn single(&self, mail_id: &MessageId, failure: &Failure) -> Vec<u8> {
        let subject = match &failure.row.subject {
            Some(subject) => format!(
                "Not copied: \"{}\"",
                shown_within(subject.as_bytes(), SUBJECT_MAX)
            ),
            None => format!(
                "Not copied: a message of {}",
                minute(failure.row.internal_date)
            ),
        };
        let id = failure.row.id;
        let mut page = Page::new(WIDTH);
        page.add(
            "",
            "",
            &format!(
                "This message was not copied into {}, and is not tried again by itself:",
                shown(self.account.as_bytes())
            ),
        );
        page.blank();
        self.describe(&mut page, failure, usize::MAX);
        page.blank();
        page.add("", "", "Nothing was changed where it lies. What you can do, on the machine where imap-to-gmail runs:");
        page.blank();
        self.offer(
            &mut page,
            "See everything that failed, and why:",
            "status --failed",
            "",
        );
        self.offer(
            &mut page,
            "Try it again, when the reason is mended:",
            "retry-failed",
            &format!(" {id}"),
        );
        self.offer(
            &mut page,
            "Give it up for good:",
            "retry-failed --skip",
            &format!(" {id}"),
        );
        sign(&mut page);
        self.mail(mail_id, &subject, "failed", &page.text())
    }

    /// About so many messages, the first of which are these.
    pub(super) fn digest(&self, mail_id: &MessageId, failures: &[Failure], all: u64) -> Vec<u8> {
        let number = messages(all);
        let mut page = Page::new(WIDTH);
        let (were, are) = if all == 1 {
            ("was", "is")
        } else {
            ("were", "are")
        };
        page.add(
            "",
            "",
            &format!(
                "Besides those that had a mail of their own, {number} {were} not copied into {}, and {are} not tried again by {}.",
                shown(self.account.as_bytes()),
                if all == 1 { "itself" } else { "themselves" }
            ),
        );
        for failure in failures {
            page.blank();
            self.describe(&mut page, failure, FIELD_MAX);
        }
        let more = all.saturating_sub(failures.len() as u64);
        if more > 0 {
            page.blank();
            page.add("", "", &format!("... and {} more.", messages(more)));
        }
        page.blank();
        page.add("", "", "Nothing was changed where they lie. What you can do, on the machine where imap-to-gmail runs:");
        page.blank();
        self.offer(
            &mut page,
            "See all of them, and why:",
            "status --failed",
            "",
        );
        self.offer(
            &mut page,
            "Try all of them again, when the reason is mended; or some, with their ids behind it:",
            "retry-failed",
            "",
        );
        self.offer(
            &mut page,
            "Give one up for good, by its id:",
            "retry-failed --skip",
            " ID",
        );
        sign(&mut page);
        let subject = format!("Not copied: {number}");
        self.mail(mail_id, &subject, "digest", &page.text())
    }

    /// What is known of a message, a line each.
    fn describe(&self, page: &mut Page, failure: &Failure, max: usize) {
        let row = &failure.row;
        let within = |text: &str| shown_within(text.as_bytes(), max.min(crate::error::SHOWN_MAX));
        let mut field = |name: &str, value: &str| {
            page.add(&format!("  {name:<10}"), &" ".repeat(12), value);
        };
        if let Some(sender) = &row.sender {
            field("from", &within(sender));
        }
        if let Some(subject) = &row.subject {
            field("subject", &within(subject));
        }
        field("date", &minute(row.internal_date));
        if let Some(size) = row.size {
            field("size", &bytes_text(size));
        }
        let mailbox = failure.mailbox.as_deref().unwrap_or("a mailbox");
        field(
            "lies in",
            &format!("{} of {}", within(mailbox), within(self.source)),
        );
        field("reason", &within(&row.last_error));
        field("id", &row.id.to_string());
    }

    /// A command, on a line of its own so that it can be copied from there.
    fn offer(&self, page: &mut Page, why: &str, command: &str, ids: &str) {
        page.add("", "", why);
        let ledger = shell_word(&self.ledger.display().to_string());
        // A path may hold anything but NUL; such a one cannot be typed from a mail either.
        let ledger = shown_within(ledger.as_bytes(), usize::from(u16::MAX));
        page.line(&format!(
            "    imap-to-gmail {command} --state-file {ledger}{ids}"
        ));
        page.blank();
    }

    fn mail(&self, mail_id: &MessageId, subject: &str, kind: &str, text: &str) -> Vec<u8> {
        let address = self.address();
        let (encoding, body) = encoded_body(text);
        let header = [
            format!("From: imap-to-gmail <{address}>"),
            format!("To: <{address}>"),
            format!("Subject: {}", encoded_words(subject)),
            format!("Date: {}", self.made_at.to_rfc2822()),
            format!("Message-ID: {}", mail_id.text),
            // RFC 3834 5: nothing answers it by itself.
            "Auto-Submitted: auto-generated".into(),
            format!("X-Imap-To-Gmail-Notice: {kind}"),
            "MIME-Version: 1.0".into(),
            "Content-Type: text/plain; charset=utf-8".into(),
            format!("Content-Transfer-Encoding: {encoding}"),
        ];
        format!("{}\r\n\r\n{body}", header.join("\r\n")).into_bytes()
    }

    /// The account's own address; one that can stand for it where its name is none.
    fn address(&self) -> String {
        let name = self.account.trim();
        if is_address(name) {
            return name.into();
        }
        let host = self.host;
        let domain = match host.trim_matches(['[', ']']).parse() {
            Ok(IpAddr::V4(ip)) => format!("[{ip}]"),
            Ok(IpAddr::V6(ip)) => format!("[IPv6:{ip}]"),
            Err(_) if is_dot_atom(host) => host.into(),
            Err(_) => "localhost".into(),
        };
        let local = if is_dot_atom(name) {
            name
        } else {
            "imap-to-gmail"
        };
        format!("{local}@{domain}")
    }
}

fn messages(n: u64) -> String {
    if n == 1 {
        "1 message".into()
    } else {
        format!("{} messages", thousands(n))
    }
}

fn sign(page: &mut Page) {
    page.add(
        "",
        "",
        "This mail is of imap-to-gmail itself: five such mails a day at most, and one for the rest. With \"notices\": false in the configuration none are sent.",
    );
}

/// Letters of a name in an address (RFC 5322 3.2.3), none of which means anything to a header.
fn is_dot_atom(text: &str) -> bool {
    let atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    text.len() <= 255
        && text
            .split('.')
            .all(|a| !a.is_empty() && a.chars().all(atom))
}

fn is_address(text: &str) -> bool {
    let parts = text.split_once('@');
    parts.is_some_and(|(local, domain)| is_dot_atom(local) && is_dot_atom(domain))
}

/// A header's text. What is not plain becomes encoded words (RFC 2047), one on each line.
fn encoded_words(text: &str) -> String {
    let plain = text.bytes().all(|b| (b' '..=b'~').contains(&b));
    // With the name of the header it stays within a line, and nothing in it reads as an encoded word.
    if plain && text.len() <= 66 && !text.contains("=?") {
        return text.into();
    }
    let mut words = vec![String::new()];
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if words
            .last()
            .is_some_and(|w| w.len() + c.len_utf8() > ENCODED_MAX)
        {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    let words: Vec<String> = words
        .iter()
        .map(|word| format!("=?utf-8?B?{}?=", STANDARD.encode(word)))
        .collect();
    words.join("\r\n ")
}

/// How a text is carried, and that: as it is where it can be.
fn encoded_body(text: &str) -> (&'static str, String) {
    let text = text.replace('\n', "\r\n");
    let lines_fit = text.split("\r\n").all(|line| line.len() <= LINE_MAX);
    let plain = |b: u8| (b' '..=b'~').contains(&b) || b == b'\r' || b == b'\n';
    if lines_fit && text.bytes().all(plain) {
        return ("7bit", text);
    }
    let lines: Vec<String> = text
        .as_bytes()
        .chunks(BASE64_LINE)
        .map(|chunk| STANDARD.encode(chunk) + "\r\n")
        .collect();
    ("base64", lines.concat())
}

#[cfg(test)]
mod tests;
