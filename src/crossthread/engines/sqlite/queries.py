"""Every SQL text of the engine, as constants and small builders. Executes nothing.

``?`` for an instant "now" is compared with ``expires_at``; -1 stands for a time before every expiry, which shows
expired items too.
"""

from __future__ import annotations

from typing import Any

from crossthread import namespaces
from crossthread.engines.narrowing import Dialect

DIALECT = Dialect(
    text="json_extract(value, ?)",
    number="json_extract(value, ?)",
    path=lambda keys: "$" + "".join(f'."{key}"' for key in keys),
    boolean=int,
)


def create_filter_index(path: str, *, name: str) -> str:
    """Return the statement that makes an index for filters on a path of `DIALECT`."""
    at = path.replace("'", "''")
    return (
        f"CREATE INDEX IF NOT EXISTS {name} ON crossthread_items (json_extract(value, '{at}'), namespace, updated_at)"
    )


STATE = """
SELECT coalesce((SELECT max(number) FROM crossthread_erased), 0),
       coalesce((SELECT max(updated_at) FROM crossthread_items), 0),
       last_write, indexed_items, indexed_erasures, language, model, dims, generation, phase, held_until
FROM crossthread_state
"""

LANGUAGE = "SELECT language FROM crossthread_state"

SET_LANGUAGE = "UPDATE crossthread_state SET language = ?"

SCHEMA_VERSION = "SELECT schema_version FROM crossthread_state"

HAS_STATE = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'crossthread_state')"

HAS_INDEX = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ?)"

SET_SCHEMA_VERSION = "UPDATE crossthread_state SET schema_version = ?"

SET_STATE = "UPDATE crossthread_state SET last_write = ?, model = ?, dims = ?"

_ROW = "namespace, key, value, created_at, updated_at, ttl_minutes"

_LIVE = "(expires_at IS NULL OR expires_at > ?)"

GET = f"""
SELECT {_ROW}
FROM crossthread_items
WHERE namespace = ? AND key = ? AND {_LIVE}
"""

ROWS = f"""
SELECT {_ROW}
FROM crossthread_items
WHERE updated_at IN (SELECT value FROM json_each(?))
"""

# Loose index scan: one seek for each namespace instead of a visit to each item.
LIST_NAMESPACES = f"""
WITH RECURSIVE names (name) AS (
    SELECT min(namespace) FROM crossthread_items WHERE namespace >= ?1 AND namespace < ?2
    UNION ALL
    SELECT (SELECT min(namespace) FROM crossthread_items WHERE namespace > name AND namespace < ?2)
    FROM names
    WHERE name IS NOT NULL
)
SELECT name
FROM names
WHERE name IS NOT NULL
  AND EXISTS (SELECT 1 FROM crossthread_items WHERE namespace = name AND {_LIVE.replace("?", "?3")})
"""

# The two ends of the namespaces that a prefix covers; where they are the same, an index gives the order by time.
ENDS = """
SELECT (SELECT min(namespace) FROM crossthread_items WHERE namespace >= ?1 AND namespace < ?2),
       (SELECT max(namespace) FROM crossthread_items WHERE namespace >= ?1 AND namespace < ?2)
"""

# The vectors that serve: after a switch to other ones those that are staged, as long as they have not taken the place
# of the old ones. By whether that is so.
_SERVING = {
    False: "vectors",
    True: """
    coalesce((SELECT s.vectors FROM crossthread_staged AS s WHERE s.updated_at = crossthread_items.updated_at), vectors)
""",
}

# The same where nobody knows yet whether that is so.
_SERVING_ANYWAY = f"CASE WHEN (SELECT phase FROM crossthread_state) = 2 THEN {_SERVING[True].strip()} ELSE vectors END"

# Records

_STORED = f"{_ROW}, expires_at, length, words, texts"

AMONG = "SELECT count(*) FROM (SELECT 1 FROM crossthread_items WHERE namespace >= ? AND namespace < ? LIMIT ?)"


