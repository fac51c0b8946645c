"""The sink `opentelemetry`: receipts as traces, and metrics where they are asked for, to whatever takes OTLP over HTTP.

Spans have ids of their own making (`sinks.genai_spans`), so that what is sent again is the same spans. Metrics have none: they go last,
when the spans have been taken, so that a batch whose spans fail is not counted twice.
"""

import gzip
from collections.abc import Mapping, Sequence

import msgspec

from wardwright import __version__
from wardwright.domain.sink import Unit
from wardwright.ports.sink import Record, SinkRefused, SinkUnavailable
from wardwright.receipts.receipt import Receipt
from wardwright.sinks.far_side import Answer, FarSide
from wardwright.sinks.genai_metrics import histograms_of, span_of_time
from wardwright.sinks.genai_spans import spans_of
from wardwright.sinks.halving import refused_of
from wardwright.sinks.otlp import metrics_request, trace_request

_SCOPE = "wardwright"
_REQUESTS = 6  # whose time a batch may take, however many it is sent in
_JSON = {"content-type": "application/json", "content-encoding": "gzip"}

_decode_receipt = msgspec.json.Decoder(Receipt).decode


class _PartialSuccess(msgspec.Struct, rename="camel"):
    rejected_spans: int = 0
    rejected_data_points: int = 0
    error_message: str = ""


class _ExportResponse(msgspec.Struct, rename="camel"):
    partial_success: _PartialSuccess | None = None


_decode_response = msgspec.json.Decoder(_ExportResponse, strict=False).decode  # counts come as text or as numbers


class OpenTelemetrySink:
    """A far side of OTLP/HTTP, such as a collector: `/v1/traces` and `/v1/metrics` below its address."""

    kind = "opentelemetry"
    unit: Unit = "receipts"

    def __init__(self, far_side: FarSide, *, resource: Mapping[str, str], metrics: bool = False) -> None:
        self._far_side = far_side
        self._resource = {"service.name": "wardwright", "service.version": __version__, **resource}
        self._metrics = metrics

    @property
    def where(self) -> str:
        """The address of the far side."""
        return self._far_side.where

    def open(self) -> None:
        """Make ready. Raises: SinkUnavailable."""
        self._far_side.open()

    def deliver(self, records: Sequence[Record]) -> None:
        """Send the spans of each receipt, then what they measured. Raises: SinkUnavailable, SinkRefused."""
        self._far_side.allow(_REQUESTS)
        reasons: dict[str, str] = {}
        receipts: dict[str, Receipt] = {}
        for record in records:
            try:
                receipts[record.key] = _decode_receipt(record.body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                reasons[record.key] = "is no receipt that this version of Wardwright can read"
        reasons |= refused_of(receipts, self._send_spans)
        taken = [receipt for key, receipt in receipts.items() if key not in reasons]
        if self._metrics and taken:
            refusal = self._send_metrics(taken)
            if refusal is not None:
                reasons |= {key: f"its metrics: {refusal}" for key in receipts if key not in reasons}
        if reasons:
            raise SinkRefused(reasons)

    def close(self) -> None:
        """Let go of the connection."""
        self._far_side.close()

    def _send_spans(self, receipts: Mapping[str, Receipt]) -> Mapping[str, str] | str:
        """Send the spans of receipts; returns why some were refused, or why all were together."""
        spans = [span for receipt in receipts.values() for span in spans_of(receipt)]
        answer = self._post("/v1/traces", trace_request(self._resource, _SCOPE, __version__, spans))
        refusal = _refusal(answer)
        if refusal is None:
            return {}
        return dict.fromkeys(receipts, refusal) if answer.is_success else refusal

    def _send_metrics(self, receipts: Sequence[Receipt]) -> str | None:
        histograms = histograms_of(receipts)
        if not histograms:
            return None
        start, end = span_of_time(receipts)
        body = metrics_request(self._resource, _SCOPE, __version__, histograms, start=start, end=end)
        return _refusal(self._post("/v1/metrics", body))

    def _post(self, path: str, body: bytes) -> Answer:
        return self._far_side.post(path, gzip.compress(body, compresslevel=1), _JSON)


def _refusal(answer: Answer) -> str | None:
    """Why something of a request was not taken; None when all was.

    Of a success in part the far side does not say which part it took; it must not be asked again, so all of it counts as refused.
    """
    if not answer.is_success:
        return f"the far side answers HTTP {answer.status}"
    try:
        partial = _decode_response(answer.body or b"{}").partial_success
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SinkUnavailable("what answers is no receiver of OTLP as JSON") from error
    if partial is None:
        return None
    rejected = partial.rejected_spans + partial.rejected_data_points
    return f"the far side rejects {rejected} of a batch: {partial.error_message}"[:500] if rejected else None
