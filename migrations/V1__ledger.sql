-- The ledger. One row per message ever seen in the source mailbox. Rows are never deleted: a
-- missing row would be copied again. Times are UTC text, '2026-11-23T08:12:09Z': they sort, and
-- people can read them. People may read everything here, best through the views at the end.

-- Vocabularies: a later word is an INSERT in a later migration.
CREATE TABLE status (name TEXT PRIMARY KEY, meaning TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO status VALUES
    ('pending',   'waits for next_attempt_at'),
    ('in_flight', 'claimed; the target may or may not have it'),
    ('delivered', 'the target has it; proof says how we know'),
    ('failed',    'given up and known not to be in the target; retry-failed revives it'),
    ('skipped',   'a person gave it up for good'),
    ('gone',      'no longer in the source, or superseded by a row of a newer incarnation');

CREATE TABLE proof (name TEXT PRIMARY KEY, meaning TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO proof VALUES
    ('appended', 'the target said OK to our APPEND'),
    ('found',    'seen in the target with this Message-ID and Date, or with these bytes'),
    ('imported', 'the predecessor''s state file vouches for it'),
    ('same',     'another row with the same bytes was delivered'),
    ('merged',   'the target put it together with an equal message that it had');

CREATE TABLE fault (name TEXT PRIMARY KEY, meaning TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO fault VALUES
    ('connection', 'a session was lost'),
    ('transient',  'this attempt at this message'),
    ('permanent',  'this message'),
    ('throttled',  'the account, for a while'),
    ('needs_user', 'the account, until a person acts'),
    ('fatal',      'the process');

-- Whose ledger this is: users and hosts in lower case. No row yet: it may still become anyone's.
CREATE TABLE route (
    id            INTEGER PRIMARY KEY CONSTRAINT one_route CHECK (id = 1),
    source_user   TEXT NOT NULL,
    source_server TEXT NOT NULL,
    target_user   TEXT NOT NULL,
    target_server TEXT NOT NULL,
    created_at    TEXT NOT NULL
) STRICT;

-- A source mailbox in one incarnation: when its UIDs change their meaning, the same name gets a
-- new row (RFC 3501 2.3.1.1). Every UID from history_below up to next_uid has a row in message, and
-- once history_done is set so has every older message that came since start.
CREATE TABLE mailbox (
    id            INTEGER PRIMARY KEY,
    name          TEXT    NOT NULL,
    uid_validity  INTEGER NOT NULL,
    incarnation   INTEGER NOT NULL,
    next_uid      INTEGER NOT NULL,
    history_below INTEGER NOT NULL,
    since         TEXT    NOT NULL,              -- as configured when start was last set
    start         TEXT    NOT NULL,
    history_done  INTEGER NOT NULL DEFAULT 0,
    inherited     INTEGER NOT NULL DEFAULT 1,    -- 0: what older incarnations know is not taken over yet;
                                                 -- 2: it is, but for dropping what waited there
    retired_at    TEXT,
    CONSTRAINT one_row_per_incarnation UNIQUE (name, incarnation)
) STRICT;

-- The target index: which messages the target holds, as far as it has been looked at. A mirror: a
-- hit is confirmed before it counts.
CREATE TABLE gmail_mailbox (
    id            INTEGER PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    uid_validity  INTEGER NOT NULL,
    next_uid      INTEGER NOT NULL,              -- every message from here on is unknown
    covered_since TEXT    NOT NULL               -- messages with an older INTERNALDATE may be unknown
) STRICT;

CREATE TABLE gmail_message (
    mailbox_id      INTEGER NOT NULL REFERENCES gmail_mailbox (id),
    uid             INTEGER NOT NULL,
    message_id_hash BLOB,
    date_header     TEXT,
    size            INTEGER,
    gm_msgid        INTEGER,
    PRIMARY KEY (mailbox_id, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX gmail_message_nameless ON gmail_message (mailbox_id, uid) WHERE message_id_hash IS NULL;
CREATE INDEX gmail_message_by_gm_msgid ON gmail_message (gm_msgid) WHERE gm_msgid IS NOT NULL;
CREATE INDEX gmail_message_by_message_id ON gmail_message (message_id_hash) WHERE message_id_hash IS NOT NULL;

-- Where resolution begins to look for a message whose APPEND ended unseen: the state of each index
-- mailbox before that APPEND. Kept as long as a row refers to it.
CREATE TABLE mark (
    id      INTEGER PRIMARY KEY,
    made_at TEXT NOT NULL
) STRICT;

CREATE TABLE mark_mailbox (
    mark_id          INTEGER NOT NULL REFERENCES mark (id),
    gmail_mailbox_id INTEGER NOT NULL REFERENCES gmail_mailbox (id),
    uid_validity     INTEGER NOT NULL,
    uid_next         INTEGER NOT NULL,
    PRIMARY KEY (mark_id, gmail_mailbox_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE message (
    id              INTEGER PRIMARY KEY,
    mailbox_id      INTEGER NOT NULL REFERENCES mailbox (id),
    source_uid      INTEGER NOT NULL,
    message_id      TEXT,                        -- as people read it
    message_id_hash BLOB,                        -- of its raw value: what is compared
    date_header     TEXT,
    internal_date   TEXT    NOT NULL,
    size            INTEGER,                     -- NULL: its metadata could not be fetched
    flags           TEXT    NOT NULL,
    status          TEXT    NOT NULL DEFAULT 'pending' REFERENCES status (name),
    proof           TEXT    REFERENCES proof (name),
    attempt         INTEGER NOT NULL DEFAULT 0,  -- counts claims
    unseen          INTEGER NOT NULL DEFAULT 0,  -- attempts in a row whose end nobody saw
    next_attempt_at TEXT    NOT NULL,
    first_failed_at TEXT,                        -- of the charges that stand
    fault           TEXT    REFERENCES fault (name),
    last_error      TEXT,
    subject         TEXT,                        -- kept only for a message that failed
    sender          TEXT,
    discovered_at   TEXT    NOT NULL,
    in_flight_since TEXT,
    delivered_at    TEXT,
    verified_at     TEXT,
    sha256          BLOB,
    canonical       BLOB,                        -- what a copy keeps whatever the target did to its line ends
    altered         INTEGER NOT NULL DEFAULT 0,  -- 1: the copy's bytes differ from the source's
    superseded_by   INTEGER REFERENCES message (id),
    mark_id         INTEGER REFERENCES mark (id),
    gmail_mailbox   INTEGER REFERENCES gmail_mailbox (id),
    gmail_uid_validity INTEGER,
    gmail_uid       INTEGER,
    gm_msgid        INTEGER,
    CONSTRAINT one_row_per_uid UNIQUE (mailbox_id, source_uid),
    CONSTRAINT delivered_has_proof CHECK
        ((status = 'delivered') = (proof IS NOT NULL AND delivered_at IS NOT NULL)),
    CONSTRAINT failed_has_reason CHECK (status <> 'failed' OR last_error IS NOT NULL),
    CONSTRAINT in_flight_since_when CHECK (status <> 'in_flight' OR in_flight_since IS NOT NULL),
    CONSTRAINT mark_until_seen CHECK
        (mark_id IS NULL OR (sha256 IS NOT NULL AND (status = 'in_flight' OR (status = 'delivered' AND verified_at IS NULL)))),
    CONSTRAINT hash_with_message_id CHECK ((message_id IS NULL) = (message_id_hash IS NULL))
) STRICT;
-- How many were delivered, since when, and when the last one was; what nobody waits for any more.
CREATE INDEX message_delivered ON message (proof, delivered_at, superseded_by) WHERE status = 'delivered' AND superseded_by IS NULL;
CREATE INDEX message_given_up ON message (status) WHERE status IN ('skipped', 'gone') AND superseded_by IS NULL;

-- What waits: the newest first, with what else a claim looks at and what is counted of them; when the next
-- is due; and whether the clock was set back since.
CREATE INDEX message_pending ON message
    (internal_date DESC, id DESC, mailbox_id, next_attempt_at, discovered_at, in_flight_since, size) WHERE status = 'pending';
CREATE INDEX message_due ON message (mailbox_id, next_attempt_at) WHERE status = 'pending';
CREATE INDEX message_discovered ON message (discovered_at) WHERE status = 'pending';
CREATE INDEX message_tried ON message (in_flight_since) WHERE status = 'pending' AND in_flight_since IS NOT NULL;
CREATE INDEX message_in_flight ON message (id) WHERE status = 'in_flight';
CREATE INDEX message_marked ON message (mark_id) WHERE mark_id IS NOT NULL;
CREATE INDEX message_unverified ON message (id) WHERE proof = 'appended' AND verified_at IS NULL;
CREATE INDEX message_failed ON message (internal_date DESC, id DESC) WHERE status = 'failed' AND superseded_by IS NULL;

-- What names a message, and where its copy lies.
CREATE INDEX message_by_message_id ON message (message_id_hash, mailbox_id, source_uid) WHERE message_id_hash IS NOT NULL;
CREATE INDEX message_nameless ON message (internal_date, mailbox_id) WHERE message_id_hash IS NULL;
CREATE INDEX message_unhashed ON message (message_id_hash) WHERE status = 'delivered' AND sha256 IS NULL;
CREATE INDEX message_by_sha256 ON message (sha256, mailbox_id) WHERE sha256 IS NOT NULL AND superseded_by IS NULL;
CREATE INDEX message_by_gm_msgid ON message (gm_msgid) WHERE gm_msgid IS NOT NULL;
CREATE INDEX message_by_gmail_uid ON message (gmail_mailbox, gmail_uid) WHERE gmail_uid IS NOT NULL;

-- Message-IDs that the predecessor had copied, taken over by import-state. Each vouches for one
-- message.
CREATE TABLE imported (
    message_id_hash BLOB PRIMARY KEY,
    message_id      TEXT NOT NULL,               -- as people read it
    imported_at     TEXT NOT NULL,
    vouched_for     INTEGER REFERENCES message (id) -- NULL: for none yet
) STRICT, WITHOUT ROWID;

-- Bytes sent to the target per hour ('2026-11-23T08'), failed attempts included.
CREATE TABLE upload (hour TEXT PRIMARY KEY, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- Signs of life of the parts of a run, and what troubles each.
CREATE TABLE heartbeat (
    part       TEXT PRIMARY KEY,
    started_at TEXT NOT NULL,
    beat_at    TEXT NOT NULL,
    ended_at   TEXT,
    kind       TEXT REFERENCES fault (name),
    trouble    TEXT,
    hint       TEXT,
    since      TEXT
) STRICT, WITHOUT ROWID;

-- For people: sqlite3 -box sync_state.db 'SELECT * FROM problems'
CREATE VIEW summary AS
    SELECT status, count(*) AS messages, sum(size) AS bytes, min(internal_date) AS oldest, max(internal_date) AS newest
      FROM message
     WHERE superseded_by IS NULL
     GROUP BY status;

CREATE VIEW problems AS
    SELECT m.id, b.name AS mailbox, m.source_uid, m.status, m.attempt, m.next_attempt_at, m.fault, m.last_error,
           m.message_id, m.sender, m.subject, m.size
      FROM message m JOIN mailbox b ON b.id = m.mailbox_id
     WHERE m.superseded_by IS NULL
       AND (m.status IN ('failed', 'in_flight') OR (m.status = 'pending' AND m.first_failed_at IS NOT NULL))
     ORDER BY m.internal_date DESC;
