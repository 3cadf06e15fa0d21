//! Which rows are delivered next.

use std::collections::HashSet;

use rusqlite::{Transaction, params};

use super::budget::{BY_APPEND, Room, hour_text, uploaded_in_a_day};
use super::imported::AnotherFirst;
use super::open::Ledger;
use super::row::{COLUMNS, Row, UNVERIFIED, row};
use super::value::{RowId, time_or_null};
use crate::error::Result;
use crate::message::{Time, time_text};

/// How much one batch may hold, and which rows are due.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    pub count: usize,
    /// Bytes by RFC822.SIZE; a bigger message goes alone.
    pub bytes: u64,
    /// `--once`: every row that this run has not tried, whatever its backoff.
    pub once: bool,
}

/// What a claim under a daily limit came to.
#[derive(Debug, Default)]
pub struct Claimed {
    pub rows: Vec<Row>,
    /// Something is due and does not fit into what is left of the day.
    pub held_back: bool,
}

/// A batch is of one mailbox: so many rows of others are looked at for more of it.
const PASSED_OVER_MAX: usize = 1000;

/// Which of the rows that are due a claim looks at.
#[derive(Clone, Copy)]
struct Pick {
    /// New mail alone.
    new: bool,
    /// Also those that were put behind the others.
    behind: bool,
}

impl Ledger {
    /// Takes the next rows, newest first, and counts an attempt for each. They are of one mailbox and go into one.
    /// Never two of one Message-ID in flight, or answered and not looked at, nor two without one and of one size; a row whose last attempt
    /// ended unseen, or whose metadata are unknown, goes alone. Of several that an imported id may vouch for,
    /// the one with the lowest UID goes first. While rows are put behind the others, one row at a time, so
    /// that they wait for no more than that.
    pub fn claim(&mut self, claim: Claim, now: Time) -> Result<Vec<Row>> {
        self.write(|t| Ok(take(t, claim, None, now)?.rows))
    }

    /// As [`claim`](Self::claim), of what came after the first look at its mailbox, whatever its date.
    pub fn claim_new(&mut self, claim: Claim, now: Time) -> Result<Vec<Row>> {
        self.write(|t| {
            let new = Pick {
                new: true,
                behind: false,
            };
            let mut claimed = Claimed::default();
            let mut taken = in_flight(t)?.taken;
            gather(t, claim, new, None, now, &mut taken, &mut claimed)?;
            mark_claimed(t, &mut claimed.rows, now)?;
            Ok(claimed.rows)
        })
    }

    /// As [`claim`](Self::claim), no more than fits into so many bytes in 24 hours. New mail goes
    /// first, whatever its date; while some waits that does not fit, nothing else does.
    pub fn claim_within(&mut self, limit: u64, claim: Claim, now: Time) -> Result<Claimed> {
        self.write(|t| {
            let room = Room::of(t, BY_APPEND, limit, now)?;
            take(t, claim, Some(room), now)
        })
    }

    /// Another message got through: those that were put behind it have their turn again. For how long each
    /// has been tried stays as it is.
    pub fn call_back(&mut self, now: Time) -> Result<()> {
        self.write(|t| {
            t.execute(
                "UPDATE message SET next_attempt_at = ?1,
                        first_failed_at = strftime('%Y-%m-%dT%H:%M:%SZ', first_failed_at,
                                                   (unixepoch(?1) - unixepoch(next_attempt_at)) || ' seconds')
                  WHERE id IN (SELECT id FROM temp.put_behind) AND status = 'pending' AND next_attempt_at > ?1",
                [time_text(now)],
            )?;
            t.execute(
                "DELETE FROM temp.tried WHERE id IN (SELECT id FROM temp.put_behind)",
                [],
            )?;
            t.execute("DELETE FROM temp.put_behind", [])?;
            Ok(())
        })
    }

