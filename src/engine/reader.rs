//! A session with the source, opened again as often as it takes, the folder that is asked about through it, and
//! what is fetched. Not for what is recorded of it (`watch`, `history`).

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{debug, warn};

use super::bisect::{Got, Way, bisect};
use super::{Setup, backoff};
use crate::config::Intervals;
use crate::error::{Again, Error, Result, Scope, shown};
use crate::folder::{Folder, FolderId};
use crate::ledger::{MailboxId, MailboxRow};
use crate::message::{Discovered, Message, Uid, UidValidity};
use crate::session::View;
use crate::source::Source;

/// A server that has failed so often in a row is asked for one thing after the other.
const AT_ONCE_MAX: u32 = 2;
/// Bytes of messages after which a batch whose sizes lied asks for no more.
const HELD_MAX: u64 = 32 << 20;

pub(super) struct Reader {
    setup: Arc<Setup>,
    times: Intervals,
    source: Option<Source>,
    /// Waits for mail in all mailboxes: the source is asked to tell of it.
    waits_for_all: bool,
    /// The source lets no other session of ours in beside the one that it has.
    one_too_many: bool,
    /// It has told of new mail, and was not looked at since.
    told: bool,
    /// The folder that is asked about.
    folder: Folder,
    /// What is known of it.
    pub(super) here: Here,
    others: HashMap<FolderId, Here>,
}

/// What is known of a folder's mailbox.
#[derive(Default)]
pub(super) struct Here {
    /// The UIDVALIDITY that our UIDs belong to, once known.
    incarnation: Option<UidValidity>,
    /// The row of the mailbox for which UIDs are asked for. The open view is not older than it.
    row: Option<MailboxId>,
    /// The mailbox was found with another one, or with other messages under our UIDs.
    pub(super) renumbered: bool,
    /// A UID of ours names another message, whatever UIDVALIDITY says.
    pub(super) reused: bool,
    /// Each time that the mailbox is opened its UIDs are other ones: they hold within one view only.
    pub(super) unstable: bool,
    /// So often in a row the server failed where a look asked for all that it takes at once. It may do so each time.
    pub(super) failed_at_once: u32,
    /// The view in which there was nothing left to record, as long as its session lasts.
    pub(super) settled: Option<View>,
    /// When all that the mailbox holds was last compared with the rows.
    pub(super) reconciled_at: Option<Instant>,
    pub(super) lists: Lists,
}

/// How lists of the whole mailbox have ended.
#[derive(Default)]
pub(super) struct Lists {
    /// So many in a row left out messages.
    pub(super) shortened: u32,
    /// The next one is not asked for sooner: each may be long.
    pub(super) again_at: Option<Instant>,
}

impl Here {
    /// Is the mailbox to be compared with the rows as a whole, whatever came to it?
    pub(super) fn is_due(&self, reconcile: Duration) -> bool {
        self.unstable
            || self
                .reconciled_at
                .is_none_or(|at| at.elapsed() >= reconcile)
    }
}

impl Reader {
    pub(super) fn new(setup: Arc<Setup>, times: Intervals) -> Reader {
        Reader {
            folder: setup.first.clone(),
            setup,
            times,
            source: None,
            waits_for_all: false,
            one_too_many: false,
            told: false,
            here: Here::default(),
            others: HashMap::new(),
        }
    }

    /// One that waits for mail, in whatever mailbox.
    pub(super) fn that_waits(setup: Arc<Setup>, times: Intervals) -> Reader {
        let waits_for_all = !setup.config.rules.inbox_alone();
        Reader {
            waits_for_all,
            ..Reader::new(setup, times)
        }
    }

    /// From now on this folder is asked about. Nothing is said to the source yet.
    pub(super) fn turn_to(&mut self, folder: &Folder) {
        if self.folder.id != folder.id {
            let there = self.others.remove(&folder.id).unwrap_or_default();
            let here = std::mem::replace(&mut self.here, there);
            self.others.insert(self.folder.id, here);
        }
        self.folder.clone_from(folder);
    }

