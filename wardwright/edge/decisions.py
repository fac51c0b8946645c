"""Decisions without consequences: `POST /v1/wardwright/simulate` and `POST /v1/receipts/{id}/replay`."""

from typing import TypeVar

import msgspec

from wardwright.domain.chat import ChatRequest
from wardwright.domain.errors import RequestError
from wardwright.edge.http import Receive, Scope, Send, headers_of, read_json_body, send_json
from wardwright.planner.supplied import SuppliedFacts
from wardwright.runtime.decision_desk import DecisionDesk
from wardwright.runtime.gateway import Gateway
from wardwright.wire.caller import parse_caller
from wardwright.wire.openai import parse_chat_request

T = TypeVar("T")


class SimulateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to decide: a chat request, and what to suppose beside it. `model` wins over the name in the request."""

    request: dict[str, msgspec.Raw]
    model: str | None = None
    version: str | None = None
    facts: SuppliedFacts = SuppliedFacts()


class ReplayOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The version to decide under, in place of the recorded one."""

    version: str | None = None


class Decisions:
    """Both endpoints; protected."""

    def __init__(self, gateway: Gateway, desk: DecisionDesk, *, max_body_bytes: int) -> None:
        self._gateway = gateway
        self._desk = desk
        self._max_body_bytes = max_body_bytes

    async def simulate(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /v1/wardwright/simulate`."""
        body = _decoded(await read_json_body(scope, receive, limit=self._max_body_bytes), SimulateBody)
        request = _chat_request(body)
        peer = scope.get("client")
        receipt = await self._desk.simulate(
            request,
            caller=parse_caller(headers_of(scope), request, peer[0] if peer else None),
            request_id=scope["wardwright.request_id"],
            version=body.version,
            supplied=body.facts,
        )
        await send_json(send, {"receipt": receipt})

    async def replay(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /v1/receipts/{id}/replay`."""
        body = await read_json_body(scope, receive, limit=self._max_body_bytes)
        options = _decoded(body or b"{}", ReplayOptions)
        receipt = await self._gateway.receipt(scope["path_params"]["receipt_id"])
        await send_json(send, self._desk.replay(receipt, options.version))


def _chat_request(body: SimulateBody) -> ChatRequest:
    fields = dict(body.request)
    if body.model is not None:
        fields["model"] = msgspec.Raw(msgspec.json.encode(body.model))
    try:
        return parse_chat_request(msgspec.json.encode(fields))
    except RequestError as error:
        raise RequestError(
            error.message, param="request" if error.param is None else f"request.{error.param}", code=error.code
        ) from error


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"the body is not what it must be: {error}") from error
