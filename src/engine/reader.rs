//! The route's one session with the source, reopened as often as it takes, and sets of messages
//! fetched through it in such a way that one message that cannot be had does not hold up the rest.

use log::{debug, warn};

use crate::config::{Config, Intervals};
use crate::error::{Error, Fault, Result, shown};
use crate::message::{Discovered, Message, Uid, UidValidity};
use crate::session::{SET_MAX, View};
use crate::source::{MAILBOX, Source};

/// How often a message, alone, may end a healthy connection before it is to blame.
const DEATHS_MAX: u32 = 3;

pub(super) struct Reader {
    config: Config,
    times: Intervals,
    source: Option<Source>,
    /// The UIDVALIDITY that our UIDs belong to, once known.
    incarnation: Option<UidValidity>,
    /// The mailbox was found with another one, or with other messages under our UIDs.
    pub(super) renumbered: bool,
    /// A UID of ours names another message, whatever UIDVALIDITY says.
    pub(super) reused: bool,
}

/// What came of a set of messages. What is in neither list is not in the mailbox.
pub(super) struct Got<T> {
    pub(super) found: Vec<T>,
    /// Messages that cannot be had, and why.
    pub(super) poison: Vec<(Uid, Error)>,
}

impl Reader {
    pub(super) fn new(config: Config, times: Intervals) -> Reader {
        Reader {
            config,
            times,
            source: None,
            incarnation: None,
            renumbered: false,
            reused: false,
        }
    }

    /// The mailbox as of this moment. Its UIDs are ours from now on.
    pub(super) fn look(&mut self) -> Result<View> {
        let view = match self.source.as_mut().filter(|s| s.usable()) {
            Some(source) => source.look_again(),
            None => {
                let source = Source::open(&self.config, &self.times)?;
                Ok(self.source.insert(source).view())
            }
        }?;
        self.incarnation = Some(view.uid_validity);
        self.renumbered = false;
        Ok(view)
    }

    /// The UIDs that are asked for belong to this UIDVALIDITY.
    pub(super) fn expect(&mut self, validity: UidValidity) {
        self.incarnation = Some(validity);
    }

    /// Opens the mailbox again, so that what is absent is absent now.
    pub(super) fn refresh(&mut self) -> Result<()> {
        let source = self.source()?;
        let view = source.look_again()?;
        self.same_incarnation(view)
    }

    /// The session, opened anew when the last one was lost.
    pub(super) fn source(&mut self) -> Result<&mut Source> {
        if self.source.as_ref().is_none_or(|s| !s.usable()) {
            self.source = Some(Source::open(&self.config, &self.times)?);
        }
        // Each time: a session that opened another incarnation stays open until the next look, and
        // in it our UIDs name other messages.
        if let Some(view) = self.source.as_ref().map(Source::view) {
            self.same_incarnation(view)?;
        }
        self.source
            .as_mut()
            .ok_or_else(|| Error::connection("the source was lost"))
    }

    fn same_incarnation(&mut self, view: View) -> Result<()> {
        match self.incarnation {
            Some(ours) if ours != view.uid_validity => {
                self.renumbered = true;
                Err(Error::connection(format!(
                    "{MAILBOX} of the source has new UIDs (UIDVALIDITY {}, expected {ours})",
                    view.uid_validity
                )))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn metadata(&mut self, uids: &[Uid]) -> Result<Got<Discovered>> {
        self.fetch(uids, |source, set, _| {
            let (found, end) = source.metadata(set);
            (found.into_iter().map(|d| (d.uid, d)).collect(), end)
        })
    }

    /// Whole messages; `bytes`: what is expected of them together. `plain`: see `Source::messages`;
    /// a message that could not be had with its metadata is asked for without them.
    pub(super) fn messages(
        &mut self,
        uids: &[Uid],
        bytes: u64,
        plain: bool,
    ) -> Result<Got<Message>> {
        self.fetch(uids, |source, set, deaths| {
            let (found, end) = source.messages(set, bytes, plain || deaths > 0);
            (found.into_iter().map(|m| (m.about.uid, m)).collect(), end)
        })
    }

    /// Does the mailbox itself name another message by this UID? A server that names a message one
    /// way in a listing and another way with its body is no sign of that.
    pub(super) fn names_another(&mut self, known: &Discovered) -> Result<bool> {
        let got = self.metadata(&[known.uid])?;
        Ok(got.found.iter().any(|d| !same_message_id(d, known)))
    }

    /// Sender and subject as they may be shown.
    pub(super) fn envelope(&mut self, uid: Uid) -> Option<Vec<u8>> {
        self.source().ok()?.envelope(uid)
    }

    /// Fetches a set. When that ends the connection, what came is kept and the rest is halved,
    /// until the message that does it is alone; `uids` must ascend. `fetch` is told how often that
    /// one has ended it so far.
    fn fetch<T>(
        &mut self,
        uids: &[Uid],
        mut fetch: impl FnMut(&mut Source, &[Uid], u32) -> (Vec<(Uid, T)>, Result<()>),
    ) -> Result<Got<T>> {
        let mut got = Got {
            found: Vec::with_capacity(uids.len()),
            poison: Vec::new(),
        };
        let mut missing = Vec::new();
        let mut work: Vec<(Vec<Uid>, u32)> = uids
            .chunks(SET_MAX)
            .rev()
            .map(|c| (c.to_vec(), 0))
            .collect();
        while let Some((mut set, deaths)) = work.pop() {
            let (found, end) = fetch(self.source()?, &set, deaths);
            for (uid, item) in found {
                // Only what was asked for, and once: servers repeat themselves.
                if let Ok(at) = set.binary_search(&uid) {
                    set.remove(at);
                    got.found.push(item);
                }
            }
            let Err(error) = end else {
                missing.append(&mut set);
                continue;
            };
            let early = format!(
                "fetching {} messages of {MAILBOX} ended early: {error}",
                set.len()
            );
            match error.fault {
                // Each may have taken minutes, which a person would wonder about.
                Fault::Connection => warn!("{early}"),
                _ => debug!("{early}"),
            }
            // The account's affair, whatever was asked for: asking on would make it worse, and no
            // message is to blame.
            if !matches!(
                error.fault,
                Fault::Connection | Fault::Transient | Fault::Permanent
            ) {
                return Err(error);
            }
            match set.len() {
                0 => {}
                1 if deaths + 1 == DEATHS_MAX => {
                    // Where even its number cannot be had, it is the connection and not the message.
                    if self.source()?.listed(&set)?.is_empty() {
                        continue;
                    }
                    warn!("{MAILBOX} UID {} cannot be fetched: {error}", set[0]);
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
        self.tell_withheld_from_absent(&missing, &mut got.poison)?;
        Ok(got)
    }

    /// A message that did not come may be there all the same: its answer could not be read, or the
    /// server gave NIL. Only what is not even listed is absent.
    fn tell_withheld_from_absent(
        &mut self,
        missing: &[Uid],
        poison: &mut Vec<(Uid, Error)>,
    ) -> Result<()> {
        for set in missing.chunks(SET_MAX) {
            for uid in self.source()?.listed(set)? {
                let error = Error::new(
                    Fault::Transient,
                    "the source lists this message and does not hand it over",
                );
                poison.push((uid, error));
            }
        }
        Ok(())
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

/// Do these two name one message? Its UID alone does not, where UIDs are given anew.
pub(super) fn same_message_id(a: &Discovered, b: &Discovered) -> bool {
    a.message_id.as_ref().map(|m| m.hash) == b.message_id.as_ref().map(|m| m.hash)
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