    /// The folder that is asked about.
    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// As people read its name.
    pub(super) fn name(&self) -> String {
        self.folder.shown()
    }

    /// What is known of another folder, or of this one.
    pub(super) fn known_of(&self, folder: FolderId) -> Option<&Here> {
        if folder == self.folder.id {
            Some(&self.here)
        } else {
            self.others.get(&folder)
        }
    }

    /// All that this folder's mailbox holds is compared with the rows at the next look.
    pub(super) fn compare_anew(&mut self, folder: FolderId) {
        let there = if folder == self.folder.id {
            Some(&mut self.here)
        } else {
            self.others.get_mut(&folder)
        };
        if let Some(there) = there {
            (there.settled, there.reconciled_at) = (None, None);
        }
    }

    /// Has the source just refused to open the folder's mailbox, in a session that goes on?
    pub(super) fn does_not_open(&self) -> bool {
        let source = self.source.as_ref().filter(|s| s.usable());
        source.is_some_and(|s| !s.has_open(&self.folder.source))
    }

    /// Has a folder been found with other UIDs than ours, and not been looked at since?
    pub(super) fn renumbered(&self) -> bool {
        self.here.renumbered || self.others.values().any(|there| there.renumbered)
    }

    pub(super) fn setup(&self) -> Arc<Setup> {
        Arc::clone(&self.setup)
    }

    /// Has the source told of new mail? Then what that is will be asked for together with the view.
    pub(super) fn note_told(&mut self, told: bool) {
        self.told = told;
    }

    /// Has it, and was it not looked at since?
    pub(super) fn take_told(&mut self) -> bool {
        std::mem::take(&mut self.told)
    }

    /// The mailbox as of this moment. Its UIDs are ours from now on.
    pub(super) fn look(&mut self) -> Result<View> {
        let view = self.fresh_view()?;
        Ok(self.take_over(view))
    }

    /// The same, and what these UIDs name is asked for at once. A server may fail over one of the messages, or over the two
    /// together.
    pub(super) fn look_at_latest(&mut self, uids: RangeInclusive<u32>) -> Result<View> {
        if self.here.failed_at_once >= AT_ONCE_MAX {
            return self.look();
        }
        let name = self.folder.source.clone();
        match self.session()?.look_at_latest(&name, uids) {
            Ok(view) => {
                self.here.failed_at_once = 0;
                Ok(self.take_over(view))
            }
            Err(e) if e.scope() >= Scope::Account => Err(e),
            Err(e) => {
                self.here.failed_at_once += 1;
                debug!("{}", e.then("looking first, and asking then"));
                self.look()
            }
        }
    }

    fn take_over(&mut self, view: View) -> View {
        self.here.incarnation = Some(view.uid_validity);
        self.here.renumbered = false;
        view
    }

    /// From now on UIDs of this mailbox row are asked for. The row may be newer than the open view, also under the same
    /// UIDVALIDITY, and in the old view its UIDs name other messages: then the mailbox is opened again.
    pub(super) fn expect(&mut self, mailbox: &MailboxRow) -> Result<()> {
        self.here.incarnation = Some(mailbox.uid_validity);
        let older = self.here.row.replace(mailbox.id) != Some(mailbox.id);
        if older && self.source.as_ref().is_some_and(|s| s.usable()) {
            self.refresh_if_stable()?;
        }
        Ok(())
    }

    /// This row was made of the open view.
    pub(super) fn note_row(&mut self, mailbox: &MailboxRow) {
        self.here.row = Some(mailbox.id);
        self.here.unstable = mailbox.is_unstable();
    }

    /// Opens the mailbox again, so that what is absent is absent now.
    pub(super) fn refresh(&mut self) -> Result<()> {
        let view = self.fresh_view()?;
        self.check_incarnation(view)
    }

    /// A session that its server has ended meanwhile (Exchange does with the token: "Session
    /// invalidated - AccessTokenExpired") is opened anew: only not getting in again is trouble.
    fn fresh_view(&mut self) -> Result<View> {
        if let Some(source) = self.source.as_mut().filter(|s| s.usable()) {
            match source.look_at(&self.folder.source) {
                Err(e) if e.scope() == Scope::Session => debug!("{}", e.then("connecting again")),
                end => return end,
            }
        }
        let name = self.folder.source.clone();
        self.enter()?.look_at(&name)
    }

