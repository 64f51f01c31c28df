"""Every SQL text of the engine, for one schema. Executes nothing.

Each text keeps to what a cluster distributed by namespace takes (docs/design/postgres.md): the column ``namespace`` is
in every join, and an address asks one shard. ``$n`` for an instant "now" is NULL for the server's clock.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from crossthread import namespaces
from crossthread.engines.postgres.addresses import LONGEST_CACHED, names_all_labels, split

EXISTS = "SELECT to_regclass($1) IS NOT NULL"

HAS_SCHEMA = "SELECT to_regnamespace($1) IS NOT NULL"

SERVER = "SELECT current_setting('server_version_num')::integer, getdatabaseencoding()::text"

PGVECTOR = """
SELECT n.nspname::text, t.oid::bigint, t.typarray::bigint
FROM pg_extension AS e
JOIN pg_namespace AS n ON n.oid = e.extnamespace
JOIN pg_type AS t ON t.typnamespace = n.oid AND t.typname = 'vector'
WHERE e.extname = 'vector'
"""

HAS_CITUS = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"

IS_DISTRIBUTED = "SELECT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = to_regclass($1))"

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"

# Every statement looks up few rows by an index; planning each call would cost more than most of them do, and a plan for
# unknown parameters, or made before the tables were analyzed, must not read a whole table for a hash join.
SETTINGS = """
SELECT set_config('plan_cache_mode', 'force_generic_plan', false),
       set_config('enable_hashjoin', 'off', false),
       set_config('enable_mergejoin', 'off', false)
"""

BEGIN_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ"

BEGIN_WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED"


class Scope(NamedTuple):
    """What a prefix covers, as a condition whose parameters begin at ``$1``."""

    condition: str
    parameters: tuple[str, ...]
    is_one_home: bool
    """Whether it lies below one value of the column ``namespace``: one shard, and one part of the index by time."""

    def of(self, table: str) -> str:
        """Return the condition on the columns of a table."""
        return self.condition.format(t=table)


def scope(prefix: str) -> Scope:
    """Return what a namespace prefix in text form covers."""
    return _kept_scope(prefix) if len(prefix) <= LONGEST_CACHED else _scope(prefix)


def _scope(prefix: str) -> Scope:
    if not prefix:
        return Scope("TRUE", (), is_one_home=False)
    home, rest = split(prefix)
    if rest:
        condition = "{t}.namespace = $1 AND {t}.subspace >= $2 AND {t}.subspace < $3"
        return Scope(condition, (home, *namespaces.text_range(rest)), is_one_home=True)
    if names_all_labels(home):
        return Scope("{t}.namespace = $1", (home,), is_one_home=True)
    return Scope("{t}.namespace >= $1 AND {t}.namespace < $2", namespaces.text_range(home), is_one_home=False)


_kept_scope = lru_cache(maxsize=4096)(_scope)


class Statements:
    """The texts for one schema.

    Args:
        schema: The name of the schema.
        vector_schema: The schema of pgvector; None where there are no vectors.
        is_cluster: Whether the tables are distributed.
    """

    def __init__(self, schema: str, vector_schema: str | None, is_cluster: bool) -> None:
        s, v = quoted(schema), quoted(vector_schema or "public")
        self.names = {"schema": s, "vector": v}
        self._schema = s
        self._present = f"{s}.present()"
        self.has_vectors = vector_schema is not None
        self._distance = f"(v.embedding OPERATOR({v}.<#>) %s)"
        self.distribute_vectors = (
            f"SELECT create_distributed_table('{s}.vectors', 'namespace', colocate_with => '{s}.items')"
        )
        self.is_cluster = is_cluster
        self.settings = "" if is_cluster else SETTINGS  # Citus makes no plans for unknown parameters
        # Named here, since it would be colocated with any other table of the same column type otherwise.
        self.distribute = [
            f"SELECT create_distributed_table('{s}.items', 'namespace', colocate_with => 'none')",
            f"SELECT create_distributed_table('{s}.words', 'namespace', colocate_with => '{s}.items')",
        ]
        if vector_schema is not None:
            self.distribute.append(self.distribute_vectors)
        self.table = f"{s}.state"
        self.items = f"{s}.items"
        self.present = f"SELECT {s}.present()"
        self.state = f"SELECT schema_version, vectors_version, language, model, dims, generation FROM {s}.state"
        self.set_language = f"UPDATE {s}.state SET language = $1 WHERE language IS NULL"
        self.set_schema_version = f"UPDATE {s}.state SET schema_version = $1"
        self.set_vectors_version = f"UPDATE {s}.state SET vectors_version = $1"
        self.claim_space = f"UPDATE {s}.state SET model = $1::text, dims = $2::integer WHERE dims IS NULL"
        self.get = f"""
