//! A relay in front of one IMAP server that knows lines and literals, and does one deed at a chosen one. Plain text
//! only. Events are the lines that either side says and the middle of every literal, counted in each direction over
//! all connections: with one connection at a time they come in the same order each time, so that a number names a
//! point of a run. What was before the event has been passed on, the event itself has not.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use crate::testkit::proxy::Side;

/// How late what is done late is done. Absence is believed after 300 ms in tests.
const LATE: Duration = Duration::from_millis(100);
/// HTTP: what was said so long ago and did not end with a line was all.
const QUIET: Duration = Duration::from_millis(15);
/// How long a server is given to do what it was told late.
const LATE_END: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Everything stands still until [`Fuse::release`]; then all that was open is cut.
    Hold,
    /// As `Hold`, but what the client had sent is passed on a while after the release.
    HoldLate,
    /// Both ends of the connection are cut.
    Cut,
    /// The server hears it all; with its next word the connection is cut.
    Deaf,
    /// The client's end is cut; the server hears the event and what the client said after it a while later.
    Late,
}

/// The event at which a deed is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Counted from 1.
    Nth(usize),
    /// The first line that holds this.
    Says(&'static str),
}

#[derive(Debug)]
pub(crate) struct Fuse {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    upstream: u16,
    /// After so long without more, the beginning of a line is taken for the whole.
    quiet: Option<Duration>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    closing: bool,
    counts: [usize; 2],
    armed: Option<(Side, When, Deed)>,
    /// The event at which it happened, and how many connections there had been by then.
    fired: Option<(String, usize)>,
    frozen: bool,
    /// Connections up to this number end with the release.
    doomed: usize,
    connections: usize,
    open: Vec<(usize, TcpStream, TcpStream)>,
    said: Vec<(Side, String)>,
}

/// What the two directions of a connection know of each other.
#[derive(Default)]
struct Link {
    /// The server asked for a literal.
    go_ahead: AtomicBool,
    /// The server's next word ends it.
    deaf: AtomicBool,
    /// Nothing of the server is passed on any more.
    mute: AtomicBool,
}

impl Fuse {
    pub(crate) fn start(upstream: u16) -> Fuse {
        Fuse::in_front_of(upstream, None)
    }

    /// In front of a server that speaks HTTP, where what is said need not end with a line.
    pub(crate) fn start_http(upstream: u16) -> Fuse {
        Fuse::in_front_of(upstream, Some(QUIET))
    }

    fn in_front_of(upstream: u16, quiet: Option<Duration>) -> Fuse {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            upstream,
            quiet,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Fuse { port, shared }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Events of this direction are counted from now on.
    pub(crate) fn arm(&self, side: Side, when: When, deed: Deed) {
        let mut state = self.shared.state();
        state.counts = [0; 2];
        state.armed = Some((side, when, deed));
    }

    /// Starts a run to which this is done at its `nth` event. Where the deed is that its process is killed, what is returned
    /// is the run after it.
    pub(crate) fn break_off(
        &self,
        (side, nth, deed): (Side, usize, Deed),
        start: impl Fn() -> Child,
    ) -> Child {
        self.arm(side, When::Nth(nth), deed);
        let mut child = start();
        if matches!(deed, Deed::Hold | Deed::HoldLate) {
            while !self.wait(Duration::from_millis(10)) && child.try_wait().unwrap().is_none() {}
            if self.fired().is_some() {
                child.kill().unwrap();
                child.wait().unwrap();
                self.release();
                child = start();
            }
        }
        child
    }

    /// The event at which the deed was done, if it was.
    pub(crate) fn fired(&self) -> Option<String> {
        let state = self.shared.state();
        state.fired.as_ref().map(|(event, _)| event.clone())
    }

    /// How many connections there had been when the deed was done, or until now.
    pub(crate) fn connections(&self) -> usize {
        let state = self.shared.state();
        state.fired.as_ref().map_or(state.connections, |(_, n)| *n)
    }

    /// Waits until the deed is done, for so long at the most.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let state = self.shared.state();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(state, time, |s| s.fired.is_none());
        waited.unwrap().0.fired.is_some()
    }

