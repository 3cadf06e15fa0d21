-- How many incarnations of a mailbox in a row, this one included, were seen only once: a mailbox whose
-- UIDs are other ones each time that it is opened is known by what names its messages alone.
ALTER TABLE mailbox ADD COLUMN seen_once INTEGER NOT NULL DEFAULT 0;

-- The first id that a row made for this incarnation can have: rows that moved here have lower ones. And
-- `inherited` may be 3: an incarnation whose UIDVALIDITY came back, which had rows of its own before.
ALTER TABLE mailbox ADD COLUMN first_id INTEGER NOT NULL DEFAULT 0;

-- What is copied where: a mailbox of the source, and the mailbox of the target that its messages go into,
-- by their names on the wire. A message belongs to the folder of its mailbox.
CREATE TABLE folder (
    id     INTEGER PRIMARY KEY,
    source TEXT NOT NULL CONSTRAINT one_folder_per_mailbox UNIQUE,
    target TEXT NOT NULL
) STRICT;
INSERT INTO folder (id, source, target) VALUES (1, 'INBOX', 'INBOX');
ALTER TABLE mailbox ADD COLUMN folder_id INTEGER REFERENCES folder (id);
UPDATE mailbox SET folder_id = 1;
CREATE INDEX mailbox_of_folder ON mailbox (folder_id);

-- When UIDs change their meaning, a message's row moves to its new UID; the row that was made for
-- that UID meanwhile goes. What refers to a row that goes must be found without reading everything.
CREATE INDEX message_superseded ON message (superseded_by) WHERE superseded_by IS NOT NULL;
CREATE INDEX imported_vouched_for ON imported (vouched_for) WHERE vouched_for IS NOT NULL;

-- New mail that waits, newest first: under a daily limit of bytes it goes before everything else.
CREATE INDEX message_waiting ON message (mailbox_id, source_uid) WHERE status = 'pending';

-- With the size: how far an import has come is counted in bytes too.
DROP INDEX message_delivered;
CREATE INDEX message_delivered ON message (proof, delivered_at, superseded_by, size) WHERE status = 'delivered' AND superseded_by IS NULL;