def stored_at(*, vectors: bool) -> str:
    """Return the query for a live item; parameters: namespace, key, now."""
    return f"""
SELECT {_STORED}, {_SERVING_ANYWAY if vectors else "NULL"}
FROM crossthread_items
WHERE namespace = ? AND key = ? AND {_LIVE}
"""


def stored_below(scope: str, *, newest_first: bool, vectors: bool, is_sorted: bool) -> str:
    """Return the query for live items by time; parameters: scope, time, now, limit.

    ``is_sorted``: the scope stands in the order of time, or is so large that the whole table is read along it, rather
    than found and then sorted, which the plus makes SQLite do.
    """
    time = "updated_at" if is_sorted else "+updated_at"
    return f"""
SELECT {_STORED}, {_SERVING_ANYWAY if vectors else "NULL"}
FROM crossthread_items
WHERE {scope} AND {time} {"<" if newest_first else ">"} ? AND {_LIVE}
ORDER BY {time} {"DESC" if newest_first else ""}
LIMIT ?
"""


def measured(scope: str) -> str:
    """Return the query for the numbers of each namespace with live items; parameters: scope, now."""
    return f"""
SELECT namespace, count(*), sum(length(CAST(value AS BLOB))), count(expires_at), max(updated_at),
       total(length(texts))
FROM crossthread_items
WHERE {scope} AND {_LIVE}
GROUP BY namespace
"""


def count_expired(scope: str) -> str:
    """Return the query for the number of items whose time is over; parameters: now, scope."""
    return f"SELECT count(*) FROM crossthread_items WHERE expires_at <= ? AND {scope}"


# Writing items

CURRENT = """
SELECT updated_at, created_at, expires_at, words, texts, namespace
FROM crossthread_items
WHERE namespace = ? AND key = ?
"""

_COLUMNS = "updated_at, namespace, key, value, created_at, ttl_minutes, expires_at, length, words, texts, vectors"

INSERT = f"INSERT INTO crossthread_items ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

WRITTEN_SINCE = "SELECT updated_at FROM crossthread_items WHERE updated_at >= ?"

# Leaves an item alone that stands at the address.
INSERT_NEW = f"{INSERT} ON CONFLICT (namespace, key) DO NOTHING"

IS_TAKEN = "SELECT EXISTS (SELECT 1 FROM crossthread_items WHERE updated_at = ?)"

PENDING = """
SELECT updated_at FROM crossthread_erased WHERE number > ? AND (words IS NOT NULL OR texts IS NOT NULL)
"""

DELETE_ITEM = "DELETE FROM crossthread_items WHERE updated_at = ?"

PUT_ERASED = "INSERT INTO crossthread_erased (number, updated_at, namespace, words, texts) VALUES (?, ?, ?, ?, ?)"

# Only the item that was read is renewed, not one that has expired meanwhile.
REFRESH = "UPDATE crossthread_items SET expires_at = ? WHERE updated_at = ? AND expires_at > ?"

_FOUND_BY = "updated_at, created_at, expires_at, words, texts, namespace"

EXPIRED = f"SELECT {_FOUND_BY} FROM crossthread_items WHERE expires_at <= ?"

# The indexes of words and texts

# Which items have a term, and nothing else: counts and lengths stand in the items.
CREATE_WORDS = """
CREATE VIRTUAL TABLE IF NOT EXISTS crossthread_words
USING fts5 (terms, content = '', detail = 'none', columnsize = 0, tokenize = 'ascii')
"""

PUT_WORDS = "INSERT INTO crossthread_words (rowid, terms) VALUES (?, ?)"

# FTS5 keeps no copy of what it indexed, so it must be told what to take out.
DELETE_WORDS = "INSERT INTO crossthread_words (crossthread_words, rowid, terms) VALUES ('delete', ?, ?)"

PUT_TEXT = "INSERT INTO crossthread_texts (hash, updated_at) VALUES (?, ?)"

DELETE_TEXT = "DELETE FROM crossthread_texts WHERE hash = ? AND updated_at = ?"

COUNT_UNINDEXED = """
SELECT (SELECT count(*) FROM crossthread_items WHERE updated_at > ?)
     + (SELECT count(*) FROM crossthread_erased WHERE number > ?)
"""

