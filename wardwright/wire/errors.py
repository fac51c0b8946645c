"""Error bodies: the gateway's own envelope, the shapes in which providers answer with errors, and what those errors mean.

Providers agree on the envelope's name and on little else, so reading is tolerant: whatever comes, something sayable is made of
it. Meaning is decided by code first, then by status; a message's text counts only where a provider gives no code at all.
"""

import re
from collections.abc import Mapping

import msgspec

from wardwright.domain.errors import FailureClass
from wardwright.wire.json_text import JSON_FAULTS, check_utf8
from wardwright.wire.sse import render_event

_MESSAGE_LIMIT = 2000
_TITLE_WITHIN = 4096
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder()
_TITLE = re.compile(r"<title[^>]*>([^<]{1,200})", re.IGNORECASE)

_BY_CODE: dict[str, FailureClass] = {
    "context_length_exceeded": "context_exceeded",
    "context_window_exceeded": "context_exceeded",
    "exceed_context_size_error": "context_exceeded",
    "content_policy_violation": "content_filter",
    "content_filter": "content_filter",
    "responsible_ai_policy_violation": "content_filter",
    "insufficient_quota": "rate_limited",
    "rate_limit_exceeded": "rate_limited",
    "rate_limit_error": "rate_limited",
    "invalid_api_key": "auth",
    "authentication_error": "auth",
    "permission_error": "auth",
    "billing_error": "rate_limited",
    "overloaded_error": "overloaded",
    "timeout_error": "timeout",
}
_BY_STATUS: dict[int, FailureClass] = {
    401: "auth",
    402: "rate_limited",  # the account's money is used up: like a quota, nothing the caller can mend
    403: "auth",
    408: "timeout",
    429: "rate_limited",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}
# Servers that answer 400 without a code (vLLM and its relatives, Anthropic) say it in these words.
_CONTEXT_WORDS = re.compile(
    r"maximum context length|context (?:length|window|size) exceeded|exceeds? the .{0,40}context|prompt is too long",
    re.IGNORECASE,
)


class UpstreamErrorBody(msgspec.Struct, frozen=True):
    """A provider's error as far as it can be told apart. `raw` is its error object as it came, None when it sent none."""

    message: str
    type: str | None = None
    code: str | None = None
    param: str | None = None
    raw: dict[str, object] | None = None


class BadAnswer(ValueError):
    """What a provider sent is not an answer of this wire."""


class UpstreamErrorObject(BadAnswer):
    """In place of an answer, or in the middle of one, the provider sent an error object."""

    def __init__(self, error: UpstreamErrorBody) -> None:
        super().__init__(error.message)
        self.error = error


def render_error(
    message: str,
    type: str,
    code: str | None,
    param: str | None = None,
    wardwright: Mapping[str, object] | None = None,
) -> bytes:
    """Render the error envelope of the OpenAI surface; `wardwright` is added beside the error (the receipt id)."""
    envelope: dict[str, object] = {"error": {"message": message, "type": type, "param": param, "code": code}}
    if wardwright is not None:
        envelope["wardwright"] = dict(wardwright)
    return _ENCODER.encode(envelope)


def render_stream_error(
    message: str,
    type: str,
    code: str | None,
    param: str | None = None,
    wardwright: Mapping[str, object] | None = None,
) -> bytes:
    """Render the event that ends a broken stream. No `[DONE]` may follow it: a cut answer must not look whole."""
    return render_event(render_error(message, type, code, param, wardwright))


def parse_error(body: bytes) -> UpstreamErrorBody:
    """Make the best of a provider's error body. Never raises."""
    try:
        check_utf8(body)
        answer = _DECODER.decode(body)
    except JSON_FAULTS:
        return UpstreamErrorBody(_message_of_text(body.decode(errors="replace")))
    return error_of(answer)


def error_of(answer: object) -> UpstreamErrorBody:
    """Make the best of a decoded error answer: an envelope, a bare error object, FastAPI's `detail`, a list of these, a string."""
    if isinstance(answer, list):
        answer = answer[0] if answer else None
    if not isinstance(answer, dict):
        return UpstreamErrorBody(_said(answer))
    error = answer.get("error") or answer
    if not isinstance(error, dict):
        return UpstreamErrorBody(
            _said(error), type=_word(answer.get("type")), code=_word(answer.get("code")), raw=answer
        )
    message = error.get("message") or error.get("detail") or error.get("error")
    return UpstreamErrorBody(
        message=_said(message),
        type=_word(error.get("type")),
        code=_word(error.get("code")),
        param=_word(error.get("param")),
        raw=error or None,
    )


def classify(status: int, error: UpstreamErrorBody) -> FailureClass:
    """Decide what an error answer means.

    An error inside a stream has no status of its own (the stream began with 200); a numeric code stands in for it, and without
    one the provider is taken to have failed.
    """
    named = _BY_CODE.get(error.code or "") or _BY_CODE.get(error.type or "")
    if named is not None:
        return named
    if status < 300:
        status = int(error.code) if error.code and re.fullmatch(r"[45]\d\d", error.code) else 500
    if status < 400:
        return "bad_response"
    if status == 400 and _names_nothing(error.code) and _CONTEXT_WORDS.search(error.message):
        return "context_exceeded"
    return _BY_STATUS.get(status) or ("server_error" if status >= 500 else "invalid_request")


def _names_nothing(code: str | None) -> bool:
    return code is None or code.isdigit()


def _word(value: object) -> str | None:
    """Return a code, type or param as a string; some servers send numbers."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value)[:_MESSAGE_LIMIT] or None


def _said(message: object) -> str:
    if isinstance(message, str):
        return _message_of_text(message)
    if not message:
        return "the provider gave no message"
    try:
        return _ENCODER.encode(message).decode()[:_MESSAGE_LIMIT]
    except RecursionError:
        return "the provider's message is nested too deeply"


def _message_of_text(text: str) -> str:
    text = text.strip()
    if text[:1] == "<":
        title = _TITLE.search(text, 0, _TITLE_WITHIN)
        name = title[1].strip() if title else ""
        return "the provider answered with an HTML page" + (f": {name}" if name else "")
    return text[:_MESSAGE_LIMIT] or "the provider gave no message"
