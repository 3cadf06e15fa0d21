//! `/metrics`, read as strictly as OpenMetrics 1.0 is written.

use std::collections::HashSet;

use chrono::{TimeDelta, Utc};
use serde_json::json;

use super::{get, get_with, served};
use crate::words::status::everything;
use imap_to_gmail::page::{Route, Watched};

/// Lines of the text: HELP, TYPE and UNIT once for each family, before its values; no value twice; names by the kind.
pub(super) fn must_be_metrics(text: &str, open: bool) {
    let (mut family, mut kind) = (String::new(), String::new());
    let (mut families, mut values) = (HashSet::new(), HashSet::new());
    assert_eq!(text.ends_with("\n# EOF\n"), open, "{text}");
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (what, name, rest) = (
                words.next().unwrap(),
                words.next().unwrap(),
                words.next().unwrap(),
            );
            match what {
                "HELP" => {
                    family = name.into();
                    assert!(families.insert(family.clone()), "twice: {line}");
                }
                "TYPE" => kind = rest.into(),
                "UNIT" => assert!(open && name.ends_with(&format!("_{rest}")), "{line}"),
                _ => panic!("{line}"),
            }
            assert_eq!(name, family, "{line}");
            continue;
        }
        let (name, rest) = line.split_once('{').unwrap_or_else(|| panic!("{line}"));
        let ending = match (&*kind, open) {
            ("gauge", _) | ("counter", false) => "",
            ("counter", true) => "_total",
            ("info", true) => "_info",
            other => panic!("{other:?}: {line}"),
        };
        assert_eq!(name, format!("{family}{ending}"), "{line}");
        assert!(kind != "counter" || name.ends_with("_total"), "{line}");
        let (labels, value) = rest.rsplit_once("} ").unwrap_or_else(|| panic!("{line}"));
        value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
        must_be_labels(labels, line);
        assert!(values.insert(format!("{name}{labels}")), "twice: {line}");
    }
    assert!(values.len() > 5, "{text}");
}

/// `name="value",...`, where a value has `"`, `\` and line ends only behind a `\`.
fn must_be_labels(labels: &str, line: &str) {
    let mut rest = labels;
    loop {
        let (name, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
        assert!(
            name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{line}"
        );
        let mut chars = value.char_indices();
        let end = loop {
            match chars.next() {
                Some((_, '\\')) => {
                    let next = chars.next();
                    assert!(matches!(next, Some((_, '\\' | '"' | 'n'))), "{line}");
                }
                Some((at, '"')) => break at,
                Some(_) => {}
                None => panic!("{line}"),
            }
        };
        match value[end + 1..].strip_prefix(',') {
            Some(next) => rest = next,
            None => return assert_eq!(&value[end + 1..], "", "{line}"),
        }
    }
}

#[test]
fn the_figures_of_a_ledger() {
    let desk = everything();
    let signed_in = Utc::now() - TimeDelta::days(4);
    let token = json!({
        "token": "ya29.secret-token", "refresh_token": "1//secret-refresh", "client_id": "id", "client_secret": "GOCSPX-secret",
        "consented_at": signed_in.format("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
    });
    desk.file("token.json", token.to_string());
    let (ledger, token_file) = (desk.path("sync_state.db"), desk.path("token.json"));
    let server = served(move || {
        vec![Route {
            name: "a\\b \"c\"".into(),
            ledger: Ok(Watched {
                state_file: ledger.clone(),
                open: None,
                upload_limit: Some(450_000_000),
                token_file: Some(token_file.clone()),
                files: String::new(),
            }),
        }]
    });
    let at = server.address();
    let open = get_with(
        at,
        "/metrics",
        "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n",
    );
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open.header("Content-Type"), kind);
    must_be_metrics(&open.body, true);
    let text = get(at, "/metrics");
    assert_eq!(
        text.header("Content-Type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    must_be_metrics(&text.body, false);
    let route = "route=\"a\\\\b \\\"c\\\"\"";
    for line in [
        format!(
            "imap_to_gmail_build_info{{version=\"{}\"}} 1",
            env!("CARGO_PKG_VERSION")
        ),
        format!("imap_to_gmail_route_healthy{{{route}}} 0"),
        format!("imap_to_gmail_route_needs_person{{{route}}} 1"),
        format!("imap_to_gmail_messages{{{route},status=\"pending\"}} 2"),
        format!("imap_to_gmail_messages{{{route},status=\"in_flight\"}} 1"),
        format!("imap_to_gmail_messages{{{route},status=\"failed\"}} 2"),
        format!("imap_to_gmail_delivered_messages_total{{{route}}} 4"),
        format!("imap_to_gmail_pending_bytes{{{route}}} 4096"),
        // 2024-11-03 10:01 UTC, and the oldest of 2024-11-05 10:00.
        format!("imap_to_gmail_last_delivery_timestamp_seconds{{{route}}} 1730628060"),
        format!("imap_to_gmail_oldest_pending_timestamp_seconds{{{route}}} 1730800800"),
        format!(
            "imap_to_gmail_sign_in_timestamp_seconds{{{route}}} {}",
            signed_in.timestamp()
        ),
        format!("imap_to_gmail_upload_limit_bytes{{{route}}} 450000000"),
        format!("imap_to_gmail_upload_used_bytes{{{route}}} 0"),
    ] {
        assert!(
            text.body.contains(&format!("{line}\n")),
            "{line}\n{}",
            text.body
        );
        assert!(
            open.body.contains(&format!("{line}\n")),
            "{line}\n{}",
            open.body
        );
    }
    let page = get(at, "/").body;
    for words in [
        "<dt>Sent in 24 hours</dt><dd>0 bytes of 450.0 MB</dd>",
        "<dt>Signed in</dt>",
        ">4 days ago</time>",
    ] {
        assert!(page.contains(words), "{words}\n{page}");
    }
    for shown in [page, open.body, get(at, "/status.json").body] {
        assert!(!shown.contains("secret"), "{shown}");
    }
}

/// One that was taken back does not make the counter fall, which would count everything anew.
#[test]
fn the_counter_never_falls() {
    let desk = everything();
    let file = desk.path("sync_state.db");
    let ledger = file.clone();
    let server = served(move || vec![super::watched("a", &ledger)]);
    let told = || get(server.address(), "/metrics").body;
    assert!(told().contains("delivered_messages_total{route=\"a\"} 4\n"));
    let db = rusqlite::Connection::open(&file).unwrap();
    db.execute(
        "UPDATE message SET status = 'pending', proof = NULL, delivered_at = NULL WHERE proof = 'found'",
        [],
    )
    .unwrap();
    let counted = |told: &str| told.contains("status=\"pending\"} 3\n");
    crate::testkit::eventually("it is read again", || counted(&told()));
    assert!(told().contains("delivered_messages_total{route=\"a\"} 4\n"));
}