UNINDEXED = """
SELECT updated_at, namespace, words, texts
FROM crossthread_items
WHERE updated_at > ? AND updated_at <= ? AND (words IS NOT NULL OR texts IS NOT NULL)
ORDER BY updated_at
"""

UNINDEXED_TEXTS = "SELECT updated_at, texts FROM crossthread_items WHERE updated_at > ? AND texts IS NOT NULL"

ERASED = """
SELECT updated_at, namespace, words, texts
FROM crossthread_erased
WHERE number > ? AND (words IS NOT NULL OR texts IS NOT NULL)
"""

SETTLE_ERASED = "UPDATE crossthread_erased SET namespace = '', words = NULL, texts = NULL WHERE number > ?"

DROP_ERASED = "DELETE FROM crossthread_erased WHERE number <= ?"

SET_INDEXED_ITEMS = "UPDATE crossthread_state SET indexed_items = ?"

SET_INDEXED_ERASURES = "UPDATE crossthread_state SET indexed_erasures = ?"

# Texts that are embedded already

# With the latest write of all, in one row; many writers wait for each other's statements.
KNOWN_VECTOR = """
SELECT (SELECT max(updated_at) FROM crossthread_items), s.generation, i.texts,
       CASE WHEN s.phase = 2 THEN coalesce(
           (SELECT n.vectors FROM crossthread_staged AS n WHERE n.updated_at = i.updated_at), i.vectors
       ) ELSE i.vectors END
FROM crossthread_state AS s
LEFT JOIN (
    SELECT i.updated_at, i.texts, i.vectors
    FROM crossthread_texts AS t
    JOIN crossthread_items AS i ON i.updated_at = t.updated_at
    WHERE t.hash = ?
    LIMIT 1
) AS i
"""

TEXTS_OF = """
SELECT i.texts,
       CASE WHEN s.phase = 2 THEN coalesce(
           (SELECT n.vectors FROM crossthread_staged AS n WHERE n.updated_at = i.updated_at), i.vectors
       ) ELSE i.vectors END
FROM crossthread_items AS i, crossthread_state AS s
WHERE i.updated_at = ? AND i.texts IS NOT NULL
"""

LATEST = "SELECT max(updated_at) FROM crossthread_items"

INDEXED_ITEMS = "SELECT indexed_items FROM crossthread_state"

# Vectors

SCOPE_TIMES = "SELECT updated_at FROM crossthread_items WHERE namespace >= ? AND namespace < ?"

VECTORS_OF = {
    settling: f"""
SELECT updated_at, expires_at IS NOT NULL, {vectors}
FROM crossthread_items
WHERE updated_at IN (SELECT value FROM json_each(?))
"""
    for settling, vectors in _SERVING.items()
}

# A time below zero, ~time, is that of an item that came in (see `restoring`); it may be gone again.
ERASED_SINCE = "SELECT updated_at FROM crossthread_erased WHERE number > ?"

# Whether the log reaches back to a number, and whether an item came in since.
RESTORED_SINCE = """
SELECT (SELECT min(number) FROM crossthread_erased) <= ?1 + 1,
       EXISTS (SELECT 1 FROM crossthread_erased WHERE number > ?1 AND updated_at < 0)
"""

RESTORED_VECTORS = {
    settling: f"""
SELECT updated_at, expires_at IS NOT NULL, {vectors}
FROM crossthread_items
WHERE updated_at IN (SELECT value FROM json_each(?)) AND updated_at <= ? AND +namespace >= ? AND +namespace < ?
"""
    for settling, vectors in _SERVING.items()
}

# Along the order by time: what is new stands at its end. The plus keeps the index by namespace out.
VECTORS_SINCE = {
    settling: f"""
SELECT updated_at, expires_at IS NOT NULL, {vectors}
FROM crossthread_items
WHERE updated_at > ? AND +namespace >= ? AND +namespace < ?
"""
    for settling, vectors in _SERVING.items()
}


# Changing the model of all vectors

