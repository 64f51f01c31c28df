-- Changing the embedding model (crossthread.operations.reembedding): new vectors are kept beside the old ones, then a
-- number in the state tells that these are the ones, and then they take the place of the old ones, little by little.

ALTER TABLE crossthread_state ADD COLUMN generation INTEGER NOT NULL DEFAULT 0; -- how often all vectors were replaced

-- 0: nothing is staged; 1: vectors are being staged; 2: staged vectors serve, and have yet to take their place.
ALTER TABLE crossthread_state ADD COLUMN phase INTEGER NOT NULL DEFAULT 0;

ALTER TABLE crossthread_state ADD COLUMN held_until INTEGER NOT NULL DEFAULT 0; -- nobody writes vectors before

-- One row: the run that stages vectors.
CREATE TABLE crossthread_reembedding (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    run INTEGER NOT NULL,            -- its number; 0: there is none
    last_run INTEGER NOT NULL,       -- the number of the run that made the vectors that serve
    complete_to INTEGER NOT NULL,    -- items up to this updated_at have all their staged vectors
    restored INTEGER NOT NULL,       -- how often items came in with earlier times, so that complete_to went back
    model TEXT,                      -- the model of the staged vectors, where it is known
    dims INTEGER                     -- their dimensions, once there was one
);

INSERT INTO crossthread_reembedding (id, run, last_run, complete_to, restored) VALUES (1, 0, 0, -1, 0);

-- A row per item that has staged vectors, for all of its texts or some.
CREATE TABLE crossthread_staged (
    updated_at INTEGER PRIMARY KEY,  -- that of the item
    texts BLOB NOT NULL,             -- as in the item, of which it has all or some, in the same order
    vectors BLOB NOT NULL            -- a vector per text
);