    /// These rows were charged for what turned out to be the account's: as if they had not been, and
    /// behind the others.
    pub fn uncharge(&mut self, ids: &[RowId], now: Time) -> Result<()> {
        self.write(|t| {
            for id in ids {
                t.execute(
                    "UPDATE message SET first_failed_at = NULL, fault = NULL, last_error = NULL, next_attempt_at = ?2
                      WHERE id = ?1 AND status = 'pending'",
                    params![id, time_text(now)],
                )?;
                t.execute(
                    "INSERT OR IGNORE INTO temp.put_behind (id) SELECT id FROM message WHERE id = ?1 AND status = 'pending'",
                    [id],
                )?;
            }
            Ok(())
        })
    }

    /// Is there new mail that fits into what is left of the day, and was not tried since room was last
    /// made? Bytes come free by the hour.
    pub fn new_mail_fits(&self, limit: u64, now: Time) -> Result<bool> {
        let due = due(false, "m");
        self.read(|db| {
            let Some(left) = limit.checked_sub(uploaded_in_a_day(db, now)?) else {
                return Ok(false);
            };
            db.prepare_cached(&format!(
                "SELECT EXISTS (SELECT 1 FROM mailbox b CROSS JOIN message m INDEXED BY message_waiting ON m.mailbox_id = b.id
                  WHERE m.status = 'pending' AND m.source_uid >= b.history_below AND b.retired_at IS NULL AND b.inherited = 1
                    AND coalesce(m.size, 0) <= ?3 AND {due}
                    AND (m.in_flight_since IS NULL OR m.in_flight_since < ?2 OR m.next_attempt_at > m.in_flight_since))"
            ))?
            .query_row(params![time_text(now), hour_text(now), left], |r| r.get(0))
        })
    }

    /// Is there a row that a claim could take now or later in this run, beside those in flight?
    pub fn untried(&self) -> Result<bool> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM message m JOIN mailbox b ON b.id = m.mailbox_id
                  WHERE m.status = 'pending' AND b.retired_at IS NULL AND b.inherited = 1
                    AND m.id NOT IN (SELECT id FROM temp.tried))",
            )?
            .query_row([], |r| r.get(0))
        })
    }

    /// When the next row that a claim could take is due.
    pub fn next_due(&self, now: Time) -> Result<Option<Time>> {
        // As `due`, each part by an index of its own.
        self.read(|db| {
            db.prepare_cached(
                "SELECT min(iif(EXISTS (SELECT 1 FROM message m WHERE m.status = 'pending' AND m.discovered_at > ?1 AND +m.mailbox_id = b.id)
                             OR EXISTS (SELECT 1 FROM message m WHERE m.status = 'pending' AND m.in_flight_since > ?1 AND +m.mailbox_id = b.id),
                                ?1,
                                (SELECT min(m.next_attempt_at) FROM message m WHERE m.status = 'pending' AND m.mailbox_id = b.id)))
                   FROM mailbox b WHERE b.retired_at IS NULL AND b.inherited = 1",
            )?
            .query_row([time_text(now)], |r| time_or_null(r, 0))
        })
    }

    /// A row that waited for a time within this run may be claimed again.
    pub fn wake(&mut self, id: RowId) -> Result<()> {
        self.write(|t| {
            t.execute("DELETE FROM temp.tried WHERE id = ?1", [id])?;
            Ok(())
        })
    }
}

