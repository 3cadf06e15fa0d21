//! Messages that a server cannot hand over, and sizes that it gets wrong: what is so each time such a message is
//! fetched. What happens once, at a chosen command, is a [`Fault`](crate::Fault).

use std::collections::HashMap;
use std::sync::Mutex;

/// What of a message is poison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// All of it (`BODY[]`); its header can be had.
    Body,
    /// Also its header; size, date and flags can be had.
    Header,
    /// Everything but its UID.
    Anything,
}

/// What a FETCH of it does. What was to come before it in the answer comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Harm {
    /// The connection is cut.
    Cut,
    /// `* BYE` with this text, and the end of the connection.
    Bye(String),
    /// This tagged answer ("NO ...") in place of the rest.
    Answer(String),
    /// A response that nobody can read, and the rest.
    Garbled,
    /// Nothing is said of it, and the rest comes.
    Silence,
}

#[derive(Debug, Default)]
pub(crate) struct Poisons {
    poison: Mutex<HashMap<u64, (Reach, Harm)>>,
    sizes: Mutex<HashMap<u64, u64>>,
}

impl Poisons {
    pub(crate) fn set(&self, id: u64, poison: Option<(Reach, Harm)>) {
        let mut all = self.poison.lock().unwrap();
        match poison {
            Some(poison) => all.insert(id, poison),
            None => all.remove(&id),
        };
    }

    pub(crate) fn lie(&self, id: u64, size: u64) {
        self.sizes.lock().unwrap().insert(id, size);
    }

    pub(crate) fn claimed_size(&self, id: u64) -> Option<u64> {
        self.sizes.lock().unwrap().get(&id).copied()
    }

    /// What a FETCH does that asks for so much of a message; None asks for its UID alone.
    pub(crate) fn strikes(&self, id: u64, asked: Option<Reach>) -> Option<Harm> {
        let (reach, harm) = self.poison.lock().unwrap().get(&id).cloned()?;
        let struck = match asked? {
            Reach::Body => true,
            Reach::Header => reach != Reach::Body,
            Reach::Anything => reach == Reach::Anything,
        };
        struck.then_some(harm)
    }
}
