"""What only a server has: it may be read-only, slow, of another encoding, or named by a URL that is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from crossthread import MemoryStore
from crossthread.errors import ConfigurationError, StoreBusyError, StoreError, StoreReadOnlyError
from crossthread.testing import HashEmbeddings
from servers import at_once, own_database, run_sql, server_url, with_parameters

ADA = ("memories", "ada")
INDEX: Any = {"embed": HashEmbeddings(dims=8), "dims": 8, "fields": ["text"]}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[str]:
    """The URL of a database of a test's own."""
    with own_database(tmp_path) as url:
        yield url


def test_a_read_only_database_can_be_read_and_says_so_when_written(database, caplog):
    with MemoryStore(database, index=INDEX) as store:
        store.put(ADA, "k", {"text": "likes pizza"})
        store.put(ADA, "brief", {"text": "likes tea"}, ttl=60)
    name = conninfo_to_dict(database)["dbname"]
    run_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with MemoryStore(database, index=INDEX) as store:
        assert store.get(ADA, "k").value == {"text": "likes pizza"}
        assert not caplog.records
        assert store.get(ADA, "brief").value == {"text": "likes tea"}
        assert {hit.key for hit in store.search(ADA, query="tea")} == {"k", "brief"}
        assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
        for write in (lambda: store.put(ADA, "k", {}), lambda: store.forget(()), lambda: store.delete(ADA, "k")):
            with pytest.raises(StoreReadOnlyError, match="can only be read"):
                write()
        assert store.count() == 2
    with pytest.raises(StoreReadOnlyError):
        MemoryStore(with_parameters(database, schema="another"))


def test_a_statement_timeout_is_an_error_of_ours(tmp_path, database):
    with MemoryStore(with_parameters(database, options="-c%20statement_timeout%3D100")) as store:
        store.put(ADA, "k", {"n": 1})
        with psycopg.connect(database) as other:
            other.execute("LOCK TABLE crossthread.items")
            with pytest.raises(StoreBusyError, match="did not finish in time"):
                store.put(ADA, "k", {"n": 2})
            with pytest.raises(StoreBusyError):
                asyncio.run(store.aget(ADA, "k"))
        assert store.get(ADA, "k").value == {"n": 1}


@pytest.mark.parametrize("level", ["serializable", "repeatable read"])
def test_another_default_isolation_changes_nothing(database, level):
    run_sql(f"ALTER DATABASE {conninfo_to_dict(database)['dbname']} SET default_transaction_isolation = '{level}'")
    with MemoryStore(database, index=INDEX) as store:

        def work(n: int) -> None:
            for i in range(15):
                store.put(ADA, str(i % 3), {"text": f"likes tea {n}"})
                store.update(("c",), "n", lambda value: {"n": value["n"] + 1}, default={"n": 0})

        assert at_once([lambda n=n: work(n) for n in range(6)]) == [None] * 6
        assert store.get(("c",), "n").value == {"n": 90}
        assert len(store.search(ADA, query="tea")) == 3


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("schema=a%20b", "schema must be letters"),
        ("schema=", "schema must be"),
        ("schema=pg_mine", "not beginning with pg_"),
        ("schema=" + "x" * 64, "at most 63"),
        ('schema="', "schema must be"),
        ("setup=perhaps", "setup must be 'automatic' or 'explicit'"),
        ("pool_size=0", "pool_size must be"),
        ("pool_size=two", "pool_size must be a number"),
        ("timeout_seconds=0", "timeout_seconds must be"),
        ("timeout_seconds=inf", "timeout_seconds must be"),
        ("timeout_seconds=nan", "timeout_seconds must be"),
        ("nonsense=1", "nonsense"),
        ("connect_timeout=soon", "connect_timeout"),
    ],
)
def test_wrong_parameters_are_named(parameters, message):
    url = server_url()
    with pytest.raises(ConfigurationError, match=message):
        MemoryStore(f"{url}{'&' if '?' in url else '?'}{parameters}")


@pytest.mark.parametrize("url", ["postgresql://u:se%cret@h/db", "postgresql://u:se cret@h x/db"])
def test_a_url_that_cannot_be_read_is_not_repeated(url):
    with pytest.raises(ConfigurationError) as caught:
        MemoryStore(url)
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize("schema", ["Mixed-Case", "select", "_", "x" * 63])
def test_odd_schema_names_work(database, schema):
    for index in (None, INDEX):
        with MemoryStore(with_parameters(database, schema=schema), index=index) as store:
            store.put(ADA, "k", {"text": "tea"})
            assert store.get(ADA, "k").value == {"text": "tea"}
            assert store.forget(()) == 1


def test_parameters_of_libpq_arrive_as_they_were_written(database):
    given = with_parameters(
        database, options="-c%20work_mem%3D5MB", application_name="a%2Bb+c", client_encoding="latin1"
    )
    with MemoryStore(given) as store:
        store.put(ADA, "k", {"text": "\N{SNOWMAN}"})
        assert store.get(ADA, "k").value == {"text": "\N{SNOWMAN}"}
        assert run_sql("SELECT DISTINCT application_name FROM pg_stat_activity WHERE application_name LIKE 'a+%%'") == [
            ("a+b+c",)
        ]


def test_a_database_of_another_encoding_is_refused(tmp_path):
    with (
        own_database(tmp_path, "ENCODING 'SQL_ASCII' TEMPLATE template0") as url,
        pytest.raises(StoreError, match="SQL_ASCII"),
    ):
        MemoryStore(url)


def test_an_error_of_the_server_does_not_repeat_what_is_remembered(database):
    """PostgreSQL adds the row that broke a rule, as DETAIL."""
    with MemoryStore(database, index=INDEX) as store:
        run_sql("ALTER TABLE crossthread.items ADD CHECK (key <> 'k')", url=database)
        with pytest.raises(StoreError) as caught:
            store.put(ADA, "k", {"text": "has a secret"})
        assert "violates check constraint" in str(caught.value)
        assert "secret" not in str(caught.value)
