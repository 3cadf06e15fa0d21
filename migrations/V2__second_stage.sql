-- How many incarnations of a mailbox in a row, this one included, were seen only once: a mailbox whose
-- UIDs are other ones each time that it is opened is known by what names its messages alone.
ALTER TABLE mailbox ADD COLUMN seen_once INTEGER NOT NULL DEFAULT 0;

-- The first id that a row made for this incarnation can have: rows that moved here have lower ones. And
-- `inherited` may be 3: an incarnation whose UIDVALIDITY came back, which had rows of its own before.
ALTER TABLE mailbox ADD COLUMN first_id INTEGER NOT NULL DEFAULT 0;

-- When UIDs change their meaning, a message's row moves to its new UID; the row that was made for
-- that UID meanwhile goes. What refers to a row that goes must be found without reading everything.
CREATE INDEX message_superseded ON message (superseded_by) WHERE superseded_by IS NOT NULL;
CREATE INDEX imported_vouched_for ON imported (vouched_for) WHERE vouched_for IS NOT NULL;

-- New mail that waits, newest first: under a daily limit of bytes it goes before everything else.
CREATE INDEX message_waiting ON message (mailbox_id, source_uid) WHERE status = 'pending';
