//! Who we are, for servers that ask (ID, RFC 2971).

use super::exchange::Begun;
use super::{Phase, Session};
use crate::error::Result;
use crate::wire::Command;

impl Session {
    /// NetEase (163.com, 126.com, yeah.net) opens no mailbox to who has not said what program he is
    /// (RFC 2971). What is begun behind it goes out with it, so that it costs no round trip.
    pub(super) fn begin_to_tell_who_we_are(&mut self) {
        if std::mem::take(&mut self.untold) {
            let id = concat!(
                r#"ID ("name" "imap-to-gmail" "version" ""#,
                env!("CARGO_PKG_VERSION"),
                r#"")"#
            );
            let tag = self
                .connection
                .begin(Command::new(id, self.times.command, 0));
            self.told = Some(Begun::new(Phase::Fetch, tag));
        }
    }

    /// Hears what the server says to that, if it was just told. What it says does not matter, as long as
    /// it says something.
    pub(super) fn hear_that_we_are_known(&mut self) -> Result<()> {
        let Some(told) = self.told.take() else {
            return Ok(());
        };
        let answered = self.listen(told).end;
        if self.usable {
            Ok(())
        } else {
            answered.map(|_| ())
        }
    }

    /// Tells it ahead of a command that nothing may go out with.
    pub(super) fn tell_who_we_are(&mut self) -> Result<()> {
        self.begin_to_tell_who_we_are();
        self.hear_that_we_are_known()
    }
}
