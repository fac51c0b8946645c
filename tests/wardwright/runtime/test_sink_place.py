"""A sink's place: what was passed over stays known, however much it is, in a bounded space."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.runtime.sink_place import (
    MOST_STRETCHES,
    SinkPlace,
    Stretch,
    bury,
    decode_place,
    encode_place,
    mark_name,
    raise_dead,
    send_again,
)


def letter(position: int, reason: str = "too large") -> Stretch:
    return Stretch(position - 1, position, 1, reason)


def test_neighbours_are_one_stretch_and_keep_what_they_have_in_common() -> None:
    place = bury(SinkPlace(), [letter(5), letter(6), letter(9), letter(10, "malformed"), letter(11, "malformed")])
    assert place.dead == (
        Stretch(4, 6, 2, "too large"),
        Stretch(8, 11, 3, "too large, and others"),
    )
    assert place.dead_count == 5
    place = bury(place, [letter(12)])
    assert place.dead[-1] == Stretch(8, 12, 4, "too large, and others")


@given(st.lists(st.lists(st.integers(1, 5000), max_size=400), max_size=6))
def test_every_letter_lies_in_a_stretch_and_there_are_never_too_many(buried: list[list[int]]) -> None:
    place, all_of_them = SinkPlace(), set[int]()
    for positions in buried:
        new = set(positions) - all_of_them
        place = bury(place, [letter(position) for position in sorted(new)])
        all_of_them |= new
        assert len(place.dead) <= MOST_STRETCHES
        assert place.dead_count == len(all_of_them)
        ends = [end for stretch in place.dead for end in (stretch.after, stretch.last)]
        assert ends == sorted(ends)
        assert all(any(each.after < position <= each.last for each in place.dead) for position in all_of_them)


def test_the_nearest_are_joined_when_there_are_too_many() -> None:
    far_apart = [letter(1000 * number) for number in range(1, MOST_STRETCHES + 1)]
    place = bury(SinkPlace(), [*far_apart, letter(5003)])
    assert len(place.dead) == MOST_STRETCHES
    assert Stretch(4999, 5003, 2, "too large") in place.dead
    assert len(encode_place(place)) < 40_000


def test_the_dead_are_raised_and_what_was_sent_is_sent_again() -> None:
    place = bury(SinkPlace(position=20), [letter(5), letter(9)])
    raised = raise_dead(place)
    assert raised.dead == ()
    assert [(each.after, each.last) for each in raised.again] == [(4, 5), (8, 9)]
    assert [(each.after, each.last) for each in send_again(raised, 7).again] == [(4, 5), (7, 20)]
    assert send_again(place, 20) is place


def test_a_place_survives_its_mark() -> None:
    place = bury(SinkPlace(position=2**60, since=1.5, delivered=3, refused=1), [letter(5)])
    assert decode_place(encode_place(place)) == place
    assert mark_name("archive") == "sink.archive"


@pytest.mark.parametrize("length", [301, 10_000])
def test_reasons_stay_short_when_they_are_joined(length: int) -> None:
    place = bury(SinkPlace(), [letter(1, "x" * length), letter(2, "y")])
    assert len(place.dead[0].reason) < 320
