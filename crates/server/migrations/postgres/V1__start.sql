-- Everything but `event`, `outbox`, `text` and `head` can be made again from the log.

CREATE TABLE event (
    seq        bigint PRIMARY KEY,           -- dense, from 1; given by the sequencer
    id         uuid NOT NULL UNIQUE,
    request_id uuid,
    person_id  uuid,                         -- whom person.recorded and device.enrolled are about
    leaf       bytea NOT NULL,               -- RFC 6962 leaf hash
    body       text NOT NULL                 -- RFC 8785 canonical JSON, the leaf's content
);
CREATE INDEX event_by_request ON event (request_id, seq);

-- Events on their way from the transaction that caused them to their place in the log. `id` orders what one request
-- went through: whoever changes a request has seen the change before committed. It is no cursor: smaller ids may
-- become visible after larger ones.
CREATE TABLE outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id   uuid NOT NULL,
    request_id uuid,
    person_id  uuid,
    body       text NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- The tree over all events, reduced to its peaks; one row, written only by the sequencer.
CREATE TABLE head (
    one  smallint PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    size bigint NOT NULL,
    root text NOT NULL,
    tree text NOT NULL
) WITH (fillfactor = 10);
INSERT INTO head (size, root, tree)
VALUES (0, 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', '{"size":0,"peaks":[]}');

-- Free text from people, beside the log: can be erased without breaking the tree.
CREATE TABLE text (
    event_id   uuid NOT NULL,
    digest     text NOT NULL,
    request_id uuid,
    salt       text NOT NULL,
    text       text NOT NULL,
    PRIMARY KEY (event_id, digest)
);
CREATE INDEX text_by_request ON text (request_id);

CREATE SEQUENCE request_number;              -- short and unique; a write that failed leaves a gap
CREATE TABLE request (
    id          uuid PRIMARY KEY,
    number      bigint NOT NULL UNIQUE,
    version     bigint NOT NULL,
    state       text NOT NULL,
    asker       uuid NOT NULL,
    groups      text[] NOT NULL,             -- groups whose members may decide
    deciders    uuid[] NOT NULL,             -- people who decided
    extends     uuid,
    grant_id    uuid UNIQUE,
    grant_state text,
    body        text NOT NULL                -- the projection, JSON
) WITH (fillfactor = 80);
CREATE INDEX request_pending ON request (number) WHERE state = 'pending';
CREATE INDEX request_by_asker ON request (asker, number);
CREATE INDEX request_extending ON request (extends) WHERE state = 'pending';

-- Commands already carried out, by their idempotency key.
CREATE TABLE command (
    id         uuid PRIMARY KEY,
    digest     text NOT NULL,                -- of the canonical body and the signature
    request_id uuid
);

CREATE TABLE job (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         text NOT NULL,              -- end, provision, guard, lapse
    subject      uuid NOT NULL,              -- the grant, or for lapse the request
    request_id   uuid NOT NULL,
    target       text NOT NULL,              -- '' when no target is touched
    due          timestamptz NOT NULL,
    puts         bigint NOT NULL DEFAULT 0,  -- counts changes of `due` from outside the worker
    attempts     integer NOT NULL DEFAULT 0, -- failed tries
    fence        bigint NOT NULL DEFAULT 0,  -- counts leases; an old worker's is refused
    leased_until timestamptz,
    UNIQUE (kind, subject)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX job_due ON job (due);
CREATE INDEX job_by_subject ON job (subject);

CREATE TABLE sealed (
    grant_id  uuid PRIMARY KEY,
    device_id uuid NOT NULL,
    sealed    text NOT NULL                  -- libsodium sealed box, base64; only the device can open it
);

CREATE TABLE person (
    id      uuid PRIMARY KEY,
    handle  text NOT NULL UNIQUE,
    name    text NOT NULL,
    groups  text[] NOT NULL,
    auditor boolean NOT NULL,
    admin   boolean NOT NULL
);

CREATE TABLE device (
    id          uuid PRIMARY KEY,
    person_id   uuid NOT NULL REFERENCES person (id),
    name        text NOT NULL,
    signing_key text NOT NULL,
    seal_key    text NOT NULL,
    disabled    boolean NOT NULL DEFAULT false
);

CREATE TABLE invite (
    code       text PRIMARY KEY,             -- SHA-256 of the code, hex
    person_id  uuid NOT NULL REFERENCES person (id),
    expires_at timestamptz NOT NULL,
    used_by    uuid                          -- the device that joined with it
);

CREATE TABLE setting (
    key   text PRIMARY KEY,
    value text NOT NULL
);

-- Counts changes of people and devices, so that every node notices; one row.
CREATE TABLE directory (
    one     smallint PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    version bigint NOT NULL
);
INSERT INTO directory (version) VALUES (0);

-- The nodes that run or ran lately.
CREATE TABLE node (
    id      uuid PRIMARY KEY,
    name    text NOT NULL,
    version text NOT NULL,                   -- of the program
    schema  integer NOT NULL,                -- the newest migration it knows
    seen_at timestamptz NOT NULL
);
