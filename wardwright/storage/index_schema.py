"""The tables of the index beside a log (`storage.index_file`), and the statements that are made of their columns."""

from wardwright.storage.sqlite_database import APPLICATION_ID, FACETS, facet_index

FORMAT = 2
TOOLS_SINCE = 2

TABLES = f"""
CREATE TABLE receipts (
    number INTEGER PRIMARY KEY,
    receipt_id TEXT NOT NULL,
    is_open INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    places BLOB NOT NULL,
    created_at INTEGER,
    simulation INTEGER,
    {", ".join(f"{name} TEXT" for name in FACETS)}
) STRICT;
CREATE TABLE segments (
    number INTEGER PRIMARY KEY,
    payloads INTEGER NOT NULL,
    held INTEGER NOT NULL
) STRICT;
CREATE TABLE state (
    home INTEGER NOT NULL,
    covered INTEGER NOT NULL,
    covered_id TEXT NOT NULL,
    covered_seq INTEGER NOT NULL,
    below TEXT NOT NULL,
    receipt_count INTEGER NOT NULL,
    open_count INTEGER NOT NULL,
    newest TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX receipts_by_id ON receipts (receipt_id);
PRAGMA application_id = {APPLICATION_ID};
"""
# What only queries need. To sort a million receipts once is a third of the work of keeping them sorted all the while.
INDEXES = (
    "CREATE INDEX open_receipts ON receipts (receipt_id) WHERE is_open",
    "CREATE INDEX receipts_by_time ON receipts (created_at)",
    "CREATE INDEX receipts_by_session ON receipts (session_id, model_id, receipt_id) WHERE session_id IS NOT NULL",
    *map(facet_index, FACETS),
    f"PRAGMA user_version = {FORMAT}",
)

_COLUMNS = ("receipt_id", "is_open", "last_seq", "places", "created_at", "simulation", *FACETS)
INSERT = f"INSERT INTO receipts ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - our own words
UPDATE = f"""
{INSERT} ON CONFLICT (receipt_id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])}
"""
KNOWN = "receipt_id, is_open, last_seq, places, model_id, session_id"
