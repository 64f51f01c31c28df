"""`Indexed`: marks in a model which of its fields are searched, and the paths that the marks make. Stores nothing."""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typing_extensions import ReadOnly, TypeAliasType, is_typeddict

from crossthread.errors import ConfigurationError

_PLAIN = re.compile(r"[^.\[\]$*]+")
_WRAPPERS = (Required, NotRequired, ReadOnly)


@dataclasses.dataclass(frozen=True, slots=True)
class Indexed:
    """Marks a field of a model whose text is found by ``collection.search(query)``.

    ``topic: Annotated[str, Indexed()]``. The text of a list is each of its elements. Where no field is marked, the
    store's own ``index={"fields": ...}`` decides.
    """


def indexed_paths(model: Any) -> list[str] | None:
    """Return the paths of the marked fields, in LangGraph's syntax, or None where none is marked.

    Args:
        model: A pydantic model, dataclass or TypedDict, or a union of some; models in their fields are looked into.

    Raises:
        ConfigurationError: A marked field has a name that a path cannot hold.
    """
    return [*dict.fromkeys(_paths(model, "", ()))] or None


def _paths(annotation: Any, path: str, above: tuple[Any, ...]) -> Iterator[str]:
    """Yield the paths below one annotation; ``above`` are the models on the way, so that recursive ones end."""
    while isinstance(annotation, TypeAliasType):
        annotation = annotation.__value__
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner, *metadata = arguments
        if any(_is_mark(mark) for mark in metadata):
            yield from _marked(inner, path)
        else:
            yield from _paths(inner, path, above)
    elif origin in (Union, types.UnionType, *_WRAPPERS):
        for argument in arguments:
            yield from _paths(argument, path, above)
    elif _is_many(origin):
        for argument in arguments[:1]:
            yield from _paths(argument, f"{path}[*]", above)
    elif annotation not in above:
        for name, field in _fields(annotation):
            for found in _paths(field, f"{path}.{name}" if path else name, (*above, annotation)):
                if not _PLAIN.fullmatch(name):
                    raise ConfigurationError(
                        f"The field {name!r} of {annotation!r} is Indexed(), and no path can name it: it is empty or "
                        "holds one of . [ ] $ *."
                    )
                yield found


def _marked(annotation: Any, path: str) -> Iterator[str]:
    if not path:
        raise ConfigurationError("Indexed() marks fields of a model, not the model itself.")
    options = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    for option in options:
        if option is not type(None):
            bare = get_args(option)[0] if get_origin(option) is Annotated else option
            yield f"{path}[*]" if _is_many(get_origin(bare) or bare) else path


def _is_mark(mark: Any) -> bool:
    return isinstance(mark, Indexed) or mark is Indexed  # brackets are easily forgotten


def _is_many(origin: Any) -> bool:
    return isinstance(origin, type) and issubclass(origin, Collection) and not issubclass(origin, (str, bytes, Mapping))


def _fields(model: Any) -> Iterator[tuple[str, Any]]:
    origin = get_origin(model) or model
    if origin is Literal or not isinstance(origin, type):
        return
    if issubclass(origin, BaseModel):
        for name, field in origin.model_fields.items():
            yield name, _annotation(field)
    elif dataclasses.is_dataclass(origin) or is_typeddict(origin):
        try:
            yield from get_type_hints(origin, include_extras=True).items()
        except NameError as error:
            raise ConfigurationError(
                f"The annotations of {origin.__qualname__} name what cannot be found ({error}); define it in a module, "
                "and not inside of a function."
            ) from error


def _annotation(field: FieldInfo) -> Any:
    # pydantic takes the outermost Annotated apart.
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
