-- A mail of ours in the target's INBOX, which tells a person of messages that failed.
CREATE TABLE notice (
    id               INTEGER PRIMARY KEY,
    digest           INTEGER NOT NULL,              -- 1: of all that the day's other mails have left over
    mail_id          TEXT    NOT NULL CONSTRAINT one_notice_per_mail_id UNIQUE, -- its Message-ID, which no other mail has
    mail_id_hash     BLOB    NOT NULL,              -- as the target index has it
    made_at          TEXT    NOT NULL,
    status           TEXT    NOT NULL DEFAULT 'waiting' CONSTRAINT notice_status CHECK (status IN
        ('waiting',                                 -- it is certainly not in the target
         'sending',                                 -- it may be there; its Message-ID is looked for
         'told',                                    -- it is, or was, there
         'given_up',                                -- the target does not take it
         'withdrawn')),                             -- nothing of it held any more, or nobody wants to be told
    mail             BLOB,                          -- the whole of it, until it is settled
    attempt          INTEGER NOT NULL DEFAULT 0,
    first_refused_at TEXT,
    next_attempt_at  TEXT    NOT NULL,
    settled_at       TEXT,
    last_error       TEXT,
    CONSTRAINT mail_until_settled CHECK ((mail IS NOT NULL) = (status IN ('waiting', 'sending')))
) STRICT;
CREATE INDEX notice_open ON notice (id) WHERE status IN ('waiting', 'sending');
CREATE INDEX notice_made ON notice (digest, made_at);

-- Each time that a message failed, and the mail that tells of it. What had failed before this table was made is not
-- among them: `status --failed` lists it, and no mail tells of it.
CREATE TABLE failure (
    id         INTEGER PRIMARY KEY,
    message_id INTEGER NOT NULL REFERENCES message (id) ON DELETE CASCADE,
    failed_at  TEXT    NOT NULL,
    notice_id  INTEGER REFERENCES notice (id)       -- NULL: no mail tells of it yet
) STRICT;
CREATE INDEX failure_of_message ON failure (message_id);
CREATE INDEX failure_untold ON failure (id) WHERE notice_id IS NULL;
CREATE INDEX failure_of_notice ON failure (notice_id) WHERE notice_id IS NOT NULL;

-- Whatever writes the status, and in the same transaction. A mail of ours that came back to us as source mail, and failed,
-- is not told of by another one: two accounts that copy into each other would never come to an end.
CREATE TRIGGER message_has_failed AFTER UPDATE OF status ON message
WHEN NEW.status = 'failed' AND OLD.status <> 'failed' AND NEW.superseded_by IS NULL
     AND coalesce(NEW.message_id, '') NOT GLOB '<imap-to-gmail-notice.*'
BEGIN
    INSERT INTO failure (message_id, failed_at) VALUES (NEW.id, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'));
END;

-- A person has seen to it before anybody was told.
CREATE TRIGGER message_fails_no_more AFTER UPDATE OF status ON message
WHEN OLD.status = 'failed' AND NEW.status <> 'failed'
BEGIN
    DELETE FROM failure WHERE message_id = NEW.id AND notice_id IS NULL;
END;
