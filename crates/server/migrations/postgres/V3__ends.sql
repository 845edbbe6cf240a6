-- When the job was due before a try failed and moved it on; null unless one did.
ALTER TABLE job ADD COLUMN first_due timestamptz;
-- An end that cannot wait its turn: it is claimed before all others.
ALTER TABLE job ADD COLUMN urgent boolean NOT NULL DEFAULT false;
CREATE INDEX job_urgent ON job (target, due) WHERE urgent;

-- What a connector has to remember of a grant on a target that has no place for a tag. Outlives the grant where the
-- connector says so.
CREATE TABLE note (
    target   text NOT NULL,
    grant_id uuid NOT NULL,
    text     text NOT NULL,                  -- the connector's own
    PRIMARY KEY (target, grant_id)
);

-- Access on a target that no grant explains, as the log tells it.
CREATE TABLE drift (
    id     uuid PRIMARY KEY,
    target text NOT NULL,
    state  text NOT NULL,                    -- open, known, gone
    body   text NOT NULL                     -- the projection, JSON
);
CREATE INDEX drift_there ON drift (target) WHERE state <> 'gone';
