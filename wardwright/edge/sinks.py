"""Sinks over HTTP: how they are, and having records sent to one again, or none for a while."""

from typing import Annotated

import msgspec
from msgspec import Meta

from wardwright.domain.errors import RequestError
from wardwright.edge.http import Receive, Scope, Send, read_json_body, send_json
from wardwright.runtime.sink_desk import SinkDesk
from wardwright.wire.json_text import JSON_FAULTS, find_fault


class _ExportRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    after: Annotated[int, Meta(ge=0, le=2**63 - 1)] = msgspec.field(name="from")


_DECODER = msgspec.json.Decoder(_ExportRequest)


class Sinks:
    """`/admin/sinks`; protected."""

    def __init__(self, desk: SinkDesk, *, max_body_bytes: int) -> None:
        self._desk = desk
        self._max_body_bytes = max_body_bytes

    async def list(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /admin/sinks`."""
        await send_json(send, {"data": self._desk.list()})

    async def show(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /admin/sinks/{id}`."""
        await send_json(send, self._desk.show(scope["path_params"]["sink_id"]))

    async def replay(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /admin/sinks/{id}/dead-letters/replay`."""
        await send_json(send, await self._desk.replay_dead_letters(scope["path_params"]["sink_id"]), status=202)

    async def pause(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /admin/sinks/{id}/pause`."""
        await send_json(send, await self._desk.pause(scope["path_params"]["sink_id"]))

    async def resume(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /admin/sinks/{id}/resume`."""
        await send_json(send, await self._desk.resume(scope["path_params"]["sink_id"]))

    async def export(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /admin/sinks/{id}/export`."""
        body = await read_json_body(scope, receive, limit=self._max_body_bytes)
        try:
            asked = _DECODER.decode(body)
        except JSON_FAULTS as error:
            raise RequestError(f'expected {{"from": POSITION}}; the request body: {find_fault(error, body)}') from None
        await send_json(send, await self._desk.send_again(scope["path_params"]["sink_id"], asked.after), status=202)
