//! `ping_url` and `notify_command`: whom a run tells how it is. Not for telling them (`alarm`).
//!
//! Whoever knows the address can say that all is well, and a command may have a password among its arguments: both are
//! secrets, and shown as no more than a host and a program's name.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use ureq::http::Uri;

use super::place::absolute;
use super::{Masks, Reader, Secret, kind};
use crate::error::{Result, shown};
use crate::http::{is_safe, is_this_machine};

/// Who is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Telling {
    pub ping_url: Option<PingUrl>,
    pub notify_command: Option<NotifyCommand>,
}

/// An address that is asked for while all is well.
#[derive(Clone, PartialEq)]
pub struct PingUrl {
    url: Secret<String>,
    /// Scheme and host.
    place: String,
    local: bool,
}

/// A program that is run when something is wrong, and when it is right again.
#[derive(Clone, PartialEq)]
pub struct NotifyCommand {
    argv: Secret<Vec<String>>,
    folder: PathBuf,
}

const PING_HINT: &str = "copy the whole address that the monitor shows, as https://hc-ping.com/ and what follows, or https://kuma.example.org/api/push/ and what follows";
const HTTPS_HINT: &str = "over http everybody on the way can read it, and say in your place that all is well: give its https address; http is only for a monitor on this machine (localhost, 127.x.x.x, ::1)";
const ARGV: &str = "a list of texts like [\"/usr/local/bin/tell-me\", \"mail\"]";
const ARGV_HINT: &str = "the program comes first, then each argument as a text of its own; no shell is involved, so for a line of one write [\"sh\", \"-c\", \"THE LINE\"]";

impl PingUrl {
    /// # Errors
    /// What is wrong with it, and a hint. Nothing of it is repeated that may be secret.
    fn parse(text: &str) -> std::result::Result<PingUrl, (String, &'static str)> {
        let text = text.trim();
        let expected = "expected an address like https://hc-ping.com/ and what follows";
        let odd = || (format!("got something else, {expected}"), PING_HINT);
        let uri: Uri = text.parse().map_err(|_| odd())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(odd());
        };
        let host = authority.host().trim_matches(['[', ']']);
        if host.is_empty() || !["https", "http"].contains(&scheme) {
            return Err(odd());
        }
        if authority.as_str().contains('@') {
            let what = "got an address with a user name or password in front of the host";
            return Err((what.into(), "leave out what stands between // and @"));
        }
        let place = format!("{scheme}://{}", shown(authority.as_str().as_bytes()));
        if !is_safe(scheme, host) {
            let what = format!("{place} would be told unencrypted, expected https");
            return Err((what, HTTPS_HINT));
        }
        Ok(PingUrl {
            local: is_this_machine(host),
            place,
            url: Secret::new(text.into()),
        })
    }

    /// All of it: for the place that puts it on the wire.
    pub fn reveal(&self) -> &str {
        self.url.reveal()
    }

    /// Does everything stay on this machine?
    pub fn is_local(&self) -> bool {
        self.local
    }

    /// What may not be shown of it, in whatever form it comes back.
    pub fn masks(&self) -> Masks {
        let whole = self.url.reveal();
        let behind = whole.get(self.place.len()..).unwrap_or(whole);
        let plain = Secret::new(percent_decoded(behind));
        // Pieces of it may be too short to be known as pieces.
        behind
            .split(['/', '?', '&', '=', '#'])
            .filter(|piece| piece.len() > 3)
            .map(|piece| Masks::new(piece, b""))
            .fold(Masks::new(behind, b""), Masks::and)
            .and(Masks::new(plain.reveal(), b""))
    }
}

/// `https://hc-ping.com/...`
impl fmt::Display for PingUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/...", self.place)
    }
}

impl fmt::Debug for PingUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl NotifyCommand {
    /// Program and arguments: for the place that runs it.
    pub fn reveal(&self) -> &[String] {
        self.argv.reveal()
    }

    /// Where it is run: the configuration's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What may not be shown of its arguments.
    pub fn masks(&self) -> Masks {
        let arguments = self.argv.reveal().iter().skip(1);
        arguments
            .filter(|argument| argument.len() > 3)
            .fold(Masks::default(), |masks, argument| {
                masks.and(Masks::new(argument, b""))
            })
    }
}

/// The program's name.
impl fmt::Display for NotifyCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.argv.reveal().first().map_or("", String::as_str);
        // One who writes a shell's line as a single text may have put a secret into it.
        let name = name.split_whitespace().next().unwrap_or_default();
        f.write_str(&shown(name.as_bytes()))
    }
}

