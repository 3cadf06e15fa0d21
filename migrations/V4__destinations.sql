-- Where messages go: a place of the target (INBOX, `\Sent` and the like, or the name of a label as people read it), and
-- the labels that they get besides, a JSON list of such names. A message goes where its folder's went when it was
-- recorded, whatever the configuration says since.
CREATE TABLE destination (
    id          INTEGER PRIMARY KEY,
    spot        TEXT    NOT NULL,
    labels      TEXT    NOT NULL DEFAULT '[]',
    label_found INTEGER NOT NULL DEFAULT 0,      -- 1: also copies that the target had already get the labels
    CONSTRAINT one_row_per_destination UNIQUE (spot, labels, label_found)
) STRICT;
INSERT INTO destination (id, spot) VALUES (1, 'INBOX');

-- `source` is the mailbox's name on the wire, `name` as people read it. `mapped_id` is what the configuration said of
-- this name when the source last listed it, `destination_id` where its mail goes: another one where it was renamed.
ALTER TABLE folder ADD COLUMN name TEXT NOT NULL DEFAULT 'INBOX';
ALTER TABLE folder ADD COLUMN destination_id INTEGER REFERENCES destination (id);
ALTER TABLE folder ADD COLUMN mapped_id INTEGER REFERENCES destination (id);
ALTER TABLE folder ADD COLUMN copied INTEGER NOT NULL DEFAULT 1;  -- 0: the configuration leaves it out now
ALTER TABLE folder ADD COLUMN absent_since TEXT;                  -- the source lists it no more
UPDATE folder SET destination_id = 1, mapped_id = 1;
ALTER TABLE folder DROP COLUMN target;

ALTER TABLE message ADD COLUMN destination_id INTEGER REFERENCES destination (id);
ALTER TABLE message ADD COLUMN there_before INTEGER NOT NULL DEFAULT 0; -- 1: we sent nothing, the copy was found
UPDATE message SET destination_id = 1, there_before = coalesce(proof = 'found', 0);

-- What the copy of a delivered message is still to get: labels, written here before anything is done about it and taken
-- out when it is done. As `destination.spot` has them.
CREATE TABLE label_owed (
    message_id INTEGER NOT NULL REFERENCES message (id) ON DELETE CASCADE,
    label      TEXT    NOT NULL,
    PRIMARY KEY (message_id, label)
) STRICT, WITHOUT ROWID;
