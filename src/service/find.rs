//! Which configurations there are: files by name, and those that lie in folders. Not for what stands in them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::is_key;
use crate::error::{Error, Result, shown};

/// A file of more bytes is no configuration.
const SIZE_MAX: u64 = 1 << 20;

/// The configurations at these places, each once, in a lasting order. A place is a file, whether it is there or not, or a
/// folder: of that each file whose name ends in `.json`, unless it begins with a dot or is plainly something else, such as a
/// token.
///
/// # Errors
/// `Usage` when a folder cannot be read.
pub fn configurations(places: &[PathBuf]) -> Result<Vec<PathBuf>> {
    Places::of(places).configurations()
}

/// Where configurations are looked for again and again. What was a folder at the start stays one: a disk that does not answer
/// for a moment makes no file of it.
pub(super) struct Places(Vec<(PathBuf, bool)>);

impl Places {
    pub(super) fn of(places: &[PathBuf]) -> Places {
        Places(places.iter().map(|p| (p.clone(), p.is_dir())).collect())
    }

    /// Was this file named by itself?
    pub(super) fn name(&self, file: &Path) -> bool {
        self.0
            .iter()
            .any(|(place, folder)| !folder && place == file)
    }

    /// # Errors
    /// As [`configurations`].
    pub(super) fn configurations(&self) -> Result<Vec<PathBuf>> {
        let mut found: Vec<PathBuf> = Vec::new();
        for (place, folder) in &self.0 {
            let files = if *folder {
                in_folder(place)?
            } else {
                vec![place.clone()]
            };
            for file in files {
                if !found.contains(&file) {
                    found.push(file);
                }
            }
        }
        Ok(found)
    }
}

/// The same at a start, when there must be some.
///
/// # Errors
/// As [`configurations`], and when there is none.
pub fn some_configurations(places: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let found = configurations(places)?;
    if found.is_empty() {
        let names: Vec<String> = places
            .iter()
            .map(|place| place.display().to_string())
            .collect();
        let folder = if names.len() == 1 {
            "folder"
        } else {
            "folders"
        };
        let names = shown(names.join(", ").as_bytes());
        return Err(
            Error::usage(format!("there is no configuration in the {folder} {names}")).hint(
                "a configuration is a file whose name ends in .json; config.json.example shows one",
            ),
        );
    }
    Ok(found)
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let refused = |e: io::Error| {
        let name = shown(folder.display().to_string().as_bytes());
        Error::usage(format!("the folder {name} cannot be read: {e}"))
            .hint("name a folder of configurations, or each file by itself")
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(refused)? {
        let path = entry.map_err(refused)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy());
        let named = name.is_some_and(|name| name.ends_with(".json") && !name.starts_with('.'));
        if !named {
            continue;
        }
        let is_file = match fs::metadata(&path) {
            Ok(found) => found.is_file(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => false,
            Err(e) => return Err(refused(e)),
        };
        if is_file && !is_something_else(&path) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Does it hold a JSON object without one key of a configuration? Tokens and the credentials of clients lie beside
/// configurations. What cannot be read or understood may be a configuration that went wrong, whose owner is to be told.
fn is_something_else(path: &Path) -> bool {
    let small = fs::metadata(path).is_ok_and(|m| m.len() <= SIZE_MAX);
    if !small {
        return false;
    }
    let text = fs::read_to_string(path).unwrap_or_default();
    match serde_json::from_str(&text) {
        Ok(Value::Object(keys)) => !keys.is_empty() && !keys.keys().any(|key| is_key(key)),
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_a_folder_of_configurations() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let b = put("b.json", r#"{"source_server": "imap.example.org"}"#);
        let a = put("a.json", r#"{"source_server": "imap.example.org",}"#);
        let empty = put("c.json", "");
        put("token.json", r#"{"client_id": "x", "refresh_token": "y"}"#);
        put("client.json", r#"{"installed": {}}"#);
        put("b.json~", "{}");
        put(".b.json", r#"{"source_server": "x"}"#);
        fs::create_dir(folder.path().join("d.json")).unwrap();
        let places = [folder.path().to_path_buf(), b.clone(), "not there".into()];
        assert_eq!(
            configurations(&places).unwrap(),
            [a, b, empty, "not there".into()]
        );
    }
}