impl fmt::Debug for NotifyCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Reader<'_> {
    pub(super) fn telling(&self) -> Result<Arc<Telling>> {
        Ok(Arc::new(Telling {
            ping_url: self.ping_url()?,
            notify_command: self.notify_command()?,
        }))
    }

    pub(super) fn ping_url(&self) -> Result<Option<PingUrl>> {
        let key = "ping_url";
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        let url = PingUrl::parse(&text);
        url.map(Some)
            .map_err(|(what, hint)| self.error(key, what).hint(hint))
    }

    pub(super) fn notify_command(&self) -> Result<Option<NotifyCommand>> {
        let key = "notify_command";
        let wrong = |got: &str| {
            let what = format!("got {got}, expected {ARGV}");
            self.error(key, what).hint(ARGV_HINT)
        };
        let items = match self.map.get(key) {
            None => return Ok(None),
            Some(Value::Array(items)) if items.is_empty() => return Err(wrong("an empty list")),
            Some(Value::Array(items)) => items,
            Some(other) => return Err(wrong(kind(other))),
        };
        let text = |item: &Value| item.as_str().map(str::to_string);
        let argv: Option<Vec<String>> = items.iter().map(text).collect();
        let mut argv = argv.ok_or_else(|| wrong("a list with something else in it"))?;
        if argv.iter().any(|argument| argument.contains('\0')) {
            return Err(wrong("a NUL in one of its texts"));
        }
        if argv[0].trim().is_empty() {
            return Err(wrong("no program's name"));
        }
        argv[0] = self.program(key, &argv[0])?;
        if argv[0].contains('/') {
            // It is run in the configuration's folder.
            let whole = absolute(Path::new(&argv[0])).into_os_string();
            argv[0] = whole.into_string().unwrap_or_else(|_| argv[0].clone());
        }
        Ok(Some(NotifyCommand {
            argv: Secret::new(argv),
            folder: self.folder(),
        }))
    }
}

/// The bytes that `%41` and the like stand for, as text.
fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let digits = behind
            .get(..2)
            .and_then(|two| std::str::from_utf8(two).ok());
        let byte = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        match byte.filter(|_| *first == b'%') {
            Some(byte) => {
                out.push(byte);
                rest = &behind[2..];
            }
            None => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_monitors_show_them() {
        for (url, shown) in [
            (
                "https://hc-ping.com/d1665499-e827-441f-bf13-8f15e8f4c0b9",
                "https://hc-ping.com/...",
            ),
            (
                "https://hc-ping.com/fqOOd6-F4MMNuCEnzTU01w/mail-at-home",
                "https://hc-ping.com/...",
            ),
            (
                " https://kuma.example.org:8443/api/push/TU6UYXKALJ?status=up&msg=OK&ping= ",
                "https://kuma.example.org:8443/...",
            ),
            (
                "http://127.0.0.1:3001/api/push/TU6UYXKALJ?status=up&msg=OK&ping=",
                "http://127.0.0.1:3001/...",
            ),
            ("http://[::1]:3001/api/push/x", "http://[::1]:3001/..."),
            (
                "http://localhost:3001/api/push/x",
                "http://localhost:3001/...",
            ),
        ] {
            let parsed = PingUrl::parse(url).unwrap_or_else(|e| panic!("{url}: {e:?}"));
            assert_eq!(parsed.reveal(), url.trim());
            assert_eq!(format!("{parsed} {parsed:?}"), format!("{shown} {shown}"));
        }
    }

    #[test]
    fn nothing_secret_of_a_wrong_one_is_repeated() {
        for url in [
            "http://192.168.1.9:3001/api/push/HUSHHUSH?status=up",
            "http://hc-ping.com/HUSHHUSH",
            "https://you:HUSHHUSH@kuma.example.org/api/push/x",
            "ftp://hc-ping.com/HUSHHUSH",
            "hc-ping.com/HUSHHUSH",
            "HUSHHUSH",
            "https://hc-ping.com/HUSH HUSH",
            "https:///HUSHHUSH",
            "/api/push/HUSHHUSH",
        ] {
            let (what, _) = PingUrl::parse(url).expect_err(url);
            assert!(!what.contains("HUSH"), "{what}");
        }
    }

    #[test]
    fn its_secret_is_known_in_each_of_its_clothes() {
        let url = "https://kuma.example.org/api/push/TU6%55YXKALJ?status=up&msg=OK&ping=";
        let masks = PingUrl::parse(url).expect("an address").masks();
        for said in [
            "not found: /api/push/TU6%55YXKALJ?status=up&msg=OK&ping=",
            "not found: TU6%55YXKALJ",
            "not found: TU6UYXKALJ",
            "moved to https%3A%2F%2Fkuma.example.org%2Fapi%2Fpush%2FTU6%2555YXKALJ",
            "id 6UYXKALJ",
        ] {
            let shown = masks.apply(said);
            assert!(!shown.contains("YXKALJ"), "{shown}");
        }
        assert_eq!(masks.apply("Monitor not found"), "Monitor not found");
    }
}