SELECT {_ROW}
FROM {s}.items AS i
WHERE i.namespace = $1 AND i.subspace = $2 AND i.key = $3 AND {self._live("$4")}
"""
        self.get_many = f"""
SELECT {_ROW}, p.number
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS p (namespace, subspace, key, number)
JOIN {s}.items AS i ON {_SAME_ADDRESS}
WHERE {self._live("$4")}
"""
        # Items, and the vectors of items, at addresses, if they are still the same; parameters: addresses, stamps.
        self.rows = f"""
SELECT {_ROW}, p.number
FROM {_PLACES}
JOIN {s}.items AS i ON {_SAME_ADDRESS} AND i.updated_at = p.updated_at
"""
        # Vectors of one generation, their last parameter; each row tells which one serves, but on a cluster, which
        # would have to fetch that from the coordinator: there it is asked for when the vectors have come.
        self.generation = f"SELECT generation FROM {s}.state"
        self._serving = "NULL::bigint" if is_cluster else f"({self.generation})"
        self.vectors = f"""
SELECT v.embedding, p.number, {self._serving}
FROM {_PLACES}
JOIN {s}.vectors AS v ON v.namespace = p.namespace AND v.subspace = p.subspace AND v.key = p.key
                     AND v.updated_at = p.updated_at AND v.generation = $5::bigint
"""
        # Whole items at addresses; their words, and their texts with or without vectors, parameters as above.
        self.stored_at = f"""
SELECT {_STORED}, p.number
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS p (namespace, subspace, key, number)
JOIN {s}.items AS i ON {_SAME_ADDRESS}
WHERE {self._live("$4")}
"""
        self.words_of = f"""
SELECT p.number, w.terms::text, w.length
FROM {_PLACES}
JOIN {s}.words AS w ON w.namespace = p.namespace AND w.subspace = p.subspace AND w.key = p.key
                   AND w.updated_at = p.updated_at
"""
        self.hashes_of, self.vectors_of = (
            f"""
SELECT p.number, v.hash, {embedding}
FROM {_PLACES}
JOIN {s}.vectors AS v ON v.namespace = p.namespace AND v.subspace = p.subspace AND v.key = p.key
                     AND v.updated_at = p.updated_at AND v.generation = $5::bigint
"""
            for embedding in ("NULL", "v.embedding")
        )
        # Items as they were elsewhere: the second leaves those alone that were written later here.
        self.restore, self.restore_unless_newer = (
            f"""
INSERT INTO {s}.items AS i
    (namespace, subspace, key, value, created_at, updated_at, ttl_minutes, expires_at, address, texts, has_words)
SELECT p.namespace, p.subspace, p.key, p.value::json, p.created_at, p.updated_at, p.minutes, p.expires_at,
       p.address::json, p.texts, p.has_words
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::float8[], $8::bigint[],
            $9::text[], $10::integer[], $11::boolean[])
     AS p (namespace, subspace, key, value, created_at, updated_at, minutes, expires_at, address, texts, has_words)
ON CONFLICT (namespace, subspace, key) DO UPDATE SET
    value = EXCLUDED.value, created_at = EXCLUDED.created_at, updated_at = EXCLUDED.updated_at,
    ttl_minutes = EXCLUDED.ttl_minutes, expires_at = EXCLUDED.expires_at, texts = EXCLUDED.texts,
    has_words = EXCLUDED.has_words
{condition}RETURNING i.namespace, i.subspace, i.key
"""
            for condition in ("", "WHERE i.updated_at <= EXCLUDED.updated_at\n")
        )
        self.drop_words, self.drop_vectors = (
            f"""
DELETE FROM {s}.{table} AS t
USING unnest($1::text[], $2::text[], $3::text[]) AS p (namespace, subspace, key)
WHERE t.namespace = p.namespace AND t.subspace = p.subspace AND t.key = p.key
"""
            for table in ("words", "vectors")
        )
        self.restore_words = f"""
INSERT INTO {s}.words (namespace, subspace, key, updated_at, terms, length)
SELECT p.namespace, p.subspace, p.key, p.updated_at, p.terms::tsvector, p.length
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::integer[])
     AS p (namespace, subspace, key, updated_at, terms, length)
