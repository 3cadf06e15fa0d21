//! Sets of messages asked for in such a way that one message that cannot be had does not hold up the
//! rest: where a fetch goes wrong the set is halved until the message that is to blame is alone. The same for
//! either side. Not for opening a session.

use log::{debug, warn};

use crate::error::{Error, Fault, Result, Scope};
use crate::message::Uid;
use crate::session::SET_MAX;
use crate::text::counted;

/// How often a FETCH of one message alone may end in an error before the message is to blame.
const DEATHS_MAX: u32 = 3;
/// How many other messages are asked for before it is concluded that none can be had.
const CONTROLS_MAX: usize = 5;

/// What came of a set of messages. What is in no list is not in the mailbox.
pub(super) struct Got<T> {
    pub(super) found: Vec<T>,
    /// Messages that cannot be had, and why.
    pub(super) poison: Vec<(Uid, Error)>,
    /// Not asked for, since there was enough.
    pub(super) left: Vec<Uid>,
}

/// What one command brought, by UID, and how it ended.
pub(super) type Brought<T> = (Vec<(Uid, T)>, Result<()>);

type Asks<'a, C, T> = dyn Fn(&mut C, &[Uid], u32) -> Result<Brought<T>> + 'a;
type Lists<'a, C> = dyn Fn(&mut C, &[Uid]) -> Result<Vec<Uid>> + 'a;
type Reopens<'a, C> = dyn Fn(&mut C) -> Result<()> + 'a;

/// One way of asking a mailbox. Each function opens another session where the last one was lost. An error that it
/// returns itself (not the one in [`Brought`]) means that no session can be opened.
pub(super) struct Way<'a, C, T> {
    /// Asks for a set. The number: how often asking for its only message has ended in an error so far.
    pub(super) ask: &'a Asks<'a, C, T>,
    /// Those of a set that the mailbox has.
    pub(super) listed: &'a Lists<'a, C>,
    /// Opens the mailbox anew: a server may list a message that its old view cannot hand over. None where
    /// what is asked for was listed in the very view that is open.
    pub(super) fresh: Option<&'a Reopens<'a, C>>,
    /// Messages of the mailbox that were handed over at another time. Where not one of them comes now either, the
    /// account is to blame. None: the account is never found to blame, and each message that does not come is.
    pub(super) others: Option<&'a dyn Fn() -> Result<Vec<Uid>>>,
    /// Is this as much as may be held at a time?
    pub(super) enough: &'a dyn Fn(&[T]) -> bool,
}

/// Asks for `uids`, which must ascend. When that ends the connection or is refused, what came is
/// kept and the rest is halved, until the message that does it is alone.
///
/// # Errors
/// What is the account's affair, and no message's: also that nothing can be had at all.
pub(super) fn bisect<C, T>(mailbox: &mut C, uids: &[Uid], way: &Way<'_, C, T>) -> Result<Got<T>> {
    let mut round = Round {
        got: Got {
            found: Vec::with_capacity(uids.len()),
            poison: Vec::new(),
            left: Vec::new(),
        },
        last_had: None,
        lost: false,
    };
    let mut withheld = round.ask_for(mailbox, uids, way)?;
    if let (Some(fresh), false) = (way.fresh, withheld.is_empty()) {
        fresh(mailbox)?;
        withheld = round.ask_for(mailbox, &withheld, way)?;
    }
    let mut got = round.got;
    if let Some((_, rest)) = withheld.split_first() {
        let mut error = Error::new(
            Fault::Transient,
            "the server lists this message and does not hand it over",
        );
        error.withheld = true;
        if got.found.is_empty() {
            exonerate_account(mailbox, way, rest.first().copied(), &error)?;
        }
        got.poison
            .extend(withheld.iter().map(|uid| (*uid, error.clone())));
    }
    Ok(got)
}

/// What has come so far.
struct Round<T> {
    got: Got<T>,
    /// The message that came last.
    last_had: Option<Uid>,
    /// A session was lost over this, and its server said goodbye.
    lost: bool,
}

impl<T> Round<T> {
    /// Asks for these once. Returns those that are listed and did not come, ascending.
    fn ask_for<C>(
        &mut self,
        mailbox: &mut C,
        uids: &[Uid],
        way: &Way<'_, C, T>,
    ) -> Result<Vec<Uid>> {
        let mut missing = Vec::new();
        // Sets, and how often each has ended in an error when its only message was asked for.
        let mut work: Vec<(Vec<Uid>, u32)> = uids
            .chunks(SET_MAX)
            .rev()
            .map(|c| (c.to_vec(), 0))
            .collect();
        while let Some((mut set, deaths)) = work.pop() {
            if (way.enough)(&self.got.found) {
                self.got.left.append(&mut set);
                continue;
            }
            let (found, end) = (way.ask)(mailbox, &set, deaths)?;
            self.keep(found, &mut set);
            let Err(error) = end else {
                missing.append(&mut set);
                continue;
            };
            self.say(&error, set.len());
            if !may_be_a_messages(&error) {
                return Err(error);
            }
            match set.len() {
                0 => {}
                1 if deaths + 1 == DEATHS_MAX => {
                    let waiting = work.last().and_then(|(set, _)| set.last().copied());
                    self.blame(mailbox, way, set[0], waiting, error)?;
                }
                1 => work.push((set, deaths + 1)),
                n => {
                    let rest = set.split_off(n / 2);
                    work.push((rest, 0));
                    work.push((set, 0));
                }
            }
        }
        listed_among(mailbox, missing, way)
    }

