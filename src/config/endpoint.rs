//! A server as a configuration describes it: where it is, how it is reached, and which keys of which file say
//! so, so that an error can name what to change.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Reader, key};
use crate::error::shown;
use crate::text::shell_word;

/// Where Gmail is.
pub(super) const GMAIL: &str = "imap.gmail.com";

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// TLS from the first byte (RFC 8314).
    Implicit,
    /// Plain text first, then STARTTLS (RFC 3501 6.2.1); a server without it is refused.
    StartTls,
    /// No protection: only to this machine itself.
    None,
}

/// Where a server is and how to reach it.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
    pub tls: Tls,
    /// Replaces the built-in roots.
    pub ca_file: Option<PathBuf>,
    pub origin: Origin,
}

impl Endpoint {
    /// `imap.example.org:993`, for people.
    pub fn name(&self) -> String {
        format!("{}:{}", shown(self.host.as_bytes()), self.port)
    }

    /// Whose server it is: `the source`, `Gmail`.
    pub fn whose(&self) -> &'static str {
        match self.origin.side {
            Side::Source => "the source",
            Side::Target if self.host.eq_ignore_ascii_case(GMAIL) => "Gmail",
            Side::Target => "the target",
        }
    }

    /// `the source imap.example.org:993`
    pub fn called(&self) -> String {
        match self.whose() {
            "Gmail" => format!("Gmail ({})", self.name()),
            whose => format!("{whose} {}", self.name()),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    #[default]
    Source,
    Target,
}

impl Side {
    /// As the keys of a configuration begin.
    pub fn name(self) -> &'static str {
        match self {
            Side::Source => "source",
            Side::Target => "target",
        }
    }
}

/// How a configuration speaks of a server.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    pub side: Side,
    /// The key that holds, or leads to, the password or token for the server: `source_pass`.
    pub entry: &'static str,
    pub token_file: Option<PathBuf>,
    /// Is the server named there Gmail?
    pub gmail: bool,
    /// The keys of this side that stand in the configuration.
    pub given: Vec<String>,
    /// The configuration, as it was typed.
    pub file: PathBuf,
}

impl Default for Origin {
    fn default() -> Origin {
        Origin {
            side: Side::Source,
            entry: "source_pass",
            token_file: None,
            gmail: false,
            given: Vec::new(),
            file: "config.json".into(),
        }
    }
}

impl Origin {
    /// `source_port`
    pub fn key(&self, what: &str) -> String {
        format!("{}_{what}", self.side.name())
    }

    /// Does the configuration have this key?
    pub fn has(&self, what: &str) -> bool {
        self.given.contains(&self.key(what))
    }

    /// The sentence that tells a person how to give this key this value (JSON). It says whether to change a
    /// line or add one: a key that is there twice, or a missing comma, would be the next mistake.
    pub fn set(&self, what: &str, value: &str) -> String {
        let (key, file) = (self.key(what), self.file());
        if self.has(what) {
            format!("change `{key}` in {file} to `{value}`")
        } else {
            format!("after the first {{ in {file} add `\"{key}\": {value},`")
        }
    }

    /// The configuration, as a shell must be given it.
    pub fn file(&self) -> String {
        word(&self.file)
    }

    /// The whole command with which a person signs in again. `provider`: as `auth` names it; None: not known.
    pub fn sign_in(&self, provider: Option<&str>) -> String {
        let provider = provider.unwrap_or(if self.gmail || self.side == Side::Target {
            "google"
        } else {
            "microsoft"
        });
        // Its name in the README and at the provider. In which folder it lies we do not know.
        let (client, options, what) = match provider {
            "google" => (
                "client_secret.json",
                String::new(),
                "the OAuth client file from Google (docs/google-client.md says how to get it)",
            ),
            // It shows a code to enter in any browser, as this machine may have none.
            "microsoft" => (
                "microsoft.json",
                "--provider microsoft --device ".to_string(),
                "the OAuth client file for Microsoft (docs/microsoft.md says how to make it)",
            ),
            other => (
                "client.json",
                format!("--provider {other} "),
                "the OAuth client file for this provider (docs/microsoft.md says how to make it)",
            ),
        };
        // With a configuration `auth` signs in to Gmail as the target, and to others as the source.
        let usual = (provider == "google") == (self.side == Side::Target);
        let place = match &self.token_file {
            Some(path) if !usual => format!("--token-file {}", word(path)),
            _ => format!("--config {}", self.file()),
        };
        format!(
            "`imap-to-gmail auth {options}--credentials {client} {place}`, where {client} is {what}"
        )
    }
}

