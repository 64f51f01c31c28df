"""What a function asks for by name it gets, however the parameter is written; what it cannot get is refused at once."""

import asyncio
import collections.abc
import functools
import inspect
import logging
import typing
from typing import Any

import _future_annotations
import pytest
from langchain_core.runnables import RunnableConfig
from langchain_core.stores import BaseStore as OtherBaseStore
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_store
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import StreamWriter

from crossthread import InjectionError, Memory
from crossthread.workflow.injection import GIVEN, injectable

THREAD = {"configurable": {"thread_id": "1"}}
S = typing.TypeVar("S")
Nothing = typing.NewType("Nothing", BaseStore)


class StoreLike(typing.Protocol):
    def get(self, namespace: tuple[str, ...], key: str) -> Any: ...


class Settings(typing.TypedDict):
    colour: str


class Narrow(typing.TypedDict, total=False):
    configurable: dict[str, Any]


class Plain:
    pass


# What the module that `define` makes has imported.
NAMES = {
    "typing": typing,
    "collections": collections,
    "Any": Any,
    "BaseStore": BaseStore,
    "InMemoryStore": InMemoryStore,
    "Narrow": Narrow,
    "Nothing": Nothing,
    "OtherBaseStore": OtherBaseStore,
    "Plain": Plain,
    "RunnableConfig": RunnableConfig,
    "Runtime": Runtime,
    "S": S,
    "Settings": Settings,
    "StoreLike": StoreLike,
    "StreamWriter": StreamWriter,
}

SPELLINGS = {
    "store": [
        "",
        "BaseStore",
        "'BaseStore'",
        "BaseStore | None",
        "'BaseStore | None'",
        "typing.Optional[BaseStore]",
        "typing.Optional['BaseStore']",
        "typing.Union[InMemoryStore, str]",
        "typing.Annotated[BaseStore, 'ours']",
        "Any",
        "object",
        "InMemoryStore",
        "'InMemoryStore | None'",
        "StoreLike",
        "S",
        "Nothing",
        "'OnlyForTypeCheckers'",
        "'not even ( Python'",
    ],
    "config": [
        "",
        "RunnableConfig",
        "'RunnableConfig'",
        "RunnableConfig | None",
        "dict",
        "dict[str, Any]",
        "collections.abc.Mapping[str, Any]",
        "Narrow",
        "Any",
    ],
    "runtime": ["", "Runtime", "Runtime[None]", "'Runtime[Context] | None'", "Any"],
    "previous": ["", "Any", "int", "'Undefined | None'", "list[str] | None"],
    "writer": ["", "StreamWriter", "'StreamWriter'", "StreamWriter | None", "typing.Callable", "Any"],
}
CASES = [(name, spelling) for name, spellings in SPELLINGS.items() for spelling in spellings]


def define(head: str, *lines: str, future: bool = False) -> Any:
    """Return the function that a user's module would define by ``def head: lines``."""
    text = "\n    ".join([("async " if head.startswith("a") else "") + f"def {head}:", *lines])
    if future:
        text = "from __future__ import annotations\n" + text
    names = {**NAMES, "__name__": "users_module"}
    exec(compile(text, "users_module", "exec", dont_inherit=True), names)
    return names[head.partition("(")[0]]


def run(graph: Any, value: Any, asynchronous: bool = False) -> Any:
    return asyncio.run(graph.ainvoke(value, THREAD)) if asynchronous else graph.invoke(value, THREAD)


def expected(name: str, memory: Memory) -> Any:
    return {
        "store": lambda v: v is memory.store,
        "config": lambda v: v["configurable"]["thread_id"] == "1",
        "runtime": lambda v: isinstance(v, Runtime) and v.store is memory.store,
        "previous": lambda v: v is None,
        "writer": lambda v: callable(v),
    }[name]


