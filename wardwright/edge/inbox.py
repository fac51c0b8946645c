"""The messages of one request on their way to the application."""

from collections import deque
from collections.abc import Callable

import anyio

from wardwright.edge.http import Message

_MESSAGES_AHEAD = 10
_GONE: Message = {"type": "http.disconnect"}
_DISCONNECTS = ("http.disconnect", "websocket.disconnect")


class Inbox:
    """What an application receives: its request piece by piece, and the news that its client has gone; see `edge.http.Client`."""

    def __init__(self) -> None:
        self._on_gone: Callable[[], object] | None = None
        self._messages: deque[Message] = deque()
        self._arrival: anyio.Event | None = None
        self._room: anyio.Event | None = None
        self._is_disconnected = False
        self.is_whole = False

    async def put(self, message: Message) -> None:
        """Add a message; a body that is far ahead of its reader waits, the news that the client has gone never does."""
        if message["type"] in _DISCONNECTS:
            self.close(message)
            return
        self._messages.append(message)
        _set(self._arrival)
        self.is_whole = not message.get("more_body", False)
        if len(self._messages) > _MESSAGES_AHEAD:
            self._room = anyio.Event()
            await self._room.wait()

    def close(self, news: Message = _GONE) -> None:
        """Add the news that the client has gone, or has its answer."""
        self._messages.append(news)
        self._is_disconnected = True
        _set(self._arrival)
        _set(self._room)
        self._tell()

    async def receive(self) -> Message:
        """The next message; after the last one, that one for ever."""
        while not self._messages:
            self._arrival = anyio.Event()
            await self._arrival.wait()
        if len(self._messages) == 1 and self._is_disconnected:
            return self._messages[0]
        message = self._messages.popleft()
        if len(self._messages) <= _MESSAGES_AHEAD:
            _set(self._room)
        return message

    def watch(self, on_gone: Callable[[], object]) -> None:
        """Have `on_gone` called when the client leaves; at once when it has."""
        self._on_gone = on_gone
        if self._is_disconnected:
            self._tell()

    def unwatch(self) -> None:
        """Call nobody."""
        self._on_gone = None

    def _tell(self) -> None:
        on_gone, self._on_gone = self._on_gone, None
        if on_gone is not None:
            on_gone()


def _set(event: anyio.Event | None) -> None:
    if event is not None:
        event.set()
