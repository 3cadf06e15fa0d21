-- The second road into Gmail: new mail of a folder may go through Gmail's API, which scans and sorts it as mail that came.
ALTER TABLE folder ADD COLUMN by_import INTEGER NOT NULL DEFAULT 0;       -- 1: its new mail takes that road
ALTER TABLE folder ADD COLUMN never_mark_spam INTEGER NOT NULL DEFAULT 0;

INSERT INTO proof VALUES ('imported_by_api', 'Gmail''s API said yes to our import');

-- `by_import`: it was last sent through the API, so that Gmail's copy has lines of Gmail's own in front and ends with our
-- bytes. `detour`: why it did not take the road of its folder.
ALTER TABLE message ADD COLUMN by_import INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN detour TEXT;

-- What was said yes to on either road is looked at once.
DROP INDEX message_unverified;
CREATE INDEX message_unverified ON message (id) WHERE proof IN ('appended', 'imported_by_api') AND verified_at IS NULL;

-- Which of the index mailboxes is the one that Gmail puts spam into.
CREATE TABLE spam_mailbox (
    id         INTEGER PRIMARY KEY CONSTRAINT one_spam_mailbox CHECK (id = 1),
    mailbox_id INTEGER NOT NULL REFERENCES gmail_mailbox (id)
) STRICT;

-- Bytes sent through the API per hour: Gmail counts them by themselves.
CREATE TABLE upload_by_import (hour TEXT PRIMARY KEY, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- While the API wants to be left alone: until when, and what it said. No row: it may be asked.
CREATE TABLE import_pause (
    id    INTEGER PRIMARY KEY CONSTRAINT one_pause CHECK (id = 1),
    until TEXT NOT NULL,
    why   TEXT NOT NULL
) STRICT;
