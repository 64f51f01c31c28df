"""Every error crossthread raises. Imports nothing of ours.

    CrossthreadError
    ├── InvalidArgumentError (ValueError)      a limit, offset, ttl, depth or op that makes no sense
    │   ├── InvalidValueError                  a value that is not a JSON object every engine can hold
    │   ├── InvalidFilterError                 a filter with an unknown operator or a wrong operand
    │   ├── ImportLineError                    a line of an export that cannot be imported
    │   ├── ConfigurationError                 index=, ttl=, a scope or the URL of a store cannot be used
    │   └── ScopeError                         a run does not say whose memories a scope is about
    ├── InjectionError (TypeError)             a workflow asks for something LangGraph cannot give it
    ├── ItemNotFoundError (KeyError)           update() of a missing item, without a default
    ├── ThreadNotFoundError (KeyError)         a thread to copy of which nothing is saved
    ├── UnsupportedError (NotImplementedError) somebody else's store or checkpointer lacks what a call needs
    ├── MemoryValidationError (ValueError)     a stored memory does not fit the model of its collection
    ├── EmbeddingError (RuntimeError)          the embedder returned something that is not its vectors
    │   └── EmbeddingTimeoutError (TimeoutError)   it took longer than index["embed_timeout_seconds"]
    ├── RerankError (RuntimeError)             the reranker returned something that is no order of its hits
    └── StoreError (RuntimeError)              the place where memories are kept refused
        ├── StoreClosedError                   used after close()
        ├── StoreBusyError (TimeoutError)      something kept the file or the server busy for too long
        ├── StoreFullError                     no room left on the disk
        ├── StoreReadOnlyError                 a write to what can only be read
        ├── StoreUnavailableError (OSError)    the file or the server cannot be opened or reached
        ├── StoreCorruptError                  the file is not a database, or is damaged
        ├── SchemaVersionError                 it belongs to a newer release
        ├── IncompleteCopyError                a copy has not all that its source has
        └── IndexMismatchError (ValueError)    the stored vectors are of another model or size

A namespace that breaks the rules raises LangGraph's own ``InvalidNamespaceError`` (a ``ValueError``), and what a user's
embedder raises reaches the caller unchanged.
"""

from __future__ import annotations

from typing import Any


class CrossthreadError(Exception):
    """The base of every error of this package."""


class InvalidArgumentError(CrossthreadError, ValueError):
    """An argument has a value that makes no sense here; the message names the value and the rule."""


class InvalidValueError(InvalidArgumentError):
    """A value is not a JSON object that every engine can hold; the message names the path inside it."""


class InvalidFilterError(InvalidArgumentError):
    """A filter has an unknown operator, an unusable key or an operand of the wrong shape."""


class ImportLineError(InvalidArgumentError):
    """A line of an export cannot be imported.

    Attributes:
        line: Its number, from 1 on.
        reason: What is wrong with it.
    """

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"Line {line} cannot be imported: {reason}.")
        self.line = line
        self.reason = reason


class ConfigurationError(InvalidArgumentError):
    """The ``index=`` or ``ttl=`` settings, a scope's labels, or the URL of a store, cannot be used as given."""


class ScopeError(InvalidArgumentError):
    """A run does not say whose memories it is about, so none of its code was run.

    Attributes:
        field: The name of the field that has no usable id; None where there is no store to scope.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class InjectionError(CrossthreadError, TypeError):
    """A function asks for a parameter that LangGraph cannot give it; raised where it is decorated."""


class ItemNotFoundError(CrossthreadError, KeyError):
    """``update()`` found no item and was given no default."""

    def __str__(self) -> str:
        # KeyError shows the repr of its argument, which turns a sentence into a quoted one.
        return str(self.args[0]) if self.args else ""


class ThreadNotFoundError(CrossthreadError, KeyError):
    """There is nothing saved of the thread."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""  # as for `ItemNotFoundError`


class UnsupportedError(CrossthreadError, NotImplementedError):
    """A store or checkpointer that was not made by crossthread lacks a method; the message names it."""


class MemoryValidationError(CrossthreadError, ValueError):
    """What is stored under a key does not fit the model of its collection; it was left as it is.

    Attributes:
        key: The key.
        reason: What is wrong with it.
        value: The value as it is stored.
    """

    def __init__(self, key: str, reason: str, *, value: dict[str, Any] | None = None) -> None:
        super().__init__(f"The memory {key!r} does not fit its model: {reason}.")
        self.key = key
        self.reason = reason
        self.value = value


class EmbeddingError(CrossthreadError, RuntimeError):
    """The embedder returned a wrong number of vectors, wrong dimensions, or numbers that are not finite."""


class EmbeddingTimeoutError(EmbeddingError, TimeoutError):
    """The embedder took longer than ``index["embed_timeout_seconds"]``; nothing of the batch was written."""


class RerankError(CrossthreadError, RuntimeError):
    """The reranker returned something that is no order of the hits it was given."""


class StoreError(CrossthreadError, RuntimeError):
    """The place where memories are kept could not do what was asked."""


class StoreClosedError(StoreError):
    """The store was used after ``close()``."""


class StoreBusyError(StoreError, TimeoutError):
    """Something kept the database busy for longer than the caller waits."""


class StoreFullError(StoreError):
    """There is no room left for the write; nothing of it was kept."""


class StoreReadOnlyError(StoreError):
    """A write to a database that can only be read."""


class StoreUnavailableError(StoreError, OSError):
    """The file or the server behind the store cannot be opened or reached."""


class StoreCorruptError(StoreError):
    """The file is not a database, or is damaged."""


class SchemaVersionError(StoreError):
    """The database, or the export, was written by a newer release of crossthread; it was left as it was."""


class IncompleteCopyError(StoreError):
    """A copy does not hold all that its source holds; the message has both numbers and says what to do."""


class IndexMismatchError(StoreError, ValueError):
    """The vectors in the database come from another embedding model, or have other dimensions."""
