"""A real OpenTelemetry SDK whose exporters keep what they get, for tests to read."""

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Recording:
    """What was exported so far."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._metrics = InMemoryMetricReader()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meter_provider = MeterProvider([self._metrics])
        self.providers: dict[str, Any] = {
            "tracer_provider": self.tracer_provider,
            "meter_provider": self.meter_provider,
        }

    def spans(self) -> list[ReadableSpan]:
        """Return the spans in the order in which they began, and forget them."""
        found = sorted(self._spans.get_finished_spans(), key=lambda span: span.start_time)
        self._spans.clear()
        return list(found)

    def tree(self) -> list[str]:
        """Return the names of the spans, each after the names of those it is in, and forget them."""
        spans = self.spans()
        by_id = {span.context.span_id: span for span in spans}

        def path(span: ReadableSpan) -> str:
            parent = by_id.get(span.parent.span_id) if span.parent is not None else None
            return span.name if parent is None else f"{path(parent)} > {span.name}"

        return [path(span) for span in spans]

    def points(self, metric: str) -> list[Any]:
        """Return the data points of a metric since the beginning."""
        data = self._metrics.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data is not None else [])
            for scope in resource.scope_metrics
            for one in scope.metrics
            if one.name == metric
            for point in one.data.data_points
        ]

    def counts(self, metric: str) -> dict[str, int]:
        """Return how often a histogram of operations was given a value, by operation."""
        return {point.attributes["db.operation.name"]: point.count for point in self.points(metric)}

    def everything(self) -> str:
        """Return all that was exported, as text."""
        metrics = self._metrics.get_metrics_data()
        return "\n".join([span.to_json() for span in self._spans.get_finished_spans()] + [str(metrics)])
