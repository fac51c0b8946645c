"""A bell that is rung when something was appended, for whoever has nothing to do until then."""

import anyio


class Bell:
    """Rung by one, heard by any number. To ring costs next to nothing when nobody listens. For one event loop's use."""

    def __init__(self) -> None:
        self._next: anyio.Event | None = None

    def ring(self) -> None:
        """Set every ring that was asked for."""
        awaited, self._next = self._next, None
        if awaited is not None:
            awaited.set()

    def next_ring(self) -> anyio.Event:
        """The next ring from now on: ask for it before looking whether there is something to do, and none is missed."""
        if self._next is None:
            self._next = anyio.Event()
        return self._next
