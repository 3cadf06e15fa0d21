//! Where a server's lines and literals end, and how much of them is taken. Not for what they say.

use std::io;
use std::time::Duration;

use super::{Connection, broken};
use crate::response::{Part, announced_literal};

/// A line longer than this is an attack or a fault: a SEARCH of 1,000,000 UIDs has 8 MB.
const LINE_MAX: usize = 16 << 20;
/// Responses to one command, literals apart.
const RESPONSES_MAX: usize = 500_000;
/// Bytes of responses to one command, literals apart: three times what a list of 50,000 messages or
/// a SEARCH of 1,000,000 takes.
const TEXT_MAX: usize = 32 << 20;
/// Bytes that are taken at once.
const PIECE: usize = 64 << 10;
/// While an IDLE waits.
const IDLE_PIECE: usize = 1 << 10;
/// The slowest link that is still waited for, in bytes per second.
const SLOWEST: u64 = 8 << 10;

impl Connection {
    /// The rest of an untagged response: its literals and the lines between them. A status text is
    /// free text: what looks like a literal there is none.
    pub(super) fn with_literals(
        &mut self,
        line: Vec<u8>,
        free_text: bool,
    ) -> io::Result<Vec<Part>> {
        let of_a_message = line[2..].first().is_some_and(u8::is_ascii_digit);
        let mut announced = announced_literal(&line).filter(|_| !free_text);
        let mut parts = vec![Part::Text(line)];
        while let Some(len) = announced {
            if len > self.literal_budget {
                return Err(broken(format!(
                    "the server announced {len} bytes where at most {} were expected",
                    self.literal_budget
                )));
            }
            self.literal_budget -= len;
            parts.push(Part::Literal(self.exactly(len as usize)?));
            let mut line = self.line()?;
            while of_a_message && line.is_empty() {
                // Its parenthesis is still open.
                self.count(1)?;
                line = self.line()?;
            }
            announced = announced_literal(&line);
            parts.push(Part::Text(line));
            self.count(1)?;
        }
        Ok(parts)
    }

    /// A server that answers for ever is cut off.
    pub(super) fn count(&mut self, responses: usize) -> io::Result<()> {
        self.text_bytes += responses * (TEXT_MAX / RESPONSES_MAX);
        if self.text_bytes > TEXT_MAX {
            Err(broken("the server's answer has no end"))
        } else {
            Ok(())
        }
    }

    /// One line, its line end dropped. A bare LF ends a line too.
    pub(super) fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut looked = self.inbox_at;
        loop {
            if let Some(len) = self.inbox[looked..].iter().position(|&b| b == b'\n') {
                let line = &self.inbox[self.inbox_at..looked + len];
                let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
                self.inbox_at = looked + len + 1;
                self.text_bytes += line.len();
                self.count(0)?;
                return Ok(line);
            }
            if self.inbox.len() - self.inbox_at > LINE_MAX {
                return Err(broken("the server's line has no end"));
            }
            let seen = self.inbox.len() - self.inbox_at;
            self.fill()?;
            looked = self.inbox_at + seen;
        }
    }

    /// The next `len` bytes. Memory grows with what comes, not with what was announced.
    fn exactly(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(len.min(1 << 20));
        while out.len() < len {
            if self.inbox_at == self.inbox.len() {
                self.fill()?;
            }
            let n = (self.inbox.len() - self.inbox_at).min(len - out.len());
            if out.capacity() - out.len() < n {
                out.reserve_exact((out.len() / 2).max(n).min(len - out.len()));
            }
            out.extend_from_slice(&self.inbox[self.inbox_at..self.inbox_at + n]);
            self.inbox_at += n;
            *self.stream.deadline() += earned(n);
        }
        Ok(out)
    }

    fn fill(&mut self) -> io::Result<()> {
        self.inbox.drain(..self.inbox_at);
        self.inbox_at = 0;
        // Where little comes and much is waited for, little is kept ready.
        let size = if self.idle().is_some() {
            IDLE_PIECE
        } else {
            PIECE
        };
        let mut piece = std::mem::take(&mut self.piece);
        if piece.len() != size {
            piece = vec![0; size];
        }
        let n = self.receive(&mut piece);
        let came = &piece[..*n.as_ref().unwrap_or(&0)];
        self.inbox.extend_from_slice(came);
        self.piece = piece;
        let quiet = n
            .as_ref()
            .is_err_and(|e| e.kind() == io::ErrorKind::TimedOut);
        if quiet && !self.goodbye && self.mind_idle(|idle| idle.news |= idle.begun)? {
            return Ok(());
        }
        match n? {
            0 => Err(broken("the server closed the connection")),
            _ => Ok(()),
        }
    }

    /// Reads what comes. A long wait in an IDLE is cut into pieces, between which its caller looks after other things.
    fn receive(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        loop {
            let deadline = *self.stream.deadline();
            let due = self.idle().and_then(|idle| idle.due());
            let due = due.filter(|due| *due < deadline);
            *self.stream.deadline() = due.unwrap_or(deadline);
            let read = self.stream.receive(piece);
            *self.stream.deadline() = deadline;
            let quiet = |e: &io::Error| e.kind() == io::ErrorKind::TimedOut;
            if due.is_none() || !read.as_ref().is_err_and(quiet) {
                return read;
            }
            if let Some(idle) = self.idle() {
                idle.act();
            }
        }
    }
}

pub(super) fn earned(bytes: usize) -> Duration {
    Duration::from_micros(bytes as u64 * 1_000_000 / SLOWEST)
}
