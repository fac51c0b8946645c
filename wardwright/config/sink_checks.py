"""What must hold between the keys of `[[sinks]]`, and between its tables."""

from collections.abc import Iterator, Sequence

from wardwright.config.address import url_fault
from wardwright.config.examine import entry_paths
from wardwright.config.problems import Problem, below, repeated_ids
from wardwright.config.sinks import JsonlSinkSettings, OpenTelemetrySinkSettings, SinkSettings


def check_sinks(sinks: Sequence[SinkSettings]) -> Iterator[Problem]:
    """Check that no two sinks write to one file, and that ids are unique and addresses are some."""
    names = [sink.id for sink in sinks]
    yield from repeated_ids("sinks", names)
    files: dict[str, str] = {}
    for sink, path in zip(sinks, entry_paths("sinks", names), strict=True):
        if isinstance(sink, JsonlSinkSettings):
            first = files.setdefault(sink.path, path)
            if first != path:
                yield Problem(below(path, "path"), f"expected a file of its own, but {first} writes to it too")
        if isinstance(sink, OpenTelemetrySinkSettings):
            fault = url_fault(sink.url, "headers_env")
            if fault is not None:
                yield Problem(below(path, "url"), f"expected an http or https URL {fault}")