"""
        self.restore_vectors = f"""
INSERT INTO {s}.vectors (namespace, subspace, key, updated_at, hash, embedding, generation)
SELECT p.namespace, p.subspace, p.key, p.updated_at, p.hash, p.embedding, $7::bigint
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bytea[], $6::{v}.vector[])
     AS p (namespace, subspace, key, updated_at, hash, embedding)
"""
        self.draw_later = (
            f"SELECT setval('{s}.stamps', $1::bigint) FROM {s}.stamps AS x WHERE x.last_value < $1::bigint"
        )
        self.refresh = f"""
UPDATE {s}.items AS i
SET expires_at = {s}.expiry(p.present, p.minutes)
FROM (
    SELECT u.*, (SELECT coalesce($6::bigint, {self._present})) AS present
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::float8[])
         AS u (namespace, subspace, key, updated_at, minutes)
) AS p
WHERE {_SAME_ADDRESS} AND i.updated_at = p.updated_at AND i.expires_at > coalesce($7::bigint, p.present)
"""
        # A text has the same vector wherever it stands; a cluster is asked in the namespaces at hand only.
        nearby = " AND v.generation = $2::bigint" + (" AND v.namespace = ANY ($3::text[])" if is_cluster else "")
        self.known_vector = f"SELECT v.hash, v.embedding FROM {s}.vectors AS v WHERE v.hash = $1{nearby} LIMIT 1"
        self.known_vectors = f"""
SELECT DISTINCT ON (v.hash) v.hash, v.embedding
FROM {s}.vectors AS v
WHERE v.hash = ANY ($1::bytea[]){nearby}
"""
        arrays = (
            "$1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::float8[], "
            "$9::text[], $10::integer[], $11::bigint[], $12::text[], $13::integer[], $14::bigint, $15::bigint"
        )
        # The commonest write of all has no lists to take apart: one item with one vector or none.
        one = "$1, $2, $3, $4, $5::float8, $6::text, $7::text, $8::integer, $9::bigint, $10::bigint"
        if vector_schema is None:
            self.write = f"SELECT * FROM {s}.write_items({arrays})"
            self.write_one = self.write_one_with_vector = f"SELECT w[1], w[2] FROM {s}.write_item({one}) AS w"
        else:
            vectors = f"$16::integer[], $17::bytea[], $18::{v}.vector[]"
            self.write = f"SELECT * FROM {s}.write_memories({arrays}, {vectors}, $19::bigint)"
            self.write_one = f"SELECT w[1], w[2] FROM {s}.write_memory({one}, NULL, NULL, NULL) AS w"
            self.write_one_with_vector = f"SELECT w[1], w[2] FROM {s}.write_memory({one}, $11, $12, $13) AS w"
        vectors_gone = f"""
, vectors_gone AS (
    DELETE FROM {s}.vectors AS v USING erased AS e
    WHERE v.namespace = e.namespace AND v.subspace = e.subspace AND v.key = e.key
)"""
        self.check_vectors = f"SELECT {s}.check_vectors($1)"
        self.lock_state = f"SELECT s.generation, s.run, s.next_dims FROM {s}.state AS s FOR SHARE"
        self.progress = f"""
SELECT s.generation, s.model, s.phase, s.run, s.next_model, s.next_dims, s.last_run FROM {s}.state AS s
"""
        self.begin_run = f"""
UPDATE {s}.state SET run = $1::bigint, next_model = $2::text, next_dims = NULL, phase = 1 WHERE phase = 0
"""
        self.set_next_dims = (
            f"UPDATE {s}.state SET next_dims = $2::integer WHERE run = $1::bigint AND next_dims IS NULL"
        )
        self.hold = f"UPDATE {s}.state SET held_until = $2::bigint WHERE run = $1::bigint RETURNING run"
        self.end_phase = f"""
UPDATE {s}.state SET phase = 0, run = 0, next_model = NULL, next_dims = NULL WHERE phase = $1::integer
"""
        self.switch = f"""
UPDATE {s}.state
SET generation = generation + 1, phase = 2, model = next_model, dims = next_dims, held_until = 0, run = 0,
    last_run = $1::bigint, next_model = NULL, next_dims = NULL
WHERE run = $1::bigint
RETURNING generation
"""
        self.lock_vectors = f"LOCK TABLE {s}.vectors IN EXCLUSIVE MODE"
        self.count_texts = f"""