fn take(
    t: &Transaction<'_>,
    claim: Claim,
    room: Option<Room>,
    now: Time,
) -> rusqlite::Result<Claimed> {
    let put_behind: bool = t
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM temp.put_behind p CROSS JOIN message m ON m.id = p.id WHERE m.status = 'pending')",
        )?
        .query_row([], |r| r.get(0))?;
    let count = if put_behind { 1 } else { claim.count };
    let claim = Claim { count, ..claim };
    let InFlight {
        mut taken,
        unbooked,
    } = in_flight(t)?;
    let room = room.map(|room| Room {
        sent: room.sent.saturating_add(unbooked),
        ..room
    });
    let mut claimed = Claimed::default();
    for behind in [false, true] {
        for new in [true, false] {
            if (behind && !put_behind) || (new && room.is_none()) || !claimed.rows.is_empty() {
                continue;
            }
            let pick = Pick { new, behind };
            gather(t, claim, pick, room, now, &mut taken, &mut claimed)?;
            if new && claimed.rows.is_empty() && claimed.held_back {
                return Ok(claimed);
            }
        }
    }
    mark_claimed(t, &mut claimed.rows, now)?;
    Ok(claimed)
}

/// What is in flight, as far as it keeps others waiting.
struct InFlight {
    /// What may not be claimed beside it.
    taken: HashSet<Exclusion>,
    /// Bytes that are booked only with their mark: until then they take their room all the same.
    unbooked: u64,
}

fn in_flight(t: &Transaction<'_>) -> rusqlite::Result<InFlight> {
    let mut found = InFlight {
        taken: HashSet::new(),
        unbooked: 0,
    };
    let mut query = t.prepare_cached(
        "SELECT message_id_hash, size, mark_id IS NULL FROM message WHERE status = 'in_flight'",
    )?;
    let mut rows = query.query([])?;
    while let Some(r) = rows.next()? {
        let (name, size, is_unbooked): (_, Option<u64>, bool) = r.try_into()?;
        found.taken.insert(Exclusion::of(name, size));
        if is_unbooked {
            found.unbooked += size.unwrap_or(0);
        }
    }
    // Where copies are put together, the second of a name takes the place of the first, which nobody would see any more.
    let mut query = t.prepare_cached(&format!(
        "SELECT m.message_id_hash, m.size FROM message m WHERE {UNVERIFIED} AND m.by_import = 0"
    ))?;
    let mut rows = query.query([])?;
    while let Some(r) = rows.next()? {
        let (name, size) = r.try_into()?;
        found.taken.insert(Exclusion::of(name, size));
    }
    Ok(found)
}

fn mark_claimed(t: &Transaction<'_>, claimed: &mut [Row], now: Time) -> rusqlite::Result<()> {
    let mut take = t.prepare_cached(
        // What it waited for before the clock was set back counts no more, also where it is released as it was.
        "UPDATE message SET status = 'in_flight', attempt = ?2, in_flight_since = ?3, discovered_at = min(discovered_at, ?3),
                next_attempt_at = iif(discovered_at > ?3 OR in_flight_since > ?3, min(next_attempt_at, ?3), next_attempt_at)
          WHERE id = ?1 AND status = 'pending'",
    )?;
    let mut tried = t.prepare_cached("INSERT OR IGNORE INTO temp.tried (id) VALUES (?1)")?;
    let now = time_text(now);
    for row in claimed {
        row.attempt += 1;
        take.execute(params![row.id, row.attempt, now])?;
        tried.execute([row.id])?;
    }
    Ok(())
}

