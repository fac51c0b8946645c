"""`POST /v1/chat/completions`, unary and streamed."""

from collections.abc import Callable, Mapping, Sequence

import anyio

from wardwright.domain.chat import ChatRequest, Completion
from wardwright.domain.errors import WardwrightError
from wardwright.domain.stream import Frame
from wardwright.edge.errors import as_callers_read_it, error_answer
from wardwright.edge.http import (
    CLIENT,
    EVENT_STREAM,
    Client,
    Receive,
    Scope,
    Send,
    headers_of,
    read_json_body,
    send_body,
    send_error,
)
from wardwright.edge.pings import Pings
from wardwright.runtime.gateway import Gateway
from wardwright.runtime.responder import AnswerHead
from wardwright.wire.caller import parse_caller
from wardwright.wire.errors import render_stream_error
from wardwright.wire.openai import ChoiceOrder, choice_count, parse_chat_request, render_chunk, render_completion
from wardwright.wire.sse import DONE, PING
from wardwright.wire.trace import parse_traceparent

_LAST_WORDS_S = 5.0


class ChatCompletions:
    """The endpoint as an ASGI application."""

    def __init__(self, gateway: Gateway, pings: Pings, *, max_body_bytes: int) -> None:
        self._gateway = gateway
        self._pings = pings
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        body = await read_json_body(scope, receive, limit=self._max_body_bytes)
        request = parse_chat_request(body)
        peer, headers = scope.get("client"), headers_of(scope)
        caller = parse_caller(headers, request, peer[0] if peer else None)
        request_id: str = scope["wardwright.request_id"]
        answer = _ChatAnswer(request, send, scope[CLIENT], self._pings)
        try:
            await self._gateway.chat(
                request,
                caller=caller,
                request_id=request_id,
                responder=answer,
                api_key=_shown_key(headers),
                traceparent=parse_traceparent(headers.get("traceparent")),
            )
        except WardwrightError as error:
            with anyio.move_on_after(_LAST_WORDS_S):  # a client that takes nothing is not waited for any longer
                await answer.fail(error)
        finally:
            answer.end_pings()


class _ChatAnswer:
    """The `Responder` of the chat surface: OpenAI's frames over ASGI."""

    def __init__(self, request: ChatRequest, send: Send, client: Client, pings: Pings) -> None:
        self._request = request
        self._send = send
        self._client = client
        self._pings = pings
        self.has_said_something = True
        self.is_being_pinged = False
        self._head: AnswerHead | None = None
        self._shown_model = request.model
        self._order: ChoiceOrder | None = None
        self._has_started = False
        self._is_in_doubt = False

    def begin(self, head: AnswerHead) -> None:
        """Remember who the answer belongs to."""
        self._head = head

    async def release(self, frames: Sequence[Frame]) -> None:
        """Send frames; what one read of the upstream brought leaves in one write."""
        if not self._has_started:
            await self._start()
        body = self._render(frames)
        if body:
            self.has_said_something = True
            await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def ping(self) -> None:
        """Send a comment while the model is silent, or rules hold what it says."""
        await self._send({"type": "http.response.body", "body": PING, "more_body": True})

    async def finish(self, frames: Sequence[Frame]) -> None:
        """Send the last frames and `[DONE]`."""
        if not self._has_started:
            await self._start()
        self.end_pings()
        self._is_in_doubt = True
        await self._send({"type": "http.response.body", "body": self._render(frames) + DONE})

    async def answer(self, completion: Completion) -> None:
        """Send a whole answer."""
        head = self._begun()
        self._show_target(head)
        self._is_in_doubt = True
        body = render_completion(completion, model=self._shown_model, extra={"wardwright": _facts(head)})
        await send_body(self._send, 200, body, content_type="application/json", headers=_headers(head))

    async def fail(self, error: WardwrightError) -> None:
        """Tell the client: with a status while that is possible, with one terminal event after.

        An answer whose head or last part was being sent when it failed is let be: what has left cannot be told from what has not.
        """
        if self._is_in_doubt:
            return
        head = self._head
        spent = head is not None and head.attempts >= head.definition.max_attempts
        told = error_answer(as_callers_read_it(error), attempts_spent=spent)
        facts = None if head is None else _facts(head)
        self.end_pings()
        if self._has_started:
            event = render_stream_error(told.message, told.type, told.code, told.param, facts)
            await self._send({"type": "http.response.body", "body": event})
            return
        await send_error(self._send, told, wardwright=facts, headers=() if head is None else _headers(head))

    def end_pings(self) -> None:
        """Say nothing more by itself. Idempotent."""
        self._pings.end(self)

    def watch_client(self, on_gone: Callable[[], None]) -> None:
        """Have `on_gone` called when the client leaves."""
        self._client.watch(on_gone)

    def unwatch_client(self) -> None:
        """Stop watching."""
        self._client.unwatch()

    async def _start(self) -> None:
        head = self._begun()
        self._show_target(head)
        choices = choice_count(self._request)
        if choices > 1:
            self._order = ChoiceOrder(choices)
        headers = [(name.encode(), value.encode()) for name, value in _headers(head)]
        self._is_in_doubt = True
        await self._send({"type": "http.response.start", "status": 200, "headers": [*EVENT_STREAM, *headers]})
        self._is_in_doubt, self._has_started = False, True
        self._pings.begin(self)

    def _render(self, frames: Sequence[Frame]) -> bytes:
        model, include_usage = self._shown_model, self._request.include_usage
        if self._order is not None:
            frames = self._order.arrange(frames)
        chunks = [render_chunk(frame, model=model, include_usage=include_usage) for frame in frames]
        return b"".join([chunk for chunk in chunks if chunk is not None])

    def _show_target(self, head: AnswerHead) -> None:
        if head.definition.reveal_target and head.selected_target is not None:
            self._shown_model = head.selected_target.id

    def _begun(self) -> AnswerHead:
        if self._head is None:
            raise RuntimeError("an answer was sent before its request was accepted")
        return self._head


def _shown_key(headers: Mapping[str, str]) -> str | None:
    """What the caller shows as an API key: in our own header, else as a bearer token."""
    own = headers.get("x-wardwright-model-api-key", "").strip()
    if own:
        return own
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() or None if scheme.lower() == "bearer" else None


def _facts(head: AnswerHead) -> Mapping[str, object]:
    selected = head.selected_target
    return {"receipt_id": head.receipt_id, "selected_model": None if selected is None else selected.id}


def _headers(head: AnswerHead) -> tuple[tuple[str, str], ...]:
    """Response headers that identify an accepted request, beside the request id that every answer has."""
    selected = head.selected_target
    return (
        ("x-wardwright-receipt-id", head.receipt_id),
        ("x-wardwright-model-version", head.definition.version),
        ("x-wardwright-attempts", str(head.attempts)),
        *((("x-wardwright-selected-model", selected.id),) if selected is not None else ()),
    )
