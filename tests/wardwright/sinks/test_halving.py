"""Halves: what is refused is found, what is not refused is sent, and no more is asked than it takes."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from wardwright.sinks.halving import refused_of


@given(count=st.integers(0, 60), bad=st.sets(st.integers(0, 59)))
def test_exactly_what_is_bad_is_refused_and_everything_else_taken_once(count: int, bad: set[int]) -> None:
    taken: list[int] = []
    sent = 0

    def send(some: Mapping[str, int]) -> Mapping[str, str] | str:
        nonlocal sent
        sent += 1
        if bad & set(some.values()):
            return "bad"
        taken.extend(some.values())
        return {}

    things = {str(number): number for number in range(count)}
    refused = refused_of(things, send)
    wrong = bad & set(range(count))
    assert refused == {str(number): "bad" for number in sorted(wrong)}
    assert taken == [number for number in range(count) if number not in bad]
    assert sent <= 1 + 2 * 6 * len(wrong)


def test_what_is_named_is_believed() -> None:
    assert refused_of({"a": 1, "b": 2}, lambda some: {"b": "no"}) == {"b": "no"}
