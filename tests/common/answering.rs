//! A proxy on 127.0.0.1 that answers some of the client's commands itself, in place of the server behind it. Only for
//! plain text.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

type Answer = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Listens on a free port, which it returns, until the process ends. `answer` is shown each command without its tag;
/// what it returns is the tagged answer without its tag (or, with `TAG` in it, all of the answer), and the server does
/// not hear of that command.
pub fn start(
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
                thread::spawn(move || pass(from, to));
                thread::spawn(move || {
                    let _ = listen(&client, &server, &*answer);
                    let _ = server.shutdown(Shutdown::Both);
                });
            }
        }
    });
    port
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

fn listen(mut client: &TcpStream, mut server: &TcpStream, answer: &Answer) -> io::Result<()> {
    let mut lines = BufReader::new(client.try_clone()?);
    loop {
        let mut line = Vec::new();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line);
        let told = text.trim_end().split_once(' ').and_then(|(tag, command)| {
            let told = answer(command)?;
            Some(match told.contains("TAG ") {
                true => format!("{}\r\n", told.replace("TAG ", &format!("{tag} "))),
                false => format!("{tag} {told}\r\n"),
            })
        });
        match told {
            Some(told) => client.write_all(told.as_bytes())?,
            None => server.write_all(&line)?,
        }
    }
}
