//! A literal on its way: how much of it the server may have, and what becomes of the rest when the
//! connection ends.

use std::io;

use log::log_enabled;

use super::Connection;
use super::framing::earned;

/// A literal goes out in pieces of this size, so that we know when its last byte does.
const PIECE: usize = 64 << 10;

/// What became of a literal that was to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd)]
pub enum Sent {
    /// The server did not ask for it, or nothing was sent.
    #[default]
    Nothing,
    /// A part of it: a server cannot have the whole message.
    Part,
    /// Perhaps its last byte too.
    Whole,
}

impl Connection {
    /// Sends a literal behind `before` and takes note of how far it got. A server may act on the
    /// message once it has its last byte, so it counts as whole before that byte is handed over.
    pub(super) fn send_body(&mut self, before: &[u8], literal: &[u8]) -> io::Result<()> {
        if log_enabled!(log::Level::Debug) {
            self.log("C:", format!("({} bytes)", literal.len()).as_bytes());
        }
        self.literal_out = true;
        let aborts = self.stream.socket().abort_on_close(true);
        if let Err(e) = aborts {
            self.hear_farewell();
            return Err(e);
        }
        let mut out = before.to_vec();
        let mut pieces = literal.chunks(PIECE).peekable();
        if literal.is_empty() {
            self.current.answer.sent = Sent::Whole;
        }
        while let Some(piece) = pieces.next() {
            self.current.answer.sent = if pieces.peek().is_some() {
                Sent::Part
            } else {
                Sent::Whole
            };
            out.extend_from_slice(piece);
            self.current.answer.handed_over += piece.len() as u64;
            *self.stream.deadline() += earned(piece.len());
            if pieces.peek().is_some() {
                self.send(&out)?;
                out.clear();
            }
        }
        out.extend_from_slice(b"\r\n");
        self.send(&out)
    }

    /// Whatever was answered, the server has all of it: the connection may end as any other.
    pub(super) fn literal_is_answered(&mut self) {
        if std::mem::take(&mut self.literal_out) {
            // Where this fails the connection is at its end.
            let _ = self.stream.socket().abort_on_close(false);
        }
    }
}
