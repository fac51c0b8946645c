"""The sink suite: the clauses of `contracts/sink-contract.md` that an adapter keeps, for any kind.

A kind's test module takes the whole suite and says what is to be tested:

    from wardwright.testing.sink_suite import *

    @pytest.fixture
    def sink(tmp_path: Path) -> SinkBench:
        return MySinkBench(tmp_path)

The clauses on refusing are skipped for a kind that refuses nothing; no other may be skipped or left out, which the last class checks.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from wardwright.ports.sink import BATCH_BYTES, Record, Sink, SinkRefused, SinkUnavailable
from wardwright.testing.sink_bench import Arrived, SinkBench, enlarged, sample_records

__all__ = [
    "Arrived",
    "Record",
    "Sink",
    "SinkBench",
    "TestSinkBreakdown",
    "TestSinkDeclaration",
    "TestSinkDelivery",
    "TestSinkRefusal",
    "TestSinkRestart",
    "TestSinkSuite",
]


class SinkClauses:
    """What the classes below share. `sink` is the fixture that each module which takes the suite has."""

    @pytest.fixture
    def opened(self, sink: SinkBench) -> Iterable[Sink]:
        """The sink, open."""
        made = sink.make()
        made.open()
        yield made
        made.close()


class TestSinkDeclaration(SinkClauses):
    """What a sink says of itself, before it is opened."""

    def test_making_one_touches_nothing(self, sink: SinkBench) -> None:
        sink.break_down()
        made = sink.make()
        assert made.kind
        assert made.unit in ("events", "receipts")
        assert made.where
        sink.mend()
        assert list(sink.arrived()) == []

    def test_where_it_leads_tells_no_secret(self, sink: SinkBench) -> None:
        made = sink.make()
        for secret in sink.secrets:
            assert secret not in made.where
            assert secret not in repr(made)


class TestSinkDelivery(SinkClauses):
    """When `deliver` returns everything has arrived, in the order of each receipt, as often as it was sent or less."""

    def test_what_was_delivered_has_arrived_in_order(self, sink: SinkBench, opened: Sink) -> None:
        records = sample_records(opened.unit, 7)
        opened.deliver(records)
        _check(sink, records)

    def test_batches_follow_each_other(self, sink: SinkBench, opened: Sink) -> None:
        records = sample_records(opened.unit, 9, attempts=3)
        for at in range(0, len(records), 4):
            opened.deliver(records[at : at + 4])
            _check(sink, records[: at + 4])

    def test_a_batch_of_one(self, sink: SinkBench, opened: Sink) -> None:
        records = sample_records(opened.unit, 1)[:1]
        opened.deliver(records)
        _check(sink, records)

    def test_a_batch_of_hundreds(self, sink: SinkBench, opened: Sink) -> None:
        records = sample_records(opened.unit, 500)[:500]
        opened.deliver(records)
        _check(sink, records)

    def test_a_record_as_large_as_a_whole_batch(self, sink: SinkBench, opened: Sink) -> None:
        records = sample_records(opened.unit, 4)
        records[1] = enlarged(records[1], BATCH_BYTES // 2)
        opened.deliver(records)
        _check(sink, records)

    def test_a_batch_that_is_sent_again_arrives_under_the_same_keys(self, sink: SinkBench, opened: Sink) -> None:
        records = sample_records(opened.unit, 5)
        opened.deliver(records[:3])
        opened.deliver(records)
        opened.deliver(records)
        _check(sink, records)


class TestSinkBreakdown(SinkClauses):
    """A far side that is gone is `SinkUnavailable`, soon and without a secret, and nothing but a delay."""

    def test_what_cannot_be_opened_says_so_and_is_opened_later(self, sink: SinkBench) -> None:
        sink.break_down()
        made = sink.make()
        records = sample_records(made.unit, 3)
        said = _failure(made, records)
        assert not any(secret in said for secret in sink.secrets)
        sink.mend()
        made.open()
        made.deliver(records)
        _check(sink, records)
        made.close()

    def test_what_breaks_down_between_two_batches_delivers_the_rest_later(self, sink: SinkBench, opened: Sink) -> None:
        records = sample_records(opened.unit, 8)
        opened.deliver(records[:4])
        sink.break_down()
        with pytest.raises(SinkUnavailable) as failure:
            opened.deliver(records[4:])
        opened.close()
        for said in (failure.value.message, _failure(opened, records[4:])):
            assert not any(secret in said for secret in sink.secrets)
        sink.mend()
        opened.open()
        opened.deliver(records[4:])
        _check(sink, records)


class TestSinkRestart(SinkClauses):
    """A sink can be closed and opened, and another one goes on where the one before it was."""

    def test_it_is_closed_as_often_as_one_likes(self, sink: SinkBench) -> None:
        made = sink.make()
        made.close()
        made.open()
        made.close()
        made.close()
        made.open()
        records = sample_records(made.unit, 2)
        made.deliver(records)
        made.close()
        _check(sink, records)

    def test_another_one_goes_on_after_a_batch_whose_end_nobody_knows(self, sink: SinkBench, opened: Sink) -> None:
        records = sample_records(opened.unit, 8)
        opened.deliver(records[:5])
        opened.close()
        after = sink.make()
        after.open()
        after.deliver(records[2:])
        after.close()
        _check(sink, records)


class TestSinkRefusal(SinkClauses):
    """What the far side will never take is named, and keeps nothing else from it."""

    def test_the_others_of_a_batch_arrive(self, sink: SinkBench, opened: Sink) -> None:
        records = sample_records(opened.unit, 8)
        spoilt = {at: sink.refused(records[at]) for at in (0, 3, 4)}
        if None in spoilt.values():
            pytest.skip(_REFUSES_NOTHING)
        batch = [spoilt.get(at) or record for at, record in enumerate(records)]
        with pytest.raises(SinkRefused) as refusal:
            opened.deliver(batch)
        assert set(refusal.value.reasons) == {records[at].key for at in (0, 3, 4)}
        assert all(0 < len(reason) <= 500 for reason in refusal.value.reasons.values())
        _check(sink, [record for at, record in enumerate(records) if at not in spoilt])
        rest = sample_records(opened.unit, 2, first=101)
        opened.deliver(rest)
        assert {record.key for record in rest} <= {arrived.key for arrived in sink.arrived()}

    def test_a_batch_of_which_nothing_is_taken(self, sink: SinkBench, opened: Sink) -> None:
        records = [sink.refused(record) for record in sample_records(opened.unit, 3)]
        batch = [record for record in records if record is not None]
        if not batch:
            pytest.skip(_REFUSES_NOTHING)
        with pytest.raises(SinkRefused) as refusal:
            opened.deliver(batch)
        assert set(refusal.value.reasons) == {record.key for record in batch}
        assert list(sink.arrived()) == []


_REFUSES_NOTHING = "this kind of sink refuses nothing"


class TestSinkSuite(SinkClauses):
    """Nothing is left out in silence. Says something only of a whole run of its module."""

    def test_the_suite_is_whole(self, request: pytest.FixtureRequest) -> None:
        collected = [item for item in request.session.items if item.path == request.node.path]
        asked = {getattr(item, "originalname", item.name) for item in collected}
        missing = sorted({name for each in _suite() for name in vars(each) if name.startswith("test_")} - asked)
        chosen: Sequence[Any] = (request.config.option.keyword, *(a for a in request.config.args if "::" in a))
        if missing and any(chosen):
            pytest.skip("only a part of the suite was asked for")
        assert not missing, f"clauses left out: {missing}"
        assert not [item.name for item in collected if any(map(item.get_closest_marker, ("skip", "skipif", "xfail")))]


def _suite() -> list[type[SinkClauses]]:
    return [found for name in __all__ if isinstance(found := globals()[name], type) and issubclass(found, SinkClauses)]


def _failure(sink: Sink, records: Sequence[Record]) -> str:
    """What a closed sink says that can deliver nothing; opening it may work all the same. It is closed afterwards."""
    with pytest.raises(SinkUnavailable) as failure:
        _open_and_deliver(sink, records)
    sink.close()
    return f"{failure.value} {failure.value.message}"


def _open_and_deliver(sink: Sink, records: Sequence[Record]) -> None:
    sink.open()
    sink.deliver(records)


def _check(sink: SinkBench, sent: Sequence[Record]) -> None:
    """Everything sent has arrived and nothing else; first arrivals keep the order of each receipt; bodies are what they were."""
    arrived = list(sink.arrived())
    bodies = {record.key: record.body for record in sent}
    assert {each.key for each in arrived} == set(bodies)
    firsts = list(dict.fromkeys(each.key for each in arrived))
    for receipt_id in {record.receipt_id for record in sent}:
        keys = [record.key for record in sent if record.receipt_id == receipt_id]
        assert [key for key in firsts if key in set(keys)] == list(dict.fromkeys(keys))
    assert all(each.body == bodies[each.key] for each in arrived if each.body is not None)