fn gather(
    t: &Transaction<'_>,
    claim: Claim,
    pick: Pick,
    room: Option<Room>,
    now: Time,
    taken: &mut HashSet<Exclusion>,
    claimed: &mut Claimed,
) -> rusqlite::Result<()> {
    let mut query = t.prepare_cached(&query(claim.once, pick))?;
    let to_import = query.column_index("to_import")?;
    let mut candidates = query.query([time_text(now)])?;
    let mut another_first = AnotherFirst::of(t, &due(claim.once, "o"), now)?;
    let mut bytes = 0;
    let mut passed_over = 0;
    while let Some(r) = candidates.next()? {
        let to_import: bool = r.get(to_import)?;
        let row = row(r)?;
        if claimed.rows.len() == claim.count || passed_over == PASSED_OVER_MAX {
            break;
        }
        let beside = claimed.rows.first().is_none_or(|first| {
            (first.mailbox_id, first.destination) == (row.mailbox_id, row.destination)
        });
        if !beside {
            passed_over += 1;
            continue;
        }
        if another_first.than(&row)? {
            continue;
        }
        let size = row.about.size.unwrap_or(claim.bytes);
        let alone = row.unseen > 0 || row.about.size.is_none();
        if !claimed.rows.is_empty() && (alone || bytes + size > claim.bytes) {
            break;
        }
        let told = row.about.size.unwrap_or(0);
        // What would never fit is claimed all the same: to be refused.
        // What is to be imported has a day of its own.
        let fits = |room: Room| to_import || told > room.limit || room.takes(bytes, told, pick.new);
        if !room.is_none_or(fits) {
            claimed.held_back = true;
            if pick.new {
                continue;
            }
            // It has its turn when there is room for it: what is smaller does not go before it.
            break;
        }
        if !taken.insert(Exclusion::of_row(&row)) {
            continue;
        }
        bytes += size;
        claimed.rows.push(row);
        if alone {
            break;
        }
    }
    Ok(())
}

/// The rows that a claim may take, newest first.
#[cfg(test)]
pub(super) fn claim_query(once: bool) -> String {
    let all = Pick {
        new: false,
        behind: false,
    };
    query(once, all)
}

fn query(once: bool, pick: Pick) -> String {
    let due = due(once, "m");
    let (rows, new, order) = if pick.new {
        (
            "mailbox b CROSS JOIN message m INDEXED BY message_waiting ON m.mailbox_id = b.id",
            " AND m.source_uid >= b.history_below",
            "b.id, m.source_uid DESC",
        )
    } else if pick.behind {
        // Whichever was put off longest ago: one that is refused for its own sake holds up none of them.
        (
            "temp.put_behind p CROSS JOIN message m ON m.id = p.id JOIN mailbox b ON b.id = m.mailbox_id",
            "",
            "m.next_attempt_at, m.size, m.id",
        )
    } else {
        (
            "message m JOIN mailbox b ON b.id = m.mailbox_id",
            "",
            "m.internal_date DESC, m.id DESC",
        )
    };
    let behind = if pick.behind {
        ""
    } else {
        " AND m.id NOT IN (SELECT id FROM temp.put_behind)"
    };
    format!(
        "SELECT {COLUMNS}, m.source_uid >= b.history_below AND (SELECT by_import FROM folder WHERE id = b.folder_id) AS to_import
           FROM {rows}
          WHERE m.status = 'pending' AND b.retired_at IS NULL AND b.inherited = 1 AND {due}{new}{behind}
          ORDER BY {order}"
    )
}

/// Which pending rows a claim may take; `?1` is the present. What was last done with a row cannot lie
/// in the future: then the clock was set back, and the time that the row waits for means nothing. The
/// claim brings its moments back, so that what it waits for from then on counts.
fn due(once: bool, row: &str) -> String {
    if once {
        format!("{row}.id NOT IN (SELECT id FROM temp.tried) AND ?1 = ?1")
    } else {
        format!(
            "({row}.next_attempt_at <= ?1 OR {row}.discovered_at > ?1 OR {row}.in_flight_since > ?1)"
        )
    }
}

/// What may not be in flight twice at a time.
#[derive(PartialEq, Eq, Hash)]
enum Exclusion {
    Name([u8; 16]),
    /// Of what has no Message-ID.
    Size(u64),
    Unknown,
}

impl Exclusion {
    fn of(name: Option<[u8; 16]>, size: Option<u64>) -> Exclusion {
        match (name, size) {
            (Some(name), _) => Exclusion::Name(name),
            (None, Some(size)) => Exclusion::Size(size),
            (None, None) => Exclusion::Unknown,
        }
    }

    fn of_row(row: &Row) -> Exclusion {
        Exclusion::of(
            row.about.message_id.as_ref().map(|m| m.hash),
            row.about.size,
        )
    }
}
