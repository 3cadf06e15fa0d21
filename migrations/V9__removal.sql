-- What becomes of a message at the source when its copy is certainly in the target (`after_delivery`).

-- What is about to be done at the source with some of its messages: written before the first command of it, and gone when
-- the source was looked at afterwards. `uid_validity` and `uid_next` say where the mailbox that they are moved into stood
-- before: what lies above may be theirs.
CREATE TABLE removal (
    id           INTEGER PRIMARY KEY,
    way          TEXT NOT NULL CONSTRAINT removal_way CHECK (way IN
        ('delete',                                  -- marked as deleted, and expunged
         'move',                                    -- moved by one command
         'copy')),                                  -- put into the other mailbox besides; to be deleted afterwards
    begun_at     TEXT NOT NULL,
    moved_to     TEXT,                              -- a mailbox of the source, by its name on the wire
    uid_validity INTEGER,
    uid_next     INTEGER,
    CONSTRAINT moved_into_a_known_mailbox CHECK
        ((way = 'delete') = (moved_to IS NULL) AND (moved_to IS NULL) = (uid_validity IS NULL) AND (moved_to IS NULL) = (uid_next IS NULL))
) STRICT;

-- `removal_id`: it may have been removed since, nobody has seen whether. `removed_at`: we removed it there, which is why
-- the source has it no more. `copied_to`: the mailbox of the source that it is moved into has it already. `kept_because`,
-- `kept_until`: why it stays there, and when that is looked at again.
ALTER TABLE message ADD COLUMN removal_id INTEGER REFERENCES removal (id);
ALTER TABLE message ADD COLUMN removed_at TEXT;
ALTER TABLE message ADD COLUMN copied_to TEXT;
ALTER TABLE message ADD COLUMN kept_because TEXT;
ALTER TABLE message ADD COLUMN kept_until TEXT;
CREATE INDEX message_being_removed ON message (removal_id) WHERE removal_id IS NOT NULL;
CREATE INDEX message_removed ON message (mailbox_id, source_uid) WHERE removed_at IS NOT NULL;

-- What `after_delivery` says, since when, and from when on something is removed: a day later, since it may have been a slip of
-- the hand.
CREATE TABLE after_delivery (
    id        INTEGER PRIMARY KEY CONSTRAINT one_wish CHECK (id = 1),
    wanted    TEXT NOT NULL,
    since     TEXT NOT NULL,
    begins_at TEXT NOT NULL
) STRICT;
