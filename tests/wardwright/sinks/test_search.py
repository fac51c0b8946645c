"""The sink for search engines beyond the contract: what a document says, and what engines say of it."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.receiver import Reply
from tests.support.search_engines import INDEX, FakeMeilisearch, FakeOpenSearch
from tests.wardwright.receipts.receipt_samples import fallback_story, sealed
from wardwright.ports.sink import SinkRefused, SinkUnavailable, receipt_record
from wardwright.sinks.far_side import FarSide
from wardwright.sinks.search import Meilisearch, OpenSearch, SearchSink

RECORDS = [receipt_record(number, sealed(fallback_story(), receipt_id=f"rcpt_{number}")) for number in range(1, 4)]


class Sinks:
    """Makes engines and sinks to them, and ends both when the test is over."""

    def __init__(self) -> None:
        self._ends = ExitStack()

    def opensearch(self) -> tuple[FakeOpenSearch, SearchSink]:
        engine = FakeOpenSearch()
        return engine, self._sink(engine, OpenSearch(INDEX))

    def meilisearch(self, pause: Callable[[float], None] | None = None) -> tuple[FakeMeilisearch, SearchSink]:
        engine = FakeMeilisearch()
        return engine, self._sink(engine, Meilisearch(INDEX, pause or (lambda seconds: None)))

    def end(self) -> None:
        self._ends.close()

    def _sink(self, engine: FakeOpenSearch | FakeMeilisearch, dialect: OpenSearch | Meilisearch) -> SearchSink:
        far_side = FarSide(engine.receiver.url, headers_env={}, environ={}, timeout_s=5)
        sink = SearchSink(far_side, INDEX, dialect)
        sink.open()
        self._ends.callback(engine.receiver.stop)
        self._ends.callback(sink.close)
        return sink


@pytest.fixture
def sinks() -> Iterator[Sinks]:
    made = Sinks()
    yield made
    made.end()


def test_a_document_is_a_flat_receipt_without_what_is_empty(sinks: Sinks) -> None:
    engine, sink = sinks.opensearch()
    sink.deliver(RECORDS)
    document = engine.documents["rcpt_1"]
    expected = {
        "receipt_id": "rcpt_1",
        "status": "completed",
        "selected_model": "cloud/large",
        "attempts": 2,
        "latency_ms": 820.0,
        "created_at": "2027-01-15T08:00:01Z",
        "simulation": False,
    }
    assert {name: document[name] for name in expected} == expected
    assert document["attempt_details"][0]["failure"]["failure_class"] == "connect"
    assert not {"tenant_id", "cost_usd", "seams"} & set(document)


def test_what_is_no_receipt_is_refused_and_the_others_go(sinks: Sinks) -> None:
    engine, sink = sinks.opensearch()
    with pytest.raises(SinkRefused) as refusal:
        sink.deliver([RECORDS[0], RECORDS[1]._replace(body=b"{}")])
    assert refusal.value.reasons == {"rcpt_2": "is no receipt that this version of Wardwright can read"}
    assert set(engine.documents) == {"rcpt_1"}


class TestOpenSearch:
    def test_a_document_that_does_not_fit_is_refused_without_its_words(self, sinks: Sinks) -> None:
        engine, sink = sinks.opensearch()
        engine.statuses["rcpt_2"] = 400
        with pytest.raises(SinkRefused) as refusal:
            sink.deliver(RECORDS)
        assert refusal.value.reasons == {"rcpt_2": "does not fit: mapper_parsing_exception"}
        assert set(engine.documents) == {"rcpt_1", "rcpt_3"}

    @pytest.mark.parametrize("status", [403, 404, 429, 503])
    def test_a_document_that_there_is_no_room_for_comes_again(self, sinks: Sinks, status: int) -> None:
        engine, sink = sinks.opensearch()
        engine.statuses["rcpt_2"] = status
        with pytest.raises(SinkUnavailable, match=f"answers {status} for a document"):
            sink.deliver(RECORDS)
        engine.statuses.clear()
        sink.deliver(RECORDS)
        assert set(engine.documents) == {record.key for record in RECORDS}

    @pytest.mark.parametrize("body", [b"<html>", b"{}", json.dumps({"errors": False, "items": []}).encode()])
    def test_what_does_not_say_what_became_of_each_has_taken_nothing(self, sinks: Sinks, body: bytes) -> None:
        engine, sink = sinks.opensearch()
        engine.receiver.answer = lambda _: Reply(body=body)
        with pytest.raises(SinkUnavailable):
            sink.deliver(RECORDS)

    def test_what_is_too_large_at_once_goes_in_parts(self, sinks: Sinks) -> None:
        engine, sink = sinks.opensearch()
        takes = engine.receiver.answer
        engine.receiver.answer = lambda asked: Reply(413) if asked.body.count(b"\n") > 2 else takes(asked)
        sink.deliver(RECORDS)
        assert set(engine.documents) == {record.key for record in RECORDS}


class TestMeilisearch:
    def test_it_is_waited_for_longer_and_longer(self, sinks: Sinks) -> None:
        pauses: list[float] = []
        engine, sink = sinks.meilisearch(pauses.append)
        engine.asks_until_done = 10
        sink.deliver(RECORDS)
        assert pauses == [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0]

    def test_a_task_that_took_too_long_is_asked_for_again_and_not_made_twice(self, sinks: Sinks) -> None:
        engine, sink = sinks.meilisearch(lambda seconds: sink._far_side.allow(-1))
        engine.asks_until_done = 2
        with pytest.raises(SinkUnavailable, match="takes too long over a batch"):
            sink.deliver(RECORDS)
        sink.close()
        sink.open()
        sink.deliver(RECORDS)
        assert (engine.posts, set(engine.documents)) == (1, {record.key for record in RECORDS})

    def test_one_that_the_engine_does_not_know_any_more_is_made_anew(self, sinks: Sinks) -> None:
        engine, sink = sinks.meilisearch(lambda seconds: sink._far_side.allow(-1))
        with pytest.raises(SinkUnavailable):
            sink.deliver(RECORDS)
        engine.forget_tasks()
        engine.asks_until_done = 1
        with pytest.raises(SinkUnavailable, match="HTTP 404"):
            sink.deliver(RECORDS)
        sink.deliver(RECORDS)
        assert engine.posts == 2

    def test_a_task_that_fails_by_no_fault_of_ours_comes_again(self, sinks: Sinks) -> None:
        engine, sink = sinks.meilisearch()
        engine.fails_with = {"code": "no_space_left_on_device", "type": "system"}
        with pytest.raises(SinkUnavailable, match="a task has failed: no_space_left_on_device"):
            sink.deliver(RECORDS)
        engine.fails_with = None
        sink.deliver(RECORDS)
        assert engine.posts == 2
