//! The OAuth client that a person made at a provider: client_secret.json as Google gives it
//! (docs/gmail.md 7.5), or a few lines of JSON for Microsoft (8.2) and for others.
//!
//! If the file is something else, the error says what it is. Not for the token file that a sign-in makes.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use oauth2::TokenUrl;
use oauth2::url::Url;
use serde_json::{Map, Value};

use crate::config::{Secret, json_place, plain_json_error};
use crate::error::{Error, Result, shown};
use crate::oauth::http::is_safe;
use crate::oauth::provider::{GOOGLE_SCOPE, MICROSOFT_SCOPE, Provider};
use crate::text;

/// The keys that the file may have for Microsoft and for other providers.
const KEYS: &[&str] = &[
    "client_id",
    "client_secret",
    "tenant",
    "auth_uri",
    "token_uri",
    "device_uri",
    "scope",
    "redirect_uri",
];
/// Such files have some hundred bytes.
const FILE_MAX: u64 = 64 << 10;

const GOOGLE_HINT: &str = "get that file at https://console.cloud.google.com/auth/clients: make a client of type \"Desktop app\" and download its JSON (docs/google-client.md says how); if you use an app password (`target_pass`), you do not need this file";

/// A client whose file was read and checked.
#[derive(Clone, Debug)]
pub struct Client {
    pub provider: Provider,
    pub(super) id: String,
    pub(super) secret: Option<Secret<String>>,
    pub(super) auth_uri: String,
    pub(super) token_uri: String,
    pub(super) device_uri: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) redirect: Redirect,
}

/// Where the browser is sent back to: always this machine.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Redirect {
    pub(super) host: String,
    /// None: any port.
    pub(super) port: Option<u16>,
    /// Exactly as it was registered: some providers tell `/` from no path at all.
    pub(super) path: String,
}

impl Client {
    /// Reads the file that `--credentials` names.
    ///
    /// # Errors
    /// `Usage`, with what the file is instead and where the right one comes from.
    pub fn read(path: &Path, provider: Provider) -> Result<Client> {
        let file = CredentialsFile { path, provider };
        let map = file.read()?;
        match provider {
            Provider::Google => file.google(&map),
            Provider::Microsoft | Provider::Other => file.flat(&map),
        }
    }

    /// Does the provider have a way for machines without a browser?
    pub fn has_device_flow(&self) -> bool {
        self.device_uri.is_some()
    }

    /// As sentences name it.
    pub fn provider_name(&self) -> &'static str {
        self.provider.in_sentences()
    }
}

struct CredentialsFile<'a> {
    path: &'a Path,
    provider: Provider,
}

