"""A short form of `make chaos`: a few deaths under load, on each kind of storage that lasts and on both event loops."""

import random
from collections import Counter
from contextlib import closing
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
    with closing(Line(tmp_path, setting, random.Random(5), counts)) as line:
        line.reign()
        line.die_in_birth()
        line.end()
    assert counts["kills"] == 2
    assert counts["answered requests"] > 0
    assert counts["receipts closed as interrupted"] > 0


@pytest.mark.slow
def test_after_each_kill_9_no_sink_is_further_than_what_it_got_and_in_the_end_it_has_everything(tmp_path: Path) -> None:
    counts = Counter[str]()
    with closing(Line(tmp_path, Setting("file", "trio", sends=True), random.Random(5), counts)) as line:
        for _ in range(2):
            line.reign()
        line.end()
    assert counts["kills"] == 2
    assert counts["events at the receiver"] > 3 * counts["receipts in the file"] > 0
