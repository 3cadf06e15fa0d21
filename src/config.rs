//! config.json, checked: what was typed becomes values that the rest can use without asking again.
//!
//! A mistake is an [`Error`] that names the file, the key, what stood there and what was expected.
//! Not for the token file (`oauth`) and not for the command line (`cli`).

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{NaiveDate, TimeDelta};
use serde_json::{Map, Value};

use crate::error::{Error, Note, Result, shown};
use crate::http::is_this_machine;
use crate::message::Time;

mod address;
mod after_delivery;
mod command;
mod draft;
mod endpoint;
mod folders;
mod intervals;
mod json;
mod key;
mod mask;
mod outline;
mod place;
mod telling;
mod value;

pub use address::Address;
pub use after_delivery::{AfterDelivery, Disposal};
pub use draft::Draft;
pub use endpoint::{Endpoint, Origin, Side, Tls};
pub use folders::{Mapping, Named, Rules, Why};
pub use intervals::Intervals;
pub use json::{json_place, plain_json_error};
pub use key::{Key, Secret};
pub use mask::Masks;
pub use outline::Outline;
pub use place::{Accounts, DEFAULT_LEDGER, LedgerPlace, ledger_place};
pub use telling::{NotifyCommand, PingUrl, Telling};
pub use value::bytes;

use endpoint::GMAIL;
use json::{BACKSLASH_HINT, read_object};
use value::{number_in_quotes, value_text};

/// How far back the first sync reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    All,
    Days(u32),
    Date(NaiveDate),
}

impl Since {
    /// The moment itself, for a first run at `now`.
    pub fn start(self, now: Time) -> Time {
        let midnight = |d: NaiveDate| d.and_time(chrono::NaiveTime::MIN).and_utc();
        match self {
            // 1 January of the year 1: some servers give a message without a date the earliest day that
            // they know.
            Since::All => Time::UNIX_EPOCH - TimeDelta::days(719_162),
            Since::Days(n) => now - TimeDelta::days(i64::from(n)),
            Since::Date(d) => midnight(d),
        }
    }

    /// As the ledger remembers it. The start is a date that the first run fixes; it moves only when this text does.
    pub fn text(self) -> String {
        match self {
            Since::All => "all".into(),
            Since::Days(n) => format!("{n}d"),
            Since::Date(d) => d.to_string(),
        }
    }
}

/// One route: a source account into a Gmail account.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub source: Endpoint,
    pub source_user: String,
    pub source_key: Key,
    pub target: Endpoint,
    pub target_user: String,
    pub target_key: Key,
    /// The base address of Gmail's API, where it is not Google's.
    pub gmail_api: Option<Address>,
    pub since: Since,
    pub rules: Rules,
    /// Sessions with the target at most.
    pub connections: usize,
    /// Bytes sent in any 24 hours at most.
    pub upload_limit_per_day: Option<u64>,
    /// What becomes of a message at the source.
    pub after_delivery: AfterDelivery,
    /// A message that failed is told of by a mail in the target's INBOX.
    pub notices: bool,
    pub ledger: LedgerPlace,
    /// Who is told when something is wrong.
    pub telling: Arc<Telling>,
    /// Files that were found only where earlier versions looked for them.
    pub moved: Vec<Note>,
}

const KEYS: &[&str] = &[
    "source_server",
    "source_user",
    "source_pass",
    "source_pass_file",
    "source_pass_command",
    "source_token_file",
    "source_port",
    "source_tls",
    "source_ca_file",
    "target_user",
    "target_token_file",
    "target_pass",
    "target_pass_file",
    "target_server",
    "target_port",
    "target_tls",
    "target_ca_file",
    "gmail_api",
    "folders",
    "exclude",
    "label",
    "skip_inbox",
    "delivery",
    "never_mark_spam",
    "since",
    "connections",
    "upload_limit_per_day",
    "after_delivery",
    "after_days",
    "notices",
    "state_file",
    "ping_url",
    "notify_command",
];

/// Is this what a key of a configuration is called?
pub fn is_key(name: &str) -> bool {
    KEYS.contains(&name)
}

/// Gmail's servers. Where the name Gmail belonged to somebody else, it goes by the second.
const GMAILS: &[&str] = &["imap.gmail.com", "imap.googlemail.com"];

/// A longer word is not taken for a mistyped key.
const KEY_MAX: usize = 64;

const EXAMPLE_HINT: &str = "config.json.example shows a complete one; docs/configuration.md and `man imap-to-gmail-config` explain every key";

const QUOTES_HINT: &str =
    "write text in quotation marks, also when it is all digits; write numbers without";

const INTO_GMAIL_HINT: &str = "easiest is an app password: switch on 2-Step Verification for the Google account, make one at https://myaccount.google.com/apppasswords, and after the first { add `\"target_pass\": \"THE 16 LETTERS\",`; docs/configuration.md tells of the other two";

const NULL_HINT: &str = "null stands for nothing: write a value in quotation marks, or delete the line if the key is not needed";