    /// A new session, in which no mailbox is open.
    fn enter(&mut self) -> Result<&mut Source> {
        let (setup, times) = (&self.setup, &self.times);
        let entered = setup
            .source
            .enter(|login, _| Source::enter(&setup.config.source, login, times));
        self.one_too_many = entered
            .as_ref()
            .is_err_and(|e| e.reaction().again == Again::AfterPause);
        let mut source = entered?;
        if self.waits_for_all {
            // Before anything is looked at: what comes from now on is told.
            source.notify()?;
        }
        for known in self.others.values_mut().chain([&mut self.here]) {
            known.settled = None;
        }
        Ok(self.source.insert(source))
    }

    /// The session, opened anew when the last one was lost, with no matter which mailbox open.
    pub(super) fn session(&mut self) -> Result<&mut Source> {
        if self.source.as_ref().is_none_or(|s| !s.usable()) {
            self.enter()?;
        }
        self.source
            .as_mut()
            .ok_or_else(|| Error::connection("the source was lost"))
    }

    /// The session with the folder's mailbox open.
    pub(super) fn source(&mut self) -> Result<&mut Source> {
        let name = self.folder.source.clone();
        let source = self.session()?;
        if !source.has_open(&name) {
            source.look_at(&name)?;
        }
        // Asked each time: a session that has opened another incarnation stays open until the next look, and in it
        // our UIDs name other messages.
        let view = source.view();
        self.check_incarnation(view)?;
        self.session()
    }