impl CredentialsFile<'_> {
    fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::usage(format!("{}: {what}", self.path.display())).hint(self.hint())
    }

    /// The error that says what the file is instead.
    fn is_not(&self, but: &str) -> Error {
        self.error(format!("is {but}, not {}", self.name()))
    }

    /// The error that says why it cannot be the right file.
    fn is_none(&self, why: &str) -> Error {
        self.error(format!("is not {}, since {why}", self.name()))
    }

    /// What all errors call the right file.
    fn name(&self) -> &'static str {
        match self.provider {
            Provider::Google => "the OAuth client file from Google (client_secret.json)",
            Provider::Microsoft => "the OAuth client file for Microsoft (microsoft.json)",
            Provider::Other => "the OAuth client file for the provider (client.json)",
        }
    }

    fn hint(&self) -> &'static str {
        match self.provider {
            Provider::Google => GOOGLE_HINT,
            Provider::Microsoft => {
                "register an app of your own in Microsoft Entra (public client, redirect http://localhost); the file is {\"client_id\": \"...\"}, with `tenant` where it is for one organisation alone"
            }
            Provider::Other => {
                "the file is {\"auth_uri\": \"https://...\", \"token_uri\": \"https://...\", \"client_id\": \"...\", \"scope\": \"...\"}, with `client_secret`, `device_uri` and `redirect_uri` where the provider has them"
            }
        }
    }

    fn read(&self) -> Result<Map<String, Value>> {
        let mut bytes = Vec::new();
        File::open(self.path)
            .and_then(|f| f.take(FILE_MAX + 1).read_to_end(&mut bytes))
            .map_err(|e| match e.kind() {
                ErrorKind::NotFound => {
                    let name = self.name();
                    self.error(format!("there is no such file; expected {name}"))
                }
                _ => self.error(format!("cannot be read: {e}")),
            })?;
        if bytes.len() as u64 > FILE_MAX {
            return Err(self.is_none("it is too long"));
        }
        let secret = Secret::new(bytes);
        let bytes = secret.reveal();
        let bytes =
            text::plain(bytes).ok_or_else(|| self.error(text::UTF_16).hint(text::UTF_16_HINT))?;
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(map)) => Ok(map),
            Ok(_) => Err(self.is_none("it holds no JSON object")),
            Err(e) => {
                let (line, column) = json_place(&e, bytes);
                Err(self.error(format!(
                    "not JSON at line {line}, column {column}: {}",
                    plain_json_error(&e)
                )))
            }
        }
    }

    fn google(&self, map: &Map<String, Value>) -> Result<Client> {
        let (inner, web) = match (map.get("installed"), map.get("web")) {
            (Some(Value::Object(inner)), _) => (inner, false),
            (_, Some(Value::Object(inner))) => (inner, true),
            _ => return Err(self.something_else(map)),
        };
        let redirect = if web {
            inner
                .get("redirect_uris")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .find_map(|uri| Redirect::parse(uri).filter(|r| r.port.is_some()))
                .ok_or_else(|| {
                    self.error(
                        "is of a client of type \"Web application\" that may not send the browser back to this machine",
                    )
                    .hint("make a client of type \"Desktop app\", or register http://127.0.0.1:8080/ as a redirect URI of this one and download its JSON anew")
                })?
        } else {
            // A desktop client may come back to any port of this machine (docs/gmail.md 7.1).
            Redirect::to("127.0.0.1")
        };
        Ok(Client {
            provider: self.provider,
            id: self.required(inner, "client_id")?,
            // A renewal needs it, and so do google-auth and the Python script.
            secret: Some(Secret::new(self.required(inner, "client_secret")?)),
            auth_uri: self.endpoint(inner, "auth_uri", None)?,
            token_uri: self.endpoint(inner, "token_uri", None)?,
            device_uri: None,
            scopes: vec![GOOGLE_SCOPE.into()],
            redirect,
        })
    }

    fn flat(&self, map: &Map<String, Value>) -> Result<Client> {
        if !map.contains_key("client_id") {
            return Err(self.something_else(map));
        }
        if let Some(key) = map.keys().find(|k| !KEYS.contains(&k.as_str())) {
            return Err(self.error(format!("unknown key `{}`", shown(key.as_bytes()))));
        }
        let microsoft = self.provider == Provider::Microsoft;
        let tenant = self.text(map, "tenant")?;
        if tenant.is_some() && !microsoft {
            return Err(self.error("`tenant` is a word of Microsoft's"));
        }
        let tenant = tenant.unwrap_or_else(|| "common".into());
        if !tenant
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        {
            return Err(self.error(format!(
                "`tenant` is {}, expected `common`, `consumers`, `organizations`, or the id or domain of one",
                shown(tenant.as_bytes())
            )));
        }
        let preset = |last: &str| {
            microsoft
                .then(|| format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/{last}"))
        };
        let scope = match self.text(map, "scope")? {
            Some(scope) => scope,
            None if microsoft => format!("{MICROSOFT_SCOPE} offline_access"),
            None => return Err(self.missing("scope")),
        };
        let device_uri = if map.contains_key("device_uri") {
            Some(self.endpoint(map, "device_uri", None)?)
        } else {
            preset("devicecode")
        };
        let redirect = match self.text(map, "redirect_uri")? {
            Some(uri) => Redirect::parse(&uri).ok_or_else(|| {
                self.error(format!(
                    "`redirect_uri` is {}, expected http://127.0.0.1 or http://localhost, with a port and a path where they are registered",
                    shown(uri.as_bytes())
                ))
            })?,
            // Only for this name does Entra allow every port (docs/gmail.md 8.2).
            None if microsoft => Redirect::to("localhost"),
            None => Redirect::to("127.0.0.1"),
        };
        Ok(Client {
            provider: self.provider,
            id: self.required(map, "client_id")?,
            secret: self.text(map, "client_secret")?.map(Secret::new),
            auth_uri: self.endpoint(map, "auth_uri", preset("authorize"))?,
            token_uri: self.endpoint(map, "token_uri", preset("token"))?,
            device_uri,
            scopes: scope.split_whitespace().map(str::to_string).collect(),
            redirect,
        })
    }

    /// The error about a file that people give by mistake.
    fn something_else(&self, map: &Map<String, Value>) -> Error {
        let has = |key: &str| map.contains_key(key);
        let kind = map.get("type").and_then(Value::as_str).unwrap_or_default();
        let google = self.provider == Provider::Google;
        if has("installed") || has("web") {
            return if google {
                self.is_none("`installed` in it is no JSON object")
            } else {
                self.error("is the OAuth client file from Google")
                    .hint("leave out --provider to sign in to Google")
            };
        }
        if kind == "service_account" {
            return self.is_not("the key of a service account (which has no mail of its own)");
        }
        if has("refresh_token") || has("token") || kind == "authorized_user" {
            return self.is_not("a token file (which is what `auth` makes)");
        }
        if has("source_server") || has("target_user") {
            return self.is_not("your configuration");
        }
        if google && has("client_id") {
            return self
                .is_none("there is no `installed` in it")
                .hint(format!("for another provider say so, with --provider microsoft or --provider other; else: {GOOGLE_HINT}"));
        }
        if google {
            self.is_none("there is no `installed` in it")
        } else {
            self.missing("client_id")
        }
    }

    fn missing(&self, key: &str) -> Error {
        self.error(format!("`{key}` is missing"))
    }

    fn text(&self, map: &Map<String, Value>, key: &str) -> Result<Option<String>> {
        match map.get(key) {
            None => Ok(None),
            Some(Value::String(s)) if !s.trim().is_empty() && !s.chars().any(char::is_control) => {
                Ok(Some(s.trim().to_string()))
            }
            Some(_) => Err(self.error(format!("`{key}` is not what it should be: expected text"))),
        }
    }

    fn required(&self, map: &Map<String, Value>, key: &str) -> Result<String> {
        self.text(map, key)?.ok_or_else(|| self.missing(key))
    }

    fn endpoint(
        &self,
        map: &Map<String, Value>,
        key: &str,
        preset: Option<String>,
    ) -> Result<String> {
        let uri = match (self.text(map, key)?, preset) {
            (Some(uri), _) | (None, Some(uri)) => uri,
            (None, None) => return Err(self.missing(key)),
        };
        if TokenUrl::new(uri.clone()).is_ok_and(|u| is_safe(&u)) {
            Ok(uri)
        } else {
            Err(self.error(format!(
                "`{key}` is {}, expected https",
                shown(uri.as_bytes())
            )))
        }
    }
}

impl Redirect {
    fn to(host: &str) -> Redirect {
        Redirect {
            host: host.into(),
            port: None,
            path: String::new(),
        }
    }

    /// Only addresses that reach our listener at 127.0.0.1, which speaks no TLS.
    fn parse(uri: &str) -> Option<Redirect> {
        let url = Url::parse(uri).ok()?;
        let host = url.host_str()?;
        let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        let ours = url.scheme() == "http" && matches!(host, "127.0.0.1" | "localhost") && plain;
        let (_, rest) = uri.split_once("://")?;
        ours.then(|| Redirect {
            host: host.into(),
            port: url.port(),
            path: rest
                .find('/')
                .map(|at| rest[at..].into())
                .unwrap_or_default(),
        })
    }

    pub(super) fn uri(&self, port: u16) -> String {
        format!("http://{}:{port}{}", self.host, self.path)
    }
}
