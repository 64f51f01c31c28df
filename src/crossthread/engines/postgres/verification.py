"""Checks a schema against itself, in one snapshot of the server. Reads only; the server does the comparing.

Vectors of a write that another one overtook may stand beside an item until its next write (see the schema); they are of
an earlier ``updated_at`` and belong to nothing.
"""

from __future__ import annotations

import json
from typing import Any

from crossthread import namespaces
from crossthread._text import unescape
from crossthread.engines.postgres.connection import Connection, fetch
from crossthread.engines.postgres.statements import Statements
from crossthread.verification import UNIT_TOLERANCE, Findings

BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

_MOST = 100


def checks(s: str, v: str | None) -> list[tuple[str, str]]:
    """Return what must find nothing: the end of a sentence, and the query for the items of which that is true.

    Each returns the columns of an address, and the column ``address``.

    Args:
        s: The name of the schema, quoted.
        v: That of pgvector's; None where there are no vectors.
    """
    items = f"SELECT i.namespace, i.subspace, i.key, i.address::text FROM {s}.items AS i"
    found = [
        ("its value is not a JSON object", f"{items} WHERE json_typeof(i.value) <> 'object'"),
        ("it was updated before it was created", f"{items} WHERE i.created_at > i.updated_at"),
        (
            "it has a life without an end, or an end without a life",
            f"{items} WHERE (i.ttl_minutes IS NULL) <> (i.expires_at IS NULL)",
        ),
        (
            "its namespace is kept in another form",
            f"{items} WHERE i.namespace !~ '^([^.]+[.]){{1,2}}$' OR i.subspace !~ '^([^.]+[.])*$'",
        ),
        (
            "its words are missing, or there are some of what has none",
            f"{items} WHERE i.has_words <> ({_HOW_MANY.format(table=f'{s}.words', more='')} > 0)",
        ),
        ("there are words of it, and it is gone", _orphans(s, "words", same_write=False)),
        ("its words are of another write", _orphans(s, "words", same_write=True)),
        (
            "its terms are not those of so many words",
            f"""
SELECT w.namespace, w.subspace, w.key, NULL::text
FROM {s}.words AS w
WHERE (SELECT coalesce(sum(u.positions[1]), 0) FROM unnest(w.terms) AS u) > w.length
   OR EXISTS (SELECT FROM unnest(w.terms) AS u WHERE cardinality(u.positions) IS DISTINCT FROM 1)
""",
        ),
    ]
    if v is not None:
        vectors = f"SELECT v.namespace, v.subspace, v.key, NULL::text FROM {s}.vectors AS v"
        length = f"{v}.vector_norm(v.embedding)"
        serving = f" AND t.generation = (SELECT generation FROM {s}.state)"
        found += [
            (
                "it has not as many vectors as texts",
                f"{items} WHERE i.texts <> {_HOW_MANY.format(table=f'{s}.vectors', more=serving)}",
            ),
            ("there are vectors of it, and it is gone", _orphans(s, "vectors", same_write=False)),
            (
                "a vector of it is of a later write",
                f"""
SELECT v.namespace, v.subspace, v.key, NULL::text
FROM {s}.vectors AS v
JOIN {s}.items AS i ON i.namespace = v.namespace AND i.subspace = v.subspace AND i.key = v.key
WHERE v.updated_at > i.updated_at
""",
            ),
            (
                "a vector of it has other dimensions than the store",
                f"{vectors} WHERE v.generation = (SELECT generation FROM {s}.state) "
                f"AND {v}.vector_dims(v.embedding) IS DISTINCT FROM (SELECT dims FROM {s}.state)",
            ),
            (
                "a staged vector of it has other dimensions than those that are staged",
                f"{vectors} WHERE v.generation > (SELECT generation FROM {s}.state) "
                f"AND {v}.vector_dims(v.embedding) IS DISTINCT FROM (SELECT next_dims FROM {s}.state)",
            ),
            (
                "a vector of it has a length other than 1 or 0",
                f"{vectors} WHERE {length} <> 0 AND NOT abs({length} - 1) < {UNIT_TOLERANCE}",
            ),
            ("a text of it has a hash of another size", f"{vectors} WHERE octet_length(v.hash) <> 16"),
        ]
    return [(problem, f"{query} LIMIT {_MOST}") for problem, query in found]


_HOW_MANY = """(
    SELECT count(*)
    FROM {table} AS t
    WHERE t.namespace = i.namespace AND t.subspace = i.subspace AND t.key = i.key AND t.updated_at = i.updated_at{more}
)"""


def count_items(s: str) -> str:
    """Return the query for the number of items."""
    return f"SELECT count(*) FROM {s}.items"


def _orphans(s: str, table: str, *, same_write: bool) -> str:
    """Return the query for rows whose item is gone, or, with ``same_write``, is there and of another write."""
    address = "i.namespace = t.namespace AND i.subspace = t.subspace AND i.key = t.key"
    if same_write:
        return f"""
SELECT t.namespace, t.subspace, t.key, i.address::text
FROM {s}.{table} AS t
JOIN {s}.items AS i ON {address}
WHERE i.updated_at <> t.updated_at
"""
    return f"""
SELECT t.namespace, t.subspace, t.key, NULL::text
FROM {s}.{table} AS t
WHERE NOT EXISTS (SELECT FROM {s}.items AS i WHERE {address})
"""


UNUSABLE_INDEXES = """
SELECT x.indexrelid::regclass::text
FROM pg_index AS x
JOIN pg_class AS c ON c.oid = x.indrelid
WHERE c.relnamespace = to_regnamespace($1) AND NOT (x.indisvalid AND x.indisready)
"""


def verify(connection: Connection, statements: Statements, findings: Findings) -> None:
    """Check a schema; what is wrong is added to the findings. The caller has begun a transaction."""
    schema = statements.names["schema"]
    findings.items = fetch(connection, count_items(schema), planned=True)[0][0]
    for (name,) in fetch(connection, UNUSABLE_INDEXES, (schema,), planned=True):
        findings.add(f"The index {name} is not valid; REINDEX makes it anew.")
    for problem, query in checks(schema, statements.names["vector"] if statements.has_vectors else None):
        for address in fetch(connection, query, planned=True):
            findings.add(f"{_named(*address)}: {problem}.")


def _named(namespace: str, subspace: str, key: str, full: Any) -> str:
    text, key = json.loads(full) if full else (namespace + subspace, key)
    return f"{namespaces.from_text(text)} {unescape(key)!r}"
