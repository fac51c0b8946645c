"""A short form of `make chaos`: bits and ends of a small store, drawn by chance; each of its files is cut off, and has bits flipped."""

import shutil

import pytest

from tests.chaos import damage
from tests.chaos.verdict import Broken
from wardwright.storage import marks


@pytest.mark.slow
def test_whatever_is_damaged_is_refused_by_its_place_or_costs_only_the_end() -> None:
    told = damage.run(seed=7, sample_size=1500)
    assert "1500 harms to" in told
    assert " 0 refused" not in told


def test_a_mark_without_a_checksum_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "_head", lambda value: b"00000000\n")
    with pytest.raises(Broken, match=r"sink\.cursor .*: the mark reads") as broken:
        damage.run(only="marks")
    assert broken.value.kept is not None
    shutil.rmtree(broken.value.kept)
