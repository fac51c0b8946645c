"""The benchmark of group commit: that its floors write what they say, and that nobody goes first more often."""

from itertools import permutations
from pathlib import Path

from tests.benchmarks.appending import _BareLoop, _BareLoopIntoZeros, _in_turn
from wardwright.storage.log import ROOM_BYTES

BATCHES = [[b"a" * 300_000, b"b" * 100_000], [b"c" * 200_000], [b"d"]]


def test_six_batches_are_taken_in_all_six_orders() -> None:
    assert {tuple(_in_turn(list("abc"), number)) for number in range(6)} == set(permutations("abc"))


def test_both_bare_loops_write_the_entries_and_the_one_has_zeros_behind_them(tmp_path: Path) -> None:
    with _BareLoop(tmp_path / "bare") as bare, _BareLoopIntoZeros(tmp_path / "zeros") as into_zeros:
        for batch in BATCHES:
            bare.append(batch)
            into_zeros.append(batch)
    entries = b"".join(b"".join(batch) for batch in BATCHES)
    assert (tmp_path / "bare").read_bytes() == entries
    room_end = 400_000 + ROOM_BYTES
    assert (tmp_path / "zeros").read_bytes() == entries + bytes(room_end - len(entries))