    /// Takes what was asked for out of `set`, and each once: servers repeat themselves.
    fn keep(&mut self, found: Vec<(Uid, T)>, set: &mut Vec<Uid>) {
        for (uid, item) in found {
            if let Ok(at) = set.binary_search(&uid) {
                set.remove(at);
                self.got.found.push(item);
                self.last_had = Some(uid);
            }
        }
    }

    /// Servers end sessions as they like, and say so: that is no warning, the first time. Whatever else loses a
    /// session may take minutes each time, which a person would wonder about.
    fn say(&mut self, error: &Error, messages: usize) {
        let early = format!(
            "fetching {} ended early: {error}",
            counted(messages, "message")
        );
        let lost = error.scope() == Scope::Session;
        if lost && (!error.goodbye || std::mem::replace(&mut self.lost, true)) {
            warn!("{early}");
        } else {
            debug!("{early}");
        }
    }

    /// This message cannot be had, unless it is gone or the account is to blame. `waiting`: one that was not asked
    /// for so far.
    fn blame<C>(
        &mut self,
        mailbox: &mut C,
        way: &Way<'_, C, T>,
        uid: Uid,
        waiting: Option<Uid>,
        error: Error,
    ) -> Result<()> {
        // Where not even its number comes, the message has gone, or the connection is to blame.
        if (way.listed)(mailbox, &[uid])?.is_empty() {
            return Ok(());
        }
        // Also where other messages came before: the account may have broken down since.
        exonerate_account(mailbox, way, self.last_had.or(waiting), &error)?;
        self.got.poison.push((uid, error));
        Ok(())
    }
}

/// Those of these that the mailbox lists, ascending. A message that did not come may be there all the same: its
/// answer could not be read, or the server gave NIL. Only what is not even listed is absent.
fn listed_among<C, T>(
    mailbox: &mut C,
    mut missing: Vec<Uid>,
    way: &Way<'_, C, T>,
) -> Result<Vec<Uid>> {
    missing.sort_unstable();
    let mut withheld = Vec::new();
    for set in missing.chunks(SET_MAX) {
        withheld.extend((way.listed)(mailbox, set)?);
    }
    withheld.sort_unstable();
    withheld.dedup();
    Ok(withheld)
}

/// Could this error be one message's doing? Where it is the account's, asking on would make it worse.
pub(super) fn may_be_a_messages(error: &Error) -> bool {
    error.scope() <= Scope::Session
}

/// A message is about to be blamed. Fails where the account is to blame instead: where not one other message can be
/// had now. `another`: one more to ask for than `others` of the way.
fn exonerate_account<C, T>(
    mailbox: &mut C,
    way: &Way<'_, C, T>,
    another: Option<Uid>,
    error: &Error,
) -> Result<()> {
    let Some(others) = way.others else {
        return Ok(());
    };
    let mut refused = 0;
    let candidates = others()?;
    for uid in candidates.iter().take(CONTROLS_MAX).chain(&another) {
        let (found, end) = (way.ask)(mailbox, &[*uid], 0)?;
        if found.iter().any(|(found, _)| found == uid) {
            return Ok(());
        }
        match end {
            Err(e) if !may_be_a_messages(&e) => return Err(e),
            // It may be gone.
            Ok(()) if (way.listed)(mailbox, &[*uid])?.is_empty() => {}
            _ => refused += 1,
        }
    }
    match refused {
        // There is no other message to compare it with.
        0 => Ok(()),
        _ => Err(Error {
            message: format!("not one message can be had now: {error}"),
            ..error.clone()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing comes of several at once, and one message never comes.
    fn got(poison: u32, enough: usize) -> Got<u32> {
        let way = Way {
            ask: &|_: &mut (), set: &[Uid], _| {
                Ok(match set {
                    [one] if one.0 != poison => (vec![(*one, one.0)], Ok(())),
                    _ => (Vec::new(), Err(Error::connection("cut"))),
                })
            },
            listed: &|_, set| Ok(set.to_vec()),
            fresh: None,
            others: None,
            enough: &|found| found.len() >= enough,
        };
        let uids: Vec<Uid> = (1..=6).map(Uid).collect();
        bisect(&mut (), &uids, &way).expect("what there is")
    }

    #[test]
    fn one_that_cannot_be_had_is_found_out() {
        let got = got(4, 99);
        assert_eq!(got.found, [1, 2, 3, 5, 6]);
        assert_eq!(got.poison.len(), 1);
        assert_eq!(got.poison[0].0, Uid(4));
    }

    #[test]
    fn what_is_enough_is_enough() {
        let got = got(0, 2);
        assert_eq!(got.found, [1, 2]);
        assert_eq!(got.left, [Uid(3), Uid(4), Uid(5), Uid(6)]);
        assert!(got.poison.is_empty());
    }
}
