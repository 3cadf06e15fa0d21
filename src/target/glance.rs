//! What the account tells of its messages as of this moment: of those that were delivered, and of those that came. One question
//! at a time, or all together in one flight behind messages that are on their way. Not for what follows from the answers.

use super::Account;
use crate::error::{Error, Fault, Result};
use crate::mailbox::{NAME, named};
use crate::message::{Discovered, Flags, HeaderHash, Time, Uid, UidValidity, header_hash, uid_set};
use crate::response::Fetched;
use crate::session::{Asked, Look, Looked, Looking, METADATA_MAX, SET_MAX, View};

/// What is asked of a message that was delivered, to see whether it is as it was sent.
const KEPT: &str = "RFC822.SIZE INTERNALDATE FLAGS BODY.PEEK[HEADER]";
const BYTES: &str = "BODY.PEEK[]";
/// How many bytes of headers one answer may bring at least, however few messages it tells of.
const HEADERS_MAX: u64 = 1 << 20;

/// What is known of a message in the delivery mailbox.
#[derive(Clone, Copy, Debug)]
pub struct Copy {
    pub uid: Uid,
    pub size: Option<u64>,
    pub gm_msgid: Option<u64>,
    pub internal_date: Option<Time>,
    pub flags: Option<Flags>,
    /// As [`header_hash`] has it.
    pub header: Option<HeaderHash>,
}

/// What came to a mailbox of the index, and where the others stand.
pub struct News {
    pub view: View,
    pub arrived: Vec<Discovered>,
    /// UIDVALIDITY and UIDNEXT of each of the other index mailboxes.
    pub others: Vec<Option<(UidValidity, u32)>>,
}

/// Messages that were delivered into one mailbox, and are to be looked at. Each list ascends, and holds no more than `SET_MAX`.
pub struct Wanted {
    pub uids: Vec<Uid>,
    /// Those of them whose bytes are asked for, too, and how many these are together at most.
    pub sampled: Vec<Uid>,
    pub sampled_bytes: u64,
}

/// What was told of them.
pub struct Told {
    pub validity: UidValidity,
    pub copies: Vec<Copy>,
    pub bodies: Vec<(Uid, Vec<u8>)>,
}

/// What is asked together.
pub struct Question<'q> {
    /// Messages of the delivery mailbox.
    pub delivered: &'q Wanted,
    /// Messages of the first index mailbox whose names are known.
    pub witnesses: &'q [Uid],
    /// From here on it may hold others.
    pub from: u32,
    /// As in [`Account::news`].
    pub spare_last: bool,
}

/// A question that was asked and is still to be heard.
pub struct Glancing {
    looking: Looking,
    mailbox: String,
    from: u32,
    witnesses: Vec<Uid>,
}

/// The answer.
pub struct Glance {
    pub delivered: Told,
    /// Those of the witnesses that are there.
    pub witnesses: Vec<Discovered>,
    pub news: News,
}

impl Account {
    /// Messages of a mailbox from this UID on, and where other mailboxes stand, as of this moment.
    /// `spare_last`: the last message that is known cannot be read, and must not be asked for again. `n:*` asks for the
    /// last message even where its UID is lower (RFC 3501 6.4.8).
    pub fn news(
        &mut self,
        mailbox: &str,
        from: u32,
        spare_last: bool,
        others: &[String],
    ) -> Result<News> {
        let asked = self.ask_for_news(from, spare_last);
        let Look { view, found, moved } = self.mailbox.session.look(mailbox, &[asked], others)?;
        self.waited = false;
        arrived(mailbox, from, view, &found, moved)
    }

    fn ask_for_news(&self, from: u32, spare_last: bool) -> Asked {
        let set = if spare_last {
            format!("{from}:{}", u32::MAX)
        } else {
            format!("{from}:*")
        };
        let literals = METADATA_MAX * SET_MAX as u64;
        Asked::new(set, self.mailbox.items(NAME), literals)
    }

    /// UIDVALIDITY of a mailbox, what is known of these messages of it now, and the bytes of some of them. Those that are no
    /// longer there are left out.
    pub fn delivered(&mut self, mailbox: &str, wanted: &Wanted) -> Result<Told> {
        let asked = self.ask_about(wanted);
        let look = self.mailbox.session.look(mailbox, &asked, &[])?;
        Ok(Told::of(look.view.uid_validity, look.found))
    }

    fn ask_about(&self, wanted: &Wanted) -> Vec<Asked> {
        let Wanted {
            uids,
            sampled,
            sampled_bytes,
        } = wanted;
        let kept = (!uids.is_empty()).then(|| self.ask(uids, KEPT, headers(uids)));
        let bytes = (!sampled.is_empty()).then(|| self.ask(sampled, BYTES, *sampled_bytes));
        kept.into_iter().chain(bytes).collect()
    }

