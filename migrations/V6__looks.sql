-- When the source was last looked at, and when it is to be looked at again at the latest: whether a route is healthy depends on it.
ALTER TABLE heartbeat ADD COLUMN looked_at TEXT;
ALTER TABLE heartbeat ADD COLUMN look_due_at TEXT;
