"""A line: the bytes of one client's connection. One implementation for each event loop, one contract.

Hypercorn's protocols lose track of themselves when they are cancelled between two steps of an answer, and a connection that has
lost track leaves its client's next request without an answer. So nothing here is a cancel point but a wait for the client: a
request that is killed while its client has room finishes the step it is in.
"""

import select
import socket
import sys
from typing import Protocol

Address = tuple[str, int]

READ_AHEAD = 2**16
FLUSH_S = 60.0
UNSENT_IN_SYSTEM = 2**16
"""How many bytes that its client has no room for the system keeps of one connection; Linux would take some megabytes of each."""


class Line(Protocol):
    """What a connection needs of its socket."""

    @property
    def client(self) -> Address | None:
        """The other end's address; None when it had gone before anybody asked."""
        ...

    @property
    def server(self) -> Address | None:
        """This end's address."""
        ...

    @property
    def unsent(self) -> int:
        """How many bytes of what was written wait here, because the client does not take what went before."""
        ...

    def has_hung_up(self) -> bool:
        """Whether the client has gone, or sends no more, though there may be something unread. What the system does not tell is no."""
        ...

    def has_unread(self) -> bool:
        """Whether something has come that nobody has read."""
        ...

    async def read(self) -> bytes:
        """What came next; empty when nothing more will come. Cancellation: cancel point, nothing is lost."""
        ...

    async def write(self, data: bytes) -> None:
        """Send, and return when there is room for more.

        Raises: ConnectionError: the client has gone, or the line was closed.
        Cancellation: cancel point only while there is no room; what was given leaves before what is given next.
        """
        ...

    def half_close(self) -> None:
        """Tell the client that nothing more will be sent; what it still sends can be read."""
        ...

    def close(self) -> None:
        """End the connection once everything written has left, or at last after `FLUSH_S`. Idempotent."""
        ...

    def abort(self) -> None:
        """End the connection now. Idempotent."""
        ...


def prepare(connection: socket.socket) -> None:
    """Set up an accepted socket. Raises: OSError when the client has gone already."""
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if sys.platform == "linux":
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_IN_SYSTEM)


def is_hung_up(connection: socket.socket) -> bool:
    """Whether the other end of a socket has ended or broken it, whatever is still to be read; False where the system does not tell."""
    if sys.platform != "linux" or connection.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLRDHUP)
    return bool(poll.poll(0))


def address_of(name: object) -> Address | None:
    """The address in a socket's name; of IPv6 without scope and flow. Purity: pure."""
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) and len(name) >= 2 else None