    /// Ends a hold.
    pub(crate) fn release(&self) {
        let mut state = self.shared.state();
        state.frozen = false;
        state.doomed = state.connections;
        self.shared.changed.notify_all();
    }

    /// What this side said: lines without line ends, `~n` for the middle of a literal of n bytes.
    pub(crate) fn said(&self, side: Side) -> Vec<String> {
        let state = self.shared.state();
        let of_side = state.said.iter().filter(|(s, _)| *s == side);
        of_side.map(|(_, text)| text.clone()).collect()
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.closing = true;
        state.frozen = false;
        state.doomed = state.connections;
        for (_, client, server) in state.open.drain(..) {
            cut(&client, &server);
        }
        self.shared.changed.notify_all();
        drop(state);
        let _ = TcpStream::connect(("127.0.0.1", self.port)); // wakes the acceptor
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Counts an event; what is to be done at it. Waits while everything stands still.
    fn meet(&self, pump: &Pump, text: &str) -> Option<Deed> {
        let side = pump.side;
        let mut state = self.state();
        while state.frozen {
            state = self.changed.wait(state).unwrap();
        }
        if pump.id <= state.doomed {
            return Some(Deed::Cut);
        }
        state.counts[side as usize] += 1;
        state.said.push((side, text.to_string()));
        let (armed, when, deed) = state.armed?;
        let now = match when {
            When::Nth(nth) => nth == state.counts[side as usize],
            When::Says(words) => text.contains(words),
        };
        if armed != side || !now {
            return None;
        }
        state.armed = None;
        state.fired = Some((text.to_string(), state.connections));
        state.frozen = matches!(deed, Deed::Hold | Deed::HoldLate);
        let late = matches!(deed, Deed::Late | Deed::HoldLate);
        pump.link.mute.store(late, Ordering::SeqCst);
        self.changed.notify_all();
        while state.frozen {
            state = self.changed.wait(state).unwrap();
        }
        Some(deed)
    }

    fn close(&self, connection: usize) {
        let mut state = self.state();
        if let Some(at) = state.open.iter().position(|(id, ..)| *id == connection) {
            let (_, client, server) = state.open.swap_remove(at);
            cut(&client, &server);
        }
    }
}

fn cut(client: &TcpStream, server: &TcpStream) {
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        let mut state = shared.state();
        if state.closing {
            return;
        }
        let Ok(client) = client else { continue };
        let Ok(server) = TcpStream::connect(("127.0.0.1", shared.upstream)) else {
            continue;
        };
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        state.connections += 1;
        let id = state.connections;
        let link = Arc::new(Link::default());
        for side in [Side::ToServer, Side::ToClient] {
            let mut pump = Pump {
                shared: Arc::clone(shared),
                link: Arc::clone(&link),
                id,
                side,
                client: client.try_clone().unwrap(),
                server: server.try_clone().unwrap(),
                scan: Scan {
                    side,
                    line: Vec::new(),
                    literal: None,
                    asked: None,
                },
            };
            thread::spawn(move || {
                pump.run();
                pump.shared.close(id);
            });
        }
        state.open.push((id, client, server));
    }
}

/// One direction of one connection.
struct Pump {
    shared: Arc<Shared>,
    link: Arc<Link>,
    id: usize,
    side: Side,
    client: TcpStream,
    server: TcpStream,
    scan: Scan,
}

impl Pump {
    fn mute(&self) -> bool {
        self.link.mute.load(Ordering::SeqCst)
    }

