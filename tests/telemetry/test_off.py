"""Telemetry that nobody asked for: nothing is loaded, nothing is in the way, and nothing leaves the machine."""

import os
import subprocess
import sys
import textwrap

from crossthread import MemoryStore
from crossthread.telemetry import store as telemetry_store


def run(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        # Where a developer has LangSmith's tracing on, it is LangGraph that sends.
        env={name: value for name, value in os.environ.items() if not name.startswith(("LANGSMITH", "LANGCHAIN"))},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_store_without_telemetry_runs_none_of_its_code(tmp_path):
    """No wrapper, no check: the methods and the models of a store are its own."""
    with MemoryStore(tmp_path / "agent.db") as store:
        assert type(store) is MemoryStore
        assert store._engine.on_commit is None
    for name in ("get", "_run", "_arun", "_program"):
        assert getattr(telemetry_store.InstrumentedStore, name) is not getattr(MemoryStore, name)


def test_opentelemetry_is_loaded_only_where_it_is_asked_for(tmp_path):
    code = """
        import sys
        from crossthread import Memory
        with Memory(sys.argv[1]) as memory:
            memory.store.put(("a",), "k", {})
        before = "crossthread.telemetry.recorder" in sys.modules
        from crossthread.telemetry import instrument
        with Memory(sys.argv[1]) as memory:
            instrument(memory.store)
            memory.store.put(("a",), "k", {})
        print(before, "crossthread.telemetry.recorder" in sys.modules)
    """
    assert run(code, tmp_path / "agent.db") == "False True"


def test_without_the_package_the_error_says_what_to_install():
    code = """
        import sys
        sys.modules["opentelemetry"] = None
        from crossthread import ConfigurationError, MemoryStore
        from crossthread.telemetry import instrument
        with MemoryStore() as store:
            try:
                instrument(store)
            except ConfigurationError as error:
                print("crossthread[otel]" in str(error), type(store).__name__)
            store.put(("a",), "k", {})
    """
    assert run(code) == "True MemoryStore"


SOCKETS = """
    import asyncio, sys
    met = []
    sys.addaudithook(lambda event, arguments: met.append((event, arguments)) if event.startswith("socket.") else None)

    def is_outward(event, arguments):
        # An event loop makes a pair of sockets, and urllib3, which LangChain imports, looks whether there is IPv6.
        if event == "socket.bind":
            return arguments[1][0] not in ("::1", "127.0.0.1")
        return event not in ("socket.__new__", "socket.gethostname")
"""


def test_using_the_library_opens_no_connection(tmp_path):
    """Whatever the library does, telemetry included, nothing asks for a name or an address, and nothing is sent."""
    code = (
        SOCKETS
        + """
    from langgraph.func import entrypoint
    from pydantic import BaseModel
    import crossthread
    for name in crossthread.__all__:
        getattr(crossthread, name)
    from crossthread import Memory
    from crossthread.telemetry import instrument

    class Note(BaseModel):
        text: str

    memory = Memory(sys.argv[1], index={"embed": "local", "mode": "hybrid"}, ttl={"sweep_interval_minutes": 0.001})
    for telemetry in (False, True):
        if telemetry:
            instrument(memory.store)
        store = memory.store
        store.put(("memories", "ada"), "food", {"text": "likes pizza"})
        assert store.search(("memories",), query="what does she eat?")
        store.update(("memories", "ada"), "food", lambda value: {**value, "n": 1})
        store.verify()
        memory.collection(Note, ("notes", "ada")).add(Note(text="soup"))

        @memory.entrypoint(scope=("memories", "{user_id}"))
        def chat(message, *, store, previous):
            store.put((), message, {"text": message})
            return entrypoint.final(value=len(store.search((), query=message)), save=message)

        chat.invoke("hello", {"configurable": {"thread_id": "1", "user_id": "ada"}})
        assert memory.threads.list()
        memory.forget_user("ada", scope=("memories", "{user_id}"), threads=["1"])
    memory.close()

    async def use():
        async with Memory(sys.argv[1], index={"embed": "local"}) as memory:
            await memory.store.aput(("memories", "ada"), "food", {"text": "likes pizza"})
            assert await memory.store.asearch(("memories",), query="what does she eat?")

    asyncio.run(use())
    print([one for one in met if is_outward(*one)], sorted({event for event, _ in met}))
    """
    )
    assert run(code, tmp_path / "agent.db").startswith("[] [")


def test_the_watch_on_sockets_would_see_one():
    """What the test above relies on: the hook hears of a connection, refused or not."""
    code = (
        SOCKETS
        + """
    import socket
    with socket.socket() as one:
        one.connect_ex(("127.0.0.1", 9))
    print([event for event, arguments in met if is_outward(event, arguments)])
    """
    )
    assert run(code) == "['socket.connect']"


def test_opentelemetry_instrument_finds_stores_by_itself(tmp_path):
    """The instrumentor is registered, and what loads instrumentors can load it."""
    code = """
        from importlib.metadata import EntryPoint
        from opentelemetry.instrumentation.distro import DefaultDistro
        from crossthread import MemoryStore
        entry = EntryPoint("crossthread", "crossthread.telemetry:CrossthreadInstrumentor", "opentelemetry_instrumentor")
        DefaultDistro().load_instrumentor(entry, skip_dep_check=True)
        print(hasattr(MemoryStore(), "unmake"))
    """
    assert run(code) == "True"
