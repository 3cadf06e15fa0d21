//! A distant server: a relay in front of a port of this machine that lets each byte arrive so much later, and on request no
//! more of them than a link carries. It counts what passes, and how often a client waited for an answer before it went on.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const PIECE: usize = 64 << 10;
/// On a link that carries little: what others wait for at most.
const SLOW_PIECE: usize = 1400;
/// Pieces on their way in one direction of a connection.
const ON_THE_WAY: usize = 1024;

/// What lies between client and server.
#[derive(Clone, Copy, Default)]
pub(crate) struct Link {
    pub(crate) round_trip: Duration,
    /// How many bits a second go to the server, over all connections together.
    pub(crate) uplink: Option<u64>,
}

/// What passed.
#[derive(Clone, Copy, Default)]
pub(crate) struct Passed {
    pub(crate) up: u64,
    pub(crate) down: u64,
    /// Runs of bytes of a client of which the next began only after an answer to the one before, over all connections.
    pub(crate) flights: u64,
}

pub(crate) struct Relay {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: u16,
    link: Link,
    up: AtomicU64,
    down: AtomicU64,
    flights: AtomicU64,
    /// When the uplink has sent what it was given.
    free_at: Mutex<Instant>,
}

/// Flights of one connection, by number.
#[derive(Default)]
struct Flights {
    /// The one that the client is at.
    current: u64,
    /// Up to which one the server has heard.
    reached: u64,
    /// Up to which one the client has heard an answer.
    answered: u64,
}

/// Bytes, when they arrive, and the flight that they are of or answer.
struct Piece {
    bytes: Vec<u8>,
    due: Instant,
    flight: u64,
}

impl Relay {
    pub(crate) fn start(server: u16, link: Link) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            server,
            link,
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            flights: AtomicU64::new(0),
            free_at: Mutex::new(Instant::now()),
        });
        let of_listener = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&of_listener);
                thread::spawn(move || shared.connect(client));
            }
        });
        Relay { port, shared }
    }

    pub(crate) fn passed(&self) -> Passed {
        let value = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        Passed {
            up: value(&self.shared.up),
            down: value(&self.shared.down),
            flights: value(&self.shared.flights),
        }
    }
}

impl Shared {
    /// A client has connected in no time; over the link, the server would hear of it after one and a half round trips.
    fn connect(self: Arc<Shared>, client: TcpStream) {
        if self.link.uplink.is_some() {
            // What has not passed waits with the client, who is to notice it.
            let _ = socket2::SockRef::from(&client).set_recv_buffer_size(PIECE);
        }
        thread::sleep(self.link.round_trip * 3 / 2);
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.server)) else {
            return;
        };
        let flights: Arc<Mutex<Flights>> = Arc::default();
        for is_up in [true, false] {
            let (near, far) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let (from, to) = if is_up { (near, far) } else { (far, near) };
            let _ = to.set_nodelay(true);
            let (give, take) = sync_channel(ON_THE_WAY);
            let (shared, of_reader) = (Arc::clone(&self), Arc::clone(&flights));
            thread::spawn(move || shared.hear(from, is_up, &of_reader, &give));
            let flights = Arc::clone(&flights);
            thread::spawn(move || say(to, is_up, &flights, &take));
        }
    }

    fn hear(
        &self,
        mut from: TcpStream,
        is_up: bool,
        flights: &Mutex<Flights>,
        give: &SyncSender<Piece>,
    ) {
        let uplink = self.link.uplink.filter(|_| is_up);
        let size = if uplink.is_some() { SLOW_PIECE } else { PIECE };
        let mut buffer = vec![0; size];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            let flight = self.count(n, is_up, &mut flights.lock().unwrap());
            if let Some(bits) = uplink {
                self.wait_for_uplink(n, bits);
            }
            let piece = Piece {
                bytes: buffer[..n].to_vec(),
                due: Instant::now() + self.link.round_trip / 2,
                flight,
            };
            if give.send(piece).is_err() {
                break;
            }
        }
    }

    fn count(&self, bytes: usize, is_up: bool, flights: &mut Flights) -> u64 {
        let counter = if is_up { &self.up } else { &self.down };
        counter.fetch_add(bytes as u64, Ordering::SeqCst);
        if !is_up {
            return flights.reached;
        }
        if flights.current == flights.answered {
            flights.current += 1;
            self.flights.fetch_add(1, Ordering::SeqCst);
        }
        flights.current
    }

    fn wait_for_uplink(&self, bytes: usize, bits: u64) {
        let sent = {
            let mut free_at = self.free_at.lock().unwrap();
            let begins = (*free_at).max(Instant::now());
            *free_at = begins + Duration::from_secs_f64(bytes as f64 * 8.0 / bits as f64);
            *free_at
        };
        thread::sleep(sent.saturating_duration_since(Instant::now()));
    }
}

fn say(mut to: TcpStream, is_up: bool, flights: &Mutex<Flights>, take: &Receiver<Piece>) {
    for piece in take {
        let early = piece.due.saturating_duration_since(Instant::now());
        if !early.is_zero() {
            thread::sleep(early);
        }
        {
            let mut flights = flights.lock().unwrap();
            let upto = match is_up {
                true => &mut flights.reached,
                false => &mut flights.answered,
            };
            *upto = (*upto).max(piece.flight);
        }
        if to.write_all(&piece.bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
