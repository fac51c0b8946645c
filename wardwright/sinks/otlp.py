"""OTLP as JSON: spans and histograms in the protocol's mapping of its messages, for OTLP/HTTP.

Ids are hex, as this mapping has them (and no other of protobuf's), whole numbers of 64 bits are strings, times are Unix nanoseconds.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

Attribute = str | bool | int | float | Sequence[str] | None
Attributes = Mapping[str, Attribute]
"""What is said of something, by name; None says nothing."""

_KINDS: Mapping[str, int] = {"server": 2, "client": 3}
_ERROR = 2
_DELTA = 1


class SpanEvent(msgspec.Struct, frozen=True):
    """Something that happened within a span, at a time in Unix seconds."""

    name: str
    at: float
    attributes: Attributes = {}


class Span(msgspec.Struct, frozen=True):
    """One span. Times are Unix seconds; `error` says why it failed, and is None for one that did not."""

    trace_id: str
    span_id: str
    name: str
    kind: Literal["server", "client"]
    start: float
    end: float
    attributes: Attributes
    parent_id: str | None = None
    events: tuple[SpanEvent, ...] = ()
    error: str | None = None


class Histogram(msgspec.Struct, frozen=True):
    """The measurements of one series: a metric under one set of attributes. `bounds` are the upper ends of its buckets but the last."""

    name: str
    unit: str
    bounds: Sequence[float]
    attributes: Attributes
    values: Sequence[float]


def trace_request(resource: Attributes, scope: str, version: str, spans: Iterable[Span]) -> bytes:
    """The body of a request to `/v1/traces`. Purity: pure."""
    scoped = {"scope": {"name": scope, "version": version}, "spans": [_span(span) for span in spans]}
    found = {"resource": {"attributes": _attributes(resource)}, "scopeSpans": [scoped]}
    return msgspec.json.encode({"resourceSpans": [found]})


def metrics_request(
    resource: Attributes, scope: str, version: str, histograms: Iterable[Histogram], *, start: float, end: float
) -> bytes:
    """The body of a request to `/v1/metrics`: what was measured between two times, and not before (delta). Purity: pure."""
    times = {"startTimeUnixNano": _nanoseconds(start), "timeUnixNano": _nanoseconds(end)}
    series: dict[tuple[str, str], list[Any]] = {}
    for histogram in histograms:
        series.setdefault((histogram.name, histogram.unit), []).append(_points(histogram) | times)
    metrics = [
        {"name": name, "unit": unit, "histogram": {"aggregationTemporality": _DELTA, "dataPoints": points}}
        for (name, unit), points in series.items()
    ]
    scoped = {"scope": {"name": scope, "version": version}, "metrics": metrics}
    return msgspec.json.encode(
        {"resourceMetrics": [{"resource": {"attributes": _attributes(resource)}, "scopeMetrics": [scoped]}]}
    )


def _span(span: Span) -> dict[str, Any]:
    encoded: dict[str, Any] = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "name": span.name,
        "kind": _KINDS[span.kind],
        "startTimeUnixNano": _nanoseconds(span.start),
        "endTimeUnixNano": _nanoseconds(max(span.start, span.end)),
        "attributes": _attributes(span.attributes),
        "events": [_event(event) for event in span.events],
    }
    if span.parent_id is not None:
        encoded["parentSpanId"] = span.parent_id
    if span.error is not None:
        encoded["status"] = {"code": _ERROR, "message": span.error}
    return encoded


def _event(event: SpanEvent) -> dict[str, Any]:
    return {
        "name": event.name,
        "timeUnixNano": _nanoseconds(event.at),
        "attributes": _attributes(event.attributes),
    }


def _points(histogram: Histogram) -> dict[str, Any]:
    counts = [0] * (len(histogram.bounds) + 1)
    for value in histogram.values:
        counts[sum(value > bound for bound in histogram.bounds)] += 1
    return {
        "attributes": _attributes(histogram.attributes),
        "count": str(len(histogram.values)),
        "sum": float(sum(histogram.values)),
        "min": float(min(histogram.values)),
        "max": float(max(histogram.values)),
        "explicitBounds": list(histogram.bounds),
        "bucketCounts": [str(count) for count in counts],
    }


def _attributes(attributes: Attributes) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items() if value is not None]


def _value(value: Attribute) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
        case _:
            return {"arrayValue": {"values": [{"stringValue": one} for one in value or ()]}}


def _nanoseconds(at: float) -> str:
    """To the microsecond: a float has no more."""
    return str(round(at * 1e6) * 1000)
