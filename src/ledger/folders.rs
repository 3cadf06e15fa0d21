//! Which mailboxes of the source are copied, and where their mail goes, as of when the source last listed them. Not
//! for what they hold (`discover`).

use std::collections::{HashMap, HashSet};

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row as SqlRow, Transaction, params};

use super::open::Ledger;
use super::value::MailboxId;
use crate::error::{Error, Result};
use crate::folder::{Delivery, Destination, DestinationId, Folder, FolderId, Spot};
use crate::message::{Time, time_text};

/// A mailbox that the source lists and that the configuration wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Its name on the wire.
    pub wire: String,
    pub name: String,
    pub destination: Destination,
    pub delivery: Delivery,
}

/// What a listing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderNews {
    New(Folder),
    /// Its mail goes elsewhere from now on.
    Remapped(Folder),
    /// The configuration leaves it out from now on.
    LeftOut(Folder),
    /// The source lists it no more.
    Absent(Folder),
}

/// What `folder_row` reads of a folder `f`.
const FOLDER: &str = "f.id, f.source, f.name, f.destination_id, f.by_import, f.never_mark_spam";

struct Known {
    folder: Folder,
    mapped: DestinationId,
    copied: bool,
    absent: bool,
}

impl Ledger {
    /// The folders that are copied, INBOX first.
    pub fn folders(&self) -> Result<Vec<Folder>> {
        self.read(|db| {
            db.prepare_cached(
                &format!("SELECT {FOLDER} FROM folder f WHERE copied = 1 AND absent_since IS NULL ORDER BY name <> 'INBOX', id"),
            )?
            .query_map([], folder_row)?
            .collect()
        })
    }

    /// One of the folders: INBOX, or whichever is copied.
    pub fn first_folder(&self) -> Result<Folder> {
        let first = self.all_folders()?.into_iter().next();
        first.ok_or_else(|| {
            Error::fatal(format!("{}: there is no folder in it", self.path.display()))
        })
    }

    /// All folders that there ever were, those first that are copied.
    pub fn all_folders(&self) -> Result<Vec<Folder>> {
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT {FOLDER} FROM folder f ORDER BY copied = 0, name <> 'INBOX', id"
            ))?
            .query_map([], folder_row)?
            .collect()
        })
    }

    /// Does the configuration leave this folder out now?
    pub fn is_left_out(&self, folder: FolderId) -> Result<bool> {
        self.read(|db| {
            db.prepare_cached("SELECT copied = 0 FROM folder WHERE id = ?1")?
                .query_row([folder], |r| r.get(0))
        })
    }

    /// The folder that an incarnation of a mailbox belongs to. It is asked for with each message, and hardly ever
    /// changes: a run, which alone lists folders and retires mailboxes, keeps it in memory.
    pub fn folder_of(&self, mailbox: MailboxId) -> Result<Folder> {
        if let Some(folder) = self.folders.borrow().get(&mailbox) {
            return Ok(folder.clone());
        }
        let folder = self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT {FOLDER} FROM mailbox b JOIN folder f ON f.id = b.folder_id WHERE b.id = ?1"
            ))?
            .query_row([mailbox], folder_row)
            .optional()
        })?;
        let folder = folder.ok_or_else(|| {
            Error::fatal(format!(
                "{}: there is no folder for mailbox {}",
                self.path.display(),
                mailbox.0
            ))
        })?;
        if self.is_a_runs() {
            let mut known = self.folders.borrow_mut();
            known.insert(mailbox, folder.clone());
        }
        Ok(folder)
    }

    /// Where messages go.
    pub fn destination(&self, id: DestinationId) -> Result<Destination> {
        self.read(|db| destination(db, id))
    }

    /// Takes note of all mailboxes that the source lists: those that are wanted, and the names on the wire of the
    /// others. Returns what changed.
    pub fn take_listing(
        &mut self,
        wanted: &[Mapped],
        left_out: &HashSet<String>,
        now: Time,
    ) -> Result<Vec<FolderNews>> {
        self.forget_folders();
        self.write(|t| {
            let mut known = known(t)?;
            let (mut news, mut other_road) = (Vec::new(), false);
            for mapped in wanted {
                let destination = intern(t, &mapped.destination)?;
                match known.remove(&mapped.wire) {
                    Some(before) => {
                        let moved = before.mapped != destination;
                        let goes = if moved { destination } else { before.folder.destination };
                        let folder = Folder {
                            name: mapped.name.clone(),
                            destination: goes,
                            delivery: mapped.delivery,
                            ..before.folder.clone()
                        };
                        other_road |= before.folder.delivery != folder.delivery;
                        if moved || !before.copied || before.absent || before.folder != folder {
                            let (by_import, never_mark_spam) = columns(mapped.delivery);
                            t.prepare_cached(
                                "UPDATE folder SET name = ?2, destination_id = ?3, mapped_id = ?4, copied = 1, absent_since = NULL,
                                        by_import = ?5, never_mark_spam = ?6
                                  WHERE id = ?1",
                            )?
                            .execute(params![folder.id, mapped.name, goes, destination, by_import, never_mark_spam])?;
                        }
                        if !before.copied || before.absent {
                            news.push(FolderNews::New(folder));
                        } else if moved {
                            news.push(FolderNews::Remapped(folder));
                        }
                    }
                    None => {
                        let (by_import, never_mark_spam) = columns(mapped.delivery);
                        t.prepare_cached(
                            "INSERT INTO folder (source, name, destination_id, mapped_id, by_import, never_mark_spam)
                             VALUES (?1, ?2, ?3, ?3, ?4, ?5)",
                        )?
                        .execute(params![mapped.wire, mapped.name, destination, by_import, never_mark_spam])?;
                        news.push(FolderNews::New(Folder {
                            id: FolderId(t.last_insert_rowid()),
                            source: mapped.wire.clone(),
                            name: mapped.name.clone(),
                            destination,
                            delivery: mapped.delivery,
                        }));
                    }
                }
            }
            if other_road {
                // What waits because its road rests, and was never charged, may go by the other one now.
                t.execute(
                    "UPDATE message SET next_attempt_at = ?1 WHERE status = 'pending' AND next_attempt_at > ?1
                        AND fault = 'throttled' AND first_failed_at IS NULL",
                    [time_text(now)],
                )?;
            }
            for (wire, before) in known {
                if left_out.contains(&wire) {
                    if before.copied || before.absent {
                        t.prepare_cached("UPDATE folder SET copied = 0, absent_since = NULL WHERE id = ?1")?
                            .execute([before.folder.id])?;
                    }
                    if before.copied {
                        news.push(FolderNews::LeftOut(before.folder));
                    }
                } else if !before.absent {
                    t.prepare_cached("UPDATE folder SET absent_since = ?2 WHERE id = ?1")?
                        .execute(params![before.folder.id, time_text(now)])?;
                    if before.copied {
                        news.push(FolderNews::Absent(before.folder));
                    }
                }
            }
            Ok(news)
        })
    }

    /// A folder whose mailbox has another name now. Its mail goes where it went, until the configuration says
    /// something else of the new name than now.
    pub fn rename_folder(&mut self, folder: FolderId, to: &Mapped) -> Result<()> {
        self.forget_folders();
        self.write(|t| {
            let mapped = intern(t, &to.destination)?;
            t.execute(
                "UPDATE folder SET source = ?2, name = ?3, mapped_id = ?4, absent_since = NULL WHERE id = ?1",
                params![folder, to.wire, to.name, mapped],
            )?;
            t.execute(
                "UPDATE mailbox SET name = ?2 WHERE folder_id = ?1",
                params![folder, to.wire],
            )?;
            Ok(())
        })
    }

    /// The folders that the source has not listed since this moment, and in which something waits.
    pub fn absent_folders(&self, since: Time) -> Result<Vec<Folder>> {
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT {FOLDER} FROM folder f
                      WHERE f.absent_since <= ?1 AND EXISTS
                        (SELECT 1 FROM mailbox b CROSS JOIN message m INDEXED BY message_waiting
                             ON m.mailbox_id = b.id AND m.status = 'pending'
                          WHERE b.folder_id = f.id)"
            ))?
            .query_map([time_text(since)], folder_row)?
            .collect()
        })
    }

    /// What waits in a folder whose mailbox is no more is gone with it: so many of these messages at the most.
    /// Returns how many.
    pub fn give_up_folder(&mut self, folder: FolderId, most: usize) -> Result<usize> {
        self.write(|t| {
            t.execute(
                "UPDATE message SET status = 'gone' WHERE id IN
                    (SELECT m.id FROM mailbox b
                      CROSS JOIN message m INDEXED BY message_waiting ON m.mailbox_id = b.id AND m.status = 'pending'
                      WHERE b.folder_id = ?1 LIMIT ?2)",
                params![folder, most as i64],
            )
        })
    }
}

