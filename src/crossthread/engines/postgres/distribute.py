"""Distributes an existing store over a cluster, where PostgreSQL has the Citus extension.

    python -m crossthread.engines.postgres.distribute 'postgresql://user@host/db?schema=crossthread'

Items and vectors are distributed by the column ``namespace``, the first two labels, and lie together. It is done once,
with the stores of all workers closed: a store finds out when it is opened whether its tables are distributed.
"""

from __future__ import annotations

import argparse

import psycopg

from crossthread.engines.postgres import connection as postgres
from crossthread.engines.postgres import schema as schemas
from crossthread.engines.postgres import statements as texts
from crossthread.engines.postgres.connection import fetch
from crossthread.engines.postgres.engine import PostgresEngine
from crossthread.errors import ConfigurationError, StoreError


def distribute(url: str) -> bool:
    """Distribute the tables of a store over the nodes of a cluster.

    Args:
        url: That of the store; it must point at the coordinator.

    Returns:
        Whether there was anything to do.

    Raises:
        ConfigurationError: The server has no Citus.
        StoreError: There is no store, or the role may not.
    """
    engine = PostgresEngine.from_url(url)
    engine.close()
    where = postgres.describe(engine.conninfo)
    connection = postgres.connect(engine.conninfo)
    try:
        found = schemas.find(connection, engine.schema, where, wants_vectors=False)
        if found is None:
            raise StoreError(f"{where} has no schema {engine.schema!r} of this release. {postgres.SETUP_HINT}")
        if not fetch(connection, texts.HAS_CITUS)[0][0]:
            raise ConfigurationError(
                f"{where} has no Citus; install it on every node and run CREATE EXTENSION citus, see "
                "docs/guides/postgres.md."
            )
        if found.statements.is_cluster:
            return False
        with postgres.transaction(connection, texts.BEGIN_WRITE):
            for statement in found.statements.distribute:
                fetch(connection, statement, planned=True)
    except psycopg.Error as error:
        raise postgres.as_store_error(error, where) from error
    finally:
        connection.close()
    return True


def main() -> None:
    """Do it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="the URL of the store")
    done = distribute(parser.parse_args().url)
    print("Items and vectors are distributed by namespace." if done else "They are distributed already.")


if __name__ == "__main__":
    main()
