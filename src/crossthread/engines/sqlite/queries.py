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

STATE = """
SELECT erasures, (SELECT max(updated_at) FROM crossthread_items), last_write, model, dims
FROM crossthread_state
"""

LANGUAGE = "SELECT language FROM crossthread_state"

SET_LANGUAGE = "UPDATE crossthread_state SET language = ?"

# Which items have a term, and nothing else: counts and lengths stand in the items.
CREATE_WORDS = """
CREATE VIRTUAL TABLE IF NOT EXISTS crossthread_words
USING fts5 (terms, content = '', detail = 'none', columnsize = 0, tokenize = 'ascii')
"""

PUT_WORDS = "INSERT INTO crossthread_words (rowid, terms) VALUES (?, ?)"

# FTS5 keeps no copy of what it indexed, so it must be told what to take out.
DELETE_WORDS = "INSERT INTO crossthread_words (crossthread_words, rowid, terms) VALUES ('delete', ?, ?)"

LATEST = "SELECT max(updated_at) FROM crossthread_items"

SCHEMA_VERSION = "SELECT schema_version FROM crossthread_state"

HAS_STATE = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'crossthread_state')"

SET_SCHEMA_VERSION = "UPDATE crossthread_state SET schema_version = ?"

SET_STATE = "UPDATE crossthread_state SET erasures = ?, last_write = ?, model = ?, dims = ?"

_ROW = "id, namespace, key, value, created_at, updated_at, ttl_minutes"

_LIVE = "(expires_at IS NULL OR expires_at > ?)"

GET = f"""
SELECT {_ROW}
FROM crossthread_items
WHERE namespace = ? AND key = ? AND {_LIVE}
"""

ROWS = f"""
SELECT {_ROW}
FROM crossthread_items
WHERE id IN (SELECT value FROM json_each(?))
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

KNOWN_VECTOR = """
SELECT i.texts, i.vectors
FROM crossthread_texts AS t
JOIN crossthread_items AS i ON i.id = t.item_id
WHERE t.hash = ?
LIMIT 1
"""

CURRENT = """
SELECT id, created_at, updated_at, expires_at, texts, words
FROM crossthread_items
WHERE namespace = ? AND key = ?
"""

INSERT = """
INSERT INTO crossthread_items
    (value, created_at, updated_at, ttl_minutes, expires_at, texts, vectors, words, length, namespace, key)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

UPDATE = """
UPDATE crossthread_items
SET value = ?, created_at = ?, updated_at = ?, ttl_minutes = ?, expires_at = ?, texts = ?, vectors = ?, words = ?,
    length = ?
WHERE id = ?
"""

# Only the item that was read is renewed, not one that has been written since, nor one that has expired meanwhile.
REFRESH = "UPDATE crossthread_items SET expires_at = ? WHERE id = ? AND updated_at = ? AND expires_at > ?"

EXPIRED = "SELECT id, texts, words, namespace FROM crossthread_items WHERE expires_at <= ?"

DELETE_ITEM = "DELETE FROM crossthread_items WHERE id = ?"

PUT_TEXT = "INSERT INTO crossthread_texts (hash, item_id) VALUES (?, ?)"

DELETE_TEXT = "DELETE FROM crossthread_texts WHERE hash = ? AND item_id = ?"

# The two ends of the namespaces that a prefix covers; where they are the same, an index gives the order by time.
ENDS = """
SELECT (SELECT min(namespace) FROM crossthread_items WHERE namespace >= ?1 AND namespace < ?2),
       (SELECT max(namespace) FROM crossthread_items WHERE namespace >= ?1 AND namespace < ?2)
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


def ids_below(scope: str, narrowing: str) -> str:
    """Return the query for ids and values of live items; parameters: scope, now, narrowing."""
    return f"SELECT id, value FROM crossthread_items WHERE {scope} AND {_LIVE} AND {narrowing}"


def live_ids_below(scope: str) -> str:
    """Return the query for the ids of live items; parameters: scope, now."""
    return f"SELECT id FROM crossthread_items WHERE {scope} AND {_LIVE}"


def count_below(scope: str) -> str:
    """Return the query for the number of live items; parameters: scope, now."""
    return f"SELECT count(*) FROM crossthread_items WHERE {scope} AND {_LIVE}"


def all_below(scope: str) -> str:
    """Return the query for all items, expired ones too, with what they are found by; parameters: scope."""
    return f"SELECT id, texts, words, namespace, expires_at FROM crossthread_items WHERE {scope}"


def corpus(scope: str) -> str:
    """Return the query for how many live items have words, and how many words; parameters: scope, now."""
    return f"SELECT count(length), total(length) FROM crossthread_items WHERE {scope} AND {_LIVE}"


WORDS_OF = """
SELECT id, updated_at, length, words
FROM crossthread_items
WHERE words <> '' AND id IN (SELECT value FROM json_each(?))
"""

HOLDING = "SELECT count(*) FROM crossthread_words(?)"


def expired_below(scope: str) -> str:
    """Return the query for whether a scope holds an expired item; parameters: now, scope."""
    return f"SELECT EXISTS (SELECT 1 FROM crossthread_items WHERE expires_at <= ? AND {scope})"


def postings(scope: str) -> str:
    """Return the query for the live items that an FTS5 expression finds; parameters: expression, scope, now."""
    return f"""
SELECT i.id, i.updated_at, i.length, i.words
FROM crossthread_words(?) AS w
CROSS JOIN crossthread_items AS i ON i.id = w.rowid
WHERE {scope} AND {_LIVE}
"""


def vectors_below(scope: str) -> str:
    """Return the query for the vectors of a scope; parameters: scope."""
    return f"""
SELECT id, updated_at, expires_at IS NOT NULL, vectors
FROM crossthread_items
WHERE {scope} AND vectors IS NOT NULL
"""
