"""Plain HTTP/1.1: the requests that leave nothing to interpret, and how they are answered.

Nearly every request is of one kind: a head in a few short lines and a body whose length it names. Such a one needs no protocol engine.
`read_plain` knows it by a strict pattern and leaves everything else alone: chunked bodies, `Expect`, upgrades, HTTP/1.0 and 2, repeated
or folded headers, a head that comes in pieces, whatever is malformed. Those go to Hypercorn, whose h11 is also what this is measured
by: what is taken here h11 would take too, and read alike (`tests/wardwright/edge/test_plain.py`).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

Headers = Sequence[tuple[bytes, bytes]]

_TOKEN = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]"
_VALUE = rb"[\t\x20-\x7e\x80-\xff]"
_HEAD = re.compile(
    rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/[!-~]*+) HTTP/1\.1\r\n((?:"
    + _TOKEN
    + rb"++:"
    + _VALUE
    + rb"*+\r\n)++)\r\n"
)
_FIELD = re.compile(rb"(" + _TOKEN + rb"++):(" + _VALUE + rb"*+)\r\n")
_FIELDS = re.compile(rb"(?:" + _TOKEN + rb"++:" + _VALUE + rb"*+\r\n)*+")
_SPACE = b" \t"
_LONGEST_HEAD = 2**14
_LENGTH_DIGITS = 18
_NOT_PLAIN = frozenset({b"transfer-encoding", b"expect", b"upgrade"})
_BODILESS = frozenset({204, 304})


class PlainRequest(NamedTuple):
    """A request whose head stands in the first `end` bytes of what was read, and whose body is `length` bytes long."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    length: int
    end: int


def read_plain(data: bytes) -> PlainRequest | None:
    """The plain request that `data` begins with; None when whatever it begins with is not one. Purity: pure."""
    head = _HEAD.match(data, 0, _LONGEST_HEAD)
    if head is None:
        return None
    method, target, fields = head.groups()
    headers = [(name.lower(), value.strip(_SPACE)) for name, value in _FIELD.findall(fields)]
    by_name = dict(headers)
    length = by_name.get(b"content-length", b"0")
    if (
        len(by_name) < len(headers)
        or b"host" not in by_name
        or not _NOT_PLAIN.isdisjoint(by_name)
        or by_name.get(b"connection", b"keep-alive").lower() != b"keep-alive"
        or not length.isdigit()
        or len(length) > _LENGTH_DIGITS
    ):
        return None
    return PlainRequest(method.decode(), target, headers, int(length), head.end())


class PlainAnswer:
    """The bytes of one answer: it is as long as its headers say, or goes in chunks."""

    def __init__(self, method: str) -> None:
        self._is_suppressed = method == "HEAD"
        self._is_chunked = False
        self._left = 0

    def head(self, status: int, headers: Headers) -> bytes:
        """The answer's head.

        Raises: ValueError: it could be read as something else.
        """
        lines = [b"%b: %b\r\n" % (name, value) for name, value in headers]
        length = dict(headers).get(b"content-length")
        if status in _BODILESS:
            self._is_suppressed = True
        elif length is None:
            self._is_chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        if length is not None:
            self._left = _length(length)
        fields = b"".join(lines)
        if fields.count(b"\n") != len(lines) or not _FIELDS.fullmatch(fields):
            raise ValueError("an answer's headers would be read as others than they are")
        return b"HTTP/1.1 %d \r\n%b\r\n" % (status, fields)

    def body(self, data: bytes, *, is_last: bool) -> bytes:
        """More of the body.

        Raises: ValueError: the body is longer or shorter than its head says.
        """
        if self._is_suppressed:
            return b""
        if not self._is_chunked:
            self._left -= len(data)
            if self._left < 0 or (is_last and self._left):
                raise ValueError("an answer's body is not as long as its head says")
            return data
        chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return chunk + b"0\r\n\r\n" if is_last else chunk


def _length(value: bytes) -> int:
    if not value.isdigit():
        raise ValueError("an answer's content-length is no length")
    return int(value)