impl Reader<'_> {
    /// What the configuration says of a side, for error messages.
    pub(super) fn origin(&self, side: &str) -> Origin {
        let (side, forms) = match side {
            "target" => (Side::Target, key::TARGET),
            _ => (Side::Source, key::SOURCE),
        };
        let given = forms.iter().find(|key| self.map.contains_key(**key));
        // An error in it is reported where the value is needed.
        let token_file = self.file(&format!("{}_token_file", side.name()));
        Origin {
            side,
            entry: given.unwrap_or(&forms[0]),
            token_file: token_file.ok().flatten(),
            gmail: is_gmail(self.map.get(&format!("{}_server", side.name()))),
            given: self
                .map
                .keys()
                .filter(|key| key.starts_with(side.name()))
                .cloned()
                .collect(),
            file: self.path.to_path_buf(),
        }
    }
}

fn is_gmail(server: Option<&Value>) -> bool {
    server
        .and_then(Value::as_str)
        .is_some_and(|host| host.trim().eq_ignore_ascii_case(GMAIL))
}

fn word(path: &Path) -> String {
    shell_word(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_is_one_command_for_the_right_account() {
        let of = |side, token: &str| Origin {
            side,
            token_file: Some(token.into()),
            file: "my mail.json".into(),
            ..Origin::default()
        };
        for (origin, provider, command) in [
            (
                of(Side::Target, "t.json"),
                None,
                "`imap-to-gmail auth --credentials client_secret.json --config 'my mail.json'`, where client_secret.json is the OAuth client file from Google (docs/google-client.md says how to get it)",
            ),
            (
                of(Side::Source, "t.json"),
                None,
                "`imap-to-gmail auth --provider microsoft --device --credentials microsoft.json --config 'my mail.json'`, where microsoft.json is the OAuth client file for Microsoft (docs/microsoft.md says how to make it)",
            ),
            (
                Origin {
                    gmail: true,
                    ..of(Side::Source, "t.json")
                },
                None,
                "`imap-to-gmail auth --credentials client_secret.json --token-file t.json`, where client_secret.json is the OAuth client file from Google (docs/google-client.md says how to get it)",
            ),
            (
                of(Side::Source, "t.json"),
                Some("google"),
                "`imap-to-gmail auth --credentials client_secret.json --token-file t.json`, where client_secret.json is the OAuth client file from Google (docs/google-client.md says how to get it)",
            ),
            (
                of(Side::Source, "t.json"),
                Some("other"),
                "`imap-to-gmail auth --provider other --credentials client.json --config 'my mail.json'`, where client.json is the OAuth client file for this provider (docs/microsoft.md says how to make it)",
            ),
            (
                of(Side::Target, "t.json"),
                Some("microsoft"),
                "`imap-to-gmail auth --provider microsoft --device --credentials microsoft.json --token-file t.json`, where microsoft.json is the OAuth client file for Microsoft (docs/microsoft.md says how to make it)",
            ),
        ] {
            assert_eq!(origin.sign_in(provider), command);
        }
    }

    #[test]
    fn a_key_that_is_there_is_changed_and_another_one_added() {
        let origin = Origin {
            given: vec!["source_tls".into()],
            ..Origin::default()
        };
        assert_eq!(
            origin.set("tls", "\"starttls\""),
            "change `source_tls` in config.json to `\"starttls\"`"
        );
        assert_eq!(
            origin.set("port", "993"),
            "after the first { in config.json add `\"source_port\": 993,`"
        );
    }
}