    fn ask(&self, uids: &[Uid], what: &str, literals: u64) -> Asked {
        Asked::new(uid_set(uids), self.mailbox.items(what), literals)
    }

    /// As [`delivered`](Self::delivered), of the open mailbox and as far as it came.
    pub fn copies(&mut self, uids: &[Uid]) -> (Vec<Copy>, Result<()>) {
        let (found, end) = self.mailbox.fetch(uids, KEPT, headers(uids));
        (found.iter().filter_map(copy).collect(), end)
    }

    /// Asks all this behind the messages that are on their way, of which is heard first ([`hear`](Self::hear)). The mailboxes
    /// are opened anew for it: the views are of this moment.
    ///
    /// # Errors
    /// Nothing of it was sent.
    pub fn begin_glance(&mut self, question: &Question<'_>) -> Result<Glancing> {
        let mut others = self.index_mailboxes();
        let mailbox = others.remove(0);
        let mut of_delivery = self.ask_about(question.delivered);
        let mut of_index = Vec::with_capacity(2);
        if !question.witnesses.is_empty() {
            of_index.push(self.ask(question.witnesses, NAME, headers(question.witnesses)));
        }
        of_index.push(self.ask_for_news(question.from, question.spare_last));
        if mailbox == self.delivery {
            of_delivery.append(&mut of_index);
            of_index = std::mem::take(&mut of_delivery);
        }
        let both = [(&*self.delivery, &*of_delivery), (&*mailbox, &*of_index)];
        let both = if of_delivery.is_empty() {
            &both[1..]
        } else {
            &both[..]
        };
        Ok(Glancing {
            looking: self.mailbox.session.begin_look(both, &others)?,
            mailbox,
            from: question.from,
            witnesses: question.witnesses.to_vec(),
        })
    }

    /// Hears the answer.
    pub fn end_glance(&mut self, glancing: Glancing) -> Result<Glance> {
        let Looked { view, found, moved } = self.mailbox.session.end_look(glancing.looking)?;
        self.waited = false;
        if !self.has_looked_at(&glancing.mailbox) {
            self.looked_at.push(glancing.mailbox.clone());
        }
        let mut found = found.into_iter();
        let first = found.next();
        let second = found.next();
        let (validity, of_delivery) = first.unwrap_or((view.uid_validity, Vec::new()));
        // Where what was delivered lies in the mailbox of the index, one answer tells of both.
        let of_index = second.map(|(_, of_index)| of_index);
        let news = of_index.as_ref().unwrap_or(&of_delivery);
        let is_asked = |f: &&Fetched| f.uid.is_some_and(|uid| glancing.witnesses.contains(&uid));
        let witnesses = news.iter().filter(is_asked).filter_map(named).collect();
        let news = arrived(&glancing.mailbox, glancing.from, view, news, moved)?;
        Ok(Glance {
            delivered: Told::of(validity, of_delivery),
            witnesses,
            news,
        })
    }
}

impl Told {
    fn of(validity: UidValidity, found: Vec<Fetched>) -> Told {
        Told {
            validity,
            copies: found.iter().filter_map(copy).collect(),
            bodies: found
                .into_iter()
                .filter_map(|f| Some((f.uid?, f.body?)))
                .collect(),
        }
    }
}

fn arrived(
    mailbox: &str,
    from: u32,
    view: View,
    found: &[Fetched],
    others: Vec<Option<(UidValidity, u32)>>,
) -> Result<News> {
    // Without its name it could be a copy of any row, and it cannot be left out either.
    if found.iter().any(|f| untold(f, from)) {
        return Err(Error::new(
            Fault::Transient,
            format!("the target does not tell what names a message ({mailbox})"),
        ));
    }
    let arrived = found
        .iter()
        .filter(|f| f.uid.is_some_and(|uid| uid.0 >= from));
    Ok(News {
        view,
        arrived: arrived.filter_map(named).collect(),
        others,
    })
}

fn copy(found: &Fetched) -> Option<Copy> {
    Some(Copy {
        uid: found.uid?,
        size: found.size,
        gm_msgid: found.gm_msgid,
        internal_date: found.internal_date,
        flags: found.flags,
        header: found.header.as_deref().map(header_hash),
    })
}

/// Bytes that the headers of so many messages may have together.
fn headers(uids: &[Uid]) -> u64 {
    (METADATA_MAX * uids.len() as u64).max(HEADERS_MAX)
}

/// Its header was not told, or is NIL: that is no message without a name.
fn untold(found: &Fetched, from: u32) -> bool {
    found.naming().is_none() && found.uid.is_some_and(|uid| uid.0 >= from)
}