@pytest.mark.parametrize("future", [False, True], ids=["", "future"])
@pytest.mark.parametrize("kind", ["f", "af"], ids=["sync", "async"])
@pytest.mark.parametrize(("name", "spelling"), CASES)
def test_every_spelling_is_injected_into_entrypoints_and_tasks(name, spelling, kind, future):
    memory = Memory(store=InMemoryStore(), checkpointer=InMemorySaver())
    annotated = f"{name}: {spelling}" if spelling else name
    for parameters in (f"text, *, {annotated}", f"text, {annotated} = 'the default'", f"{annotated}, text"):
        seen: list[Any] = []
        function = define(f"{kind}({parameters})", f"seen.append((text, {name}))", "return text", future=future)
        function.__globals__["seen"] = seen
        task = memory.task(function)
        if kind == "f":
            graph = memory.entrypoint(lambda text, task=task: task(text).result())
        else:
            graph = memory.entrypoint(functools.partial(_call, task))
        assert run(memory.entrypoint(function), "a", kind == "af") == "a"
        assert run(graph, "b", kind == "af") == "b"
        # The graphs share a thread, so only the first has nothing before it.
        assert [text for text, _ in seen] == ["a", "b"]
        if name == "previous":
            assert "the default" not in [value for _, value in seen]
        else:
            assert all(expected(name, memory)(value) for _, value in seen)


async def _call(task: Any, text: str) -> Any:
    return await task(text)


def test_a_module_with_future_annotations_works_as_written():
    module = _future_annotations
    config = {"configurable": {"thread_id": "7"}}
    assert module.workflow.invoke({"text": "one"}, config) == "7: 1, None"
    assert asyncio.run(module.workflow.ainvoke({"text": "two"}, config)) == "7: 2, None"
    assert [*module.workflow.stream({"text": "two"}, config, stream_mode="custom")] == [{"asked": "two"}]
    assert asyncio.run(module.aworkflow.ainvoke("three")) == 3


def test_langgraph_alone_misses_these_spellings():
    """The reason for all this; when it fails, LangGraph has learnt them and the wrapper may go."""
    from langgraph.func import entrypoint

    function = define("f(text, *, store: BaseStore | None = None)", "return store")
    function.__annotations__["store"] = "BaseStore | None"
    assert entrypoint(store=InMemoryStore())(function).invoke("x") is None


@pytest.mark.parametrize("name", GIVEN)
def test_all_names_of_the_table_arrive_together(name):
    memory = Memory(store=InMemoryStore(), checkpointer=InMemorySaver())
    function = define(f"f(text, *, {', '.join(GIVEN)})", f"return expected({name!r}, memory)({name})")
    function.__globals__.update(memory=memory, expected=expected)
    assert memory.entrypoint(function).invoke("x", THREAD) is True


# Forms of functions


class Worker:
    def method(self, text, *, store):
        return text, store

    async def amethod(self, text, *, store):
        return text, store

    @classmethod
    def on_class(cls, text, *, store):
        return text, store

    @staticmethod
    def without_self(text, *, store):
        return text, store

    def __call__(self, text, *, store):
        return text, store


class AsyncWorker:
    # LangGraph copies a function's attributes onto the task; those of an object or a class must not end up there.
    func = timeout = retry_policy = "mine"

    def __init__(self):
        self.cache_policy = "mine"

    async def __call__(self, text: str, *, store: "BaseStore | None"):
        return text, store


def function(text, *, store):
    return text, store


async def afunction(more, text, *, store):
    return text, store


def logged(inner):
    @functools.wraps(inner)
    def outer(*args, **kwargs):
        return inner(*args, **kwargs)

    return outer


