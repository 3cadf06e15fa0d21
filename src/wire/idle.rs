//! An IDLE under way (RFC 2177): what of what the server tells is news, and when to end it.

use std::time::{Duration, Instant};

/// What is done again and again while an IDLE waits.
pub struct Meanwhile {
    every: Duration,
    act: Box<dyn FnMut() + Send>,
    next: Instant,
}

impl Meanwhile {
    /// `every` so often, as long as nothing comes.
    pub fn new(every: Duration, act: impl FnMut() + Send + 'static) -> Meanwhile {
        Meanwhile {
            every,
            act: Box::new(act),
            next: Instant::now() + every,
        }
    }
}

/// Only mail that comes is news, and with NOTIFY (RFC 5465) what the server tells of other mailboxes. People who tidy
/// up their mailbox in another program make a server tell of hundreds of flags and of messages that go; and some
/// servers say at each IDLE how many messages there are.
pub(super) struct Idle {
    pub(super) meanwhile: Option<Meanwhile>,
    /// How long the server has to end it once we said DONE.
    pub(super) grace: Duration,
    /// How many messages there are, as far as was told.
    exists: u32,
    /// The server was asked to tell of other mailboxes.
    elsewhere: bool,
    /// `+` came: only now may DONE be said.
    pub(super) begun: bool,
    pub(super) news: bool,
    pub(super) done: bool,
}

/// What an untagged line tells of how many messages there are.
pub(super) enum Count {
    Exists(u32),
    OneLess,
    /// Of another mailbox.
    Elsewhere,
}

impl Idle {
    pub(super) fn new(grace: Duration, exists: u32, elsewhere: bool) -> Idle {
        Idle {
            meanwhile: None,
            grace,
            exists,
            elsewhere,
            begun: false,
            news: false,
            done: false,
        }
    }

    /// When something is to be done meanwhile.
    pub(super) fn due(&self) -> Option<Instant> {
        self.meanwhile.as_ref().map(|meanwhile| meanwhile.next)
    }

    /// Does it.
    pub(super) fn act(&mut self) {
        if let Some(meanwhile) = &mut self.meanwhile {
            (meanwhile.act)();
            meanwhile.next = Instant::now() + meanwhile.every;
        }
    }

    pub(super) fn is_told(&mut self, count: Option<Count>) {
        match count {
            Some(Count::Exists(n)) => {
                self.news |= n != self.exists;
                self.exists = n;
            }
            Some(Count::OneLess) => self.exists = self.exists.saturating_sub(1),
            Some(Count::Elsewhere) => self.news |= self.elsewhere,
            // `* OK Still here`.
            None => {}
        }
    }
}

/// What this untagged line, the leading `* ` included, tells of how many messages there are.
pub(super) fn count(line: &[u8]) -> Option<Count> {
    let line = line.get(2..)?;
    // The name that follows may be in any encoding, or a literal.
    if line
        .split_at_checked(7)
        .is_some_and(|(kind, _)| kind.eq_ignore_ascii_case(b"STATUS "))
    {
        return Some(Count::Elsewhere);
    }
    let (number, kind) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let number = number.parse().ok()?;
    match kind.trim_end().to_ascii_uppercase().as_str() {
        "EXISTS" => Some(Count::Exists(number)),
        "EXPUNGE" => Some(Count::OneLess),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_news_of_another_mailbox_however_its_name_is_written() {
        for line in [
            &b"* STATUS \"R&D\" (UIDNEXT 5)"[..],
            b"* STATUS R&AOk- (UIDNEXT 5)",
            b"* status \"R\xe9\" (UIDNEXT 5)",
            b"* STATUS {9}",
        ] {
            assert!(matches!(count(line), Some(Count::Elsewhere)), "{line:?}");
        }
        for line in [
            &b"* STATUSES 1"[..],
            b"* OK STATUS ",
            b"* 3 FETCH (UID 1)",
            b"* ",
        ] {
            assert!(count(line).is_none(), "{line:?}");
        }
    }
}
