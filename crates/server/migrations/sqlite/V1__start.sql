-- Times are milliseconds since 1970, UTC. Ids are UUIDs as text. Everything but `event`, `text` and `head` can be
-- made again from the log.

CREATE TABLE event (
    seq        INTEGER PRIMARY KEY,          -- dense, from 1; given by the sequencer
    id         TEXT NOT NULL UNIQUE,
    request_id TEXT,
    person_id  TEXT,                         -- whom person.recorded and device.enrolled are about
    leaf       BLOB NOT NULL,                -- RFC 6962 leaf hash
    body       TEXT NOT NULL                 -- RFC 8785 canonical JSON, the leaf's content
) STRICT;
CREATE INDEX event_by_request ON event (request_id, seq);

-- The tree over all events, reduced to its peaks; one row.
CREATE TABLE head (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    size INTEGER NOT NULL,
    root TEXT NOT NULL,
    tree TEXT NOT NULL
) STRICT;

-- Free text from people, beside the log: can be erased without breaking the tree.
CREATE TABLE text (
    seq        INTEGER NOT NULL,
    digest     TEXT NOT NULL,
    request_id TEXT,
    salt       TEXT NOT NULL,
    text       TEXT NOT NULL,
    PRIMARY KEY (seq, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX text_by_request ON text (request_id);

CREATE TABLE request (
    id          TEXT PRIMARY KEY,
    number      INTEGER NOT NULL UNIQUE,
    version     INTEGER NOT NULL,
    state       TEXT NOT NULL,
    asker       TEXT NOT NULL,
    groups      TEXT NOT NULL,               -- JSON array: groups whose members may decide
    deciders    TEXT NOT NULL,               -- JSON array: people who decided
    extends     TEXT,
    grant_id    TEXT UNIQUE,
    grant_state TEXT,
    body        TEXT NOT NULL                -- the projection, JSON
) STRICT;
CREATE INDEX request_pending ON request (number) WHERE state = 'pending';
CREATE INDEX request_by_asker ON request (asker, number);
CREATE INDEX request_extending ON request (extends) WHERE state = 'pending';
CREATE INDEX request_live ON request (grant_state) WHERE grant_state NOT IN ('ended', 'failed');

-- Commands already carried out, by their idempotency key.
CREATE TABLE command (
    id         TEXT PRIMARY KEY,
    digest     TEXT NOT NULL,                -- of the canonical body and the signature
    request_id TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE job (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    kind         TEXT NOT NULL,              -- end, provision, guard, lapse
    subject      TEXT NOT NULL,              -- the grant, or for lapse the request
    request_id   TEXT NOT NULL,
    target       TEXT NOT NULL,              -- '' when no target is touched
    due          INTEGER NOT NULL,
    puts         INTEGER NOT NULL DEFAULT 0, -- counts changes of `due` from outside the worker
    attempts     INTEGER NOT NULL DEFAULT 0, -- failed tries
    fence        INTEGER NOT NULL DEFAULT 0, -- counts leases; an old worker's is refused
    leased_until INTEGER,
    UNIQUE (kind, subject)
) STRICT;
CREATE INDEX job_due ON job (due);
CREATE INDEX job_by_subject ON job (subject);

CREATE TABLE sealed (
    grant_id  TEXT PRIMARY KEY,
    device_id TEXT NOT NULL,
    sealed    TEXT NOT NULL                  -- libsodium sealed box, base64; only the device can open it
) STRICT, WITHOUT ROWID;

CREATE TABLE person (
    id      TEXT PRIMARY KEY,
    handle  TEXT NOT NULL UNIQUE,
    name    TEXT NOT NULL,
    groups  TEXT NOT NULL,                   -- JSON array
    auditor INTEGER NOT NULL,
    admin   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE device (
    id          TEXT PRIMARY KEY,
    person_id   TEXT NOT NULL REFERENCES person (id),
    name        TEXT NOT NULL,
    signing_key TEXT NOT NULL,
    seal_key    TEXT NOT NULL,
    disabled    INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE invite (
    code       TEXT PRIMARY KEY,             -- SHA-256 of the code, hex
    person_id  TEXT NOT NULL REFERENCES person (id),
    expires_at INTEGER NOT NULL,
    used_by    TEXT                          -- the device that joined with it
) STRICT, WITHOUT ROWID;

CREATE TABLE setting (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
