//! STARTTLS, spoken on the bare socket before anything else has a part in the connection.

use std::io::{self, Read, Write};

use super::socket::Socket;
use super::{broken, stranger};
use crate::config::{Endpoint, Masks};
use crate::error::{Error, Fault, Result, shown};
use crate::response::{Status, StatusText};

/// RFC 3501 6.2.1. Whatever was said before encryption is forgotten: capabilities are asked anew,
/// and bytes that came along with the OK would be an attacker's.
pub(super) fn starttls(
    socket: &mut Socket,
    endpoint: &Endpoint,
    masks: &Masks,
) -> Result<StatusText> {
    let name = endpoint.called();
    let mut lines = PlainLines {
        socket,
        name: &name,
    };
    let first = lines.read()?;
    let greeting = stranger::read_greeting(&first, endpoint, masks)?;
    if greeting.status != Status::Ok {
        return Ok(greeting);
    }
    let refused = |what: String| {
        let origin = &endpoint.origin;
        Error::new(Fault::NeedsUser, what).hint(format!(
            "if the server has a port that is encrypted from the start (usually 993): {}, and {}",
            origin.set("port", "993"),
            origin.set("tls", "\"implicit\"")
        ))
    };
    lines.write("s1 CAPABILITY\r\n")?;
    let mut offered = false;
    loop {
        let line = lines.read()?;
        if line.starts_with(b"s1 ") {
            break;
        }
        offered |= line.starts_with(b"* ")
            && line[2..]
                .split(|&b| b == b' ')
                .any(|w| w.eq_ignore_ascii_case(b"STARTTLS"));
    }
    if !offered {
        return Err(refused(format!(
            "{name} does not offer STARTTLS (encryption after the greeting), so the password was not sent"
        )));
    }
    lines.write("s2 STARTTLS\r\n")?;
    loop {
        let line = lines.read()?;
        let Some(rest) = line.strip_prefix(b"s2 ") else {
            continue;
        };
        return match StatusText::parse(rest) {
            Some(s) if s.status == Status::Ok => Ok(StatusText {
                code: None,
                ..greeting
            }),
            _ => Err(refused(format!(
                "{name} does not begin STARTTLS; the server said: {}",
                masks.apply(&shown(rest))
            ))),
        };
    }
}

/// Lines before encryption, taken from the socket byte by byte so that nothing behind the OK is ever taken as ours: what an
/// attacker put there is the first that the TLS handshake gets, also where the socket has read it already, and breaks it.
struct PlainLines<'a> {
    socket: &'a mut Socket,
    name: &'a str,
}

impl PlainLines<'_> {
    fn lost(&self, e: &io::Error) -> Error {
        Error::connection(format!(
            "{} was lost before encryption began: {e}",
            self.name
        ))
    }

    fn read(&mut self) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        let mut byte = [0];
        while line.len() < 8 << 10 {
            match self.socket.read(&mut byte).map_err(|e| self.lost(&e))? {
                0 => return Err(self.lost(&broken("the server closed the connection"))),
                _ if byte[0] == b'\n' => {
                    return Ok(line.strip_suffix(b"\r").unwrap_or(&line).to_vec());
                }
                _ => line.push(byte[0]),
            }
        }
        Err(self.lost(&broken("the server's line has no end")))
    }

    fn write(&mut self, line: &str) -> Result<()> {
        self.socket
            .write_all(line.as_bytes())
            .map_err(|e| self.lost(&e))
    }
}
