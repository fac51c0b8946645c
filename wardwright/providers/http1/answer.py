"""The answers of one connection, from bytes to status, headers and body. No I/O and no clock.

httptools calls back for every header and every piece of a body. Two of these callbacks are C functions of a dict and a list, so
that a read which brings a hundred HTTP chunks costs as much Python as one that brings a single chunk.

If you touch this: however the bytes of an answer are cut into reads, the outcome must be the same.
"""

from collections.abc import Mapping

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

SILENT_BYTES = 64 * 1024
"""How many bytes may come that bring no body: the size of the largest head, chunk extension or trailer."""

_NOT_HTTP = "did not answer in HTTP/1.1"


class AnswerParser:
    """Parses answers one after the other: `begin` for each request, `feed` for each read, `end` when the peer has closed.

    `malformed` says what was wrong, and is final: nothing can be sent or understood any more. `may_follow` says whether another
    request may be sent once the answer is complete.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.has_head = False
        self.is_complete = True
        self.may_follow = True
        self.malformed: str | None = None
        self._ends_with_connection = False
        self._silence_left = SILENT_BYTES
        self._fields: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []
        # httptools looks callbacks up once, here; these containers are therefore emptied and never replaced.
        self.on_header = self._fields.__setitem__
        self.on_body = self._pieces.append
        self._parser = HttpResponseParser(self)

    def begin(self) -> None:
        """Expect the answer to a request that is about to be sent."""
        self.has_head = False
        self.is_complete = False
        self._silence_left = SILENT_BYTES
        self._fields.clear()

    def feed(self, data: bytes | memoryview) -> bytes:
        """The part of the body that came with a read, all of it in one piece; then look at the attributes for the rest."""
        if self.is_complete:
            self.malformed = "sent bytes that nobody had asked for"
            return b""
        had_head = self.has_head
        try:
            if self.has_head or len(data) <= self._silence_left:
                self._parser.feed_data(data)
            else:
                self._feed_around_limit(memoryview(data))
        except (HttpParserError, HttpParserUpgrade):
            self._note_fault()
        body = b"".join(self._pieces)
        self._pieces.clear()
        self._count(len(data), has_advanced=bool(body) or had_head != self.has_head)
        return body

    def end(self) -> None:
        """The peer has closed its side: that ends an answer which told no length of its own."""
        if self._ends_with_connection and self.has_head and self.malformed is None:
            self.is_complete = True
        self.may_follow = False

    def on_message_begin(self) -> None:
        """Called by httptools at the first byte of an answer."""
        if self.is_complete:
            raise ValueError("an answer nobody asked for")

    def on_headers_complete(self) -> None:
        """Called by httptools."""
        status = self._parser.get_status_code()
        if status < 200:
            self._fields.clear()  # an interim answer: the one that counts is still to come
            return
        self.status = status
        self.headers = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in self._fields.items()}
        self.may_follow = self._parser.should_keep_alive()
        coding = self.headers.get("transfer-encoding")
        if coding is not None and coding.strip().lower() != "chunked":
            raise ValueError("a transfer coding that was not asked for")
        self._ends_with_connection = coding is None and "content-length" not in self.headers
        self.has_head = True

    def on_message_complete(self) -> None:
        """Called by httptools after an answer's last byte, and after an interim answer."""
        if self.has_head:
            self.is_complete = True

    def _feed_around_limit(self, data: memoryview) -> None:
        """Have the head end within the limit to the byte, however much came with it."""
        self._parser.feed_data(data[: self._silence_left])
        if self.has_head:
            self._parser.feed_data(data[self._silence_left :])
        else:
            self.malformed = f"sent headers larger than {SILENT_BYTES} bytes"

    def _note_fault(self) -> None:
        self.may_follow = False
        if not self.is_complete:  # after its end, what is at fault is no part of the answer
            self.malformed = _NOT_HTTP

    def _count(self, size: int, *, has_advanced: bool) -> None:
        """Bound what httptools gathers unseen: a header of a head or trailer that never ends."""
        if has_advanced:
            self._silence_left = SILENT_BYTES
        elif not self.is_complete:
            self._silence_left -= size
            if self._silence_left < 0 and self.malformed is None:
                self.malformed = f"sent more than {SILENT_BYTES} bytes without any part of the answer"
