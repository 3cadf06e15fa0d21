//! A proxy on 127.0.0.1 that answers some of the client's commands itself, in place of the server behind it. Only for
//! plain text.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

type Answer = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Listens on a free port, which it returns, until the process ends. `answer` is shown each command without its tag;
/// what it returns is the tagged answer without its tag (or, with `TAG` in it, all of the answer), and the server does
/// not hear of that command.
pub(crate) fn start(
    upstream_port: u16,
    answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer: Arc<Answer> = Arc::new(answer);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            if let Ok(server) = TcpStream::connect(("127.0.0.1", upstream_port)) {
                let answer = Arc::clone(&answer);
                let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let answered = Arc::new(Answered::new());
                let heard = Arc::clone(&answered);
                thread::spawn(move || pass(from, to, &heard));
                thread::spawn(move || {
                    let _ = listen(&client, &server, &*answer, &answered);
                    let _ = server.shutdown(Shutdown::Both);
                });
            }
        }
    });
    port
}

/// The tag that the server answered last, at first an empty one; none once it has hung up.
struct Answered(Mutex<Option<String>>, Condvar);

impl Answered {
    fn new() -> Answered {
        Answered(Mutex::new(Some(String::new())), Condvar::new())
    }

    fn note(&self, tag: Option<String>) {
        *self.0.lock().unwrap() = tag;
        self.1.notify_all();
    }

    fn wait_for(&self, tag: &str) {
        let last = self.0.lock().unwrap();
        let other = |last: &mut Option<String>| last.as_deref().is_some_and(|last| last != tag);
        drop(self.1.wait_while(last, other).unwrap());
    }
}

/// `a7`: the client's tags are its own.
fn tag_of(line: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(line);
    let tag = text.split(' ').next()?.trim_end();
    let number = tag.strip_prefix('a')?;
    number.parse::<u32>().ok().map(|_| tag.to_string())
}

fn pass(from: TcpStream, mut to: TcpStream, answered: &Answered) {
    let mut lines = BufReader::new(from);
    let mut line = Vec::new();
    while matches!(lines.read_until(b'\n', &mut line), Ok(1..)) {
        let tag = tag_of(&line);
        if to.write_all(&line).is_err() {
            break;
        }
        if tag.is_some() {
            answered.note(tag);
        }
        line.clear();
    }
    answered.note(None);
    let _ = to.shutdown(Shutdown::Both);
}

fn listen(
    mut client: &TcpStream,
    mut server: &TcpStream,
    answer: &Answer,
    answered: &Answered,
) -> io::Result<()> {
    let mut lines = BufReader::new(client.try_clone()?);
    let mut passed_on: Option<String> = None;
    loop {
        let mut line = Vec::new();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line);
        let told = text.trim_end().split_once(' ').and_then(|(tag, command)| {
            let told = answer(command)?;
            Some(if told.contains("TAG ") {
                format!("{}\r\n", told.replace("TAG ", &format!("{tag} ")))
            } else {
                format!("{tag} {told}\r\n")
            })
        });
        match told {
            Some(told) => {
                // Commands that came together are answered in their order.
                if let Some(tag) = &passed_on {
                    answered.wait_for(tag);
                }
                client.write_all(told.as_bytes())?;
            }
            None => {
                passed_on = tag_of(&line).or(passed_on);
                server.write_all(&line)?;
            }
        }
    }
}
