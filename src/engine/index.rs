//! The target index: a mirror of what the target holds, brought up to date and filled downwards.
//!
//! A message of the target that cannot be read is there all the same: it holds up nothing. Not for whose copy
//! a message is (`dedup`, `resolve`, `verify`).

use std::sync::{MutexGuard, PoisonError};

use chrono::Utc;
use log::{debug, warn};

use super::Engine;
use super::bisect::{Brought, Got, Way, bisect, may_be_a_messages};
use crate::config;
use crate::error::{Again, Error, Fault, Result};
use crate::folder::INBOX;
use crate::ledger::{IndexMailbox, Mark, Place};
use crate::message::{Discovered, Uid, UidValidity};
use crate::session::{SET_MAX, View};
use crate::target::{Account, Copy, Told, Wanted};

/// The index of a mailbox begins this far below UIDNEXT. What is older is added when it is asked for.
const LATEST: u32 = 200;
const FEWER: &str = "trying again with fewer messages at a time";

/// Where another mailbox stands: UIDVALIDITY and UIDNEXT, where the server told them.
type Standing = Option<(UidValidity, u32)>;

/// UIDVALIDITY of a mailbox, and the first UID above all that are known to be given.
pub(super) type Given = Option<(UidValidity, u32)>;

/// What a mailbox holds from a UID on, in a view of this moment.
pub(super) struct Since {
    pub(super) view: View,
    /// Another session had to open the mailbox for it.
    reopened: bool,
    pub(super) arrived: Vec<Discovered>,
    /// Messages that are there and cannot be read.
    pub(super) unreadable: Vec<Discovered>,
    others: Vec<Standing>,
}

/// What came of asking for a message's bytes.
pub(super) enum Body {
    Bytes(Vec<u8>),
    /// It is no longer there.
    Gone,
    /// It is there, and its bytes cannot be had.
    Unreadable,
}

/// Held by whoever brings the index up to date and uses it.
#[derive(Debug, Default)]
pub(super) struct Turn(());

/// The index, looked at through one session with the target while no other one changes it.
pub(super) struct TargetIndex<'a> {
    pub(super) engine: &'a Engine,
    pub(super) account: &'a mut Account,
    _turn: MutexGuard<'a, Turn>,
}

