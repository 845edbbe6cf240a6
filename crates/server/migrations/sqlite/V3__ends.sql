-- When the job was due before a try failed and moved it on; null unless one did.
ALTER TABLE job ADD COLUMN first_due INTEGER;
-- An end that cannot wait its turn: it is claimed before all others.
ALTER TABLE job ADD COLUMN urgent INTEGER NOT NULL DEFAULT 0;
CREATE INDEX job_by_target ON job (target, urgent, due);

-- What a connector has to remember of a grant on a target that has no place for a tag. Outlives the grant where the
-- connector says so.
CREATE TABLE note (
    target   TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    text     TEXT NOT NULL,                  -- the connector's own
    PRIMARY KEY (target, grant_id)
) STRICT, WITHOUT ROWID;

-- Access on a target that no grant explains, as the log tells it.
CREATE TABLE drift (
    id     TEXT PRIMARY KEY,
    target TEXT NOT NULL,
    state  TEXT NOT NULL,                    -- open, known, gone
    body   TEXT NOT NULL                     -- the projection, JSON
) STRICT, WITHOUT ROWID;
CREATE INDEX drift_there ON drift (target) WHERE state <> 'gone';
