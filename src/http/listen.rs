//! The other end of HTTP: a listener that reads one request of each connection and answers it. It is for few, who are near:
//! the sign-in's redirect and the page of a run. Whoever connects may be anybody, so size, time and number are bounded. Not for
//! what is answered.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The most that is read of a request. Microsoft's codes have more than a thousand characters.
const HEAD_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;
/// How long one request may take from its first byte to its last, and then its answer.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// What is still on its way when the answer is out is awaited so long.
const LINGER: Duration = Duration::from_millis(500);
/// Browsers open some connections in advance. When there are more than this, the oldest is closed.
const CONNECTIONS_MAX: usize = 64;

/// What may differ from one request to the next.
pub struct Request {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The one `Host` header that there is.
    pub host: String,
    pub accept: String,
    /// A browser loads it in advance; nobody has asked for it yet.
    pub fetched_ahead: bool,
}

/// Nothing of it may be stored, or taken for something else than it says.
pub struct Response<'a> {
    /// `200 OK`
    pub status: &'a str,
    pub content_type: &'a str,
    /// Further lines of the head, each with its end.
    pub headers: &'a str,
    pub body: &'a str,
}

/// Open connections, the oldest first.
type Open = Mutex<VecDeque<(u64, TcpStream)>>;

/// Answers each connection in a thread of its own, until `over` is set and somebody connects once more.
pub fn serve(
    listener: &TcpListener,
    over: &AtomicBool,
    answer: impl Fn(TcpStream) + Send + Sync + 'static,
) {
    let answer = Arc::new(answer);
    let open: Arc<Open> = Arc::default();
    for number in 0.. {
        let accepted = listener.accept();
        if over.load(Ordering::SeqCst) {
            break;
        }
        let handle = accepted.and_then(|(stream, _)| Ok((stream.try_clone()?, stream)));
        let Ok((handle, stream)) = handle else {
            // Out of file descriptors: some become free as requests end.
            thread::sleep(Duration::from_millis(100));
            continue;
        };
        let mut all = lock(&open);
        all.push_back((number, handle));
        if all.len() > CONNECTIONS_MAX
            && let Some((_, oldest)) = all.pop_front()
        {
            let _ = oldest.shutdown(Shutdown::Both);
        }
        drop(all);
        let place = Place {
            open: Arc::clone(&open),
            number,
        };
        let answer = Arc::clone(&answer);
        let _ = thread::Builder::new().spawn(move || {
            let _place = place;
            answer(stream);
        });
    }
    for (_, stream) in lock(&open).drain(..) {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// A connection's place among the open ones, which goes when its thread ends, or does not even begin.
struct Place {
    open: Arc<Open>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.open).retain(|(number, _)| *number != self.number);
    }
}

fn lock(open: &Open) -> MutexGuard<'_, VecDeque<(u64, TcpStream)>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Request {
    /// Err: the status to answer with; None: there is nobody to answer.
    pub fn read(mut stream: &TcpStream) -> Result<Request, Option<&'static str>> {
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
            let mut part = [0; 2048];
            let read = within(deadline)
                .and_then(|left| stream.set_read_timeout(Some(left)))
                .and_then(|()| stream.read(&mut part));
            match read {
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
            accept: named("accept").join(","),
            fetched_ahead: ["sec-purpose", "purpose", "x-moz"]
                .iter()
                .flat_map(|name| named(name))
                .any(|value| value.contains("prefetch")),
        })
    }
}

impl Response<'_> {
    /// Sends it and closes the connection. `with_body`: not where only the head was asked for.
    pub fn send(&self, stream: &TcpStream, with_body: bool) {
        let Response {
            status,
            content_type,
            headers,
            body,
        } = self;
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n\
             {headers}Connection: close\r\n\r\n",
            body.len()
        );
        let body = if with_body { body } else { "" };
        let deadline = Instant::now() + REQUEST_TIME;
        if write_all(stream, head.as_bytes(), deadline).is_err()
            || write_all(stream, body.as_bytes(), deadline).is_err()
        {
            return;
        }
        let _ = stream.shutdown(Shutdown::Write);
        // If the connection were closed with bytes unread, the answer might be lost on its way (RFC 9112 9.6).
        drain(stream, Instant::now() + LINGER);
    }
}

/// A reader that takes a byte now and then does not hold us.
fn write_all(mut stream: &TcpStream, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(within(deadline)?))?;
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => bytes = &bytes[n..],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn drain(mut stream: &TcpStream, deadline: Instant) {
    let (mut rest, mut left) = ([0; 2048], HEAD_MAX);
    while let Ok(time) = within(deadline)
        && stream.set_read_timeout(Some(time)).is_ok()
        && let Ok(n @ 1..) = stream.read(&mut rest)
        && n <= left
    {
        left -= n;
    }
}

/// What is left until then.
fn within(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}
