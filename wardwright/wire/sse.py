"""Server-sent events without I/O: bytes in, whole events out; and the few bytes the gateway itself writes.

Rules:

- Any chunking of the same bytes gives the same events. A lone CR at the end of a read ends its line at once; the LF that may
  follow in the next read is then swallowed, so no event waits for bytes that need not come.
- Memory is bounded by `max_event_bytes`, whatever arrives.
- A plain data event comes out as its bytes alone; only an event with a name is wrapped in `SseEvent`. `id` and `retry` serve
  reconnecting browsers and are dropped.
"""

from collections.abc import Iterable, Iterator

import msgspec

DONE_PAYLOAD = b"[DONE]"
DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventTooLarge(ValueError):
    """An event is longer than the parser may hold."""


class SseEvent(msgspec.Struct, frozen=True):
    """An event that carries a name beside its data."""

    event: str
    data: bytes


class SseParser:
    """An incremental parser of one event stream. A parser that has raised is of no further use.

    Args: max_event_bytes: the longest event, or unfinished line, that is held.
    """

    def __init__(self, max_event_bytes: int = 8 * 1024 * 1024) -> None:
        self._max_event_bytes = max_event_bytes
        self._line = bytearray()  # the unfinished last line of what was read
        self._data: bytearray | None = None  # the data lines of the event being read; None before the first
        self._name = ""
        self._swallow_lf = False
        self._at_start = True
        self._between_events = True

    def feed(self, data: bytes) -> Iterable[bytes | SseEvent]:
        """Take what one read brought and return the events it completed, to be read before the next ones are asked for.

        Raises: EventTooLarge, while being read: after the events that came before the one at fault.
        """
        if self._between_events and data.endswith(b"\n\n"):
            plain = self._whole_plain_events(data)
            if plain is not None:
                self._at_start = False
                return plain
        return self._parse(data)

    def close(self) -> Iterator[bytes | SseEvent]:
        """Yield the event that the end of the stream left without its blank line, if any.

        Its last line may have been cut: data that cannot be read here means a broken stream rather than a bad sender.
        """
        if self._line:
            self._take_line(bytes(self._line))
            self._line.clear()
        if self._data is not None:
            yield self._finish_event()

    def _whole_plain_events(self, data: bytes) -> list[bytes | SseEvent] | None:
        """Split a read of nothing but whole one-line data events, the usual case; None when it is anything else."""
        if len(data) > self._max_event_bytes or b"\r" in data:
            return None
        events: list[bytes | SseEvent] = []
        for event in data[:-2].split(b"\n\n"):
            if b"\n" in event or not event.startswith(b"data: "):
                return None
            events.append(event[6:])
        return events

    def _parse(self, data: bytes) -> Iterator[bytes | SseEvent]:
        yield from self._parse_lines(data)
        self._between_events = self._data is None and not (self._line or self._name or self._swallow_lf)

    def _parse_lines(self, data: bytes) -> Iterator[bytes | SseEvent]:
        if self._swallow_lf and data:
            self._swallow_lf = False
            data = data.removeprefix(b"\n")
        if b"\n" not in data and b"\r" not in data:
            self._line += data
            self._check_size(len(self._line))
            return
        if self._line:
            data = bytes(self._line) + data
            self._line.clear()
        lines = data.splitlines()
        if data.endswith(b"\r"):
            self._swallow_lf = True
        elif not data.endswith(b"\n"):
            self._line += lines.pop()
        for line in lines:
            if line:
                self._take_line(line)
                continue
            self._at_start = False
            if self._data is not None:
                yield self._finish_event()
            self._name = ""
        self._check_size(len(self._line))

    def _take_line(self, line: bytes) -> None:
        """Add one line that is not blank to the event being read."""
        self._check_size(len(line))
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BYTE_ORDER_MARK)
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            if self._data is None:
                self._data = bytearray(value)
            else:
                self._data += b"\n"
                self._data += value
        elif field == b"event":
            self._name = value.decode(errors="replace")

    def _check_size(self, incoming: int) -> None:
        held = incoming if self._data is None else incoming + len(self._data)
        if held > self._max_event_bytes:
            raise EventTooLarge(f"an event is over {self._max_event_bytes} bytes")

    def _finish_event(self) -> bytes | SseEvent:
        data = bytes(self._data or b"")
        self._data = None
        return SseEvent(self._name, data) if self._name else data


def render_event(payload: bytes) -> bytes:
    """Render one unnamed event; a payload of several lines becomes several data lines."""
    if b"\n" in payload or b"\r" in payload:
        payload = b"\ndata: ".join(payload.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"))
    return b"data: " + payload + b"\n\n"


def render_named_event(payload: bytes, *, name: str, id: str | None) -> bytes:
    """Render an event with its name; whoever reconnects tells the last `id` that it was given. Neither has a line break in it."""
    place = "" if id is None else f"id: {id}\n"
    return f"{place}event: {name}\n".encode() + render_event(payload)


def render_opening(retry_ms: int, id: str | None) -> bytes:
    """Render what opens a stream that can be resumed, no event in itself: when to reconnect, and the place where it begins."""
    place = "" if id is None else f"id: {id}\n"
    return f"retry: {retry_ms}\n{place}\n".encode()
