//! The page of a run (`run --http`): real HTTP over loopback. What is asked and how it is answered, what is shown of ledgers in
//! every state, a ledger that does not answer, and a run that is looked at.

mod asked;
mod blocked;
mod figures;
mod of_a_run;
mod shown;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use imap_to_gmail::page::{self, Route, Server, Watched};

use crate::testkit::free_port;

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    /// The value of a line of the head.
    #[track_caller]
    fn header(&self, name: &str) -> &str {
        let line = |line: &'_ str| {
            let (found, value) = line.split_once(": ")?;
            found
                .eq_ignore_ascii_case(name)
                .then(|| value.as_ptr() as usize - self.head.as_ptr() as usize..)
        };
        let at = self.head.lines().find_map(line);
        let at = at.unwrap_or_else(|| panic!("no {name}: {}", self.head));
        self.head[at].lines().next().unwrap()
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    let patience = Some(Duration::from_secs(30));
    stream.set_read_timeout(patience).unwrap();
    stream
}

/// Sends these bytes and reads to the end. None: there was no answer.
fn send(address: SocketAddr, request: &str) -> Option<Answer> {
    let mut stream = connect(address);
    // One that is refused early need not be heard to its end.
    let _ = stream.write_all(request.as_bytes());
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8(text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some(Answer {
        status: head.split(' ').nth(1)?.parse().ok()?,
        head: head.into(),
        body: body.into(),
    })
}

fn get(address: SocketAddr, path: &str) -> Answer {
    get_with(address, path, "")
}

fn get_with(address: SocketAddr, path: &str, headers: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
    send(address, &request).unwrap()
}

/// Served at a port of this machine. A port that was just found free may still be bound: a program that another test starts
/// holds our sockets until it has replaced its copy of this process.
fn served(routes: impl Fn() -> Vec<Route> + Clone + Send + Sync + 'static) -> Server {
    let mut tries = 0;
    loop {
        let place = page::place(&free_port().to_string()).unwrap();
        match page::serve(&place, routes.clone()) {
            Err(_) if tries < 10 => tries += 1,
            server => return server.unwrap(),
        }
    }
}

/// A route with this ledger.
fn watched(name: &str, ledger: &Path) -> Route {
    Route {
        name: name.into(),
        ledger: Ok(Watched {
            state_file: ledger.into(),
            open: None,
            upload_limit: None,
            token_file: None,
            files: String::new(),
        }),
    }
}
