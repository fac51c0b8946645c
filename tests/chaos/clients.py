"""Clients that keep asking a daemon until it is gone, and what they saw: whole answers, streams, and some that leave early.

While the daemon can store nothing they may be refused, and ask again a moment later.
"""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.chaos.verdict import Broken

_PATIENCE_S = 60.0
_PAUSE_S = 0.02
_DONE = b"data: [DONE]"
_NOT_STORED = b"storage_unavailable"


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
    """One request. `receipt_id` is empty until its answer has begun, and where none came; `is_whole` once the last byte was seen."""

    receipt_id: str = ""
    is_whole: bool = False


class Crowd:
    """All clients of one daemon. `asked` grows by one per request, `refused` by session for each that nothing could be stored of.

    `name` tells the sessions of crowds apart.
    """

    def __init__(self, url: str, name: str = "") -> None:
        self.asked: list[Asked] = []
        self.refused = Counter[str]()
        self.is_over = False
        self._name = name
        self._outages = 0  # odd while there is one
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

    @contextmanager
    def without_storage(self) -> Iterator[None]:
        """Whoever asks in the block may be refused, and nobody who asks after it."""
        self._outages += 1
        yield
        self._outages += 1

    def wait_for_answers(self, count: int) -> None:
        """Wait until so many more answers were seen whole. Raises: Broken when they do not come."""
        wanted = self._answers() + count
        self._wait_until(lambda: self._answers() >= wanted, f"{count} answers")

    def wait_for_refusals(self) -> None:
        """Wait until every client was refused once more, so none of them is left waiting. Raises: Broken when one is not."""
        before = self.refused.copy()
        self._wait_until(lambda: len(self.refused - before) == len(KINDS), "a refusal for each client")

    def _wait_until(self, is_there: Callable[[], bool], what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._problem) or is_there(), _PATIENCE_S):
                raise Broken(f"{what} did not come within {_PATIENCE_S:g} s")

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
        one, session, outages = Asked(), kind.name + self._name, self._outages
        self.asked.append(one)
        body = {"model": kind.model, "stream": kind.streams, "messages": [{"role": "user", "content": "hello"}]}
        headers = {"content-type": "application/json", "x-wardwright-session-id": session}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        if answer.status != 200:
            self._note_failure(session, outages, f"{answer.status}", answer.read())
            return
        one.receipt_id = answer.headers.get("x-wardwright-receipt-id", "")
        if kind.leaves:
            answer.readline()
            connection.close()  # the next request opens another
            return
        text = answer.read()
        one.is_whole = not kind.streams or _DONE in text
        if one.is_whole:
            self._note("")
        else:
            self._note_failure(session, outages, "a stream without an end,", text)

    def _note_failure(self, session: str, outages: int, what: str, text: bytes) -> None:
        """A request that began when there had been so many outages was not answered; it may be so if there was one meanwhile."""
        if _NOT_STORED in text and (outages % 2 or self._outages > outages):
            self.refused[session] += 1
            self._note("")
            time.sleep(_PAUSE_S)
        else:
            self._note(f"{session}: {what} {text!r}")

    def _note(self, problem: str) -> None:
        with self._changed:
            if not self.is_over:
                self._problem = self._problem or problem
            self._changed.notify_all()