    fn run(&mut self) {
        let (mut from, mut to) = match self.side {
            Side::ToServer => (&self.client, &self.server),
            Side::ToClient => (&self.server, &self.client),
        };
        let mut buffer = vec![0; 64 << 10];
        loop {
            let waits = self.shared.quiet.filter(|_| !self.scan.line.is_empty());
            let _ = from.set_read_timeout(waits);
            let size = match from.read(&mut buffer) {
                Ok(0) => return,
                Ok(size) => size,
                Err(_) if waits.is_some() => 0,
                Err(_) => return,
            };
            let mut rest = &buffer[..size];
            let mut left = (size == 0).then(|| self.scan.rest());
            while left.is_some() || !rest.is_empty() {
                if self.side == Side::ToClient && self.mute() {
                    break;
                }
                let next = left
                    .take()
                    .or_else(|| self.scan.next(&mut rest, &self.link.go_ahead));
                let Some(piece) = next else {
                    break;
                };
                if self.side == Side::ToClient && self.link.deaf.load(Ordering::SeqCst) {
                    return;
                }
                let deed = match &piece.event {
                    Some(text) => self.shared.meet(self, text),
                    None => None,
                };
                match deed {
                    None => {}
                    Some(_) if self.side == Side::ToClient && self.mute() => break,
                    Some(Deed::Cut | Deed::Hold) => return,
                    Some(Deed::Deaf) => self.link.deaf.store(true, Ordering::SeqCst),
                    Some(deed) => {
                        if deed == Deed::Late {
                            let _ = self.client.shutdown(Shutdown::Write);
                        }
                        let mut late = [&piece.bytes[..], rest].concat();
                        let _ = from.set_read_timeout(Some(LATE));
                        let _ = from.read_to_end(&mut late);
                        thread::sleep(LATE);
                        let _ = to.write_all(&late);
                        thread::sleep(LATE_END);
                        return;
                    }
                }
                if self.side == Side::ToClient && piece.bytes.starts_with(b"+") {
                    self.link.go_ahead.store(true, Ordering::SeqCst);
                }
                if to.write_all(&piece.bytes).is_err() {
                    return;
                }
            }
        }
    }
}

struct Piece {
    bytes: Vec<u8>,
    /// What happens before these bytes are passed on.
    event: Option<String>,
}

/// Cuts a stream into lines and halves of literals.
struct Scan {
    side: Side,
    line: Vec<u8>,
    /// What is left of the literal, and of its first half.
    literal: Option<(usize, usize, usize)>,
    /// A literal of this size comes if the server asks for it.
    asked: Option<usize>,
}

impl Scan {
    /// The beginning of a line whose end does not come.
    fn rest(&mut self) -> Piece {
        let bytes = std::mem::take(&mut self.line);
        let event = Some(String::from_utf8_lossy(&bytes).into_owned());
        Piece { bytes, event }
    }

    /// None: the rest is no whole line yet.
    fn next(&mut self, rest: &mut &[u8], go_ahead: &AtomicBool) -> Option<Piece> {
        if let Some(size) = self.asked.take()
            && go_ahead.swap(false, Ordering::SeqCst)
        {
            self.literal = Some((size, size, size / 2));
        }
        if let Some((size, left, half)) = self.literal.filter(|(_, left, _)| *left > 0) {
            let event = (half == 0 && left == size - size / 2).then(|| format!("~{size}"));
            let n = rest.len().min(if half > 0 { half } else { left });
            let bytes = rest[..n].to_vec();
            *rest = &rest[n..];
            self.literal = Some((size, left - n, half - n.min(half)));
            return Some(Piece { bytes, event });
        }
        let Some(end) = rest.iter().position(|&b| b == b'\n') else {
            self.line.extend_from_slice(rest);
            *rest = &[];
            return None;
        };
        self.line.extend_from_slice(&rest[..=end]);
        *rest = &rest[end + 1..];
        let bytes = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&bytes).trim_end().to_string();
        self.literal = None;
        if let Some((size, at_once)) = announced(&text) {
            if at_once || self.side == Side::ToClient {
                self.literal = Some((size, size, size / 2))
            } else {
                go_ahead.store(false, Ordering::SeqCst);
                self.asked = Some(size);
            }
        }
        Some(Piece {
            bytes,
            event: Some(text),
        })
    }
}

/// The size of the literal that a line announces, and whether it follows unasked.
fn announced(line: &str) -> Option<(usize, bool)> {
    let (_, size) = line.strip_suffix('}')?.rsplit_once('{')?;
    let at_once = size.strip_suffix('+');
    Some((at_once.unwrap_or(size).parse().ok()?, at_once.is_some()))
}
