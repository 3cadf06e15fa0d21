//! A bare HTTPS client: one request for each connection, and forms of requests as other programs send them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use gmail_stand_in::Gmail;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

pub(crate) const IMPORT: &str = "/gmail/v1/users/me/messages/import";
pub(crate) const INSERT: &str = "/gmail/v1/users/me/messages";
pub(crate) const LABELS: &str = "/gmail/v1/users/me/labels";

pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// Status, reason and words of a refusal.
    pub(crate) fn refusal(&self) -> (u16, String, String) {
        let error = &self.json()["error"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let reason = text(&error["errors"][0]["reason"]);
        (self.status, reason, text(&error["message"]))
    }

    /// The number of the message that it became.
    pub(crate) fn id(&self) -> u64 {
        assert_eq!(self.status, 200, "{self:?}");
        let id = self.json()["id"].as_str().unwrap().to_string();
        assert!(!id.starts_with('0') && id == id.to_lowercase());
        u64::from_str_radix(&id, 16).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

pub(crate) fn connect(gmail: &Gmail) -> Stream {
    let mut roots = RootCertStore::empty();
    let pem = CertificateDer::from_pem_file(gmail.ca_file()).unwrap();
    roots.add(pem).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let url = gmail.api_url();
    let tcp = TcpStream::connect(url.strip_prefix("https://").unwrap()).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let tls = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(tls, tcp)
}

pub(crate) fn head(method: &str, path: &str, token: &str, more: &str, len: usize) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n{more}Content-Length: {len}\r\n\r\n"
    )
}

/// One answer; None where the connection ends before it is whole.
pub(crate) fn read_reply(stream: &mut Stream) -> Option<Reply> {
    let mut bytes = Vec::new();
    let mut buf = [0; 4096];
    loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..at].to_vec()).unwrap();
            let (_, len) = head.rsplit_once("Content-Length: ").unwrap();
            let len: usize = len.lines().next().unwrap().parse().unwrap();
            if bytes.len() >= at + 4 + len {
                let body = String::from_utf8(bytes[at + 4..at + 4 + len].to_vec()).unwrap();
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                return Some(Reply { status, head, body });
            }
        }
        let read = stream.read(&mut buf).ok().filter(|&n| n > 0)?;
        bytes.extend_from_slice(&buf[..read]);
    }
}

/// A request by itself.
pub(crate) fn ask(gmail: &Gmail, head: &str, body: impl AsRef<[u8]>) -> Option<Reply> {
    let mut stream = connect(gmail);
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body.as_ref());
    read_reply(&mut stream)
}

pub(crate) fn token(gmail: &Gmail) -> String {
    gmail.issue_token(Duration::from_secs(3599))
}

pub(crate) fn get(gmail: &Gmail, path: &str) -> Reply {
    ask(gmail, &head("GET", path, &token(gmail), "", 0), "").unwrap()
}

pub(crate) fn post(gmail: &Gmail, path: &str, body: &Value) -> Option<Reply> {
    let body = body.to_string();
    let json = "Content-Type: application/json; charset=UTF-8\r\n";
    ask(
        gmail,
        &head("POST", path, &token(gmail), json, body.len()),
        body,
    )
}

/// The form that most programs send: `path` is [`IMPORT`] or [`INSERT`], with a query perhaps.
pub(crate) fn multipart(
    gmail: &Gmail,
    path: &str,
    labels: &[&str],
    message: &str,
) -> Option<Reply> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let body = format!(
        "--b_1\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{}\r\n--b_1\r\nContent-Type: message/rfc822\r\n\r\n{message}\r\n--b_1--\r\n",
        json!({"labelIds": labels})
    );
    let kind = "Content-Type: multipart/related; boundary=\"b_1\"\r\n";
    let path = format!("/upload{path}?uploadType=multipart&{query}");
    ask(
        gmail,
        &head("POST", &path, &token(gmail), kind, body.len()),
        body,
    )
}

/// Unread, into INBOX.
pub(crate) fn import(gmail: &Gmail, message: &str) -> Option<Reply> {
    multipart(gmail, IMPORT, &["INBOX", "UNREAD"], message)
}
