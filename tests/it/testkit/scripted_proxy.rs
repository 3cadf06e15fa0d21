//! A proxy on 127.0.0.1 in front of a server that speaks plain text: at chosen commands it plays a part of its own,
//! and it may change what the server says.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// What follows the part that was played.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// The server behind hears the command and answers it.
    Server,
    /// The connection ends.
    End,
}

/// Plays to this client; the tag is that of the command.
pub(crate) type Part = Arc<dyn Fn(&mut TcpStream, &str) -> Then + Send + Sync>;

pub(crate) struct Twist {
    pub(crate) port: u16,
    struck: Arc<AtomicUsize>,
}

impl Twist {
    /// Strikes at the first `times` commands that begin so (`UID FETCH`), on any connection.
    pub(crate) fn at(upstream: u16, begin: &'static str, times: usize, part: Part) -> Twist {
        let struck = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&struck);
        let port = listen(upstream, move |client, server| {
            let (count, part) = (Arc::clone(&count), Arc::clone(&part));
            let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let answers = Arc::new(Answers::default());
            let heard = Arc::clone(&answers);
            thread::spawn(move || pass_counted(from, to, &heard));
            let due = |command: &str| {
                command.starts_with(begin)
                    && count
                        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| {
                            (n < times).then_some(n + 1)
                        })
                        .is_ok()
            };
            let _ = hear(&client, &server, due, &*part, &answers);
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
        });
        Twist { port, struck }
    }

    /// How often it struck.
    pub(crate) fn struck(&self) -> usize {
        self.struck.load(Ordering::SeqCst)
    }
}

/// What the server says goes through `change`, line by line; None lets a line pass as it is. For servers whose
/// literals hold nothing that looks like a line of protocol.
pub(crate) fn changed(
    upstream: u16,
    change: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> u16 {
    let change = Arc::new(change);
    listen(upstream, move |mut client, server| {
        let change = Arc::clone(&change);
        let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || pass(from, to));
        let mut lines = BufReader::new(server);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let said = change(&String::from_utf8_lossy(&line));
            if client
                .write_all(said.as_deref().map_or(&line, str::as_bytes))
                .is_err()
            {
                break;
            }
            line.clear();
        }
        let _ = client.shutdown(Shutdown::Both);
    })
}

fn listen(upstream: u16, serve: impl Fn(TcpStream, TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            if let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)) {
                let serve = Arc::clone(&serve);
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                thread::spawn(move || serve(client, server));
            }
        }
    });
    port
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

/// How many commands have been answered on a connection, or that no more will be.
#[derive(Default)]
struct Answers(Mutex<usize>, Condvar);

impl Answers {
    fn note(&self, n: usize) {
        let mut answered = self.0.lock().unwrap();
        *answered = answered.saturating_add(n);
        self.1.notify_all();
    }

    fn wait_for(&self, n: usize) {
        let answered = self.0.lock().unwrap();
        drop(
            self.1
                .wait_while(answered, |answered| *answered < n)
                .unwrap(),
        );
    }
}

/// `a7 OK done`, `a7 NOOP`: the client's tags are its own.
fn is_tagged(line: &[u8]) -> bool {
    let digits = line.strip_prefix(b"a").unwrap_or_default();
    let tag = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    tag > 0 && digits.get(tag) == Some(&b' ')
}

fn pass_counted(from: TcpStream, mut to: TcpStream, answers: &Answers) {
    let mut lines = BufReader::new(from);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        if to.write_all(&line).is_err() {
            break;
        }
        answers.note(is_tagged(&line).into());
        line.clear();
    }
    answers.note(usize::MAX);
    let _ = to.shutdown(Shutdown::Both);
}

fn hear(
    client: &TcpStream,
    mut server: &TcpStream,
    due: impl Fn(&str) -> bool,
    part: &(dyn Fn(&mut TcpStream, &str) -> Then + Send + Sync),
    answers: &Answers,
) -> io::Result<()> {
    let mut commands = 0;
    let mut lines = BufReader::new(client.try_clone()?);
    let mut out = client.try_clone()?;
    loop {
        let mut line = Vec::new();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line);
        let strike = text
            .split_once(' ')
            .filter(|(_, command)| due(command))
            .map(|(tag, _)| tag.to_string());
        if strike.is_some() {
            // Commands come together in one flight: those before this one are answered first.
            answers.wait_for(commands);
        }
        commands += usize::from(is_tagged(&line));
        if let Some(tag) = strike
            && part(&mut out, &tag) == Then::End
        {
            // What was said is still to be read.
            let _ = client.shutdown(Shutdown::Write);
            while client
                .set_read_timeout(Some(std::time::Duration::from_secs(15)))
                .is_ok()
                && lines.fill_buf().is_ok_and(|b| !b.is_empty())
            {
                let n = lines.buffer().len();
                lines.consume(n);
            }
            return Ok(());
        }
        server.write_all(&line)?;
    }
}
