"""Set-up on a server: once, by whom it is told to, and with no more rights than it needs."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from langgraph.store.base import GetOp, PutOp

from crossthread import MemoryStore
from crossthread.errors import ConfigurationError, SchemaVersionError, StoreError
from crossthread.testing import HashEmbeddings
from servers import at_once, own_database, run_sql, server_url, with_parameters

ADA = ("memories", "ada")
INDEX: Any = {"embed": HashEmbeddings(dims=8), "dims": 8, "fields": ["text"]}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[str]:
    """The URL of a database of a test's own."""
    with own_database(tmp_path) as url:
        yield url


@pytest.fixture
def role(database: str, tmp_path: Path) -> Iterator[str]:
    """The name of a role that may connect, and nothing else."""
    name = f"role_{abs(hash(str(tmp_path))) % 10**9}"
    run_sql(f"CREATE ROLE {name} LOGIN")
    yield name
    run_sql(f"DROP OWNED BY {name}", url=database)
    run_sql(f"DROP OWNED BY {name}")
    run_sql(f"DROP ROLE {name}")


def url_for(database: str, role: str) -> str:
    return with_parameters(database, user=role)


def objects(url: str) -> list[Any]:
    """Everything in the schemas of ours."""
    return run_sql("SELECT oid, relname FROM pg_class WHERE relnamespace::regnamespace::text ~ 'crossthread'", url=url)


# Who creates what, and when


def test_with_explicit_setup_nothing_is_created_until_setup_is_called(database):
    explicit = with_parameters(database, setup="explicit")
    with MemoryStore(explicit, index=INDEX) as store, MemoryStore(explicit) as plain, MemoryStore(explicit) as later:
        for call in (
            lambda: store.get(ADA, "k"),
            lambda: store.put(ADA, "k", {"text": "likes pizza"}),
            lambda: store.search(ADA, query="pizza"),
            lambda: plain.forget(()),
            lambda: plain.list_namespaces(),
        ):
            with pytest.raises(StoreError, match=r"no schema 'crossthread'.*Call setup\(\)"):
                call()
        assert objects(database) == []
        plain.setup()
        plain.put(ADA, "k", {"text": "likes pizza"})
        assert later.get(ADA, "k").value == {"text": "likes pizza"}
        with pytest.raises(StoreError, match=r"Call setup\(\)"):  # its vectors have no place yet
            store.search(ADA, query="pizza")
        store.setup()
        assert store.search(ADA, query="pizza") == []
        store.put(ADA, "k", {"text": "likes pizza"})
        assert [hit.key for hit in store.search(ADA, query="pizza")] == ["k"]


@pytest.mark.parametrize("first", ["search", "put", "batch", "known"])
def test_an_object_that_was_opened_before_the_setup_works_afterwards(database, first):
    explicit = with_parameters(database, setup="explicit", pool_size=1)
    with MemoryStore(explicit, index=INDEX) as early, MemoryStore(explicit, index=INDEX) as other:
        other.setup()
        other.put(ADA, "k", {"text": "likes pizza"})
        if first == "search":
            assert early.search(ADA, query="pizza")[0].key == "k"
        elif first == "put":
            early.put(ADA, "k2", {"text": "likes tea"})
        elif first == "known":
            early.put(ADA, "k2", {"text": "likes pizza"})
        else:
            assert early.batch([GetOp(ADA, "k"), PutOp(ADA, "k2", {"text": "likes tea"})])[0].key == "k"
        assert early.search(ADA, query="likes pizza")[0].score == 1.0


def test_threads_that_set_up_at_once_do_it_once(database):
    assert at_once([lambda: MemoryStore(database, index=INDEX).close() for _ in range(8)]) == [None] * 8
    made = objects(database)
    with MemoryStore(database, index=INDEX) as store:
        store.setup()
    assert objects(database) == made
    assert run_sql("SELECT count(*) FROM crossthread.state", url=database) == [(1,)]


def test_processes_that_set_up_at_once_do_it_once(database):
    code = """
        import sys
        from crossthread import MemoryStore
        from crossthread.testing import HashEmbeddings
        with MemoryStore(sys.argv[1], index={"embed": HashEmbeddings(dims=8)}) as store:
            store.put(("p",), sys.argv[2], {"n": 1})
    """
    processes = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), database, str(n)], stderr=subprocess.PIPE)
        for n in range(4)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    with MemoryStore(database) as store:
        assert store.count() == 4


def test_opening_a_store_that_is_set_up_waits_for_nobody(database):
    MemoryStore(database).close()
    with psycopg.connect(database) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended('crossthread', 0))")
        with MemoryStore(with_parameters(database, options="-c%20statement_timeout%3D2000")) as store:
            store.put(ADA, "k", {"n": 1})


