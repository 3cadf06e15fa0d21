//! A monitor as those that are pinged: an HTTP server on 127.0.0.1 that notes what it is asked for, and behaves well or badly.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What every request gets.
#[derive(Clone)]
pub(crate) enum Answer {
    /// This status with this body.
    Says(u16, String),
    /// It sends on to there.
    Redirects(String),
    /// It takes the request and says nothing.
    Hangs,
    /// Its body never ends.
    Endless,
    /// Its headers never end.
    EndlessHead,
    /// It repeats what it was asked for, as a refusal.
    Echoes,
    /// No HTTP at all.
    Gibberish,
}

pub(crate) struct Monitor {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
    answer: Arc<Mutex<Answer>>,
    /// Bytes of bodies without end that were taken from it.
    poured: Arc<AtomicUsize>,
}

impl Monitor {
    pub(crate) fn start() -> Monitor {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let monitor = Monitor {
            port: listener.local_addr().unwrap().port(),
            heard: Arc::default(),
            answer: Arc::new(Mutex::new(Answer::Says(200, "OK".into()))),
            poured: Arc::default(),
        };
        let (heard, answer) = (Arc::clone(&monitor.heard), Arc::clone(&monitor.answer));
        let poured = Arc::clone(&monitor.poured);
        thread::spawn(move || {
            for tcp in listener.incoming().flatten() {
                let (heard, answer) = (Arc::clone(&heard), Arc::clone(&answer));
                let poured = Arc::clone(&poured);
                thread::spawn(move || serve(tcp, &heard, &answer, &poured));
            }
        });
        monitor
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The first line of each request.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    pub(crate) fn pings(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    pub(crate) fn poured(&self) -> usize {
        self.poured.load(Ordering::Relaxed)
    }

    pub(crate) fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }
}

fn serve(
    tcp: TcpStream,
    heard: &Mutex<Vec<String>>,
    answer: &Mutex<Answer>,
    poured: &AtomicUsize,
) -> Option<()> {
    let mut lines = BufReader::new(tcp.try_clone().ok()?);
    let mut tcp = tcp;
    loop {
        let mut first = String::new();
        lines.read_line(&mut first).ok().filter(|n| *n > 0)?;
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).ok().filter(|n| *n > 0)?;
            if line.trim().is_empty() {
                break;
            }
        }
        let first = first.trim().to_string();
        heard.lock().unwrap().push(first.clone());
        let answer = answer.lock().unwrap().clone();
        let says = |status: u16, more: &str, body: &str| {
            let length = body.len();
            format!("HTTP/1.1 {status} whatever\r\n{more}Content-Length: {length}\r\n\r\n{body}")
        };
        let said = match answer {
            Answer::Says(status, body) => says(status, "", &body),
            Answer::Redirects(to) => says(302, &format!("Location: {to}\r\n"), ""),
            Answer::Echoes => says(404, "", &format!("no such monitor: {first}")),
            Answer::Gibberish => "* OK IMAP4rev1 ready\r\n".into(),
            Answer::Hangs => {
                thread::sleep(Duration::from_secs(30));
                return None;
            }
            Answer::Endless => {
                tcp.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    .ok()?;
                loop {
                    tcp.write_all(b"400\r\n").ok()?;
                    tcp.write_all(&[b'x'; 0x400]).ok()?;
                    tcp.write_all(b"\r\n").ok()?;
                    poured.fetch_add(0x400, Ordering::Relaxed);
                }
            }
            Answer::EndlessHead => {
                tcp.write_all(b"HTTP/1.1 200 OK\r\n").ok()?;
                loop {
                    tcp.write_all(b"X-More: yes\r\n").ok()?;
                }
            }
        };
        tcp.write_all(said.as_bytes()).ok()?;
    }
}
