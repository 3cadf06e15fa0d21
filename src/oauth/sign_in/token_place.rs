//! Where a sign-in puts its token file, checked before anybody signs in, and what is written there. Not for
//! how a file is written (`oauth::token_file`).

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::client_file::Client;
use super::grant::Grant;
use crate::config::Secret;
use crate::error::{Error, Fault, Result};
use crate::oauth::contents::time_text;
use crate::oauth::provider::Provider;
use crate::oauth::token_file::{FILE_MAX, try_place, write};
use crate::place::{FilePlace, Want};
use crate::text;

/// Keys that a sign-in sets or removes: no value of an earlier sign-in may stay.
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

/// A place where a token file can be written, checked before anybody signs in.
pub struct TokenPlace {
    path: PathBuf,
    /// Keys of the present file that we do not know: they stay in it.
    kept: Map<String, Value>,
}

impl TokenPlace {
    /// # Errors
    /// `Usage` when it cannot be written, or holds something else.
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
        // An error is better now than after the sign-in.
        try_place(path).map_err(|e| refused(Want::Write, &e))?;
        Ok(TokenPlace {
            path: path.to_path_buf(),
            kept,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what a sign-in gave. True if the present file was overwritten in place.
    ///
    /// # Errors
    /// `Fatal` when it cannot be written: then the token is lost.
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
