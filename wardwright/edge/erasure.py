"""Erasing a person's receipts over HTTP, step by step."""

import msgspec

from wardwright.domain.errors import RequestError
from wardwright.edge.http import Receive, Scope, Send, read_json_body, send_json
from wardwright.runtime.erasure import receipts_of
from wardwright.runtime.erasures import Erasures
from wardwright.wire.caller import check_caller_value
from wardwright.wire.json_text import JSON_FAULTS, find_fault


class _EraseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    user_id: str
    tenant_id: str | None = None
    before: float | None = None
    dry_run: bool = False
    cursor: str | None = None


_DECODER = msgspec.json.Decoder(_EraseRequest)


class Erasure:
    """`/admin/receipts/erase`; protected."""

    def __init__(self, erasures: Erasures, *, max_body_bytes: int) -> None:
        self._erasures = erasures
        self._max_body_bytes = max_body_bytes

    async def erase(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /admin/receipts/erase`: the next receipts of a person, and where the step after that begins."""
        asked = _parsed(await read_json_body(scope, receive, limit=self._max_body_bytes))
        user_id = _stated(asked.user_id, "user_id")
        tenant_id = None if asked.tenant_id is None else _stated(asked.tenant_id, "tenant_id")
        chosen = receipts_of(user_id, tenant_id, asked.before, asked.cursor)
        await send_json(send, await self._erasures.step(chosen, dry_run=asked.dry_run))


def _stated(value: str, name: str) -> str:
    stated = check_caller_value(value, name)
    if not stated:
        raise RequestError(f"{name}: expected a value, got nothing", param=name)
    return stated


def _parsed(body: bytes) -> _EraseRequest:
    try:
        return _DECODER.decode(body)
    except JSON_FAULTS as error:
        fault = str(find_fault(error, body))
        told = fault if fault.startswith(("is ", "has ")) else f"is not as expected: {fault}"
        raise RequestError(f"the request body {told}") from None
