"""How strict receipts are judged: by pairs, each with the syncs of its own time, in both orders."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.benchmarks.durability import Durability, Pair, paired
from tests.benchmarks.load import Percentiles
from tests.benchmarks.measure import Sample
from tests.benchmarks.processes import Server
from tests.benchmarks.timing import syncs_meanwhile

STRICT, NONE = Server(1, "http://strict", 0.1), Server(2, "http://none", 0.1)


def sample(p50: float, *, bad: int = 0) -> Sample:
    times = Percentiles(p50, p50)
    return Sample(300.0, 400.0, None, times, times, 0.2, 70.0, 0.5, bad, "status 503" if bad else None)


def test_each_pair_is_judged_by_its_own_syncs_and_the_order_changes() -> None:
    syncs, asked = iter([[1.0, 2.0, 9.0], [4.0]]), list[str]()

    def ask(server: Server) -> Sample:
        asked.append(server.url)
        return sample(55.0 if server is STRICT else 52.0)

    found = paired(STRICT, NONE, ask=ask, syncs=lambda: nullcontext(next(syncs)), pairs=2)
    assert asked == ["http://strict", "http://none", "http://none", "http://strict"]
    assert [pair.added_syncs for pair in found.pairs] == [1.5, 0.75]
    assert found.added_syncs == 1.125


def test_one_pair_that_a_busy_disk_spoilt_decides_nothing() -> None:
    good = [Pair(strict=52.0, none=51.0, sync=1.0, others_cores=0.0)] * 4
    found = Durability([*good, Pair(strict=90.0, none=51.0, sync=1.0, others_cores=0.0)])
    assert (found.added_syncs, found.middle_half, found.is_kept) == (1.0, (1.0, 1.0), True)
    assert not Durability([Pair(strict=54.0, none=51.0, sync=1.0, others_cores=0.0)] * 2).is_kept


def test_a_wrong_answer_proves_nothing() -> None:
    with pytest.raises(RuntimeError, match="wrong answers: status 503"):
        paired(STRICT, NONE, ask=lambda server: sample(50.0, bad=server.pid == 2), syncs=lambda: nullcontext([1.0]))


def test_the_disk_is_synced_as_long_as_the_block_lasts(tmp_path: Path) -> None:
    with syncs_meanwhile(tmp_path) as taken:
        pass
    assert len(taken) >= 1
    assert all(milliseconds > 0 for milliseconds in taken)
    assert (tmp_path / "synced").stat().st_size == len(taken) * 1500
