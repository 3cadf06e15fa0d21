//! Reaching a server: TCP, TLS or STARTTLS, and its greeting, each in its time.

use std::io;
use std::time::Instant;

use super::socket::{self, Socket};
use super::stream::Stream;
use super::{Connection, starttls, stranger, tls};
use crate::config::{Endpoint, Intervals, Masks, Tls};
use crate::error::{Error, Result};
use crate::response::{Status, StatusText};

impl Connection {
    /// Connects, protects the connection and reads the greeting, each in its time. What the masks know
    /// is shown of nothing that the server says.
    ///
    /// # Errors
    /// `Connection` when the server is out of reach; `NeedsUser` when its certificate is refused
    /// or it has no STARTTLS.
    pub fn open(
        endpoint: &Endpoint,
        times: &Intervals,
        masks: Masks,
    ) -> Result<(Connection, StatusText)> {
        let last = Instant::now() + times.connect;
        let tls = match endpoint.tls {
            Tls::None => None,
            Tls::Implicit | Tls::StartTls => Some(tls::Client::new(endpoint)?),
        };
        let tcp = socket::dial(endpoint, last)?;
        let reached = Instant::now();
        let mut socket = Socket::new(tcp, last.min(reached + times.greeting));
        if endpoint.tls != Tls::Implicit {
            stranger::await_greeting(&mut socket, endpoint, times.hush)?;
        }
        let mut greeting = None;
        let stream = match (endpoint.tls, tls) {
            (Tls::Implicit, Some(tls)) => {
                let answers = |socket: &mut Socket| stranger::await_tls(socket, endpoint, &masks);
                Stream::Tls(Box::new(tls.handshake(socket, endpoint, answers)?))
            }
            (Tls::StartTls, Some(tls)) => {
                let first = greeting.insert(starttls::starttls(&mut socket, endpoint, &masks)?);
                match first.status {
                    Status::Ok => {
                        Stream::Tls(Box::new(tls.handshake(socket, endpoint, |_| Ok(()))?))
                    }
                    // It has not begun TLS: `session` says why and goes no further.
                    _ => Stream::Plain(socket),
                }
            }
            _ => Stream::Plain(socket),
        };
        let mut connection = Connection::new(stream, endpoint, masks);
        let greeting = match greeting {
            Some(greeting) => greeting,
            None => connection.greeting(reached)?,
        };
        Ok((connection, greeting))
    }

    fn greeting(&mut self, reached: Instant) -> Result<StatusText> {
        let endpoint = self.peer.endpoint.clone();
        let line = match self.line() {
            Ok(line) => line,
            Err(e) if e.kind() == io::ErrorKind::TimedOut && self.inbox.is_empty() => {
                return Err(stranger::silent(&endpoint, reached.elapsed()));
            }
            Err(e) => {
                let called = endpoint.called();
                return Err(Error::connection(format!("{called} sent no greeting: {e}")));
            }
        };
        self.log("S:", &line);
        stranger::read_greeting(&line, &endpoint, &self.masks)
    }
}
