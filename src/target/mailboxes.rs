//! The account's own mailboxes: which there are, which of them a message goes into, and making what is missing. Not
//! for what they hold.

use log::{debug, info};

use super::Account;
use crate::error::{Error, Fault, Result, Scope, shown};
use crate::folder::{INBOX, Listed, SpecialUse, Spot, label_apart};
use crate::session::Mailboxes;

impl Account {
    /// From now on messages go here. A mailbox that is missing is made.
    ///
    /// # Errors
    /// `Transient`: the target does not have this, and does not make it. No other spot is concerned.
    pub fn deliver_into(&mut self, spot: &Spot) -> Result<()> {
        if *spot != self.spot {
            self.delivery = self.mailbox_of(spot)?;
            self.spot = spot.clone();
        }
        Ok(())
    }

    /// What is known of the account's mailboxes may not hold any more: the next place is looked for anew.
    pub fn forget_mailboxes(&mut self) {
        self.mailboxes = None;
        (self.spot, self.delivery) = (Spot::Inbox, INBOX.into());
    }

    /// Where messages go now.
    pub fn spot(&self) -> &Spot {
        &self.spot
    }

    /// The name of the label that people see on what goes here, made where it is missing.
    ///
    /// # Errors
    /// As [`deliver_into`](Self::deliver_into).
    pub fn label_of(&mut self, spot: &Spot) -> Result<String> {
        let wire = self.mailbox_of(spot)?;
        let mut listed = self.mailboxes()?.listed.iter();
        let label = listed.find(|l| l.wire == wire).map(|l| l.name.clone());
        label.ok_or_else(|| Error::connection("a label that was made is gone"))
    }

    /// The mailbox on the wire, made where it is missing.
    pub(super) fn mailbox_of(&mut self, spot: &Spot) -> Result<String> {
        let labels = self.policy.labels;
        let name = match spot {
            Spot::Inbox => return Ok(INBOX.into()),
            Spot::Use(SpecialUse::Archive) if labels => {
                return self.all_mail.clone().ok_or_else(|| hidden("All Mail"));
            }
            Spot::Use(special) => {
                let mut listed = self.mailboxes()?.listed.iter();
                if let Some(own) = listed.find(|l| l.special == Some(*special)) {
                    return Ok(own.wire.clone());
                }
                if labels {
                    return Err(hidden(&special.name()[1..]));
                }
                &special.name()[1..]
            }
            Spot::Label(name) => name,
        };
        if let Some(known) = self.mailboxes()?.called(name, labels) {
            return Ok(known);
        }
        let apart = label_apart(name).filter(|_| labels);
        let Some(apart) = apart else {
            return self.make(name);
        };
        if let Some(known) = self.mailboxes()?.called(&apart, labels) {
            return Ok(known);
        }
        match self.make(name) {
            Err(e) if e.scope() == Scope::Message => {
                info!(
                    "{}",
                    e.then(&format!("calling it {} instead", shown(apart.as_bytes())))
                );
                self.make(&apart)
            }
            end => end,
        }
    }

    pub(super) fn mailboxes(&mut self) -> Result<&Mailboxes> {
        if self.mailboxes.is_none() {
            self.mailboxes = Some(self.mailbox.session.mailboxes()?);
        }
        Ok(self.mailboxes.get_or_insert_default())
    }

    /// Makes a mailbox, and those above it where the target lets us: what stands above may be a name that it keeps for
    /// itself (docs/gmail.md 5), and then is no mailbox. Others may make them at the same time.
    pub(super) fn make(&mut self, name: &str) -> Result<String> {
        // As of now: what was listed before may be gone.
        self.mailboxes = None;
        let labels = self.policy.labels;
        let mailboxes = self.mailboxes()?;
        if let Some(known) = mailboxes.called(name, labels) {
            return Ok(known);
        }
        let ends = name.match_indices('/').map(|(at, _)| at);
        let missing: Vec<(String, String)> = ends
            .map(|end| &name[..end])
            .filter(|above| mailboxes.called(above, labels).is_none())
            .chain([name])
            .map(|level| (level.to_string(), mailboxes.wire(level)))
            .collect();
        for (level, wire) in missing {
            match self.make_one(&level, &wire) {
                Ok(()) => {
                    let made = Listed {
                        wire,
                        name: level,
                        special: None,
                        is_virtual: false,
                        selectable: true,
                    };
                    self.mailboxes.get_or_insert_default().listed.push(made);
                }
                Err(e) if e.scope() >= Scope::Session || !self.usable() => return Err(e),
                Err(e) if level == name => return Err(not_made(name, &e)),
                Err(e) => debug!("{}", e.then("going on with what is below it")),
            }
        }
        let made = self.mailboxes()?.called(name, labels);
        made.ok_or_else(|| Error::connection("a mailbox that was made is gone"))
    }

    fn make_one(&mut self, name: &str, wire: &str) -> Result<()> {
        let labels = self.policy.labels;
        let session = &mut self.mailbox.session;
        match session.create(wire) {
            Ok(()) => {
                info!("made {} in the target", shown(name.as_bytes()));
                if labels {
                    return Ok(());
                }
                // Many mail programs show no others.
                session.subscribe(wire)
            }
            Err(e) if e.scope() == Scope::Message && session.has(wire)? => {
                debug!("{}", e.then("it is there already"));
                Ok(())
            }
            Err(e) => Err(e),
        }
    }
}

fn hidden(what: &str) -> Error {
    Error::new(
        Fault::Transient,
        format!("Gmail's mailbox for {what} is hidden from IMAP, and messages are to go there"),
    )
    .hint("in Gmail's settings, under Labels, tick \"Show in IMAP\" for it")
}

fn not_made(name: &str, e: &Error) -> Error {
    Error::new(
        Fault::Transient,
        format!("the target does not make {}: {e}", shown(name.as_bytes())),
    )
    .hint(
        "give it another name with `target` in the configuration; or make it in the target by hand",
    )
}
