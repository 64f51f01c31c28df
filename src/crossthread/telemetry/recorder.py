"""Makes spans and metrics with OpenTelemetry's API; the only file that imports it.

Attributes follow OpenTelemetry's semantic conventions for databases: https://opentelemetry.io/docs/specs/semconv/db/
An error is told by its type; its message may hold a key or a value, and is told only where names are.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import context, metrics, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from crossthread import __version__
from crossthread.telemetry.operations import RETURNED, Attributes, Description

_SCOPE = "crossthread"

# Those of the conventions, and finer ones below, since a read of a local file takes microseconds.
_SECONDS = [0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10]
_ROWS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000]
_BATCHES = [1, 2, 4, 8, 16, 32, 64, 128, 256]


class Recorder:
    """The spans and metrics of one store.

    Args:
        system: The database, as ``db.system.name`` has it.
        record_names: Whether namespaces, keys and messages of errors are told.
        tracer_provider: Where spans go; None: OpenTelemetry's global one.
        meter_provider: Where metrics go; None: OpenTelemetry's global one.
    """

    def __init__(self, system: str, record_names: bool, tracer_provider: Any, meter_provider: Any) -> None:
        self.record_names = record_names
        self._common: Attributes = {"db.system.name": system}
        self._tracer = trace.get_tracer(_SCOPE, __version__, tracer_provider)
        meter = metrics.get_meter(_SCOPE, __version__, meter_provider)
        self._durations = meter.create_histogram(
            "db.client.operation.duration",
            unit="s",
            description="Duration of store operations.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._returned = meter.create_histogram(
            "db.client.response.returned_rows",
            unit="{row}",
            description="Items that a call of a store returned.",
            explicit_bucket_boundaries_advisory=_ROWS,
        )
        self._texts = meter.create_counter(
            "crossthread.embedded_texts", unit="{text}", description="Texts that were given to the embedding model."
        )
        self._commits = meter.create_histogram(
            "crossthread.commit.batches",
            unit="{batch}",
            description="Batches that a commit held; the count is that of the commits.",
            explicit_bucket_boundaries_advisory=_BATCHES,
        )

    @contextmanager
    def operation(self, description: Description, *, counted: bool = True) -> Iterator[Operation]:
        """Span a call of the store; the span is the current one in the block.

        Args:
            description: What is called.
            counted: Whether it counts in the metrics; a part of another operation does not.
        """
        name, own = description
        labels: Attributes = {**self._common, "db.operation.name": name}
        kind = SpanKind.CLIENT if counted else SpanKind.INTERNAL
        operation = Operation(self._tracer.start_span(name, kind=kind, attributes={**labels, **own}))
        began = time.perf_counter()
        try:
            with trace.use_span(operation.span, record_exception=False, set_status_on_exception=False):
                yield operation
        except BaseException as error:
            self.fail(operation.span, error)
            labels["error.type"] = _kind(error)
            raise
        finally:
            operation.span.end()
            if counted:
                self._durations.record(time.perf_counter() - began, labels)
                if operation.returned is not None:
                    self._returned.record(operation.returned, labels)

    def here(self) -> Any:
        """Return the context that `start` takes as parent."""
        return context.get_current()

    def start(self, name: str, attributes: Attributes, parent: Any = None) -> Span:
        """Begin a span within an operation; the caller ends it.

        Args:
            name: Its name.
            attributes: Its attributes.
            parent: What `here` returned, perhaps in another thread; None: the current context.
        """
        return self._tracer.start_span(name, parent, attributes={**self._common, **attributes})

    @staticmethod
    def current(span: Span) -> Any:
        """Return a context manager in which a span is the current one."""
        return trace.use_span(span, record_exception=False, set_status_on_exception=False)

    def fail(self, span: Span, error: BaseException) -> None:
        """Mark a span as failed."""
        span.set_attribute("error.type", _kind(error))
        span.set_status(Status(StatusCode.ERROR, str(error) if self.record_names else None))
        if self.record_names:
            span.record_exception(error)

    def embedded(self, texts: int) -> None:
        """Count texts that were given to the embedding model."""
        self._texts.add(texts, self._common)

    def committed(self, batches: int) -> None:
        """Count a commit."""
        self._commits.record(batches, self._common)


class Operation:
    """An operation under way."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.returned: int | None = None

    def returns(self, found: Attributes) -> None:
        """Take over what the results of the operation add."""
        self.span.set_attributes(found)
        if RETURNED in found:
            self.returned = int(found[RETURNED])


def _kind(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
