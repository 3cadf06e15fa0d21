//! One connection to the API: TLS, requests in, answers out, noted in the transcript. It can be slow or break off; what a
//! request means is not known here.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustls::{ServerConnection, StreamOwned};
use serde_json::Value;

use crate::oauth::{pairs, reason};
use crate::server::Shared;
use crate::transcript::Side;
use crate::wire::{Gone, Step, TICK};

/// Far more than the head of any request has.
const HEAD_MAX: usize = 64 << 10;
/// Text of an answer that the transcript shows.
const NOTED_MAX: usize = 2000;

/// What is said to a request.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Answer {
        Answer {
            status,
            headers: vec![("Content-Type", "application/json; charset=UTF-8".into())],
            body: body.to_string(),
        }
    }

    /// HTML, as Google's front end has it.
    pub(crate) fn page(status: u16) -> Answer {
        let words = reason(status);
        Answer {
            status,
            headers: vec![("Content-Type", "text/html; charset=UTF-8".into())],
            body: format!(
                "<!DOCTYPE html><html lang=en><title>Error {status} ({words})!!1</title><p><b>{status}.</b> <ins>That's an error.</ins><p>{words}. <ins>That's all we know.</ins></html>"
            ),
        }
    }

    pub(crate) fn empty(status: u16, headers: Vec<(&'static str, String)>) -> Answer {
        Answer {
            status,
            headers,
            body: String::new(),
        }
    }
}

/// The beginning of a request.
#[derive(Debug)]
pub(super) struct Head {
    /// `POST /upload/...?uploadType=multipart HTTP/1.1`
    pub(super) line: String,
    pub(super) method: String,
    pub(super) path: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    /// Bytes of its body.
    pub(super) len: usize,
}

impl Head {
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let (_, value) = self.query.iter().find(|(n, _)| n == name)?;
        Some(value)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(n, _)| n == name)?;
        Some(value)
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

pub(super) struct Connection {
    shared: Arc<Shared>,
    session: u32,
    stream: Stream,
    inbox: Vec<u8>,
    requests: u32,
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, session: u32, tcp: TcpStream) -> Step<Connection> {
        tcp.set_read_timeout(Some(TICK)).map_err(|_| Gone)?;
        tcp.set_nodelay(true).map_err(|_| Gone)?;
        let stream = match &shared.tls {
            None => Stream::Plain(tcp),
            Some(config) => {
                let tls = ServerConnection::new(Arc::clone(config)).map_err(|_| Gone)?;
                Stream::Tls(Box::new(StreamOwned::new(tls, tcp)))
            }
        };
        Ok(Connection {
            shared,
            session,
            stream,
            inbox: Vec::new(),
            requests: 0,
        })
    }

    /// Waits for a tick; true if something came.
    fn poll(&mut self) -> Step<bool> {
        if self.shared.over.load(Ordering::SeqCst) {
            return Err(Gone);
        }
        let mut buf = [0; 16 << 10];
        let read = match &mut self.stream {
            Stream::Plain(tcp) => tcp.read(&mut buf),
            Stream::Tls(tls) => tls.read(&mut buf),
        };
        match read {
            Ok(0) => Err(Gone),
            Ok(n) => {
                self.inbox.extend_from_slice(&buf[..n]);
                Ok(true)
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            Err(_) => Err(Gone),
        }
    }

    /// The head of the next request.
    pub(super) fn head(&mut self) -> Step<Head> {
        let len = loop {
            if let Some(at) = self.inbox.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if self.inbox.len() > HEAD_MAX {
                return Err(Gone);
            }
            self.poll()?;
        };
        let head: Vec<u8> = self.inbox.drain(..len).collect();
        let text = String::from_utf8_lossy(&head).into_owned();
        self.requests += 1;
        for line in text.trim_end().split("\r\n") {
            self.note(Side::Client, line);
        }
        read_head(&text).ok_or(Gone)
    }

    /// So many bytes of the body, or those that came before the end of the connection.
    pub(super) fn body(&mut self, len: usize) -> (Vec<u8>, Step<()>) {
        let mut end = Ok(());
        while self.inbox.len() < len && end.is_ok() {
            end = self.poll().map(|_| ());
        }
        let came = self.inbox.len().min(len);
        let body: Vec<u8> = self.inbox.drain(..came).collect();
        if came > 0 {
            self.note(Side::Client, &format!("{{{came} bytes}}"));
        }
        // What came whole is a whole body, whatever comes behind it.
        if came == len {
            end = Ok(());
        }
        (body, end)
    }

    /// `half`: the connection is cut within it.
    pub(super) fn answer(&mut self, answer: &Answer, half: bool) -> Step<()> {
        let mut text = format!(
            "HTTP/1.1 {} {}\r\nDate: {}\r\n",
            answer.status,
            reason(answer.status),
            self.shared.clock.now().format("%a, %d %b %Y %H:%M:%S GMT")
        );
        for (name, value) in &answer.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n", answer.body.len()));
        let status = text.lines().next().unwrap_or_default().to_string();
        self.note(Side::Server, &status);
        for (name, value) in &answer.headers {
            self.note(Side::Server, &format!("{name}: {value}"));
        }
        if !answer.body.is_empty() {
            let shown: String = answer.body.chars().take(NOTED_MAX).collect();
            self.note(Side::Server, &shown.replace(['\r', '\n'], " "));
        }
        text.push_str(&answer.body);
        let mut bytes = text.as_bytes();
        if half {
            bytes = &bytes[..bytes.len() - answer.body.len() / 2 - 1];
        }
        let written = match &mut self.stream {
            Stream::Plain(tcp) => tcp.write_all(bytes),
            Stream::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        };
        written.map_err(|_| Gone)?;
        if half { Err(Gone) } else { Ok(()) }
    }

    /// Waits so long for real, unless the client or the stand-in goes.
    pub(super) fn rest(&mut self, time: Duration) -> Step<()> {
        let start = Instant::now();
        while start.elapsed() < time {
            self.poll()?;
        }
        Ok(())
    }

    /// Ends it as a process does that is killed.
    pub(super) fn cut(&self) {
        let tcp = match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => &tls.sock,
        };
        let _ = tcp.shutdown(Shutdown::Both);
    }

    fn note(&self, side: Side, text: &str) {
        let recorder = &self.shared.recorder;
        recorder.note(self.session, side, self.requests, text.to_string());
    }
}

fn read_head(text: &str) -> Option<Head> {
    let mut lines = text.trim_end().split("\r\n");
    let line = lines.next()?.to_string();
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_string(), words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (path, query) = (path.to_string(), pairs(query));
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_string()))
        .collect();
    let len = headers.iter().find(|(name, _)| name == "content-length");
    let len = len.map_or(Some(0), |(_, len)| len.parse().ok())?;
    Some(Head {
        line,
        method,
        path,
        query,
        headers,
        len,
    })
}