@pytest.mark.parametrize("column", ["schema_version", "vectors_version"])
@pytest.mark.parametrize("parameters", [{}, {"setup": "explicit"}], ids=["automatic", "explicit"])
def test_a_schema_of_a_newer_release_is_left_as_it_was(database, column, parameters):
    with MemoryStore(database) as store:
        store.put(ADA, "k", {"n": 1})
    run_sql(f"UPDATE crossthread.state SET {column} = 99", url=database)
    before = objects(database), run_sql("SELECT * FROM crossthread.state", url=database)
    for index in (None, INDEX):
        with pytest.raises(SchemaVersionError, match="schema 99.*pip install -U"):
            MemoryStore(with_parameters(database, **parameters), index=index)
    assert (objects(database), run_sql("SELECT * FROM crossthread.state", url=database)) == before


def test_a_set_up_that_fails_leaves_nothing(database, role):
    run_sql(f"GRANT CREATE ON DATABASE {psycopg.conninfo.conninfo_to_dict(database)['dbname']} TO {role}")
    run_sql(
        "CREATE FUNCTION public.refuse() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no''; END'",
        url=database,
    )
    trigger = "CREATE EVENT TRIGGER refuse ON ddl_command_end WHEN TAG IN ('CREATE FUNCTION')"
    run_sql(f"{trigger} EXECUTE FUNCTION public.refuse()", url=database)
    with pytest.raises(StoreError, match="no"):
        MemoryStore(url_for(database, role))
    assert objects(database) == []
    run_sql("DROP EVENT TRIGGER refuse", url=database)
    MemoryStore(url_for(database, role)).close()


# Rights


def grant_what_the_guide_says(database: str, role: str) -> None:
    for statement in (
        "GRANT USAGE ON SCHEMA crossthread TO {role}",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA crossthread TO {role}",
        "GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA crossthread TO {role}",
    ):
        run_sql(statement.format(role=role), url=database)


@pytest.mark.parametrize("setup", ["automatic", "explicit"])
def test_a_role_with_the_rights_of_a_worker_can_do_everything_and_create_nothing(database, role, setup):
    MemoryStore(database, index=INDEX).close()
    grant_what_the_guide_says(database, role)
    url = with_parameters(url_for(database, role), setup=setup)
    with MemoryStore(url, index=INDEX, ttl={"default_ttl": 60}) as store:
        store.put(ADA, "k", {"text": "likes pizza"})
        assert store.get(ADA, "k").value == {"text": "likes pizza"}
        assert store.search(ADA, query="likes pizza", filter={"text": {"$contains": "pizza"}})[0].score == 1.0
        store.batch([PutOp(ADA, str(n), {"text": f"text {n}"}, None, 0) for n in range(5)] + [GetOp(ADA, "k")])
        assert store.sweep_ttl() == 5
        assert store.update(ADA, "n", lambda value: {"n": value["n"] + 1}, default={"n": 0}).value == {"n": 1}
        assert store.list_namespaces() == [ADA]
        store.delete(ADA, "n")
        assert store.count() == 1
        assert store.forget(()) == 1
    with psycopg.connect(url_for(database, role)) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("CREATE TABLE crossthread.more (n integer)")
    with pytest.raises(StoreError, match="permission denied.*docs/guides/postgres.md"):
        MemoryStore(with_parameters(url_for(database, role), schema="another"))


def test_a_role_that_may_only_read_can_read(database, role, caplog):
    with MemoryStore(database, index=INDEX) as store:
        store.put(ADA, "k", {"text": "likes pizza"}, ttl=60)
    run_sql(f"GRANT USAGE ON SCHEMA crossthread TO {role}", url=database)
    run_sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA crossthread TO {role}", url=database)
    with MemoryStore(url_for(database, role), index=INDEX) as store:
        assert store.get(ADA, "k").value == {"text": "likes pizza"}
        assert store.search(ADA, query="pizza")[0].key == "k"
        assert len(caplog.records) == 2
        with pytest.raises(StoreError, match="permission denied"):
            store.put(ADA, "k", {"text": "likes tea"})


def test_a_role_without_any_rights_is_told_so(database, role):
    MemoryStore(database).close()
    with pytest.raises(StoreError, match="permission denied for schema crossthread"):
        MemoryStore(url_for(database, role))


def test_no_superuser_is_needed_where_pgvector_exists(database, role):
    run_sql("CREATE EXTENSION vector", url=database)
    run_sql(f"GRANT CREATE ON DATABASE {psycopg.conninfo.conninfo_to_dict(database)['dbname']} TO {role}")
    with MemoryStore(url_for(database, role), index=INDEX) as store:
        store.put(ADA, "k", {"text": "likes pizza"})
        assert store.search(ADA, query="likes pizza")[0].score == 1.0


