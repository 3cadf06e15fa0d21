//! The HTTP endpoint that Dovecot asks whether an OAuth access token is good. It answers POST with `token=...` in the
//! body and nothing else; it issues no tokens.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::json;

/// The endpoint; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Introspection {
    pub(crate) port: u16,
    /// Good tokens, and whose they are.
    pub(crate) tokens: Arc<Mutex<HashMap<String, String>>>,
    closing: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Introspection {
    /// Listens on a free port.
    pub(crate) fn start() -> Introspection {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let tokens = Arc::<Mutex<HashMap<String, String>>>::default();
        let closing = Arc::<AtomicBool>::default();
        let server = thread::spawn({
            let (tokens, closing) = (Arc::clone(&tokens), Arc::clone(&closing));
            move || {
                for stream in listener.incoming().flatten() {
                    if closing.load(Ordering::SeqCst) {
                        return;
                    }
                    let _ = answer(stream, &tokens); // a client that went away asks again
                }
            }
        });
        Introspection {
            port,
            tokens,
            closing,
            server: Some(server),
        }
    }
}

impl Drop for Introspection {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port)); // wakes the server
        let _ = self.server.take().unwrap().join();
    }
}

fn answer(stream: TcpStream, tokens: &Mutex<HashMap<String, String>>) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut stream = BufReader::new(stream);
    let token = asked_token(&mut stream)?;
    let body = match tokens.lock().unwrap().get(&token) {
        Some(user) => json!({ "active": true, "username": user }).to_string(),
        None => json!({ "active": false }).to_string(),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
    );
    stream
        .get_mut()
        .write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes())
}

/// Reads a request and returns the token in its body.
fn asked_token(stream: &mut impl BufRead) -> io::Result<String> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let body = String::from_utf8_lossy(&body);
    let token = body
        .split('&')
        .find_map(|pair| pair.strip_prefix("token="))
        .unwrap_or_default();
    Ok(percent_decoded(token))
}

fn percent_decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        bytes.push(u8::from_str_radix(code, 16).unwrap_or(b'?'));
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
