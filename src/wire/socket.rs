//! TCP: reaching a server, and reads and writes that end at a deadline. No protocol.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;

use super::unreachable;
use crate::config::Endpoint;
use crate::error::{Error, Result};

/// The addresses of a server, without a word to it. The system's resolver knows no deadline: where
/// it takes longer than `limit` it is left alone.
///
/// # Errors
/// `Connection` when there is none.
pub fn addresses(endpoint: &Endpoint, limit: Duration) -> Result<Vec<IpAddr>> {
    let (sender, receiver) = mpsc::channel();
    let asked = endpoint.clone();
    thread::spawn(move || {
        let _ = sender.send(resolve(&asked));
    });
    let found = receiver
        .recv_timeout(limit)
        .map_err(|_| unreachable::no_name_server(endpoint))??;
    let mut ips: Vec<IpAddr> = Vec::new();
    for address in found {
        if !ips.contains(&address.ip()) {
            ips.push(address.ip());
        }
    }
    Ok(ips)
}

fn resolve(endpoint: &Endpoint) -> Result<Vec<SocketAddr>> {
    let host = endpoint.host.trim_matches(['[', ']']);
    if ServerName::try_from(host).is_err() {
        return Err(unreachable::not_a_name(endpoint));
    }
    let found = (host, endpoint.port)
        .to_socket_addrs()
        .map_err(|e| unreachable::no_address(endpoint, &e))?;
    Ok(found.collect())
}

/// An address that swallows what is sent to it (IPv6 without a way out) has its share of the time:
/// enough is left for the others, and for the greeting.
pub(super) fn dial(endpoint: &Endpoint, deadline: Instant) -> Result<TcpStream> {
    let addresses = resolve(endpoint)?;
    if Instant::now() >= deadline {
        return Err(unreachable::no_name_server(endpoint));
    }
    let mut failed = Vec::new();
    for (shares, address) in (2..=addresses.len() as u32 + 1).rev().zip(&addresses) {
        let left = deadline.saturating_duration_since(Instant::now());
        match TcpStream::connect_timeout(address, left / shares) {
            Ok(tcp) => {
                watch_over(&tcp)
                    .map_err(|e| Error::connection(format!("{}: {e}", endpoint.called())))?;
                return Ok(tcp);
            }
            Err(e) => failed.push((address.ip(), e)),
        }
    }
    Err(unreachable::unreachable(endpoint, &failed))
}

/// Bytes that the system may hold of what we send and the peer has not confirmed: with what Linux adds
/// for its own use twice as many. On the slowest link that we wait for they are on their way for 16 s:
/// well below the time after which the absence of a message is believed.
const UNDER_WAY_MAX: usize = 64 << 10;

/// A peer that vanished without a word is noticed within two minutes.
fn watch_over(tcp: &TcpStream) -> io::Result<()> {
    let socket = socket2::SockRef::from(tcp);
    tcp.set_nodelay(true)?;
    socket.set_send_buffer_size(UNDER_WAY_MAX)?;
    socket.set_tcp_keepalive(
        &socket2::TcpKeepalive::new()
            .with_time(Duration::from_secs(60))
            .with_interval(Duration::from_secs(15))
            .with_retries(3),
    )?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(Duration::from_secs(120)))?;
    Ok(())
}

/// Bytes that are read at once where many come: TLS asks for 4 KiB each time.
const AHEAD: usize = 32 << 10;
/// So much earlier than at the deadline a wait may end, to be gone on with: else each read and write would have to tell the
/// system how long it may take.
const EARLY: Duration = Duration::from_secs(1);
/// A wait of this length may end as early as it likes.
const LONG: Duration = Duration::from_secs(10);

/// A TCP stream on which every read and write ends at the deadline, however slowly bytes drip.
pub(super) struct Socket {
    pub(super) tcp: TcpStream,
    pub(super) deadline: Instant,
    /// Read and not asked for yet.
    ahead: Vec<u8>,
    ahead_at: usize,
    /// The last read brought all that it had room for.
    many: bool,
    reads: Patience,
    writes: Patience,
}

/// How long the system waits at most, as far as it was told.
#[derive(Default)]
struct Patience(Option<Duration>);

impl Patience {
    /// The system waits no longer than until the deadline, so far away, and not much shorter. Some: that is to be told.
    fn change(&mut self, left: Duration) -> Option<Duration> {
        if left <= 2 * EARLY {
            self.0 = None;
            return Some(left);
        }
        let serves = |told| told <= left && (told >= LONG || left - told <= 2 * EARLY);
        if self.0.is_some_and(serves) {
            return None;
        }
        self.0 = Some(left - EARLY);
        self.0
    }
}

