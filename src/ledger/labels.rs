//! The labels that copies are still to get: written down with the delivery that makes them due, taken out when they
//! are there. Not for putting them there (`engine::labels`).

use rusqlite::{OptionalExtension, Transaction, params};

use super::folders::destination;
use super::index::FREE;
use super::open::Ledger;
use super::row::{LOOKED_AT, Place, Proof, place_of};
use super::value::RowId;
use crate::error::Result;
use crate::folder::{Destination, DestinationId, SpecialUse, Spot};
use crate::message::UidValidity;

/// A copy that lacks labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debt {
    /// The row whose copy it is.
    pub row: RowId,
    /// Where the copy is, as far as is known.
    pub place: Option<Place>,
    /// The mailbox of that place.
    pub mailbox: Option<String>,
    /// Its X-GM-MSGID, as far as is known.
    pub gm_msgid: Option<u64>,
    pub labels: Vec<Spot>,
}

impl Ledger {
    /// Does a copy lack a label? Not one that is still to be looked at.
    pub fn owes_labels(&self) -> Result<bool> {
        self.read(|db| {
            db.prepare_cached(
                &format!("SELECT EXISTS (SELECT 1 FROM label_owed o CROSS JOIN message m ON m.id = o.message_id WHERE {LOOKED_AT})"),
            )?
            .query_row([], |r| r.get(0))
        })
    }

    /// Copies that lack labels, so many at the most, of the rows after this one in their order.
    pub fn labels_owed(&self, most: usize, after: RowId) -> Result<Vec<Debt>> {
        self.read(|db| {
            let mut query = db.prepare_cached(&format!(
                "SELECT o.message_id AS id, m.gmail_mailbox, m.gmail_uid_validity, m.gmail_uid, m.gm_msgid, b.name AS mailbox,
                        json_group_array(o.label) AS labels
                   FROM label_owed o CROSS JOIN message m ON m.id = o.message_id
                   LEFT JOIN gmail_mailbox b ON b.id = m.gmail_mailbox
                  WHERE o.message_id > ?2 AND {LOOKED_AT}
                  GROUP BY o.message_id ORDER BY o.message_id LIMIT ?1",
            ))?;
            let rows = query.query_map(params![most as i64, after], |r| {
                let labels: String = r.get("labels")?;
                let labels: Vec<String> = serde_json::from_str(&labels).unwrap_or_default();
                Ok(Debt {
                    row: r.get("id")?,
                    place: place_of(r)?,
                    mailbox: r.get("mailbox")?,
                    gm_msgid: r.get("gm_msgid")?,
                    labels: labels.iter().map(|label| Spot::of(label)).collect(),
                })
            })?;
            rows.collect()
        })
    }

    /// These copies have these labels, or will never get them.
    pub fn settle_labels(&mut self, settled: &[Debt]) -> Result<()> {
        self.write(|t| {
            let mut done =
                t.prepare_cached("DELETE FROM label_owed WHERE message_id = ?1 AND label = ?2")?;
            for debt in settled {
                for label in &debt.labels {
                    done.execute(params![debt.row, label.text()])?;
                }
            }
            Ok(())
        })
    }

    /// Where the index has seen a message last in a mailbox that has this row's Message-ID and Date and vouches for no
    /// row.
    pub fn index_place_by_name(&self, mailbox: &str, row: RowId) -> Result<Option<Place>> {
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT g.mailbox_id, b.uid_validity, g.uid, g.gm_msgid FROM message r
                   JOIN gmail_message g ON g.message_id_hash = r.message_id_hash AND g.date_header IS r.date_header
                   JOIN gmail_mailbox b ON b.id = g.mailbox_id
                  WHERE r.id = ?2 AND b.name = ?1 AND {FREE} ORDER BY g.uid DESC LIMIT 1",
            ))?
            .query_row(params![mailbox, row], |r| {
                Ok(Place {
                    mailbox: r.get(0)?,
                    uid_validity: r.get::<_, UidValidity>(1)?,
                    uid: r.get(2)?,
                    gm_msgid: r.get(3)?,
                })
            })
            .optional()
        })
    }

    /// Where the index has seen this message last in a mailbox, by its X-GM-MSGID.
    pub fn index_place(&self, mailbox: &str, gm_msgid: u64) -> Result<Option<Place>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT g.mailbox_id, b.uid_validity, g.uid FROM gmail_message g JOIN gmail_mailbox b ON b.id = g.mailbox_id
                  WHERE g.gm_msgid = ?2 AND b.name = ?1 ORDER BY g.uid DESC LIMIT 1",
            )?
            .query_row(params![mailbox, gm_msgid], |r| {
                Ok(Place {
                    mailbox: r.get(0)?,
                    uid_validity: r.get::<_, UidValidity>(1)?,
                    uid: r.get(2)?,
                    gm_msgid: Some(gm_msgid),
                })
            })
            .optional()
        })
    }
}

