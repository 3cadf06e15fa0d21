PRAGMA application_id = 1764910957;
CREATE TABLE refinery_schema_history(
             version int4 PRIMARY KEY,
             name VARCHAR(255),
             applied_on VARCHAR(255),
             checksum VARCHAR(255));
INSERT INTO refinery_schema_history VALUES (1, 'ledger', '2026-11-29T11:16:49.777623427Z', '16792794294290993711');
INSERT INTO refinery_schema_history VALUES (2, 'second_stage', '2026-11-29T11:16:49.777660415Z', '14898370618243051411');
INSERT INTO refinery_schema_history VALUES (3, 'folders', '2026-11-29T11:16:49.777666707Z', '11996208977513506142');
INSERT INTO refinery_schema_history VALUES (4, 'destinations', '2026-11-29T16:44:39.827103751Z', '2222158629313542928');
CREATE TABLE status (name TEXT PRIMARY KEY, meaning TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO status VALUES ('delivered', 'the target has it; proof says how we know');
INSERT INTO status VALUES ('failed', 'given up and known not to be in the target; retry-failed revives it');
INSERT INTO status VALUES ('gone', 'no longer in the source, or superseded by a row of a newer incarnation');
INSERT INTO status VALUES ('in_flight', 'claimed; the target may or may not have it');
INSERT INTO status VALUES ('pending', 'waits for next_attempt_at');
INSERT INTO status VALUES ('skipped', 'a person gave it up for good');
CREATE TABLE proof (name TEXT PRIMARY KEY, meaning TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO proof VALUES ('appended', 'the target said OK to our APPEND');
INSERT INTO proof VALUES ('found', 'seen in the target with this Message-ID and Date, or with these bytes');
INSERT INTO proof VALUES ('imported', 'the predecessor''s state file vouches for it');
INSERT INTO proof VALUES ('merged', 'the target put it together with an equal message that it had');
INSERT INTO proof VALUES ('same', 'another row with the same bytes was delivered');
CREATE TABLE fault (name TEXT PRIMARY KEY, meaning TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO fault VALUES ('connection', 'a session was lost');
INSERT INTO fault VALUES ('fatal', 'the process');
INSERT INTO fault VALUES ('needs_user', 'the account, until a person acts');
INSERT INTO fault VALUES ('permanent', 'this message');
INSERT INTO fault VALUES ('throttled', 'the account, for a while');
INSERT INTO fault VALUES ('transient', 'this attempt at this message');
CREATE TABLE route (
    id            INTEGER PRIMARY KEY CONSTRAINT one_route CHECK (id = 1),
    source_user   TEXT NOT NULL,
    source_server TEXT NOT NULL,
    target_user   TEXT NOT NULL,
    target_server TEXT NOT NULL,
    created_at    TEXT NOT NULL
) STRICT;
INSERT INTO route VALUES (1, 'a', 'b', 'c', 'd', '2024-05-01T12:00:00Z');
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
    retired_at    TEXT, seen_once INTEGER NOT NULL DEFAULT 0, first_id INTEGER NOT NULL DEFAULT 0, folder_id INTEGER REFERENCES folder (id),
    CONSTRAINT one_row_per_incarnation UNIQUE (name, incarnation)
) STRICT;
INSERT INTO mailbox VALUES (1, 'INBOX', 1, 1, 20, 20, 'all', '2024-05-01T12:00:00Z', 1, 1, '2024-05-01T12:00:00Z', 0, 0, 1);
INSERT INTO mailbox VALUES (2, 'INBOX', 2, 2, 40, 40, 'all', '2024-05-01T12:00:00Z', 1, 1, NULL, 1, 10, 1);
CREATE TABLE gmail_mailbox (
    id            INTEGER PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    uid_validity  INTEGER NOT NULL,
    next_uid      INTEGER NOT NULL,              -- every message from here on is unknown
    covered_since TEXT    NOT NULL               -- messages with an older INTERNALDATE may be unknown
) STRICT;
INSERT INTO gmail_mailbox VALUES (1, 'All', 1, 10, '9999-12-31T23:59:59Z');
CREATE TABLE gmail_message (
    mailbox_id      INTEGER NOT NULL REFERENCES gmail_mailbox (id),
    uid             INTEGER NOT NULL,
    message_id_hash BLOB,
    date_header     TEXT,
    size            INTEGER,
    gm_msgid        INTEGER,
    PRIMARY KEY (mailbox_id, uid)
) STRICT, WITHOUT ROWID;
INSERT INTO gmail_message VALUES (1, 1, X'AB6F5B02DDE3469748CA29BC688479DF', 'Wed, 1 May 2024 12:00:00 +0000', 101, NULL);
INSERT INTO gmail_message VALUES (1, 2, X'AF508A6869B92CB64085F0C9387D6564', 'Wed, 1 May 2024 12:00:00 +0000', 102, NULL);
INSERT INTO gmail_message VALUES (1, 3, X'85BDD3BC50091239F152B61565CCDB10', 'Wed, 1 May 2024 12:00:00 +0000', 103, NULL);
INSERT INTO gmail_message VALUES (1, 4, X'046401D8FB84590347E229BE2D01E417', 'Wed, 1 May 2024 12:00:00 +0000', 104, NULL);
INSERT INTO gmail_message VALUES (1, 5, X'0F37CA61D08B93C80E60E696F5F96E66', 'Wed, 1 May 2024 12:00:00 +0000', 105, NULL);
INSERT INTO gmail_message VALUES (1, 6, X'9B43AAD48DCC4F451DC137D1546EA75A', 'Wed, 1 May 2024 12:00:00 +0000', 106, NULL);
INSERT INTO gmail_message VALUES (1, 7, X'5702EE4EC70679ACFF2FD06ED8BA0617', 'Wed, 1 May 2024 12:00:00 +0000', 107, NULL);
INSERT INTO gmail_message VALUES (1, 8, X'1536045BD8B59C8202444FE5D14C285A', 'Wed, 1 May 2024 12:00:00 +0000', 108, NULL);
INSERT INTO gmail_message VALUES (1, 9, X'E04E2EE09A0A534F0B745D8202DE54AF', 'Wed, 1 May 2024 12:00:00 +0000', 109, NULL);
CREATE TABLE mark (
    id      INTEGER PRIMARY KEY,
    made_at TEXT NOT NULL
) STRICT;
INSERT INTO mark VALUES (1, '2024-05-01T12:00:00Z');
INSERT INTO mark VALUES (2, '2024-05-01T12:00:00Z');
CREATE TABLE mark_mailbox (
    mark_id          INTEGER NOT NULL REFERENCES mark (id),
    gmail_mailbox_id INTEGER NOT NULL REFERENCES gmail_mailbox (id),
    uid_validity     INTEGER NOT NULL,
    uid_next         INTEGER NOT NULL,
    PRIMARY KEY (mark_id, gmail_mailbox_id)
) STRICT, WITHOUT ROWID;
INSERT INTO mark_mailbox VALUES (1, 1, 1, 10);
INSERT INTO mark_mailbox VALUES (2, 1, 1, 10);
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
    gm_msgid        INTEGER, destination_id INTEGER REFERENCES destination (id), there_before INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT one_row_per_uid UNIQUE (mailbox_id, source_uid),
    CONSTRAINT delivered_has_proof CHECK
        ((status = 'delivered') = (proof IS NOT NULL AND delivered_at IS NOT NULL)),
    CONSTRAINT failed_has_reason CHECK (status <> 'failed' OR last_error IS NOT NULL),
    CONSTRAINT in_flight_since_when CHECK (status <> 'in_flight' OR in_flight_since IS NOT NULL),
    CONSTRAINT mark_until_seen CHECK
        (mark_id IS NULL OR (sha256 IS NOT NULL AND (status = 'in_flight' OR (status = 'delivered' AND verified_at IS NULL)))),
    CONSTRAINT hash_with_message_id CHECK ((message_id IS NULL) = (message_id_hash IS NULL))
) STRICT;
INSERT INTO message VALUES (1, 2, 21, '<1@example.org>', X'AB6F5B02DDE3469748CA29BC688479DF', 'Wed, 1 May 2024 12:00:00 +0000', '2024-05-01T11:59:00Z', 100, '', 'delivered', 'appended', 1, 0, '2024-05-01T12:00:00Z', NULL, NULL, NULL, NULL, NULL, '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', NULL, X'0101010101010101010101010101010101010101010101010101010101010101', X'0101010101010101010101010101010101010101010101010101010101010101', 0, NULL, 1, 1, 1, 51, 51, 1, 0);
INSERT INTO message VALUES (2, 2, 22, '<2@example.org>', X'AF508A6869B92CB64085F0C9387D6564', 'Wed, 1 May 2024 12:00:00 +0000', '2024-05-01T11:58:00Z', 102, '', 'failed', NULL, 1, 0, '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', 'permanent', 'the target''s words: "no"', 'it''s \ "this"', 'Jörg', '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', NULL, NULL, X'0202020202020202020202020202020202020202020202020202020202020202', X'0202020202020202020202020202020202020202020202020202020202020202', 0, NULL, NULL, NULL, NULL, NULL, NULL, 1, 0);
INSERT INTO message VALUES (3, 2, 23, '<3@example.org>', X'85BDD3BC50091239F152B61565CCDB10', 'Wed, 1 May 2024 12:00:00 +0000', '2024-05-01T11:57:00Z', 100, '', 'delivered', 'merged', 1, 0, '2024-05-01T12:00:00Z', NULL, NULL, NULL, NULL, NULL, '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', X'0303030303030303030303030303030303030303030303030303030303030303', NULL, 1, NULL, NULL, 1, 1, 70, 7, 1, 0);
INSERT INTO message VALUES (4, 2, 24, '<4@example.org>', X'046401D8FB84590347E229BE2D01E417', 'Wed, 1 May 2024 12:00:00 +0000', '2024-05-01T11:56:00Z', 100, '', 'skipped', NULL, 1, 0, '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', 'permanent', 'the target''s words: "no"', 'it''s \ "this"', 'Jörg', '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', NULL, NULL, X'0404040404040404040404040404040404040404040404040404040404040404', X'0404040404040404040404040404040404040404040404040404040404040404', 0, NULL, NULL, NULL, NULL, NULL, NULL, 1, 0);
INSERT INTO message VALUES (5, 2, 25, '<5@example.org>', X'0F37CA61D08B93C80E60E696F5F96E66', 'Wed, 1 May 2024 12:00:00 +0000', '2024-05-01T11:55:00Z', 100, '', 'delivered', 'found', 1, 0, '2024-05-01T12:00:00Z', NULL, NULL, NULL, NULL, NULL, '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', NULL, X'0505050505050505050505050505050505050505050505050505050505050505', X'0505050505050505050505050505050505050505050505050505050505050505', 0, NULL, NULL, 1, 1, 71, 71, 1, 1);
INSERT INTO message VALUES (6, 1, 6, '<6@example.org>', X'9B43AAD48DCC4F451DC137D1546EA75A', 'Wed, 1 May 2024 12:00:00 +0000', '2024-05-01T11:54:00Z', 100, '', 'gone', NULL, 1, 0, '2024-05-01T12:00:00Z', NULL, NULL, NULL, NULL, NULL, '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', NULL, NULL, X'0606060606060606060606060606060606060606060606060606060606060606', X'0606060606060606060606060606060606060606060606060606060606060606', 0, NULL, NULL, NULL, NULL, NULL, NULL, 1, 0);
INSERT INTO message VALUES (7, 2, 27, '<7@example.org>', X'5702EE4EC70679ACFF2FD06ED8BA0617', 'Wed, 1 May 2024 12:00:00 +0000', '2024-05-01T11:53:00Z', 107, '', 'pending', NULL, 1, 0, '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', 'permanent', 'the target''s words: "no"', NULL, NULL, '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', NULL, NULL, X'0707070707070707070707070707070707070707070707070707070707070707', X'0707070707070707070707070707070707070707070707070707070707070707', 0, NULL, NULL, NULL, NULL, NULL, NULL, 1, 0);
INSERT INTO message VALUES (8, 2, 28, '<8@example.org>', X'1536045BD8B59C8202444FE5D14C285A', 'Wed, 1 May 2024 12:00:00 +0000', '2024-05-01T11:52:00Z', 100, '', 'delivered', 'same', 1, 0, '2024-05-01T12:00:00Z', NULL, NULL, NULL, NULL, NULL, '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', NULL, X'0808080808080808080808080808080808080808080808080808080808080808', X'0808080808080808080808080808080808080808080808080808080808080808', 0, NULL, NULL, NULL, NULL, NULL, NULL, 1, 0);
INSERT INTO message VALUES (9, 2, 29, '<9@example.org>', X'E04E2EE09A0A534F0B745D8202DE54AF', 'Wed, 1 May 2024 12:00:00 +0000', '2024-05-01T11:51:00Z', 100, '', 'delivered', 'imported', 1, 0, '2024-05-01T12:00:00Z', NULL, NULL, NULL, NULL, NULL, '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', NULL, X'0909090909090909090909090909090909090909090909090909090909090909', X'0909090909090909090909090909090909090909090909090909090909090909', 0, NULL, NULL, NULL, NULL, NULL, NULL, 1, 0);
INSERT INTO message VALUES (18, 2, 30, '<30@example.org>', X'6B1DFCCE5EA377C88B794A8F0984A674', 'Wed, 1 May 2024 12:00:00 +0000', '2024-05-01T11:30:00Z', 100, '', 'delivered', 'appended', 1, 0, '2024-05-01T12:00:00Z', NULL, NULL, NULL, NULL, NULL, '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', NULL, X'1212121212121212121212121212121212121212121212121212121212121212', X'1212121212121212121212121212121212121212121212121212121212121212', 0, NULL, 2, 1, 1, 68, 68, 1, 0);
INSERT INTO message VALUES (19, 2, 31, '<31@example.org>', X'3E51E8E6E6D61E999A7E2F8591D11DBF', 'Wed, 1 May 2024 12:00:00 +0000', '2024-05-01T11:29:00Z', 100, '', 'failed', NULL, 1, 0, '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', 'permanent', 'the target''s words: "no"', 'it''s \ "this"', 'Jörg', '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', NULL, NULL, X'1313131313131313131313131313131313131313131313131313131313131313', X'1313131313131313131313131313131313131313131313131313131313131313', 0, NULL, NULL, NULL, NULL, NULL, NULL, 1, 0);
INSERT INTO message VALUES (20, 2, 32, '<32@example.org>', X'54FF3526BEBE5F3BAC556A5DB09E07B3', 'Wed, 1 May 2024 12:00:00 +0000', '2024-05-01T11:28:00Z', 100, '', 'in_flight', NULL, 1, 0, '2024-05-01T12:00:00Z', NULL, NULL, NULL, NULL, NULL, '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', NULL, NULL, X'1414141414141414141414141414141414141414141414141414141414141414', X'1414141414141414141414141414141414141414141414141414141414141414', 0, NULL, 2, NULL, NULL, NULL, NULL, 1, 0);
CREATE TABLE imported (
    message_id_hash BLOB PRIMARY KEY,
    message_id      TEXT NOT NULL,               -- as people read it
    imported_at     TEXT NOT NULL,
    vouched_for     INTEGER REFERENCES message (id) -- NULL: for none yet
) STRICT, WITHOUT ROWID;
INSERT INTO imported VALUES (X'E04E2EE09A0A534F0B745D8202DE54AF', '<9@example.org>', '2024-05-01T12:00:00Z', 9);
CREATE TABLE upload (hour TEXT PRIMARY KEY, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO upload VALUES ('2024-05-01T12', 1200);
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
INSERT INTO heartbeat VALUES ('deliver', '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', NULL, 'needs_user', 'it''s your turn', 'sign in', '2024-05-01T12:00:00Z');
INSERT INTO heartbeat VALUES ('watch', '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', NULL, NULL, NULL, NULL, NULL);
CREATE TABLE folder (
    id     INTEGER PRIMARY KEY,
    source TEXT NOT NULL CONSTRAINT one_folder_per_mailbox UNIQUE,
    name TEXT NOT NULL DEFAULT 'INBOX', destination_id INTEGER REFERENCES destination (id), mapped_id INTEGER REFERENCES destination (id), copied INTEGER NOT NULL DEFAULT 1, absent_since TEXT) STRICT;
INSERT INTO folder VALUES (1, 'INBOX', 'INBOX', 1, 1, 1, NULL);
INSERT INTO folder VALUES (2, 'Work', 'Work', 2, 2, 1, NULL);
CREATE TABLE destination (
    id          INTEGER PRIMARY KEY,
    spot        TEXT    NOT NULL,
    labels      TEXT    NOT NULL DEFAULT '[]',
    label_found INTEGER NOT NULL DEFAULT 0,      -- 1: also copies that the target had already get the labels
    CONSTRAINT one_row_per_destination UNIQUE (spot, labels, label_found)
) STRICT;
INSERT INTO destination VALUES (1, 'INBOX', '[]', 0);
INSERT INTO destination VALUES (2, 'Work/A', '["it''s \"old\""]', 1);
CREATE TABLE label_owed (
    message_id INTEGER NOT NULL REFERENCES message (id) ON DELETE CASCADE,
    label      TEXT    NOT NULL,
    PRIMARY KEY (message_id, label)
) STRICT, WITHOUT ROWID;
INSERT INTO label_owed VALUES (1, 'it''s "old"');
CREATE INDEX gmail_message_nameless ON gmail_message (mailbox_id, uid) WHERE message_id_hash IS NULL;
CREATE INDEX gmail_message_by_gm_msgid ON gmail_message (gm_msgid) WHERE gm_msgid IS NOT NULL;
CREATE INDEX gmail_message_by_message_id ON gmail_message (message_id_hash) WHERE message_id_hash IS NOT NULL;
CREATE INDEX message_given_up ON message (status) WHERE status IN ('skipped', 'gone') AND superseded_by IS NULL;
CREATE INDEX message_pending ON message
    (internal_date DESC, id DESC, mailbox_id, next_attempt_at, discovered_at, in_flight_since, size) WHERE status = 'pending';
CREATE INDEX message_due ON message (mailbox_id, next_attempt_at) WHERE status = 'pending';
CREATE INDEX message_discovered ON message (discovered_at) WHERE status = 'pending';
CREATE INDEX message_tried ON message (in_flight_since) WHERE status = 'pending' AND in_flight_since IS NOT NULL;
CREATE INDEX message_in_flight ON message (id) WHERE status = 'in_flight';
CREATE INDEX message_marked ON message (mark_id) WHERE mark_id IS NOT NULL;
CREATE INDEX message_unverified ON message (id) WHERE proof = 'appended' AND verified_at IS NULL;
CREATE INDEX message_failed ON message (internal_date DESC, id DESC) WHERE status = 'failed' AND superseded_by IS NULL;
CREATE INDEX message_by_message_id ON message (message_id_hash, mailbox_id, source_uid) WHERE message_id_hash IS NOT NULL;
CREATE INDEX message_nameless ON message (internal_date, mailbox_id) WHERE message_id_hash IS NULL;
CREATE INDEX message_unhashed ON message (message_id_hash) WHERE status = 'delivered' AND sha256 IS NULL;
CREATE INDEX message_by_sha256 ON message (sha256, mailbox_id) WHERE sha256 IS NOT NULL AND superseded_by IS NULL;
CREATE INDEX message_by_gm_msgid ON message (gm_msgid) WHERE gm_msgid IS NOT NULL;
CREATE INDEX message_by_gmail_uid ON message (gmail_mailbox, gmail_uid) WHERE gmail_uid IS NOT NULL;
CREATE INDEX message_superseded ON message (superseded_by) WHERE superseded_by IS NOT NULL;
CREATE INDEX imported_vouched_for ON imported (vouched_for) WHERE vouched_for IS NOT NULL;
CREATE INDEX message_waiting ON message (mailbox_id, source_uid) WHERE status = 'pending';
CREATE INDEX mailbox_of_folder ON mailbox (folder_id);
CREATE INDEX message_delivered ON message (proof, delivered_at, superseded_by, size)
    WHERE status = 'delivered' AND superseded_by IS NULL;
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
