"""Files of JSON lines keep the sink contract, whole receipts and single events alike, also where they are put aside all the time."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from wardwright.domain.sink import Unit
from wardwright.sinks.jsonl import JsonlSink
from wardwright.testing.sink_suite import *


class FileBench:
    """A file in a folder that can be taken away."""

    secrets: tuple[str, ...] = ()

    def __init__(self, folder: Path, unit: Unit, rotate_bytes: int | None) -> None:
        self._folder = folder / "sink"
        self._unit: Unit = unit
        self._rotate_bytes = rotate_bytes

    def make(self) -> JsonlSink:
        return JsonlSink(self._folder / "out.jsonl", unit=self._unit, rotate_bytes=self._rotate_bytes)

    def arrived(self) -> list[Arrived]:
        files = sorted(self._folder.glob("out.jsonl.*")) + list(self._folder.glob("out.jsonl"))
        return [self._arrived(line) for file in files for line in file.read_bytes().splitlines()]

    def break_down(self) -> None:
        if self._folder.exists():
            self._folder.rename(self._folder.with_name("away"))
        self._folder.write_text("a file where a folder should be")

    def mend(self) -> None:
        self._folder.unlink()
        away = self._folder.with_name("away")
        if away.exists():
            away.rename(self._folder)

    def refused(self, record: Record) -> Record | None:
        return None

    def _arrived(self, line: bytes) -> Arrived:
        found: dict[str, Any] = msgspec.json.decode(line)
        key = f"{found['receipt_id']}:{found['seq']}" if self._unit == "events" else str(found["receipt_id"])
        return Arrived(key, line)


@pytest.fixture(params=[("receipts", None), ("events", None), ("events", 4096)], ids=["receipts", "events", "rotating"])
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> SinkBench:
    return FileBench(tmp_path, *request.param)
