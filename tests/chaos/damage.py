"""Every bit of what a file store keeps is flipped once, and every file is cut off at every byte.

What is found then is a true beginning of what was there, or it is refused and the message names the file and the place. It is never
anything else, and never has a gap.
"""

import random
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.chaos.history import record
from tests.chaos.verdict import Broken, Progress, working_folder
from wardwright.domain.control import ControlEntry, KeyRevoked
from wardwright.domain.errors import StorageUnavailable
from wardwright.storage.files import FileOps
from wardwright.storage.folder import FileStorage
from wardwright.storage.log_folder import LogFolder
from wardwright.storage.rewrite import pack_segment
from wardwright.testing.sample_receipts import receipt_id

_SEGMENT_BYTES = 2500
_RECEIPTS = 6
_MARK, _CURSOR = "sink.cursor", b"17"
_PLACE = re.compile(r"at offset (\d+)")


class Harm(NamedTuple):
    """What is done to a file: a bit is flipped, or everything from a byte on is cut off."""

    path: Path
    byte: int
    bit: int | None

    def to(self, content: bytes) -> bytes:
        """The file's content afterwards."""
        if self.bit is None:
            return content[: self.byte]
        changed = bytearray(content)
        changed[self.byte] ^= 1 << self.bit
        return bytes(changed)

    def __str__(self) -> str:
        return (
            f"{self.path} cut off at byte {self.byte}"
            if self.bit is None
            else f"bit {self.bit} of byte {self.byte} of {self.path}"
        )


class Sample:
    """A small store with a bit of everything, closed; its files by their path below the folder, and what they say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        storage = FileStorage(folder, segment_bytes=_SEGMENT_BYTES)
        store, control = storage.open(), storage.open_control()
        for number in range(_RECEIPTS):
            store.append(record(number))
        store.forget(receipt_id(1))
        store.set_mark(_MARK, _CURSOR)
        for number in (1, 2):
            control.append([ControlEntry(number, 1.0, KeyRevoked(f"key_{number}"))])
        control.close()
        store.close()
        log = LogFolder(storage.receipts)
        pack_segment(log, log.numbers()[0], FileOps())
        self.last = log.segment(log.numbers()[-1]).relative_to(folder)
        self.last_control = LogFolder(storage.control, "control").segment(1).relative_to(folder)
        self.files = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        opened = storage.open()
        self.truth = [stored.payload for stored in opened.replay()]
        opened.close()
        self.decided = list(storage.read_control())

    def lay_out(self) -> None:
        """Make the folder what it was."""
        shutil.rmtree(self.folder)
        for path, content in self.files.items():
            self.folder.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
            self.folder.joinpath(path).write_bytes(content)


def every_harm(files: dict[Path, bytes]) -> Iterator[Harm]:
    """Each bit of each file, and each length."""
    for path, content in files.items():
        for byte in range(len(content)):
            yield Harm(path, byte, None)
            yield from (Harm(path, byte, bit) for bit in range(8))


def run(*, only: str = "", seed: int = 0, sample_size: int | None = None) -> str:
    """Do every harm, or so many of them, and look what is found. `only` is a word in the names of the files. Raises: Broken."""
    outcomes = {"refused": 0, "a true beginning": 0, "all there": 0}
    with working_folder(in_memory=True) as folder:
        sample = Sample(folder / "data")
        chosen = list(every_harm({path: content for path, content in sample.files.items() if only in str(path)}))
        if sample_size is not None:
            chosen = random.Random(seed).sample(chosen, sample_size)
        progress = Progress("harms", len(chosen))
        for number, harm in enumerate(chosen):
            sample.lay_out()
            sample.folder.joinpath(harm.path).write_bytes(harm.to(sample.files[harm.path]))
            try:
                outcomes[_judge(sample, harm)] += 1
            except Broken as broken:
                raise Broken(f"{harm}: {broken}") from broken
            progress.at(number)
    size = sum(map(len, sample.files.values()))
    told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
    return f"file: {len(chosen)} harms to {len(sample.files)} files of {size} bytes in all: {told}"


def _judge(sample: Sample, harm: Harm) -> str:
    storage = FileStorage(sample.folder, segment_bytes=_SEGMENT_BYTES)
    try:
        store = storage.open()
        try:
            found, mark = [stored.payload for stored in store.replay()], store.mark(_MARK)
            shown = [payload for each in store.newest() for payload in store.payloads(each[0].receipt_id)]
            decided = storage.read_control()
        finally:
            store.close()
    except StorageUnavailable as refused:
        _check_refusal(sample, harm, refused.message)
        return "refused"
    if sorted(shown) != sorted(found):
        raise Broken("what is shown one by one is not what is told in a row")
    if mark != _CURSOR:
        raise Broken(f"the mark reads {mark!r}")
    losses = [_loss(sample.truth, found), _loss(sample.decided, decided)]
    if any(losses) and harm.path not in (sample.last, sample.last_control):
        raise Broken("entries are gone that later ones prove to have been on disk")
    if harm.path == sample.last and losses[0] > _entries_behind(sample, harm):
        raise Broken("entries are gone that stand before the damage")
    return "a true beginning" if any(losses) else "all there"


def _loss(truth: Sequence[object], found: Sequence[object]) -> int:
    """How many are missing at the end. Raises: Broken when anything else differs."""
    if list(found) != list(truth[: len(found)]):
        raise Broken("what is found is no beginning of what was there")
    return len(truth) - len(found)


def _entries_behind(sample: Sample, harm: Harm) -> int:
    """How many entries end behind the place of the harm."""
    return sample.files[harm.path][harm.byte :].count(b"\n")


def _check_refusal(sample: Sample, harm: Harm, message: str) -> None:
    """It names the file; for a log, with the place, which is where the line or the block begins that was harmed."""
    if str(sample.folder / harm.path) not in message:
        raise Broken(f"refused without naming the file: {message}")
    place = _PLACE.search(message)
    if harm.path.suffix == ".gz" and (place is None or int(place[1]) > harm.byte):
        raise Broken(f"refused without naming the place: {message}")
    line = sample.files[harm.path].rfind(b"\n", 0, harm.byte) + 1
    if harm.path.suffix == ".log" and (place is None or int(place[1]) != line):
        raise Broken(f"refused without naming offset {line}: {message}")
