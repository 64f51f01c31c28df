"""Models to values and back, with versions. Knows pydantic, and no store."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Generic, NotRequired, Required, TypeVar, cast, get_origin, get_type_hints

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError
from typing_extensions import TypedDict, is_typeddict

from crossthread.errors import ConfigurationError, InvalidValueError, MemoryValidationError

ModelT = TypeVar("ModelT")

VERSION_KEY = "__version__"
"""Where a value keeps the version of its model; only where the model has one."""

Upgrade = Callable[[dict[str, Any], int], dict[str, Any]]
"""From a stored value and its version to a value of the present version."""


class Codec(Generic[ModelT]):
    """Turns instances of a model into values of a store and back.

    Args:
        model: A pydantic model, a dataclass, a TypedDict, or what else pydantic validates and writes as an object.
        version: The version of the model; None: what the model says in ``__memory_version__``, if anything.
        upgrade: Makes a value of this version of an older one; None: the model's ``__memory_upgrade__``, if it has one.
    """

    def __init__(self, model: Any, version: int | None, upgrade: Upgrade | None) -> None:
        self._model = model
        self.name = getattr(model, "__qualname__", None) or str(model)
        try:
            self._adapter: TypeAdapter[ModelT] = _adapter(model)
        except (PydanticSchemaGenerationError, PydanticUserError) as error:
            raise ConfigurationError(f"{self.name} is no model that pydantic can validate: {error}") from error
        except NameError as error:
            raise ConfigurationError(
                f"The annotations of {self.name} name what cannot be found ({error}); define it in a module, and not "
                "inside of a function."
            ) from error
        self.version = getattr(model, "__memory_version__", None) if version is None else version
        self._upgrade = upgrade or getattr(model, "__memory_upgrade__", None)
        if self.version is not None and (
            isinstance(self.version, bool) or not isinstance(self.version, int) or self.version < 1
        ):
            raise ConfigurationError(f"The version of {self.name} must be a whole number from 1 on: {self.version!r}.")
        if self._upgrade is not None and self.version is None:
            raise ConfigurationError(f"{self.name} can be upgraded, but has no version; give version=2, or higher.")

    def encode(self, instance: Any) -> dict[str, Any]:
        """Return the value to store; what a model takes for an instance, such as a dict, will do.

        Raises:
            InvalidValueError: It does not fit the model, or could not be read again.
        """
        try:
            checked = self._adapter.validate_python(instance)
        except ValidationError as error:
            raise InvalidValueError(f"This is no {self.name}: {reason_of(error)}.") from error
        self._refuse_more(checked)
        try:
            value = self._adapter.dump_python(checked, mode="json", by_alias=False, round_trip=True, warnings=False)
            if isinstance(value, dict):
                self._validated(value)  # an instance may have been changed since it was validated
        except ValidationError as error:
            raise InvalidValueError(f"This is no {self.name}: {reason_of(error)}.") from error
        except (PydanticSerializationError, ValueError) as error:
            raise InvalidValueError(f"This {self.name} cannot be written as JSON: {error}.") from error
        if not isinstance(value, dict):
            raise InvalidValueError(
                f"{self.name} is written as {type(value).__name__}, and a memory is a JSON object; put it into a field "
                "of a model."
            )
        if VERSION_KEY in value:
            raise InvalidValueError(f"{VERSION_KEY!r} is where the model's version is kept; name the field otherwise.")
        return value if self.version is None else {**value, VERSION_KEY: self.version}

    def _refuse_more(self, instance: Any) -> None:
        """Refuse an instance of a subclass that has more fields: they would be left out without a word."""
        more = _names(type(instance)) - _names(self._model)
        if more and isinstance(self._model, type) and isinstance(instance, self._model):
            raise InvalidValueError(
                f"{type(instance).__qualname__} has fields that {self.name} has not, and they would be lost: "
                f"{', '.join(sorted(more))}. Keep it in a collection of its own, or of a union of both."
            )

    def decode(self, key: str, value: Any) -> ModelT:
        """Return the instance that a stored value stands for.

        Raises:
            MemoryValidationError: The value does not fit the model.
        """
        own = {name: part for name, part in value.items() if name != VERSION_KEY}
        stored = value.get(VERSION_KEY, 1)
        present = self.version or 1
        if isinstance(stored, bool) or not isinstance(stored, int):
            raise MemoryValidationError(key, f"its version is no number: {stored!r}", value=value)
        if stored > present:
            raise MemoryValidationError(key, f"it is of version {stored}, and this is version {present}", value=value)
        if stored < present and self._upgrade is not None:
            try:
                own = self._upgrade(cast(dict[str, Any], json.loads(json.dumps(own))), stored)
            except Exception as error:
                reason = f"the upgrade from version {stored} to {present} failed with {type(error).__name__}: {error}"
                raise MemoryValidationError(key, reason, value=value) from error
        try:
            return self._validated(own)
        except ValidationError as error:
            raise MemoryValidationError(key, reason_of(error), value=value) from error

    def _validated(self, value: Any) -> ModelT:
        # As JSON, in which a strict model takes a string for a date, and a list for a set or a tuple.
        return self._adapter.validate_json(json.dumps(value), by_alias=True, by_name=True)


def _names(model: Any) -> set[str]:
    found: dict[str, Any] = getattr(model, "__pydantic_fields__", None) or getattr(model, "__dataclass_fields__", {})
    return set(found)


def _adapter(model: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(model)
    except PydanticUserError as error:
        if error.code != "typed-dict-version" or not is_typeddict(model):  # one inside of it stays refused
            raise
    # Before Python 3.12 pydantic refuses the standard library's TypedDict, which forgets some qualifiers of its fields.
    fields: dict[str, Any] = {}
    for name, hint in get_type_hints(model, include_extras=True).items():
        is_said = get_origin(hint) in (Required, NotRequired)
        kind = Required if name in model.__required_keys__ else NotRequired
        fields[name] = hint if is_said else kind[hint]
    return TypeAdapter(TypedDict(model.__name__, fields))  # type: ignore[operator]  # made at run time


def reason_of(error: ValidationError) -> str:
    """Return what is wrong in one line: the first three problems, each with its place."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{'.'.join(map(str, problem['loc'])) or 'value'}: {problem['msg']}" for problem in problems[:3]]
    return "; ".join(told) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
