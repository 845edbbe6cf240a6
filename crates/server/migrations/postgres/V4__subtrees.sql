-- The roots of the log's complete subtrees over 256, 65,536, … events, which proofs and tiles are made of; those over one
-- are `event.leaf`. Can be made again from the log. A node of the version before does not write them: whoever misses
-- one makes it.
CREATE TABLE subtree (
    height smallint NOT NULL,                -- over 2^height events; a multiple of 8
    number bigint NOT NULL,                  -- from 0
    root   bytea NOT NULL,                   -- RFC 6962
    PRIMARY KEY (height, number)
);
