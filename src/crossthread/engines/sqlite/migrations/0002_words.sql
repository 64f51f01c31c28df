-- Search by keywords. The index of words itself is made when a store with index= is opened first (queries.CREATE_WORDS):
-- it needs FTS5, which the rest does without.

ALTER TABLE crossthread_state ADD COLUMN language TEXT; -- of all words, once there were some

-- What an item is found by, 'term:count' for each term, and how many words that are; NULL: nothing is indexed.
ALTER TABLE crossthread_items ADD COLUMN words TEXT;

ALTER TABLE crossthread_items ADD COLUMN length INTEGER;

-- Newest first in one namespace, as before, and how many words a namespace holds without a look at its items.
DROP INDEX crossthread_items_by_namespace_and_time;

CREATE INDEX crossthread_items_by_namespace_and_time ON crossthread_items (namespace, updated_at, expires_at, length);
