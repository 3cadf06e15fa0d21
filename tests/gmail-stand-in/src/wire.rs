//! One connection: TLS, lines and literals in, lines and literals out. It notes what is said, knows which lines came
//! together, and can be slow or break off; it knows no command.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustls::{ServerConnection, StreamOwned};

use crate::server::Shared;
use crate::transcript::Side;

/// How often a session that waits looks at the clock and at the store.
pub(crate) const TICK: Duration = Duration::from_millis(5);

/// The connection is over, whoever ended it.
#[derive(Debug)]
pub(crate) struct Gone;

pub(crate) type Step<T> = Result<T, Gone>;

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

/// Something to say: a line, with literals in it perhaps.
#[derive(Default)]
pub(crate) struct Reply {
    bytes: Vec<u8>,
    text: String,
    literal_at: Option<usize>,
}

impl Reply {
    pub(crate) fn text(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.text.push_str(text);
    }

    pub(crate) fn literal(&mut self, bytes: &[u8]) {
        self.bytes
            .extend_from_slice(format!("{{{}}}\r\n", bytes.len()).as_bytes());
        self.literal_at.get_or_insert(self.bytes.len());
        self.bytes.extend_from_slice(bytes);
        self.text.push_str(&format!("{{{} bytes}}", bytes.len()));
    }
}

/// How an answer is sent.
#[derive(Default, Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) cut_in_literal: Option<usize>,
    pub(crate) drip: Option<(usize, Duration)>,
}

struct Arrival {
    upto: u64,
    at: Instant,
    flight: u32,
}

pub(crate) struct Wire {
    shared: Arc<Shared>,
    session: u32,
    stream: Stream,
    inbox: Vec<u8>,
    /// Bytes received and taken from the inbox so far.
    received: u64,
    taken: u64,
    arrivals: VecDeque<Arrival>,
    flight: u32,
    answered: bool,
    /// When what is being answered arrived.
    asked_at: Instant,
    out: Vec<Reply>,
    out_len: usize,
}

impl Wire {
    /// Takes the connection and does the TLS handshake, if there is to be one.
    pub(crate) fn new(shared: Arc<Shared>, session: u32, mut tcp: TcpStream) -> Step<Wire> {
        tcp.set_nodelay(true).map_err(|_| Gone)?;
        tcp.set_write_timeout(Some(Duration::from_secs(60)))
            .map_err(|_| Gone)?;
        tcp.set_read_timeout(Some(Duration::from_secs(20)))
            .map_err(|_| Gone)?;
        let stream = match &shared.tls {
            None => Stream::Plain(tcp),
            Some(config) => {
                let mut tls = ServerConnection::new(Arc::clone(config)).map_err(|_| Gone)?;
                while tls.is_handshaking() {
                    tls.complete_io(&mut tcp).map_err(|_| Gone)?;
                }
                Stream::Tls(Box::new(StreamOwned::new(tls, tcp)))
            }
        };
        let wire = Wire {
            shared,
            session,
            stream,
            inbox: Vec::new(),
            received: 0,
            taken: 0,
            arrivals: VecDeque::new(),
            flight: 0,
            answered: true,
            asked_at: Instant::now(),
            out: Vec::new(),
            out_len: 0,
        };
        wire.tcp().set_read_timeout(Some(TICK)).map_err(|_| Gone)?;
        Ok(wire)
    }

    fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => &tls.sock,
        }
    }

    /// Waits for a tick; true if something came.
    pub(crate) fn poll(&mut self) -> Step<bool> {
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
                self.arrived(&buf[..n]);
                Ok(true)
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            Err(_) => Err(Gone),
        }
    }

    fn arrived(&mut self, bytes: &[u8]) {
        if self.answered {
            self.flight += 1;
            self.answered = false;
        }
        self.inbox.extend_from_slice(bytes);
        self.received += bytes.len() as u64;
        self.arrivals.push_back(Arrival {
            upto: self.received,
            at: Instant::now(),
            flight: self.flight,
        });
    }

    /// Takes what came without waiting for more: it was sent before the answer that is about to go out.
    fn gather(&mut self) -> Step<()> {
        self.tcp().set_nonblocking(true).map_err(|_| Gone)?;
        let outcome = loop {
            match self.poll() {
                Ok(true) => {}
                other => break other,
            }
        };
        self.tcp().set_nonblocking(false).map_err(|_| Gone)?;
        outcome.map(|_| ())
    }

    /// Waits so long for real, listening meanwhile.
    pub(crate) fn rest(&mut self, time: Duration) -> Step<()> {
        self.rest_until(Instant::now() + time)
    }

    fn rest_until(&mut self, end: Instant) -> Step<()> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left > TICK {
                self.poll()?;
            } else {
                std::thread::sleep(left);
                return Ok(());
            }
        }
    }

    pub(crate) fn has_line(&self) -> bool {
        self.inbox.contains(&b'\n')
    }

    /// A whole line of the client, if there is one, without its end.
    pub(crate) fn take_line(&mut self) -> Option<Vec<u8>> {
        let len = self.inbox.iter().position(|&b| b == b'\n')? + 1;
        let mut line = self.take(len);
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        self.heard(String::from_utf8_lossy(&line).into_owned());
        Some(line)
    }

    /// So many bytes of a literal, if they are there.
    pub(crate) fn take_literal(&mut self, len: usize) -> Option<Vec<u8>> {
        if self.inbox.len() < len {
            return None;
        }
        let literal = self.take(len);
        self.heard(format!("{{{len} bytes}}"));
        Some(literal)
    }

    fn take(&mut self, len: usize) -> Vec<u8> {
        self.taken += len as u64;
        while self.arrivals.len() > 1 && self.arrivals[0].upto < self.taken {
            self.arrivals.pop_front();
        }
        if let Some(arrival) = self.arrivals.front() {
            self.asked_at = arrival.at;
        }
        self.inbox.drain(..len).collect()
    }

    fn heard(&self, text: String) {
        let flight = self.arrivals.front().map_or(self.flight, |a| a.flight);
        self.shared
            .recorder
            .note(self.session, Side::Client, flight, text);
    }

    /// Will say this line with the next `flush`.
    pub(crate) fn say(&mut self, line: &str) {
        let mut reply = Reply::default();
        reply.text(line);
        self.reply(reply);
    }

    pub(crate) fn reply(&mut self, mut reply: Reply) {
        reply.bytes.extend_from_slice(b"\r\n");
        self.out_len += reply.bytes.len();
        self.out.push(reply);
    }

    /// Bytes that wait to be sent.
    pub(crate) fn unsent(&self) -> usize {
        self.out_len
    }

    /// Forgets what was to be said.
    pub(crate) fn unsay(&mut self) {
        self.out.clear();
        self.out_len = 0;
    }

    pub(crate) fn flush(&mut self, manner: Manner) -> Step<()> {
        let round_trip = self.shared.knobs.lock().unwrap().round_trip;
        if !round_trip.is_zero() {
            self.rest_until(self.asked_at + round_trip)?;
        }
        self.gather()?;
        self.out_len = 0;
        let mut block = Vec::new();
        for reply in std::mem::take(&mut self.out) {
            if self.shared.line_is_cut() {
                self.write(&block, manner)?;
                return Err(Gone);
            }
            self.shared
                .recorder
                .note(self.session, Side::Server, self.flight, reply.text);
            if let (Some(bytes), Some(at)) = (manner.cut_in_literal, reply.literal_at) {
                block.extend_from_slice(&reply.bytes[..reply.bytes.len().min(at + bytes)]);
                self.write(&block, manner)?;
                return Err(Gone);
            }
            block.extend_from_slice(&reply.bytes);
        }
        self.write(&block, manner)
    }

    fn write(&mut self, bytes: &[u8], manner: Manner) -> Step<()> {
        let (piece, pause) = manner.drip.unwrap_or((usize::MAX, Duration::ZERO));
        for piece in bytes.chunks(piece.max(1)) {
            let written = match &mut self.stream {
                Stream::Plain(tcp) => tcp.write_all(piece),
                Stream::Tls(tls) => tls.write_all(piece).and_then(|()| tls.flush()),
            };
            written.map_err(|_| Gone)?;
            self.answered = true;
            if !pause.is_zero() {
                self.rest(pause)?;
            }
        }
        Ok(())
    }

    /// Ends the connection as a server does that has said BYE: TLS is closed, and what was said can still be read.
    pub(crate) fn close(&mut self) {
        if let Stream::Tls(tls) = &mut self.stream {
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
        let _ = self.tcp().shutdown(Shutdown::Write);
        // A client that still sends would otherwise lose the words to a reset.
        let end = Instant::now() + Duration::from_millis(300);
        while Instant::now() < end && self.poll().is_ok() {}
    }

    /// Ends it as a process does that is killed.
    pub(crate) fn cut(&self) {
        let _ = self.tcp().shutdown(Shutdown::Both);
    }
}
