"""The storage that a configuration names."""

from pathlib import Path

import pytest

from tests.wardwright.app.configs import CANNED, loaded
from tests.wardwright.receipts.receipt_samples import fallback_story, sealed
from wardwright.app.storage import storage_of
from wardwright.domain.errors import StorageUnavailable


def test_the_log_can_be_read_beside_a_daemon_that_writes_to_it(tmp_path: Path) -> None:
    storage = storage_of(loaded(tmp_path).settings)
    assert storage.where == str(tmp_path / "data" / "receipts")
    writer = storage.open()
    writer.append(sealed(fallback_story(), receipt_id="rcpt_1"))
    reader = storage.read()
    assert len(reader.entries("rcpt_1")) == 6
    writer.append(sealed(fallback_story(), receipt_id="rcpt_2"))
    assert len(reader.entries("rcpt_2")) == 6
    reader.close()
    writer.close()


def test_without_a_log_there_is_nothing_to_read(tmp_path: Path) -> None:
    storage = storage_of(loaded(tmp_path).settings)
    assert storage.is_new()
    with pytest.raises(StorageUnavailable):
        storage.read()


def test_receipts_in_memory_are_those_of_their_daemon_alone(tmp_path: Path) -> None:
    settings = loaded(tmp_path, CANNED + '[storage]\nkind = "memory"\n').settings
    storage = storage_of(settings)
    storage.open().append(sealed(fallback_story()))
    assert len(list(storage.read().newest())) == 1
    assert list(storage_of(settings).read().newest()) == []
