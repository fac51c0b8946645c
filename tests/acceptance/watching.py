"""A watcher of a daemon's events: a socket, and a thread that notes what comes."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.acceptance.daemon import Daemon


@dataclass
class Watcher:
    """What a watcher has been told so far."""

    events: list[dict[str, Any]] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    last_id: str = ""
    has_ended: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    def wait_for(self, what: Callable[["Watcher"], bool], within: float = 60.0) -> None:
        """Wait until it has been told enough."""
        with self._changed:
            assert self._changed.wait_for(lambda: what(self), within), (self.types, self.comments)

    def wait_for_type(self, *types: str) -> None:
        """Wait until it has been told of each."""
        self.wait_for(lambda watcher: set(types) <= set(watcher.types))

    def read(self, answer: httpx2.Response) -> None:
        """Note everything up to the end of the stream."""
        fields: dict[str, str] = {}
        try:
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if line:
                    fields[name] = value
                else:
                    self._note(fields)
                    fields = {}
        except httpx2.TransportError:
            pass
        with self._changed:
            self.has_ended = True
            self._changed.notify_all()

    def _note(self, fields: dict[str, str]) -> None:
        with self._changed:
            self.last_id = fields.get("id", self.last_id)
            if "data" in fields:
                event = json.loads(fields["data"])
                assert event["type"] == fields["event"]
                assert event.get("id", self.last_id) == self.last_id
                self.events.append(event)
            elif "" in fields:
                self.comments.append(fields[""])
            self._changed.notify_all()


@contextmanager
def watching(daemon: Daemon, *topics: str, after: str | None = None, token: str | None = None) -> Iterator[Watcher]:
    """Watch a daemon; on leaving the watcher hangs up."""
    headers = {} if after is None else {"last-event-id": after}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    watcher = Watcher()
    with (
        daemon.client(timeout=60) as client,
        client.stream("GET", "/admin/events", params={"topic": list(topics)}, headers=headers) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        reader = threading.Thread(target=watcher.read, args=(answer,), daemon=True)
        reader.start()
        watcher.wait_for(lambda one: one.last_id != "" or after is not None)
        yield watcher
        _hang_up(answer)
        reader.join(60)
        assert not reader.is_alive()


def _hang_up(answer: httpx2.Response) -> None:
    """Wake the reader: nobody may close a connection under it."""
    connection: socket.socket = answer.extensions["network_stream"].get_extra_info("socket")
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # the daemon has ended it
        return