const TLS_HINT: &str = "delete the whole line: the connection is then encrypted from the start (port 993, as most servers want it); only for port 143 write \"starttls\"";

/// One side of a route: what a sign-in there needs to know of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    pub endpoint: Endpoint,
    pub user: String,
    /// Where its token is kept, if it signs in with one.
    pub token_file: Option<PathBuf>,
    /// Files that were found only where earlier versions looked for them.
    pub moved: Vec<Note>,
}

/// The `source` or `target` of the configuration at `path`, without a look at the rest: no password
/// is read and no command run.
pub fn account(path: &Path, side: &str) -> Result<Account> {
    let map = read_object(path)?;
    let reader = Reader { path, map: &map };
    reader.known_keys()?;
    Ok(Account {
        endpoint: match side {
            "target" => reader.target()?,
            side => reader.endpoint(side, reader.required(&format!("{side}_server"))?)?,
        },
        user: reader.user(&format!("{side}_user"))?,
        token_file: reader.file(&format!("{side}_token_file"))?,
        moved: reader.moved(side),
    })
}

impl Config {
    /// Reads and checks the file at `path`, the files it names and the output of its password
    /// command included. `now` decides whether a date of `since` lies in the future.
    pub fn load(path: &Path, now: Time) -> Result<Config> {
        let map = read_object(path)?;
        Reader { path, map: &map }.config(now)
    }
}

struct Reader<'a> {
    path: &'a Path,
    map: &'a Map<String, Value>,
}

impl Reader<'_> {
    fn config(&self, now: Time) -> Result<Config> {
        self.known_keys()?;
        let rules = self.rules(now)?;
        Ok(Config {
            after_delivery: self.after_delivery(Some(&rules))?,
            source: self.source()?,
            source_user: self.user("source_user")?,
            source_key: self.source_key()?,
            target: self.target()?,
            target_user: self.user("target_user")?,
            target_key: self.target_key()?,
            gmail_api: self.gmail_api()?,
            since: self.since(now)?,
            rules,
            connections: self.connections()?,
            upload_limit_per_day: self.upload_limit()?,
            notices: self.notices()?,
            ledger: self.ledger()?,
            telling: self.telling()?,
            moved: self.moved(""),
        })
    }

    fn source(&self) -> Result<Endpoint> {
        self.endpoint("source", self.required("source_server")?)
    }

    fn target(&self) -> Result<Endpoint> {
        let host = self.text("target_server")?;
        self.endpoint("target", host.unwrap_or_else(|| GMAIL.into()))
    }

    fn gmail_api(&self) -> Result<Option<Address>> {
        let text = self.text("gmail_api")?;
        let address =
            |text: String| Address::parse(&text).map_err(|what| self.error("gmail_api", what));
        text.map(address).transpose()
    }

    fn error(&self, key: &str, what: impl fmt::Display) -> Error {
        Error::usage(format!("{}: `{key}`: {what}", self.path.display())).hint(EXAMPLE_HINT)
    }

    fn known_keys(&self) -> Result<()> {
        known(self.map, KEYS, "the keys are", &|what| {
            Error::usage(format!("{}: {what}", self.path.display()))
        })
    }

    fn text(&self, key: &str) -> Result<Option<String>> {
        let value = self.map.get(key);
        value
            .map(|value| text_of(value, &|what| self.error(key, what)))
            .transpose()
    }

    /// Who copies an address often copies a blank with it.
    fn user(&self, key: &str) -> Result<String> {
        let user = self.required(key)?.trim().to_string();
        if key == "target_user" && self.is_into_gmail() && !user.contains('@') {
            let what = format!(
                "got `{}`, expected a whole address like you@gmail.com",
                shown(user.as_bytes())
            );
            return Err(self
                .error(key, what)
                .hint("Gmail knows an account by its whole address, with what comes after the @"));
        }
        Ok(user)
    }

    /// As far as the server's name tells, before anything is connected to.
    fn is_into_gmail(&self) -> bool {
        let host = self.text("target_server").ok().flatten();
        let host = host.map(|host| host.trim().trim_end_matches('.').to_lowercase());
        host.is_none_or(|host| GMAILS.contains(&&*host))
    }

    fn required(&self, key: &str) -> Result<String> {
        self.text(key)?.ok_or_else(|| self.missing(&[key]))
    }

    fn missing(&self, forms: &[&str]) -> Error {
        let names: Vec<String> = forms.iter().map(|k| format!("`{k}`")).collect();
        Error::usage(format!(
            "{}: {} is missing",
            self.path.display(),
            names.join(" or ")
        ))
        .hint(EXAMPLE_HINT)
    }

    /// The one key of `forms` that is there.
    fn one_of<'k>(&self, forms: &[&'k str]) -> Result<&'k str> {
        let given: Vec<&str> = forms
            .iter()
            .copied()
            .filter(|k| self.map.contains_key(*k))
            .collect();
        match given[..] {
            [one] => Ok(one),
            [] if forms[0].starts_with("target") && self.is_into_gmail() => {
                Err(self.missing(forms).hint(INTO_GMAIL_HINT))
            }
            [] => Err(self.missing(forms)),
            [first, second, ..] => Err(Error::usage(format!(
                "{}: got both `{first}` and `{second}`, expected one of them",
                self.path.display()
            ))
            .hint("delete the one that you do not use")),
        }
    }

    fn endpoint(&self, side: &str, host: String) -> Result<Endpoint> {
        let host = host_name(host.trim()).ok_or_else(|| {
            self.error(
                &format!("{side}_server"),
                format!(
                    "got `{}`, expected a host name like imap.example.org",
                    shown(mask::without_credentials(host.trim()).as_bytes())
                ),
            )
            .hint(if host.contains("://") {
                "write the name alone, without what stands before and behind it in an address".into()
            } else {
                format!(
                    "a port has a key of its own, `{side}_port`; so has the user name, `{side}_user`"
                )
            })
        })?;
        let tls_key = format!("{side}_tls");
        let tls = match self.map.get(&tls_key) {
            None => Tls::Implicit,
            Some(value) => match value.as_str() {
                Some("implicit") => Tls::Implicit,
                Some("starttls") => Tls::StartTls,
                Some("none") => Tls::None,
                _ => {
                    let got = value_text(value);
                    let what =
                        format!("got {got}, expected \"implicit\", \"starttls\" or \"none\"");
                    return Err(self.error(&tls_key, what).hint(TLS_HINT));
                }
            },
        };
        if tls == Tls::None && !is_this_machine(&host) {
            return Err(self
                .error(
                    &tls_key,
                    format!("\"none\" would send the password unencrypted to {}", shown(host.as_bytes())),
                )
                .hint("delete the whole line: the connection is then encrypted from the start (port 993); for port 143 write \"starttls\"; \"none\" is only for a server on this machine (localhost, 127.x.x.x, ::1)"));
        }
        let port_key = format!("{side}_port");
        let port = match self.map.get(&port_key) {
            None if tls == Tls::Implicit => 993,
            None => 143,
            Some(v) => v
                .as_u64()
                .and_then(|n| u16::try_from(n).ok())
                .filter(|n| *n > 0)
                .ok_or_else(|| {
                    self.error(
                        &port_key,
                        format!("got {}, expected a number from 1 to 65535", value_text(v)),
                    )
                    .hint(number_in_quotes(v).unwrap_or_else(|| {
                        format!(
                            "without `{port_key}` it is 993, or 143 with \"starttls\" or \"none\""
                        )
                    }))
                })?,
        };
        let ca_file = self.file(&format!("{side}_ca_file"))?;
        Ok(Endpoint {
            host,
            port,
            tls,
            ca_file,
            origin: self.origin(side),
        })
    }
}

