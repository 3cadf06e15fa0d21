//! The API, as a test sees it: where it is, its faults, and what it has counted.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Gmail;
use crate::clock::delta;
use crate::faults::{Hits, On};
use crate::rest::ApiFault;

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

    /// Requests to the API whose first line holds this: `"POST /upload"`, `"/labels"`.
    pub fn api_requests(&self, part: &str) -> usize {
        let transcript = self.transcript();
        let lines = transcript.client().into_iter();
        let requests = lines.filter(|line| line.ends_with(" HTTP/1.1"));
        requests.filter(|line| line.contains(part)).count()
    }
}
