//! The HTTP listener to which the provider sends the browser back: 127.0.0.1 alone, one path, one use.
//!
//! Every other request is refused with a page that says why, and does not end the wait: browsers ask for
//! icons and load pages in advance, and any web page can make a browser send us a request. Not for what is
//! done with the provider's answer: that is for `browser`.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use oauth2::url::Url;

use crate::config::Secret;
use crate::error::{Error, shown};

/// The most that is read of a request. Microsoft's codes have more than a thousand characters.
const HEAD_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;
/// How long one request may take from its first byte to its last.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// Browsers open some connections in advance. When there are more than this, the oldest is closed.
const CONNECTIONS_MAX: usize = 64;

/// The answer that is awaited.
pub(super) struct Awaited {
    pub(super) redirect_uri: String,
    pub(super) state: Secret<String>,
    /// The answer has come, by the browser or pasted.
    pub(super) over: AtomicBool,
}

/// The connection to the browser that brought the answer: there a person is shown how the sign-in ended.
pub struct Page(TcpStream);

impl Page {
    pub fn show(self, end: Result<&str, &Error>) {
        let (status, title, words) = match end {
            Ok(words) => ("200 OK", "Signed in", words.to_string()),
            Err(e) => {
                let hint = e.hint.as_deref().unwrap_or_default();
                ("200 OK", "Not signed in", format!("{e}\n{hint}"))
            }
        };
        say(&self.0, status, title, &words);
    }
}

/// What may happen while we wait.
pub(super) enum Heard {
    Answered(Answer, Option<Page>),
    Pasted(Secret<String>),
    WrongHost(String),
    WrongState,
}

/// What the address says at which a browser ended.
pub(super) enum Answer {
    Code(Secret<String>),
    Refused {
        error: String,
        description: String,
    },
    WrongState,
    /// It is no answer at all.
    None,
}

impl Answer {
    pub(super) fn read(url: &Url, state: &Secret<String>) -> Answer {
        let field = |name: &str| {
            let mut pairs = url.query_pairs().filter(|(n, _)| n == name);
            pairs.next().map(|(_, value)| value.into_owned())
        };
        let (code, error) = (field("code").filter(|c| !c.is_empty()), field("error"));
        if code.is_none() && error.is_none() {
            return Answer::None;
        }
        if field("state").as_deref() != Some(state.reveal().as_str()) {
            return Answer::WrongState;
        }
        match (error, code) {
            (None, Some(code)) => Answer::Code(Secret::new(code)),
            (error, _) => Answer::Refused {
                error: error.unwrap_or_default(),
                description: field("error_description").unwrap_or_default(),
            },
        }
    }
}

/// Serves until the process ends.
pub(super) fn serve(listener: TcpListener, awaited: Arc<Awaited>, inbox: Sender<Heard>) {
    let mut open: VecDeque<TcpStream> = VecDeque::new();
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            // Out of file descriptors: some become free as requests end.
            thread::sleep(Duration::from_millis(100));
            continue;
        };
        if let Ok(handle) = stream.try_clone() {
            open.push_back(handle);
        }
        if open.len() > CONNECTIONS_MAX
            && let Some(oldest) = open.pop_front()
        {
            let _ = oldest.shutdown(Shutdown::Both);
        }
        let (awaited, inbox) = (Arc::clone(&awaited), inbox.clone());
        let _ = thread::Builder::new().spawn(move || answer(stream, &awaited, &inbox));
    }
}

/// Listens on 127.0.0.1; without a port, on one that is free.
pub(super) fn bind(port: Option<u16>) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0)))
}