fn known(t: &Transaction<'_>) -> rusqlite::Result<HashMap<String, Known>> {
    t.prepare_cached(&format!(
        "SELECT {FOLDER}, f.mapped_id, f.copied, f.absent_since IS NOT NULL AS absent FROM folder f"
    ))?
    .query_map([], |r| {
        let folder = folder_row(r)?;
        let known = Known {
            mapped: r.get("mapped_id")?,
            copied: r.get("copied")?,
            absent: r.get("absent")?,
            folder,
        };
        Ok((known.folder.source.clone(), known))
    })?
    .collect()
}

/// The row of a destination, made where there is none.
fn intern(t: &Transaction<'_>, destination: &Destination) -> rusqlite::Result<DestinationId> {
    let labels = serde_json::Value::from(destination.labels.clone()).to_string();
    let values = params![destination.spot.text(), labels, destination.label_found];
    t.prepare_cached(
        "INSERT INTO destination (spot, labels, label_found) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?
    .execute(values)?;
    t.prepare_cached(
        "SELECT id FROM destination WHERE spot = ?1 AND labels = ?2 AND label_found = ?3",
    )?
    .query_row(values, |r| r.get(0))
}

pub(super) fn destination(db: &Connection, id: DestinationId) -> rusqlite::Result<Destination> {
    db.prepare_cached("SELECT spot, labels, label_found FROM destination WHERE id = ?1")?
        .query_row([id], |r| {
            let (spot, labels): (String, String) = (r.get("spot")?, r.get("labels")?);
            Ok(Destination {
                spot: Spot::of(&spot),
                labels: serde_json::from_str(&labels).map_err(|e| {
                    rusqlite::Error::FromSqlConversionFailure(1, Type::Text, e.into())
                })?,
                label_found: r.get("label_found")?,
            })
        })
}

fn folder_row(r: &SqlRow<'_>) -> rusqlite::Result<Folder> {
    Ok(Folder {
        id: r.get("id")?,
        source: r.get("source")?,
        name: r.get("name")?,
        destination: r.get("destination_id")?,
        delivery: if r.get("by_import")? {
            Delivery::Import {
                never_mark_spam: r.get("never_mark_spam")?,
            }
        } else {
            Delivery::Append
        },
    })
}

/// How a road stands in the columns of a folder: `by_import`, `never_mark_spam`.
fn columns(delivery: Delivery) -> (bool, bool) {
    match delivery {
        Delivery::Append => (false, false),
        Delivery::Import { never_mark_spam } => (true, never_mark_spam),
    }
}
