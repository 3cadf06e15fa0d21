//! A TCP proxy on 127.0.0.1 that breaks connections on demand: after so many bytes, before a certain reply, at once,
//! or never answering again; and that makes a line slow. It passes bytes as they are, so TLS goes through it; it parses no IMAP and alters nothing.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A direction of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    ToServer,
    ToClient,
}

/// A proxy in front of one port of 127.0.0.1. All knobs work while it runs, each `..._after` and `..._before` once.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    closing: bool,
    refuse: bool,
    refuse_after_cut: bool,
    cut: [Option<u64>; 2],
    stall: [Option<u64>; 2],
    fatal: Option<(Side, Vec<u8>)>,
    late: Option<(Vec<u8>, Duration)>,
    slow: [Option<u64>; 2],
    connections: usize,
    cuts: usize,
    bytes: [u64; 2],
    open: Vec<Pair>,
}

/// Both sockets of one connection.
#[derive(Debug)]
struct Pair {
    id: usize,
    client: TcpStream,
    server: TcpStream,
}

/// What becomes of a chunk: so many bytes of it pass, and then.
struct Verdict {
    pass: usize,
    then: Then,
}

#[derive(PartialEq, Eq)]
enum Then {
    GoOn,
    Cut,
    Stall,
    Late(Duration),
}

impl Proxy {
    /// Listens on a free port and forwards each connection to `upstream_port`.
    pub(crate) fn start(upstream_port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let acceptor = thread::spawn({
            let state = Arc::clone(&state);
            move || accept(&listener, upstream_port, &state)
        });
        Proxy {
            port,
            state,
            acceptor: Some(acceptor),
        }
    }

    /// Where clients connect.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Cuts the connection (both sockets, both directions) whose traffic is the one to reach `bytes` in this direction,
    /// counted from now over all connections. Exactly `bytes` pass; 0 lets the next byte not pass. Once.
    pub(crate) fn cut_after(&self, side: Side, bytes: u64) {
        self.state().cut[side as usize] = Some(bytes);
    }

    /// As `cut_after`, but the connection stays open and what comes in this direction is swallowed for ever.
    pub(crate) fn stall_after(&self, side: Side, bytes: u64) {
        self.state().stall[side as usize] = Some(bytes);
    }

    /// Cuts the connection on which the server says `pattern` next; the client never sees that chunk. Only for plain
    /// text, and once: the server has done what the client asked, and the client does not know.
    pub(crate) fn cut_before_reply(&self, pattern: &[u8]) {
        self.cut_before(Side::ToClient, pattern);
    }

    /// As `cut_before_reply`, for what the client says: the server never sees that chunk, and the client does not know.
    pub(crate) fn cut_before_command(&self, pattern: &[u8]) {
        self.cut_before(Side::ToServer, pattern);
    }

    fn cut_before(&self, side: Side, pattern: &[u8]) {
        assert!(!pattern.is_empty(), "an empty pattern matches nothing");
        self.state().fatal = Some((side, pattern.to_vec()));
    }

    /// The client's connection dies when it has sent `pattern`, but the server goes on with what it was sent after this
    /// time: it commits late, and nobody hears of it. Only for plain text and patterns within one chunk, and once.
    pub(crate) fn commit_late(&self, pattern: &[u8], delay: Duration) {
        self.state().late = Some((pattern.to_vec(), delay));
    }

    /// From now on so many bytes a second pass in this direction at most, on each connection: a slow line. But for some
    /// 64 kB, what has not passed waits with who sent it.
    pub(crate) fn slow_down(&self, side: Side, bytes_a_second: u64) {
        let mut state = self.state();
        state.slow[side as usize] = Some(bytes_a_second);
        state.open.iter().for_each(|pair| pair.takes_little(side));
    }

    /// From now on, or no longer, new connections are closed as soon as they are accepted.
    pub(crate) fn refuse(&self, refuse: bool) {
        self.state().refuse = refuse;
    }

    /// With the next cut by one of the knobs, new connections are refused.
    pub(crate) fn refuse_after_cut(&self) {
        self.state().refuse_after_cut = true;
    }

    /// Cuts every connection there is.
    pub(crate) fn cut_all(&self) {
        let mut state = self.state();
        state.cuts += state.open.len();
        state.open.drain(..).for_each(|pair| pair.cut());
    }

    /// How many connections came, refused ones included.
    pub(crate) fn connections(&self) -> usize {
        self.state().connections
    }

    /// How many connections are open now.
    pub(crate) fn open(&self) -> usize {
        self.state().open.len()
    }

    /// How many bytes passed in this direction over all connections.
    pub(crate) fn bytes(&self, side: Side) -> u64 {
        self.state().bytes[side as usize]
    }

    /// How many connections were cut.
    pub(crate) fn cuts(&self) -> usize {
        self.state().cuts
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state().closing = true;
        self.cut_all();
        let _ = TcpStream::connect(("127.0.0.1", self.port)); // wakes the acceptor
        let _ = self.acceptor.take().unwrap().join();
        self.cut_all(); // one may have come in between
    }
}

impl Pair {
    fn cut(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }

    /// The system takes no more in this direction than a moment's worth of a slow line.
    fn takes_little(&self, side: Side) {
        let (from, _) = self.ends(side);
        let _ = socket2::SockRef::from(&from).set_recv_buffer_size(16 << 10);
    }

