//! Names of mailboxes: the special ones in several languages, and modified UTF-7.
//!
//! Names are UTF-8 within the stand-in and are encoded where a session has not enabled UTF8=ACCEPT.

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::GeneralPurpose;

use crate::options::Locale;

const BASE64: GeneralPurpose =
    GeneralPurpose::new(&IMAP_MUTF7, base64::engine::general_purpose::NO_PAD);

/// What a mailbox of Gmail shows (docs/gmail.md 5, 3.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// `INBOX`
    Inbox,
    /// `\All`: everything that is neither in Spam nor in Trash.
    All,
    /// `\Drafts`
    Drafts,
    /// `\Important`
    Important,
    /// `\Sent`
    Sent,
    /// `\Junk`
    Junk,
    /// `\Flagged`
    Starred,
    /// `\Trash`
    Trash,
    /// A user's label.
    Label,
    /// `[Gmail]`, which cannot be selected.
    Root,
    /// A mailbox of a server that is not Gmail.
    Plain,
}

impl Use {
    /// The mailboxes below `[Gmail]`, in the order of the English LIST (docs/gmail.md 1.6).
    pub(crate) const BELOW_ROOT: [Use; 7] = [
        Use::All,
        Use::Drafts,
        Use::Important,
        Use::Sent,
        Use::Junk,
        Use::Starred,
        Use::Trash,
    ];

    /// The special-use attribute that LIST shows.
    pub(crate) fn attribute(self) -> Option<&'static str> {
        Some(match self {
            Use::All => "\\All",
            Use::Drafts => "\\Drafts",
            Use::Important => "\\Important",
            Use::Sent => "\\Sent",
            Use::Junk => "\\Junk",
            Use::Starred => "\\Flagged",
            Use::Trash => "\\Trash",
            Use::Inbox | Use::Label | Use::Root | Use::Plain => return None,
        })
    }

    /// The same for XLIST (docs/gmail.md 1.6).
    pub(crate) fn xlist_attribute(self) -> Option<&'static str> {
        Some(match self {
            Use::Inbox => "\\Inbox",
            Use::All => "\\AllMail",
            Use::Junk => "\\Spam",
            Use::Starred => "\\Starred",
            other => return other.attribute(),
        })
    }

    /// The system label of messages in it, as X-GM-LABELS shows it (docs/gmail.md 4.1).
    pub(crate) fn label(self) -> Option<&'static str> {
        Some(match self {
            Use::Inbox => "\\Inbox",
            Use::Drafts => "\\Draft",
            Use::Important => "\\Important",
            Use::Sent => "\\Sent",
            Use::Starred => "\\Starred",
            _ => return None,
        })
    }
}

impl Locale {
    pub(crate) fn root(self) -> &'static str {
        match self {
            Locale::EnGbGoogleMail | Locale::DeGoogleMail => "[Google Mail]",
            _ => "[Gmail]",
        }
    }

    /// The full name of a mailbox below the root.
    pub(crate) fn name(self, purpose: Use) -> String {
        let [all, drafts, important, sent, junk, starred, trash] = match self {
            Locale::EnUs => [
                "All Mail",
                "Drafts",
                "Important",
                "Sent Mail",
                "Spam",
                "Starred",
                "Trash",
            ],
            Locale::EnGb | Locale::EnGbGoogleMail => [
                "All Mail",
                "Drafts",
                "Important",
                "Sent Mail",
                "Spam",
                "Starred",
                "Bin",
            ],
            Locale::De | Locale::DeGoogleMail => [
                "Alle Nachrichten",
                "Entwürfe",
                "Wichtig",
                "Gesendet",
                "Spam",
                "Markiert",
                "Papierkorb",
            ],
            Locale::Fr => [
                "Tous les messages",
                "Brouillons",
                "Important",
                "Messages envoyés",
                "Spam",
                "Suivis",
                "Corbeille",
            ],
            Locale::Pl => [
                "Wszystkie",
                "Wersje robocze",
                "Ważne",
                "Wysłane",
                "Spam",
                "Oznaczone gwiazdką",
                "Kosz",
            ],
        };
        let leaf = match purpose {
            Use::Inbox => return "INBOX".into(),
            Use::All => all,
            Use::Drafts => drafts,
            Use::Important => important,
            Use::Sent => sent,
            Use::Junk => junk,
            Use::Starred => starred,
            Use::Trash => trash,
            Use::Root | Use::Label | Use::Plain => return self.root().into(),
        };
        format!("{}/{leaf}", self.root())
    }
}

/// RFC 3501 5.1.3.
pub(crate) fn encode_utf7(name: &str) -> String {
    let mut out = String::new();
    let mut run: Vec<u8> = Vec::new();
    for c in name.chars() {
        if (' '..='~').contains(&c) {
            end_run(&mut out, &mut run);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                run.extend_from_slice(&unit.to_be_bytes());
            }
        }
    }
    end_run(&mut out, &mut run);
    out
}

fn end_run(out: &mut String, run: &mut Vec<u8>) {
    if !run.is_empty() {
        out.push('&');
        out.push_str(&BASE64.encode(&run));
        out.push('-');
        run.clear();
    }
}

/// None when it is not valid modified UTF-7.
pub(crate) fn decode_utf7(name: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = name;
    while let Some((plain, coded)) = rest.split_once('&') {
        let (coded, after) = coded.split_once('-')?;
        out.push_str(plain);
        if coded.is_empty() {
            out.push('&');
        } else {
            let bytes = BASE64.decode(coded).ok()?;
            let units = bytes
                .chunks(2)
                .map(|pair| Some(u16::from_be_bytes([pair[0], *pair.get(1)?])))
                .collect::<Option<Vec<u16>>>()?;
            out.push_str(&String::from_utf16(&units).ok()?);
        }
        rest = after;
    }
    out.push_str(rest);
    out.bytes().all(|b| b != b'\r' && b != b'\n').then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_they_were_seen_on_the_wire() {
        for (locale, purpose, wire) in [
            (Locale::Pl, Use::Sent, "[Gmail]/Wys&AUI-ane"),
            (Locale::De, Use::Drafts, "[Gmail]/Entw&APw-rfe"),
            (Locale::Fr, Use::Drafts, "[Gmail]/Brouillons"),
            (Locale::EnGb, Use::Trash, "[Gmail]/Bin"),
            (Locale::EnGbGoogleMail, Use::All, "[Google Mail]/All Mail"),
        ] {
            let name = locale.name(purpose);
            assert_eq!(encode_utf7(&name), wire);
            assert_eq!(decode_utf7(wire), Some(name));
        }
        assert_eq!(encode_utf7("R&D 重要"), "R&-D &kc2JgQ-");
        assert_eq!(decode_utf7("R&-D &kc2JgQ-").unwrap(), "R&D 重要");
        assert_eq!(decode_utf7("R&D"), None);
    }
}
