"""`contracts/events.schema.json` is current, and events are what it says. Run this file to write it anew."""

from pathlib import Path
from typing import Any, get_args

import jsonschema
import msgspec
import pytest

from tests.wardwright.runtime.visible_samples import SAMPLES
from wardwright.runtime.bus import Lost, Told
from wardwright.runtime.visible import OF_REQUESTS, TOPICS, Fact
from wardwright.runtime.visible_schema import events_schema, render_events_schema

SCHEMA_FILE = Path(__file__).parents[3] / "contracts" / "events.schema.json"


def valid(event: bytes) -> bool:
    return jsonschema.Draft202012Validator(events_schema()).is_valid(msgspec.json.decode(event))


def test_the_schema_file_is_current() -> None:
    assert SCHEMA_FILE.read_bytes() == render_events_schema(), f"run {__file__} and commit the schema"


def test_there_is_a_sample_of_every_fact_and_a_fact_of_every_topic() -> None:
    assert {type(sample) for sample in SAMPLES} == set(get_args(Fact))
    assert {sample.topic for sample in SAMPLES} == set(TOPICS)
    assert set(TOPICS) > OF_REQUESTS


@pytest.mark.parametrize("fact", SAMPLES, ids=lambda fact: fact.__struct_config__.tag)
def test_events_are_valid_and_flat(fact: Fact) -> None:
    told = Told("boot", [1, 0], 1_800_000_000.0, fact)
    event: dict[str, Any] = msgspec.json.decode(told.json)
    assert valid(told.json)
    assert list(event)[:4] == ["id", "topic", "at", "type"]
    assert (event["id"], event["topic"], event["type"]) == ("boot-1.0", fact.topic, told.type)
    assert [key for key, value in event.items() if isinstance(value, dict)] == []
    for field in event:
        assert not valid(msgspec.json.encode({key: value for key, value in event.items() if key != field})), field


@pytest.mark.parametrize("count", [7, None])
def test_lost_ones_are_told_by_number(count: int | None) -> None:
    lost = Lost(count, "boot-1.0")
    assert msgspec.json.decode(lost.json) == {"type": "lost", "count": count}
    assert valid(lost.json)
    assert not valid(b'{"type": "lost"}')


if __name__ == "__main__":
    SCHEMA_FILE.write_bytes(render_events_schema())
