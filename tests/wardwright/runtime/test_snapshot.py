"""A snapshot's document: equal states are equal bytes, and what is not what was written is known for it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.runtime.books import Books, KeyUse, OpenRequest, Request
from wardwright.runtime.kept_health import KeptHealth, KeptHold, KeptMark
from wardwright.runtime.snapshot import (
    Covered,
    Place,
    Snapshot,
    Unusable,
    decode_snapshot,
    encode_covered,
    encode_snapshot,
)


def books(*, is_reversed: bool = False) -> Books:
    """The same books, entered in one order or the other."""
    order = -1 if is_reversed else 1
    keys = {"key_1": KeyUse({"20000": 5, "20001": 7}, [Request(1.5, 3)]), "key_2": KeyUse({"20001": 1})}
    spent = {"20000": {"m": {"p/a": 5, "p/b": 2}}, "20001": {"m": {"p/a": 8}, "n": {"p/a": 1}}}
    live = {"rcpt_1": OpenRequest(1.0, "m", None), "rcpt_2": OpenRequest(2.0, "n", "key_1", 4)}
    return Books(
        dict(list(spent.items())[::order]), dict(list(keys.items())[::order]), dict(list(live.items())[::order])
    )


HEALTH = {
    "second": KeptHealth("ab", 1.0, 2.0, open_until=3.5, holds=(KeptHold(4.0, "rate_limited", "second/a", 2),)),
    "first": KeptHealth("cd", 1.0, 2.0, marks=(KeptMark(0.5, 1),), answers=2),
}
COVERED = Covered(books(), Place(7, 8, "rcpt_2", 3))
PAYLOAD = encode_snapshot("boot_1", 9.25, HEALTH, encode_covered(COVERED))


def test_it_is_read_back_as_it_was() -> None:
    assert decode_snapshot(PAYLOAD) == Snapshot("boot_1", 9.25, HEALTH, COVERED)
    empty = encode_snapshot("boot_1", 9.25, {}, encode_covered(None))
    assert decode_snapshot(empty) == Snapshot("boot_1", 9.25, {}, None)


def test_equal_states_are_equal_bytes_in_whatever_order_they_came_about() -> None:
    other = Covered(books(is_reversed=True), COVERED.place)
    assert list(other.books.keys) != list(COVERED.books.keys)
    assert encode_snapshot("boot_1", 9.25, dict(reversed(HEALTH.items())), encode_covered(other)) == PAYLOAD


def test_its_keys_are_in_order() -> None:
    assert json.dumps(json.loads(PAYLOAD), separators=(",", ":"), sort_keys=True).encode() == PAYLOAD
    assert json.loads(PAYLOAD)["state"]["covered"]["place"] == [7, 8, "rcpt_2", 3]


@given(st.integers(0, len(PAYLOAD) - 1), st.integers(0, 255))
def test_no_changed_byte_goes_unnoticed(position: int, byte: int) -> None:
    changed = PAYLOAD[:position] + bytes([byte]) + PAYLOAD[position + 1 :]
    if changed != PAYLOAD:
        with pytest.raises(Unusable):
            decode_snapshot(changed)


@given(st.integers(0, len(PAYLOAD) - 1))
def test_a_part_of_one_is_none(end: int) -> None:
    with pytest.raises(Unusable):
        decode_snapshot(PAYLOAD[:end])


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (b'{"format": 2, "anything": "else"}', "format 2, and this version reads 1"),
        (b"{}", "missing required field `format`"),
        (b"\xff\xff", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (PAYLOAD.replace(b'"boot_1"', b'"boot_2"'), "checksum"),
    ],
)
def test_it_is_told_why_one_cannot_be_used(payload: bytes, problem: str) -> None:
    with pytest.raises(Unusable, match=problem):
        decode_snapshot(payload)
