//! Every mistake that `ping_url` and `notify_command` can hold.

use serde_json::json;

use super::config::{EXAMPLE_HINT, accepted, refused, right, with};

const PING_HINT: &str = "copy the whole address that the monitor shows, as https://hc-ping.com/ and what follows, or https://kuma.example.org/api/push/ and what follows";
const HTTPS_HINT: &str = "over http everybody on the way can read it, and say in your place that all is well: give its https address; http is only for a monitor on this machine (localhost, 127.x.x.x, ::1)";
const ARGV_HINT: &str = "the program comes first, then each argument as a text of its own; no shell is involved, so for a line of one write [\"sh\", \"-c\", \"THE LINE\"]";

#[test]
fn an_address_is_an_address_and_nothing_secret_of_it_is_repeated() {
    let odd = "`ping_url`: got something else, expected an address like https://hc-ping.com/ and what follows";
    for url in [
        "HUSH",
        "hc-ping.com/HUSH",
        "ftp://hc-ping.com/HUSH",
        "https://a b/HUSH",
    ] {
        refused(with("ping_url", url), odd, PING_HINT);
    }
    refused(
        with(
            "ping_url",
            "http://192.168.1.9:3001/api/push/HUSH?status=up&msg=OK&ping=",
        ),
        "`ping_url`: http://192.168.1.9:3001 would be told unencrypted, expected https",
        HTTPS_HINT,
    );
    refused(
        with("ping_url", "https://HUSH:HUSH@kuma.example.org/api/push/x"),
        "`ping_url`: got an address with a user name or password in front of the host",
        "leave out what stands between // and @",
    );
    refused(
        with("ping_url", ""),
        "`ping_url`: got empty text, expected some",
        EXAMPLE_HINT,
    );
    let config = accepted(with("ping_url", "https://hc-ping.com/HUSH"));
    assert!(!format!("{config:?}").contains("HUSH"), "{config:?}");
}

#[test]
fn a_command_is_a_list_of_texts() {
    let expected = "expected a list of texts like [\"/usr/local/bin/tell-me\", \"mail\"]";
    for (value, got) in [
        (json!("tell-me HUSH"), "text"),
        (json!({"HUSH": 1}), "an object"),
        (json!([]), "an empty list"),
        (json!(["tell-me", 1]), "a list with something else in it"),
        (json!(["", "HUSH"]), "no program's name"),
        (json!(["tell-me", "HU\u{0}SH"]), "a NUL in one of its texts"),
        (json!(null), "null"),
    ] {
        refused(
            with("notify_command", value),
            &format!("`notify_command`: got {got}, {expected}"),
            ARGV_HINT,
        );
    }
    let config = accepted(with("notify_command", json!(["tell-me", "HUSH"])));
    assert!(!format!("{config:?}").contains("HUSH"), "{config:?}");
    let command = config.telling.notify_command.clone().unwrap();
    assert_eq!(command.reveal(), ["tell-me", "HUSH"]);
    // Neither is missed.
    assert!(accepted(right()).telling.notify_command.is_none());
}
