-- The schema of release 0.1. Times are microseconds since 1970-01-01T00:00:00Z. A released migration is never edited.

-- One row: what holds for the whole store. A put does not write it, so that a commit touches fewer pages.
CREATE TABLE crossthread_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    schema_version INTEGER NOT NULL, -- number of the last migration; a newer one than the release knows is refused
    erasures INTEGER NOT NULL,       -- how many commits erased something; with the latest updated_at, it tells a change
    last_write INTEGER NOT NULL,     -- the latest updated_at when something was erased: no later one may be earlier
    model TEXT,                      -- the embedding model of all vectors, where it is known
    dims INTEGER                     -- the dimensions of all vectors, once there was one
);

INSERT INTO crossthread_state (id, schema_version, erasures, last_write) VALUES (1, 0, 0, 0);

-- A row per item.
CREATE TABLE crossthread_items (
    id INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,         -- every label followed by a dot: 'memories.ada.'
    key TEXT NOT NULL,
    value TEXT NOT NULL,             -- a JSON object
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,     -- differs from row to row, so it orders all writes
    ttl_minutes REAL,                -- how long a refresh renews the item; NULL: it does not expire
    expires_at INTEGER,              -- the item is gone from this microsecond on
    texts BLOB,                      -- a hash of 16 bytes per text that is indexed; NULL: none is
    vectors BLOB,                    -- a vector per text: dims float32 numbers, little-endian, unit length
    UNIQUE (namespace, key)
);

-- Newest first, in one namespace and in the whole store.
CREATE INDEX crossthread_items_by_namespace_and_time ON crossthread_items (namespace, updated_at);

CREATE INDEX crossthread_items_by_time ON crossthread_items (updated_at);

-- What a sweep looks for.
CREATE INDEX crossthread_items_by_expiry ON crossthread_items (expires_at) WHERE expires_at IS NOT NULL;

-- A row per text of an item: finds the vector of a text that is already embedded.
CREATE TABLE crossthread_texts (
    hash BLOB NOT NULL,
    item_id INTEGER NOT NULL,
    PRIMARY KEY (hash, item_id)
) WITHOUT ROWID;
