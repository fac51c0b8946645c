"""Newline-delimited JSON without I/O: bytes in, whole lines out.

Any chunking of the same bytes gives the same lines, and memory is bounded by `max_line_bytes`. What a line says is not looked at: white
space around a JSON text means nothing, so the carriage return of a CRLF may stay.
"""

from collections.abc import Iterator

from wardwright.wire.sse import EventTooLarge

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class LineParser:
    """An incremental parser of lines; blank ones are left out. A parser that has raised is of no further use.

    Args: max_line_bytes: the longest line, finished or not, that is held.
    """

    def __init__(self, max_line_bytes: int = 8 * 1024 * 1024) -> None:
        self._max_line_bytes = max_line_bytes
        self._line = bytearray()  # the unfinished last line of what was read
        self._at_start = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take what one read brought and yield the lines it completed, to be read before the next ones are asked for.

        Raises: EventTooLarge, after the lines that came before the one at fault.
        """
        *ends, unfinished = data.split(b"\n")
        for end in ends:
            line = bytes(self._line) + end
            self._line.clear()
            yield from self._whole(line)
        self._line += unfinished
        self._check_size(len(self._line))

    def close(self) -> Iterator[bytes]:
        """Yield the line that the end of the stream left without its line end, if any. It may have been cut."""
        line = bytes(self._line)
        self._line.clear()
        return self._whole(line)

    def _whole(self, line: bytes) -> Iterator[bytes]:
        self._check_size(len(line))
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if line and not line.isspace():
            yield line

    def _check_size(self, held: int) -> None:
        if held > self._max_line_bytes:
            raise EventTooLarge(f"a line is over {self._max_line_bytes} bytes")
