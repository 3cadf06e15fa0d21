//! The right server spoken to in the wrong way: told within the time that a check has, with the key to change.

use super::findings::{check, right};

const NO_SOURCE: [&str; 4] = [
    "source_connection problem",
    "source_sign_in skipped",
    "source_mailbox skipped",
    "source_idle skipped",
];

#[test]
fn a_port_for_tls_with_an_encryption_that_begins_later() {
    for tls in ["starttls", "none"] {
        let mut env = right();
        env.set("source_tls", tls);
        let cause = format!(
            "encrypts from the start, and `source_tls` is \"{tls}\", which begins unencrypted"
        );
        let mend = "change `source_tls` in config.json to `\"implicit\"`";
        check(&env).finds(1, &NO_SOURCE, &cause, mend);
    }
}

#[test]
fn a_port_without_tls_with_an_encryption_that_begins_at_once() {
    let mut env = right();
    let plain = crate::testkit::says(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n");
    env.set("source_port", plain);
    check(&env).finds(
        1,
        &NO_SOURCE,
        "begins unencrypted, and the configuration (`source_tls`) expects encryption from the start",
        "after the first { in config.json add `\"source_tls\": \"starttls\",`; or use the port that is encrypted from the start: change `source_port` in config.json to `993`",
    );
}
