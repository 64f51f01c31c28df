"""Finds the parameters of a function that LangGraph fills, and wraps it so that LangGraph finds them too. Runs nothing.

LangGraph recognises ``store`` and its like by name *and* by a short list of annotations, and passes over every other
spelling without a word. The wrapper made here shows it a signature in which those parameters have no annotation, which
it always recognises; the annotations are checked here instead, once, where the function is decorated.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from inspect import Parameter, Signature
from itertools import chain
from types import FunctionType, UnionType
from typing import Annotated, Any, NamedTuple, NewType, Union, cast, get_args, get_origin, get_type_hints

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore

from crossthread.errors import InjectionError


class _Given(NamedTuple):
    """What LangGraph passes for a parameter name."""

    kind: type | None
    described: str


# A parameter may be annotated with the kind given here or anything more general; None allows everything, since
# `previous` is whatever the user's own workflow returned.
GIVEN: dict[str, _Given] = {
    "store": _Given(BaseStore, "the run's store, a langgraph.store.base.BaseStore"),
    "previous": _Given(None, "what the workflow saved at the end of the thread's last run"),
    "config": _Given(dict, "the run's RunnableConfig, a dict"),
    "runtime": _Given(Runtime, "the run's langgraph.runtime.Runtime"),
    "writer": _Given(FunctionType, "a function that takes one value and streams it, a langgraph.types.StreamWriter"),
}

_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_REST = (Parameter.VAR_POSITIONAL, Parameter.KEYWORD_ONLY, Parameter.VAR_KEYWORD)
_NAMES = ("__module__", "__name__", "__qualname__", "__doc__")


def injectable(func: Any, *, decorator: str, one_input: bool, store: type[BaseStore] | None) -> Callable[..., Any]:
    """Return a function that does what ``func`` does and whose injected parameters LangGraph recognises.

    The caller passes the other parameters, by position or keyword, as if the injected ones were not there. A value
    given for an injected one wins over LangGraph's: by keyword, or by position where there are more values than other
    parameters.

    Args:
        func: A function, method, lambda, partial or callable object, sync or async.
        decorator: Its name, for messages.
        one_input: Whether LangGraph calls it with a single value, as it does entrypoints.
        store: The type of the store it will get, where that is known.

    Raises:
        InjectionError: It asks for something that cannot be given; the message says what and what to do.
        NotImplementedError: It is a generator function, which the functional API does not support.
    """
    if isinstance(func, staticmethod):
        func = func.__func__
    function = _function_of(func, decorator)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise NotImplementedError(
            f"{_name(func)}() is a generator; generators are not supported in the Functional API. "
            "Stream values by asking for `writer` and calling it."
        )
    parameters = _parameters(func, function)
    bound = _bound_by_keyword(func)
    injected = [p for p in parameters if p.name in GIVEN and p.name not in bound]
    ordinary = [p for p in parameters if p.name not in GIVEN]
    for parameter in injected:
        _check(func, parameter, store)
    if one_input:
        _check_input(func, ordinary)
    return _wrapper(func, function, parameters, injected)


# What the function is


def _function_of(func: Any, decorator: str) -> Any:
    """Return the plain function that a call of ``func`` ends in."""
    if isinstance(func, classmethod):
        raise InjectionError(
            f"{decorator} was given the classmethod {_name(func.__func__)} before its class existed; decorate it as "
            f"reached through the class, as in `{decorator}(TheClass.{func.__func__.__name__})`."
        )
    if not callable(func):
        raise InjectionError(f"{decorator} decorates a function, not {func!r}; pass settings by keyword.")
    if isinstance(func, functools.partial):
        return _function_of(func.func, decorator)
    if inspect.ismethod(func):
        return _function_of(func.__func__, decorator)
    if inspect.isroutine(func):
        return func
    call = vars(func).get("__init__") if isinstance(func, type) else type(func).__call__
    return call if isinstance(call, FunctionType) else func


def _name(func: Any) -> str:
    while isinstance(func, functools.partial):
        func = func.func
    return str(getattr(func, "__qualname__", type(func).__qualname__))


def _bound_by_keyword(func: Any) -> set[str]:
    """Return the names that a partial has a value for: the user gave them, so LangGraph must not."""
    names: set[str] = set()
    while isinstance(func, functools.partial):
        names.update(func.keywords)
        func = func.func
    return names


def _parameters(func: Any, function: Any) -> list[Parameter]:
    """Return the parameters, with annotations resolved where they can be."""
    try:
        signature = inspect.signature(func)
    except (TypeError, ValueError) as error:
        raise InjectionError(
            f"The parameters of {_name(func)}() cannot be read ({error}); wrap it in a function of your own."
        ) from error
    names = _namespace(function)
    return [p.replace(annotation=_resolved(p.annotation, names)) for p in signature.parameters.values()]


def _namespace(function: Any) -> dict[str, Any]:
    found: dict[str, Any] = getattr(inspect.unwrap(function), "__globals__", {})
    return found


def _resolved(annotation: Any, names: dict[str, Any]) -> Any:
    """Return an annotation with quoted names looked up; empty where a name is not there at run time.

    A name that is imported under TYPE_CHECKING only, or that is local to another function, cannot be found.
    """
    if annotation is Parameter.empty or annotation is None:
        return annotation

    def carrier() -> None: ...

    carrier.__annotations__ = {"it": annotation}
    try:
        return get_type_hints(carrier, names, include_extras=True)["it"]
    except Exception:  # evaluating a user's annotation may raise anything
        return Parameter.empty if isinstance(annotation, str) else annotation


# What may be asked for


def _check(func: Any, parameter: Parameter, store: type[BaseStore] | None) -> None:
    name, kind = parameter.name, parameter.kind
    given = GIVEN[name]
    if kind is Parameter.POSITIONAL_ONLY:
        raise InjectionError(
            f"{_name(func)}() takes {name!r} by position only, and LangGraph passes it by name; "
            f"move {name} behind the '/', or call the parameter something else."
        )
    if kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
        stars = "*" if kind is Parameter.VAR_POSITIONAL else "**"
        raise InjectionError(
            f"{_name(func)}() collects arguments in {stars}{name}, which LangGraph does not fill; write {name} without "
            "the stars to be given it, or call the parameter something else."
        )
    if given.kind is None:
        return
    known = store if name == "store" else None
    if _can_be(parameter.annotation, given.kind, known):
        return
    spelled = inspect.formatannotation(parameter.annotation)
    if known is not None and _can_be(parameter.annotation, given.kind, None):
        raise InjectionError(
            f"{_name(func)}() asks for `store: {spelled}`, but the store here is a {known.__qualname__}; "
            "annotate it as BaseStore, or give the workflow the store it asks for."
        )
    hint = f"annotate {name} as that, or call the parameter something else"
    if name == "store" and spelled.endswith(".BaseStore"):
        hint = "import BaseStore from langgraph.store.base: the two classes only share a name"
    raise InjectionError(
        f"{_name(func)}() asks for `{name}: {spelled}`, but LangGraph gives {given.described} under that name; {hint}."
    )


def _can_be(annotation: Any, kind: type, known: Any) -> bool:
    """Whether an object of ``kind``, or of the ``known`` type, can be what an annotation says. In doubt: yes."""
    if annotation is Parameter.empty or annotation is Any:
        return True
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return any(_can_be(member, kind, known) for member in get_args(annotation))
    if origin is Annotated:
        return _can_be(get_args(annotation)[0], kind, known)
    if isinstance(annotation, NewType):
        return _can_be(annotation.__supertype__, kind, known)
    if type(annotation).__name__ == "TypeAliasType":  # Python 3.12 and typing_extensions have one each
        return _can_be(annotation.__value__, kind, known)
    wanted = origin or annotation
    if not isinstance(wanted, type) or getattr(wanted, "_is_protocol", False):
        return True
    if hasattr(wanted, "__required_keys__"):  # a TypedDict, of typing or of typing_extensions
        return kind is dict and _keys(wanted) <= _keys(RunnableConfig)
    if known is not None:
        return issubclass(known, wanted)
    return issubclass(kind, wanted) or (kind is BaseStore and issubclass(wanted, kind))


def _keys(typed_dict: Any) -> frozenset[str]:
    keys: frozenset[str] = typed_dict.__required_keys__ | typed_dict.__optional_keys__
    return keys


def _check_input(func: Any, ordinary: list[Parameter]) -> None:
    """Check that a single value fills what is not injected."""
    takers = [p for p in ordinary if p.kind in (*_POSITIONAL, Parameter.VAR_POSITIONAL)]
    if not takers:
        raise InjectionError(
            f"{_name(func)}() has no parameter for the workflow's input; give it one before "
            f"{', '.join(GIVEN)}, as in `def {_name(func).rpartition('.')[2]}(inputs, *, ...)`."
        )
    for parameter in ordinary:
        optional = parameter.default is not Parameter.empty or parameter.kind in (
            Parameter.VAR_POSITIONAL,
            Parameter.VAR_KEYWORD,
        )
        if parameter is not takers[0] and not optional:
            raise InjectionError(
                f"{_name(func)}() asks for {parameter.name!r}, which LangGraph cannot give: a workflow gets one input, "
                f"here {takers[0].name!r}, and {', '.join(GIVEN)}. Put several inputs into one dict, or give "
                f"{parameter.name!r} a default."
            )


# The wrapper


class _Shape:
    """Tells where the arguments of a call belong when injected parameters stand among the others."""

    def __init__(self, parameters: list[Parameter], injected: list[Parameter]) -> None:
        self.defaults = {p.name: None if p.default is Parameter.empty else p.default for p in injected}
        self.positional = [p.name for p in parameters if p.kind in _POSITIONAL]
        self.ordinary = [name for name in self.positional if name not in self.defaults]
        self.variadic = any(p.kind is Parameter.VAR_POSITIONAL for p in parameters)
        self.straight = len(self.ordinary) == len(self.positional)

    def arrange(self, args: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> Iterable[Any]:
        """Return the positional arguments to call with; ``kwargs`` is changed to match."""
        if self.straight:
            return args
        if len(args) <= len(self.ordinary):
            return self._around(args, kwargs, name)
        if not self.variadic:
            for given in self.positional[: len(args)]:
                if given in self.defaults:
                    kwargs.pop(given, None)
            return args
        values = iter(args)
        leading = [
            kwargs.pop(parameter, self.defaults[parameter]) if parameter in self.defaults else next(values)
            for parameter in self.positional
        ]
        return chain(leading, values)

    def _around(self, args: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> tuple[Any, ...]:
        """Give by name what stands behind an injected parameter."""
        head = next(i for i, parameter in enumerate(self.positional) if parameter in self.defaults)
        for parameter, value in zip(self.ordinary[head:], args[head:], strict=False):
            if parameter in kwargs:
                raise TypeError(f"{name}() got multiple values for argument {parameter!r}")
            kwargs[parameter] = value
        return args[:head]


def _signature(ordinary: list[Parameter], injected: list[Parameter], variadic: bool, returns: Any) -> Signature:
    """Return the ordinary parameters in their order, and the injected ones as LangGraph always recognises them."""
    groups: dict[Any, list[Parameter]] = {kind: [] for kind in (*_POSITIONAL, *_REST)}
    for parameter in ordinary:
        groups[parameter.kind].append(parameter)
    for parameter in injected:
        # LangGraph binds a task's arguments to this signature to trace them, those given by position too.
        by_name = parameter.kind is Parameter.KEYWORD_ONLY or variadic
        kind = Parameter.KEYWORD_ONLY if by_name else Parameter.POSITIONAL_OR_KEYWORD
        default = Parameter.empty if by_name else None
        groups[kind].append(Parameter(parameter.name, kind, default=default))
    return Signature([p for group in groups.values() for p in group], return_annotation=returns)


def _wrapper(func: Any, function: Any, parameters: list[Parameter], injected: list[Parameter]) -> Callable[..., Any]:
    shape, name = _Shape(parameters, injected), _name(func)
    call: Any

    if inspect.iscoroutinefunction(function):

        async def acall(*args: Any, **kwargs: Any) -> Any:
            args = tuple(shape.arrange(args, kwargs, name))  # changes kwargs too
            return await func(*args, **kwargs)

        call = acall
    else:

        def scall(*args: Any, **kwargs: Any) -> Any:
            args = tuple(shape.arrange(args, kwargs, name))  # changes kwargs too
            return func(*args, **kwargs)

        call = scall

    # LangGraph keys its cache with module and qualified name, which partials and callable objects do not have.
    named = func
    while isinstance(named, functools.partial):
        named = named.func
    if not hasattr(named, "__qualname__"):
        named = type(named)
    functools.update_wrapper(call, named, _NAMES, () if isinstance(named, type) else ("__dict__",))
    call.__wrapped__ = func
    ordinary = [p for p in parameters if p.name not in GIVEN]
    returns = _resolved(inspect.signature(func).return_annotation, _namespace(function))
    call.__signature__ = _signature(ordinary, injected, shape.variadic, returns)
    return cast(Callable[..., Any], call)
