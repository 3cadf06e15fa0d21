//! Files that are read: the configuration, the token file with the reply that renews it, the predecessor's state.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use chrono::DateTime;
use imap_to_gmail::config::{self, Config, Tls};
use imap_to_gmail::error::{Error, Fault};
use imap_to_gmail::import_state;
use imap_to_gmail::message::{MessageId, Time};
use imap_to_gmail::oauth::{Client, Consent, Provider, Tokens};
use serde_json::{Map, Value};

use super::{assert_printable, assert_same};

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = FOLDER.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn now() -> Time {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match serde_json::from_slice(text) {
        Ok(Value::Object(map)) => Some(map),
        _ => None,
    }
}

fn text<'a>(map: &'a Map<String, Value>, key: &str) -> &'a str {
    map.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// An error can be printed, and a value of the file that must not be shown is not.
fn assert_error(error: &Error, secrets: &[&str]) {
    let hint = error.hint.as_deref().unwrap_or_default();
    let excerpt = error.excerpt.as_deref().unwrap_or_default();
    for text in [error.message.as_str(), hint, &excerpt.replace('\n', "")] {
        assert_printable(text, 2000);
        for secret in secrets.iter().filter(|s| s.len() >= 12) {
            assert!(!text.contains(*secret), "{text}");
        }
    }
}

/// Secrets of a file that nothing else in it repeats.
fn secrets<'a>(map: &'a Map<String, Value>, keys: &[&str]) -> Vec<&'a str> {
    let mut others = String::new();
    for (key, value) in map.iter().filter(|(key, _)| !keys.contains(&key.as_str())) {
        others.push_str(key);
        others.push_str(&value.to_string());
        others.push_str(value.as_str().unwrap_or_default());
    }
    let all = keys.iter().map(|key| text(map, key));
    // Nor do words that hints are made of count: there is a digit in it.
    all.filter(|s| s.contains(|c: char| c.is_ascii_digit()) && !others.contains(s))
        .collect()
}

/// The credentials of an OAuth client, as each provider's.
pub(super) fn client(data: &[u8]) {
    let path = file("client_secret.json", data);
    let map = object(data).unwrap_or_default();
    let inner = ["installed", "web"]
        .iter()
        .find_map(|key| map.get(*key)?.as_object());
    let secrets = secrets(inner.unwrap_or(&map), &["client_secret"]);
    for provider in [Provider::Google, Provider::Microsoft, Provider::Other] {
        let client = match Client::read(&path, provider) {
            Ok(client) => client,
            Err(e) => {
                assert_error(&e, &secrets);
                assert_same("a fault", e.fault, Fault::Usage);
                continue;
            }
        };
        assert_same("whose it is", client.provider, provider);
        let shown = format!("{client:?}");
        for secret in secrets.iter().filter(|s| s.len() >= 12) {
            assert!(!shown.contains(*secret), "{shown}");
        }
        // The port that it names may be somebody else's.
        let Ok(consent) = Consent::begin(&client, None, Some("user@example.org")) else {
            continue;
        };
        let back = consent.redirect_uri();
        let ours = ["http://127.0.0.1:", "http://localhost:"];
        assert!(ours.iter().any(|o| back.starts_with(o)), "{back}");
        let url = consent.url();
        assert!(
            url.starts_with("https://") || url.starts_with("http://"),
            "{url}"
        );
        assert_printable(url, usize::MAX);
        for wanted in [
            "code_challenge_method=S256",
            "state=",
            "login_hint=user%40example.org",
        ] {
            assert!(url.contains(wanted), "{url}");
        }
    }
}

pub(super) fn config(data: &[u8]) {
    let map = object(data);
    // These run programs and read other files.
    let reaches_out = [
        "source_pass_command",
        "source_pass_file",
        "target_pass_file",
    ];
    if map
        .as_ref()
        .is_some_and(|m| reaches_out.iter().any(|k| m.contains_key(*k)))
    {
        return;
    }
    let path = file("config.json", data);
    let map = map.unwrap_or_default();
    let passwords = secrets(&map, &["source_pass", "target_pass"]);
    let ledger = config::ledger_place(&path);
    let config = match Config::load(&path, now()) {
        Ok(config) => config,
        Err(e) => {
            assert_error(&e, &passwords);
            assert_same("a fault", e.fault, Fault::Usage);
            return;
        }
    };
    assert!(Config::load(&path, now()).is_ok_and(|again| again == config));
    assert_same(
        "the ledger",
        ledger.ok().map(|(place, _)| place).as_ref(),
        Some(&config.ledger),
    );
    assert!((1..=10).contains(&config.connections));
    assert!(config.upload_limit_per_day.is_none_or(|n| n > 0));
    assert!(config.since.start(now()) <= now());
    for (endpoint, key) in [
        (&config.source, "source_tls"),
        (&config.target, "target_tls"),
    ] {
        assert!(endpoint.port > 0 && !endpoint.host.contains(char::is_whitespace));
        let asked = text(&map, key);
        let expected = match asked {
            "none" => Tls::None,
            "starttls" => Tls::StartTls,
            _ => Tls::Implicit,
        };
        assert_same("encryption", endpoint.tls, expected);
    }
    let shown = format!("{config:?}");
    for secret in passwords.iter().filter(|s| s.len() >= 12) {
        assert!(!shown.contains(*secret), "{shown}");
    }
}