SELECT count(*) FILTER (WHERE v.generation = $1::bigint), count(*) FILTER (WHERE v.generation = $1::bigint + 1)
FROM {s}.vectors AS v
"""
        unstaged = f"""
SELECT FROM {s}.vectors AS v
WHERE {_SAME_WRITE} AND v.generation = {{generation}} AND NOT EXISTS (
    SELECT FROM {s}.vectors AS n
    WHERE n.namespace = v.namespace AND n.subspace = v.subspace AND n.key = v.key AND n.hash = v.hash
      AND n.generation = {{generation}} + 1
)
"""
        indexed = f"SELECT FROM {s}.vectors AS v WHERE {_SAME_WRITE} AND v.generation = {{generation}}"
        self.texts_page, self.unstaged_page = (
            f"""
SELECT i.namespace, i.subspace, i.key, i.updated_at, i.value::text, i.address::text
FROM {s}.items AS i
WHERE (i.namespace, i.subspace, i.key) > ($1::text, $2::text, $3::text)
  AND EXISTS ({condition.format(generation="$5::bigint")})
ORDER BY i.namespace, i.subspace, i.key
LIMIT $4::bigint
"""
            for condition in (indexed, unstaged)
        )
        self.missing = (
            f"SELECT EXISTS (SELECT FROM {s}.items AS i WHERE EXISTS ({unstaged.format(generation='$1::bigint')}))"
        )
        self.stage = f"SELECT {s}.stage_vectors($1, $2, $3, $4, $5, $6::{v}.vector[], $7)"
        self.other_generations = (
            f"SELECT v.namespace FROM {s}.vectors AS v WHERE v.generation <> $1::bigint LIMIT 20000"
        )
        self.drop_generations = f"""
DELETE FROM {s}.vectors AS v WHERE v.namespace = ANY ($1::text[]) AND v.generation <> $2::bigint
"""
        self.sweep = f"""
WITH erased AS (
    DELETE FROM {s}.items AS i
    WHERE i.expires_at <= (SELECT coalesce($1::bigint, {self._present}))
    RETURNING i.namespace, i.subspace, i.key
), words_gone AS (
    DELETE FROM {s}.words AS w USING erased AS e
    WHERE w.namespace = e.namespace AND w.subspace = e.subspace AND w.key = e.key
){"" if vector_schema is None else vectors_gone}
SELECT count(*) FROM erased
"""

    def _live(self, now: str) -> str:
        # A subquery, so that the clock is read once and not for every row.
        return f"(i.expires_at IS NULL OR i.expires_at > (SELECT coalesce({now}::bigint, {self._present})))"

    def newest(self, covered: Scope, narrowing: str) -> str:
        """Return the query for live items in order; parameters: scope, now, limit, offset, narrowing."""
        n = len(covered.parameters)
        if covered.is_one_home:
            # As a comparison that nearly every row is expected to pass: the items are read from the latest on until
            # there are enough, and not all of them and then sorted.
            narrowing = f"({narrowing})::integer <> 0"
        return f"""
SELECT {_ROW}
FROM {self._schema}.items AS i
WHERE {covered.of("i")} AND {self._live(f"${n + 1}")} AND {narrowing}
ORDER BY i.updated_at DESC, i.namespace DESC, i.subspace DESC, i.key DESC
LIMIT ${n + 2}::bigint OFFSET ${n + 3}::bigint
"""

    def nearest(self, covered: Scope) -> str:
        """Return the query for the vectors nearest to one, with their items.

        Parameters: scope, now, vector, limit, generation.
        A vector whose item has expired, or has been written anew, comes without an item. Adding 0.0 to the distance
        keeps an index for approximate search out of an exact one. A cluster joins first: it would fetch all items for
        an outer join with what a limit left.
        """
        n = len(covered.parameters)
        if self.is_cluster:
            return f"""
SELECT {_ROW}, {self._distance % f"${n + 2}"} + 0.0 AS distance, v.embedding, {self._serving}
FROM {self._schema}.vectors AS v
LEFT JOIN {self._schema}.items AS i ON {_SAME_WRITE} AND {self._live(f"${n + 1}")}
WHERE {covered.of("v")} AND v.generation = ${n + 4}::bigint
ORDER BY distance, v.updated_at DESC
LIMIT ${n + 3}::bigint
"""
        return f"""
