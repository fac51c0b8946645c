"""A short form of `make chaos`: some hundred receipts and queries, with the same answers from every kind of storage."""

import shutil

import pytest

from tests.chaos.equality import run
from tests.chaos.verdict import Broken
from wardwright.storage import sqlite_query
from wardwright.storage.sqlite_query import Condition


@pytest.mark.slow
def test_every_kind_of_storage_gives_the_same_answers() -> None:
    assert "every answer the same" in run(11, receipts=300, queries=80)


def test_an_answer_that_differs_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_query, "exact_condition", lambda name, value, columns: Condition("1"))
    with pytest.raises(Broken, match="sqlite finds") as broken:
        run(11, receipts=20, queries=40)
    assert broken.value.kept is not None
    shutil.rmtree(broken.value.kept)
