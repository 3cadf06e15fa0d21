//! Commands that change mailboxes or messages: labels of the target's, and what `after_delivery` asks for at the source.
//! Messages are added in `append`. Not for when they are said.

use super::told::fetched;
use super::{Phase, Session, View, quoted};
use crate::error::{Fault, Result};
use crate::response::Fetched;
use crate::wire::Command;

impl Session {
    /// Opens a mailbox so that its messages can be changed. It does not count as open for reading: what is added later is
    /// added without closing it, since CLOSE would expunge what its owner has marked (RFC 3501 6.4.2).
    pub fn select(&mut self, mailbox: &str) -> Result<View> {
        self.leave_mailbox();
        let command = format!("SELECT {}", quoted(mailbox)?);
        let heard = self.run(Phase::Examine, &command, self.times.command, 0);
        let view = self.opened(mailbox, heard);
        self.leave_mailbox();
        view
    }

    /// Gives these messages of the open mailbox labels, as they are written in a command, and tells which of them are
    /// there: in one flight. Neither where one of the two is refused.
    pub fn label(&mut self, set: &str, labels: &str, items: &str) -> Result<Vec<Fetched>> {
        let limit = self.times.command;
        let store = Command::new(
            format!("UID STORE {set} +X-GM-LABELS.SILENT ({labels})"),
            limit,
            0,
        );
        let fetch = Command::new(format!("UID FETCH {set} {items}"), limit, 0);
        let store = self.begin(Phase::Change, store)?;
        let fetch = self.begin(Phase::Fetch, fetch)?;
        let stored = self.hear(store);
        if !self.usable {
            // Also behind an OK: what was not told of is not to be taken for what is not there.
            stored.end?;
            self.in_step()?;
            return Ok(Vec::new());
        }
        let heard = self.hear(fetch);
        stored.end?;
        let whole = heard.whole(Fault::Transient, &self.connection);
        heard.end.and(whole)?;
        Ok(fetched(heard.untagged))
    }

    /// Puts these messages of the open mailbox into another one besides.
    pub fn copy(&mut self, set: &str, mailbox: &str) -> Result<()> {
        self.change(&format!("UID COPY {set} {}", quoted(mailbox)?))
    }

    /// Moves these messages of the open mailbox into another one (RFC 6851): each is in one of the two at any moment.
    pub fn move_to(&mut self, set: &str, mailbox: &str) -> Result<()> {
        self.change(&format!("UID MOVE {set} {}", quoted(mailbox)?))
    }

    /// Marks these messages of the open mailbox as deleted, or takes that mark away.
    pub fn mark_deleted(&mut self, set: &str, deleted: bool) -> Result<()> {
        let sign = if deleted { '+' } else { '-' };
        self.change(&format!("UID STORE {set} {sign}FLAGS.SILENT (\\Deleted)"))
    }

    /// Takes those of these messages away that are marked as deleted (RFC 4315 2.1), and no others: EXPUNGE alone would take
    /// what somebody else has marked.
    pub fn expunge(&mut self, set: &str) -> Result<()> {
        self.change(&format!("UID EXPUNGE {set}"))
    }

    /// Makes a mailbox.
    pub fn create(&mut self, mailbox: &str) -> Result<()> {
        self.change(&format!("CREATE {}", quoted(mailbox)?))
    }

    /// Has a mailbox shown by mail programs that show no others. Where that is refused it does not matter.
    pub fn subscribe(&mut self, mailbox: &str) -> Result<()> {
        match self.change(&format!("SUBSCRIBE {}", quoted(mailbox)?)) {
            Err(e) if !self.usable => Err(e),
            _ => Ok(()),
        }
    }

    fn change(&mut self, command: &str) -> Result<()> {
        let heard = self.run(Phase::Change, command, self.times.command, 0);
        heard.end.map(|_| ())
    }
}
