"""Receipts as metrics, by OpenTelemetry's semantic conventions for generative AI: what the attempts of a batch took and used.

They are measured in the batch and not before it (delta). A batch that is sent twice is counted twice: `GET /metrics` counts exactly.
"""

from collections.abc import Iterable, Iterator, Sequence

from wardwright.receipts.receipt import Attempt, Receipt
from wardwright.sinks.genai_spans import error_type_of
from wardwright.sinks.otlp import Attributes, Histogram

DURATION_BOUNDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Seconds, as the conventions advise."""

TOKEN_BOUNDS = tuple(float(4**power) for power in range(14))

_Series = tuple[str, tuple[tuple[str, str], ...]]


def histograms_of(receipts: Sequence[Receipt]) -> list[Histogram]:
    """What the attempts of these receipts come to, a histogram for each series. Purity: pure."""
    measured: dict[_Series, list[float]] = {}
    for receipt in receipts:
        for attempt in receipt.attempts:
            for name, attributes, value in _measurements(attempt, streams=receipt.request.stream):
                series = tuple((key, str(said)) for key, said in attributes.items() if said is not None)
                measured.setdefault((name, series), []).append(value)
    return [_histogram(name, dict(series), values) for (name, series), values in measured.items()]


def span_of_time(receipts: Iterable[Receipt]) -> tuple[float, float]:
    """When the first of these receipts began and the last ended, in Unix seconds. Purity: pure."""
    times = [event.created_at for receipt in receipts for event in receipt.events]
    return min(times), max(times)


def _measurements(attempt: Attempt, *, streams: bool) -> Iterator[tuple[str, Attributes, float]]:
    common = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": attempt.provider_id,
        "gen_ai.request.model": attempt.upstream_model,
    }
    if attempt.latency_ms is not None:
        told = {**common, "error.type": error_type_of(attempt)}
        yield "gen_ai.client.operation.duration", told, attempt.latency_ms / 1000
    if attempt.first_token_ms is not None and streams:
        yield "gen_ai.client.operation.time_to_first_chunk", common, attempt.first_token_ms / 1000
    if attempt.usage is not None:
        for kind, tokens in (("input", attempt.usage.prompt_tokens), ("output", attempt.usage.completion_tokens)):
            yield "gen_ai.client.token.usage", {**common, "gen_ai.token.type": kind}, float(tokens)


def _histogram(name: str, attributes: Attributes, values: Sequence[float]) -> Histogram:
    is_time = name != "gen_ai.client.token.usage"
    return Histogram(
        name=name,
        unit="s" if is_time else "{token}",
        bounds=DURATION_BOUNDS if is_time else TOKEN_BOUNDS,
        attributes=attributes,
        values=values,
    )
