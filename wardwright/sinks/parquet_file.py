"""Parquet files of receipts, written and read by DuckDB: a row each, in the columns of `receipts.columns`.

A file is there whole or not at all: rows go to a spool beside it first, from there into a draft, and the draft takes the file's name.
Memory does not grow with the number of rows. DuckDB is told to fetch nothing from anywhere.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from wardwright.domain.errors import WardwrightError
from wardwright.receipts.columns import COLUMNS, ColumnType, row_of
from wardwright.receipts.receipt import Receipt

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ENGINE: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": "128MB",
    "temp_directory": "",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
_TYPES: Mapping[ColumnType, str] = {
    "text": "VARCHAR",
    "texts": "VARCHAR[]",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "flag": "BOOLEAN",
    "time": "TIMESTAMPTZ",
    "json": "JSON",
}
_TYPED = "{" + ", ".join(f"{column.name}: '{_TYPES[column.type]}'" for column in COLUMNS) + "}"
_SPOOLED = f"SELECT * FROM read_json($spool, format='newline_delimited', columns={_TYPED})"  # noqa: S608
_BEFORE = "SELECT * FROM read_parquet($onto, union_by_name=true) UNION ALL BY NAME "
_INTO_DRAFT = "TO $draft (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20000)"


class ParquetFailed(WardwrightError):
    """A Parquet file could not be written or read, or the library for it is missing; the message says why."""


def write_parquet(receipts: Iterable[Receipt], path: Path, onto: Sequence[Path] = ()) -> int:
    """Replace a file by one with the rows of `onto`, and behind them these receipts in their order; returns how many receipts.

    `path` may be one of `onto`.

    Raises: ParquetFailed; then the old one holds.
    """
    spool, draft = path.with_name(f".{path.name}.rows"), path.with_name(f".{path.name}.new")
    with _engine(f"write {path}") as database, _swept(spool, draft):
        count = _spool(receipts, spool)
        values: dict[str, object] = {"spool": str(spool), "draft": str(draft)}
        if onto:
            values["onto"] = [str(one) for one in onto]
        database.execute(f"COPY ({_BEFORE if onto else ''}{_SPOOLED}) {_INTO_DRAFT}", values)
        _put_in_place(draft, path)
    return count


def receipt_ids(path: Path) -> frozenset[str]:
    """The receipts that a file holds. Raises: ParquetFailed."""
    with _engine(f"read {path}") as database:
        rows = database.execute("SELECT receipt_id FROM read_parquet($path)", {"path": str(path)}).fetchall()
    return frozenset(row[0] for row in rows)


def row_count(path: Path) -> int:
    """How many receipts a file holds, by its footer. Raises: ParquetFailed."""
    with _engine(f"read {path}") as database:
        rows = database.execute("SELECT num_rows FROM parquet_file_metadata($path)", {"path": str(path)}).fetchall()
    return int(rows[0][0])


def require_duckdb() -> None:
    """Raises: ParquetFailed when the library is missing."""
    with _engine("be used"):
        pass


@contextlib.contextmanager
def _engine(purpose: str) -> Iterator["DuckDBPyConnection"]:
    """A DuckDB of its own. What fails within, of it or of the disk, becomes a ParquetFailed."""
    try:
        import duckdb  # noqa: PLC0415 - optional, and 0.1 s for those who use it
    except ImportError as error:
        raise ParquetFailed(
            "Parquet needs DuckDB, which is not installed: pip install 'wardwright[parquet]'"
        ) from error
    try:
        with contextlib.closing(duckdb.connect(":memory:", config=_ENGINE)) as database:
            yield database
    except (duckdb.Error, OSError) as error:
        raise ParquetFailed(f"Parquet cannot {purpose}: {error}") from error


def _spool(receipts: Iterable[Receipt], spool: Path) -> int:
    encoder, count = msgspec.json.Encoder(), 0
    with spool.open("wb") as lines:
        for receipt in receipts:
            lines.write(encoder.encode(row_of(receipt)) + b"\n")
            count += 1
    return count


def _put_in_place(draft: Path, path: Path) -> None:
    """Give the draft the file's name, durably."""
    _sync(draft)
    draft.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _swept(*leftovers: Path) -> Iterator[None]:
    try:
        yield
    finally:
        for leftover in leftovers:
            leftover.unlink(missing_ok=True)
