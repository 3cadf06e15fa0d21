//! The state file of the predecessor, a Python script: which messages it had copied.
//!
//! A JSON object. `synced_message_ids` holds Message-IDs as they stood in the header: an object with
//! a time or null for each, in the script's first versions a list. `last_source_uid` and `last_sync`
//! are of no use here: it moved past what it had not copied. What it never wrote down, or had
//! forgotten after 31 days, no id vouches for.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Number, Value};

use crate::config::{json_place, plain_json_error};
use crate::error::{Error, Result, shown};
use crate::ledger::Ledger;
use crate::message::MessageId;
use crate::text;

/// What the script called it unless told otherwise.
const USUAL_NAME: &str = "sync_state.json";

/// Millions of ids are less.
const BYTES_MAX: u64 = 256 << 20;

const WHICH_FILE_HINT: &str =
    "give the path of the Python script's state file, usually sync_state.json";

const EXPECTED: &str =
    "an object with `synced_message_ids` (and `last_source_uid` and `last_sync`)";

/// What a state file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateFile {
    pub ids: Vec<MessageId>,
    /// Ids in which there is nothing that a message could be recognised by.
    pub unusable: u64,
}

/// Reads a state file, the whole of it or nothing.
///
/// # Errors
/// `Usage` for a file that cannot be read, is no such file, or is damaged.
pub fn read(path: &Path) -> Result<StateFile> {
    let wrong = |what: String| Error::usage(format!("{}: {what}", path.display()));
    let unreadable = |e| wrong(format!("cannot be read: {e}")).hint(WHICH_FILE_HINT);
    let too_big = || {
        let mib = BYTES_MAX >> 20;
        wrong(format!(
            "more than {mib} MiB, expected the state file of the Python script"
        ))
        .hint(WHICH_FILE_HINT)
    };
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.len() > BYTES_MAX {
        return Err(too_big());
    }
    let mut bytes = Vec::new();
    // A pipe or a device does not tell its size.
    file.take(BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(too_big());
    }
    if bytes.starts_with(b"SQLite format 3\0") {
        return Err(wrong(
            "a database (a ledger?), expected the state file of the Python script (JSON)".into(),
        )
        .hint("give the script's file, usually sync_state.json; the ledger is named with --state-file or --config"));
    }
    let text =
        text::plain(&bytes).ok_or_else(|| wrong(text::UTF_16.into()).hint(text::UTF_16_HINT))?;
    let mut json = serde_json::Deserializer::from_slice(text);
    let ids = json
        .deserialize_any(Top)
        .and_then(|ids| json.end().map(|()| ids))
        .map_err(|e| {
            let (line, column) = json_place(&e, text);
            let what = plain_json_error(&e);
            match e.classify() {
                Category::Data => wrong(format!("line {line}: {}", shown(got(&what).as_bytes())))
                .hint("nothing was taken over: the Python script does not write such a file; usually it is sync_state.json"),
                Category::Syntax | Category::Eof | Category::Io => wrong(format!(
                    "not JSON at line {line}, column {column}: {what}"
                ))
                .hint("nothing was taken over: if the script was stopped while it wrote this file, use a copy from before"),
            }
        })?;
    ids.ok_or_else(|| {
        wrong("this is not the Python script's state file: it has no `synced_message_ids`".into())
            .hint(WHICH_FILE_HINT)
    })
}

/// The script's state file beside a ledger, or in the current folder, where the script had it, if the
/// ledger knows nothing yet, neither of it nor of any mail.
pub fn left_behind(ledger: &Ledger) -> Result<Option<PathBuf>> {
    let places = [
        ledger.path().with_file_name(USUAL_NAME),
        PathBuf::from(USUAL_NAME),
    ];
    let mut places = places.into_iter();
    let there = places.find(|path| path != ledger.path() && path.is_file());
    Ok(match there {
        Some(path) if ledger.is_untouched()? => Some(path),
        _ => None,
    })
}

/// serde's sentence about a value of the wrong kind, in our form.
fn got(what: &str) -> String {
    what.replacen("invalid type: ", "got ", 1)
        .replacen("got sequence", "got a list", 1)
        .replacen("got map", "got an object", 1)
}

impl StateFile {
    fn add(&mut self, id: &str) {
        match MessageId::parse(id.as_bytes()) {
            Some(id) => self.ids.push(id),
            None => self.unusable += 1,
        }
    }
}

struct Top;

impl<'de> Visitor<'de> for Top {
    type Value = Option<StateFile>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_map<A: MapAccess<'de>>(
        self,
        mut map: A,
    ) -> std::result::Result<Self::Value, A::Error> {
        let mut ids = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                // Where a key stands twice the script took the last.
                "synced_message_ids" => ids = Some(map.next_value_seed(Ids)?),
                "last_source_uid" => _ = map.next_value::<Option<Number>>()?,
                "last_sync" => _ = map.next_value::<Option<String>>()?,
                _ => _ = map.next_value::<Value>()?,
            }
        }
        Ok(ids)
    }
}

struct Ids;

impl<'de> serde::de::DeserializeSeed<'de> for Ids {
    type Value = StateFile;

    fn deserialize<D: Deserializer<'de>>(
        self,
        json: D,
    ) -> std::result::Result<StateFile, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Ids {
    type Value = StateFile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Message-IDs, as a list or as an object with a time for each")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<StateFile, A::Error> {
        let mut state = StateFile::default();
        while let Some(id) = list.next_element::<String>()? {
            state.add(&id);
        }
        Ok(state)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<StateFile, A::Error> {
        let mut state = StateFile::default();
        while let Some((id, _time)) = map.next_entry::<String, Option<String>>()? {
            state.add(&id);
        }
        Ok(state)
    }
}
