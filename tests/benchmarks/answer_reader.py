"""Reads one HTTP answer as it arrives and checks that it is the answer that was expected. Bytes in, facts out, no I/O."""

import re

_HEAD_END = b"\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_EVENT = b"data: {"
_DONE = b"data: [DONE]\n\n"
_FINISHED = b'"finish_reason":"stop"'
_SHOWN_BYTES = 300


class BadAnswer(Exception):
    """The bytes are no HTTP answer this client can read."""


class AnswerReader:
    """One answer. `events` counts the JSON events of a stream so far."""

    def __init__(self) -> None:
        self.status = 0
        self.events = 0
        self.has_content = False
        self._is_chunked = False
        self._left = 0
        self._unread = b""
        self._content: list[bytes] = []
        self._tail = b""

    def feed(self, data: bytes) -> bool:
        """Take in what arrived; tell whether the answer is complete. Raises: BadAnswer."""
        if self._unread:
            data = self._unread + data
            self._unread = b""
        if not self.status:
            head_end = data.find(_HEAD_END)
            if head_end < 0:
                self._unread = data
                return False
            self._read_head(data[:head_end])
            data = data[head_end + len(_HEAD_END) :]
        return self._read_chunks(data) if self._is_chunked else self._read_plain(data)

    def problem(self, *, expected_events: int | None) -> str | None:
        """What is wrong with the complete answer. `expected_events` is None for an answer that is not streamed."""
        content = b"".join(self._content)
        if self.status != 200:
            return f"status {self.status}: {content[:_SHOWN_BYTES].decode(errors='replace')}"
        if expected_events is None:
            return None if _FINISHED in content else f"not a whole answer: {content[-_SHOWN_BYTES:]!r}"
        if not content.endswith(_DONE):
            return f"a stream without [DONE], ending in {content[-_SHOWN_BYTES:]!r}"
        return None if self.events == expected_events else f"{self.events} events instead of {expected_events}"

    def _read_head(self, head: bytes) -> None:
        status, length = _STATUS.match(head), _LENGTH.search(head)
        if status is None:
            raise BadAnswer(f"not an HTTP answer: {head[:_SHOWN_BYTES]!r}")
        self.status = int(status[1])
        self._is_chunked = _CHUNKED.search(head) is not None
        if length is None and not self._is_chunked:
            raise BadAnswer("an answer of unknown length")
        self._left = int(length[1]) if length else 0

    def _read_plain(self, data: bytes) -> bool:
        self._left -= len(data)
        if self._left < 0:
            raise BadAnswer("more bytes than were announced")
        self._take(data)
        return self._left == 0

    def _read_chunks(self, data: bytes) -> bool:
        """Take the whole chunks of HTTP's chunked coding; an unfinished one waits for the rest of it."""
        position = 0
        pieces = []
        is_complete = False
        while not is_complete and (line_end := data.find(b"\r\n", position)) >= 0:
            size = int(data[position:line_end], 16)
            begin, end = line_end + 2, line_end + 2 + size
            if len(data) < end + 2:
                break
            pieces.append(data[begin:end])
            position = end + 2
            is_complete = size == 0
        self._unread = data[position:]
        if is_complete and self._unread:
            raise BadAnswer("bytes behind the last chunk")
        self._take(b"".join(pieces))
        return is_complete

    def _take(self, content: bytes) -> None:
        if not content:
            return
        self.has_content = True
        self._content.append(content)
        seen = self._tail + content
        self.events += seen.count(_EVENT)
        self._tail = seen[-(len(_EVENT) - 1) :]
