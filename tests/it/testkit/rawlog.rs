//! Reads Dovecot's raw log of what a client sent: the bytes, with the time put before each line, and into any line of
//! over 8 kB. It finds command lines and no more: what the commands mean is for the test to say.

use super::imap;
use super::unix_now;

/// The command lines of one session, without literals and without the commands of the fixture's own client. Only what
/// lies between `since` and now is taken for a time.
pub(crate) fn commands(log: &[u8], since: u64) -> Vec<String> {
    let sent = without_times(log, since..=unix_now());
    let mut lines = Vec::new();
    let mut rest = &sent[..];
    let mut command = Vec::new();
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let (line, after) = rest.split_at(end + 1);
        command.extend_from_slice(line.trim_ascii_end());
        rest = match imap::literal_size(line) {
            Some(size) => &after[size.min(after.len())..],
            None => {
                lines.push(String::from_utf8_lossy(&std::mem::take(&mut command)).into_owned());
                after
            }
        };
    }
    lines.retain(|line| !line.starts_with(imap::TAG));
    lines
}

/// Drops each `1795402534.862706 ` of this time.
fn without_times(log: &[u8], times: std::ops::RangeInclusive<u64>) -> Vec<u8> {
    const LENGTH: usize = "1795402534.862706 ".len();
    let is_time = |bytes: &[u8]| {
        let (seconds, micros) = (&bytes[..10], &bytes[11..17]);
        let seconds = std::str::from_utf8(seconds)
            .ok()
            .and_then(|text| text.parse().ok());
        seconds.is_some_and(|seconds| times.contains(&seconds))
            && bytes[10] == b'.'
            && micros.iter().all(u8::is_ascii_digit)
            && bytes[17] == b' '
    };
    let mut kept = Vec::with_capacity(log.len());
    let mut at = 0;
    while at < log.len() {
        if log.get(at..at + LENGTH).is_some_and(is_time) {
            at += LENGTH;
        } else {
            kept.push(log[at]);
            at += 1;
        }
    }
    kept
}
