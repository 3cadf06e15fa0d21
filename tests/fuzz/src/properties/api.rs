//! Replies of Gmail's API: what is read of them, and what they are taken for.

use std::time::Duration;

use chrono::{DateTime, Utc};
use imap_to_gmail::config::{Masks, Origin};
use imap_to_gmail::error::{Error, Fault, SHOWN_MAX};
use imap_to_gmail::target::api::{Answered, DELAY_MAX, Label, Means, Receipt, Verdict, verdict};

use super::{assert_printable, assert_same};

const TOKEN: &str = "ya29.token-of-the-fuzzer";
const STATUSES: [u16; 16] = [
    200, 201, 302, 308, 400, 401, 403, 404, 408, 409, 413, 418, 429, 500, 502, 503,
];

pub(super) fn api(data: &[u8]) {
    let Some((&kind, body)) = data.split_first() else {
        return;
    };
    let status = STATUSES[usize::from(kind % 16)];
    if let Some(receipt) = Receipt::parse(body) {
        assert!(receipt.msgid > 0 && i64::try_from(receipt.msgid).is_ok());
        let again = format!("{{\"id\":\"{:x}\"}}", receipt.msgid);
        let again = Receipt::parse(again.as_bytes()).map(|again| again.msgid);
        assert_same("an id, written again", again, Some(receipt.msgid));
    }
    for label in Label::parse_list(body).into_iter().flatten() {
        assert!(!label.id.is_empty() && !label.name.is_empty());
    }
    let masks = Masks::new(TOKEN, b"");
    let answered = Answered {
        status,
        body,
        retry_after: (kind > 250).then_some(u64::from(kind)),
        now: DateTime::<Utc>::UNIX_EPOCH,
        masks: &masks,
    };
    match verdict(&answered, &Origin::default()) {
        Verdict::Open(error) => {
            assert!(![400, 401, 403, 404, 413, 429].contains(&status));
            assert!(matches!(error.fault, Fault::Connection | Fault::Throttled));
            judge(&error);
        }
        Verdict::Refused(means, error) => {
            assert!((400..500).contains(&status));
            // No message is given up because of what is said of anything else.
            let of_it = means == Means::Message;
            assert!(!of_it || [400, 413].contains(&status));
            assert!(!of_it || matches!(error.fault, Fault::Permanent | Fault::Transient));
            judge(&error);
        }
    }
}

fn judge(error: &Error) {
    assert_printable(&error.message, SHOWN_MAX + 200);
    for piece in ["token-of", "the-fuzzer"] {
        assert!(!error.message.contains(piece), "{error}");
    }
    if let Some(hint) = &error.hint {
        assert_printable(hint, 1000);
    }
    let within = |delay| (Duration::from_secs(1)..=DELAY_MAX).contains(&delay);
    assert!(error.delay.is_none_or(within), "{:?}", error.delay);
}
