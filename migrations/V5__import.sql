-- The second road into Gmail: new mail of a folder may go through Gmail's API, which scans and sorts it as mail that came.
ALTER TABLE folder ADD COLUMN by_import INTEGER NOT NULL DEFAULT 0;       -- 1: its new mail takes that road
ALTER TABLE folder ADD COLUMN never_mark_spam INTEGER NOT NULL DEFAULT 0;

INSERT INTO proof VALUES ('imported_by_api', 'Gmail''s API said yes to our import');

-- `by_import`: it was last sent through the API, so that Gmail's copy has lines of Gmail's own in front and ends with our
-- bytes. `refused_by`: the road that has refused it for what it is, so that it takes the other one. `detour`: in words, why
-- it does not take the road of its folder. `import_refusals`: how often the API has refused it for now.
ALTER TABLE message ADD COLUMN by_import INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN refused_by TEXT CONSTRAINT a_road CHECK (refused_by IN ('append', 'import'));
ALTER TABLE message ADD COLUMN detour TEXT;
ALTER TABLE message ADD COLUMN import_refusals INTEGER NOT NULL DEFAULT 0;

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
