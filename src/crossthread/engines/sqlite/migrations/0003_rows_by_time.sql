-- An item's row is never changed but for its expiry: a put makes a new one, whose key is the time of the write. So the
-- table itself is the order by time, and what is new since a moment stands at its end.

ALTER TABLE crossthread_items RENAME TO crossthread_items_before;

CREATE TABLE crossthread_items (
    updated_at INTEGER PRIMARY KEY,  -- differs from row to row, and orders all writes
    namespace TEXT NOT NULL,         -- every label followed by a dot: 'memories.ada.'
    key TEXT NOT NULL,
    value TEXT NOT NULL,             -- a JSON object
    created_at INTEGER NOT NULL,
    ttl_minutes REAL,                -- how long a refresh renews the item; NULL: it does not expire
    expires_at INTEGER,              -- the item is gone from this microsecond on
    length INTEGER,                  -- how many words keywords find it by; NULL: nothing is indexed
    words TEXT,                      -- 'term:count' for each term of these
    texts BLOB,                      -- a hash of 16 bytes per text that has a vector; NULL: there is none
    vectors BLOB                     -- a vector per text: dims float32 numbers, little-endian, unit length
);

INSERT INTO crossthread_items
SELECT updated_at, namespace, key, value, created_at, ttl_minutes, expires_at, length, words, texts, vectors
FROM crossthread_items_before
ORDER BY updated_at;

DROP TABLE crossthread_items_before;

CREATE UNIQUE INDEX crossthread_items_by_address ON crossthread_items (namespace, key);

-- Newest first in one namespace, and what a namespace holds without a look at its items.
CREATE INDEX crossthread_items_by_namespace ON crossthread_items (namespace, updated_at, expires_at, length);

-- What a sweep looks for.
CREATE INDEX crossthread_items_by_expiry ON crossthread_items (expires_at) WHERE expires_at IS NOT NULL;

-- A row per item that was replaced or erased, in that order: what searched vectors in memory are brought up to date by.
-- The oldest are dropped, never the last.
CREATE TABLE crossthread_erased (
    number INTEGER PRIMARY KEY,
    updated_at INTEGER NOT NULL,     -- of the item that is gone
    namespace TEXT NOT NULL,         -- what has yet to be taken out of the indexes below; '' and NULL once it is
    words TEXT,
    texts BLOB
);

-- The indexes of texts and of words are written a thousand items at a time. They hold the items up to indexed_items,
-- without those erased up to the number indexed_erasures.
ALTER TABLE crossthread_state ADD COLUMN indexed_items INTEGER NOT NULL DEFAULT 0;

ALTER TABLE crossthread_state ADD COLUMN indexed_erasures INTEGER NOT NULL DEFAULT 0;

ALTER TABLE crossthread_state DROP COLUMN erasures;

DROP TABLE crossthread_texts;

CREATE TABLE crossthread_texts (
    hash BLOB NOT NULL,
    updated_at INTEGER NOT NULL,     -- of an item with a text of this hash
    PRIMARY KEY (hash, updated_at)
) WITHOUT ROWID;

DROP TABLE IF EXISTS crossthread_words;
