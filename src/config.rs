//! config.json, checked: what was typed becomes values that the rest can use without asking again.
//!
//! A mistake is an [`Error`] that names the file, the key, what stood there and what was expected.
//! Not for the token file (`oauth`) and not for the command line (`cli`).

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use chrono::{NaiveDate, TimeDelta};
use serde_json::{Map, Value};

use crate::error::{Error, Result, shown};
use crate::message::Time;

mod command;
mod draft;
mod endpoint;
mod intervals;
mod json;
mod key;
mod mask;

pub use draft::Draft;
pub use endpoint::{Endpoint, Origin, Side, Tls};
pub use intervals::Intervals;
pub use json::{json_place, plain_json_error};
pub use key::{Key, Secret};
pub use mask::Masks;

use endpoint::GMAIL;
use json::read_object;

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
            // 1 January of the year 1: some servers give messages that have no date the first day they
            // can think of.
            Since::All => Time::UNIX_EPOCH - TimeDelta::days(719_162),
            Since::Days(n) => now - TimeDelta::days(i64::from(n)),
            Since::Date(d) => midnight(d),
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
    pub since: Since,
    /// Sessions with the target at most.
    pub connections: usize,
    /// Bytes sent in any 24 hours at most.
    pub upload_limit_per_day: Option<u64>,
    pub state_file: PathBuf,
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
    "since",
    "connections",
    "upload_limit_per_day",
    "state_file",
];

/// The ledger, where nothing else is said.
pub const DEFAULT_LEDGER: &str = "sync_state.db";

const EXAMPLE_HINT: &str =
    "config.json.example shows a complete one; the README has a table of the keys";

const QUOTES_HINT: &str =
    "text stands in quotation marks, also when it is all digits; numbers stand without";

const SINCE_HINT: &str = "without `since` the first run takes over the last 7 days";

/// The `state_file` of the configuration at `path`, without a look at the rest: no password is
/// read and no command run.
pub fn state_file(path: &Path) -> Result<PathBuf> {
    let map = read_object(path)?;
    let reader = Reader { path, map: &map };
    reader.known_keys()?;
    reader.state_file()
}

