//! The first half of a session: connected, protected and greeted, and not signed in yet.

use super::{Heard, Login, Phase, Session, capability_code, heard, refused, sign_in};
use crate::config::{Endpoint, Intervals, Masks};
use crate::error::{Error, Fault, Result};
use crate::reply::{Status, StatusText};
use crate::wire::{Protection, Wire};

/// A server that has greeted us.
pub struct Greeted {
    wire: Wire,
    greeting: StatusText,
    times: Intervals,
}

impl Greeted {
    /// # Errors
    /// `Connection`: try again. `NeedsUser`: the certificate is refused. `Throttled`: the server has
    /// enough of us for now.
    ///
    /// `masks`: what is about to be said to the server, which may have heard it before.
    pub fn connect(endpoint: &Endpoint, times: &Intervals, masks: Masks) -> Result<Greeted> {
        let (wire, greeting) = Wire::connect(endpoint, times, masks)?;
        match greeting.status {
            Status::Ok => Ok(Greeted {
                wire,
                greeting,
                times: times.clone(),
            }),
            Status::PreAuth => Err(Error::new(
                Fault::NeedsUser,
                format!("{} signs us in before we said who we are", wire.name()),
            )
            .hint(
                "nobody can say whose mail that would be: use a server that asks for a password",
            )),
            _ => Err(refused(&wire, Phase::Greeting, &greeting)),
        }
    }

    /// What protects the connection to this endpoint, if anything does.
    pub fn protection(&self, endpoint: &Endpoint) -> Option<Protection> {
        self.wire.protection(endpoint)
    }

    /// # Errors
    /// As for [`Session::open`].
    pub fn sign_in(self, login: &Login) -> Result<Session> {
        let Greeted {
            wire,
            greeting,
            times,
        } = self;
        let mut client = imap::Client::new(wire.clone());
        client.greeting_read = true;
        let before = match capability_code(&greeting) {
            Some(known) => known,
            None => {
                wire.expect(times.command, 0);
                let _ = client.capabilities();
                heard(&wire, Phase::SignIn).capabilities()?
            }
        };
        let (imap, after) = sign_in::sign_in(client, &wire, &before, login, &times)?;
        let mut session = Session {
            imap,
            wire,
            capabilities: Vec::new(),
            selected: None,
            exists: 0,
            usable: true,
            throttled: false,
            untold: before.iter().any(|c| c == "ID"),
            ahead: Vec::new(),
            handed_over: 0,
            times,
        };
        session.capabilities = match after {
            Some(known) => known,
            None => {
                let limit = session.times.command;
                let heard: Heard = session.run(Phase::SignIn, "CAPABILITY", limit, 0);
                heard.capabilities()?
            }
        };
        session.untold |= session.offers("ID") && !before.iter().any(|c| c == "ID");
        Ok(session)
    }
}
