"""The sink `parquet`: receipts as rows of Parquet files in a folder, each file named by the first and the last position in it.

A row stands in one file only, whatever is sent again: what a file that covers a record's position already holds is left out. Batches are
small where little happens, and small files are slow to read, so a batch is written together with the newest files that are no larger than
it: as in a counter of binary digits there are few files, and a row is written anew a few times. A file that has grown to `rows_per_file` stays
as it is.

Files appear whole, under their names, on disk. They may be taken away at any time.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import duckdb  # noqa: F401 - what is missing is told when the sink is made
import msgspec

from wardwright.domain.sink import Unit
from wardwright.ports.sink import Record, SinkRefused, SinkUnavailable
from wardwright.receipts.receipt import Receipt
from wardwright.sinks.parquet_file import ParquetFailed, receipt_ids, row_count, write_parquet

_NAME = re.compile(r"receipts-(\d{20})-(\d{20})\.parquet")
_LEFTOVERS = (".receipts-*.rows", ".receipts-*.new")

_decode_receipt = msgspec.json.Decoder(Receipt).decode


class _File(NamedTuple):
    """A file of the folder: the positions of its last row and its first."""

    last: int
    first: int
    path: Path

    def covers(self, position: int) -> bool:
        """Whether a receipt of that position may be in it."""
        return self.first <= position <= self.last


class ParquetSink:
    """A folder of Parquet files."""

    kind = "parquet"
    unit: Unit = "receipts"

    def __init__(self, folder: Path, *, rows_per_file: int) -> None:
        self._folder = folder
        self._rows_per_file = rows_per_file

    @property
    def where(self) -> str:
        """The folder."""
        return str(self._folder)

    def open(self) -> None:
        """Make the folder where there is none, and clear away what a crash left behind. Raises: SinkUnavailable."""
        with self._faults():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for pattern in _LEFTOVERS:
                for leftover in self._folder.glob(pattern):
                    leftover.unlink()
            self._remove_merged()

    def deliver(self, records: Sequence[Record]) -> None:
        """Write the receipts that no file holds yet. Raises: SinkUnavailable, SinkRefused."""
        reasons: dict[str, str] = {}
        receipts: list[tuple[int, Receipt]] = []
        for record in records:
            try:
                receipts.append((record.position, _decode_receipt(record.body)))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                reasons[record.key] = "is no receipt that this version of Wardwright can read"
        with self._faults():
            self._write(self._new(receipts))
        if reasons:
            raise SinkRefused(reasons)

    def close(self) -> None:
        """Nothing is held."""

    def _new(self, receipts: Sequence[tuple[int, Receipt]]) -> list[tuple[int, Receipt]]:
        """Those that no file holds."""
        covering = [file for file in self._files() if any(file.covers(position) for position, _ in receipts)]
        held = frozenset[str]().union(*(receipt_ids(file.path) for file in covering))
        return [(position, receipt) for position, receipt in receipts if receipt.receipt_id not in held]

    def _write(self, receipts: Sequence[tuple[int, Receipt]]) -> None:
        if not receipts:
            return
        (first, _), (last, _) = receipts[0], receipts[-1]
        smaller = self._to_merge(first, len(receipts))
        first = smaller[0].first if smaller else first
        path = self._folder / f"receipts-{first:020d}-{last:020d}.parquet"
        write_parquet((receipt for _, receipt in receipts), path, onto=[file.path for file in smaller])
        for file in smaller:
            file.path.unlink()

    def _to_merge(self, first: int, count: int) -> list[_File]:
        """The newest files before a position that are no larger than what is to be written with them, oldest first."""
        found: list[_File] = []
        for file in reversed([file for file in self._files() if file.last < first]):
            rows = row_count(file.path)
            if rows > count or rows + count > self._rows_per_file:
                break
            found.insert(0, file)
            count += rows
        return found

    def _remove_merged(self) -> None:
        """Remove files whose rows are all in a larger one too: a crash came before they were removed."""
        outer: _File | None = None
        for file in sorted(self._files(), key=lambda file: (file.first, -file.last)):
            if outer is None or not outer.covers(file.last):
                outer = file
            elif receipt_ids(file.path) <= receipt_ids(outer.path):
                file.path.unlink()

    def _files(self) -> list[_File]:
        """The files of the folder by their last positions, whoever put or left them there."""
        named = ((path, _NAME.fullmatch(path.name)) for path in self._folder.iterdir())
        return sorted(_File(int(found[2]), int(found[1]), path) for path, found in named if found)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except ParquetFailed as error:
            raise SinkUnavailable(error.message) from error
        except OSError as error:
            raise SinkUnavailable(f"cannot write to {self._folder}: {error.strerror or error}") from error