/// One side of a route, as a sign-in there needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    pub endpoint: Endpoint,
    pub user: String,
    /// Where its token is kept, if it is entered with one.
    pub token_file: Option<PathBuf>,
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
        token_file: reader
            .text(&format!("{side}_token_file"))?
            .map(PathBuf::from),
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
        Ok(Config {
            source: self.source()?,
            source_user: self.user("source_user")?,
            source_key: self.source_key()?,
            target: self.target()?,
            target_user: self.user("target_user")?,
            target_key: self.target_key()?,
            since: self.since(now)?,
            connections: self.connections()?,
            upload_limit_per_day: self.upload_limit()?,
            state_file: self.state_file()?,
        })
    }

    fn source(&self) -> Result<Endpoint> {
        self.endpoint("source", self.required("source_server")?)
    }

    fn target(&self) -> Result<Endpoint> {
        let host = self.text("target_server")?;
        self.endpoint("target", host.unwrap_or_else(|| GMAIL.into()))
    }

    fn state_file(&self) -> Result<PathBuf> {
        Ok(self
            .text("state_file")?
            .map_or_else(|| DEFAULT_LEDGER.into(), PathBuf::from))
    }

    fn error(&self, key: &str, what: impl fmt::Display) -> Error {
        Error::usage(format!("{}: `{key}`: {what}", self.path.display())).hint(EXAMPLE_HINT)
    }

    fn known_keys(&self) -> Result<()> {
        for key in self.map.keys() {
            if !KEYS.contains(&key.as_str()) {
                let name = shown(key.as_bytes());
                let error = Error::usage(format!("{}: unknown key `{name}`", self.path.display()));
                let near = KEYS
                    .iter()
                    .map(|k| (strsim::damerau_levenshtein(k, key), k))
                    .min()
                    // As many slips in a short word would make it another word.
                    .filter(|(distance, _)| distance * 3 <= key.chars().count());
                return Err(error.hint(match near {
                    Some((_, k)) => format!("did you mean `{k}`?"),
                    None => format!("the keys are {}", KEYS.join(", ")),
                }));
            }
        }
        Ok(())
    }

    fn text(&self, key: &str) -> Result<Option<String>> {
        match self.map.get(key) {
            None => Ok(None),
            Some(Value::String(s)) if s.trim().is_empty() => {
                Err(self.error(key, "got an empty string, expected some text"))
            }
            Some(Value::String(s)) if s.contains(['\0', '\r', '\n']) => Err(self.error(
                key,
                "got text with a line break or NUL in it, expected one line",
            )),
            Some(Value::String(s)) => Ok(Some(s.clone())),
            Some(other) => Err(self
                .error(key, format!("got {}, expected a string", kind(other)))
                .hint(QUOTES_HINT)),
        }
    }

    /// Who copies an address often copies a blank with it.
    fn user(&self, key: &str) -> Result<String> {
        Ok(self.required(key)?.trim().to_string())
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
            .hint(format!(
                "a port has a key of its own, `{side}_port`; so has the user name, `{side}_user`"
            ))
        })?;
        let tls_key = format!("{side}_tls");
        let tls = match self.text(&tls_key)?.as_deref() {
            None | Some("implicit") => Tls::Implicit,
            Some("starttls") => Tls::StartTls,
            Some("none") => Tls::None,
            Some(other) => {
                return Err(self.error(
                    &tls_key,
                    format!(
                        "got `{}`, expected \"implicit\", \"starttls\" or \"none\"",
                        shown(other.as_bytes())
                    ),
                ));
            }
        };
        if tls == Tls::None && !is_this_machine(&host) {
            return Err(self
                .error(
                    &tls_key,
                    format!("\"none\" would send the password to {} in clear", shown(host.as_bytes())),
                )
                .hint("\"none\" is for a server on this machine (localhost, 127.x.x.x, ::1); use \"implicit\" or \"starttls\""));
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
                    .hint(format!(
                        "without `{port_key}` it is 993, or 143 with \"starttls\" or \"none\""
                    ))
                })?,
        };
        let ca_file = self.text(&format!("{side}_ca_file"))?.map(PathBuf::from);
        Ok(Endpoint {
            host,
            port,
            tls,
            ca_file,
            origin: self.origin(side),
        })
    }

    fn since(&self, now: Time) -> Result<Since> {
        let Some(text) = self.text("since")? else {
            return Ok(Since::Days(7));
        };
        let wrong = |got: &str| {
            self.error(
                "since",
                format!(
                    "got `{}`, expected days like \"30d\" (at most 36500), a date like \"2024-01-31\", or \"all\"",
                    shown(got.as_bytes())
                ),
            )
            .hint(SINCE_HINT)
        };
        if text == "all" {
            return Ok(Since::All);
        }
        if let Some(days) = text.strip_suffix('d') {
            return match days.parse::<u32>() {
                Ok(n) if n <= 36_500 && days.bytes().all(|b| b.is_ascii_digit()) => {
                    Ok(Since::Days(n))
                }
                _ => Err(wrong(&text)),
            };
        }
        let date = NaiveDate::parse_from_str(&text, "%Y-%m-%d").map_err(|_| wrong(&text))?;
        if date > now.date_naive() {
            return Err(self
                .error(
                    "since",
                    format!("got {date}, which lies in the future, expected a day that has begun"),
                )
                .hint(SINCE_HINT));
        }
        Ok(Since::Date(date))
    }

    fn upload_limit(&self) -> Result<Option<u64>> {
        let Some(value) = self.map.get("upload_limit_per_day") else {
            return Ok(None);
        };
        let bytes = match value {
            Value::String(s) => bytes(s),
            Value::Number(n) => n.as_u64(),
            _ => None,
        };
        match bytes {
            Some(n) if n > 0 => Ok(Some(n)),
            _ => Err(self
                .error(
                    "upload_limit_per_day",
                    format!(
                        "got {}, expected a size like \"450M\" or \"2G\"",
                        value_text(value)
                    ),
                )
                .hint("Google lets Workspace accounts upload 500 MB a day by IMAP")),
        }
    }

    fn connections(&self) -> Result<usize> {
        match self.map.get("connections") {
            None => Ok(3),
            Some(v) => match v.as_u64() {
                Some(n @ 1..=10) => Ok(n as usize),
                _ => Err(self
                    .error(
                        "connections",
                        format!("got {}, expected a number from 1 to 10", value_text(v)),
                    )
                    .hint("Gmail allows 15 connections to an account, all of its mail programs together")),
            },
        }
    }
}

/// `100K`, `10M`, `1G` (powers of 1024) or bare bytes.
pub fn bytes(text: &str) -> Option<u64> {
    let (digits, factor) = match text.trim().strip_suffix(['K', 'M', 'G', 'k', 'm', 'g']) {
        Some(digits) => (
            digits,
            match text.trim().as_bytes().last()? {
                b'K' | b'k' => 1 << 10,
                b'M' | b'm' => 1 << 20,
                _ => 1 << 30,
            },
        ),
        None => (text.trim(), 1),
    };
    match digits.bytes().all(|b| b.is_ascii_digit()) {
        true => digits.parse::<u64>().ok()?.checked_mul(factor),
        false => None,
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

fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|ip| match ip {
                IpAddr::V4(v4) => v4.is_loopback(),
                IpAddr::V6(v6) => v6.is_loopback(),
            })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A number or string as typed, anything else by its kind.
fn value_text(value: &Value) -> String {
    match value {
        Value::Number(n) => n.to_string(),
        Value::String(s) => format!("the string \"{}\"", shown(s.as_bytes())),
        other => kind(other).to_string(),
    }
}