    /// Fails where the mailbox is another incarnation than the one that our UIDs belong to.
    fn check_incarnation(&mut self, view: View) -> Result<()> {
        match self.here.incarnation {
            Some(ours) if ours != view.uid_validity => {
                self.here.renumbered = true;
                Err(Error::connection(format!(
                    "{} of the source has new UIDs (UIDVALIDITY {}, expected {ours})",
                    self.name(),
                    view.uid_validity
                )))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn metadata(&mut self, uids: &[Uid]) -> Result<Got<Discovered>> {
        let way = Way {
            ask: &|reader: &mut Reader, set, _| {
                let (found, end) = reader.source()?.metadata(set);
                Ok((found.into_iter().map(|d| (d.uid, d)).collect(), end))
            },
            listed: &Reader::listed,
            fresh: Some(&Reader::refresh_if_stable),
            // Whom to blame does not matter: a row without metadata is not charged, and its body is asked for later.
            others: None,
            enough: &|_| false,
        };
        let got = bisect(self, uids, &way)?;
        warn_of_poison(&self.name(), &got.poison);
        Ok(got)
    }

    /// Whole messages. `bytes`: what is expected of them together. `plain`: see `Source::messages`; a message that
    /// could not be had with its metadata is asked for without it. `others`: messages that were handed over at another
    /// time.
    pub(super) fn messages(
        &mut self,
        uids: &[Uid],
        bytes: u64,
        plain: bool,
        others: &dyn Fn() -> Result<Vec<Uid>>,
    ) -> Result<Got<Message>> {
        let way = Way {
            ask: &|reader: &mut Reader, set, deaths| {
                let (found, end) = reader.source()?.messages(set, bytes, plain || deaths > 0);
                Ok((found.into_iter().map(|m| (m.about.uid, m)).collect(), end))
            },
            listed: &Reader::listed,
            fresh: Some(&Reader::refresh_if_stable),
            others: Some(others),
            // Sizes may lie (docs/servers.md 3.9).
            enough: &|found: &[Message]| {
                let held: u64 = found.iter().map(|m| m.body.len() as u64).sum();
                held > bytes.max(HELD_MAX)
            },
        };
        let got = bisect(self, uids, &way)?;
        warn_of_poison(&self.name(), &got.poison);
        Ok(got)
    }

    fn listed(&mut self, uids: &[Uid]) -> Result<Vec<Uid>> {
        self.source()?.listed(uids)
    }

    /// Opens the mailbox again, unless its UIDs would be other ones then.
    pub(super) fn refresh_if_stable(&mut self) -> Result<()> {
        if self.here.unstable {
            Ok(())
        } else {
            self.refresh()
        }
    }

    /// Looks anew: are some of these UIDs other messages now?
    pub(super) fn name_others(&mut self, known: &[Discovered]) -> Result<bool> {
        self.refresh_if_stable()?;
        let uids: Vec<Uid> = known.iter().map(|d| d.uid).collect();
        let told = self.metadata(&uids)?.found;
        Ok(told.iter().any(|told| {
            let known = known.iter().find(|known| known.uid == told.uid);
            known.is_some_and(|known| told.contradicts(known))
        }))
    }

    /// Looks anew: is this UID another message now, since `came` was handed over for it? It is not where a server only
    /// names the message one way when it lists it and another way when it hands it over, nor where it left out
    /// the name once.
    pub(super) fn names_another(&mut self, known: &Discovered, came: &Discovered) -> Result<bool> {
        self.refresh_if_stable()?;
        let told = self.metadata(&[known.uid])?.found;
        let another =
            |d: &Discovered| d.contradicts(known) || (!d.has_id_of(known) && d.has_id_of(came));
        Ok(told.iter().any(another))
    }

    /// Sender and subject as they may be shown.
    pub(super) fn envelope(&mut self, uid: Uid) -> Option<Vec<u8>> {
        self.source().ok()?.envelope(uid)
    }

    /// Takes note of a list of the whole mailbox, and whether it was whole.
    pub(super) fn note_list(&mut self, whole: bool) {
        self.here.lists = if whole {
            Lists::default()
        } else {
            let (first, most) = self.times.reconnect;
            Lists {
                shortened: self.here.lists.shortened.saturating_add(1),
                again_at: Some(
                    Instant::now() + backoff(self.here.lists.shortened, (first, most * 12)),
                ),
            }
        };
    }

    /// Did the source let no more sessions in when this one was opened last?
    pub(super) fn is_one_too_many(&self) -> bool {
        self.one_too_many
    }

    /// Is a session open, or was until something broke?
    pub(super) fn is_open(&self) -> bool {
        self.source.is_some()
    }

    /// Gives the session away, to be closed.
    pub(super) fn take(&mut self) -> Option<Source> {
        self.source.take()
    }

    pub(super) fn logout(&mut self) {
        if let Some(source) = self.source.take() {
            source.logout();
        }
    }
}

fn warn_of_poison(mailbox: &str, poison: &[(Uid, Error)]) {
    for (uid, error) in poison {
        warn!("{mailbox} UID {uid} cannot be fetched: {error}");
    }
}

/// Sender and subject of a header block, decoded and made safe to show.
pub(super) fn sender_and_subject(block: &[u8]) -> (Option<String>, Option<String>) {
    // Encoded words cost mailparse quadratic time: the first kilobytes tell enough.
    let block = &block[..block.len().min(8 << 10)];
    let Ok((headers, _)) = mailparse::parse_headers(block) else {
        return (None, None);
    };
    let value = |name: &str| {
        let header = headers
            .iter()
            .find(|h| h.get_key_ref().eq_ignore_ascii_case(name))?;
        Some(shown(header.get_value().as_bytes())).filter(|v| !v.is_empty())
    };
    (value("From"), value("Subject"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sender_and_subject_are_decoded_first_and_made_safe_then() {
        let block = b"Subject: =?utf-8?Q?=1B[2Jall_is_well=0A?=\r\n  failed\r\nFrom: \x07Ann =?utf-8?B?4oCu?= <a@x>\r\n\r\n";
        assert_eq!(
            sender_and_subject(block),
            (
                Some("\\u{7}Ann \\u{202e} <a@x>".into()),
                Some("\\u{1b}[2Jall is well\\u{a} failed".into())
            )
        );
        assert_eq!(
            sender_and_subject(b"From: \r\n\r\nSubject: body\r\n"),
            (None, None)
        );
    }
}
