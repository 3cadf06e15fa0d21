//! Faults, and the one table of what follows from each, which everyone asks who meets an error: how far it
//! reaches, when to try again, what it costs a message. Carrying that out is the engine's and `cli`'s.

/// What kind of trouble it is (design: "Faults: one enum, one reaction each").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A session was lost, or none can be opened now.
    Connection,
    /// This attempt at one message failed.
    Transient,
    /// This message will never be taken.
    Permanent,
    /// The account has had enough for a while.
    Throttled,
    /// The account works no more until a person acts.
    NeedsUser,
    /// The process cannot go on.
    Fatal,
    /// The command line or the configuration is wrong.
    Usage,
}

/// How far a trouble reaches. What reaches less far is less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// One message; the others go on.
    Message,
    /// One session; others may work.
    Session,
    /// Everything that is done for this account, so asking on would make it worse.
    Account,
    /// Everything.
    Process,
}

/// When the same is tried again by whoever was stopped by it. (A message has waits of its own: see [`Charge`].)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// After seconds, then longer and longer.
    Soon,
    /// When the delay that was stated is over; else after a quarter of an hour, then longer and longer.
    AfterPause,
    /// When a person has mended it: every few minutes, and at once when a file has changed.
    WhenMended,
    Never,
}

/// What a refusal costs the message over which it was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// It is put down to the message as one failed attempt, unless every message gets the same. After two
    /// days of such attempts the message has failed.
    Attempt,
    /// The message has failed.
    Failure,
    /// It is no message's fault. Only when the connection dies over the same message again, while others
    /// get through, is that an attempt after all.
    Nothing,
}

/// What follows from a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaction {
    pub scope: Scope,
    pub again: Again,
    pub charge: Charge,
    /// A server that gives this answer after it has the whole of a message may have kept it: only a look
    /// at the target tells.
    pub leaves_open: bool,
    /// Delivery stands still until a person acts.
    pub needs_person: bool,
    /// Of several troubles at once the gravest is told.
    pub gravity: u8,
    /// Of a command that ends with it.
    pub exit_status: u8,
}

/// The reactions, one row for each fault.
const fn reaction(fault: Fault) -> Reaction {
    use Again::{AfterPause, Never, Soon, WhenMended};
    use Charge::{Attempt, Failure, Nothing};
    use Scope::{Account, Message, Process, Session};
    #[rustfmt::skip]
    let (scope, again, charge, leaves_open, needs_person, gravity, exit_status) = match fault {
        //                    scope    again       charge   open   person grave exit
        Fault::Transient  => (Message, Soon,       Attempt, true,  false, 1,    1),
        Fault::Permanent  => (Message, Soon,       Failure, false, false, 1,    1),
        Fault::Connection => (Session, Soon,       Nothing, false, false, 2,    1),
        Fault::Throttled  => (Account, AfterPause, Nothing, true,  false, 3,    3),
        Fault::NeedsUser  => (Account, WhenMended, Nothing, false, true,  4,    4),
        Fault::Usage      => (Account, WhenMended, Nothing, false, false, 5,    2),
        Fault::Fatal      => (Process, Never,      Nothing, false, false, 5,    1),
    };
    Reaction {
        scope,
        again,
        charge,
        leaves_open,
        needs_person,
        gravity,
        exit_status,
    }
}

impl Fault {
    /// What follows from it.
    pub const fn reaction(self) -> Reaction {
        reaction(self)
    }

    /// How far it reaches.
    pub const fn scope(self) -> Scope {
        reaction(self).scope
    }

    /// The name under which the ledger and `status --json` know it.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Connection => "connection",
            Fault::Transient => "transient",
            Fault::Permanent => "permanent",
            Fault::Throttled => "throttled",
            Fault::NeedsUser => "needs_user",
            Fault::Fatal => "fatal",
            Fault::Usage => "usage",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the design's section on faults promises, whatever else the table says.
    #[test]
    fn the_table_keeps_what_is_promised() {
        for fault in [
            Fault::Connection,
            Fault::Transient,
            Fault::Permanent,
            Fault::Throttled,
            Fault::NeedsUser,
            Fault::Fatal,
            Fault::Usage,
        ] {
            let r = fault.reaction();
            let messages = r.scope == Scope::Message;
            assert_eq!(messages, r.charge != Charge::Nothing, "{fault:?}");
            assert_eq!(r.again == Again::Never, r.scope == Scope::Process);
            assert_eq!(r.needs_person, r.exit_status == 4, "{fault:?}");
            assert!(!r.needs_person || r.again == Again::WhenMended);
            assert!(!(r.leaves_open && r.charge == Charge::Failure));
        }
        assert!(Scope::Message < Scope::Session && Scope::Account < Scope::Process);
    }
}
