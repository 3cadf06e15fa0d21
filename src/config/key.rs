//! The password or token that a side signs in with, in each form that the configuration has for it. A token
//! file is only named here: `oauth` reads it each time it is needed.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde_json::Value;
use zeroize::Zeroize;

use super::command::{self, Failure};
use super::{Reader, kind};
use crate::error::{Result, shown};
use crate::text::{self, shell_word};

/// More than any file has that holds a password in its first line.
const FILE_MAX: usize = 64 << 10;

/// Endings of names that files with a password in them usually have.
const ENDS: &[&str] = &["txt", "pass", "password", "pw", "secret"];

/// A password or token. It is never printed, and wiped from memory when it is dropped.
#[derive(Clone, PartialEq)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    pub fn new(value: T) -> Secret<T> {
        Secret(value)
    }

    /// The secret itself: for the place that puts it on the wire, and for masking it.
    pub fn reveal(&self) -> &T {
        &self.0
    }

    /// For whoever fills it.
    pub fn reveal_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// What proves to a server that we may come in.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    Password(Secret<String>),
    /// A token file in google-auth's format; `oauth` reads it.
    TokenFile(PathBuf),
}

/// The keys of a configuration that name a password or token.
pub(super) const SOURCE: &[&str] = &[
    "source_pass",
    "source_pass_file",
    "source_pass_command",
    "source_token_file",
];
pub(super) const TARGET: &[&str] = &["target_token_file", "target_pass", "target_pass_file"];

