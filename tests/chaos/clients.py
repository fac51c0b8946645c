"""Clients that keep asking a daemon until it is gone, and what they saw: whole answers, streams, and some that leave early."""

import http.client
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.chaos.verdict import Broken

_PATIENCE_S = 60.0
_DONE = b"data: [DONE]"


class Kind(NamedTuple):
    """A sort of client: which model it asks, whether for a stream, and whether it leaves after the first word."""

    name: str
    model: str
    streams: bool = False
    leaves: bool = False


KINDS = (
    Kind("quick-1", "quick"),
    Kind("quick-2", "quick"),
    Kind("quick-stream", "quick", streams=True),
    Kind("slow", "paced"),
    Kind("stream-1", "paced", streams=True),
    Kind("stream-2", "paced", streams=True),
    Kind("leaver", "paced", streams=True, leaves=True),
)
"""One client of each, and one session for each client."""


@dataclass
class Asked:
    """One request. `receipt_id` is empty until its answer has begun; `is_whole` once the last byte was seen."""

    receipt_id: str = ""
    is_whole: bool = False


class Crowd:
    """All clients of one daemon. `asked` grows by one per request."""

    def __init__(self, url: str) -> None:
        self.asked: list[Asked] = []
        self.is_over = False
        address = urlsplit(url)
        self._address = str(address.hostname), address.port
        self._changed = threading.Condition()
        self._problem = ""

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Have every client ask. Whoever leaves the block has put an end to the daemon, and has said so by `is_over` before."""
        with ThreadPoolExecutor(len(KINDS)) as pool:
            for kind in KINDS:
                pool.submit(self._ask_until_over, kind)
            yield
        if self._problem:
            raise Broken(f"a client was told, with the daemon alive: {self._problem}")

    def wait_for_answers(self, count: int) -> None:
        """Wait until so many answers were seen whole. Raises: Broken when they do not come."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._problem) or self._answers() >= count, _PATIENCE_S)
            if not self._problem and self._answers() < count:
                raise Broken(f"{count} answers did not come within {_PATIENCE_S:g} s")

    def _answers(self) -> int:
        return sum(one.is_whole for one in self.asked)

    def _ask_until_over(self, kind: Kind) -> None:
        connection = http.client.HTTPConnection(*self._address, timeout=_PATIENCE_S)
        try:
            while not self.is_over:
                self._ask(connection, kind)
        except (OSError, http.client.HTTPException) as error:
            if not self.is_over:
                self._note(f"{kind.name}: {error!r}")
        finally:
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection, kind: Kind) -> None:
        one = Asked()
        self.asked.append(one)
        body = {"model": kind.model, "stream": kind.streams, "messages": [{"role": "user", "content": "hello"}]}
        headers = {"content-type": "application/json", "x-wardwright-session-id": kind.name}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        one.receipt_id = answer.headers.get("x-wardwright-receipt-id", "")
        if answer.status != 200:
            self._note(f"{kind.name}: {answer.status} {answer.read()!r}")
            return
        if kind.leaves:
            answer.readline()
            connection.close()  # the next request opens another
            return
        text = answer.read()
        one.is_whole = not kind.streams or _DONE in text
        self._note("" if one.is_whole else f"{kind.name}: a stream without an end")

    def _note(self, problem: str) -> None:
        with self._changed:
            if not self.is_over:
                self._problem = self._problem or problem
            self._changed.notify_all()
