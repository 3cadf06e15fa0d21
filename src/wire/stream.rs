//! The bytes of a connection, protected or not.

use std::io::{self, Read as _, Write as _};
use std::time::Instant;

use super::socket::Socket;
use super::tls;

pub(super) enum Stream {
    Plain(Socket),
    Tls(Box<tls::Protected>),
}

impl Stream {
    pub(super) fn socket(&self) -> &Socket {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => &tls.sock,
        }
    }

    pub(super) fn deadline(&mut self) -> &mut Instant {
        match self {
            Stream::Plain(socket) => &mut socket.deadline,
            Stream::Tls(tls) => &mut tls.sock.deadline,
        }
    }

    pub(super) fn receive(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buf),
            Stream::Tls(tls) => tls::receive(tls, buf),
        }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.write_all(bytes),
            Stream::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        }
    }
}