def test_a_schema_that_the_administrator_made_is_enough(database, role):
    run_sql("CREATE EXTENSION vector", url=database)
    run_sql(f"CREATE SCHEMA crossthread AUTHORIZATION {role}", url=database)
    with MemoryStore(url_for(database, role), index=INDEX) as store:
        store.put(ADA, "k", {"text": "likes pizza"})
        assert store.search(ADA, query="likes pizza")[0].score == 1.0


# pgvector


def test_without_pgvector_everything_works_but_embeddings(database, role):
    run_sql(f"CREATE SCHEMA crossthread AUTHORIZATION {role}", url=database)
    url = url_for(database, role)
    with pytest.raises(ConfigurationError, match=r"pgvector.*CREATE EXTENSION vector.*without index="):
        MemoryStore(url, index=INDEX)
    assert objects(database) == []
    with MemoryStore(url) as store:
        store.put(ADA, "k", {"text": "likes pizza"}, ttl=1)
        store.batch([PutOp(ADA, "k2", {"text": "tea"}), PutOp(ADA, "k3", {"text": "tea"}, None, 0)])
        assert store.search(ADA, query="pizza", filter={"text": "tea"})[0].key == "k2"
        assert store.update(ADA, "k", dict).key == "k"
        assert (store.sweep_ttl(), store.forget(())) == (1, 2)
    with pytest.raises(ConfigurationError, match="pgvector"):
        MemoryStore(url, index=INDEX)
    run_sql("CREATE EXTENSION vector", url=database)
    with MemoryStore(url, index=INDEX) as store:
        store.put(ADA, "k", {"text": "likes pizza"})
        assert store.search(ADA, query="likes pizza")[0].score == 1.0


def test_pgvector_may_be_in_a_schema_that_is_not_searched(database, role):
    run_sql("CREATE SCHEMA extensions", url=database)
    run_sql("CREATE EXTENSION vector SCHEMA extensions", url=database)
    MemoryStore(database, index=INDEX).close()
    grant_what_the_guide_says(database, role)
    run_sql(f"GRANT USAGE ON SCHEMA extensions TO {role}", url=database)
    with MemoryStore(url_for(database, role), index=INDEX) as store:
        store.put(ADA, "k", {"text": "likes pizza"})
        store.batch([PutOp(ADA, "k2", {"text": "tea"}), PutOp(ADA, "k3", {"text": "pizza"})])
        assert store.search(ADA, query="likes pizza", filter={"text": "likes pizza"})[0].score == 1.0
        assert store.search((), query="likes pizza")[0].key == "k"


@pytest.mark.parametrize("path", ["evil,public", "evil,pg_catalog", "nowhere", ""])
def test_a_hostile_search_path_does_not_matter(database, path):
    for statement in (
        "CREATE SCHEMA evil",
        "CREATE EXTENSION vector SCHEMA public",
        "CREATE TABLE evil.items (n integer)",
        "CREATE TYPE evil.vector AS (n integer)",
        "CREATE FUNCTION evil.never(bigint, bigint) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT false'",
        "CREATE OPERATOR evil.> (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.never)",
        "CREATE FUNCTION evil.never(text, text) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT false'",
        "CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.never)",
        "CREATE FUNCTION evil.cardinality(anyarray) RETURNS integer IMMUTABLE LANGUAGE sql AS 'SELECT 0'",
        "CREATE FUNCTION evil.to_regclass(text) RETURNS regclass IMMUTABLE LANGUAGE sql AS 'SELECT NULL::regclass'",
        "CREATE FUNCTION evil.current_setting(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT NULL::text'",
    ):
        run_sql(statement, url=database)
    hostile = with_parameters(database, options=f"-c%20search_path%3D{path}")
    for _ in range(2):
        with MemoryStore(hostile, index=INDEX, ttl={"default_ttl": 1}) as store:
            store.put(ADA, "k", {"text": "likes pizza"})
            store.batch([PutOp(ADA, "k2", {"text": "tea"}), PutOp(ADA, "k3", {"text": "pizza"})])
            assert store.get(ADA, "k").value == {"text": "likes pizza"}
            assert store.search(ADA, query="likes pizza", filter={"text": "likes pizza"})[0].score == 1.0
            assert store.update(ADA, "k", dict).key == "k"
            assert store.forget(()) == 3


def test_the_server_url_of_the_tests_is_free_of_our_schema():
    """What the tests make is in schemas and databases of their own."""
    assert run_sql("SELECT to_regnamespace('crossthread')", url=server_url()) == [(None,)]


def test_durability_is_no_choice_of_a_server():
    with pytest.raises(ConfigurationError, match="synchronous_commit"):
        MemoryStore(server_url(), durability="process")
