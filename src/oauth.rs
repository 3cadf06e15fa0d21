//! The token file: google-auth's format, as the Python script kept it (gmail.md 7.5).
//!
//! So far it is read; its refresh and the sign-in that makes it have no place in here yet.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::config::{Secret, json_place};
use crate::error::{Error, Fault, Result};

/// The access token in the file at `path`. Whether it still holds is for the server to say.
pub fn access_token(path: &Path) -> Result<Secret<String>> {
    let name = path.display();
    let sign_in = "sign in again and put the new token file there; it is picked up by itself";
    let text = Secret::new(fs::read_to_string(path).map_err(|e| {
        Error::new(
            Fault::NeedsUser,
            format!("{name}: the token file cannot be read: {e}"),
        )
        .hint(sign_in)
    })?);
    let value: Value = serde_json::from_str(text.reveal()).map_err(|e| {
        let (line, column) = json_place(&e, text.reveal().as_bytes());
        Error::new(
            Fault::NeedsUser,
            format!("{name}: not JSON at line {line}, column {column}"),
        )
        .hint(sign_in)
    })?;
    match value.get("token") {
        Some(Value::String(token))
            if !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            Ok(Secret::new(token.clone()))
        }
        Some(_) => Err(Error::new(
            Fault::NeedsUser,
            format!("{name}: `token` is not an access token"),
        )
        .hint(sign_in)),
        None => Err(Error::new(
            Fault::NeedsUser,
            format!("{name}: there is no `token` in it"),
        )
        .hint(sign_in)),
    }
}
