-- What a person is told of by a command of the configuration (`notify_command`), once when it begins and once when it is over.
CREATE TABLE alarm (
    part        TEXT NOT NULL PRIMARY KEY, -- of a run, as in heartbeat; 'route' for the whole of it
    since       TEXT NOT NULL,             -- in trouble since then, whatever restarts there were
    before      TEXT,                      -- when the trouble before this one was over, if that was lately
    over_at     TEXT,
    over_told   INTEGER NOT NULL DEFAULT 0,
    tries       INTEGER NOT NULL DEFAULT 0, -- of what is to be told now
    next_try_at TEXT
) STRICT, WITHOUT ROWID;

-- The troubles of these for which the command was run.
CREATE TABLE alarm_told (
    id      INTEGER PRIMARY KEY,
    part    TEXT NOT NULL REFERENCES alarm (part) ON DELETE CASCADE,
    kind    TEXT NOT NULL,
    message TEXT NOT NULL,
    hint    TEXT,
    told_at TEXT                           -- null: the command has never ended well with it
) STRICT;
CREATE INDEX alarm_told_part ON alarm_told (part);

-- When a part first said, in this run, whether anything troubles it: until then that nothing does is no news.
ALTER TABLE heartbeat ADD COLUMN heard_at TEXT;
-- A trouble that is nothing but a limit which the configuration itself sets.
ALTER TABLE heartbeat ADD COLUMN own_limit INTEGER NOT NULL DEFAULT 0;
