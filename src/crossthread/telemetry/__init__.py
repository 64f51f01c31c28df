"""OpenTelemetry for stores: spans and metrics of what they do, where a program asks for it (``crossthread[otel]``).

    from crossthread.telemetry import instrument
    instrument(store)

Nothing here sends anything: that is the exporters' part, which the program sets up with OpenTelemetry's SDK.
"""

from __future__ import annotations

import functools
import weakref
from typing import Any, ClassVar

from crossthread.errors import ConfigurationError, InvalidArgumentError
from crossthread.store import MemoryStore

__all__ = ["CrossthreadInstrumentor", "instrument", "uninstrument"]


def instrument(
    store: MemoryStore, *, tracer_provider: Any = None, meter_provider: Any = None, record_names: bool = False
) -> None:
    """Let a store make spans and metrics from now on; doing it again changes the settings.

    Args:
        store: An open store, such as ``memory.store``.
        tracer_provider: Where spans go; None: OpenTelemetry's global one.
        meter_provider: Where metrics go; None: OpenTelemetry's global one.
        record_names: Whether spans tell namespaces, keys and messages of errors, which name people. Values, texts and
            queries are never told.

    Raises:
        ConfigurationError: OpenTelemetry's API is not installed.
        InvalidArgumentError: It is not a `MemoryStore`.
    """
    if not isinstance(store, MemoryStore):
        raise InvalidArgumentError(
            f"Telemetry is for a MemoryStore, not {type(store).__name__}; of a Memory it is memory.store, and views "
            "and collections are told by the store below them."
        )
    try:
        from crossthread.telemetry.recorder import Recorder
        from crossthread.telemetry.store import InstrumentedStore
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("opentelemetry"):
            raise
        raise ConfigurationError(
            "Telemetry needs OpenTelemetry's API: pip install 'crossthread[otel]', and the SDK or a distribution of it."
        ) from error
    uninstrument(store)
    system = store._engine.system_name or type(store._engine).__name__
    InstrumentedStore.make(store, Recorder(system, record_names, tracer_provider, meter_provider))


def uninstrument(store: MemoryStore) -> None:
    """Let a store make no more spans and metrics; nothing happens where it makes none."""
    unmake = getattr(store, "unmake", None)  # only an instrumented one has it
    if unmake is not None:
        unmake()


class CrossthreadInstrumentor:
    """Instruments every store that is opened from now on, as OpenTelemetry's instrumentors do.

    ``opentelemetry-instrument`` finds it by itself, so that ``opentelemetry-instrument python app.py`` needs no line of
    code.
    """

    _original: ClassVar[Any] = None
    _stores: ClassVar[weakref.WeakSet[MemoryStore]] = weakref.WeakSet()

    @property
    def is_instrumented_by_opentelemetry(self) -> bool:
        """Whether stores are instrumented when they are opened."""
        return CrossthreadInstrumentor._original is not None

    def instrument(self, **settings: Any) -> None:
        """Instrument every store that is opened from now on.

        Args:
            **settings: ``tracer_provider``, ``meter_provider`` and ``record_names``, as `instrument` takes them;
                others are OpenTelemetry's own, and left alone.
        """
        if self.is_instrumented_by_opentelemetry:
            return
        known = {"tracer_provider", "meter_provider", "record_names"}
        chosen = {name: value for name, value in settings.items() if name in known}
        original = MemoryStore.__init__

        @functools.wraps(original)
        def opened(store: MemoryStore, *args: Any, **arguments: Any) -> None:
            original(store, *args, **arguments)
            instrument(store, **chosen)
            CrossthreadInstrumentor._stores.add(store)

        CrossthreadInstrumentor._original = original
        MemoryStore.__init__ = opened  # type: ignore[method-assign,assignment]

    def uninstrument(self, **settings: Any) -> None:
        """Undo it, for the stores that are open, too."""
        if self.is_instrumented_by_opentelemetry:
            MemoryStore.__init__ = CrossthreadInstrumentor._original  # type: ignore[method-assign]
            CrossthreadInstrumentor._original = None
            for store in list(CrossthreadInstrumentor._stores):
                uninstrument(store)
            CrossthreadInstrumentor._stores.clear()
