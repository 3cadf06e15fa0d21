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
    /// Sends the literal of one of the commands under way behind `before`, and takes note of how far it got. A server may
    /// act on the message once it has its last byte, so it counts as whole before that byte is handed over. Returns
    /// what is still to be sent: its end.
    pub(super) fn send_body(
        &mut self,
        at: usize,
        before: Vec<u8>,
        literal: &[u8],
    ) -> io::Result<Vec<u8>> {
        if log_enabled!(log::Level::Debug) {
            self.log("C:", format!("({} bytes)", literal.len()).as_bytes());
        }
        self.literal_out = true;
        let aborts = self.stream.socket().abort_on_close(true);
        if let Err(e) = aborts {
            self.hear_farewell();
            return Err(e);
        }
        let mut out = before;
        let mut pieces = literal.chunks(PIECE).peekable();
        if literal.is_empty() {
            self.note_sent(at, Sent::Whole, 0);
        }
        while let Some(piece) = pieces.next() {
            // What is ahead of it goes first: it is not to wait for a big message.
            if out.len() + piece.len() > 2 * PIECE {
                self.send(&std::mem::take(&mut out))?;
            }
            let sent = if pieces.peek().is_some() {
                Sent::Part
            } else {
                Sent::Whole
            };
            self.note_sent(at, sent, piece.len());
            out.extend_from_slice(piece);
            *self.stream.deadline() += earned(piece.len());
            if pieces.peek().is_some() {
                self.send(&std::mem::take(&mut out))?;
            }
        }
        out.extend_from_slice(b"\r\n");
        Ok(out)
    }

    fn note_sent(&mut self, at: usize, sent: Sent, bytes: usize) {
        if let Some(command) = self.under_way(at) {
            command.answer.sent = sent;
            command.answer.handed_over += bytes as u64;
        }
    }

    /// Whatever was answered, the server has all of it: the connection may end as any other, unless another
    /// literal is out.
    pub(super) fn literal_is_answered(&mut self) {
        if self
            .begun
            .iter()
            .any(|next| next.answer.sent != Sent::Nothing)
        {
            return;
        }
        if std::mem::take(&mut self.literal_out) {
            // Where this fails the connection is at its end.
            let _ = self.stream.socket().abort_on_close(false);
        }
    }
}
