//! Who we are, for servers that ask (ID, RFC 2971).

use super::{Phase, Session};
use crate::error::Result;

impl Session {
    /// NetEase (163.com, 126.com, yeah.net) opens no mailbox to who has not said what program he is
    /// (RFC 2971). The `flight` behind it costs no round trip more for it; what is answered does not
    /// matter, as long as it is.
    pub(super) fn tell_who_we_are(&mut self, flight: &[String]) -> Result<()> {
        if !std::mem::take(&mut self.untold) {
            return Ok(());
        }
        self.usable = false;
        self.wire.expect(self.times.command, 0);
        self.wire.send_ahead(flight.to_vec());
        let _ = self.imap.run(concat!(
            r#"ID ("name" "imap-to-gmail" "version" ""#,
            env!("CARGO_PKG_VERSION"),
            r#"")"#
        ));
        let answered = self.listen(Phase::Fetch).end;
        if self.usable {
            Ok(())
        } else {
            answered.map(|_| ())
        }
    }
}
