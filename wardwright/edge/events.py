"""`GET /admin/events`: what happens in the daemon, as server-sent events, for as long as somebody watches."""

import difflib
from collections.abc import Sequence

import anyio

from wardwright.domain.errors import RequestError
from wardwright.edge.http import CLIENT, EVENT_STREAM, Receive, Scope, Send, header, query_pairs
from wardwright.runtime.bus import Lost, Told, Watch
from wardwright.runtime.event_desk import EventDesk
from wardwright.runtime.visible import TOPICS, Topic
from wardwright.wire.sse import PING, render_opening

PING_S = 15.0
GATHER_S = 0.05
"""How long a stream that has just told something waits before it tells more: what a watcher costs a busy daemon depends on this, and
not on how busy it is."""
_RETRY_MS = 2_000
_PARAMETERS = ("topic", "last_event_id")
_LONGEST_SHOWN = 50


class Events:
    """The endpoint; protected."""

    def __init__(self, desk: EventDesk) -> None:
        self._desk = desk

    async def stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell of every event until the client leaves or the daemon stops; what waits leaves in one write."""
        topics, after = _asked(scope)
        async with self._desk.watch(topics, after) as watch:
            scope[CLIENT].watch(watch.close)
            await send({"type": "http.response.start", "status": 200, "headers": list(EVENT_STREAM)})
            if scope["method"] == "HEAD":
                watch.close()
            await _send_some(send, render_opening(_RETRY_MS, watch.start_id))
            try:
                while True:
                    await _tell_next(watch, send)
            except anyio.EndOfStream:
                await send({"type": "http.response.body", "body": b": the gateway is stopping\n\n"})


async def _tell_next(watch: Watch, send: Send) -> None:
    """Tell what has come, or ping when for a while nothing has. Raises: anyio.EndOfStream."""
    batch: Sequence[Told | Lost] = ()
    with anyio.move_on_after(PING_S):
        batch = await watch.next_batch()
    if not batch:
        await _send_some(send, PING)
        return
    await _send_some(send, b"".join([event.frame for event in batch]))
    if not watch.is_behind:
        await anyio.sleep(GATHER_S)


async def _send_some(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


def _asked(scope: Scope) -> tuple[tuple[Topic, ...], str | None]:
    """The topics that are asked for, all when none is named, and the id behind which to go on. Raises: RequestError."""
    after = header(scope, b"last-event-id")
    names: list[str] = []
    for name, value in query_pairs(scope):
        _check(name, _PARAMETERS, "parameter", param=name[:_LONGEST_SHOWN])
        if name == "topic":
            names.extend(part.strip() for part in value.split(",") if part.strip())
        elif after is None:
            after = value
    for name in names:
        _check(name, TOPICS, "topic", param="topic")
    return tuple(topic for topic in TOPICS if topic in names) or TOPICS, after or None


def _check(name: str, known: Sequence[str], what: str, *, param: str) -> None:
    """Raises: RequestError for a name that is none of the known, with the nearest of them."""
    if name in known:
        return
    nearest = difflib.get_close_matches(name[:_LONGEST_SHOWN], known, n=1)
    hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    raise RequestError(
        f"there is no {what} {name[:_LONGEST_SHOWN]!r}{hint}; expected one of {', '.join(known)}", param=param
    )
