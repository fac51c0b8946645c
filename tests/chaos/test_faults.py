"""A short form of `make chaos`: some operations of the file store's history on the disk fail, and some are the last ones."""

import errno
import shutil
from collections.abc import Iterator, Sequence

import pytest

from tests.chaos.disk import Fault, Operation
from tests.chaos.faults import die_everywhere, run, some_faults
from tests.chaos.verdict import Broken
from wardwright.domain.errors import StorageUnavailable
from wardwright.storage.files import write_all
from wardwright.storage.log import LogWriter

pytestmark = pytest.mark.usefixtures("quiet_faults")


@pytest.mark.slow
def test_an_operation_of_the_file_store_may_fail() -> None:
    assert "refused" in run("file", some_faults)


@pytest.mark.slow
def test_the_process_may_be_killed_and_power_may_fail_ahead_of_an_operation_of_the_file_store() -> None:
    assert "nothing acknowledged was lost" in die_everywhere("file", sample=True)


def test_a_store_that_does_not_sync_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LogWriter, "_is_sync_due", lambda self: False)
    with pytest.raises(Broken, match=r"a power failure ahead of operation .* were acknowledged") as broken:
        die_everywhere("file", sample=True)
    assert broken.value.kept is not None
    shutil.rmtree(broken.value.kept)


def half_writes(operations: Sequence[Operation]) -> Iterator[Fault]:
    for number, operation in enumerate(operations):
        if operation.is_write:
            yield Fault(number, errno.ENOSPC, half=True)


def go_on_behind_the_half(log: LogWriter, data: bytes) -> None:
    """Write as `LogWriter` does, but count what was written of a batch that failed as a part of the segment."""
    fd = log._descriptor()
    try:
        write_all(log._files, fd, data, log._end)
    except OSError as error:
        log._end += len(data) // 2
        raise StorageUnavailable(f"half of it was written: {error}") from error


def test_a_store_that_leaves_half_a_write_where_it_is_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LogWriter, "_write", go_on_behind_the_half)
    with pytest.raises(Broken, match="a half write, then ENOSPC") as broken:
        run("file", half_writes)
    assert broken.value.kept is not None
    shutil.rmtree(broken.value.kept)
