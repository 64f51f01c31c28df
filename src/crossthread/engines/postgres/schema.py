"""Makes and checks the schema: versions, pgvector, migrations under a lock. The only place that creates anything."""

from __future__ import annotations

import logging
from typing import NamedTuple

from psycopg import errors
from psycopg.types import TypeInfo

from crossthread.engines.base import VectorSpace
from crossthread.engines.migrations import Migration, load_migrations, pending
from crossthread.engines.postgres import statements as texts
from crossthread.engines.postgres.connection import Connection, fetch, transaction
from crossthread.engines.postgres.statements import Statements
from crossthread.errors import ConfigurationError, StoreError

logger = logging.getLogger("crossthread.postgres")

_OLDEST = 140000
_PACKAGE = "crossthread.engines.postgres"


class Schema(NamedTuple):
    """What a schema that is ready for use holds."""

    statements: Statements
    space: VectorSpace
    language: str | None
    vector_type: TypeInfo | None
    """pgvector's type, where the schema has a table of vectors."""


def find(connection: Connection, name: str, where: str, wants_vectors: bool) -> Schema | None:
    """Return the schema, or None where it does not exist or lacks something of this release.

    Raises:
        SchemaVersionError: It is of a newer release.
        StoreError: The server is too old, or has another encoding than UTF-8.
    """
    version, encoding = fetch(connection, texts.SERVER)[0]
    if version < _OLDEST:
        raise StoreError(f"{where} runs PostgreSQL {version // 10000}; crossthread needs 14 or later.")
    if encoding != "UTF8":
        raise StoreError(f"{where} has encoding {encoding}, which cannot hold every text; create it with UTF8.")
    plain = Statements(name, None, is_cluster=False)
    if not fetch(connection, texts.EXISTS, (plain.table,))[0][0]:
        return None
    schema_version, vectors_version, language, *space = fetch(connection, plain.state)[0]
    missing = pending(load_migrations(_PACKAGE), schema_version, where)
    missing_vectors = pending(load_migrations(f"{_PACKAGE}.vectors"), vectors_version, where)
    if missing or (missing_vectors and (wants_vectors or vectors_version)):
        return None
    found = _pgvector(connection) if vectors_version else None
    is_cluster = _is_distributed(connection, plain)
    made = Statements(name, found[0] if found else None, is_cluster)
    return Schema(made, VectorSpace(*space), language, found[1] if found else None)


def has_vectors(connection: Connection, made: Statements) -> bool:
    """Whether the schema has a table of vectors by now."""
    return bool(fetch(connection, made.state)[0][1])


def create(connection: Connection, name: str, where: str, wants_vectors: bool) -> Schema:
    """Create or migrate the schema; two workers that start at once do it once.

    Raises:
        ConfigurationError: Vectors are wanted, and the server has no pgvector.
        SchemaVersionError: The schema is of a newer release; it was left as it was.
    """
    with transaction(connection, texts.BEGIN_WRITE):
        fetch(connection, texts.LOCK, ("crossthread",))
        found = find(connection, name, where, wants_vectors)
        if found is None:
            _migrate(connection, name, where, wants_vectors)
            found = find(connection, name, where, wants_vectors)
    assert found is not None
    return found


def _migrate(connection: Connection, name: str, where: str, wants_vectors: bool) -> None:
    plain = Statements(name, None, is_cluster=False)
    if not fetch(connection, texts.HAS_SCHEMA, (texts.quoted(name),))[0][0]:
        fetch(connection, f"CREATE SCHEMA {texts.quoted(name)}")
    exists = fetch(connection, texts.EXISTS, (plain.table,))[0][0]
    schema_version, vectors_version = fetch(connection, plain.state)[0][:2] if exists else (0, 0)
    for step in pending(load_migrations(_PACKAGE), schema_version, where):
        _apply(connection, step, plain)
        fetch(connection, plain.set_schema_version, (step.number,))
    if wants_vectors or vectors_version:
        vector_schema, _ = _pgvector(connection) or _create_pgvector(connection, where)
        with_vectors = Statements(name, vector_schema, is_cluster=False)
        for step in pending(load_migrations(f"{_PACKAGE}.vectors"), vectors_version, where):
            _apply(connection, step, with_vectors)
            fetch(connection, with_vectors.set_vectors_version, (step.number,))
        if not vectors_version and _is_distributed(connection, with_vectors):
            fetch(connection, with_vectors.distribute_vectors, planned=True)


def _apply(connection: Connection, step: Migration, made: Statements) -> None:
    logger.info("Applying step %d to the schema %s", step.number, made.names["schema"])
    for statement in step.statements:
        text = statement
        for placeholder, name in made.names.items():
            text = text.replace(f"{{{placeholder}}}", name)
        fetch(connection, text, planned=True)


def _pgvector(connection: Connection) -> tuple[str, TypeInfo] | None:
    found = fetch(connection, texts.PGVECTOR)
    if not found:
        return None
    schema, oid, array_oid = found[0]
    return schema, TypeInfo("vector", oid, array_oid)


def _create_pgvector(connection: Connection, where: str) -> tuple[str, TypeInfo]:
    try:
        fetch(connection, "CREATE EXTENSION vector", planned=True)
    except errors.Error as error:
        raise ConfigurationError(
            f"index= searches by embeddings, which needs pgvector, and {where} has none: {str(error).strip()}. "
            "Install it on the server (https://github.com/pgvector/pgvector#installation) and let a superuser run "
            "CREATE EXTENSION vector; without index= everything else works."
        ) from error
    found = _pgvector(connection)
    assert found is not None
    return found


def _is_distributed(connection: Connection, made: Statements) -> bool:
    if not fetch(connection, texts.HAS_CITUS)[0][0]:
        return False
    return bool(fetch(connection, texts.IS_DISTRIBUTED, (made.items,))[0][0])