impl Socket {
    pub(super) fn new(tcp: TcpStream, deadline: Instant) -> Socket {
        Socket {
            tcp,
            deadline,
            ahead: Vec::new(),
            ahead_at: 0,
            many: false,
            reads: Patience::default(),
            writes: Patience::default(),
        }
    }

    /// From now on, or no longer: however the connection is closed, by us or with our process, what the
    /// peer has not got by then is thrown away (RFC 9293 3.10.4, ABORT). Else the system goes on sending
    /// it when nobody of us is there any more.
    pub(super) fn abort_on_close(&self, abort: bool) -> io::Result<()> {
        socket2::SockRef::from(&self.tcp).set_linger(abort.then_some(Duration::ZERO))
    }

    /// Waits for the peer's first bytes, of which at most `buf` are looked at and none is taken. None where
    /// there is nothing at that moment; an end is empty.
    pub(super) fn overhear<'a>(
        &mut self,
        buf: &'a mut [u8],
        until: Instant,
    ) -> io::Result<Option<&'a [u8]>> {
        self.reads = Patience::default();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.tcp.set_read_timeout(Some(left))?;
            match self.tcp.peek(buf) {
                Ok(n) => return Ok(Some(&buf[..n])),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => match as_timeout(e) {
                    e if e.kind() == io::ErrorKind::TimedOut => return Ok(None),
                    e => return Err(e),
                },
            }
        }
    }

    fn left(&self) -> io::Result<Duration> {
        match self.deadline.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => Ok(left),
            _ => Err(out_of_time()),
        }
    }
}

fn out_of_time() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the server did not answer in time")
}

fn as_timeout(e: io::Error) -> io::Error {
    match e.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => out_of_time(),
        _ => e,
    }
}

impl Socket {
    fn receive(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(wait) = self.reads.change(self.left()?) {
                self.tcp.set_read_timeout(Some(wait))?;
            }
            match self.tcp.read(buf) {
                // A process that is stopped and goes on, or a signal: no answer of the server's.
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // The time that the system was told has passed: whether that was the deadline is seen above.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.reads = Patience::default(),
                done => return done.map_err(as_timeout),
            }
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.ahead.is_empty() {
            if !self.many || buf.len() >= AHEAD {
                let n = self.receive(buf)?;
                self.many = n == buf.len();
                return Ok(n);
            }
            let mut ahead = vec![0; AHEAD];
            let n = self.receive(&mut ahead)?;
            ahead.truncate(n);
            (self.ahead, self.ahead_at) = (ahead, 0);
            self.many = n > buf.len();
        }
        let rest = &self.ahead[self.ahead_at..];
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        self.ahead_at += n;
        if self.ahead_at == self.ahead.len() {
            self.ahead = Vec::new();
        }
        Ok(n)
    }
}

impl Write for Socket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        loop {
            if let Some(wait) = self.writes.change(self.left()?) {
                self.tcp.set_write_timeout(Some(wait))?;
            }
            match self.tcp.write(buf) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.writes = Patience::default();
                }
                done => return done.map_err(as_timeout),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::config::{Origin, Tls};

    #[test]
    fn little_is_under_way_when_a_process_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Endpoint {
            host: "127.0.0.1".into(),
            port: listener.local_addr().unwrap().port(),
            tls: Tls::None,
            ca_file: None,
            origin: Origin::default(),
        };
        let deadline = Instant::now() + Duration::from_secs(5);
        let tcp = dial(&endpoint, deadline).unwrap();
        let held = socket2::SockRef::from(&tcp).send_buffer_size().unwrap();
        assert!(held <= 2 * UNDER_WAY_MAX, "{held}");
        let socket = Socket::new(tcp, deadline);
        let (mut peer, _) = listener.accept().unwrap();
        socket.abort_on_close(true).unwrap();
        drop(socket);
        let end = peer.read(&mut [0]).unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn what_comes_in_bulk_is_read_whole_and_a_wait_ends_at_its_deadline_alone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let sent: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
        let copy = sent.clone();
        let writer = thread::spawn(move || {
            peer.write_all(&copy).unwrap();
            peer
        });
        let mut socket = Socket::new(tcp, Instant::now() + Duration::from_secs(60));
        let mut came = Vec::new();
        let mut piece = [0; 4096];
        while came.len() < sent.len() {
            let n = socket.read(&mut piece).unwrap();
            came.extend_from_slice(&piece[..n]);
        }
        assert!(came == sent, "{} bytes", came.len());
        let _peer = writer.join().unwrap();
        // Longer than what the system is told exactly.
        let (wait, begun) = (EARLY * 2 + Duration::from_millis(300), Instant::now());
        socket.deadline = begun + wait;
        let end = socket.read(&mut piece).unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= wait, "{:?}", begun.elapsed());
    }
}