/// Writes down what labels are due because this row is delivered by this proof, as its folder has them.
///
/// What was sent lies in its mailbox already, so that it lacks the labels besides. What has the bytes of
/// another row's message is one with that copy, which lacks the mailbox's label as well. What was there before, or was
/// copied by the predecessor, is left as it is unless its rule says otherwise.
pub(super) fn owe(t: &Transaction<'_>, id: RowId, proof: Proof) -> rusqlite::Result<()> {
    let (own, sent): (Option<DestinationId>, bool) = t
        .prepare_cached(
            "SELECT destination_id, mark_id IS NOT NULL OR unseen > 0 FROM message WHERE id = ?1",
        )?
        .query_row([id], |r| r.try_into())?;
    let Some(own) = own else {
        return Ok(());
    };
    let own = destination(t, own)?;
    if own == Destination::inbox() && proof != Proof::Same {
        return Ok(());
    }
    match proof {
        Proof::Appended | Proof::Merged => add(t, id, &labels(&own)),
        Proof::Found if sent => add(t, id, &labels(&own)),
        Proof::Found if own.label_found => add(t, id, &for_found(&own)),
        // An import gives all of them.
        Proof::Found | Proof::Imported | Proof::ImportedByApi => Ok(()),
        Proof::Same => {
            let Some((twin, found, theirs)) = twin(t, id)? else {
                return Ok(());
            };
            if found && !own.label_found {
                return Ok(());
            }
            // Of a copy that was there before nobody knows what it has: to give a label twice does no harm.
            let theirs = theirs.filter(|_| !found);
            let has = theirs.map(|theirs| all(&theirs)).unwrap_or_default();
            let mut lacks = if found { for_found(&own) } else { all(&own) };
            lacks.retain(|label| !has.contains(label));
            add(t, twin, &lacks)
        }
    }
}

/// The row that was delivered with the bytes of this one, whether its copy was there before, and where it went.
fn twin(
    t: &Transaction<'_>,
    id: RowId,
) -> rusqlite::Result<Option<(RowId, bool, Option<Destination>)>> {
    let twin: Option<(RowId, bool, Option<DestinationId>)> = t
        .prepare_cached(
            "SELECT m.id, m.there_before OR m.proof = 'imported', m.destination_id FROM message m
              WHERE m.sha256 = (SELECT sha256 FROM message WHERE id = ?1) AND m.id <> ?1 AND m.superseded_by IS NULL
                AND m.status = 'delivered' AND m.proof <> 'same'
              ORDER BY m.destination_id IN (SELECT id FROM destination WHERE spot IN ('\\Junk', '\\Trash')),
                       m.there_before OR m.proof = 'imported', m.id LIMIT 1",
        )?
        .query_row([id], |r| r.try_into())
        .optional()?;
    let Some((twin, found, went)) = twin else {
        return Ok(None);
    };
    let went = went.map(|went| destination(t, went)).transpose()?;
    Ok(Some((twin, found, went)))
}

fn labels(of: &Destination) -> Vec<Spot> {
    of.labels.iter().cloned().map(Spot::Label).collect()
}

/// The labels, and the mailbox's own. A copy that is somewhere else is neither spam nor thrown away for this one.
fn all(of: &Destination) -> Vec<Spot> {
    let mut all = labels(of);
    match of.spot {
        Spot::Use(SpecialUse::Archive | SpecialUse::Junk | SpecialUse::Trash) => {}
        Spot::Inbox | Spot::Label(_) | Spot::Use(SpecialUse::Sent | SpecialUse::Drafts) => {
            all.push(of.spot.clone());
        }
    }
    all
}

/// Those for a copy that was there before: what its owner has archived is not put back into the inbox.
fn for_found(of: &Destination) -> Vec<Spot> {
    let mut all = all(of);
    all.retain(|label| *label != Spot::Inbox);
    all
}

fn add(t: &Transaction<'_>, id: RowId, labels: &[Spot]) -> rusqlite::Result<()> {
    let mut insert =
        t.prepare_cached("INSERT OR IGNORE INTO label_owed (message_id, label) VALUES (?1, ?2)")?;
    labels
        .iter()
        .try_for_each(|label| insert.execute(params![id, label.text()]).map(|_| ()))
}
