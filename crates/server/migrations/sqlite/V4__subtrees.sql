-- The roots of the log's complete subtrees over 256, 65,536, … events, which proofs and tiles are made of; those over one
-- are `event.leaf`. Can be made again from the log.
CREATE TABLE subtree (
    height INTEGER NOT NULL,                 -- over 2^height events; a multiple of 8
    number INTEGER NOT NULL,                 -- from 0
    root   BLOB NOT NULL,                    -- RFC 6962
    PRIMARY KEY (height, number)
) STRICT, WITHOUT ROWID;
