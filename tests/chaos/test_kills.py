"""A short form of `make chaos`: a few deaths under load, on each kind of storage that lasts and on both event loops."""

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.kills import Line, Setting


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    [Setting("file", "asyncio"), Setting("file", "trio", forgets=True), Setting("sqlite", "asyncio")],
    ids=str,
)
def test_after_kill_9_every_answered_request_has_its_receipt_and_open_ones_are_closed(
    tmp_path: Path, setting: Setting
) -> None:
    counts = Counter[str]()
    line = Line(tmp_path, setting, random.Random(5), counts)
    line.reign()
    line.die_in_birth()
    line.end()
    assert counts["kills"] == 2
    assert counts["answered requests"] > 0
    assert counts["receipts closed as interrupted"] > 0
