"""The control log on disk: what was acknowledged is there after a restart, what was torn is not, what is damaged is refused."""

from pathlib import Path

import pytest

from tests.wardwright.storage.faulty_files import NO_SPACE, FaultyFiles
from wardwright.domain.control import ControlEntry, KeyCreated, KeyRevoked
from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.control import ControlLog
from wardwright.storage.control import FileControlLog, MemoryControlLog, read_control
from wardwright.storage.frame import MAX_PAYLOAD

ENTRIES = [
    ControlEntry(1, 1.0, KeyCreated("key_1", "m", "first", "wwk_1", "hash")),
    ControlEntry(2, 2.0, KeyCreated("key_2", "m", "second", "wwk_2", "hash")),
    ControlEntry(3, 3.0, KeyRevoked("key_1")),
]
SEGMENT = "control-00000001.log"


@pytest.fixture(params=["file", "memory"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> ControlLog:
    return FileControlLog(tmp_path / "control") if request.param == "file" else MemoryControlLog()


def test_entries_come_back_in_order(log: ControlLog) -> None:
    assert log.entries() == []
    log.append(ENTRIES[:2])
    log.append(ENTRIES[2:])
    assert log.entries() == ENTRIES


def test_what_was_appended_is_there_after_a_restart(tmp_path: Path) -> None:
    first = FileControlLog(tmp_path)
    first.append(ENTRIES[:2])
    first.close()
    second = FileControlLog(tmp_path)
    second.append(ENTRIES[2:])
    assert second.entries() == read_control(tmp_path) == ENTRIES


def test_a_log_whose_last_write_was_torn_goes_on_after_the_last_whole_entry(tmp_path: Path) -> None:
    log = FileControlLog(tmp_path)
    log.append(ENTRIES[:1])
    whole = (tmp_path / SEGMENT).stat().st_size
    log.append(ENTRIES[1:2])
    log.close()
    content = (tmp_path / SEGMENT).read_bytes()
    for length in range(whole, len(content)):
        (tmp_path / SEGMENT).write_bytes(content[:length])
        recovered = FileControlLog(tmp_path)
        assert recovered.entries() == ENTRIES[:1]
        recovered.append(ENTRIES[1:])
        assert recovered.entries() == ENTRIES
        recovered.close()


def test_damage_is_refused(tmp_path: Path) -> None:
    log = FileControlLog(tmp_path)
    for entry in ENTRIES:
        log.append([entry])
    log.close()
    path = tmp_path / SEGMENT
    path.write_bytes(path.read_bytes().replace(b"first", b"thirs"))
    with pytest.raises(StorageUnavailable, match=r"control-00000001\.log is damaged"):
        FileControlLog(tmp_path)


def test_an_entry_of_a_later_version_is_refused_rather_than_passed_over(tmp_path: Path) -> None:
    log = FileControlLog(tmp_path)
    log._log.append([b'{"seq":1,"at":0.0,"event":{"type":"something.new"}}'])
    with pytest.raises(StorageUnavailable, match="this version cannot read"):
        log.entries()


def test_after_a_full_disk_the_log_is_as_before(tmp_path: Path) -> None:
    files = FaultyFiles()
    log = FileControlLog(tmp_path, files=files)
    log.append(ENTRIES[:1])
    files.fail("write", NO_SPACE, after=10)
    with pytest.raises(StorageUnavailable, match="No space left"):
        log.append(ENTRIES[1:])
    files.heal()
    assert log.entries() == ENTRIES[:1]
    log.append(ENTRIES[1:])
    assert log.entries() == ENTRIES


def test_an_entry_too_large_for_the_log_is_refused(tmp_path: Path) -> None:
    log = FileControlLog(tmp_path)
    with pytest.raises(StorageUnavailable, match="takes no such entry"):
        log.append([ControlEntry(1, 0.0, KeyCreated("k", "m", "x" * MAX_PAYLOAD, "", ""))])
    assert log.entries() == []


def test_a_closed_log_takes_no_more(tmp_path: Path) -> None:
    log = FileControlLog(tmp_path)
    log.close()
    log.close()
    with pytest.raises(StorageUnavailable, match="is closed"):
        log.append(ENTRIES)


def test_a_log_in_memory_refuses_a_writer_it_has_gone_on_without() -> None:
    log = MemoryControlLog()
    log.append(ENTRIES[:1])
    with pytest.raises(StorageUnavailable, match="gone on without"):
        log.append(ENTRIES[:1])


def test_where_there_is_no_log_yet_there_is_nothing_to_read(tmp_path: Path) -> None:
    assert read_control(tmp_path / "control") == []


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    FileControlLog(tmp_path / "control").append(ENTRIES)
    assert (tmp_path / "control").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "control" / SEGMENT).stat().st_mode & 0o777 == 0o600
