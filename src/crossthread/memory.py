"""Memory: a store and a checkpointer, wired into workflows in one line. Opens and closes them, nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Literal, overload

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.store.base import NOT_PROVIDED, BaseStore, NotProvided
from typing_extensions import TypeVar

from crossthread._closing import Closing
from crossthread.engines.base import Engine
from crossthread.errors import ConfigurationError
from crossthread.forgetting import Forgotten, Scopes, Which, Whose, aforget, forget, forgetting
from crossthread.scopes.scope import Scoping, as_scope
from crossthread.settings import IndexConfig
from crossthread.store import MemoryStore
from crossthread.threads.threads import Threads
from crossthread.ttl import TTLConfig
from crossthread.typed.codec import Upgrade
from crossthread.typed.collection import Collection
from crossthread.typed.programs import OnInvalid
from crossthread.workflow.decorators import WorkflowDecorators

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from crossthread.agents.middleware import Extractor, MemoryMiddleware

StoreT = TypeVar("StoreT", bound=BaseStore | None, default=MemoryStore)
ModelT = TypeVar("ModelT")
SaverT = TypeVar("SaverT", bound=BaseCheckpointSaver[Any] | None, default=BaseCheckpointSaver[str])


class Memory(Closing, WorkflowDecorators, Generic[StoreT, SaverT]):
    """What a LangGraph workflow remembers: across threads in a store, and within a thread in a checkpointer.

    ``Memory("agent.db")`` keeps both in one file, ``Memory("postgresql://...")`` in one schema of a server's database,
    ``Memory()`` in the memory of this process. Stores and checkpointers of others are wired just as well, and ``None``
    leaves one to the platform that runs the graph. Where only one of the two is given, the other is opened if there is
    a url, and None if not, as with LangGraph's own decorators.

    One object serves sync and async workflows, any thread and any event loop. It works as ``with`` and ``async with``.

    Args:
        url: ``":memory:"`` (the default), the path of a file, or a URL such as ``sqlite:///agent.db`` or
            ``postgresql://user@host/db``.
        index: What is searchable in the store that is opened, see `IndexConfig`.
        ttl: How long items live in the store that is opened, see `TTLConfig`.
        store: A store to use instead of opening one; None: none.
        checkpointer: A checkpointer to use instead of opening one; None: none.

    Raises:
        ConfigurationError: The arguments contradict each other, or one of them cannot be used.
        StoreError: The file or the server cannot be opened, or belongs to a newer release.
        IndexMismatchError: The vectors there are of another model, or have other dimensions.

    Examples:
        >>> memory = Memory()
        >>> @memory.entrypoint
        ... def count(word, *, previous):
        ...     return (previous or 0) + 1
        >>> thread = {"configurable": {"thread_id": "1"}}
        >>> count.invoke("one", thread), count.invoke("two", thread)
        (1, 2)
    """

    @overload
    def __init__(
        self: Memory[MemoryStore, BaseCheckpointSaver[str]],
        url: str | os.PathLike[str] | Engine = ":memory:",
        *,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
    ) -> None: ...

    @overload
    def __init__(
        self: Memory[MemoryStore, SaverT],
        url: str | os.PathLike[str] | Engine,
        *,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        checkpointer: SaverT,
    ) -> None: ...

    @overload
    def __init__(
        self: Memory[StoreT, BaseCheckpointSaver[str]], url: str | os.PathLike[str] | Engine, *, store: StoreT
    ) -> None: ...

    @overload
    def __init__(self: Memory[StoreT, SaverT], *, store: StoreT, checkpointer: SaverT) -> None: ...

    @overload
    def __init__(self: Memory[StoreT, None], *, store: StoreT) -> None: ...

    @overload
    def __init__(self: Memory[None, SaverT], *, checkpointer: SaverT) -> None: ...

    def __init__(
        self,
        url: Any = None,
        *,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        store: Any = NOT_PROVIDED,
        checkpointer: Any = NOT_PROVIDED,
    ) -> None:
        _refuse_contradictions(url, index is not None or ttl is not None, store, checkpointer)
        if isinstance(store, NotProvided) and isinstance(checkpointer, NotProvided) and url is None:
            url = ":memory:"
        self._opened: list[Any] = []
        try:
            self._store = self._resolve(store, url, lambda: MemoryStore(url, index=index, ttl=ttl))
            self._checkpointer = self._resolve(checkpointer, url, lambda: _open_checkpointer(url))
        except BaseException:
            self.close()
            raise

    def _resolve(self, given: Any, url: Any, opened: Callable[[], Any]) -> Any:
        if not isinstance(given, NotProvided):
            return given
        if url is None:
            return None
        found = opened()
        if hasattr(found, "close"):  # LangGraph's in-memory checkpointer has nothing to close
            self._opened.append(found)
        return found

    @property
    def store(self) -> StoreT:
        """The store that workflows get; a plain LangGraph store, for ``compile(store=...)`` or anything else."""
        return self._store  # type: ignore[no-any-return]

    @property
    def checkpointer(self) -> SaverT:
        """Where workflows keep their threads; a plain LangGraph checkpointer."""
        return self._checkpointer  # type: ignore[no-any-return]

    @cached_property
    def threads(self) -> Threads:
        """The threads of the checkpointer: ``list``, ``history``, ``previous``, ``clear``, ``copy``.

        Raises:
            ConfigurationError: There is no checkpointer.
        """
        if self._checkpointer is None:
            raise ConfigurationError(
                "This Memory has no checkpointer, so it has no threads; open one with a path, or give checkpointer=... "
                "On LangGraph's server, ask its API for threads."
            )
        return Threads(self._checkpointer)

    def collection(
        self,
        model: type[ModelT],
        scope: Scoping,
        *,
        index: Literal[False] | Sequence[str] | None = None,
        on_invalid: OnInvalid = "raise",
        version: int | None = None,
        upgrade: Upgrade | None = None,
    ) -> Collection[ModelT]:
        """Return the memories of one model in one scope, see `Collection`.

        Inside of a workflow it is the collection of the run's user; outside, bind it: ``collection.bind(config)``.

        Args:
            model: A pydantic model, a dataclass or a TypedDict.
            scope: A `Scope`, or its labels, such as ``("memories", "{user_id}", "preferences")``.
            index: The paths to search in, False for none; None: the fields that are marked with `Indexed`.
            on_invalid: What to do with stored data that do not fit: ``"raise"``, ``"skip"``, or a function.
            version: The version of the model; None: what it says itself.
            upgrade: Makes a value of this version of an older one; None: what the model has.

        Raises:
            ConfigurationError: The model cannot be validated, or the scope is no template.
        """
        settings: Any = {"index": index, "on_invalid": on_invalid, "version": version, "upgrade": upgrade}
        return Collection(model, scope, store=lambda: self.store, **settings)

    def forget_user(
        self, user: Whose, *, scope: Scopes | None = None, threads: Which | None = None, erase_traces: bool = True
    ) -> Forgotten:
        """Erase a person: what a scope holds of them, their threads, and what deleting leaves in the file.

        No run of theirs should be going on. Where memories or threads are in a SQLite file, it is rewritten in the end,
        so that no byte of what was erased can be found in it, in older versions of a memory neither; its size decides
        how long this takes, and there must be room for it twice more. Other places keep what they keep, and the report
        says so.

        Args:
            user: The user's id, as the scope's field gets it; or the ids of all fields, by name, where it has several.
            scope: A `Scope`, or its labels, such as ``("memories", "{user_id}")``; or several. None: no memories.
            threads: The ids of the person's threads, or the metadata that they are found by: ``{"user_id": "ada"}``.
                None: no threads.
            erase_traces: Whether files are rewritten. To forget many users at once, leave it to the last, or call
                ``memory.store.erase_traces()`` then.

        Returns:
            How many memories there were and in which namespaces, the ids of the threads, and what remains; its
            ``is_complete`` says that nothing does.

        Raises:
            ScopeError: The id is empty, or no text, or one is missing.
            InvalidArgumentError: Neither scope nor threads are given, or threads are everybody's.
            ConfigurationError: The scope has no field, or there is no store or checkpointer to forget in.
            UnsupportedError: The checkpointer cannot delete a thread, or list threads.
        """
        program = forgetting(self._store, self._checkpointer, user, scope, threads, erase_traces)
        return forget(self._checkpointer, program)

    async def aforget_user(
        self, user: Whose, *, scope: Scopes | None = None, threads: Which | None = None, erase_traces: bool = True
    ) -> Forgotten:
        """Do what `forget_user` does, without blocking the event loop."""
        program = forgetting(self._store, self._checkpointer, user, scope, threads, erase_traces)
        return await aforget(self._checkpointer, program)

    def tools(self, *, scope: Scoping) -> list[BaseTool]:
        """Return ``remember``, ``recall`` and ``forget``, LangChain tools by which a model uses its user's memories.

        They work in ``create_agent``, in a ``ToolNode``, in functional workflows, and anywhere else with a config:
        ``tool.invoke({"query": "food"}, {"configurable": {"user_id": "ada"}})``. The run says whose memories they
        reach; the model cannot.

        Args:
            scope: Labels such as ``("memories", "{user_id}")``, or a `Scope`.

        Raises:
            ConfigurationError: ``scope`` is none. The tools raise `ScopeError` in a run without a usable id.
        """
        from crossthread.agents.tools import memory_tools

        return memory_tools(as_scope(scope, lambda: self.store))

    def middleware(
        self,
        *,
        scope: Scoping,
        limit: int = 5,
        max_characters: int = 2_000,
        min_score: float | None = None,
        extract: Extractor | None = None,
        tools: bool = False,
        name: str | None = None,
    ) -> MemoryMiddleware:
        """Return middleware for ``langchain.agents.create_agent`` that recalls what fits the user's last message.

        What it finds stands in the system message of that turn's model calls, marked as memories and not as
        instructions; the messages of the thread stay as they are. Needs ``pip install 'crossthread[langchain]'``.

        Args:
            scope: Labels such as ``("memories", "{user_id}")``, or a `Scope`.
            limit: How many memories at the most.
            max_characters: How many characters of them at the most.
            min_score: Leave out weaker hits; a `MemoryStore` is needed for that.
            extract: Gets the messages of a turn when it has ended, and returns what to remember of it: texts or dicts.
                Sync or async; None: nothing is stored.
            tools: Whether to give the agent ``remember``, ``recall`` and ``forget``, too.
            name: What the agent calls it; None: made of the scope. Two of one agent need two names.

        Raises:
            ConfigurationError: ``scope`` is none, or langchain is not installed.
        """
        try:
            from crossthread.agents.middleware import MemoryMiddleware
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] != "langchain":
                raise
            raise ConfigurationError(
                "memory.middleware() is for agents of the package langchain, which is not installed: "
                "pip install 'crossthread[langchain]'."
            ) from error
        return MemoryMiddleware(
            as_scope(scope, lambda: self.store),
            limit=limit,
            max_characters=max_characters,
            min_score=min_score,
            extract=extract,
            tools=tools,
            name=name,
        )

    def setup(self) -> None:
        """Create or migrate the tables of what this object opened; doing it again changes nothing.

        Opening has done it already, unless it was told to leave that to you (``setup=explicit`` on PostgreSQL).
        """
        for opened in self._opened:
            opened.setup()

    async def asetup(self) -> None:
        """Do what `setup` does, without blocking the event loop."""
        for opened in self._opened:
            await opened.asetup()

    def close(self) -> None:
        """Close what this object opened, not what it was given; may be called twice."""
        with ExitStack() as closing:  # which goes on where one of them fails
            for opened in self._opened:
                closing.callback(opened.close)

    async def aclose(self) -> None:
        """Do what `close` does, without blocking the event loop."""
        async with AsyncExitStack() as closing:
            for opened in self._opened:
                closing.push_async_callback(opened.aclose)


def _open_checkpointer(url: Any) -> BaseCheckpointSaver[str]:
    from crossthread.checkpointing.opening import open_checkpointer  # not needed where both are given

    return open_checkpointer(url)


def _refuse_contradictions(url: Any, has_settings: bool, store: Any, checkpointer: Any) -> None:
    gives_store = not isinstance(store, NotProvided)
    gives_checkpointer = not isinstance(checkpointer, NotProvided)
    if gives_store and store is not None and not isinstance(store, BaseStore):
        raise ConfigurationError(
            f"store={store!r} is not a LangGraph store (langgraph.store.base.BaseStore). "
            "Give the path of a store to be opened first: Memory('agent.db')."
        )
    if gives_checkpointer and checkpointer is not None and not isinstance(checkpointer, BaseCheckpointSaver):
        raise ConfigurationError(
            f"checkpointer={checkpointer!r} is not a LangGraph checkpointer (BaseCheckpointSaver)."
        )
    if has_settings and gives_store:
        raise ConfigurationError(
            "index= and ttl= are settings of the store that Memory opens, and store= gives one that is open already; "
            "set them where that store is made."
        )
    if url is not None and gives_store and gives_checkpointer:
        raise ConfigurationError(
            f"Nothing would be kept in {url!r}: store= and checkpointer= are both given. Leave one of the three out."
        )
    if url is None and has_settings and gives_checkpointer:
        raise ConfigurationError(
            "index= and ttl= are settings of the store that Memory opens, and there is no url to open one; "
            "give a path, or ':memory:', first."
        )