PROGRESS = """
SELECT s.generation, s.model, s.phase, r.run, r.model, r.dims, r.last_run
FROM crossthread_state AS s, crossthread_reembedding AS r
"""

# All, as far as the index of texts has been told; and the bytes of those that are staged.
COUNT_TEXTS = """
SELECT (SELECT count(*) FROM crossthread_texts), (SELECT coalesce(sum(length(texts)), 0) FROM crossthread_staged)
"""

COMPLETE_TO = "SELECT complete_to, restored FROM crossthread_reembedding"

_TEXTS = """
SELECT i.updated_at, i.namespace, i.key, i.value, i.texts, s.texts, s.vectors
FROM crossthread_items AS i
LEFT JOIN crossthread_staged AS s ON s.updated_at = i.updated_at
WHERE i.updated_at > ? AND i.texts IS NOT NULL AND {}
ORDER BY i.updated_at
LIMIT ?
"""

# A page of items with texts, with what is staged of each; by whether only those are asked for of which not all is.
TEXTS = {False: _TEXTS.format("TRUE"), True: _TEXTS.format("s.texts IS NOT i.texts")}

STAGED_TEXT = """
SELECT s.texts, s.vectors
FROM crossthread_texts AS t
JOIN crossthread_staged AS s ON s.updated_at = t.updated_at
WHERE t.hash = ?1 AND instr(s.texts, ?1)
LIMIT 1
"""

STAGED_OF = """
SELECT i.texts, s.texts, s.vectors
FROM crossthread_items AS i
LEFT JOIN crossthread_staged AS s ON s.updated_at = i.updated_at
WHERE i.updated_at = ? AND i.texts IS NOT NULL
"""

PUT_STAGED = "INSERT OR REPLACE INTO crossthread_staged (updated_at, texts, vectors) VALUES (?, ?, ?)"

DELETE_STAGED = "DELETE FROM crossthread_staged WHERE updated_at = ?"

SOME_STAGED = "SELECT updated_at FROM crossthread_staged ORDER BY updated_at LIMIT ?"

# What was written up to complete_to is known to have all.
MISSING = """
SELECT EXISTS (
    SELECT 1
    FROM crossthread_items AS i
    LEFT JOIN crossthread_staged AS s ON s.updated_at = i.updated_at
    WHERE i.updated_at > (SELECT complete_to FROM crossthread_reembedding)
      AND i.texts IS NOT NULL AND s.texts IS NOT i.texts
)
"""

TAKE_STAGED = """
UPDATE crossthread_items
SET vectors = (SELECT s.vectors FROM crossthread_staged AS s WHERE s.updated_at = crossthread_items.updated_at)
WHERE updated_at IN (SELECT value FROM json_each(?))
"""

SET_PHASE = "UPDATE crossthread_state SET phase = ?"

SET_HELD = "UPDATE crossthread_state SET held_until = ?"

SET_RUN = "UPDATE crossthread_reembedding SET run = ?, model = ?, dims = NULL, complete_to = -1"

SET_STAGED_DIMS = "UPDATE crossthread_reembedding SET dims = ?"

# Only if there is no gap before, and no item has come in where somebody had looked.
SET_COMPLETE_TO = """
UPDATE crossthread_reembedding SET complete_to = max(complete_to, ?) WHERE complete_to >= ? AND restored = ?
"""

LOWER_COMPLETE_TO = "UPDATE crossthread_reembedding SET complete_to = min(complete_to, ?), restored = restored + 1"

FORGET_COMPLETE_TO = "UPDATE crossthread_reembedding SET complete_to = -1, restored = restored + 1"

END_RUN = "UPDATE crossthread_reembedding SET run = 0, last_run = ?, model = NULL, dims = NULL, complete_to = -1"

SWITCH = """
UPDATE crossthread_state
SET generation = generation + 1, phase = ?, held_until = 0,
    model = (SELECT model FROM crossthread_reembedding), dims = (SELECT dims FROM crossthread_reembedding)
"""