FORMS = {
    "function": function,
    "lambda": lambda text, store: (text, store),
    "bound method": Worker().method,
    "bound async method": Worker().amethod,
    "class method": Worker.on_class,
    "static method": Worker.without_self,
    "staticmethod object": staticmethod(function),
    "callable object": Worker(),
    "async callable object": AsyncWorker(),
    "partial": functools.partial(lambda more, text, store: (text, store), 1),
    "async partial": functools.partial(afunction, 1),
    "partial of async object": functools.partial(AsyncWorker()),
    "decorated": logged(function),
    "nested partial": functools.partial(functools.partial(Worker().amethod)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_function_is_injected(form):
    memory = Memory(store=InMemoryStore())
    asynchronous = "async" in form or form == "nested partial"
    assert run(memory.entrypoint(FORMS[form]), "x", asynchronous) == ("x", memory.store)
    task = memory.task(FORMS[form])
    if asynchronous:
        graph = memory.entrypoint(functools.partial(_call, task))
    else:
        graph = memory.entrypoint(lambda text: task(text).result())
    assert run(graph, "x", asynchronous) == ("x", memory.store)


def test_names_and_documentation_of_the_function_are_kept():
    def wrapped(text, *, store):
        """Say something."""

    made = injectable(wrapped, decorator="d", one_input=True, store=None)
    assert (made.__name__, made.__module__, made.__doc__) == ("wrapped", __name__, "Say something.")
    assert made.__qualname__ == wrapped.__qualname__
    assert made.__wrapped__ is wrapped
    made = injectable(Worker(), decorator="d", one_input=True, store=None)
    assert (made.__name__, made.__qualname__, made.__module__) == ("Worker", "Worker", __name__)
    made = injectable(functools.partial(function), decorator="d", one_input=True, store=None)
    assert made.__qualname__ == "function"


# Where arguments go


@pytest.mark.parametrize(
    ("head", "call", "outcome"),
    [
        ("f(text, store)", "task('a')", "('a', S)"),
        ("f(text, store)", "task(text='a')", "('a', S)"),
        ("f(text, store)", "task('a', store='mine')", "('a', 'mine')"),
        ("f(text, store)", "task('a', 'mine')", "('a', 'mine')"),
        ("f(text, *, store)", "task('a', store='mine')", "('a', 'mine')"),
        ("f(store, text)", "task('a')", "('a', S)"),
        ("f(store, text)", "task('mine', 'a')", "('a', 'mine')"),
        ("f(store, text)", "task('a', store='mine')", "('a', 'mine')"),
        ("f(store, config, text)", "task('a')", "('a', S)"),
        ("f(store, text, config)", "task('mine', 'a', {})", "('a', 'mine')"),
        ("f(text, n=1, store=None)", "task('a', 2)", "('a', S, 2)"),
        ("f(text, n=1, store=None)", "task('a', 2, 'mine')", "('a', 'mine', 2)"),
        ("f(text, store, n=1)", "task('a', 2)", "('a', S, 2)"),
        ("f(text, store, n=1)", "task('a', n=2)", "('a', S, 2)"),
        ("f(text, /, store, n=1)", "task('a', 2)", "('a', S, 2)"),
        ("f(text, store, *n)", "task('a', 2, 3)", "('a', S, (2, 3))"),
        ("f(text, store, *n)", "task('a')", "('a', S, ())"),
        ("f(store, text, *n)", "task('a', 2)", "('a', S, (2,))"),
        ("f(text, *n, store)", "task('a', 2)", "('a', S, (2,))"),
        ("f(store, text, **n)", "task('a', x=2)", "('a', S, {'x': 2})"),
    ],
)
def test_arguments_find_their_parameters(head, call, outcome, caplog):
    memory = Memory(store=InMemoryStore())
    task = memory.task(define(head, f"return (text, store{', n' if ' n' in head or '*n' in head else ''})"))
    graph = memory.entrypoint(lambda _: eval(call, {"task": task}).result())
    with caplog.at_level(logging.WARNING):  # LangGraph logs it when it cannot bind arguments to a signature
        assert graph.invoke("go", THREAD) == eval(outcome, {"S": memory.store})
    assert not caplog.records


def test_a_parameter_given_twice_is_an_error():
    task = Memory().task(define("f(store, text)", "return text"))
    graph = Memory().entrypoint(lambda _: task("a", text="b").result())
    with pytest.raises(TypeError, match="multiple values for argument 'text'"):
        graph.invoke("go", THREAD)


def test_what_a_partial_holds_is_not_replaced():
    memory = Memory(store=InMemoryStore())
    graph = memory.entrypoint(functools.partial(function, store="mine"))
    assert graph.invoke("x", THREAD) == ("x", "mine")


def test_without_a_store_the_parameter_is_none_as_in_langgraph():
    memory = Memory(store=None, checkpointer=None)
    assert memory.entrypoint(function).invoke("x") == ("x", None)


def test_ordinary_parameters_keep_order_defaults_and_kinds():
    made = injectable(
        define("f(a, /, store, b: 'int' = 2, *, c, config, d=4, **rest)"[:-1] + ")", "pass"),
        decorator="d",
        one_input=False,
        store=None,
    )
    signature = inspect.signature(made)
    ordinary = {name: p for name, p in signature.parameters.items() if name not in GIVEN}
    assert [*ordinary] == ["a", "b", "c", "d", "rest"]
    assert [p.default for p in ordinary.values()][1:4:2] == [2, 4]
    assert ordinary["b"].annotation is int
    assert {signature.parameters[n].annotation for n in ("store", "config")} == {inspect.Parameter.empty}


def test_get_store_reaches_the_same_store():
    memory = Memory(store=InMemoryStore())
    assert memory.entrypoint(lambda _: get_store() is memory.store).invoke("go") is True


# Refusals, all of them where the function is decorated

REFUSED = [
    ("f(text, *, store: int)", r"f\(\) asks for `store: int`.*BaseStore"),
    ("f(text, *, store: 'int | str')", "asks for `store: int | str`"),
    ("f(text, *, store: OtherBaseStore)", "import BaseStore from langgraph.store.base"),
    ("f(text, *, store: Plain)", "Plain`, but LangGraph gives the run's store"),
    ("f(text, *, config: Plain)", "gives the run's RunnableConfig, a dict"),
    ("f(text, *, config: str)", "asks for `config: str`"),
    ("f(text, *, config: Settings)", "Settings`"),
    ("f(text, *, runtime: dict)", "asks for `runtime: dict`"),
    ("f(text, *, writer: str)", "asks for `writer: str`.*StreamWriter"),
    ("f(store, /, text)", "takes 'store' by position only"),
    ("f(text, *store)", r"in \*store"),
    ("f(text, **config)", r"in \*\*config"),
]


@pytest.mark.parametrize("future", [False, True], ids=["", "future"])
@pytest.mark.parametrize("decorator", ["entrypoint", "task"])
@pytest.mark.parametrize(("head", "message"), REFUSED)
def test_what_cannot_be_given_is_refused(head, message, decorator, future):
    with pytest.raises(InjectionError, match=message):
        getattr(Memory(store=None), decorator)(define(head, "pass", future=future))


@pytest.mark.parametrize("spelling", ["Special", "'Special'", "Special | None"])
def test_a_store_class_that_the_store_is_not_is_refused(spelling, monkeypatch):
    class Special(InMemoryStore):
        pass

    monkeypatch.setitem(NAMES, "Special", Special)
    asks = define(f"f(text, *, store: {spelling})", "return store")
    with pytest.raises(InjectionError, match=r"asks for `store: .*Special.*the store here is a InMemoryStore"):
        Memory(store=InMemoryStore()).task(asks)
    assert Memory(store=Special()).entrypoint(asks).invoke("x")
    assert Memory(store=None).entrypoint(asks).invoke("x") is None  # the platform's store is not known yet
    assert Memory(store=InMemoryStore()).entrypoint(store=Special())(asks).invoke("x")


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("f()", "no parameter for the workflow's input"),
        ("f(store)", "no parameter for the workflow's input"),
        ("f(*, config, previous)", "no parameter for the workflow's input"),
        ("f(*, text)", "no parameter for the workflow's input"),
        ("f(text, user_id)", "asks for 'user_id', which LangGraph cannot give"),
        ("f(text, *, stor)", "asks for 'stor', which LangGraph cannot give"),
    ],
)
def test_an_entrypoint_takes_one_input(head, message):
    with pytest.raises(InjectionError, match=message):
        Memory().entrypoint(define(head, "pass"))