impl<'a> TargetIndex<'a> {
    /// Waits for its turn.
    pub(super) fn through(engine: &'a Engine, account: &'a mut Account) -> TargetIndex<'a> {
        let turn = engine.index.lock();
        TargetIndex {
            engine,
            account,
            _turn: turn.unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Brings the index of each mailbox up to this moment: in one round trip where nothing came to any but the
    /// first. For what is sent from now on, looking begins where the mailboxes that it returns end.
    pub(super) fn refresh(&mut self) -> Result<Vec<IndexMailbox>> {
        let names = self.account.index_mailboxes();
        let Some((first, others)) = names.split_first() else {
            return Ok(Vec::new());
        };
        let (index, moved) = self.catch_up(first, others, false)?;
        self.catch_up_others(index, others, &moved)
    }

    /// Brings the index of each of the other mailboxes up to this moment, where it has moved.
    pub(super) fn catch_up_others(
        &mut self,
        first: IndexMailbox,
        others: &[String],
        moved: &[Standing],
    ) -> Result<Vec<IndexMailbox>> {
        let mut boxes = vec![first];
        for (name, moved) in others.iter().zip(moved.iter().copied()) {
            let known = self.engine.ledger.step(|l| l.index_known(name))?;
            let same = |k: &IndexMailbox| moved.filter(|(v, _)| *v == k.uid_validity);
            let went_back = known
                .as_ref()
                .and_then(|k| Some(same(k)?.1 < k.next_uid))
                .unwrap_or(false);
            let unmoved = known.filter(|k| same(k).is_some_and(|(_, next)| next == k.next_uid));
            boxes.push(match unmoved {
                Some(index) => index,
                None => self.catch_up(name, &[], went_back)?.0,
            });
        }
        Ok(boxes)
    }

    /// Brings the index of one mailbox up to this moment, and tells where `others` stand. `anew`: as if this
    /// session had not looked at it before.
    fn catch_up(
        &mut self,
        name: &str,
        others: &[String],
        anew: bool,
    ) -> Result<(IndexMailbox, Vec<Standing>)> {
        let known = self.engine.ledger.step(|l| l.index_known(name))?;
        let mut index = match known.filter(|_| !anew && self.account.has_looked_at(name)) {
            Some(index) => index,
            None => {
                let (view, index) = self.first_look(name)?;
                let knows_all = view.uid_next_stated && view.uid_next <= index.next_uid;
                if knows_all && others.is_empty() {
                    self.engine.known_target.note_caught_up(name);
                    return Ok((index, Vec::new()));
                }
                index
            }
        };
        let (given, opens) = (self.given(name)?, !self.account.has_open(name));
        let mut news = self.since(&index, index.next_uid, others)?;
        if news.view.uid_next_stated {
            self.engine.known_target.note_caught_up(name);
        }
        let went_back = (opens || news.reopened) && is_behind(&news.view, given);
        if news.view.uid_validity != index.uid_validity || went_back {
            index = self.first_look(name)?.1;
            news = self.since(&index, index.next_uid, others)?;
        }
        let seen: Vec<Discovered> = news.arrived.into_iter().chain(news.unreadable).collect();
        if let Some(last) = seen.iter().map(|d| d.uid.0).max() {
            index.next_uid = last.saturating_add(1);
            self.engine.ledger.step(|l| l.index_record(&index, &seen))?;
        }
        Ok((index, news.others))
    }

    /// What is in the mailbox from `from` on, in one round trip. Where that goes wrong, a message that cannot be read
    /// may be to blame: it is found by asking for smaller and smaller sets.
    pub(super) fn since(
        &mut self,
        index: &IndexMailbox,
        from: u32,
        others: &[String],
    ) -> Result<Since> {
        let spare_last = self
            .engine
            .ledger
            .step(|l| l.index_ends_nameless(index.id))?;
        let waited = self.account.has_waited();
        let end = self.account.news(&index.name, from, spare_last, others);
        let error = match end {
            Ok(news) => {
                return Ok(Since {
                    view: news.view,
                    reopened: false,
                    arrived: news.arrived,
                    unreadable: Vec::new(),
                    others: news.others,
                });
            }
            Err(e) if may_be_a_messages(&e) => e,
            Err(e) => return Err(e),
        };
        if self.account.usable() || !waited {
            warn!("{}", error.then(FEWER));
        } else {
            // The server had ended the session while it waited for mail: that is no trouble.
            debug!("{}", error.then(FEWER));
        }
        self.reopen()?;
        let view = self.account.view(&index.name, true)?;
        let (mut arrived, mut unreadable) = (Vec::new(), Vec::new());
        if view.uid_validity == index.uid_validity {
            let uids = self.account.uids_from(from)?;
            (arrived, unreadable) = self.described(index, &uids)?;
        }
        Ok(Since {
            view,
            reopened: true,
            arrived,
            unreadable,
            others: vec![None; others.len()],
        })
    }

    /// A session's first look at an index mailbox: are its UIDs still the ones we know? Much may have come since
    /// another session last looked, so it is taken in sets.
    fn first_look(&mut self, name: &str) -> Result<(View, IndexMailbox)> {
        let (view, mut index) = self.look_afresh(name)?;
        if view.exists == 0 && index.covered_since.is_none() {
            // Whatever comes into an empty mailbox lies above.
            index.covered_since = Some(config::Since::All.start(Utc::now()));
            self.engine.ledger.step(|l| l.index_record(&index, &[]))?;
        }
        if view.uid_next.saturating_sub(index.next_uid) > LATEST {
            let mut came = self.account.uids(name)?;
            came.retain(|uid| uid.0 >= index.next_uid);
            for set in came.chunks(SET_MAX) {
                let (mut seen, unreadable) = self.described(&index, set)?;
                seen.extend(unreadable);
                index.next_uid = set.last().map_or(index.next_uid, |u| u.0.saturating_add(1));
                self.engine.ledger.step(|l| l.index_record(&index, &seen))?;
            }
        }
        Ok((view, index))
    }

    /// What names these messages of an index mailbox; and of those that are there and cannot be read, what can be
    /// told without reading them. `uids` must ascend.
    pub(super) fn described(
        &mut self,
        index: &IndexMailbox,
        uids: &[Uid],
    ) -> Result<(Vec<Discovered>, Vec<Discovered>)> {
        let Got { found, poison, .. } = self.ask(index, uids, &|session, set| {
            let (found, end) = session.metadata(set);
            (found.into_iter().map(|d| (d.uid, d)).collect(), end)
        })?;
        let mut unreadable = Vec::with_capacity(poison.len());
        for (uid, error) in poison {
            warn!(
                "a message of the target cannot be read ({} UID {uid}): {}",
                index.name,
                error.then("it is not recognised as anything")
            );
            unreadable.push(self.size_and_date(index, uid)?);
        }
        Ok((found, unreadable))
    }

    /// What can be told of a message that cannot be read: perhaps its size and date.
    pub(super) fn size_and_date(&mut self, index: &IndexMailbox, uid: Uid) -> Result<Discovered> {
        open_to_ask(self.account, self.engine, &index.name)?;
        let (told, _) = self.account.attributes(&[uid]);
        self.reopen()?;
        let told = told.into_iter().find(|d| d.uid == uid);
        Ok(told.unwrap_or(Discovered::nothing_told(uid)))
    }

    /// Date and size of these messages of an index mailbox; those that tell nothing are there all the same.
    /// `uids` must ascend.
    pub(super) fn dated(&mut self, index: &IndexMailbox, uids: &[Uid]) -> Result<Vec<Discovered>> {
        let Got { found, poison, .. } = self.ask(index, uids, &|session, set| {
            let (found, end) = session.attributes(set);
            (found.into_iter().map(|d| (d.uid, d)).collect(), end)
        })?;
        let silent = poison
            .into_iter()
            .map(|(uid, _)| Discovered::nothing_told(uid));
        Ok(found.into_iter().chain(silent).collect())
    }

    /// The bytes of one message of an index mailbox.
    pub(super) fn body(&mut self, index: &IndexMailbox, uid: Uid) -> Result<Body> {
        let mut got = self.ask(index, &[uid], &Account::bodies)?;
        Ok(match (got.found.pop(), got.poison.pop()) {
            (Some(bytes), _) => Body::Bytes(bytes),
            (None, None) => Body::Gone,
            (None, Some((_, error))) => {
                warn!(
                    "the bytes of a message of the target cannot be had ({} UID {uid}): {error}",
                    index.name
                );
                Body::Unreadable
            }
        })
    }

    /// The bytes of the message at this place, where they can be had and the place is still what it was.
    pub(super) fn body_at(&mut self, place: Place) -> Result<Option<Vec<u8>>> {
        for name in self.account.index_mailboxes() {
            let known = self.engine.ledger.step(|l| l.index_known(&name))?;
            let Some(known) = known.filter(|k| k.id == place.mailbox) else {
                continue;
            };
            let view = self.account.view(&name, false)?;
            if view.uid_validity == place.uid_validity && known.uid_validity == place.uid_validity {
                return Ok(match self.body(&known, place.uid)? {
                    Body::Bytes(body) => Some(body),
                    Body::Gone | Body::Unreadable => None,
                });
            }
        }
        Ok(None)
    }

    /// UIDVALIDITY of a mailbox, and what is known of these messages of it now. Those that are no longer there, or not
    /// told of, are left out; all of them where their label was taken away meanwhile.
    pub(super) fn delivered(&mut self, name: &str, wanted: &Wanted) -> Result<Told> {
        match self.account.delivered(name, wanted) {
            Err(e) if self.is_gone(name, &e) => {
                return Ok(Told {
                    validity: UidValidity(0),
                    copies: Vec::new(),
                    bodies: Vec::new(),
                });
            }
            Err(e) if may_be_a_messages(&e) => {
                debug!(
                    "{name}: {}",
                    e.then("looking at its messages in smaller sets")
                );
            }
            end => return end,
        }
        self.reopen()?;
        let (view, index) = self.look_afresh(name)?;
        let known = || {
            self.engine
                .ledger
                .step(|l| l.looked_at(index.id, view.uid_validity))
        };
        let got = self.ask_beside(&index, &wanted.uids, &known, &|session, set| {
            let (found, end) = session.copies(set);
            (found.into_iter().map(|c| (c.uid, c)).collect(), end)
        })?;
        let mut copies = got.found;
        for (uid, error) in got.poison {
            warn!("what was delivered cannot be looked at ({name} UID {uid}): {error}");
            // Its number (X-GM-MSGID) may tell all the same whose it is.
            let outside = self.size_and_date(&index, uid)?;
            copies.push(Copy {
                uid,
                size: outside.size,
                gm_msgid: outside.gm_msgid,
                internal_date: outside.internal_date,
                flags: None,
                header: None,
            });
        }
        Ok(Told {
            validity: view.uid_validity,
            copies,
            bodies: Vec::new(),
        })
    }

    /// Is this the end of a mailbox of ours: does it not open any more, while the session goes on? Gmail says so; what
    /// else it says in a refusal passes.
    pub(super) fn is_gone(&self, name: &str, e: &Error) -> bool {
        let said = e.fault == Fault::NeedsUser || !self.account.policy().labels;
        said && name != INBOX && self.does_not_open(name, e)
    }

    /// Did it end in this error because this mailbox is refused, and nothing else is wrong?
    pub(super) fn does_not_open(&self, name: &str, e: &Error) -> bool {
        self.account.usable()
            && !self.account.has_open(name)
            && e.reaction().again != Again::AfterPause
    }

    /// Did it end in this error because the place is refused where messages go now, and other places are not concerned?
    pub(super) fn place_is_refused(&self, e: &Error) -> bool {
        let name = self.account.delivery();
        name != INBOX && !self.account.policy().labels && self.does_not_open(name, e)
    }

    /// Asks an index mailbox in such a way that no message holds up the others.
    fn ask<T>(
        &mut self,
        index: &IndexMailbox,
        uids: &[Uid],
        command: &dyn Fn(&mut Account, &[Uid]) -> Brought<T>,
    ) -> Result<Got<T>> {
        let readable = || self.engine.ledger.step(|l| l.index_readable(index.id));
        self.ask_beside(index, uids, &readable, command)
    }

    /// As [`ask`](Self::ask). `others`: messages that were handed over at another time.
    fn ask_beside<T>(
        &mut self,
        index: &IndexMailbox,
        uids: &[Uid],
        others: &dyn Fn() -> Result<Vec<Uid>>,
        command: &dyn Fn(&mut Account, &[Uid]) -> Brought<T>,
    ) -> Result<Got<T>> {
        let engine = self.engine;
        let open = |session: &mut Account| {
            let view = open_to_ask(session, engine, &index.name)?;
            if view.uid_validity == index.uid_validity {
                Ok(())
            } else {
                Err(Error::connection(format!(
                    "{} of the target has new UIDs (UIDVALIDITY {}, expected {})",
                    index.name, view.uid_validity, index.uid_validity
                )))
            }
        };
        let way = Way {
            ask: &|session: &mut Account, set: &[Uid], _| {
                open(session)?;
                Ok(command(session, set))
            },
            listed: &|session: &mut Account, set: &[Uid]| {
                open(session)?;
                session.listed(set)
            },
            fresh: None,
            others: Some(others),
            enough: &|_| false,
        };
        let got = bisect(self.account, uids, &way)?;
        self.reopen()?;
        Ok(got)
    }

    /// Another session in place of one that was lost.
    pub(super) fn reopen(&mut self) -> Result<()> {
        reopen(self.account, self.engine)
    }
}

/// Does this view say that fewer UIDs have been given than were before? A UIDNEXT that the server does not state
/// proves nothing: it falls when the last message goes.
pub(super) fn is_behind(view: &View, given: Given) -> bool {
    view.uid_next_stated
        && given
            .is_some_and(|(validity, next)| validity == view.uid_validity && view.uid_next < next)
}

/// The UID at which the index of a mailbox begins that is looked at for the first time.
pub(super) fn begin_at(view: &View) -> u32 {
    view.uid_next.saturating_sub(LATEST).max(1)
}

/// Where each index mailbox stands, for the mark.
pub(super) fn marks(boxes: &[IndexMailbox]) -> Vec<Mark> {
    boxes
        .iter()
        .map(|b| Mark {
            mailbox: b.id,
            uid_validity: b.uid_validity,
            uid_next: b.next_uid,
        })
        .collect()
}

/// Opens the mailbox for a question about messages that are known, and for nothing else. It still counts as one at
/// which this session has not looked: whether it is what it was before has not been asked.
fn open_to_ask(account: &mut Account, engine: &Engine, name: &str) -> Result<View> {
    reopen(account, engine)?;
    let looked_at = account.has_looked_at(name);
    let view = account.view(name, false)?;
    if !looked_at {
        account.forget_look(name);
    }
    Ok(view)
}

/// Another session in place of one that was lost.
fn reopen(account: &mut Account, engine: &Engine) -> Result<()> {
    if !account.usable() {
        if account.any_on_their_way() {
            // Of those is heard through this one alone.
            return Err(Error::connection(
                "the session was lost while messages were on their way",
            ));
        }
        let spot = account.spot().clone();
        *account = engine.open_account()?;
        account.deliver_into(&spot)?;
    }
    Ok(())
}