SELECT {_ROW}, v.distance, v.embedding, {self._serving}
FROM (
    SELECT v.namespace, v.subspace, v.key, v.updated_at, v.embedding, {self._distance % f"${n + 2}"} + 0.0 AS distance
    FROM {self._schema}.vectors AS v
    WHERE {covered.of("v")} AND v.generation = ${n + 4}::bigint
    ORDER BY distance, v.updated_at DESC
    LIMIT ${n + 3}::bigint
) AS v
LEFT JOIN {self._schema}.items AS i ON {_SAME_WRITE} AND {self._live(f"${n + 1}")}
ORDER BY v.distance, v.updated_at DESC
"""

    def nearest_matching(self, covered: Scope, narrowing: str) -> str:
        """Return the same query for items that may satisfy a filter; parameters also: narrowing."""
        n = len(covered.parameters)
        return f"""
SELECT {_ROW}, {self._distance % f"${n + 2}"} + 0.0 AS distance, v.embedding, {self._serving}
FROM {self._schema}.items AS i
JOIN {self._schema}.vectors AS v ON {_SAME_WRITE} AND v.generation = ${n + 4}::bigint
WHERE {covered.of("i")} AND {self._live(f"${n + 1}")} AND {narrowing}
ORDER BY distance, v.updated_at DESC
LIMIT ${n + 3}::bigint
"""

    def postings(self, covered: Scope, narrowing: str | None, *, with_distance: bool) -> str:
        """Return the query for the live items in which terms occur, each with the numbers of its scope.

        Parameters: scope, now, the terms as tsquery, where distances are asked for the vector and its generation,
        narrowing. Without a
        narrowing (None) rows have no value; otherwise those have one that may satisfy the filter.
        """
        n = len(covered.parameters)
        live = self._live(f"${n + 1}")
        words = f"{self._schema}.words AS w JOIN {self._schema}.items AS i ON {_SAME_WORDS} AND {live}"
        found = f"w.terms @@ ${n + 2}::tsquery"
        if covered.is_one_home:
            found = f"({found})::integer = 1"  # a comparison a row: the index would find the words of everybody
        value = "NULL" if narrowing is None else f"CASE WHEN {narrowing} THEN i.value::text END"
        nearest = "NULL"
        if with_distance:
            distance = self._distance % f"${n + 3}"
            same = f"{_SAME_WRITE} AND {covered.of('v')} AND v.generation = ${n + 4}::bigint"
            nearest = f"(SELECT min({distance}) FROM {self._schema}.vectors AS v WHERE {same})"
        return f"""
WITH corpus AS MATERIALIZED (
    SELECT count(*) AS items, coalesce(sum(w.length), 0)::bigint AS words FROM {words} WHERE {covered.of("w")}
)
SELECT w.namespace, w.subspace, w.key, w.updated_at, w.length, w.terms::text, {value}, {nearest}, c.items, c.words
FROM {words}, corpus AS c
WHERE {covered.of("w")} AND {found}
"""

    def count(self, covered: Scope) -> str:
        """Return the query for the number of live items; parameters: scope, now."""
        live = self._live(f"${len(covered.parameters) + 1}")
        return f"SELECT count(*) FROM {self._schema}.items AS i WHERE {covered.of('i')} AND {live}"

    def values(self, covered: Scope, narrowing: str) -> str:
        """Return the query for the values of live items; parameters: scope, now, narrowing."""
        live = self._live(f"${len(covered.parameters) + 1}")
        return f"SELECT i.value::text FROM {self._schema}.items AS i WHERE {covered.of('i')} AND {live} AND {narrowing}"

    def stored(self, covered: Scope) -> str:
        """Return the query for whole live items by time; parameters: scope, now, time, address, limit."""
        return self._stored(covered, ">", "")

    def stored_newest_first(self, covered: Scope) -> str:
        """Return the same query the other way round."""
        return self._stored(covered, "<", " DESC")

    def _stored(self, covered: Scope, beyond: str, direction: str) -> str:
        n = len(covered.parameters)
        order = [f"i.{column}" for column in ("updated_at", "namespace", "subspace", "key")]
        position = f"(${n + 2}::bigint, ${n + 3}::text, ${n + 4}::text, ${n + 5}::text)"
        return f"""
SELECT {_STORED}
FROM {self._schema}.items AS i
WHERE {covered.of("i")} AND {self._live(f"${n + 1}")} AND ({", ".join(order)}) {beyond} {position}
ORDER BY {", ".join(column + direction for column in order)}
LIMIT ${n + 6}::bigint
"""

    def measured(self, covered: Scope) -> str:
        """Return the query for the numbers of each namespace, with an address in it; parameters: scope, now."""
        return f"""
