//! Sets of messages asked for in such a way that one message that cannot be had does not hold up the
//! rest: who is to blame when a fetch goes wrong. The same for either side; it opens no session itself.

use log::{debug, warn};

use crate::error::{Error, Fault, Result, Scope};
use crate::message::Uid;
use crate::session::SET_MAX;
use crate::text::counted;

/// How often a message, alone, may end a healthy connection before it is to blame.
const DEATHS_MAX: u32 = 3;
/// How many other messages are asked for before it is believed that not one can be had.
const CONTROLS_MAX: usize = 5;

/// What came of a set of messages. What is in no list is not in the mailbox.
pub(super) struct Got<T> {
    pub(super) found: Vec<T>,
    /// Messages that cannot be had, and why.
    pub(super) poison: Vec<(Uid, Error)>,
    /// Not asked for: there was enough.
    pub(super) left: Vec<Uid>,
}

/// What one command brought, by UID, and how it ended.
pub(super) type Brought<T> = (Vec<(Uid, T)>, Result<()>);

type Asks<'a, C, T> = dyn Fn(&mut C, &[Uid], u32) -> Result<Brought<T>> + 'a;
type Lists<'a, C> = dyn Fn(&mut C, &[Uid]) -> Result<Vec<Uid>> + 'a;
type Reopens<'a, C> = dyn Fn(&mut C) -> Result<()> + 'a;

/// One way of asking a mailbox. Each function opens the session anew where it was lost; an error of
/// its own (not the one in [`Brought`]) means that there is none to be had.
pub(super) struct Way<'a, C, T> {
    /// Asks for a set; told how often its only message has ended the connection so far.
    pub(super) ask: &'a Asks<'a, C, T>,
    /// Those of a set that the mailbox has.
    pub(super) listed: &'a Lists<'a, C>,
    /// Opens the mailbox anew: a server may list a message that its old view cannot hand over. None:
    /// what is asked for was listed in this very view.
    pub(super) fresh: Option<&'a Reopens<'a, C>>,
    /// Messages of the mailbox that could be had at another time. Without them nothing can be
    /// concluded from the fact that no message comes.
    pub(super) others: Option<&'a dyn Fn() -> Result<Vec<Uid>>>,
    /// Is this as much as may be held at a time?
    pub(super) enough: &'a dyn Fn(&[T]) -> bool,
}

/// Asks for `uids`, which must ascend. When that ends the connection or is refused, what came is
/// kept and the rest is halved, until the message that does it is alone.
///
/// # Errors
/// What is the account's affair, and no message's: also that nothing can be had at all.
pub(super) fn piecemeal<C, T>(
    mailbox: &mut C,
    uids: &[Uid],
    way: &Way<'_, C, T>,
) -> Result<Got<T>> {
    let mut got = Got {
        found: Vec::with_capacity(uids.len()),
        poison: Vec::new(),
        left: Vec::new(),
    };
    let mut last_had = None;
    let mut lost = false;
    let mut withheld = ask_for(mailbox, uids, way, &mut got, &mut last_had, &mut lost)?;
    if let (Some(fresh), false) = (way.fresh, withheld.is_empty()) {
        fresh(mailbox)?;
        withheld = ask_for(mailbox, &withheld, way, &mut got, &mut last_had, &mut lost)?;
    }
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

/// One round: what comes goes into `got`, and those are returned that are listed and did not come,
/// ascending.
fn ask_for<C, T>(
    mailbox: &mut C,
    uids: &[Uid],
    way: &Way<'_, C, T>,
    got: &mut Got<T>,
    last_had: &mut Option<Uid>,
    lost: &mut bool,
) -> Result<Vec<Uid>> {
    let mut missing = Vec::new();
    let mut work: Vec<(Vec<Uid>, u32)> = uids
        .chunks(SET_MAX)
        .rev()
        .map(|c| (c.to_vec(), 0))
        .collect();
    while let Some((mut set, deaths)) = work.pop() {
        if (way.enough)(&got.found) {
            got.left.append(&mut set);
            continue;
        }
        let (found, end) = (way.ask)(mailbox, &set, deaths)?;
        for (uid, item) in found {
            // Only what was asked for, and once: servers repeat themselves.
            if let Ok(at) = set.binary_search(&uid) {
                set.remove(at);
                got.found.push(item);
                *last_had = Some(uid);
            }
        }
        let Err(error) = end else {
            missing.append(&mut set);
            continue;
        };
        let early = format!(
            "fetching {} ended early: {error}",
            counted(set.len(), "message")
        );
        // Servers end sessions as they like, and say so. Whatever else loses one may take minutes each
        // time, which a person would wonder about.
        if error.scope() == Scope::Session && (!error.goodbye || std::mem::replace(lost, true)) {
            warn!("{early}");
        } else {
            debug!("{early}");
        }
        if !may_be_a_messages(&error) {
            return Err(error);
        }
        match set.len() {
            0 => {}
            1 if deaths + 1 == DEATHS_MAX => {
                // Where even its number cannot be had, it is the connection and not the message.
                if (way.listed)(mailbox, &set)?.is_empty() {
                    continue;
                }
                // Whatever came before: the account may have broken down meanwhile.
                let waiting = || work.last().and_then(|(set, _)| set.last().copied());
                exonerate_account(mailbox, way, last_had.or_else(waiting), &error)?;
                got.poison.push((set[0], error));
            }
            1 => work.push((set, deaths + 1)),
            n => {
                let rest = set.split_off(n / 2);
                work.push((rest, 0));
                work.push((set, 0));
            }
        }
    }
    missing.sort_unstable();
    // A message that did not come may be there all the same: its answer could not be read, or the
    // server gave NIL. Only what is not even listed is absent.
    let mut withheld = Vec::new();
    for set in missing.chunks(SET_MAX) {
        withheld.extend((way.listed)(mailbox, set)?);
    }
    withheld.sort_unstable();
    withheld.dedup();
    Ok(withheld)
}

/// A fault of an account is never a message's, whatever was asked for: asking on would make it worse.
pub(super) fn may_be_a_messages(error: &Error) -> bool {
    error.scope() <= Scope::Session
}

/// A message is about to be blamed: is there anything that the account hands over now? Where not one
/// other message can be had, it is no message's fault.
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
        // Nobody to compare it with.
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
        piecemeal(&mut (), &uids, &way).expect("what there is")
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