def present_texts(count: int) -> str:
    """Return the query for those of ``count`` hashes that some item has; parameters: the hashes."""
    return f"SELECT DISTINCT hash FROM crossthread_texts WHERE hash IN ({', '.join('?' * count)})"


def below(prefix: str) -> tuple[str, tuple[Any, ...]]:
    """Return the condition, and its parameters, that an item's namespace lies below a prefix."""
    if not prefix:
        return "TRUE", ()
    return "namespace >= ? AND namespace < ?", namespaces.text_range(prefix)


def bounds(prefix: str) -> tuple[Any, Any]:
    """Return ``low <= namespace < high`` for a prefix; for the whole store: SQLite has any text before any blob."""
    return namespaces.text_range(prefix) if prefix else ("", b"")


def newest_first(scope: str, narrowing: str, *, paged: bool) -> str:
    """Return the query for live items in order; parameters: scope, now, narrowing, with ``paged`` limit, offset."""
    return f"""
SELECT {_ROW}
FROM crossthread_items
WHERE {scope} AND {_LIVE} AND {narrowing}
ORDER BY updated_at DESC
{"LIMIT ? OFFSET ?" if paged else ""}
"""


def values_below(scope: str, narrowing: str) -> str:
    """Return the query for times and values of live items; parameters: scope, now, narrowing."""
    return f"SELECT updated_at, value FROM crossthread_items WHERE {scope} AND {_LIVE} AND {narrowing}"


def count_below(scope: str) -> str:
    """Return the query for the number of live items; parameters: scope, now."""
    return f"SELECT count(*) FROM crossthread_items WHERE {scope} AND {_LIVE}"


def count_all(scope: str) -> str:
    """Return the query for the number of items, expired ones too; parameters: scope."""
    return f"SELECT count(*) FROM crossthread_items WHERE {scope}"


def all_below(scope: str) -> str:
    """Return the query for all items, expired ones too, with what they are found by; parameters: scope."""
    return f"SELECT {_FOUND_BY} FROM crossthread_items WHERE {scope}"


def vectors_below(scope: str, *, settling: bool) -> str:
    """Return the query for all items, expired ones too, with their vectors; parameters: scope."""
    return f"SELECT updated_at, expires_at IS NOT NULL, {_SERVING[settling]} FROM crossthread_items WHERE {scope}"


def expired_below(scope: str) -> str:
    """Return the query for the items that have expired; parameters: now, scope."""
    return f"SELECT updated_at FROM crossthread_items WHERE expires_at <= ? AND {scope}"


# Words


def corpus(scope: str) -> str:
    """Return the query for how many live items have words, and how many words; parameters: scope, now."""
    return f"SELECT count(length), total(length) FROM crossthread_items WHERE {scope} AND {_LIVE}"


def words_below(scope: str) -> str:
    """Return the query for the words of live items; parameters: scope, now."""
    return f"""
SELECT updated_at, length, words
FROM crossthread_items
WHERE {scope} AND {_LIVE} AND words <> ''
"""


# The end of the table, as `VECTORS_SINCE`.
WORDS_SINCE = f"""
SELECT updated_at, length, words
FROM crossthread_items
WHERE updated_at > ? AND +namespace >= ? AND +namespace < ? AND {_LIVE} AND words <> ''
"""


def postings(scope: str) -> str:
    """Return the query for the live items that an FTS5 expression finds; parameters: expression, scope, now."""
    return f"""
SELECT i.updated_at, i.length, i.words
FROM crossthread_words(?) AS w
CROSS JOIN crossthread_items AS i ON i.updated_at = w.rowid
WHERE {scope} AND {_LIVE}
"""


def erased_words(scope: str) -> str:
    """Return the query for words that FTS5 still has of items that are gone; parameters: number, scope."""
    return f"SELECT words FROM crossthread_erased WHERE number > ? AND words IS NOT NULL AND {scope}"


WORDS_OF = """
SELECT updated_at, length, words
FROM crossthread_items
WHERE words <> '' AND updated_at IN (SELECT value FROM json_each(?))
"""

HOLDING = "SELECT count(*) FROM crossthread_words(?)"
