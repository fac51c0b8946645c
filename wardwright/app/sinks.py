"""The sinks that a configuration names: the one place that knows every kind."""

from pathlib import Path

from wardwright.config.sinks import JsonlSinkSettings, SinkBase
from wardwright.domain.errors import WardwrightError
from wardwright.ports.sink import Sink


class MissingLibrary(WardwrightError):
    """A kind of sink needs a library that is not installed."""

    code = "cannot_start"


def sink_of(settings: SinkBase) -> Sink:
    """Make the sink; nothing is touched yet.

    Raises: MissingLibrary, with what to install.
    """
    match settings:
        case JsonlSinkSettings():
            from wardwright.sinks.jsonl import JsonlSink

            return JsonlSink(Path(settings.path), unit=settings.unit, rotate_bytes=settings.rotate_bytes)
        case _:
            raise TypeError(f"there is no adapter for a sink of type {type(settings).__name__}")
