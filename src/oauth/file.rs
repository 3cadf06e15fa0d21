//! The token file as a sign-in makes it, how it is written, and what its age says (docs/gmail.md 7.4, 7.5).

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use chrono::TimeDelta;
use rustix::fs::Access;
use serde_json::{Map, Value, json};

use super::client::{Client, Provider};
use super::contents::{GOOGLE_SCOPE, expiry};
use super::exchange::Grant;
use crate::config::Secret;
use crate::error::{Error, Fault, Result};
use crate::message::{Sha256, Time, sha256};
use crate::mount::is_mounted_alone;
use crate::place::{FilePlace, Want};
use crate::text::{self, minute};

/// A Google client left in "Testing" ends each sign-in so long after it.
pub const TESTING_LIFE: TimeDelta = TimeDelta::days(7);
/// How long before the end of a sign-in a person is told.
const WARNING: TimeDelta = TimeDelta::days(2);
/// How a client is taken out of "Testing".
pub const PUBLISH: &str = "in the Google Cloud console, under Google Auth Platform, Audience, choose \"Publish app\"; for your own mail it needs no verification";

/// What a sign-in sets: nothing of an earlier one may stay.
const SET: &[&str] = &[
    "token",
    "refresh_token",
    "token_uri",
    "client_id",
    "client_secret",
    "scopes",
    "universe_domain",
    "account",
    "expiry",
    "consented_at",
    "refresh_token_expires_at",
    "rapt_token",
    "id_token",
    "type",
];
/// More than any token file has.
const FILE_MAX: u64 = 1 << 20;

/// As google-auth writes and reads it: naive UTC and a Z.
pub(super) fn time_text(time: Time) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// A place for a token file, seen to be one before anybody signs in.
pub struct TokenPlace {
    path: PathBuf,
    /// What we do not know in the file that is there stays in it.
    kept: Map<String, Value>,
}

