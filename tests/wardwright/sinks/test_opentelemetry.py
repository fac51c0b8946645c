"""The sink for OTLP beyond the contract: what goes over the wire, metrics, and successes in part."""

import json
from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.support.otlp import attributes_of, metrics_in, spans_in, traces
from tests.support.receiver import Asked, Receiver, Reply
from tests.wardwright.receipts.receipt_samples import fallback_story, sealed
from wardwright.ports.sink import Record, SinkRefused, SinkUnavailable, receipt_record
from wardwright.sinks.far_side import FarSide
from wardwright.sinks.genai_metrics import DURATION_BOUNDS, TOKEN_BOUNDS
from wardwright.sinks.opentelemetry import OpenTelemetrySink

Answer = Callable[[Asked], Reply]
AT_NS = 1_800_000_001_250_000_000


class Collector:
    """A receiver, and a sink to it. `asked` is what was asked of it, `answers` what it says by path."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answers: dict[str, Answer] = {}
        self.receiver = Receiver(self._take)
        self._sinks: list[OpenTelemetrySink] = []

    def deliver(self, records: Sequence[Record], *, metrics: bool = False) -> None:
        far_side = FarSide(self.receiver.url, headers_env={}, environ={}, timeout_s=5)
        made = OpenTelemetrySink(far_side, resource={"deployment.environment.name": "test"}, metrics=metrics)
        self._sinks.append(made)
        made.open()
        made.deliver(records)

    def end(self) -> None:
        for made in self._sinks:
            made.close()
        self.receiver.stop()

    def _take(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        answer = self.answers.get(asked.path)
        return answer(asked) if answer else Reply()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.end()


def record(number: int) -> Record:
    return receipt_record(number, sealed(fallback_story(), receipt_id=f"rcpt_{number}"))


def partly(rejected: object, message: str = "over quota") -> Answer:
    told = {"partialSuccess": {"rejectedSpans": rejected, "errorMessage": message}}
    return lambda _: Reply(body=json.dumps(told).encode())


def test_what_is_sent_is_otlp(collector: Collector) -> None:
    collector.deliver([record(1)])
    (asked,) = collector.asked
    (resource,) = traces(asked).resource_spans
    said = attributes_of(resource.resource)
    assert (said["service.name"], said["deployment.environment.name"]) == ("wardwright", "test")
    request, first, second = spans_in(asked)
    assert (request.kind, first.kind) == (request.SPAN_KIND_SERVER, request.SPAN_KIND_CLIENT)
    assert (len(request.trace_id), len(request.span_id), first.parent_span_id) == (16, 8, request.span_id)
    assert request.start_time_unix_nano == AT_NS
    assert request.status.code == request.status.STATUS_CODE_UNSET
    assert (first.status.code, first.status.message) == (first.status.STATUS_CODE_ERROR, "connection refused")
    assert attributes_of(second)["gen_ai.response.finish_reasons"] == ["stop"]
    assert attributes_of(second)["gen_ai.usage.input_tokens"] == 40


class TestPartialSuccess:
    @pytest.mark.parametrize("rejected", [2, "2"])
    def test_a_batch_of_which_a_part_was_rejected_is_refused_and_not_sent_again(
        self, collector: Collector, rejected: object
    ) -> None:
        collector.answers["/v1/traces"] = partly(rejected)
        with pytest.raises(SinkRefused) as refusal:
            collector.deliver([record(1), record(2)])
        assert set(refusal.value.reasons) == {"rcpt_1", "rcpt_2"}
        assert refusal.value.reasons["rcpt_1"] == "the far side rejects 2 of a batch: over quota"
        assert len(collector.asked) == 1

    @pytest.mark.parametrize(
        "body", [b"", b"{}", b'{"partialSuccess": {}}', b'{"partialSuccess": {"rejectedSpans": "0"}}']
    )
    def test_one_of_which_nothing_was_rejected_was_taken(self, collector: Collector, body: bytes) -> None:
        collector.answers["/v1/traces"] = lambda _: Reply(body=body)
        collector.deliver([record(1)])

    def test_what_answers_something_else_has_taken_nothing(self, collector: Collector) -> None:
        collector.answers["/v1/traces"] = lambda _: Reply(body=b"<html>")
        with pytest.raises(SinkUnavailable, match="no receiver of OTLP"):
            collector.deliver([record(1)])


class TestHalves:
    def test_what_is_too_large_at_once_goes_in_parts(self, collector: Collector) -> None:
        collector.answers["/v1/traces"] = lambda asked: Reply(413 if len(spans_in(asked)) > 6 else 200)
        collector.deliver([record(number) for number in range(4)])
        assert [len(spans_in(asked)) for asked in collector.asked] == [12, 6, 6]

    def test_what_is_no_receipt_is_refused_and_the_others_go(self, collector: Collector) -> None:
        with pytest.raises(SinkRefused) as refusal:
            collector.deliver([record(1), record(2)._replace(body=b'{"receipt_id": 7}')])
        assert refusal.value.reasons == {"rcpt_2": "is no receipt that this version of Wardwright can read"}
        assert len(collector.asked) == 1


class TestMetrics:
    def test_attempts_are_measured_by_series(self, collector: Collector) -> None:
        collector.deliver([record(1), record(2)], metrics=True)
        assert [asked.path for asked in collector.asked] == ["/v1/traces", "/v1/metrics"]
        metrics = {metric.name: metric for metric in metrics_in(collector.asked[1])}
        assert {name: metric.unit for name, metric in metrics.items()} == {
            "gen_ai.client.operation.duration": "s",
            "gen_ai.client.operation.time_to_first_chunk": "s",
            "gen_ai.client.token.usage": "{token}",
        }
        durations = metrics["gen_ai.client.operation.duration"].histogram
        assert durations.aggregation_temporality == 1, "delta"
        failed, answered = durations.data_points
        assert attributes_of(failed)["error.type"] == "connect"
        assert attributes_of(answered) == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "cloud",
            "gen_ai.request.model": "large-1",
        }
        assert (answered.count, answered.sum, answered.min, answered.max) == (2, 1.6, 0.8, 0.8)
        assert tuple(answered.explicit_bounds) == DURATION_BOUNDS
        counts = dict(zip((*DURATION_BOUNDS, None), answered.bucket_counts, strict=True))
        assert {bound: count for bound, count in counts.items() if count} == {1.28: 2}
        assert answered.start_time_unix_nano == AT_NS
        assert answered.time_unix_nano == AT_NS + 5 * 10**9

    def test_tokens_are_counted_by_their_type(self, collector: Collector) -> None:
        collector.deliver([record(1)], metrics=True)
        tokens = next(metric for metric in metrics_in(collector.asked[1]) if metric.name == "gen_ai.client.token.usage")
        counted = {attributes_of(point)["gen_ai.token.type"]: point.sum for point in tokens.histogram.data_points}
        assert counted == {"input": 40, "output": 30}
        assert tuple(tokens.histogram.data_points[0].explicit_bounds) == TOKEN_BOUNDS

    def test_spans_that_are_not_taken_are_not_measured(self, collector: Collector) -> None:
        collector.answers["/v1/traces"] = lambda _: Reply(503)
        with pytest.raises(SinkUnavailable):
            collector.deliver([record(1)], metrics=True)
        assert [asked.path for asked in collector.asked] == ["/v1/traces"]

    def test_metrics_that_are_refused_are_a_refusal_of_the_batch(self, collector: Collector) -> None:
        collector.answers["/v1/metrics"] = lambda _: Reply(400)
        with pytest.raises(SinkRefused) as refusal:
            collector.deliver([record(1)], metrics=True)
        assert refusal.value.reasons == {"rcpt_1": "its metrics: the far side answers HTTP 400"}
