//! The API, as a test sees it: where it is, its faults, and what it has counted.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Gmail;
use crate::clock::delta;
use crate::faults::{Hits, On};
use crate::rest::{self, ApiFault, ApiImport, ApiRequest};

impl Gmail {
    /// The base address of the API, in place of `https://gmail.googleapis.com`. Without TLS it is http.
    pub fn api_url(&self) -> String {
        let scheme = if self.shared.tls.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://127.0.0.1:{}", self.api_port)
    }

    /// Breaks something at a chosen request.
    pub fn api_fault(&self, on: On, fault: ApiFault) -> Hits {
        self.shared.api_faults.add(on, fault)
    }

    /// Carries out what [`ApiFault::CommitOnCommand`] held back; how many requests that were.
    pub fn commit_held(&self) -> usize {
        rest::commit(&self.shared)
    }

    /// Lets go the answers that [`ApiFault::AnswerOnCommand`] holds back now.
    pub fn release_answers(&self) {
        self.shared.held.lock().unwrap().release();
    }

    /// How many answers that are.
    pub fn answers_held(&self) -> usize {
        self.shared.held.lock().unwrap().answers
    }

    /// Moves to Spam what the scan took for spam and [`ApiKnobs::classified_on_command`](crate::ApiKnobs) let be; how many
    /// messages that were. One of the test's choice goes there by [`Gmail::spam`].
    pub fn classify(&self) -> usize {
        rest::classify(&self.shared)
    }

    /// Blocks the account's use of the API (docs/gmail-import.md 4), for so long by the virtual clock. IMAP goes on.
    pub fn block_api(&self, time: Duration) {
        let until = self.shared.clock.now() + delta(time);
        self.shared.quota.lock().unwrap().blocked_until = Some(until);
    }

    /// Until when the use of the API is blocked: whoever asks before makes it later.
    pub fn api_blocked_until(&self) -> Option<DateTime<Utc>> {
        self.shared.quota.lock().unwrap().blocked_until
    }

    /// Requests that came while it was.
    pub fn early_requests(&self) -> usize {
        self.shared.quota.lock().unwrap().early
    }

    /// The most requests to the API that were under way together.
    pub fn busiest(&self) -> usize {
        self.shared.quota.lock().unwrap().busiest
    }

    /// Bytes of messages that the API has taken, whatever IMAP has.
    pub fn api_uploaded(&self) -> u64 {
        self.shared.quota.lock().unwrap().bytes
    }

    /// Bytes of resumable uploads that are not whole.
    pub fn half_uploaded(&self) -> usize {
        self.shared.uploads.lock().unwrap().waiting()
    }

    /// Every request to the API, in the order in which their heads came.
    pub fn api_log(&self) -> Vec<ApiRequest> {
        self.shared.api_log.lock().unwrap().requests.clone()
    }

    /// How many messages to import came whole, whatever became of them.
    pub fn imports_received(&self) -> usize {
        let log = self.shared.api_log.lock().unwrap();
        log.requests.iter().filter(|r| r.brought).count()
    }

    /// Every message that import took, in order.
    pub fn imports(&self) -> Vec<ApiImport> {
        self.shared.api_log.lock().unwrap().imports.clone()
    }

    /// How many messages import has made of exactly these bytes: what was merged into another made none.
    pub fn imports_stored(&self, raw: impl AsRef<[u8]>) -> usize {
        let sha256 = rest::sha256(raw.as_ref());
        let log = self.shared.api_log.lock().unwrap();
        let of_these = log.imports.iter().filter(|i| i.sha256 == sha256);
        of_these.filter(|import| !import.merged).count()
    }

    /// Requests to the API whose first line holds this: `"POST /upload"`, `"/labels"`.
    pub fn api_requests(&self, part: &str) -> usize {
        let transcript = self.transcript();
        let lines = transcript.client().into_iter();
        let requests = lines.filter(|line| line.ends_with(" HTTP/1.1"));
        requests.filter(|line| line.contains(part)).count()
    }
}
