"""Every single operation on the disk fails once, in every way it can; the store refuses, recovers, and has lost nothing.

A first run counts the operations of the history, and each of the following runs has one of them fail. A step that is refused must say
so as `StorageUnavailable`; then everything acknowledged is there, for the process and for whoever comes after its death; and when
the fault has gone the same step succeeds, in the same process.
"""

import errno
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import apsw

from tests.chaos.disk import Disk, Fault, Operation
from tests.chaos.history import HISTORY, LATER, At, Life, Step
from tests.chaos.verdict import Broken, Progress, working_folder
from wardwright.domain.errors import StorageUnavailable
from wardwright.storage.folder import FileStorage
from wardwright.storage.sqlite import SqliteStorage

_SEGMENT_BYTES = 1200
_TAIL_ENTRIES = 5
_SHARE, _SQLITE_SHARE = 3, 48  # every so manyth operation where not all can be tried; SQLite's are many, and much alike

PROVIDERS: dict[str, At] = {
    "file": lambda place: FileStorage(place, segment_bytes=_SEGMENT_BYTES, tail_entries=_TAIL_ENTRIES),
    "sqlite": SqliteStorage,
}


def run(provider: str, faults_of: Callable[[Sequence[Operation]], Iterator[Fault]]) -> str:
    """Play the history once for each fault; tell what came of it. Raises: Broken."""
    at = PROVIDERS[provider]
    with working_folder(in_memory=True) as folder:
        operations = undisturbed(at, folder / "undisturbed")
        faults = list(faults_of(operations))
        progress, outcomes = Progress("faults", len(faults)), Counter[str]()
        for number, fault in enumerate(faults):
            try:
                outcomes[play(at, folder / str(number), fault)] += 1
            except Broken as broken:
                raise Broken(f"{provider}: {fault} at {fault.at} ({operations[fault.at]}): {broken}") from broken
            progress.at(number)
    told = ", ".join(f"{times} {outcome}" for outcome, times in sorted(outcomes.items()))
    return f"{provider}: {len(operations)} operations, {len(faults)} faults: {told}"


def every_fault(operations: Sequence[Operation]) -> Iterator[Fault]:
    """Each operation fails with each error, for once and from there on; a write is cut off in the middle as well."""
    for number, operation in enumerate(operations):
        for error in (errno.ENOSPC, errno.EIO):
            yield Fault(number, error)
            if operation.is_write:
                yield Fault(number, error, half=True)
        yield Fault(number, errno.ENOSPC, lasting=True)


def some_faults(operations: Sequence[Operation]) -> Iterator[Fault]:
    """Some of the operations fail, each in one way, in all ways by turns."""
    ways: dict[bool, list[tuple[int, bool, bool]]] = {
        False: [(errno.EIO, False, False), (errno.ENOSPC, False, True)],
        True: [(errno.ENOSPC, True, False), (errno.EIO, False, False), (errno.ENOSPC, False, True)],
    }
    turns = Counter[bool]()
    for number, operation in enumerate(operations):
        if number % _share_of(operation):
            continue
        kinds = ways[operation.is_write]
        yield Fault(number, *kinds[turns[operation.is_write] % len(kinds)])
        turns[operation.is_write] += 1


def _share_of(operation: Operation) -> int:
    return _SQLITE_SHARE if operation.is_of_sqlite else _SHARE


def undisturbed(at: At, place: Path) -> list[Operation]:
    """The operations of the history when nothing fails."""
    disk = Disk(place)
    with disk.watched():
        life = Life(at, place)
        for step in HISTORY:
            step(life)
        done = list(disk.done)
        life.check_alike()
        life.close()
    return done


def play(at: At, place: Path, fault: Fault) -> str:
    """Play the history with a fault in it; tell whether anything was refused for it. Raises: Broken."""
    disk, refusals = Disk(place, fault), 0
    with disk.watched():
        life = Life(at, place)
        for step in HISTORY:
            while not _is_taken(step, life, disk):
                refusals += 1
                _look_around(life, disk, step, place.with_name(f"{place.name}-left-{refusals}"))
                disk.heal()
                if fault.lasting and life.is_open:
                    life.append(*LATER)
        disk.heal()
        life.check_alike()
        life.close()
    return "refused" if refusals else "not noticed"


def die_everywhere(provider: str, *, sample: bool = False) -> str:
    """Play the history, and have the process killed and the power fail ahead of every operation, or of some. Raises: Broken."""
    at, heirs = PROVIDERS[provider], list[tuple[str, Step, Life]]()
    with working_folder(in_memory=True) as folder:

        def note_heirs(operation: Operation) -> None:
            if sample and len(disk.done) % _share_of(operation):
                return
            killed = life.left_by_a_death(folder / f"killed-{len(heirs)}")
            dark = life.going_on_at(folder / f"dark-{len(heirs)}")
            disk.left_by_a_power_failure(dark.place)
            where = f"ahead of operation {len(disk.done)} ({operation})"
            heirs.extend([(f"kill -9 {where}", step, killed), (f"a power failure {where}", step, dark)])

        disk = Disk(folder / "life", before=note_heirs)
        life = Life(at, folder / "life")
        with disk.watched():
            for step in HISTORY:
                step(life)
            life.close()
        for death, step, heir in heirs:
            try:
                _go_on(heir, step)
            except (Broken, StorageUnavailable) as broken:
                raise Broken(f"{provider}: {death}: {broken}") from broken
    return f"{provider}: {len(heirs)} deaths, one half of them by power failure: nothing acknowledged was lost"


def _is_taken(step: Step, life: Life, disk: Disk) -> bool:
    """Take a step; tell whether that succeeded. Raises: Broken when it was refused for no reason."""
    try:
        step(life)
    except StorageUnavailable as refused:
        if not disk.has_failed:
            raise Broken(f"refused, though nothing is wrong with the disk: {refused.message}") from refused
        return False
    return True


def _look_around(life: Life, disk: Disk, step: Step, left: Path) -> None:
    """What holds when a step was just refused: here, for readiness, and for whoever comes after a death at this moment."""
    if life.is_open and disk.is_failing and life.is_writable():
        raise Broken("nothing can be written, and the store says that it can")
    life.check_acknowledged()
    _go_on(life.left_by_a_death(left), step)


def _go_on(heir: Life, step: Step) -> None:
    """Whoever comes after a death finds what was acknowledged, and what was under way then can be done again."""
    _keep_index(heir.place)
    heir.open()
    heir.check_acknowledged()
    heir.take_over()
    step(heir)
    heir.open()
    heir.check_alike()
    heir.close()


def _keep_index(place: Path) -> None:
    """Let a file store take the index in this folder for its own: it makes another where it finds itself copied, and a death copies nothing."""
    index = place / "receipts" / "index" / "receipts.db"
    if index.exists():
        with (
            closing(apsw.Connection(str(index))) as connection,
            suppress(apsw.Error),
        ):  # one that is not whole stays as it is
            connection.execute("UPDATE state SET home = ?", (index.stat().st_ino,))
