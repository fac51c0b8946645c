"""The ids that are minted here."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.runtime.identity import (
    ReceiptIds,
    first_receipt_id,
    mint_boot_id,
    mint_receipt_id,
    mint_request_id,
)


def ids_made_at(*times: float) -> list[str]:
    """The ids of one mint whose clock shows these times."""
    ids = ReceiptIds(iter(times).__next__)
    return [ids.mint() for _ in times]


def test_receipt_ids_sort_by_the_time_they_were_made() -> None:
    made = ids_made_at(1.0, 1_800_000_000.0, 1_800_000_000.001, 1_900_000_000.0, 17_000_000_000.0)
    assert made == sorted(made)
    assert len({len(receipt_id) for receipt_id in made}) == 1
    assert all(re.fullmatch("rcpt_[0-9a-f]{24}", receipt_id) for receipt_id in made)


@given(st.lists(st.floats(1.8e9, 1.8e9 + 0.01), min_size=2, max_size=50))
def test_receipt_ids_grow_within_a_millisecond_and_while_the_clock_goes_back(times: list[float]) -> None:
    made = ids_made_at(*times)
    assert all(one < other for one, other in pairwise(made))


def test_a_time_has_an_id_between_those_of_before_and_after() -> None:
    made = ids_made_at(1_799_999_999.999, 1_800_000_000.0)
    assert made[0] < first_receipt_id(1_800_000_000.0) < made[1]
    assert first_receipt_id(-5.0) < made[0]


@pytest.mark.parametrize("mint", [mint_receipt_id, mint_request_id, mint_boot_id])
def test_no_two_ids_are_the_same(mint: object) -> None:
    assert callable(mint)
    assert len({mint() for _ in range(2000)}) == 2000


def test_ids_say_what_they_are_of() -> None:
    assert mint_request_id().startswith("req_")
    assert mint_boot_id().startswith("boot_")