fn answer(stream: TcpStream, awaited: &Awaited, inbox: &Sender<Heard>) {
    let request = match Request::read(&stream) {
        Ok(request) => request,
        Err(Some(status)) => {
            return refuse(&stream, status, "This is not a request that can be read.");
        }
        Err(None) => {
            // Dropping the stream would not close it: `open` holds another handle.
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
    };
    let Ok(expected) = Url::parse(&awaited.redirect_uri) else {
        return;
    };
    let name = format!(
        "{}:{}",
        expected.host_str().unwrap_or_default(),
        expected.port_or_known_default().unwrap_or_default()
    );
    // Another name may point to 127.0.0.1 by now (DNS rebinding): its web pages could then read our answers.
    if !request.host.eq_ignore_ascii_case(&name) {
        let _ = inbox.send(Heard::WrongHost(shown(request.host.as_bytes())));
        return refuse(
            &stream,
            "421 Misdirected Request",
            "This address is for a sign-in on this machine, under its own name alone.",
        );
    }
    if request.method != "GET" {
        return refuse(
            &stream,
            "405 Method Not Allowed",
            "Only GET is answered here.",
        );
    }
    let Some(url) = request.url(&expected) else {
        return refuse(&stream, "404 Not Found", "There is nothing here.");
    };
    if request.fetched_ahead {
        return refuse(&stream, "503 Service Unavailable", "Not in advance.");
    }
    match Answer::read(&url, &awaited.state) {
        Answer::None => refuse(&stream, "404 Not Found", "There is nothing here."),
        Answer::WrongState => {
            let _ = inbox.send(Heard::WrongState);
            refuse(
                &stream,
                "403 Forbidden",
                "This is the answer to another sign-in than the one that waits here. Open the address that imap-to-gmail shows now.",
            );
        }
        answer => {
            if awaited.over.swap(true, Ordering::SeqCst) {
                say(
                    &stream,
                    "200 OK",
                    "Already answered",
                    "The answer of this sign-in has been taken; imap-to-gmail says how it ended.",
                )
            } else {
                let _ = inbox.send(Heard::Answered(answer, Some(Page(stream))));
            }
        }
    }
}

struct Request {
    method: String,
    /// Path and query.
    target: String,
    host: String,
    fetched_ahead: bool,
}

impl Request {
    /// Err: the status to answer with; None: there is nobody to answer.
    fn read(mut stream: &TcpStream) -> Result<Request, Option<&'static str>> {
        let deadline = Instant::now() + REQUEST_TIME;
        let mut head = Vec::new();
        loop {
            let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
            let mut request = httparse::Request::new(&mut headers);
            match request.parse(&head) {
                Ok(httparse::Status::Complete(_)) => {
                    return Request::of(&request).ok_or(Some("400 Bad Request"));
                }
                Ok(httparse::Status::Partial) if head.len() < HEAD_MAX => {}
                Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                    return Err(Some("431 Request Header Fields Too Large"));
                }
                Err(_) => return Err(Some("400 Bad Request")),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
                return Err(None);
            }
            let mut part = [0; 2048];
            match stream.read(&mut part) {
                Ok(0) => return Err(None),
                Ok(n) => head.extend_from_slice(&part[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(None),
            }
        }
    }

    fn of(request: &httparse::Request<'_, '_>) -> Option<Request> {
        let named = |name: &str| {
            let all = request.headers.iter();
            all.filter(|h| h.name.eq_ignore_ascii_case(name))
                .map(|h| String::from_utf8_lossy(h.value).trim().to_string())
                .collect::<Vec<_>>()
        };
        let [host] = &named("host")[..] else {
            return None;
        };
        Some(Request {
            method: request.method?.into(),
            target: request.path?.into(),
            host: host.clone(),
            fetched_ahead: ["sec-purpose", "purpose", "x-moz"]
                .iter()
                .flat_map(|name| named(name))
                .any(|value| value.contains("prefetch")),
        })
    }

    /// The address of the request, if its path is the awaited one.
    fn url(&self, expected: &Url) -> Option<Url> {
        if !self.target.starts_with('/') {
            return None;
        }
        let origin = expected.origin().ascii_serialization();
        let url = Url::parse(&format!("{origin}{}", self.target)).ok()?;
        (url.path() == expected.path()).then_some(url)
    }
}

fn refuse(stream: &TcpStream, status: &str, words: &str) {
    say(stream, status, "Not the sign-in", words);
}

/// Sends one page and closes the connection.
fn say(mut stream: &TcpStream, status: &str, title: &str, words: &str) {
    let paragraphs: String = words
        .lines()
        .map(|line| format!("<p>{}</p>\n", escaped(line)))
        .collect();
    let body = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} - imap-to-gmail</title>\n\
         <style>body {{ font: 1.1em sans-serif; max-width: 34em; margin: 4em auto; padding: 0 1em }}</style></head>\n\
         <body><h1>{title}</h1>\n{paragraphs}<p>You can close this window.</p></body></html>\n"
    );
    // The address of this page has the code in it, so browsers must neither send it on nor store the page.
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.set_write_timeout(Some(REQUEST_TIME));
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body.as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
    // If the connection were closed with bytes unread, the page might be lost on its way (RFC 9112 9.6).
    let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
    let mut rest = stream.take(HEAD_MAX as u64);
    let _ = io::copy(&mut rest, &mut io::sink());
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