impl Reader<'_> {
    pub(super) fn source_key(&self) -> Result<Key> {
        let key = self.one_of(SOURCE)?;
        Ok(match key {
            "source_token_file" => Key::TokenFile(self.required_file(key)?),
            "source_pass_command" => Key::Password(self.command_output(key)?),
            "source_pass_file" => Key::Password(self.first_line_of(key)?),
            _ => Key::Password(self.typed(key)?),
        })
    }

    pub(super) fn target_key(&self) -> Result<Key> {
        let key = self.one_of(TARGET)?;
        let password = match key {
            "target_token_file" => return Ok(Key::TokenFile(self.required_file(key)?)),
            "target_pass_file" => self.first_line_of(key)?,
            _ => self.typed(key)?,
        };
        if !self.is_into_gmail() {
            return Ok(Key::Password(password));
        }
        // Google shows app passwords in four groups of four letters (docs/gmail.md 8.1).
        let joined: String = password
            .reveal()
            .chars()
            .filter(|c| !c.is_whitespace())
            .collect();
        Ok(Key::Password(Secret::new(joined)))
    }

    /// A password that stands in the configuration itself.
    fn typed(&self, key: &str) -> Result<Secret<String>> {
        let password = Secret::new(self.required(key)?);
        if password.reveal().contains(char::is_control) {
            return Err(self
                .error(
                    key,
                    "got text with a control character in it, expected none",
                )
                .hint(super::json::BACKSLASH_HINT));
        }
        Ok(password)
    }

    fn first_line_of(&self, key: &str) -> Result<Secret<String>> {
        let named = self.required(key)?;
        let path = self.required_file(key)?;
        let shown = path.display();
        let hint = "the file must hold the password, alone on its first line";
        let unreadable = |e: io::Error| {
            let may_be_it = !seems_a_path(&named, &path);
            let what = if may_be_it {
                "the file that it names".into()
            } else {
                shown.to_string()
            };
            let absent = path.symlink_metadata().is_err();
            if e.kind() == io::ErrorKind::NotFound && absent && !may_be_it {
                let file = shell_word(&shown.to_string());
                let folder = match path.parent() {
                    Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => "-D ",
                    _ => "",
                };
                return self.error(key, format!("{what} does not exist")).hint(format!(
                    "`install {folder}-m 600 /dev/null {file}` makes it: then write the password on its first line"
                ));
            }
            self.error(key, format!("{what} cannot be read: {e}"))
                .hint(hint)
        };
        let mut bytes = Secret::new(Vec::with_capacity(FILE_MAX));
        File::open(&path)
            // A device may have no end.
            .and_then(|file| file.take(FILE_MAX as u64).read_to_end(bytes.reveal_mut()))
            .map_err(unreadable)?;
        let plain = text::plain(bytes.reveal()).ok_or_else(|| {
            self.error(key, format!("{shown} {}", text::UTF_16))
                .hint(text::UTF_16_HINT)
        })?;
        let text = String::from_utf8(plain.to_vec())
            .map_err(|_| self.error(key, format!("{shown} is not UTF-8")).hint(hint))?;
        let wrong = |what: &str| {
            self.error(
                key,
                format!("the first line of {shown} {what}, expected the password"),
            )
            .hint(hint)
        };
        let line = first_line(&Secret::new(text)).ok_or_else(|| wrong("is empty"))?;
        if line.reveal().contains(char::is_control) {
            return Err(wrong("holds control characters"));
        }
        Ok(line)
    }

    fn command_output(&self, key: &str) -> Result<Secret<String>> {
        const ARGV_HINT: &str = "the program comes first, then each argument as a text of its own; no shell is involved";
        const ARGV: &str = "a list of texts like [\"pass\", \"show\", \"mail\"]";
        let hint = "run the command by hand: it must end with 0 and print the password, alone on its first line";
        let mut argv: Vec<String> = match self.map.get(key) {
            Some(Value::Array(items)) if !items.is_empty() => items
                .iter()
                .map(|v| v.as_str().map(str::to_string))
                .collect::<Option<_>>()
                .ok_or_else(|| {
                    self.error(
                        key,
                        format!("got a list with something else in it, expected {ARGV}"),
                    )
                })?,
            Some(Value::Array(_)) => {
                return Err(self.error(key, format!("got an empty list, expected {ARGV}")));
            }
            Some(other) => {
                return Err(self.error(key, format!("got {}, expected {ARGV}", kind(other))));
            }
            None => return Err(self.missing(&[key])),
        };
        // The arguments may hold a secret, even where name and arguments are one string.
        let name = argv[0].split_whitespace().next().unwrap_or_default();
        let name = shown(name.as_bytes());
        argv[0] = self.program(key, &argv[0])?;
        let printed = command::printed(&argv, command::PATIENCE).map_err(|end| match end {
            Failure::NotRun(e) if e.kind() == io::ErrorKind::NotFound => self
                .error(key, format!("the program `{name}` is not found"))
                .hint(if argv[0].contains(char::is_whitespace) {
                    ARGV_HINT.into()
                } else {
                    format!(
                        "is it installed? `command -v {}` shows where: you can write its whole path first, like [\"/usr/bin/pass\", \"show\", \"mail\"]",
                        shell_word(&name)
                    )
                }),
            Failure::NotRun(e) => self
                .error(key, format!("`{name}` cannot be run: {e}"))
                .hint(ARGV_HINT),
            Failure::Ended(status) => self
                .error(key, format!("`{name}` ended with {status}"))
                .hint(hint),
            Failure::TooSlow => self
                .error(
                    key,
                    format!(
                        "`{name}` was ended: it had not done its work after {} s",
                        command::PATIENCE.as_secs()
                    ),
                )
                .hint("run the command by hand: it must not wait for a person, nor for what is not there yet when this program starts"),
        })?;
        let not_utf_8 = || {
            self.error(key, format!("what `{name}` printed is not UTF-8"))
                .hint(hint)
        };
        let plain = text::plain(printed.reveal()).ok_or_else(not_utf_8)?;
        let text = String::from_utf8(plain.to_vec()).map_err(|_| not_utf_8())?;
        first_line(&Secret::new(text))
            .filter(|line| !line.reveal().contains(char::is_control))
            .ok_or_else(|| {
                self.error(
                    key,
                    format!("`{name}` printed no password on its first line"),
                )
                .hint(hint)
            })
    }
}

/// Was a path meant? A value that names no file and does not look like a path may be the password itself, put
/// there by mistake. A password, too, may have a slash or a dot in it.
fn seems_a_path(named: &str, path: &Path) -> bool {
    let end = Path::new(named).extension().and_then(|end| end.to_str());
    let usual = end.is_some_and(|end| ENDS.iter().any(|usual| end.eq_ignore_ascii_case(usual)));
    // That the configuration's own folder exists, or the root, proves nothing.
    let folder = Path::new(named).parent();
    let has_folder = folder.is_some_and(|f| !f.as_os_str().is_empty() && f.parent().is_some())
        && path.parent().is_some_and(Path::is_dir);
    usual || has_folder || path.symlink_metadata().is_ok()
}

fn first_line(text: &Secret<String>) -> Option<Secret<String>> {
    let line = text.reveal().lines().next()?;
    (!line.trim().is_empty()).then(|| Secret::new(line.to_string()))
}
