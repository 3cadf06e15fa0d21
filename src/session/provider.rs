//! What providers of mail want of who signs in with a password, where they say so themselves. Each row was
//! read in November 2026.

/// How one gets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// No password at all (docs/gmail.md 8.2).
    Microsoft,
    /// A password of its own for each program.
    Password(&'static str),
    /// IMAP may have to be switched on first.
    SwitchedOn(&'static str),
}

/// support.google.com/accounts/answer/185833 (docs/gmail.md 8.1).
pub(super) const GMAIL: Entry = Entry::Password(
    "Gmail takes only an app password here (16 letters), not the account's own password: make one at https://myaccount.google.com/apppasswords (2-Step Verification must be on)",
);

const GMAILS: &[&str] = &["gmail.com", "googlemail.com"];

/// Of the others nothing is known but that they may be like these.
pub(super) const MANY: &str = "many providers take only an app password, made in the account's settings (Gmail, iCloud, Yahoo), or want IMAP switched on there first (GMX, Zoho)";

/// The ends of their servers' names.
const PROVIDERS: &[(&[&str], Entry)] = &[
    (
        &[
            "outlook.com",
            "office365.com",
            "hotmail.com",
            "office365.us",
            "outlook.cn",
        ],
        Entry::Microsoft,
    ),
    (GMAILS, GMAIL),
    // support.apple.com/102654: "App-specific passwords".
    (
        &["mail.me.com", "icloud.com"],
        Entry::Password(
            "iCloud takes only an app-specific password here, not the account's own: make one at https://account.apple.com, under \"Sign-In and Security\"",
        ),
    ),
    // developer.nylas.com, provider guide for Yahoo; lifewire.com/manage-app-passwords-imap-pop-yahoo-1174448.
    (
        &["yahoo.com"],
        Entry::Password(
            "Yahoo takes only an app password here, not the account's own: make one in the account's settings, under \"Security\"",
        ),
    ),
    // fastmail.help/hc/en-us/articles/1500000279921.
    (
        &["fastmail.com"],
        Entry::Password(
            "Fastmail takes only an app password here, not the account's own: make one under Settings, \"Privacy & Security\" (the Basic plan has no IMAP)",
        ),
    ),
    // gmx.net/mail/tipps/posts/pop3-imap/36; hilfe.gmx.net/sicherheit/2fa/anwendungsspezifisches-passwort.html.
    (
        &["gmx.net", "gmx.com", "gmx.de"],
        Entry::SwitchedOn(
            "switch IMAP on in GMX's settings (\"POP3 & IMAP\"), which it is not at first; with 2-factor sign-in GMX takes only an app password",
        ),
    ),
    // sysinfotools.com/how-to/generate-app-password-in-zoho.html.
    (
        &["zoho.com", "zoho.eu", "zoho.in"],
        Entry::SwitchedOn(
            "switch IMAP on in Zoho's settings (\"Mail Accounts\"); with 2-factor sign-in Zoho takes only an app password",
        ),
    ),
];

pub(super) fn is_gmail(host: &str) -> bool {
    of(host) == Some(GMAIL)
}

/// What is known of the provider whose server has this name.
pub(super) fn of(host: &str) -> Option<Entry> {
    let host = host.trim_end_matches('.').to_lowercase();
    let is_in = |domain: &&str| {
        let before = host.strip_suffix(*domain);
        before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    PROVIDERS
        .iter()
        .find(|(domains, _)| domains.iter().any(is_in))
        .map(|(_, entry)| *entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_known_by_the_end_of_its_servers_name() {
        for (host, begin) in [
            ("imap.gmail.com", "Gmail takes only"),
            ("imap.mail.me.com", "iCloud takes only"),
            ("IMAP.Mail.Yahoo.com", "Yahoo takes only"),
            ("imap.fastmail.com", "Fastmail takes only"),
            ("imap.gmx.net", "switch IMAP on in GMX"),
            ("imappro.zoho.eu", "switch IMAP on in Zoho"),
        ] {
            match of(host) {
                Some(Entry::Password(advice) | Entry::SwitchedOn(advice)) => {
                    assert!(advice.starts_with(begin), "{host}: {advice}");
                }
                other => panic!("{host}: {other:?}"),
            }
        }
        for host in [
            "outlook.office365.com",
            "imap-mail.outlook.com",
            "partner.outlook.cn",
        ] {
            assert_eq!(of(host), Some(Entry::Microsoft), "{host}");
        }
        for host in ["mail.notgmail.com", "gmx.net.example", "localhost", ""] {
            assert_eq!(of(host), None, "{host}");
        }
    }
}