/// Each key is one of `keys`, or the error says which one was probably meant.
fn known(
    map: &Map<String, Value>,
    keys: &[&str],
    are: &str,
    error: &dyn Fn(String) -> Error,
) -> Result<()> {
    for key in map.keys() {
        if !keys.contains(&key.as_str()) {
            let error = error(format!("unknown key `{}`", shown(key.as_bytes())));
            let near = keys
                .iter()
                // Comparing takes longer the longer the key is.
                .filter(|_| key.len() <= KEY_MAX)
                .map(|k| (strsim::damerau_levenshtein(k, key), k))
                .min()
                // In a short word, so many typing errors would make another word.
                .filter(|(distance, _)| distance * 3 <= key.chars().count());
            return Err(error.hint(match near {
                Some((_, k)) => format!("did you mean `{k}`?"),
                None => format!("{are} {}", keys.join(", ")),
            }));
        }
    }
    Ok(())
}

/// Text on one line, and some.
fn text_of(value: &Value, error: &dyn Fn(String) -> Error) -> Result<String> {
    match value {
        Value::String(s) if s.trim().is_empty() => {
            Err(error("got empty text, expected some".into()))
        }
        Value::String(s) if s.contains(['\0', '\r', '\n']) => Err(error(
            "got text with a line break or NUL in it, expected one line".into(),
        )
        .hint(BACKSLASH_HINT)),
        Value::String(s) => Ok(s.clone()),
        Value::Null => Err(error("got null, expected text".into()).hint(NULL_HINT)),
        other => Err(error(format!("got {}, expected text", kind(other))).hint(QUOTES_HINT)),
    }
}

/// A host's name as name servers know it: what is not ASCII becomes A-labels (RFC 5891).
fn host_name(typed: &str) -> Option<String> {
    let bare = typed.trim_matches(['[', ']']);
    if bare.contains(['/', '@']) || bare.contains(char::is_whitespace) || is_host_with_port(bare) {
        return None;
    }
    if typed.is_ascii() {
        return Some(typed.to_string());
    }
    idna::domain_to_ascii_strict(typed).ok()
}

/// `imap.example.org:993`; an IPv6 address has more colons.
fn is_host_with_port(host: &str) -> bool {
    host.contains(':') && host.parse::<IpAddr>().is_err()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(true) => "true",
        Value::Bool(false) => "false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
