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

-- With the size: how far an import has come is counted in bytes too.
DROP INDEX message_delivered;
CREATE INDEX message_delivered ON message (proof, delivered_at, superseded_by, size)
    WHERE status = 'delivered' AND superseded_by IS NULL;
