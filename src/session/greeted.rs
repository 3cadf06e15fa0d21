//! The first half of a session: connected, protected and greeted, and not signed in yet.

use super::exchange::{capability_code, judge, refused};
use super::{Login, Phase, Session, sign_in};
use crate::config::{Endpoint, Intervals, Masks};
use crate::error::{Error, Fault, Result};
use crate::response::{Status, StatusText};
use crate::wire::{Command, Connection, Protection};

/// A server that has greeted us.
pub struct Greeted {
    connection: Connection,
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
        let (connection, greeting) = Connection::open(endpoint, times, masks)?;
        match greeting.status {
            Status::Ok => Ok(Greeted {
                connection,
                greeting,
                times: times.clone(),
            }),
            Status::PreAuth => Err(Error::new(
                Fault::NeedsUser,
                format!(
                    "{} signs us in before we said who we are",
                    connection.name()
                ),
            )
            .hint(
                "nobody can say whose mail that would be: use a server that asks for a password",
            )),
            _ => Err(refused(&connection, Phase::Greeting, &greeting)),
        }
    }

    /// What protects the connection to this endpoint, if anything does.
    pub fn protection(&self, endpoint: &Endpoint) -> Option<Protection> {
        self.connection.protection(endpoint)
    }

    /// # Errors
    /// As for [`Session::open`].
    pub fn sign_in(self, login: &Login) -> Result<Session> {
        let Greeted {
            mut connection,
            greeting,
            times,
        } = self;
        let before = match capability_code(&greeting) {
            Some(known) => known,
            None => {
                let asked = connection.begin(Command::new("CAPABILITY", times.command, 0));
                let answer = connection.answer(asked);
                judge(&mut connection, Phase::SignIn, answer).capabilities()?
            }
        };
        let after = sign_in::sign_in(&mut connection, &before, login, times.command)?;
        let mut session = Session {
            connection,
            capabilities: Vec::new(),
            selected: None,
            opening: None,
            openings: 0,
            told_out_of_turn: false,
            exists: 0,
            usable: true,
            throttled: false,
            untold: before.iter().any(|c| c == "ID"),
            told: None,
            handed_over: 0,
            places: None,
            notifies: false,
            told_elsewhere: false,
            times,
        };
        session.capabilities = match after {
            Some(known) => known,
            None => {
                let limit = session.times.command;
                session
                    .run(Phase::SignIn, "CAPABILITY", limit, 0)
                    .capabilities()?
            }
        };
        session.untold |= session.offers("ID") && !before.iter().any(|c| c == "ID");
        Ok(session)
    }
}