impl TokenPlace {
    /// # Errors
    /// `Usage` when it cannot be written, or is the place of something else.
    pub fn new(path: &Path) -> Result<TokenPlace> {
        let refused = |want, e: &io::Error| {
            let place = FilePlace {
                what: "token file",
                path,
                or: "give another path with --token-file",
            };
            place.refused(want, e).with_fault(Fault::Usage)
        };
        let mut text = Secret::new(Vec::new());
        let mut kept = Map::new();
        match File::open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(refused(Want::Read, &e)),
            Ok(file) => {
                let mut bytes = Vec::new();
                file.take(FILE_MAX)
                    .read_to_end(&mut bytes)
                    .map_err(|e| refused(Want::Read, &e))?;
                text = Secret::new(bytes);
            }
        }
        let plain = text::plain(text.reveal()).unwrap_or(text.reveal());
        if !plain.trim_ascii().is_empty() {
            match serde_json::from_slice(plain) {
                Ok(Value::Object(map))
                    if map.contains_key("token") || map.contains_key("refresh_token") =>
                {
                    kept = map;
                    kept.retain(|key, _| !SET.contains(&key.as_str()));
                }
                _ => {
                    return Err(Error::usage(format!(
                        "{}: holds something else than a token, and is not written over",
                        path.display()
                    ))
                    .hint("give another --token-file, or move that file away"));
                }
            }
        }
        // Better now than after the sign-in.
        let tried =
            target(path).and_then(
                |path| match tempfile::NamedTempFile::new_in(folder(&path)) {
                    Err(e) if may_be_written_in_place(&e) && path.exists() => {
                        File::options().write(true).open(path).map(|_| ())
                    }
                    end => end.map(|_| ()),
                },
            );
        tried.map_err(|e| refused(Want::Write, &e))?;
        Ok(TokenPlace {
            path: path.to_path_buf(),
            kept,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what a sign-in gave. True when that was done in place.
    ///
    /// # Errors
    /// `Fatal`: the token is lost.
    pub fn write(self, client: &Client, grant: &Grant) -> Result<bool> {
        let mut map = Map::new();
        let mut set = |key: &str, value: Value| map.insert(key.into(), value);
        set("token", grant.access.reveal().as_str().into());
        set("refresh_token", grant.refresh.reveal().as_str().into());
        set("token_uri", client.token_uri.as_str().into());
        set("client_id", client.id.as_str().into());
        if let Some(secret) = &client.secret {
            set("client_secret", secret.reveal().as_str().into());
        }
        set("scopes", json!(grant.scopes));
        if client.provider == Provider::Google {
            set("universe_domain", "googleapis.com".into());
            set("account", "".into());
        }
        if let Some(at) = grant.expiry {
            set("expiry", time_text(at).into());
        }
        set("consented_at", time_text(grant.at).into());
        if let Some(at) = grant.refresh_ends {
            set("refresh_token_expires_at", time_text(at).into());
        }
        map.extend(self.kept);
        write(&self.path, &map).map(|w| w.in_place).map_err(|e| {
            Error::fatal(format!(
                "{}: the token file cannot be written: {e}",
                self.path.display()
            ))
            .hint("mend that, or give another --token-file, and run the same command again")
        })
    }
}

/// How a token file can be written.
#[derive(Debug)]
pub enum Keeping {
    /// A new file takes its place: the way that loses nothing whatever happens.
    InAnother,
    InPlace,
    NotAtAll(io::Error),
}

/// How a token file was written.
pub(super) struct Written {
    /// Of what is in it.
    pub(super) hash: Sha256,
    pub(super) in_place: bool,
}

/// Writes a token file anew, 0600 before its first byte, by rename. Where the file is there and no
/// other one can take its place (it is mounted by itself, or its folder is not ours to write to), it
/// is written in place: what is in it may be good for nothing already.
pub(super) fn write(path: &Path, map: &Map<String, Value>) -> io::Result<Written> {
    let path = target(path)?;
    let text = Secret::new(serde_json::to_string_pretty(map)?);
    let bytes = text.reveal().as_bytes();
    let in_place = match replace(&path, bytes) {
        Ok(()) => false,
        Err(e) if may_be_written_in_place(&e) => {
            // The first error says more.
            write_in_place(&path, bytes).map_err(|_| e)?;
            true
        }
        Err(e) => return Err(e),
    };
    Ok(Written {
        hash: sha256(bytes),
        in_place,
    })
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // The name must outlast a power cut too; file systems that cannot do it do without.
    let _ = File::open(folder(path)).and_then(|dir| dir.sync_all());
    Ok(())
}

/// Not a full disk: there the old file must stay whole.
fn may_be_written_in_place(e: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    matches!(
        e.kind(),
        CrossesDevices | PermissionDenied | ReadOnlyFilesystem | ResourceBusy
    )
}

/// The new text comes with blanks up to the end of the old one, in one write: a process that ends
/// before it is cut to size leaves a file that can be read.
fn write_in_place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    let length = file.metadata()?.len();
    let spare = length.saturating_sub(bytes.len() as u64).min(FILE_MAX);
    let mut text = Secret::new(bytes.to_vec());
    // Who may not change the mode of it writes into it all the same, as it was made for that.
    let _ = file.set_permissions(Permissions::from_mode(0o600));
    text.reveal_mut()
        .resize(bytes.len() + usize::try_from(spare).unwrap_or(0), b' ');
    file.write_all(text.reveal())?;
    file.sync_all()?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()
}

/// How what a renewal brings can be kept at `path`, as far as the system tells without a try.
pub(super) fn keeping(path: &Path) -> Keeping {
    let can = |what: &Path, access| rustix::fs::access(what, access).map_err(io::Error::from);
    let path = match target(path) {
        Ok(path) => path,
        Err(e) => return Keeping::NotAtAll(e),
    };
    let replaced = can(folder(&path), Access::WRITE_OK | Access::EXEC_OK);
    match replaced {
        Ok(()) if !is_mounted_alone(&path) => Keeping::InAnother,
        _ => match can(&path, Access::WRITE_OK) {
            Ok(()) => Keeping::InPlace,
            Err(e) => Keeping::NotAtAll(e),
        },
    }
}

/// What a link points to is replaced, not the link.
fn target(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        // There is nothing yet, and no link that leads nowhere.
        Err(_) if fs::symlink_metadata(path).is_err() => Ok(path.to_path_buf()),
        end => end,
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// What a person should know of a sign-in that may end by itself: from two days before Google's
/// stated end, or before the seventh day, on which that of a client left in "Testing" ends. A token
/// that works after that day shows that its client is not.
/// `sign_in`: the command with which that is done again.
pub(super) fn ends_soon(
    name: &Path,
    map: &Map<String, Value>,
    sign_in: &str,
    now: Time,
) -> Option<Error> {
    let time = |key: &str| map.get(key).and_then(Value::as_str).and_then(expiry);
    let google = match map.get("scopes") {
        Some(Value::Array(scopes)) => scopes.iter().any(|s| s == GOOGLE_SCOPE),
        Some(Value::String(scopes)) => scopes.split_whitespace().any(|s| s == GOOGLE_SCOPE),
        _ => false,
    };
    if !google {
        return None;
    }
    let stated = time("refresh_token_expires_at");
    let end = stated.or_else(|| time("consented_at")?.checked_add_signed(TESTING_LIFE))?;
    if !(end.checked_sub_signed(WARNING)?..end).contains(&now) {
        return None;
    }
    let day = minute(end);
    let name = name.display();
    let error = |what: String| Error::new(Fault::NeedsUser, what);
    Some(match stated {
        Some(_) => error(format!("{name}: Google ends this sign-in on {day}")).hint(format!(
            "sign in again before that with {sign_in}; if the client is in \"Testing\": {PUBLISH} first"
        )),
        None => error(format!(
            "{name}: if its Google client is still in \"Testing\", this sign-in ends on {day}"
        ))
        .hint(format!(
            "{PUBLISH}, and then sign in once more with {sign_in}; if it is published already, this warning goes by itself"
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the clock of the place where this is tried.
    fn here(time: &str) -> String {
        expiry(time).map(minute).unwrap_or_default()
    }

    fn said(token: Value, now: &str) -> Option<String> {
        let Value::Object(map) = token else {
            return None;
        };
        ends_soon(Path::new("t.json"), &map, "", expiry(now)?).map(|e| e.message)
    }

    #[test]
    fn a_sign_in_that_may_end_by_itself_is_told_of_two_days_before() {
        let token = |scopes: Value| json!({"scopes": scopes, "consented_at": "2026-01-01T12:00:00.000000Z"});
        let google = token(json!([GOOGLE_SCOPE]));
        let testing = format!(
            "t.json: if its Google client is still in \"Testing\", this sign-in ends on {}",
            here("2026-01-08T12:00:00Z")
        );
        for (now, told) in [
            ("2025-12-31T00:00:00Z", false),
            ("2026-01-01T12:00:00Z", false),
            ("2026-01-06T11:59:59Z", false),
            ("2026-01-06T12:00:00Z", true),
            ("2026-01-08T11:59:59Z", true),
            // Still good: it is not in Testing.
            ("2026-01-08T12:00:00Z", false),
            ("2026-03-01T00:00:00Z", false),
        ] {
            let want = told.then(|| testing.clone());
            assert_eq!(said(google.clone(), now), want, "{now}");
        }
        let sixth = "2026-01-07T00:00:00Z";
        assert!(said(token(json!(format!("openid {GOOGLE_SCOPE}"))), sixth).is_some());
        // Other providers' do not end so; of a file that another program made nobody knows the age.
        assert_eq!(said(token(json!(["mail"])), sixth), None);
        assert_eq!(said(token(json!(null)), sixth), None);
        assert_eq!(said(json!({"scopes": [GOOGLE_SCOPE]}), sixth), None);
        for odd in ["soon", "+262142-12-31T00:00:00", "-262143-01-01T00:00:00"] {
            let token = json!({"scopes": [GOOGLE_SCOPE], "consented_at": odd, "refresh_token_expires_at": odd});
            assert_eq!(said(token, sixth), None, "{odd}");
        }
    }

    #[test]
    fn what_google_says_itself_goes_before_what_is_guessed() {
        let token = json!({"scopes": [GOOGLE_SCOPE], "consented_at": "2026-01-01T12:00:00Z",
            "refresh_token_expires_at": "2026-02-01T12:00:00Z"});
        assert_eq!(said(token.clone(), "2026-01-07T00:00:00Z"), None);
        assert_eq!(
            said(token, "2026-01-31T00:00:00Z"),
            Some(format!(
                "t.json: Google ends this sign-in on {}",
                here("2026-02-01T12:00:00Z")
            ))
        );
    }
}