SELECT i.namespace, i.subspace, min(i.address::text), count(*), sum(octet_length(i.value::text))::bigint,
       count(i.expires_at), max(i.updated_at)
FROM {self._schema}.items AS i
WHERE {covered.of("i")} AND {self._live(f"${len(covered.parameters) + 1}")}
GROUP BY i.namespace, i.subspace
"""

    def count_expired(self, covered: Scope) -> str:
        """Return the query for the number of items whose time is over; parameters: scope, now."""
        now = f"(SELECT coalesce(${len(covered.parameters) + 1}::bigint, {self._present}))"
        return f"SELECT count(*) FROM {self._schema}.items AS i WHERE {covered.of('i')} AND i.expires_at <= {now}"

    def count_vectors(self, covered: Scope) -> str:
        """Return the query for the number of vectors of live items; parameters: scope, now, generation."""
        return f"""
SELECT count(*)
FROM {self._schema}.items AS i
JOIN {self._schema}.vectors AS v ON {_SAME_WRITE}
WHERE {covered.of("i")} AND {self._live(f"${len(covered.parameters) + 1}")}
  AND v.generation = ${len(covered.parameters) + 2}::bigint
"""

    def list_namespaces(self, covered: Scope) -> str:
        """Return the query for the namespaces that hold a live item, each with an address; parameters: scope, now.

        One machine jumps from namespace to namespace along the primary key; a cluster, which takes no recursive query,
        looks at every item.
        """
        live = self._live(f"${len(covered.parameters) + 1}")
        items = f"{self._schema}.items AS i"
        if self.is_cluster:
            return f"""
SELECT i.namespace, i.subspace, min(i.address::text)
FROM {items}
WHERE {covered.of("i")} AND {live}
GROUP BY i.namespace, i.subspace
"""
        here = f"{covered.of('i')} AND {live} ORDER BY i.namespace, i.subspace LIMIT 1"
        columns = "i.namespace, i.subspace, i.address::text"
        return f"""
WITH RECURSIVE names (namespace, subspace, address) AS (
    (SELECT {columns} FROM {items} WHERE {here})
    UNION ALL
    SELECT following.*
    FROM names, LATERAL (
        SELECT {columns} FROM {items} WHERE (i.namespace, i.subspace) > (names.namespace, names.subspace) AND {here}
    ) AS following
)
SELECT namespace, subspace, address FROM names
"""

    def forget_items(self, covered: Scope) -> str:
        """Return the statement that erases a scope and answers with the expiry of what was there; parameters: scope."""
        return f"DELETE FROM {self._schema}.items AS i WHERE {covered.of('i')} RETURNING i.expires_at"

    def forget_words(self, covered: Scope) -> str:
        """Return the statement that erases a scope's words; parameters: scope.

        Those of an item that was put since its scope was erased are left alone.
        """
        return f"""
DELETE FROM {self._schema}.words AS w
WHERE {covered.of("w")}
  AND NOT EXISTS (SELECT FROM {self._schema}.items AS i WHERE {covered.of("i")} AND {_SAME_WORDS})
"""

    def forget_vectors(self, covered: Scope) -> str:
        """Return the statement that erases a scope's vectors; parameters: scope.

        Those of an item that was put since its scope was erased are left alone.
        """
        return f"""
DELETE FROM {self._schema}.vectors AS v
WHERE {covered.of("v")}
  AND NOT EXISTS (SELECT FROM {self._schema}.items AS i WHERE {covered.of("i")} AND {_SAME_WRITE})
"""


_ROW = "i.namespace, i.subspace, i.key, i.value::text, i.created_at, i.updated_at, i.ttl_minutes, i.address::text"
_STORED = f"{_ROW}, i.expires_at"
_PLACES = (
    "unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) WITH ORDINALITY "
    "AS p (namespace, subspace, key, updated_at, number)"
)
_SAME_ADDRESS = "i.namespace = p.namespace AND i.subspace = p.subspace AND i.key = p.key"
_SAME_WORDS = "i.namespace = w.namespace AND i.subspace = w.subspace AND i.key = w.key AND i.updated_at = w.updated_at"
_SAME_WRITE = "i.namespace = v.namespace AND i.subspace = v.subspace AND i.key = v.key AND i.updated_at = v.updated_at"


def quoted(name: str) -> str:
    """Return a name as SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
