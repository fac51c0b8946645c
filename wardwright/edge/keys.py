"""API keys over HTTP: list, create (the key itself is shown this once), revoke."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from wardwright.domain.control import KeyLimits
from wardwright.domain.errors import RequestError
from wardwright.edge.http import Receive, Scope, Send, query_parameters, read_json_body, send_json
from wardwright.runtime.keys import Keys
from wardwright.wire.caller import BOUND_FIELDS, check_caller_value
from wardwright.wire.json_text import JSON_FAULTS, find_fault

_LABEL_LIMIT = 256

_Count = Annotated[int, Meta(ge=0, le=10**12)]
_Usd = Annotated[float, Meta(ge=0, le=1e9)]


class _Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    requests_per_minute: _Count | None = None
    tokens_per_minute: _Count | None = None
    usd_per_day: _Usd | None = None


class _KeyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: str
    label: str
    caller: Mapping[str, str] = {}
    limits: _Limits = _Limits()


_DECODER = msgspec.json.Decoder(_KeyRequest)


class ApiKeys:
    """`/admin/model-api-keys`; protected."""

    def __init__(self, keys: Keys, *, max_body_bytes: int) -> None:
        self._keys = keys
        self._max_body_bytes = max_body_bytes

    async def list(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /admin/model-api-keys`, of one model with `?model=`."""
        await send_json(send, {"data": self._keys.list(query_parameters(scope).get("model") or None)})

    async def create(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /admin/model-api-keys`."""
        asked = _parsed(await read_json_body(scope, receive, limit=self._max_body_bytes))
        limits = KeyLimits(**msgspec.structs.asdict(asked.limits))
        made = await self._keys.create(asked.model, asked.label.strip(), _bound(asked.caller), limits)
        await send_json(send, {"api_key": made}, status=201)

    async def revoke(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`DELETE /admin/model-api-keys/{id}`."""
        revoked = await self._keys.revoke(scope["path_params"]["key_id"])
        await send_json(send, {"deleted": True, "id": revoked.id})


def _parsed(body: bytes) -> _KeyRequest:
    try:
        asked = _DECODER.decode(body)
    except JSON_FAULTS as error:
        raise RequestError(f"the request body {_sentence(str(find_fault(error, body)))}") from None
    label = asked.label.strip()
    if not label or len(label) > _LABEL_LIMIT or not label.isprintable():
        raise RequestError(f"label: expected 1 to {_LABEL_LIMIT} printable characters", param="label")
    return asked


def _bound(caller: Mapping[str, str]) -> dict[str, str]:
    """The caller's fields that a key vouches for, each checked as if a caller had stated it."""
    bound = {}
    for field, value in caller.items():
        if field not in BOUND_FIELDS:
            known = ", ".join(BOUND_FIELDS)
            raise RequestError(f"caller.{field}: expected one of {known}", param=f"caller.{field}")
        bound[field] = check_caller_value(value, f"caller.{field}")
        if not bound[field]:
            raise RequestError(f"caller.{field}: expected a value, got nothing", param=f"caller.{field}")
    return bound


def _sentence(fault: str) -> str:
    return fault if fault.startswith(("is ", "has ")) else f"is not as expected: {fault}"