/// An HTTP server that gives one reply to all who come.
struct Endpoint {
    port: u16,
    reply: &'static Mutex<Vec<u8>>,
}

static ENDPOINT: LazyLock<Endpoint> = LazyLock::new(|| {
    static REPLY: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let reply = REPLY.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            // The request, as far as it comes at once; then the reply, and whatever else is said.
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&reply);
            let _ = stream.shutdown(Shutdown::Write);
            while matches!(stream.read(&mut [0; 4096]), Ok(1..)) {}
        }
    });
    Endpoint {
        port,
        reply: &REPLY,
    }
});

/// The token file, and behind a NUL the token endpoint's reply.
pub(super) fn token(data: &[u8]) {
    let at = data.iter().position(|&b| b == 0);
    let (bytes, reply) = data.split_at(at.unwrap_or(data.len()));
    let map = object(bytes).map(|mut map| {
        // Only this machine is spoken to, and the file keeps its form where there is nothing to change.
        map.insert(
            "token_uri".into(),
            format!("http://127.0.0.1:{}/token", ENDPOINT.port).into(),
        );
        map
    });
    let bytes = match &map {
        Some(map) => serde_json::to_vec(map).unwrap(),
        None => bytes.to_vec(),
    };
    *ENDPOINT
        .reply
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = reply.get(1..).unwrap_or_default().to_vec();
    let path = file("token.json", &bytes);
    let map = map.unwrap_or_default();
    let open = || Tokens::new(&path, Duration::from_secs(5));
    let kept = secrets(&map, &["token", "refresh_token", "client_secret"]);
    match open().access(now()) {
        Err(e) => {
            // What the endpoint itself says of them is another matter: it may use any word.
            let echoed = String::from_utf8_lossy(reply).into_owned();
            let kept: Vec<&str> = kept.into_iter().filter(|s| !echoed.contains(s)).collect();
            assert_error(&e, &kept);
            assert!(
                matches!(e.fault, Fault::NeedsUser | Fault::Connection),
                "{e:?}"
            );
            assert_same(
                "a file that helped nothing",
                fs::read(&path).unwrap(),
                bytes,
            );
        }
        Ok(access) => {
            let token = access.token.reveal();
            assert!(
                !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()),
                "{token:?}"
            );
            let after = fs::read(&path).unwrap();
            if after == bytes {
                return;
            }
            assert_same(
                "who may read it",
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600,
            );
            let after = object(&after).unwrap();
            let changed = ["token", "refresh_token", "expiry"];
            for (key, value) in map
                .iter()
                .filter(|(key, _)| !changed.contains(&key.as_str()))
            {
                assert_same(key, after.get(key), Some(value));
            }
            assert_same("the token in the file", text(&after, "token"), token);
            // Whatever the reply was, the file can be used: at the least to ask again.
            if let Err(e) = open().access(now()) {
                assert!(e.fault == Fault::Connection, "{e:?}");
            }
        }
    }
}

pub(super) fn state(data: &[u8]) {
    let path = file("sync_state.json", data);
    let state = match import_state::read(&path) {
        Ok(state) => state,
        Err(e) => {
            assert_error(&e, &[]);
            assert_same("a fault", e.fault, Fault::Usage);
            return;
        }
    };
    let map = object(data).unwrap();
    let listed: Vec<&str> = match &map["synced_message_ids"] {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        // Of a key that stands twice only the last is in here.
        Value::Object(ids) => ids.keys().map(String::as_str).collect(),
        other => panic!("ids in {other}"),
    };
    let count = state.ids.len() as u64 + state.unusable;
    assert!(count >= listed.len() as u64);
    for id in listed {
        if let Some(id) = MessageId::parse(id.as_bytes()) {
            assert!(state.ids.contains(&id), "{id:?} is missing");
        }
    }
    for id in &state.ids {
        assert_printable(&id.text, 251);
    }
}