    /// The socket that traffic in this direction comes from, and the one it goes to.
    fn ends(&self, side: Side) -> (TcpStream, TcpStream) {
        let (client, server) = (
            self.client.try_clone().unwrap(),
            self.server.try_clone().unwrap(),
        );
        match side {
            Side::ToServer => (client, server),
            Side::ToClient => (server, client),
        }
    }
}

impl State {
    /// Decides about a chunk and counts it. `seen` is the end of what passed before it on this connection.
    fn judge(&mut self, side: Side, seen: &[u8], chunk: &[u8]) -> Verdict {
        let verdict = if self.is_fatal(side, seen, chunk) {
            self.fatal = None;
            Verdict {
                pass: 0,
                then: Then::Cut,
            }
        } else if side == Side::ToServer
            && let Some((_, delay)) = self.late.take_if(|(pattern, _)| contains(chunk, pattern))
        {
            Verdict {
                pass: chunk.len(),
                then: Then::Late(delay),
            }
        } else if let Some(pass) = countdown(&mut self.cut[side as usize], chunk.len()) {
            Verdict {
                pass,
                then: Then::Cut,
            }
        } else if let Some(pass) = countdown(&mut self.stall[side as usize], chunk.len()) {
            Verdict {
                pass,
                then: Then::Stall,
            }
        } else {
            Verdict {
                pass: chunk.len(),
                then: Then::GoOn,
            }
        };
        if verdict.then == Then::Cut && std::mem::take(&mut self.refuse_after_cut) {
            self.refuse = true;
        }
        self.bytes[side as usize] += verdict.pass as u64;
        self.cuts += usize::from(matches!(verdict.then, Then::Cut | Then::Late(_)));
        verdict
    }

    /// Whether the pattern ends in this chunk; it may have begun before.
    fn is_fatal(&self, side: Side, seen: &[u8], chunk: &[u8]) -> bool {
        let Some((_, pattern)) = self.fatal.as_ref().filter(|(s, _)| *s == side) else {
            return false;
        };
        let carry = &seen[seen.len().saturating_sub(pattern.len() - 1)..];
        contains(&[carry, chunk].concat(), pattern)
    }

    /// Closes both sockets of a connection, unless that is done already.
    fn close(&mut self, id: usize) {
        if let Some(at) = self.open.iter().position(|pair| pair.id == id) {
            self.open.swap_remove(at).cut();
        }
    }
}

fn contains(bytes: &[u8], pattern: &[u8]) -> bool {
    bytes.windows(pattern.len()).any(|window| window == pattern)
}

/// Counts a chunk against a limit. At the limit: how much of the chunk still passes, and the limit is lifted.
fn countdown(limit: &mut Option<u64>, chunk: usize) -> Option<usize> {
    let left = (*limit)?;
    if left > chunk as u64 {
        *limit = Some(left - chunk as u64);
        return None;
    }
    *limit = None;
    Some(usize::try_from(left).unwrap())
}

fn accept(listener: &TcpListener, upstream_port: u16, state: &Arc<Mutex<State>>) {
    for client in listener.incoming() {
        let (closing, refuse, id) = {
            let mut state = state.lock().unwrap();
            state.connections += usize::from(!state.closing);
            (state.closing, state.refuse, state.connections)
        };
        if closing {
            return;
        }
        if let Ok(client) = client
            && !refuse
            && let Ok(server) = TcpStream::connect(("127.0.0.1", upstream_port))
        {
            forward(Pair { id, client, server }, state);
        }
    }
}

/// Starts both directions of a connection.
fn forward(pair: Pair, state: &Arc<Mutex<State>>) {
    let _ = pair.client.set_nodelay(true);
    let _ = pair.server.set_nodelay(true);
    let mut locked = state.lock().unwrap(); // until the pair is listed no byte moves
    for side in [Side::ToServer, Side::ToClient] {
        if locked.slow[side as usize].is_some() {
            pair.takes_little(side);
        }
        let (id, (from, to), state) = (pair.id, pair.ends(side), Arc::clone(state));
        thread::spawn(move || pump(id, side, from, to, &state));
    }
    locked.open.push(pair);
}

/// Forwards one direction of one connection until it ends; either direction's end is the end of both.
fn pump(id: usize, side: Side, mut from: TcpStream, mut to: TcpStream, state: &Mutex<State>) {
    let mut buffer = vec![0; 16 * 1024];
    let mut seen = Vec::new();
    let mut stalled = false;
    while let Ok(size @ 1..) = from.read(&mut buffer) {
        if stalled {
            continue;
        }
        let chunk = &buffer[..size];
        let verdict = state.lock().unwrap().judge(side, &seen, chunk);
        if let Then::Late(delay) = verdict.then {
            let _ = from.shutdown(Shutdown::Both);
            thread::sleep(delay);
        }
        if to.write_all(&chunk[..verdict.pass]).is_err() {
            break;
        }
        let slow = state.lock().unwrap().slow[side as usize];
        if let Some(rate) = slow {
            thread::sleep(Duration::from_secs_f64(size as f64 / rate as f64));
        }
        match verdict.then {
            Then::GoOn => remember(&mut seen, chunk),
            Then::Stall => stalled = true,
            Then::Cut => break,
            // The server's answer, which has nowhere to go, ends the other direction and with it both.
            Then::Late(_) => return,
        }
    }
    state.lock().unwrap().close(id);
}

/// Keeps the end of the traffic, long enough for any pattern.
fn remember(seen: &mut Vec<u8>, chunk: &[u8]) {
    seen.extend_from_slice(chunk);
    seen.drain(..seen.len().saturating_sub(256));
}
