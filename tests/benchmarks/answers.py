"""The fixed answers of the benchmark, as bytes made once: the upstream and the floor send the same ones.

The model's name chooses the behaviour: `mock` answers at once; `-n100` streams 100 chunks, `-p10` one per 10 ms instead of all in
one burst, `-d5` waits 5 ms before the first byte.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import msgspec

_MODEL = re.compile(r"mock(?:-n(?P<chunks>\d+))?(?:-p(?P<pace>\d+))?(?:-d(?P<delay>\d+))?")
_SHARED = {"id": "chatcmpl-mock0123456789", "created": 1_700_000_000, "system_fingerprint": "fp_mock"}
_ANSWER = "The quick brown fox jumps over the lazy dog while the gateway relays this fixed answer of the upstream."
_PROMPT_TOKENS = 19
_DONE = b"data: [DONE]\n\n"


class StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool = False


class Asked(msgspec.Struct, frozen=True):
    """What of a request decides its answer."""

    model: str
    stream: bool = False
    stream_options: StreamOptions | None = None

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


@dataclass(frozen=True)
class Behaviour:
    """How a model answers. A stream has at least two chunks: the one with the role and the one with the finish reason."""

    chunks: int
    pace_s: float
    delay_s: float


parse_asked = msgspec.json.Decoder(Asked).decode


@cache
def behaviour_of(model: str) -> Behaviour:
    """Raises: ValueError for a name that says nothing."""
    match = _MODEL.fullmatch(model)
    if match is None:
        raise ValueError(f"{model!r} is no model of the benchmark")
    return Behaviour(
        chunks=max(2, int(match["chunks"] or 100)),
        pace_s=int(match["pace"] or 0) / 1000,
        delay_s=int(match["delay"] or 0) / 1000,
    )


@cache
def completion(model: str) -> bytes:
    """The body of a whole answer."""
    message = {"role": "assistant", "content": _ANSWER, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _encode({**_SHARED, "object": "chat.completion", "model": model, "choices": [choice], "usage": _usage(24)})


@cache
def stream_writes(model: str, *, include_usage: bool) -> tuple[bytes, ...]:
    """The events of a streamed answer, grouped as they leave: one write per tick of the model's pace.

    The chunk with the role leaves together with the first word, as it does when a model has found its first token; the finish
    reason, the usage and `[DONE]` leave together as well.
    """
    chunks = behaviour_of(model).chunks
    role = _event(model, _choices({"role": "assistant", "content": ""}))
    word = _event(model, _choices({"content": " word"}))
    end = _event(model, _choices({}, finish_reason="stop"))
    if include_usage:
        end += _event(model, {"choices": [], "usage": _usage(chunks - 2)})
    words = [word] * (chunks - 2)
    return (role + b"".join(words[:1]), *words[1:], end + _DONE)


def _choices(delta: Mapping[str, str], finish_reason: str | None = None) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]}


def _event(model: str, fields: Mapping[str, object]) -> bytes:
    return b"data: %b\n\n" % _encode({**_SHARED, "object": "chat.completion.chunk", "model": model, **fields})


def _usage(completion_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": _PROMPT_TOKENS,
        "completion_tokens": completion_tokens,
        "total_tokens": _PROMPT_TOKENS + completion_tokens,
    }


def _encode(payload: object) -> bytes:
    return json.dumps(payload, separators=(",", ":")).encode()
