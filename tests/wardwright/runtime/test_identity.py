"""The ids that are minted here."""

import re
from functools import partial

import pytest

from wardwright.runtime.identity import first_receipt_id, mint_boot_id, mint_receipt_id, mint_request_id


def test_receipt_ids_sort_by_the_time_they_were_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for now in (1.0, 1_800_000_000.0, 1_800_000_000.001, 1_900_000_000.0, 17_000_000_000.0):
        monkeypatch.setattr("wardwright.runtime.identity.time.time", partial(float, now))
        made.append(mint_receipt_id())
    assert made == sorted(made)
    assert len({len(receipt_id) for receipt_id in made}) == 1
    assert all(re.fullmatch("rcpt_[0-9a-f]{24}", receipt_id) for receipt_id in made)


def test_a_time_has_an_id_between_those_of_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for now in (1_799_999_999.999, 1_800_000_000.0):
        monkeypatch.setattr("wardwright.runtime.identity.time.time", partial(float, now))
        made.append(mint_receipt_id())
    assert made[0] < first_receipt_id(1_800_000_000.0) < made[1]
    assert first_receipt_id(-5.0) < made[0]


@pytest.mark.parametrize("mint", [mint_receipt_id, mint_request_id, mint_boot_id])
def test_no_two_ids_are_the_same(mint: object) -> None:
    assert callable(mint)
    assert len({mint() for _ in range(2000)}) == 2000


def test_ids_say_what_they_are_of() -> None:
    assert mint_request_id().startswith("req_")
    assert mint_boot_id().startswith("boot_")
