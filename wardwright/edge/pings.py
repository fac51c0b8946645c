"""Comments that keep a silent stream alive, for proxies and clients that give up on a connection where nothing moves.

Who streams says with each write that it has said something, which costs next to nothing; one clock for all looks twice as often as a
ping is due, and pings those that have said nothing since it looked last. So no stream is silent for longer than `every_s`.
"""

from typing import Protocol

import anyio


class Stream(Protocol):
    """A stream whose head has been sent. Both flags are its own to begin with: True and False."""

    has_said_something: bool
    is_being_pinged: bool

    async def ping(self) -> None:
        """Send a comment. Called between two events, and never once the end is being sent."""
        ...


class Pings:
    """The streams that are open, and the clock that keeps them alive. With `every_s` 0 there is none."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._streams: set[Stream] = set()

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    def begin(self, stream: Stream) -> None:
        """Keep a stream alive from now on."""
        self._streams.add(stream)

    def end(self, stream: Stream) -> None:
        """Ping it no more: its end is about to be sent. Idempotent."""
        self._streams.discard(stream)

    async def run(self) -> None:
        """Ping whoever is silent, until cancelled."""
        if not self._every_s:
            return
        async with anyio.create_task_group() as tasks:
            while True:
                await anyio.sleep(self._every_s / 2)
                for stream in self._streams:
                    has_said, stream.has_said_something = stream.has_said_something, not stream.has_said_something
                    if not has_said and not stream.is_being_pinged:
                        tasks.start_soon(self._ping, stream)

    async def _ping(self, stream: Stream) -> None:
        """Send a ping; a client that does not take it is not pinged again before it does."""
        if stream in self._streams:  # it may have ended since
            stream.is_being_pinged = True
            try:
                await stream.ping()
            finally:
                stream.is_being_pinged = False