def test_an_entrypoint_may_have_more_parameters_with_defaults():
    graph = Memory().entrypoint(define("f(text, n=1, *more, flag=True, **rest)", "return (text, n, more, flag, rest)"))
    assert graph.invoke("x", THREAD) == ("x", 1, (), True, {})


class Generators:
    def __call__(self, text):
        yield text


async def agenerator(text):
    yield text


@pytest.mark.parametrize("decorator", ["entrypoint", "task"])
@pytest.mark.parametrize("made", [Generators(), agenerator, functools.partial(agenerator), Generators().__call__])
def test_generators_are_refused_as_in_langgraph(made, decorator):
    with pytest.raises(NotImplementedError, match=r"Generators|generators are not supported in the Functional API"):
        getattr(Memory(), decorator)(made)


@pytest.mark.parametrize("nonsense", [3, "agent.db", None])
def test_what_is_no_function_is_refused(nonsense):
    with pytest.raises(InjectionError, match="decorates a function"):
        injectable(nonsense, decorator="memory.task", one_input=False, store=None)


def test_a_bare_classmethod_and_an_unreadable_builtin_are_refused():
    with pytest.raises(InjectionError, match=r"as reached through the class, as in `memory.task\(TheClass.on_class\)`"):
        Memory().task(vars(Worker)["on_class"])
    with pytest.raises(InjectionError, match=r"parameters of .* cannot be read"):
        Memory().task(type)


def test_every_name_of_the_table_is_tested():
    assert set(GIVEN) == set(SPELLINGS)
