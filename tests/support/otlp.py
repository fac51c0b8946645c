"""A receiver of OTLP: what is sent is read by the messages of `opentelemetry-proto`, so that what is no OTLP is an error."""

import base64
import gzip
import json
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.receiver import Asked

_IDS = ("traceId", "spanId", "parentSpanId")


def traces(asked: Asked) -> ExportTraceServiceRequest:
    assert asked.path == "/v1/traces"
    request = ExportTraceServiceRequest()
    json_format.ParseDict(_as_protobuf(_json_of(asked)), request)
    return request


def metrics(asked: Asked) -> ExportMetricsServiceRequest:
    assert asked.path == "/v1/metrics"
    request = ExportMetricsServiceRequest()
    json_format.ParseDict(_json_of(asked), request)
    return request


def spans_in(asked: Asked) -> list[Span]:
    return [span for resource in traces(asked).resource_spans for scope in resource.scope_spans for span in scope.spans]


def metrics_in(asked: Asked) -> list[Metric]:
    return [
        metric
        for resource in metrics(asked).resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]


def attributes_of(thing: Any) -> dict[str, Any]:
    return {pair.key: _plain(pair.value) for pair in thing.attributes}


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_plain(one) for one in value.array_value.values] if kind == "array_value" else getattr(value, kind)


def _json_of(asked: Asked) -> Any:
    assert (asked.headers["content-type"], asked.headers["content-encoding"]) == ("application/json", "gzip")
    return json.loads(gzip.decompress(asked.body))


def _as_protobuf(found: Any) -> Any:
    """The JSON of OTLP as that of protobuf: their ids are hex here and base64 there."""
    if isinstance(found, list):
        return [_as_protobuf(one) for one in found]
    if isinstance(found, dict):
        return {
            key: base64.b64encode(bytes.fromhex(value)).decode() if key in _IDS else _as_protobuf(value)
            for key, value in found.items()
        }
    return found
