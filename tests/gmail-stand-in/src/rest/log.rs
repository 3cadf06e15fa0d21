//! What the API was asked, and what it made of messages: for tests to read, and to count.

use sha2::{Digest as _, Sha256};

/// A request to the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiRequest {
    /// Its connection, as in the transcript.
    pub session: u32,
    /// What faults call it; empty where there is no such page.
    pub name: &'static str,
    /// `POST /upload/...?uploadType=multipart HTTP/1.1`
    pub line: String,
    /// Bytes of its body that came.
    pub bytes: usize,
    /// The last byte of a message to import was in it, and came.
    pub brought: bool,
    /// The status that it was answered. None: it was not, or not yet, or not to the end.
    pub status: Option<u16>,
}

/// What became of a message that import took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiImport {
    /// SHA-256 of its bytes as they came, without what import puts in front; in hexadecimal digits.
    pub sha256: String,
    /// The message that it became, or became a part of.
    pub id: u64,
    /// The account had that one before.
    pub merged: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) requests: Vec<ApiRequest>,
    pub(crate) imports: Vec<ApiImport>,
}

impl Log {
    /// A request has come; its number.
    pub(super) fn begin(&mut self, session: u32, name: &'static str, line: &str) -> usize {
        self.requests.push(ApiRequest {
            session,
            name,
            line: line.to_string(),
            bytes: 0,
            brought: false,
            status: None,
        });
        self.requests.len() - 1
    }

    pub(super) fn imported(&mut self, sha256: String, id: u64, merged: bool) {
        self.imports.push(ApiImport { sha256, id, merged });
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
