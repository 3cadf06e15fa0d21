//! What was said: every `C:` and `S:` line with its session, and how many round trips it took.
//!
//! A literal stands as `{n bytes}`. Nothing is masked here: tests search this for what a client must not send.

use std::fmt;
use std::sync::Mutex;

/// Who said a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// `C:`
    Client,
    /// `S:`
    Server,
}

/// One line, without its line end.
#[derive(Debug, Clone)]
pub struct Line {
    /// Connections are counted from 1, in the order of their acceptance.
    pub session: u32,
    /// Who said it.
    pub side: Side,
    /// What was said.
    pub text: String,
    /// Lines of a client that had arrived before it was answered share a flight.
    flight: u32,
}

/// A copy of what was said so far.
#[derive(Debug, Clone, Default)]
pub struct Transcript {
    lines: Vec<Line>,
}

impl Transcript {
    /// All lines, in the order in which the server heard and said them.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// What was said on one connection.
    pub fn session(&self, session: u32) -> Transcript {
        self.only(|line| line.session == session)
    }

    /// What was said after the first `count` lines (`lines().len()` of an earlier copy).
    pub fn after(&self, count: usize) -> Transcript {
        Transcript {
            lines: self.lines.get(count..).unwrap_or_default().to_vec(),
        }
    }

    /// What clients said.
    pub fn client(&self) -> Vec<&str> {
        self.side(Side::Client)
    }

    /// What the server said.
    pub fn server(&self) -> Vec<&str> {
        self.side(Side::Server)
    }

    /// How many lines of clients hold this, in any case of letters.
    pub fn commands(&self, part: &str) -> usize {
        let part = part.to_ascii_uppercase();
        self.client()
            .iter()
            .filter(|line| line.to_ascii_uppercase().contains(&part))
            .count()
    }

    /// Round trips: a run of client lines that were sent without waiting for an answer is one.
    pub fn flights(&self) -> usize {
        let mut flights: Vec<(u32, u32)> = self
            .lines
            .iter()
            .filter(|line| line.side == Side::Client)
            .map(|line| (line.session, line.flight))
            .collect();
        flights.sort_unstable();
        flights.dedup();
        flights.len()
    }

    fn side(&self, side: Side) -> Vec<&str> {
        let of_side = self.lines.iter().filter(|line| line.side == side);
        of_side.map(|line| line.text.as_str()).collect()
    }

    fn only(&self, keep: impl Fn(&Line) -> bool) -> Transcript {
        Transcript {
            lines: self.lines.iter().filter(|l| keep(l)).cloned().collect(),
        }
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            let side = match line.side {
                Side::Client => 'C',
                Side::Server => 'S',
            };
            writeln!(f, "{} {side}: {}", line.session, line.text)?;
        }
        Ok(())
    }
}

/// Where the sessions write it down.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Vec<Line>>);

impl Recorder {
    pub(crate) fn note(&self, session: u32, side: Side, flight: u32, text: String) {
        let line = Line {
            session,
            side,
            text,
            flight,
        };
        self.0.lock().unwrap().push(line);
    }

    pub(crate) fn copy(&self) -> Transcript {
        Transcript {
            lines: self.0.lock().unwrap().clone(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}
