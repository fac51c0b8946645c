"""The forms of export that take an adapter, for commands: they know no adapters themselves."""

from wardwright.sinks.parquet_file import write_parquet

__all__ = ["write_parquet"]
